//! A walk over all buckets that survives growth.
//!
//! Keys only ever move to buckets with higher numbers, so a walk by bucket number misses no key that is there
//! throughout; a key that moved on while its old bucket had been reported is reported twice. The bucket number is the
//! cursor.

use super::image::Image;
use crate::shared::Shard;
use crate::sync::{Acquire, fault};

/// How far a walk has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    pub(crate) bucket: u64,
    end: u64,
}

impl Shard<'_> {
    pub(crate) fn walk_from(self, bucket: u64) -> Walk {
        Walk { bucket, end: self.born().load(Acquire) }
    }

    /// Reports the items of the next bucket. False: there was none left.
    pub(crate) fn walk_on(self, walk: &mut Walk, mut report: impl FnMut(u32)) -> bool {
        if walk.bucket >= walk.end {
            return false;
        }
        let word = self.load(walk.bucket);
        debug_assert!(word.is_born());
        // A bucket of level l proves that its last child is born, even while `born` lags behind.
        if let Some(last) = word.level().checked_sub(1)
            && walk.bucket < 1 << last
            && !fault("scan_trusts_born")
        {
            walk.end = walk.end.max(walk.bucket + (1 << last) + 1);
        }
        if word.len() > 0 {
            Image::of(self, word).items().for_each(&mut report);
        }
        walk.bucket += 1;
        walk.end = walk.end.max(self.born().load(Acquire));
        true
    }
}

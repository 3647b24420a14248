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
    /// How many buckets there are. One more than `born` says, where the last split has taken effect and nobody has come to
    /// count it yet.
    pub(crate) fn buckets(self) -> u64 {
        let born = self.born().load(Acquire);
        let round = born.ilog2();
        let parent = self.load(born - (1 << round));
        born + u64::from(parent.level() > round && !fault("scan_trusts_born"))
    }

    pub(crate) fn walk_from(self, bucket: u64) -> Walk {
        Walk { bucket, end: self.buckets() }
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

#[cfg(all(test, not(loom)))]
mod tests {
    use core::mem::MaybeUninit;
    use std::vec;

    use crate::sync::Relaxed;
    use crate::{Cache, Config, Millis};

    /// A thread that is not running may have split a bucket, but not have counted the new one.
    #[test]
    fn a_bucket_that_is_not_counted_yet_is_scanned_and_flushed() {
        let mut memory = vec![MaybeUninit::uninit(); 1 << 20];
        let config = Config { shards: 1, handles_max: 1, ..Config::default() };
        let cache = Cache::new(&mut memory, config).unwrap();
        let mut handle = cache.handle().unwrap();
        for key in 0..1000_u32 {
            handle.put(Millis(0), &key.to_le_bytes(), b"x").unwrap();
        }
        let born = cache.shared.shard(0).born();
        let last = born.load(Relaxed) - 1;
        let mut count = |cursor| {
            let mut seen = 0;
            assert_eq!(handle.scan(Millis(0), cursor, 10_000, |_, _| seen += 1), 0);
            seen
        };
        let there = count(last);
        assert!(there > 0);
        born.store(last, Relaxed);
        assert_eq!((count(last), count(0)), (there, 1000));
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            cursor = handle.flush(Millis(0), at, 1);
        }
        assert_eq!(cache.stats().items, 0);
    }
}

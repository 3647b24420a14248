//! Growing the index, bucket by bucket, as items come.

use super::Local;
use crate::shared::Shard;
use crate::sync::Relaxed;

/// Blocks of items per bucket at which the index grows (index memory is least near 8, probing is cheapest near 4).
const LOAD: u64 = 6;

impl<'c> Local<'c> {
    /// Grows the index by up to two buckets if it is due, without waiting for anything.
    #[inline]
    pub(crate) fn grow(&mut self, shard: Shard<'c>) {
        for _ in 0..2 {
            let items = u64::from(shard.word(crate::config::SHARD_ITEMS).load(Relaxed));
            if items <= LOAD * shard.born().load(Relaxed) || !self.split(shard) {
                return;
            }
        }
    }

    #[cold]
    pub(super) fn split(&mut self, shard: Shard<'c>) -> bool {
        let Some(locked) = shard.try_lock() else { return false };
        let ready = locked.can_split();
        drop(locked);
        ready && shard.split_next(self, |_, bucket| ensure_directory(shard, bucket)) == Ok(true)
    }
}

/// Makes the directory reach this bucket. False: there is no memory for another chunk now.
fn ensure_directory(shard: Shard<'_>, bucket: u64) -> bool {
    let table = shard.table_word(bucket);
    if table.load(Relaxed) != 0 {
        return true;
    }
    let Some(locked) = shard.try_lock() else { return false };
    if table.load(Relaxed) == 0 {
        let Some(chunk) = locked.allocate_directory_chunk() else { return false };
        // Release: the zeroed words. Pairs with the Acquire in `Shard::directory`.
        table.store(chunk, crate::sync::Release);
    }
    true
}

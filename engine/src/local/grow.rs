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
        shard.split_next(self, |_, bucket| has_room(shard, bucket)) == Ok(true)
    }
}

/// Makes the directory reach this bucket; whether it does, and there is memory for the two images of a split behind that.
fn has_room(shard: Shard<'_>, bucket: u64) -> bool {
    let Some(locked) = shard.try_lock() else { return false };
    let table = shard.table_word(bucket);
    if table.load(Relaxed) == 0 {
        let Some(chunk) = locked.allocate_directory_chunk() else { return false };
        // Release: the zeroed words. Pairs with the Acquire in `Shard::directory`.
        table.store(chunk, crate::sync::Release);
    }
    locked.can_split()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Cache, Config, Millis};

    /// The last piece of main for the index is the directory's: then there is none for the images.
    #[test]
    fn no_split_begins_for_which_the_directory_has_taken_the_memory() {
        let mut region = std::vec![0; 1 << 20];
        let config = Config { shards: 1, handles_max: 2, seed: [1, 2, 3, 4], ..Config::default() };
        let cache = Cache::in_filled(&mut region, config).expect("large enough");
        let (mut handle, shard) = (cache.handle().expect("the first"), cache.shared.shard(0));
        let born = shard.born().load(Relaxed);
        let mut keys = 0_u32..;
        while shard.load(0).len() == 0 {
            let key = keys.next().expect("one of them belongs there").to_le_bytes();
            handle.put(Millis(0), &key, b"value").expect("room");
        }
        assert!(handle.rest(), "it keeps nothing");
        let locked = shard.try_lock().expect("nobody has it");
        let (last, _) = locked.allocate(cache.shared.geometry.chunk_granules()).expect("room");
        while locked.allocate_image(4).is_some() || locked.allocate(4).is_some() {}
        locked.release(last);
        drop(locked);
        let mut local = Local::join(&cache.shared).expect("the second");
        assert!(!local.split(shard));
        assert_ne!(shard.table_word(born).load(Relaxed), 0, "the directory has it");
        assert!(!shard.load(0).is_splitting(), "whoever writes there next has to make room");
        local.leave();
    }
}

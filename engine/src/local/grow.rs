//! Growing the index, bucket by bucket, as items come.

use super::Local;
use crate::config::SHARD_ITEMS;
use crate::shared::Shard;
use crate::sync::Relaxed;

/// Blocks of items per bucket at which the index grows (index memory is least near 8, probing is cheapest near 4).
const LOAD: u64 = 6;

impl Shard<'_> {
    /// Whether there are more items than so many sixteenths of those that its buckets are for.
    #[inline]
    pub(crate) fn is_crowded(self, sixteenths: u64) -> bool {
        let items = u64::from(self.word(SHARD_ITEMS).load(Relaxed));
        16 * items > sixteenths * LOAD * self.born().load(Relaxed)
    }
}

impl<'c> Local<'c> {
    /// Grows the index by up to two buckets if it is due, without waiting for anything.
    #[inline]
    pub(crate) fn grow(&mut self, shard: Shard<'c>) {
        for _ in 0..2 {
            if !shard.is_crowded(16) || !self.split(shard) {
                return;
            }
        }
    }

    #[cold]
    pub(super) fn split(&mut self, shard: Shard<'c>) -> bool {
        if let Ok(won) = shard.split_next(self, |_, bucket| has_room(shard, bucket)) {
            return won;
        }
        // A chunk of the index is missing.
        self.want_room(shard);
        false
    }
}

/// Makes the directory reach this bucket; whether it does, and there is memory for the two images of a split behind that.
fn has_room(shard: Shard<'_>, bucket: u64) -> bool {
    let Some(locked) = shard.try_lock() else { return false };
    // Who is never quiescent has no room made ahead: then the directory may lie anywhere, if that is all that is missing.
    let anywhere = shard.is_crowded(32) && locked.can_split();
    locked.ensure_directory(bucket, anywhere) && locked.can_split()
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
        let (items, granules) = (locked.items(), cache.shared.geometry.chunk_granules());
        let (hole, size) = items.find(granules).expect("room");
        let (last, granules) = items.allocate_high(hole, size, granules);
        while locked.allocate_image(4).is_some() || locked.allocate(4).is_some() {}
        items.release(last, granules);
        drop(locked);
        let mut local = Local::join(&cache.shared).expect("the second");
        assert!(!local.split(shard));
        assert_ne!(shard.table_word(born).load(Relaxed), 0, "the directory has it");
        assert!(!shard.load(0).is_splitting(), "whoever writes there next has to make room");
        local.leave();
    }
}

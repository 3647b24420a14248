//! Growth by linear hashing (Litwin, VLDB 1980), one bucket at a time, helped by whoever passes.
//!
//! Bucket `b` of level `l` splits into `b` and `b + 2^l`, both of level `l + 1`. The buckets split in the order of their
//! numbers, so that `born` alone says which exist. Any number of threads may finish the same split: freezing a dead image
//! changes nothing, the child's word is never unborn again, the parent's level has risen, `born` has moved on.

use super::image::Entries;
use super::word::Word;
use super::{Failed, Home, Memory};
use crate::arena::NoBlock;
use crate::config::SHARD_TABLE;
use crate::item::Item;
use crate::shared::{KeyHash, Shard};
use crate::sync::{Acquire, Relaxed, Release, fault, unless};

/// Whether this thread made the change: another helper having been faster is fine.
fn is_ours(result: Result<(), Failed>) -> Result<bool, Failed> {
    match result {
        Ok(()) => Ok(true),
        Err(Failed::Conflict) => Ok(false),
        Err(failed @ Failed::NoMemory(_)) => Err(failed),
    }
}

impl<'a> Shard<'a> {
    /// Splits the next bucket in line. False: the directory is as large as it can get, or another thread did it.
    /// `ensure` makes the directory reach a bucket; or it says that there is no memory, and nothing is begun.
    pub(crate) fn split_next<M: Memory>(
        self,
        memory: &mut M,
        ensure: impl FnOnce(&mut M, u64) -> bool,
    ) -> Result<bool, Failed> {
        let born = self.born().load(Acquire);
        if born >= self.shared.geometry.buckets_max() || born >= 1 << (KeyHash::BUCKET_BITS - 1) {
            return Ok(false);
        }
        if !ensure(memory, born) {
            return Err(Failed::NoMemory(NoBlock::Full));
        }
        let round = born.ilog2();
        let bucket = born - (1 << round);
        loop {
            let word = self.load(bucket);
            if word.level() > round {
                self.bump_born(born);
                return Ok(false);
            }
            if word.is_splitting() || fault("split_without_mark") {
                return self.finish_split(memory, Home { bucket, word });
            }
            let marked = word.with_split();
            // Release: the chunk of the child's word, for whoever helps.
            if self.directory(bucket).compare_exchange(word.0, marked.0, Release, Relaxed).is_ok() {
                return self.finish_split(memory, Home { bucket, word: marked });
            }
        }
    }

    /// Finishes the split that the mark in `home.word` announces. True: it was this thread that made it take effect.
    #[cold]
    pub(crate) fn finish_split(self, memory: &mut impl Memory, home: Home) -> Result<bool, Failed> {
        let level = home.word.level() + 1;
        let child = home.bucket + (1 << home.word.level());
        let (mut all, mut stay, mut go) = (Entries::new(), Entries::new(), Entries::new());
        self.freeze(home.word, &mut all);
        for entry in all {
            let hash = self.shared.hash(Item::load(self, entry.item).key());
            let side = if hash.bucket(level) == child { &mut go } else { &mut stay };
            let _ = side.push(entry);
        }
        // This order: child, parent, born. The child is reached only through what is written after it.
        let mut won = false;
        if fault("split_parent_first") {
            won = is_ours(self.replace_image(memory, home, level, &stay))?;
        }
        let new = self.new_word(memory, level, &go)?;
        let word = self.directory(child);
        if fault("child_store") {
            word.store(new.0, Release);
        } else if word
            // Release: publishes the child's image. Pairs with the Acquire in `load`.
            .compare_exchange(Word::UNBORN.0, new.0, unless("publish_relaxed", Release), Relaxed)
            .is_err()
            && new.len() > 0
        {
            memory.discard_image(self, new.image());
        }
        if !fault("split_parent_first") {
            won = is_ours(self.replace_image(memory, home, level, &stay))?;
        }
        self.bump_born(child);
        Ok(won)
    }

    fn bump_born(self, child: u64) {
        // Release: the words of parent and child. Pairs with the Acquire in `first_bucket`.
        let _ = self.born().compare_exchange(child, child + 1, unless("born_relaxed", Release), Relaxed);
    }

    /// The table's word for the chunk of the directory that holds this bucket.
    pub(crate) fn table_word(self, bucket: u64) -> &'a crate::sync::AtomicU32 {
        self.word(SHARD_TABLE + (bucket >> self.shared.geometry.chunk_shift) as usize * 4)
    }

    /// Empties a bucket; the items that were in it are passed to `taken`. Finishes a split that it meets.
    pub(crate) fn empty_bucket<M: Memory>(
        self,
        memory: &mut M,
        bucket: u64,
        mut taken: impl FnMut(&mut M, u32),
    ) -> Result<(), Failed> {
        loop {
            let home = Home { bucket, word: self.load(bucket) };
            if home.word.is_splitting() {
                self.finish_split(memory, home)?;
                continue;
            }
            if home.word.len() == 0 {
                return Ok(());
            }
            let mut entries = Entries::new();
            self.freeze(home.word, &mut entries);
            match self.replace_image(memory, home, home.word.level(), &[]) {
                Ok(()) => {
                    entries.iter().for_each(|entry| taken(memory, entry.item));
                    return Ok(());
                }
                Err(Failed::Conflict) => {}
                Err(failed @ Failed::NoMemory(_)) => return Err(failed),
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Cache, Config, Millis};

    /// Who has no memory for an image leaves the mark where it is. Whoever empties the bucket needs images, too.
    #[test]
    fn a_flush_finishes_a_split_for_which_there_was_no_memory() {
        let mut region = std::vec![0; 1 << 20];
        let config = Config { shards: 1, handles_max: 1, seed: [1, 2, 3, 4], ..Config::default() };
        let cache = Cache::in_filled(&mut region, config).expect("large enough");
        let (mut handle, shard) = (cache.handle().expect("the first"), cache.shared.shard(0));
        let born = shard.born().load(Relaxed);
        let mut keys = 0_u32;
        while shard.load(0).len() < 4 {
            handle.put(Millis(0), &keys.to_le_bytes(), &[7; 1000]).expect("room");
            keys += 1;
        }
        assert_eq!(shard.born().load(Relaxed), born, "it has not grown");
        assert!(handle.rest(), "it keeps nothing");
        let locked = shard.try_lock().expect("nobody has it");
        assert!(locked.ensure_directory(born, true), "room");
        shard.directory(0).store(shard.load(0).with_split().0, Relaxed);
        while locked.allocate_image(4).is_some() || locked.allocate(4).is_some() {}
        drop(locked);
        let (mut cursor, mut calls) = (Some(0), 0);
        while let Some(at) = cursor {
            assert!(calls < 1000, "it never comes past bucket {at}");
            cursor = handle.flush(Millis(0), at, 16);
            calls += 1;
        }
        assert_eq!(cache.stats().items, 0);
    }
}

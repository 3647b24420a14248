//! Walks a shard and names the first invariant that is broken. For tests, while nobody else uses the cache.

use super::block::{Header, Kind};
use super::{CURSORS, Locked};
use crate::config::{SHARD_INDEX, SHARD_ITEMS};
use crate::evict::nursery::Nursery;
use crate::index::Image;
use crate::item::Item;
use crate::shared::Shard;
use crate::sync::Relaxed;
use std::collections::BTreeMap;

/// What a walk found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) free: u32,
    pub(crate) raw: u32,
    /// Blocks that handles keep for later writes, and reservations.
    pub(crate) spare: usize,
    /// Items in the arena, reachable or waiting in limbo.
    pub(crate) items: BTreeMap<u32, std::vec::Vec<u8>>,
    /// Items that the index reaches: key and where.
    pub(crate) reachable: BTreeMap<std::vec::Vec<u8>, u32>,
}

impl Locked<'_> {
    /// Panics at the first broken invariant.
    pub(crate) fn verify(&self) -> Census {
        let shard = self.shard;
        let mut census = Census::default();
        let (mut at, end) = (shard.first_block(), shard.shared.geometry.arena_end);
        let (mut prev_free, mut free_blocks, mut cursors) = (false, 0, 0);
        let cursors_at =
            |at| CURSORS.all.iter().filter(|&&word| shard.word(word).load(Relaxed) == at).count();
        let nursery = Nursery::of(shard);
        census.free += nursery.free();
        nursery.walk(|at, _| {
            if let Ok(item) = Item::meet(shard, at) {
                census.items.insert(at, item.key().to_vec());
            }
        });
        let mut free = 0;
        while at < end {
            let header = Header(shard.word(at as usize * 4).load(Relaxed));
            assert_eq!(header.is_prev_free(), prev_free, "block {at}: wrong neighbour bit");
            cursors += cursors_at(at);
            let size = match header.kind() {
                Kind::Free => {
                    assert!(!prev_free, "block {at}: two free neighbours");
                    free_blocks += 1;
                    free += header.granules();
                    header.granules()
                }
                Kind::Raw => {
                    census.raw += header.granules();
                    census.spare += 1;
                    header.granules()
                }
                Kind::Item => {
                    let item = Item::load(shard, at);
                    census.items.insert(at, item.key().to_vec());
                    item.granules()
                }
            };
            assert!(size > 0);
            prev_free = header.kind() == Kind::Free;
            at += size;
        }
        assert_eq!(at, end, "the blocks do not end where the arena does");
        cursors += cursors_at(end);
        assert_eq!(cursors, CURSORS.all.len(), "a cursor stands inside a block");
        assert_eq!(Header(shard.word(end as usize * 4).load(Relaxed)).is_prev_free(), prev_free);
        assert_eq!(self.items().audit(), (free_blocks, free), "the free lists miss a block");
        census.free += free;
        self.index().audit();
        // Chunks of the index are raw blocks, too; a few of them are up to three granules larger than asked for.
        let chunks = shard.word(SHARD_INDEX).load(Relaxed) / shard.shared.geometry.chunk_granules();
        census.spare -= chunks as usize;
        let (counted, spare) = (shard.word(SHARD_ITEMS).load(Relaxed) as usize, census.spare);
        assert_eq!(counted, census.items.len() + spare, "the items are miscounted");
        census.reachable = reachable(shard);
        for (key, at) in &census.reachable {
            assert_eq!(census.items.get(at), Some(key), "the index reaches a block that is no item");
        }
        census
    }
}

/// What the index reaches; each key once, in its home.
fn reachable(shard: Shard<'_>) -> BTreeMap<std::vec::Vec<u8>, u32> {
    let mut found = BTreeMap::new();
    for bucket in 0..shard.born().load(Relaxed) {
        let word = shard.load(bucket);
        assert!(word.is_born());
        if word.len() == 0 {
            continue;
        }
        for at in Image::of(shard, word).items() {
            let key = Item::load(shard, at).key();
            let hash = shard.shared.hash(key);
            assert_eq!(hash.bucket(word.level()), bucket, "a key is in a foreign bucket");
            assert_eq!(shard.home(hash).bucket, bucket, "a key is not in its home");
            assert_eq!(found.insert(key.to_vec(), at), None, "a key is there twice");
        }
    }
    found
}

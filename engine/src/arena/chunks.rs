//! Chunks of the index: where they lie in main.
//!
//! ```text
//! | chunk, chunk, .. | clearing -> ....... items ....... | edge: chunk, chunk, .. |
//! ```
//! They can never move, and no item can lie across one. So while main fills they are taken from its high end downwards. In a full
//! cache room for one has to be made of items that lie side by side, and the one place from which blocks can be walked without
//! knowing any of them is the low end: from there on it is cleared (`evict/clear.rs`). Between the two main stays in one piece. Where a
//! write cannot go on without a chunk, and nobody lets what was cleared be used, any hole has to do.

use super::Locked;
use super::block::{BLOCK_GRANULES_MIN, Kind, PREV_FREE};
use crate::config::{
    SHARD_CLEARED_AT, SHARD_CLEARED_FROM, SHARD_CLEARING, SHARD_EDGE, SHARD_INDEX, offset_of,
};
use crate::index::IMAGE_GRANULES_MAX;
use crate::reclaim::GRACE;
use crate::sync::{Relaxed, Release};

/// Epochs after which what was cleared should have come back.
const PATIENCE: u32 = 8 * GRACE as u32;

impl Locked<'_> {
    /// No chunks.
    pub(super) fn format_chunks(&self) {
        let (first, end) = (self.shard.first_block(), self.shard.shared.geometry.arena_end);
        let set = |word, value| self.shard.word(word).store(value, Relaxed);
        set(SHARD_INDEX, 0);
        set(SHARD_EDGE, end);
        set(SHARD_CLEARING, first);
        set(SHARD_CLEARED_FROM, first);
        self.end_clearing();
    }

    /// A hole for a chunk in front of those at the high end, or in what was cleared for it.
    fn chunk_hole(&self) -> Option<Hole> {
        let (items, granules) = (self.items(), self.shard.shared.geometry.chunk_granules());
        let edge = self.shard.word(SHARD_EDGE).load(Relaxed);
        if let Some((at, size)) = items.hole_before(edge).filter(|&(_, size)| size >= granules) {
            return Some(Hole { at, size, high: true });
        }
        let clearing = self.shard.word(SHARD_CLEARING).load(Relaxed);
        let header = items.header(clearing);
        let here = (header.kind() == Kind::Free).then(|| (clearing, header.granules()));
        let fits = |hole: &(u32, u32)| hole.1 >= granules;
        let (at, size) = here.filter(fits).or_else(|| items.hole_before(clearing).filter(fits))?;
        Some(Hole { at, size, high: false })
    }

    /// Whether a hole has a part of what is being cleared, and should not become something else before it is a chunk.
    #[inline(always)]
    pub(super) fn is_set_aside(&self, at: u32, granules: u32) -> bool {
        let get = |word| self.shard.word(word).load(Relaxed);
        at < get(SHARD_CLEARING) && at + granules > get(SHARD_CLEARED_FROM) && self.is_clearing()
    }

    /// The next larger hole than one that is set aside.
    #[cold]
    pub(super) fn find_beside(&self, size: u32) -> Option<(u32, u32)> {
        self.items().find(size + 1).filter(|&(hole, size)| !self.is_set_aside(hole, size))
    }

    /// Whether something was cleared lately that may still be on its way.
    #[cold]
    pub(crate) fn is_clearing(&self) -> bool {
        self.epoch().wrapping_sub(self.shard.word(SHARD_CLEARED_AT).load(Relaxed)) <= PATIENCE
    }

    /// From now on something is.
    pub(crate) fn set_aside(&self) {
        self.shard.word(SHARD_CLEARED_AT).store(self.epoch(), Relaxed);
    }

    /// No more.
    fn end_clearing(&self) {
        self.shard.word(SHARD_CLEARED_AT).store(self.epoch().wrapping_sub(PATIENCE + 1), Relaxed);
    }

    fn epoch(&self) -> u32 {
        self.shard.shared.epoch().load(Relaxed) as u32
    }

    /// A raw block for a chunk, and its size; `anywhere`: in whatever hole.
    fn allocate_chunk(&self, anywhere: bool) -> Option<(u32, u32)> {
        let (items, granules) = (self.items(), self.shard.shared.geometry.chunk_granules());
        let (chunk, size) = match self.chunk_hole() {
            Some(Hole { at, size, high: true }) => {
                let (chunk, size) = items.allocate_high(at, size, granules);
                self.shard.word(SHARD_EDGE).store(chunk, Relaxed);
                (chunk, size)
            }
            Some(Hole { at, size, high: false }) => {
                let (chunk, size) = items.allocate_at(at, size, granules);
                self.shard.word(SHARD_CLEARED_FROM).store(chunk + size, Relaxed);
                self.end_clearing();
                (chunk, size)
            }
            None if anywhere => items.allocate(granules)?,
            None => return None,
        };
        let index = self.shard.word(SHARD_INDEX);
        index.store(index.load(Relaxed) + size, Relaxed);
        Some((chunk, size))
    }

    /// Adds a chunk to the memory for images. False: there is no room for it now.
    pub(crate) fn add_chunk(&self, anywhere: bool) -> bool {
        let Some((chunk, size)) = self.allocate_chunk(anywhere) else { return false };
        // The chunk's own header stays; behind the usable part stands a sentinel.
        let (first, end) = (chunk + 1, chunk + size - 1);
        self.index().insert(first, end - first);
        self.put_sentinel(end, PREV_FREE);
        true
    }

    /// Memory for an image; takes another chunk from the arena if need be and possible.
    pub(crate) fn allocate_image(&self, granules: u32) -> Option<u32> {
        let got = self.index().allocate(granules).or_else(|| {
            self.add_chunk(false);
            self.index().allocate(granules)
        });
        got.map(|(at, _)| at)
    }

    /// Whether the index has so many granules in one piece. In crumbs it may have more, into which few images fit.
    pub(crate) fn has_for_images(&self, granules: u32) -> bool {
        granules == 0 || self.index().find(granules).is_some()
    }

    pub(crate) fn release_image(&self, at: u32) {
        let granules = self.shard.block_granules(at);
        self.index().release(at, granules);
    }

    /// Makes the directory reach this bucket. False: there is no room for another chunk now.
    pub(crate) fn ensure_directory(&self, bucket: u64, anywhere: bool) -> bool {
        let table = self.shard.table_word(bucket);
        if table.load(Relaxed) == 0 {
            let Some((chunk, _)) = self.allocate_chunk(anywhere) else { return false };
            // Aligned to eight bytes.
            let first = (chunk + 1).next_multiple_of(2);
            self.shard.part.zero(offset_of(first), 8 << self.shard.shared.geometry.chunk_shift);
            // Release: the zeroed words. Pairs with the Acquire in `Shard::directory_at`.
            table.store(first, Release);
        }
        true
    }

    /// Whether a bucket can be split without running out of memory for its two images.
    pub(crate) fn can_split(&self) -> bool {
        // Two of the largest images, whatever the fragmentation.
        let ample = 16 * IMAGE_GRANULES_MAX;
        self.index().free_granules() >= ample
            || self.chunk_hole().is_some()
            || self.index().largest() >= 2 * IMAGE_GRANULES_MAX + BLOCK_GRANULES_MIN
    }
}

/// A free block that is large enough, and whether its high end is to be taken.
#[derive(Clone, Copy, Debug)]
struct Hole {
    at: u32,
    size: u32,
    high: bool,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::arena::block::Header;
    use crate::item::Item;
    use crate::random::Random;
    use crate::{Cache, Config, Millis};
    use std::vec;

    #[test]
    fn chunks_lie_at_the_ends_of_main() {
        for (handles, sizes) in [(1, [8000, 60]), (2, [2000, 100])] {
            let mut region = vec![0; 1 << 20];
            let config = Config { shards: 1, handles_max: 2, seed: [1, 2, 3, 4], ..Config::default() };
            let cache = Cache::in_filled(&mut region, config).expect("large enough");
            let mut handles: vec::Vec<_> =
                (0..handles).map(|_| cache.handle().expect("one of two")).collect();
            let (mut random, now, value) = (Random(7), Millis(0), [1; 8000]);
            for size in sizes {
                for step in 0..(6 << 20) / size {
                    let (key, len) = (random.below(1 << 40).to_le_bytes(), random.below(size) as usize);
                    let number = step as usize / 4 % handles.len();
                    while handles[number].put(now, &key, &value[..len]).is_err() {
                        for handle in &mut *handles {
                            handle.quiescent(now);
                        }
                    }
                    if step % 4 == 3 {
                        handles[number].quiescent(now);
                    }
                }
            }
            let shard = cache.shared.shard(0);
            let locked = shard.try_lock().expect("nobody has it");
            locked.verify();
            let get = |word| shard.word(word).load(Relaxed);
            let half = shard.first_block().midpoint(cache.shared.geometry.arena_end);
            let (chunk, mut index, mut apart) = (cache.shared.geometry.chunk_granules(), 0, 0);
            let mut at = shard.first_block();
            while at < cache.shared.geometry.arena_end {
                let header = Header(get(offset_of(at)));
                let size = match header.kind() {
                    Kind::Item => Item::load(shard, at).granules(),
                    Kind::Free | Kind::Raw => header.granules(),
                };
                if header.kind() == Kind::Raw && (chunk..chunk + BLOCK_GRANULES_MIN).contains(&size) {
                    index += size;
                    apart += u32::from(at >= half && at < get(SHARD_EDGE));
                }
                at += size;
            }
            assert_eq!(index, get(SHARD_INDEX));
            assert!(index > 40 * chunk, "it grew to {} chunks", index / chunk);
            // A write that could not wait until the other handle was quiescent may have taken what there was.
            assert!(apart <= 1, "{apart} chunks lie elsewhere");
        }
    }
}

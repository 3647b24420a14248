//! The arena of a shard: blocks for items, and chunks of it for the index.
//!
//! Only allocation and release take the shard's lock, and only to try: a thread that was descheduled inside the
//! allocator makes others answer `Pressure`, never wait. Lookups do not come here, and changes of the index only
//! where they need an image and the handle has none to spare.
//!
//! The index takes its memory from the same arena, chunk by chunk (`chunks.rs`), and divides the chunks by free lists of its own. So
//! images, which cannot be moved, do not lie scattered among items.

pub(crate) mod arena_ref;
pub(crate) mod block;
mod chunks;
pub(crate) mod free_list;
pub(crate) mod spare;
#[cfg(all(test, not(loom)))]
mod verify;

use crate::config::{
    GRANULE, SHARD_ABANDONED, SHARD_CLEARING, SHARD_FREE, SHARD_HAND, SHARD_INDEX_FREE, SHARD_ITEMS,
    SHARD_LOCK, SHARD_SWEEP, offset_of,
};
use crate::evict::ghost::Ghost;
use crate::evict::nursery::Nursery;
use crate::item::Item;
use crate::shared::{KeyHash, Shard};
use crate::sync::{Acquire, Relaxed, Release, fault, spin, unless};
use block::{BLOCK_GRANULES_MIN, Header, Kind, PREV_FREE};
use free_list::{Cursors, FreeLists};

/// How often a busy lock is tried again before the caller is told.
const TRIES: usize = if cfg!(all(test, loom)) { 1 } else { 200 };

/// Marks an image in the list of abandoned blocks: granules have fewer bits.
const ABANDONED_IMAGE: u32 = 1 << 31;

/// Words of a shard that name a block.
const CURSORS: Cursors =
    Cursors { hands: &[SHARD_HAND, SHARD_SWEEP], all: &[SHARD_HAND, SHARD_SWEEP, SHARD_CLEARING] };

/// Why there is no block at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoBlock {
    /// Nothing fits in main.
    Full,
    /// Nothing fits in the nursery.
    NurseryFull,
    /// Another thread is inside the allocator of this shard, and perhaps not running.
    Busy,
}

/// A shard whose lock is held; unlocks when dropped.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    pub(crate) shard: Shard<'a>,
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `try_lock`.
        self.shard.word(SHARD_LOCK).store(0, unless("unlock_relaxed", Release));
    }
}

impl<'a> Shard<'a> {
    /// The lock, or none if it stays busy for some hundred loads.
    #[inline]
    pub(crate) fn try_lock(self) -> Option<Locked<'a>> {
        let lock = self.word(SHARD_LOCK);
        for _ in 0..TRIES {
            if lock.load(Relaxed) == 0 {
                if fault("lock_store") {
                    lock.store(1, Relaxed);
                    return Some(Locked { shard: self });
                }
                // Acquire: what the last holder wrote. Pairs with the Release in `drop`.
                if lock.compare_exchange(0, 1, unless("lock_acquire_relaxed", Acquire), Relaxed).is_ok() {
                    return Some(Locked { shard: self });
                }
            }
            spin();
        }
        None
    }

    /// Leaves a private block, of an image or of main, to whoever makes room next: for those who cannot wait for the lock. The link
    /// stands in its last granule, which is nobody's: if the block is an item already, the hand may look at its header and key.
    pub(crate) fn abandon(self, at: u32, image: bool) {
        let entry = if image { at | ABANDONED_IMAGE } else { at };
        let link = self.word(offset_of(at + self.block_granules(at) - 1));
        let head = self.word(SHARD_ABANDONED);
        let mut next = head.load(Relaxed);
        loop {
            link.store(next, Relaxed);
            if fault("abandon_store") {
                return head.store(entry, Release);
            }
            // Release: the block with its link. Pairs with the Acquire in `release_abandoned`.
            match head.compare_exchange(next, entry, unless("abandon_relaxed", Release), Relaxed) {
                Ok(_) => return,
                Err(now) => next = now,
            }
        }
    }

    /// Size of a block in use. The caller knows that the block is not freed meanwhile.
    #[inline(always)]
    pub(crate) fn block_granules(self, at: u32) -> u32 {
        let header = Header(self.part.word32(offset_of(at)).load(Relaxed));
        match header.kind() {
            Kind::Item => Item::at(self, at, header).granules(),
            Kind::Free | Kind::Raw => header.granules(),
        }
    }

    /// Whether a block lies in the nursery: those are not given back one by one.
    #[inline(always)]
    pub(crate) fn in_nursery(self, at: u32) -> bool {
        at < self.first_block()
    }

    /// Where main begins.
    #[inline(always)]
    pub(crate) fn first_block(self) -> u32 {
        self.shared.geometry.first_block
    }
}

impl<'a> Locked<'a> {
    /// Makes the arena one free block. Only before the cache is shared.
    pub(crate) fn format(&self) {
        let geometry = &self.shard.shared.geometry;
        let (first, end) = (self.shard.first_block(), geometry.arena_end);
        self.index().clear();
        self.items().clear();
        self.shard.word(SHARD_ITEMS).store(0, Relaxed);
        self.shard.word(SHARD_ABANDONED).store(0, Relaxed);
        self.shard.word(SHARD_HAND).store(first, Relaxed);
        self.shard.word(SHARD_SWEEP).store(first, Relaxed);
        self.format_chunks();
        self.items().insert(first, end - first);
        self.put_sentinel(end, PREV_FREE);
        Nursery::of(self.shard).format();
        Ghost::of(self.shard).format();
    }

    /// A block that is never free ends the walk to the next one.
    fn put_sentinel(&self, at: u32, bits: u32) {
        self.shard.part.word32(offset_of(at)).store(Header::raw(1).0 | bits, Relaxed);
    }

    #[inline]
    pub(crate) fn items(&self) -> FreeLists<'a> {
        let shared = self.shard.shared;
        let geometry = &shared.geometry;
        let (lists, bytes) = (geometry.item_lists_at, geometry.shard_stride);
        FreeLists::new(self.shard.part, lists, bytes, SHARD_FREE, &CURSORS)
    }

    #[inline]
    fn index(&self) -> FreeLists<'a> {
        let shared = self.shard.shared;
        let geometry = &shared.geometry;
        let bytes = geometry.chunk_granules() as usize * GRANULE;
        FreeLists::new(self.shard.part, geometry.index_lists_at, bytes, SHARD_INDEX_FREE, &Cursors::NONE)
    }

    /// A raw block for an item: where, and how many granules it really has.
    #[inline]
    pub(crate) fn allocate(&self, granules: u32) -> Option<(u32, u32)> {
        let (items, granules) = (self.items(), granules.max(BLOCK_GRANULES_MIN));
        let (mut hole, mut size) = items.find(granules)?;
        if self.is_set_aside(hole, size) {
            (hole, size) = self.find_beside(size)?;
        }
        self.count_items(1);
        Some(items.allocate_at(hole, size, granules))
    }

    /// A raw block for a newcomer: in the nursery, or in main if it is too large, or remembered by its hash.
    pub(crate) fn allocate_newcomer(
        &self,
        granules: u32,
        hash: Option<KeyHash>,
    ) -> Result<(u32, u32), NoBlock> {
        let nursery = Nursery::of(self.shard);
        if !nursery.fits(granules) {
            return self.allocate(granules).ok_or(NoBlock::Full);
        }
        let ghost = Ghost::of(self.shard);
        if let Some(hash) = hash
            && ghost.take(hash)
        {
            return self.allocate(granules).ok_or_else(|| {
                // It is remembered until there is room for it.
                ghost.put(hash);
                NoBlock::Full
            });
        }
        let at = nursery.allocate(granules).or_else(|| {
            nursery.reclaim(self.shard.shared.epoch().load(Acquire));
            nursery.allocate(granules)
        });
        let Some(at) = at else { return Err(NoBlock::NurseryFull) };
        self.count_items(1);
        Ok((at, granules.max(BLOCK_GRANULES_MIN)))
    }

    /// The oldest block of the nursery, of this size, has left; `item` if it was one.
    pub(crate) fn leave_nursery(&self, granules: u32, item: bool) {
        // Acquire: not older than the announcement of anybody whose unlinking we have seen.
        Nursery::of(self.shard).leave(granules, self.shard.shared.epoch().load(Acquire));
        self.count_items(-i32::from(item));
    }

    /// Gives the block of an item back. Its grace period is over, or nobody ever saw it.
    #[inline]
    pub(crate) fn release(&self, at: u32) {
        let granules = self.shard.block_granules(at);
        self.items().release(at, granules);
        self.count_items(-1);
    }

    /// Gives back the blocks that others could not.
    pub(crate) fn release_abandoned(&self) {
        let head = self.shard.word(SHARD_ABANDONED);
        let mut entry = head.load(Relaxed);
        while entry != 0 {
            if fault("release_abandoned_store") {
                head.store(0, Relaxed);
                break;
            }
            // Acquire: the blocks with their links. Pairs with the Release in `abandon`; between that and this there are
            // only read-modify-writes, which carry on what the first of them released.
            match head.compare_exchange(entry, 0, unless("release_abandoned_relaxed", Acquire), Relaxed) {
                Ok(_) => break,
                Err(now) => entry = now,
            }
        }
        while entry != 0 {
            let at = entry & !ABANDONED_IMAGE;
            let next = self.shard.word(offset_of(at + self.shard.block_granules(at) - 1)).load(Relaxed);
            if at == entry {
                self.release(at);
            } else {
                self.release_image(at);
            }
            entry = next;
        }
    }

    /// Whether a 64th of main or more is free, but nowhere so many granules in a row.
    pub(crate) fn is_crumbled(&self, granules: u32) -> bool {
        let free = self.shard.free_word().load(Relaxed);
        4 * u64::from(free) >= u64::from(self.shard.shared.geometry.plenty)
            && self.items().find(granules).is_none()
    }

    /// The free block just before this one, and its size.
    pub(crate) fn hole_before(&self, at: u32) -> Option<(u32, u32)> {
        self.items().hole_before(at)
    }

    /// A raw block at the low end of a free block of `size` granules.
    pub(crate) fn allocate_at(&self, hole: u32, size: u32, granules: u32) -> (u32, u32) {
        self.count_items(1);
        self.items().allocate_at(hole, size, granules)
    }

    /// Turns the block of an item, whose grace period is over, into a raw one that the hand leaves alone.
    #[inline]
    pub(crate) fn set_raw(&self, at: u32, raw: Header) {
        // No reader is left, and the neighbour bit changes only under the lock that we hold.
        let word = self.shard.part.word32(offset_of(at));
        word.store(raw.0 | word.load(Relaxed) & PREV_FREE, Relaxed);
    }

    fn count_items(&self, change: i32) {
        let items = self.shard.word(SHARD_ITEMS);
        items.store(items.load(Relaxed).wrapping_add_signed(change), Relaxed);
    }
}

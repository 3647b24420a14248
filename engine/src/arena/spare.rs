//! Blocks that a handle keeps for its next writes, by exact size: an overwrite of the usual size takes the block that an
//! earlier one gave up, and a new key the image, without the shard's lock and without taking the free lists apart.
//!
//! Their grace period is over, and items' blocks are raw, so the hand passes them by. What a handle keeps is bounded, and given back
//! before it is ever told that there is no room, unless it is pinned; other handles give back what they keep when they are next
//! quiescent (`Shared::call_spares_back`). Where they are is noted in the handle, so that their own memory, which may
//! be cold, is not touched before it is filled.

use crate::config::GRANULE;
use crate::reclaim::limbo;
use crate::shared::{Shard, Shared};

/// For items: two batches of overwrites of each size.
pub(crate) type ItemSpares = Spares<32, 64, 1>;

/// For images, whose sizes are those of buckets, more or less full: what a batch of new keys needs of each.
pub(crate) type ImageSpares = Spares<{ 16 * SHARDS_APART as usize }, 16, 16>;

/// Of so many shards images have slots of their own.
pub(crate) const SHARDS_APART: u32 = 8;

/// Whose blocks a slot holds, and how many.
#[derive(Clone, Copy, Debug)]
struct Slot {
    kind: Kind,
    count: u32,
}

/// A shard and a size, to be compared at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Kind(u32);

impl Kind {
    #[inline(always)]
    fn of(shard: usize, granules: u32) -> Self {
        debug_assert!(granules < 1 << 16);
        Self((shard as u32) << 16 | granules)
    }

    fn shard(self) -> u32 {
        self.0 >> 16
    }
}

/// At most `COUNT` of each of the sizes that have a slot; those of the next shard lie `STRIDE` slots further on.
#[derive(Debug)]
pub(crate) struct Spares<const SLOTS: usize, const COUNT: usize, const STRIDE: usize> {
    slots: [Slot; SLOTS],
    /// Those of each slot. Apart, so that finding them needs no multiplication.
    blocks: [[u32; COUNT]; SLOTS],
    /// Granules in all of them, and the most that there may be.
    granules: u32,
    granules_max: u32,
}

/// Larger blocks are rare, and worth coalescing. Those that are kept have their size in limbo.
pub(crate) const GRANULES_MAX: u32 = limbo::GRANULES_MAX;

/// An item whose key and value are longer finds no block here.
pub(crate) const LEN_MAX: usize = GRANULES_MAX as usize * GRANULE;

impl<const SLOTS: usize, const COUNT: usize, const STRIDE: usize> Spares<SLOTS, COUNT, STRIDE> {
    #[inline(always)]
    fn slot_of(shard: usize, granules: u32) -> usize {
        (granules as usize).wrapping_add(shard * STRIDE) % SLOTS
    }

    pub(crate) fn new() -> Self {
        Self {
            slots: [Slot { kind: Kind(0), count: 0 }; SLOTS],
            blocks: [[0; COUNT]; SLOTS],
            granules: 0,
            granules_max: 0,
        }
    }

    /// So many granules are kept from now on.
    pub(crate) fn keep_at_most(&mut self, granules: u32) {
        self.granules_max = granules;
    }

    /// Where raw blocks of this size can be noted: [`keep`](Self::keep) counts those that were.
    #[inline(always)]
    pub(crate) fn places(&mut self, shard: Shard<'_>, granules: u32) -> &mut [u32] {
        let left = self.granules_max.saturating_sub(self.granules);
        if granules > GRANULES_MAX || granules > left {
            return &mut [];
        }
        let shard = shard.number();
        let (number, kind) = (Self::slot_of(shard, granules), Kind::of(shard, granules));
        let slot = &mut self.slots[number];
        if slot.count == 0 {
            slot.kind = kind;
        } else if slot.kind != kind {
            return &mut [];
        }
        let count = (COUNT as u32 - slot.count).min(left / granules);
        &mut self.blocks[number][slot.count as usize..][..count as usize]
    }

    /// Keeps the blocks that were noted in the first `count` of the places for this size.
    #[inline(always)]
    pub(crate) fn keep(&mut self, shard: Shard<'_>, granules: u32, count: usize) {
        self.slots[Self::slot_of(shard.number(), granules)].count += count as u32;
        self.granules += granules * count as u32;
    }

    /// A raw block of exactly this size, which is below 2^16.
    #[inline(always)]
    pub(crate) fn pop(&mut self, shard: Shard<'_>, granules: u32) -> Option<u32> {
        let shard = shard.number();
        let number = Self::slot_of(shard, granules);
        let slot = &mut self.slots[number];
        if slot.kind != Kind::of(shard, granules) {
            return None;
        }
        let last = slot.count.checked_sub(1)? as usize % COUNT;
        let at = self.blocks[number][last];
        slot.count = last as u32;
        self.granules -= granules;
        Some(at)
    }

    /// Gives all of them, images or items' blocks, back to their shards, under one lock for each kind; where somebody else has that,
    /// leaves them to whoever makes room there next. Answers how many granules they were.
    pub(crate) fn give_back(&mut self, shared: &Shared, image: bool) -> u32 {
        for (slot, blocks) in self.slots.iter_mut().zip(&self.blocks).filter(|(slot, _)| slot.count > 0) {
            let shard = shared.shard(slot.kind.shard());
            let locked = shard.try_lock();
            for &at in &blocks[..core::mem::take(&mut slot.count) as usize] {
                match &locked {
                    Some(locked) if image => locked.release_image(at),
                    Some(locked) => locked.release(at),
                    None => shard.abandon(at, image),
                }
            }
        }
        core::mem::take(&mut self.granules)
    }
}

//! Blocks that a handle keeps for its next writes, by exact size: an overwrite of the usual size takes the block that an
//! earlier one gave up, without the shard's lock and without taking the free lists apart.
//!
//! Their grace period is over, and they are raw, so the hand passes them by. What a handle keeps is bounded, and given back
//! before it is ever told that there is no room. Blocks of one size and shard are linked through their second word.

use crate::config::GRANULE;
use crate::shared::Shard;
use crate::sync::{AtomicU32, Relaxed};

const SLOTS: usize = 64;

/// Larger blocks are rare, and worth coalescing.
const GRANULES_MAX: u32 = 256;

/// Most blocks of one size: a few batches of overwrites.
const COUNT_MAX: u32 = 128;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    shard: u32,
    granules: u32,
    /// The first block; 0 if there is none.
    head: u32,
    count: u32,
}

#[derive(Debug)]
pub(crate) struct Spares {
    slots: [Slot; SLOTS],
    /// Granules in all of them, and the most that there may be.
    granules: u32,
    granules_max: u32,
}

fn slot_of(shard: u32, granules: u32) -> usize {
    (granules ^ shard << 4) as usize % SLOTS
}

fn link(shard: Shard<'_>, at: u32) -> &AtomicU32 {
    shard.shared.region.word32(shard.at(at) + GRANULE)
}

impl Spares {
    pub(crate) fn new(granules_max: u32) -> Self {
        Self { slots: [Slot::default(); SLOTS], granules: 0, granules_max }
    }

    /// Keeps a raw block. False: it is not wanted.
    #[inline]
    pub(crate) fn push(&mut self, shard: Shard<'_>, at: u32, granules: u32) -> bool {
        if granules > GRANULES_MAX || self.granules + granules > self.granules_max {
            return false;
        }
        let slot = &mut self.slots[slot_of(shard.number, granules)];
        if slot.head == 0 {
            *slot = Slot { shard: shard.number, granules, head: 0, count: 0 };
        } else if slot.shard != shard.number || slot.granules != granules || slot.count == COUNT_MAX {
            return false;
        }
        link(shard, at).store(slot.head, Relaxed);
        (slot.head, slot.count) = (at, slot.count + 1);
        self.granules += granules;
        true
    }

    /// A raw block of exactly this size.
    #[inline]
    pub(crate) fn pop(&mut self, shard: Shard<'_>, granules: u32) -> Option<u32> {
        let slot = &mut self.slots[slot_of(shard.number, granules)];
        if slot.head == 0 || slot.shard != shard.number || slot.granules != granules {
            return None;
        }
        let at = slot.head;
        (slot.head, slot.count) = (link(shard, at).load(Relaxed), slot.count - 1);
        self.granules -= granules;
        Some(at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.granules == 0
    }

    /// The shard and size of some block that is kept.
    pub(crate) fn any(&self) -> Option<(u32, u32)> {
        self.slots.iter().find(|slot| slot.head != 0).map(|slot| (slot.shard, slot.granules))
    }
}

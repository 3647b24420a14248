//! The nursery: a ring at the low end of a shard in which newcomers prove themselves while main is full.
//!
//! ```text
//! | free ......... | left, waiting for a grace period | oldest ... items, fillers ... newest |
//! head ->           tail - pending: reclaim ->          tail ->                        head ->
//! ```
//! Blocks are taken at the head and leave at the tail, in order (`evict/mod.rs` decides who goes where). A block that was
//! overwritten or deleted stays where it is until the tail comes by. What the tail has passed may be used again once
//! three epochs have gone by (`reclaim`): the tail's progress is kept per epoch, in four slots, since at most four epochs
//! can be waiting at a time.
//!
//! A filler (a block with a free header, in no list) ends the ring where the next block does not fit any more.
//! Changes happen under the shard's lock; `age` and statistics read without it, and may be a little off.

use crate::arena::block::{BLOCK_GRANULES_MIN, Header, Kind};
use crate::config::{GRANULE, SHARD_NURSERY};
use crate::item::Item;
use crate::reclaim::GRACE;
use crate::shared::Shard;
use crate::sync::{AtomicU32, Relaxed, fault};

/// Words of the ring's state, from `SHARD_NURSERY` on.
const HEAD: usize = SHARD_NURSERY;
const TAIL: usize = SHARD_NURSERY + 4;
/// Granules from the tail to the head.
const USED: usize = SHARD_NURSERY + 8;
/// Granules that the tail has passed and that wait.
const PENDING: usize = SHARD_NURSERY + 12;
/// Four slots: low half of an epoch, and the granules passed in it.
const SLOTS: usize = SHARD_NURSERY + 16;

/// What the tail meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Oldest<'a> {
    /// A block that its writer has not put into the index yet, and may still put there.
    Unsettled,
    /// The end of the ring, of so many granules.
    Filler(u32),
    /// An item, in the index or dead.
    Item(Item<'a>),
}

/// The ring of a shard whose lock is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nursery<'a> {
    shard: Shard<'a>,
    first: u32,
    len: u32,
}

impl<'a> Nursery<'a> {
    pub(crate) fn of(shard: Shard<'a>) -> Self {
        let geometry = &shard.shared.geometry;
        let first = (geometry.nursery_at / GRANULE) as u32;
        Self { shard, first, len: shard.first_block() - first }
    }

    /// Empties the ring. Only before the cache is shared.
    pub(crate) fn format(&self) {
        (0..12).for_each(|i| self.shard.word(SHARD_NURSERY + i * 4).store(0, Relaxed));
    }

    fn word(&self, at: usize) -> &'a AtomicU32 {
        self.shard.word(at)
    }

    fn get(&self, at: usize) -> u32 {
        self.word(at).load(Relaxed)
    }

    fn set(&self, at: usize, value: u32) {
        self.word(at).store(value, Relaxed);
    }

    /// Granules that can be taken at once, apart from the filler that the end of the ring may need.
    pub(crate) fn free(&self) -> u32 {
        // Saturating for those who look without the lock.
        self.len.saturating_sub(self.get(USED)).saturating_sub(self.get(PENDING))
    }

    pub(crate) fn used(&self) -> u32 {
        self.get(USED)
    }

    pub(crate) fn waiting(&self) -> u32 {
        self.get(PENDING)
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Whether a block of so many granules can ever be here.
    pub(crate) fn fits(&self, granules: u32) -> bool {
        granules <= self.len
    }

    /// A raw block at the head.
    pub(crate) fn allocate(&self, granules: u32) -> Option<u32> {
        let granules = granules.max(BLOCK_GRANULES_MIN);
        if self.free() == self.len {
            // Empty: begin at the start, so that even the largest block fits.
            self.set(HEAD, 0);
            self.set(TAIL, 0);
        }
        let (head, needed) = (self.get(HEAD), self.needed(granules));
        let filler = needed - granules;
        if self.free() < needed {
            return None;
        }
        let head = if filler > 0 {
            self.header(self.first + head).store(Header::free(filler).0, Relaxed);
            0
        } else {
            head
        };
        let at = self.first + head;
        self.header(at).store(Header::raw(granules).0, Relaxed);
        self.set(HEAD, if head + granules == self.len { 0 } else { head + granules });
        self.set(USED, self.get(USED) + needed);
        Some(at)
    }

    /// Granules that have to be free for a block of so many: with the filler, if it does not fit before the end of the ring.
    pub(crate) fn needed(&self, granules: u32) -> u32 {
        let rest = self.len - self.get(HEAD);
        if granules > rest { granules + rest } else { granules }
    }

    fn header(&self, at: u32) -> &'a AtomicU32 {
        self.shard.word(at as usize * GRANULE)
    }

    /// The oldest block; none if the ring is empty.
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.get(USED) > 0).then(|| self.first + self.get(TAIL))
    }

    /// The block behind this one, of so many granules.
    pub(crate) fn following(&self, at: u32, granules: u32) -> u32 {
        if at + granules == self.first + self.len { self.first } else { at + granules }
    }

    pub(crate) fn shard(&self) -> Shard<'a> {
        self.shard
    }

    /// What the block at the tail is.
    pub(crate) fn meet(shard: Shard<'a>, at: u32) -> Oldest<'a> {
        match Item::meet(shard, at) {
            Ok(item) if item.is_unsettled() => Oldest::Unsettled,
            Ok(item) => Oldest::Item(item),
            Err(header) if header.kind() == Kind::Free => Oldest::Filler(header.granules()),
            Err(_) => Oldest::Unsettled,
        }
    }

    /// The oldest block, of this size, has left at this epoch or before.
    pub(crate) fn leave(&self, granules: u32, epoch: u64) {
        let tail = self.get(TAIL) + granules;
        self.set(TAIL, if tail == self.len { 0 } else { tail });
        self.set(USED, self.get(USED) - granules);
        let slot = SLOTS + (epoch as usize & 3) * 8;
        if self.get(slot) != epoch as u32 {
            // A slot is used again four epochs later: what was in it is due.
            self.settle_slot(slot);
            self.set(slot, epoch as u32);
        }
        self.set(slot + 4, self.get(slot + 4) + granules);
        self.set(PENDING, self.get(PENDING) + granules);
    }

    /// Takes back what has waited long enough at this epoch.
    pub(crate) fn reclaim(&self, epoch: u64) {
        if self.get(PENDING) == 0 {
            return;
        }
        let grace = if fault("nursery_grace_two") { 2 } else { GRACE };
        for i in 0..4 {
            let slot = SLOTS + i * 8;
            if u64::from((epoch as u32).wrapping_sub(self.get(slot))) >= grace {
                self.settle_slot(slot);
            }
        }
    }

    fn settle_slot(&self, slot: usize) {
        self.set(PENDING, self.get(PENDING) - self.get(slot + 4));
        self.set(slot + 4, 0);
    }

    /// How far behind the newest block this one is, in granules: its age.
    #[inline(always)]
    pub(crate) fn age(shard: Shard<'_>, at: u32) -> u32 {
        let nursery = Nursery::of(shard);
        let (head, at) = (nursery.get(HEAD), at - nursery.first);
        if head > at { head - at } else { head + nursery.len - at }
    }

    /// Every block from the oldest to the newest, with its size.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn walk(&self, mut visit: impl FnMut(u32, u32)) {
        let (mut at, mut left) = (self.get(TAIL), self.get(USED));
        while left > 0 {
            let granules = self.shard.block_granules(self.first + at);
            assert!(granules > 0 && granules <= left && at + granules <= self.len, "the ring is broken");
            visit(self.first + at, granules);
            at = if at + granules == self.len { 0 } else { at + granules };
            left -= granules;
        }
        assert_eq!(at, self.get(HEAD));
        let waiting: u32 = (0..4).map(|i| self.get(SLOTS + i * 8 + 4)).sum();
        assert_eq!(waiting, self.get(PENDING));
        assert!(self.get(USED) + self.get(PENDING) <= self.len);
    }
}

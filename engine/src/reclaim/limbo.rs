//! Blocks that were taken out of the index and wait until nobody can still be reading them.
//!
//! ```text
//! ring in the handle's record | entry u64 | entry u64 | ...
//! entry   63..48 announcement, low bits | 47..40 shard | 39..32 size | 31 image | 29..0 granule
//! ```
//! The upper half is the same in a row of overwrites of one size: what is done with blocks that are due is found out once for
//! all that follow each other so.
//!
//! Oldest first: announcements never fall along the ring, but for what is due already, whose order does not matter. Only their low
//! 16 bits are kept. That is safe: an entry's age modulo 2^16 is at least the grace only if its age is, so at worst a block waits
//! three epochs longer than it must.

use super::{GRACE, fault};
use crate::config::{Config, RECORD_HEAD, RECORD_RING, RECORD_TAIL};
use crate::region::Part;
use crate::shared::Shared;
use crate::sync::{AtomicU32, AtomicU64, Relaxed};

/// A block that is out of the index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Block {
    pub(crate) shard: u32,
    /// Memory of the index; otherwise an item.
    pub(crate) image: bool,
    pub(crate) at: u32,
    /// Its size in granules if that is known and fits; 0: its header knows.
    pub(crate) granules: u32,
}

const _: () = assert!(Config::SHARDS_MAX <= 1 << u8::BITS, "an entry has a byte for the shard's number");
const SHARD_SHIFT: u32 = 40;
const GRANULES_SHIFT: u32 = 32;
/// The largest size that fits into an entry.
pub(crate) const GRANULES_MAX: u32 = (1 << (SHARD_SHIFT - GRANULES_SHIFT)) - 1;
const IMAGE_SHIFT: u32 = 31;
/// Granules have fewer bits than a word.
const AT: u32 = (1 << 30) - 1;

impl Block {
    #[inline(always)]
    fn entry(self, announcement: u64) -> u64 {
        debug_assert!(self.granules <= GRANULES_MAX && self.at <= AT);
        announcement << 48
            | u64::from(self.shard) << SHARD_SHIFT
            | u64::from(self.granules) << GRANULES_SHIFT
            | u64::from(self.image) << IMAGE_SHIFT
            | u64::from(self.at)
    }

    #[inline(always)]
    fn of(entry: u64) -> Self {
        Self {
            shard: (entry >> SHARD_SHIFT) as u32 & 0xff,
            image: entry >> IMAGE_SHIFT & 1 == 1,
            at: entry as u32 & AT,
            granules: (entry >> GRANULES_SHIFT) as u32 & GRANULES_MAX,
        }
    }
}

/// The ring of one handle. Only its owner touches it; the words are atomic so that an adopter sees them.
#[derive(Debug)]
pub(crate) struct Limbo<'c> {
    shared: &'c Shared,
    record: usize,
    ring: Part<'c>,
    /// Its length less one.
    mask: u32,
    /// Entries ever taken out, and ever put in.
    head: u32,
    tail: u32,
}

impl<'c> Limbo<'c> {
    /// The ring as its last owner left it.
    pub(crate) fn open(shared: &'c Shared, record: u32) -> Self {
        let record = shared.geometry.record_at(record);
        let load = |at| shared.root().word32(record + at).load(Relaxed);
        let ring = shared.part(record + RECORD_RING);
        let mask = shared.geometry.limbo_len - 1;
        Self { shared, record, ring, mask, head: load(RECORD_HEAD), tail: load(RECORD_TAIL) }
    }

    /// Leaves the ring to whoever takes the record next.
    pub(crate) fn save(&self) {
        self.word(RECORD_HEAD).store(self.head, Relaxed);
        self.word(RECORD_TAIL).store(self.tail, Relaxed);
    }

    fn word(&self, at: usize) -> &'c AtomicU32 {
        self.shared.root().word32(self.record + at)
    }

    #[inline(always)]
    fn entry(&self, i: u32) -> &'c AtomicU64 {
        entry(self.ring, self.mask, i)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// How many more blocks it takes.
    #[inline]
    pub(crate) fn room(&self) -> u32 {
        self.mask + 1 - self.tail.wrapping_sub(self.head)
    }

    #[inline]
    pub(crate) fn push(&mut self, block: Block, announcement: u64) {
        if self.room() == 0 {
            // Writers make sure of room before they begin. A block given up for good is better than one reused early.
            debug_assert!(false, "the limbo ring overflows");
            return;
        }
        let granules = if block.granules <= GRANULES_MAX { block.granules } else { 0 };
        self.push_alike(Block { granules, ..block }, announcement);
    }

    /// There is room, and its size fits into an entry.
    #[inline(always)]
    pub(crate) fn push_alike(&mut self, block: Block, announcement: u64) {
        debug_assert!(self.room() > 0);
        self.entry(self.tail).store(block.entry(announcement), Relaxed);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Puts those of the oldest entries that are due next to others of their shard, which are otherwise as scattered as the keys that
    /// were written: so a shard is locked once for all of them. Answers where the next ones begin.
    fn group(&mut self, epoch: u64) -> u32 {
        let group = |entry: u64| (entry >> SHARD_SHIFT) as usize % GROUPS;
        let (mut window, mut places) = ([0; WINDOW], [0_u8; GROUPS]);
        let mut len = 0;
        while len < WINDOW && self.head.wrapping_add(len as u32) != self.tail {
            let entry = self.entry(self.head.wrapping_add(len as u32)).load(Relaxed);
            if !is_due(entry, epoch) {
                break;
            }
            window[len] = entry;
            places[group(entry)] += 1;
            len += 1;
        }
        let mut first = 0;
        for place in &mut places {
            first += core::mem::replace(place, first);
        }
        for &entry in &window[..len] {
            let place = &mut places[group(entry)];
            self.entry(self.head.wrapping_add(u32::from(*place))).store(entry, Relaxed);
            *place += 1;
        }
        self.head.wrapping_add(len as u32)
    }

    /// Hands out what is due at `epoch`, for as long as `release` takes it.
    #[inline(always)]
    pub(crate) fn drain(&mut self, epoch: u64, mut release: impl FnMut(Due<'_, 'c>) -> bool) {
        let several = self.shared.geometry.shards > 1;
        let mut grouped = self.head;
        while self.head != self.tail {
            if several && self.head.wrapping_sub(grouped) <= self.mask {
                grouped = self.group(epoch);
            }
            let entry = self.entry(self.head).load(Relaxed);
            if !is_due(entry, epoch) {
                return;
            }
            let (ring, mask, next, end) = (self.ring, self.mask, self.head, self.tail);
            if !release(Due { head: &mut self.head, ring, mask, next, end, entry }) {
                return;
            }
        }
    }
}

#[inline(always)]
fn is_due(entry: u64, epoch: u64) -> bool {
    let grace = if fault("grace_two") { 2 } else { GRACE };
    // Age in epochs, modulo 2^16. An entry is never from the future.
    let age = (epoch as u16).wrapping_sub((entry >> 48) as u16);
    u64::from(age) >= grace || fault("free_at_once")
}

#[inline(always)]
fn entry(ring: Part<'_>, mask: u32, i: u32) -> &AtomicU64 {
    ring.word64((i & mask) as usize * 8)
}

/// So many entries are grouped at once.
const WINDOW: usize = 64;
/// Into so many groups; shards that are so many apart share one.
const GROUPS: usize = 16;

/// Blocks that are due and differ in nothing but their place. As an iterator it takes them out of limbo.
///
/// It has copies of what does not change meanwhile, which then need not be loaded again after each store into the region.
#[derive(Debug)]
pub(crate) struct Due<'l, 'c> {
    head: &'l mut u32,
    ring: Part<'c>,
    mask: u32,
    next: u32,
    end: u32,
    /// The first of them.
    entry: u64,
}

impl Drop for Due<'_, '_> {
    #[inline(always)]
    fn drop(&mut self) {
        *self.head = self.next;
    }
}

impl Due<'_, '_> {
    /// The first of them, which the others are like.
    #[inline(always)]
    pub(crate) fn first(&self) -> Block {
        Block::of(self.entry)
    }
}

impl Iterator for Due<'_, '_> {
    /// Where it lies.
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        if self.next == self.end {
            return None;
        }
        let entry = entry(self.ring, self.mask, self.next).load(Relaxed);
        if entry >> IMAGE_SHIFT != self.entry >> IMAGE_SHIFT {
            return None;
        }
        self.next = self.next.wrapping_add(1);
        Some(entry as u32 & AT)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeSet;
    use std::vec;

    use super::*;
    use crate::{Cache, Config};

    /// Whoever is asked to take more than it can leaves the rest where it is.
    #[test]
    fn what_is_due_comes_by_shards_and_only_that() {
        const DUE: u32 = 100;
        const SHARDS: u32 = 8;

        let mut region = vec![0; 8 << 20];
        let config = Config { shards: SHARDS, seed: [1, 2, 3, 4], ..Config::default() };
        let cache = Cache::in_filled(&mut region, config).expect("it opens");
        let mut limbo = Limbo::open(&cache.shared, 0);
        let block = |at: u32| Block { shard: at * 5 % SHARDS, image: at.is_multiple_of(7), at, granules: 4 };
        assert!(limbo.room() > DUE + 20);
        for at in 0..DUE + 20 {
            limbo.push(block(at), if at < DUE { 7 } else { 8 });
        }
        let (mut taken, mut runs, mut last) = (BTreeSet::new(), 0, None);
        for tries in [3, usize::MAX] {
            let mut left = tries;
            limbo.drain(7 + GRACE, |mut due| {
                let first = due.first();
                runs += usize::from(last.replace(first.shard) != Some(first.shard));
                for at in due.by_ref() {
                    assert_eq!(Block { at, ..first }, block(at));
                    assert!(taken.insert(at), "{at} came twice");
                }
                left -= 1;
                left > 0
            });
            assert!(tries == usize::MAX || taken.len() < DUE as usize, "it went on");
        }
        assert_eq!(taken, (0..DUE).collect());
        assert_eq!(limbo.room(), limbo.mask + 1 - 20);
        // Each drain and each window begins anew.
        assert!(runs <= 4 * SHARDS as usize, "{runs} runs of one shard");
    }
}

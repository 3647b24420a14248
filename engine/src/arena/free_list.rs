//! Two-level segregated free lists (TLSF: Masmano, Ripoll, Crespo, Real, ECRTS 2004): allocate and free in constant
//! time, by a good fit.
//!
//! ```text
//! lists   | summary u32 | bitmap u32 per level | head u32 per class, 32 classes a level |
//! free    | header | next | prev | ... | size |          links are granules in the shard, 0 = none
//! ```
//! Level 0 has one class for each size below 32 granules; each further level divides one power of two into 32. Freed
//! neighbours coalesce at once. Everything here happens under the shard's lock, so all words are loaded and stored
//! Relaxed; only headers are shared with readers, and `PREV_FREE` of a block in use is set and cleared by
//! read-modify-write, since a reader may count a use at the same time.

use super::block::{BLOCK_GRANULES_MIN, FREE, Header, Kind, PREV_FREE};
use crate::config::GRANULE;
use crate::region::Part;
use crate::sync::{AtomicU32, Relaxed};

const CLASSES: u32 = 32;

/// Levels that a space of this many bytes needs.
const fn levels(bytes: usize) -> u32 {
    let granules = bytes / GRANULE;
    if granules < CLASSES as usize { 1 } else { granules.ilog2() - 3 }
}

/// Bytes that the lists of a space of this many bytes need.
pub(crate) const fn lists_bytes(bytes: usize) -> usize {
    GRANULE * (1 + levels(bytes) as usize * (1 + CLASSES as usize))
}

/// Level and class of blocks of this size.
fn class_of(granules: u32) -> (u32, u32) {
    if granules < CLASSES {
        return (0, granules);
    }
    let log = granules.ilog2();
    (log - 4, granules >> (log - 5) & (CLASSES - 1))
}

/// The first class all of whose blocks have at least this size.
fn class_above(granules: u32) -> (u32, u32) {
    if granules < CLASSES {
        return (0, granules);
    }
    class_of(granules + (1 << (granules.ilog2() - 5)) - 1)
}

/// How many blocks of the class just below are looked at before a larger class is taken: a good fit wastes less.
const PEEK: usize = 4;

/// How many blocks of the highest class are looked at for the largest one: there may be any number.
const LARGEST_PEEK: usize = 64;

/// The free blocks of one space (items, or the index) of one shard. Only made under the shard's lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeLists<'a> {
    shard: Part<'a>,
    /// Start of the lists.
    lists: usize,
    levels: u32,
    /// Word that counts the free granules of this space.
    free: usize,
    cursors: &'a Cursors,
}

/// Words of the shard that name a block.
#[derive(Debug)]
pub(crate) struct Cursors {
    /// Those that go on when something is put there.
    pub(crate) hands: &'static [usize],
    /// Those that move along when that block is swallowed.
    pub(crate) all: &'static [usize],
}

impl Cursors {
    pub(crate) const NONE: Self = Self { hands: &[], all: &[] };
}

impl<'a> FreeLists<'a> {
    pub(crate) fn new(
        shard: Part<'a>,
        lists: usize,
        bytes: usize,
        free: usize,
        cursors: &'a Cursors,
    ) -> Self {
        Self { shard, lists, levels: levels(bytes), free, cursors }
    }

    /// Empties the lists.
    pub(crate) fn clear(&self) {
        self.word(self.free).store(0, Relaxed);
        for i in 0..=self.levels * (1 + CLASSES) {
            self.word(self.lists + i as usize * GRANULE).store(0, Relaxed);
        }
    }

    #[inline]
    fn word(&self, at: usize) -> &'a AtomicU32 {
        self.shard.word32(at)
    }

    /// The `i`th word of the block at `at`.
    #[inline]
    fn block(&self, at: u32, i: u32) -> &'a AtomicU32 {
        self.word((at + i) as usize * GRANULE)
    }

    #[inline]
    pub(crate) fn header(&self, at: u32) -> Header {
        Header(self.block(at, 0).load(Relaxed))
    }

    fn summary(&self) -> &'a AtomicU32 {
        self.word(self.lists)
    }

    fn bitmap(&self, level: u32) -> &'a AtomicU32 {
        self.word(self.lists + (1 + level as usize) * GRANULE)
    }

    fn head(&self, level: u32, class: u32) -> &'a AtomicU32 {
        self.word(self.lists + (1 + self.levels + level * CLASSES + class) as usize * GRANULE)
    }

    /// Makes the `granules` at `at` a free block. Its neighbours must be in use.
    pub(crate) fn insert(&self, at: u32, granules: u32) {
        debug_assert!(granules >= BLOCK_GRANULES_MIN);
        let (level, class) = class_of(granules);
        let head = self.head(level, class);
        let next = head.load(Relaxed);
        self.block(at, 0).store(Header::free(granules).0, Relaxed);
        self.block(at, 1).store(next, Relaxed);
        self.block(at, 2).store(0, Relaxed);
        self.block(at, granules - 1).store(granules, Relaxed);
        if next != 0 {
            self.block(next, 2).store(at, Relaxed);
        }
        head.store(at, Relaxed);
        let bitmap = self.bitmap(level);
        bitmap.store(bitmap.load(Relaxed) | 1 << class, Relaxed);
        self.summary().store(self.summary().load(Relaxed) | 1 << level, Relaxed);
        self.count(granules as i32);
    }

    /// Takes a free block out of its list.
    fn remove(&self, at: u32, granules: u32) {
        let (next, prev) = (self.block(at, 1).load(Relaxed), self.block(at, 2).load(Relaxed));
        if next != 0 {
            self.block(next, 2).store(prev, Relaxed);
        }
        if prev != 0 {
            self.block(prev, 1).store(next, Relaxed);
        } else {
            let (level, class) = class_of(granules);
            self.head(level, class).store(next, Relaxed);
            if next == 0 {
                let bitmap = self.bitmap(level);
                let left = bitmap.load(Relaxed) & !(1 << class);
                bitmap.store(left, Relaxed);
                if left == 0 {
                    self.summary().store(self.summary().load(Relaxed) & !(1 << level), Relaxed);
                }
            }
        }
        self.count(-(granules as i32));
    }

    fn count(&self, change: i32) {
        let free = self.word(self.free);
        free.store(free.load(Relaxed).wrapping_add_signed(change), Relaxed);
    }

    /// A free block of at least this size, still in its list.
    pub(crate) fn find(&self, granules: u32) -> Option<(u32, u32)> {
        let (level, class) = class_above(granules);
        if class_of(granules) != (level, class) {
            let (own_level, own_class) = class_of(granules);
            let mut at = self.head(own_level, own_class).load(Relaxed);
            for _ in 0..PEEK {
                if at == 0 {
                    break;
                }
                let size = self.header(at).granules();
                if size >= granules {
                    return Some((at, size));
                }
                at = self.block(at, 1).load(Relaxed);
            }
        }
        if level >= self.levels {
            return None;
        }
        let classes = self.bitmap(level).load(Relaxed) & u32::MAX << class;
        let (level, classes) = if classes != 0 {
            (level, classes)
        } else {
            let above = self.summary().load(Relaxed) & (u32::MAX << level) << 1;
            if above == 0 {
                return None;
            }
            let level = above.trailing_zeros();
            (level, self.bitmap(level).load(Relaxed))
        };
        let at = self.head(level, classes.trailing_zeros()).load(Relaxed);
        Some((at, self.header(at).granules()))
    }

    /// Takes a raw block of `granules` (up to 3 more where the rest would be too small to stand alone) from the low
    /// end of a free block that fits. Answers where it is and how large.
    #[inline]
    pub(crate) fn allocate(&self, granules: u32) -> Option<(u32, u32)> {
        let granules = granules.max(BLOCK_GRANULES_MIN);
        let (at, size) = self.find(granules)?;
        Some(self.allocate_at(at, size, granules))
    }

    /// The free block just before this one, and its size.
    pub(crate) fn hole_before(&self, at: u32) -> Option<(u32, u32)> {
        if !self.header(at).is_prev_free() {
            return None;
        }
        let size = self.word((at - 1) as usize * GRANULE).load(Relaxed);
        Some((at - size, size))
    }

    /// The same at the low end of this free block, which is large enough.
    #[inline]
    pub(crate) fn allocate_at(&self, at: u32, size: u32, granules: u32) -> (u32, u32) {
        let granules = granules.max(BLOCK_GRANULES_MIN);
        self.remove(at, size);
        let rest = size - granules;
        let taken = if rest >= BLOCK_GRANULES_MIN {
            self.insert(at + granules, rest);
            granules
        } else {
            self.block(at, size).fetch_and(!PREV_FREE, Relaxed);
            size
        };
        for &hand in self.cursors.hands {
            let hand = self.word(hand);
            if hand.load(Relaxed) == at {
                hand.store(at + taken, Relaxed);
            }
        }
        self.block(at, 0).store(Header::raw(taken).0, Relaxed);
        (at, taken)
    }

    /// The same at its high end.
    pub(crate) fn allocate_high(&self, at: u32, size: u32, granules: u32) -> (u32, u32) {
        let rest = size - granules;
        if rest < BLOCK_GRANULES_MIN {
            return self.allocate_at(at, size, granules);
        }
        self.remove(at, size);
        self.insert(at, rest);
        let taken = at + rest;
        self.block(taken, 0).store(Header::raw(granules).0 | PREV_FREE, Relaxed);
        self.block(taken, granules).fetch_and(!PREV_FREE, Relaxed);
        (taken, granules)
    }

    /// Gives a block in use back, and coalesces it with its neighbours.
    #[inline]
    pub(crate) fn release(&self, mut at: u32, mut granules: u32) {
        let header = self.header(at);
        debug_assert!(header.kind() != Kind::Free);
        let next = self.header(at + granules);
        if next.kind() == Kind::Free {
            self.remove(at + granules, next.granules());
            self.moved(at + granules, at);
            granules += next.granules();
        }
        if header.is_prev_free() {
            let before = self.word((at - 1) as usize * GRANULE).load(Relaxed);
            self.remove(at - before, before);
            self.moved(at, at - before);
            at -= before;
            granules += before;
        }
        self.insert(at, granules);
        self.block(at, granules).fetch_or(PREV_FREE, Relaxed);
    }

    fn moved(&self, from: u32, to: u32) {
        for &cursor in self.cursors.all {
            let cursor = self.word(cursor);
            if cursor.load(Relaxed) == from {
                cursor.store(to, Relaxed);
            }
        }
    }

    pub(crate) fn free_granules(&self) -> u32 {
        self.word(self.free).load(Relaxed)
    }

    /// The largest free block; where many are about as large, perhaps one that is up to a 32nd smaller.
    pub(crate) fn largest(&self) -> u32 {
        let summary = self.summary().load(Relaxed);
        if summary == 0 {
            return 0;
        }
        let level = summary.ilog2();
        let class = self.bitmap(level).load(Relaxed).ilog2();
        if level == 0 {
            // All blocks of such a class have the same size.
            return class;
        }
        let mut at = self.head(level, class).load(Relaxed);
        let mut largest = 0;
        for _ in 0..LARGEST_PEEK {
            if at == 0 {
                break;
            }
            largest = largest.max(self.header(at).granules());
            at = self.block(at, 1).load(Relaxed);
        }
        largest
    }

    /// Free blocks in the lists: how many, and granules in all. Panics at a broken link.
    #[cfg(test)]
    pub(crate) fn audit(&self) -> (usize, u32) {
        let (mut count, mut total, mut largest, mut as_large) = (0, 0, 0, 0);
        for level in 0..self.levels {
            for class in 0..CLASSES {
                let mut at = self.head(level, class).load(Relaxed);
                assert_eq!(at != 0, self.bitmap(level).load(Relaxed) & 1 << class != 0);
                if at != 0 {
                    (largest, as_large) = (0, 0);
                }
                let mut prev = 0;
                while at != 0 {
                    let size = self.header(at).granules();
                    assert_eq!(self.header(at).0, Header::free(size).0);
                    assert_eq!(class_of(size), (level, class));
                    assert_eq!(self.block(at, 2).load(Relaxed), prev);
                    assert_eq!(self.block(at, size - 1).load(Relaxed), size);
                    assert!(Header(self.block(at, size).load(Relaxed)).is_prev_free());
                    (count, total) = (count + 1, total + size);
                    (largest, as_large) = (largest.max(size), as_large + 1);
                    (prev, at) = (at, self.block(at, 1).load(Relaxed));
                }
            }
            assert_eq!(self.bitmap(level).load(Relaxed) != 0, self.summary().load(Relaxed) & 1 << level != 0);
        }
        assert_eq!(total, self.free_granules());
        let told = self.largest();
        assert!(
            told == largest || as_large > LARGEST_PEEK && told < largest && told >= largest - largest / 32
        );
        (count, total)
    }
}

const _: () = assert!(FREE == 1 && PREV_FREE == 2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ordered_and_cover_their_sizes() {
        let mut last = (0, 0);
        for granules in 1..100_000 {
            let class = class_of(granules);
            assert!(class >= last);
            let above = class_above(granules);
            assert!(above >= class);
            if above == class && granules >= CLASSES {
                assert_ne!(class_of(granules - 1), class, "a class entered in its middle");
            }
            last = class;
        }
        assert!(class_of((1 << 30) - 1).0 < levels(1 << 32));
    }
}

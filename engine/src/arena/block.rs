//! The header of a block: one word of 32 bits, and what it says about the block's size and kind.
//!
//! ```text
//! free   | size in granules                  31..2 |            1 0 | 0 FREE = 1
//! raw    | size in granules             31..3 | RAW 1 | PREV_FREE   | 0
//! raw    | all ones 31..25 | size 24..17 | without meaning 16..8 | 0  | PREV_FREE | 0          of at most 255 granules
//! item   | value len 31..17 | key len 16..10 | uses 9..8 | EXPIRY 7 | FLAGS 6 | LONG 5 | slack 4..3 | 0 | PREV_FREE | 0
//! ```
//! Blocks lie one behind the other; the size of each leads to the next. A free block also carries links to its
//! neighbours in its free list and, in its last granule, its size again, by which the block behind it finds its start
//! (boundary tag, Knuth, TAOCP 1, 2.5): a block that is in use pays for neither. The size of an item follows from its
//! lengths, so it is not stored either; `slack` is what the allocator gave beyond that, 0 to 3 granules.
//!
//! Who changes a header: the allocator, under the shard's lock (all of it once nobody can find the block, `PREV_FREE`
//! at any time, by read-modify-write; but no neighbour of a block of the nursery is ever free in this sense); the writer that turns
//! its raw block into an item, and in the nursery says that it is done (`Item::settle`); and the use count, readers, writers and
//! the hand. All of these can be stored without a lock on the whole word (`sync`): the use count has its byte to itself, but for bits
//! that never change; and the byte of `PREV_FREE` is the same in a small raw block and the plain item without slack that it becomes.

use crate::config::GRANULE;
use crate::mark::Mark;

pub(crate) const FREE: u32 = 1;
pub(crate) const PREV_FREE: u32 = 1 << 1;
const RAW: u32 = 1 << 2;
const USE_SHIFT: u32 = 8;
const USE_ONE: u32 = 1 << USE_SHIFT;
pub(crate) const USES_MAX: u32 = 3;
const LONG: u32 = 1 << 5;
const FLAGS: u32 = 1 << 6;
const EXPIRY: u32 = 1 << 7;
const SLACK_SHIFT: u32 = 3;
pub(crate) const SLACK: u32 = 3 << SLACK_SHIFT;
const KEY_SHIFT: u32 = 10;
const KEY_LEN_SHORT: u32 = (1 << 7) - 1;
const VALUE_SHIFT: u32 = 17;
/// The highest values of the field say that the block is raw and small.
const VALUE_LEN_SHORT: u32 = RAW_SMALL - 1;
const RAW_SMALL: u32 = 0x7f00;
const RAW_SMALL_MAX: u32 = 0xff;

/// The smallest block: a free one needs its header, two links and its size at the end.
pub(crate) const BLOCK_GRANULES_MIN: u32 = 4;

/// A block header as it was loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header(pub(crate) u32);

/// What a header says a block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Free,
    /// In use, but not an item that can be read: being filled, or memory of the index.
    Raw,
    Item,
}

/// The shape of an item: what it has, and how large its block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(crate) key_len: u32,
    pub(crate) value_len: u32,
    pub(crate) flags: bool,
    pub(crate) expiry: bool,
    /// Such an item is long: its mark is told by the field of its key's length.
    pub(crate) mark: bool,
}

impl Header {
    /// A free block. The block before it is never free: neighbours coalesce at once.
    pub(crate) fn free(granules: u32) -> Self {
        debug_assert!(granules < 1 << 30);
        Self(granules << 2 | FREE)
    }

    /// A block in use that is not an item (yet).
    pub(crate) fn raw(granules: u32) -> Self {
        debug_assert!(granules < 1 << 29);
        Self(if granules <= RAW_SMALL_MAX {
            (RAW_SMALL | granules) << VALUE_SHIFT
        } else {
            granules << 3 | RAW
        })
    }

    /// An item of this shape in a block of this many granules.
    pub(crate) fn item(shape: Shape, granules: u32) -> Self {
        let slack = granules - shape.granules();
        debug_assert!(slack < 4);
        Self(Self::fitting(shape).0 | slack << SLACK_SHIFT)
    }

    /// An item of this shape in a block of just its size.
    #[inline(always)]
    pub(crate) fn fitting(shape: Shape) -> Self {
        let mut word = 0;
        if shape.is_long() {
            word |= LONG;
        } else {
            word |= shape.key_len << KEY_SHIFT | shape.value_len << VALUE_SHIFT;
        }
        if shape.flags {
            word |= FLAGS;
        }
        if shape.expiry {
            word |= EXPIRY;
        }
        Self(word)
    }

    #[inline(always)]
    pub(crate) fn kind(self) -> Kind {
        if self.0 & FREE != 0 {
            Kind::Free
        } else if self.0 & RAW != 0 || self.value_len() >= RAW_SMALL as usize {
            Kind::Raw
        } else {
            Kind::Item
        }
    }

    pub(crate) fn is_prev_free(self) -> bool {
        self.0 & PREV_FREE != 0
    }

    /// The size of a free or raw block, in granules.
    pub(crate) fn granules(self) -> u32 {
        debug_assert!(self.kind() != Kind::Item);
        if self.0 & FREE != 0 {
            self.0 >> 2
        } else if self.0 & RAW != 0 {
            self.0 >> 3
        } else {
            self.0 >> VALUE_SHIFT & RAW_SMALL_MAX
        }
    }

    /// An item in short form without optional fields: what most reads meet.
    #[inline(always)]
    pub(crate) fn is_plain(self) -> bool {
        self.0 & (LONG | FLAGS | EXPIRY) == 0
    }

    /// Whether it is that of a plain item with a value of this length, in a block of just its size.
    #[inline(always)]
    pub(crate) fn fits_plain(self, value_len: usize) -> bool {
        self.0 & (LONG | FLAGS | EXPIRY | SLACK) == 0 && self.value_len() == value_len
    }

    /// The same in a block of its own, whose neighbour is another one.
    #[inline(always)]
    pub(crate) fn elsewhere(self) -> Self {
        Self(self.0 & !PREV_FREE)
    }

    /// The size that the block of a plain item must have at least.
    #[inline(always)]
    pub(crate) fn plain_granules_min(self) -> u32 {
        debug_assert!(self.is_plain());
        granules_of(self.key_len() + self.value_len())
    }

    #[inline(always)]
    pub(crate) fn is_long(self) -> bool {
        self.0 & LONG != 0
    }

    #[inline(always)]
    pub(crate) fn has_flags(self) -> bool {
        self.0 & FLAGS != 0
    }

    #[inline(always)]
    pub(crate) fn has_expiry(self) -> bool {
        self.0 & EXPIRY != 0
    }

    /// Bytes between the header and the key of an item, or its mark.
    #[inline(always)]
    pub(crate) fn fields_len(self) -> usize {
        let (long, flags, expiry) = (self.0 & LONG, self.0 & FLAGS, self.0 & EXPIRY);
        (long * 8 / LONG + flags * 4 / FLAGS + expiry * 8 / EXPIRY) as usize
    }

    pub(crate) fn slack(self) -> u32 {
        self.0 >> SLACK_SHIFT & 3
    }

    /// An item of the nursery that its writer may still be about to put into the index. Blocks of the nursery have no
    /// slack, so that its highest value can say this.
    pub(crate) fn unsettled(self) -> Self {
        debug_assert!(self.slack() == 0);
        Self(self.0 | SLACK)
    }

    pub(crate) fn is_unsettled(self) -> bool {
        self.0 & SLACK == SLACK
    }

    /// Key length in short form.
    #[inline(always)]
    pub(crate) fn key_len(self) -> usize {
        (self.0 >> KEY_SHIFT & KEY_LEN_SHORT) as usize
    }

    /// Value length in short form.
    #[inline(always)]
    pub(crate) fn value_len(self) -> usize {
        (self.0 >> VALUE_SHIFT) as usize
    }

    #[inline(always)]
    pub(crate) fn uses(self) -> u32 {
        self.0 >> USE_SHIFT & USES_MAX
    }

    /// Without a meaning where it was used as often as can be counted.
    #[inline(always)]
    pub(crate) fn used_once_more(self) -> Self {
        Self(self.0.wrapping_add(USE_ONE))
    }

    pub(crate) fn used_once_less(self) -> Self {
        debug_assert!(self.uses() > 0);
        Self(self.0 - USE_ONE)
    }

    pub(crate) fn with_uses(self, uses: u32) -> Self {
        Self(self.0 & !(USES_MAX << USE_SHIFT) | uses << USE_SHIFT)
    }
}

impl Shape {
    pub(crate) fn is_long(self) -> bool {
        self.key_len > KEY_LEN_SHORT || self.value_len > VALUE_LEN_SHORT || self.mark
    }

    /// Bytes between the header and the key.
    #[inline(always)]
    pub(crate) fn fields_len(self) -> usize {
        8 * usize::from(self.is_long())
            + 4 * usize::from(self.flags)
            + 8 * usize::from(self.expiry)
            + Mark::LEN * usize::from(self.mark)
    }

    /// The size of its block.
    #[inline(always)]
    pub(crate) fn granules(self) -> u32 {
        granules_of(self.fields_len() + self.key_len as usize + self.value_len as usize)
    }
}

/// The size of the block of an item with so many bytes behind its header.
#[inline(always)]
pub(crate) fn granules_of(bytes: usize) -> u32 {
    // As `(GRANULE + bytes).div_ceil(GRANULE)`, for lengths that are far from overflow.
    (((bytes + (2 * GRANULE - 1)) / GRANULE) as u32).max(BLOCK_GRANULES_MIN)
}

const _: () = assert!(VALUE_SHIFT + 15 == 32 && KEY_SHIFT + 7 == VALUE_SHIFT && USE_SHIFT + 2 == KEY_SHIFT);
// The byte of the use count.
const _: () = assert!(USE_SHIFT >= 8 && SLACK < 1 << 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_header_round_trip() {
        for key_len in [0, 1, 2, 11, 127, 128, 65_535] {
            for value_len in [0, 1, 32, 0x7eff, 0x7f00, 0x7fff, 0x8000, 1 << 20] {
                for (flags, expiry) in [(false, false), (true, false), (false, true), (true, true)] {
                    let shape = Shape { key_len, value_len, flags, expiry, mark: false };
                    for slack in 0..4 {
                        let header = Header::item(shape, shape.granules() + slack);
                        assert_eq!(header.kind(), Kind::Item);
                        assert_eq!((header.slack(), header.uses(), header.is_prev_free()), (slack, 0, false));
                        assert_eq!((header.has_flags(), header.has_expiry()), (flags, expiry));
                        assert_eq!(header.is_long(), key_len > 127 || value_len > 0x7eff);
                        if !header.is_long() {
                            assert_eq!(
                                (header.key_len(), header.value_len()),
                                (key_len as usize, value_len as usize)
                            );
                        }
                        let used = header.used_once_more().used_once_more();
                        assert_eq!(used.uses(), 2);
                        assert_eq!(used.used_once_less().used_once_less(), header);
                    }
                }
            }
        }
    }

    #[test]
    fn free_and_raw_headers_round_trip() {
        for granules in [4, 5, 255, 256, 1000, (1 << 29) - 1] {
            assert_eq!(
                (Header::free(granules).kind(), Header::free(granules).granules()),
                (Kind::Free, granules)
            );
            assert_eq!(
                (Header::raw(granules).kind(), Header::raw(granules).granules()),
                (Kind::Raw, granules)
            );
        }
    }

    #[test]
    fn an_item_of_the_usual_size_pays_four_bytes() {
        let shape = Shape { key_len: 11, value_len: 33, flags: false, expiry: false, mark: false };
        assert_eq!(shape.granules() * 4, 11 + 33 + 4);
    }
}

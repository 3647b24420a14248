//! The two words that decide what the index holds, as plain values. What may become of them stands in `mod.rs`.
//!
//! ```text
//! directory word   63 BORN | 62 SPLIT | 61..56 level | 55..50 len | 31..0 image (granule in the shard)
//! place            31 (unused) | 30..1 item (granule in the shard), 0 = hole | 0 FROZEN
//! ```
//! A directory word of 0 is an unborn bucket. `BORN` with `len` 0 is an empty one without image.

use crate::region::Part;
use crate::sync::{Acquire, unless};

/// What a bucket is: its level, its image, and how many entries the image has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word(pub(crate) u64);

const BORN: u64 = 1 << 63;
const SPLIT: u64 = 1 << 62;
const LEVEL_SHIFT: u32 = 56;
const LEN_SHIFT: u32 = 50;
const SIX_BITS: u64 = 0x3f;

impl Word {
    pub(crate) const UNBORN: Self = Self(0);

    /// A born bucket with an image of `len` entries, or with none where `len` is 0.
    pub(crate) fn new(level: u32, len: usize, image: u32) -> Self {
        debug_assert!(level < 64 && len < 64 && (len > 0 || image == 0));
        Self(BORN | u64::from(level) << LEVEL_SHIFT | (len as u64) << LEN_SHIFT | u64::from(image))
    }

    #[inline(always)]
    pub(crate) fn is_born(self) -> bool {
        self.0 & BORN != 0
    }

    #[inline(always)]
    pub(crate) fn is_splitting(self) -> bool {
        self.0 & SPLIT != 0
    }

    pub(crate) fn with_split(self) -> Self {
        Self(self.0 | SPLIT)
    }

    /// How many low bits of the hash the keys of this bucket share.
    #[inline(always)]
    pub(crate) fn level(self) -> u32 {
        (self.0 >> LEVEL_SHIFT & SIX_BITS) as u32
    }

    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        (self.0 >> LEN_SHIFT & SIX_BITS) as usize
    }

    /// The image; meaningless where `len` is 0.
    #[inline(always)]
    pub(crate) fn image(self) -> u32 {
        self.0 as u32
    }
}

/// Where an item is, or a hole; frozen or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place(pub(crate) u32);

impl Place {
    pub(crate) const HOLE: Self = Self(0);
    pub(crate) const FROZEN: u32 = 1;

    /// The place that lies at `at` in the shard.
    #[inline(always)]
    pub(crate) fn load(shard: Part<'_>, at: usize) -> Self {
        // Acquire: the item's bytes. Pairs with the Release of the compare-and-swap that stored the place, or of the
        // one that published the image.
        Self(shard.word32(at).load(unless("place_load_relaxed", Acquire)))
    }

    #[inline(always)]
    pub(crate) fn of(item: u32) -> Self {
        debug_assert!(item > 0 && item < 1 << 30);
        Self(item << 1)
    }

    #[inline(always)]
    pub(crate) fn is_frozen(self) -> bool {
        self.0 & Self::FROZEN != 0
    }

    /// The granule of the item, frozen or not; 0 for a hole.
    #[inline(always)]
    pub(crate) fn item(self) -> u32 {
        self.0 >> 1
    }
}

/// The level at which a hash is addressed when `born` buckets exist.
#[inline(always)]
pub(crate) fn level_of(born: u64, hash: u64) -> u32 {
    debug_assert!(born > 0);
    // Not by `ilog2`, which checks.
    let round = 63 ^ born.leading_zeros();
    round + u32::from(hash & ((2 << round) - 1) < born)
}

/// The bucket of that level, which is found with less than the level is.
#[inline(always)]
pub(crate) fn bucket_of(born: u64, hash: u64) -> u64 {
    debug_assert!(born > 0);
    let mask = u64::MAX >> born.leading_zeros();
    let bucket = hash & mask;
    if bucket < born { bucket } else { hash & mask >> 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for (level, len, image) in [(0, 0, 0), (1, 1, 1), (39, 63, (1 << 30) - 1)] {
            let word = Word::new(level, len, image);
            assert_eq!((word.level(), word.len(), word.image()), (level, len, image));
            assert!(word.is_born() && !word.is_splitting() && word.with_split().is_splitting());
            assert_eq!((word.with_split().level(), word.with_split().image()), (level, image));
        }
        assert!(!Word::UNBORN.is_born());
        assert_eq!(Place::of(77).item(), 77);
        assert_eq!(Place(Place::of(77).0 | Place::FROZEN).item(), 77);
        assert_eq!(Place::HOLE.item(), 0);
    }

    #[test]
    fn a_hash_is_addressed_by_the_buckets_that_are_born() {
        for born in 1..70_u64 {
            for hash in 0..200_u64 {
                let bucket = hash & ((1 << level_of(born, hash)) - 1);
                assert!(bucket < born && bucket == bucket_of(born, hash));
                let wider = hash & ((2 << level_of(born, hash)) - 1);
                assert!(wider == bucket || wider >= born);
            }
        }
    }
}

//! What all handles of a cache share: the region, where things lie in it, and how keys are hashed.

use crate::arch::{Kernels, Level, Seed, Work};
use crate::config::{
    Geometry, ROOT_EPOCH, ROOT_HANDLES_USED, ROOT_SPARES_CALLED, SHARD_BORN, SHARD_FREE, SHARD_INDEX_FREE,
    SHARD_NUMBER,
};
use crate::region::{Part, Region};
use crate::sync::{AtomicU32, AtomicU64, FenceOrder, Relaxed};

#[derive(Debug)]
pub(crate) struct Shared {
    /// Tells this cache from all others of the process.
    pub(crate) number: u32,
    pub(crate) region: Region,
    pub(crate) geometry: Geometry,
    pub(crate) seed: Seed,
    pub(crate) level: Level,
    pub(crate) fences: FenceOrder,
}

/// A hashed key. Its bits are used once each, so that what one choice has in common says nothing about the others.
///
/// ```text
/// 63..56 shard | 55..40 tag | 39..0 bucket
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeyHash(pub(crate) u64);

impl KeyHash {
    pub(crate) const BUCKET_BITS: u32 = 40;

    #[inline(always)]
    pub(crate) fn tag(self) -> u16 {
        // In the models all tags are equal, so that every probe reads the item.
        if cfg!(all(test, loom)) { 7 } else { (self.0 >> Self::BUCKET_BITS) as u16 }
    }

    #[inline(always)]
    pub(crate) fn bucket(self, level: u32) -> u64 {
        self.0 & ((1 << level) - 1)
    }
}

/// Hashes one key from a place that is not compiled for a SIMD level.
struct HashOne<'a>(&'a Seed, &'a [u8]);

impl Work for HashOne<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<K: Kernels>(self) -> u64 {
        K::hash(self.0, self.1)
    }
}

impl Shared {
    /// The hash of a key, on the cold paths: the batch hashes inside its own SIMD level.
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.level.dispatch(HashOne(&self.seed, key)))
    }

    /// The whole region.
    #[inline(always)]
    pub(crate) fn root(&self) -> Part<'_> {
        self.region.part(0)
    }

    /// The region from some offset on.
    #[inline(always)]
    pub(crate) fn part(&self, from: usize) -> Part<'_> {
        self.region.part(from)
    }

    /// A handle's record.
    pub(crate) fn record(&self, number: u32) -> Part<'_> {
        self.part(self.geometry.record_at(number))
    }

    #[inline(always)]
    pub(crate) fn epoch(&self) -> &AtomicU64 {
        self.root().word64(ROOT_EPOCH)
    }

    /// One more than the highest record that was ever in use.
    #[inline(always)]
    pub(crate) fn handles_used(&self) -> &AtomicU32 {
        self.root().word32(ROOT_HANDLES_USED)
    }

    /// Changes when somebody wants the blocks that handles keep for their next writes.
    #[inline(always)]
    pub(crate) fn spares_called(&self) -> u32 {
        self.root().word32(ROOT_SPARES_CALLED).load(Relaxed)
    }

    /// Asks all handles to give them back when they are next quiescent. Answers what [`spares_called`](Self::spares_called) says now.
    pub(crate) fn call_spares_back(&self) -> u32 {
        // Two who ask at a time may count as one.
        let called = self.spares_called().wrapping_add(1);
        self.root().word32(ROOT_SPARES_CALLED).store(called, Relaxed);
        called
    }

    #[inline(always)]
    pub(crate) fn shard(&self, shard: u32) -> Shard<'_> {
        Shard { shared: self, part: self.region.part(self.geometry.shard_at(shard)) }
    }

    /// Where a key of this hash lives.
    #[inline(always)]
    pub(crate) fn shard_of(&self, hash: KeyHash) -> Shard<'_> {
        self.shard((hash.0 >> 56) as u32 & self.geometry.shard_mask)
    }
}

/// One shard of the region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shard<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) part: Part<'a>,
}

impl<'a> Shard<'a> {
    /// A word of the shard's header.
    #[inline(always)]
    pub(crate) fn word(&self, at: usize) -> &'a AtomicU32 {
        self.part.word32(at)
    }

    /// Its number, which only writers need: so it lies in the shard, instead of being wherever an item is.
    #[inline(always)]
    pub(crate) fn number(&self) -> usize {
        self.word(SHARD_NUMBER).load(Relaxed) as usize
    }

    /// How many buckets are born. A hint: it may lag by one split, it never runs ahead.
    #[inline(always)]
    pub(crate) fn born(&self) -> &'a AtomicU64 {
        self.part.word64(SHARD_BORN)
    }

    /// Byte offset of the shard in the region.
    #[inline(always)]
    pub(crate) fn base(self) -> usize {
        self.shared.region.offset_of(self.part)
    }

    pub(crate) fn free_word(&self) -> &'a AtomicU32 {
        self.word(SHARD_FREE)
    }

    pub(crate) fn index_free_word(&self) -> &'a AtomicU32 {
        self.word(SHARD_INDEX_FREE)
    }
}

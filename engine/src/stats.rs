//! Figures of a cache: each handle counts for itself, without sharing a line; `Cache::stats` adds them up.

use crate::config::RECORD_COUNTERS;
use crate::region::Part;
use crate::sync::Relaxed;

/// Figures of a cache, summed over its shards and handles. Counters are since the cache was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Items present (an expired item counts until it is collected).
    pub items: u64,
    /// Bytes of the region.
    pub region_bytes: u64,
    /// Bytes in blocks of items, headers and padding included; items that wait in limbo are not in it, but what is dead in the
    /// nursery is, until its tail comes by.
    pub used_bytes: u64,
    /// Bytes free for items.
    pub free_bytes: u64,
    /// Largest free block, in bytes; where many are about as large, perhaps one that is up to a 32nd smaller. Those of a shard whose
    /// lock is busy at that moment are left out.
    pub largest_free_bytes: u64,
    /// Bytes of removed blocks, items and images, that wait for their readers, or that a handle keeps for its next writes.
    pub limbo_bytes: u64,
    /// Bytes that the index has taken from the region.
    pub index_bytes: u64,
    /// Of these, bytes not in use at the moment.
    pub index_free_bytes: u64,
    /// Buckets of the index.
    pub buckets: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Writes that stored a value.
    pub stores: u64,
    /// Items removed on request, one by one: not those of a flush.
    pub deletes: u64,
    /// Items removed to make room.
    pub evictions: u64,
    /// Items removed because their time had come.
    pub expirations: u64,
    /// Writes refused for lack of room.
    pub pressure: u64,
    /// Items copied from one place to another to make room.
    pub copies: u64,
    /// Blocks that were looked at to make room.
    pub walked: u64,
}

impl Stats {
    /// How much of the free memory is not in the largest free block, from 0 to 1. A block lies in one shard, so with many shards this is
    /// high also where each of them is in one piece.
    #[must_use]
    pub fn fragmentation(&self) -> f64 {
        if self.free_bytes == 0 { 0.0 } else { 1.0 - self.largest_free_bytes as f64 / self.free_bytes as f64 }
    }
}

/// What one handle has counted, kept in its record when the handle is gone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) stores: u64,
    pub(crate) deletes: u64,
    pub(crate) evictions: u64,
    pub(crate) expirations: u64,
    pub(crate) pressure: u64,
    pub(crate) copies: u64,
    pub(crate) walked: u64,
    /// Keys that came into the index, and that left it; may be less than those that came through this handle.
    pub(crate) inserted: u64,
    pub(crate) removed: u64,
    /// Granules retired, less those given back: wraps, since another handle may give back what this one retired.
    pub(crate) limbo_granules: u64,
}

impl Counters {
    const LEN: usize = 12;

    /// The counters in the order in which the record has them.
    #[inline]
    fn words(&mut self) -> [&mut u64; Self::LEN] {
        let Self { hits, misses, stores, deletes, evictions, expirations, pressure, copies, .. } = self;
        let Self { walked, inserted, removed, limbo_granules, .. } = self;
        [
            hits,
            misses,
            stores,
            deletes,
            evictions,
            expirations,
            pressure,
            copies,
            walked,
            inserted,
            removed,
            limbo_granules,
        ]
    }

    /// The counters as the record has them.
    pub(crate) fn load(record: Part<'_>) -> Self {
        let mut counters = Self::default();
        for (i, word) in counters.words().into_iter().enumerate() {
            *word = record.word64(RECORD_COUNTERS + i * 8).load(Relaxed);
        }
        counters
    }

    /// Shows them to everybody else.
    pub(crate) fn save(mut self, record: Part<'_>) {
        for (i, word) in self.words().into_iter().enumerate() {
            record.word64(RECORD_COUNTERS + i * 8).store(*word, Relaxed);
        }
    }

    /// Shows `hits` to everybody else: the first word.
    #[inline(always)]
    pub(crate) fn save_hits(&self, record: Part<'_>) {
        record.word64(RECORD_COUNTERS).store(self.hits, Relaxed);
    }

    /// Shows `misses`: the second one.
    #[inline(always)]
    pub(crate) fn save_misses(&self, record: Part<'_>) {
        record.word64(RECORD_COUNTERS + 8).store(self.misses, Relaxed);
    }

    /// Sums two handles' counters.
    pub(crate) fn plus(mut self, mut other: Self) -> Self {
        for (word, other) in self.words().into_iter().zip(other.words()) {
            *word = word.wrapping_add(*other);
        }
        self
    }
}

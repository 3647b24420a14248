//! The cache: made in a region of memory, shared by handles.

use crate::arch::{Level, Seed};
use crate::config::{
    Config, GRANULE, Geometry, RECORD_STATE, ROOT_EPOCH, ROOT_HANDLES_USED, ROOT_SPARES_CALLED, SHARD_LOCK,
    SHARD_NUMBER, SHARD_TABLE,
};
use crate::error::{NoHandle, OpenError};
use crate::handle::Handle;
use crate::index::Word;
use crate::local::Local;
use crate::region::Region;
use crate::shared::{Shard, Shared};
use crate::stats::{Counters, Stats};
use crate::sync::{FenceOrder, Relaxed};
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;

/// A cache in a region of memory. `Sync`: threads share it, each through a [`Handle`] of its own.
pub struct Cache<'r> {
    pub(crate) shared: Shared,
    region: PhantomData<&'r mut [MaybeUninit<u8>]>,
}

impl<'r> Cache<'r> {
    /// Makes an empty cache in `region`. Nothing is allocated, now or later. Memory is written as it fills, so that pages
    /// of a fresh mapping are touched only when they are needed.
    ///
    /// ```
    /// use crabcache_engine::{Cache, Config};
    /// use std::mem::MaybeUninit;
    ///
    /// let mut region = vec![MaybeUninit::uninit(); 16 << 20];
    /// let cache = Cache::new(&mut region, Config::default())?;
    /// assert_eq!(cache.stats().items, 0);
    /// # Ok::<(), crabcache_engine::OpenError>(())
    /// ```
    pub fn new(region: &'r mut [MaybeUninit<u8>], config: Config) -> Result<Self, OpenError> {
        Self::over(Region::new(region), config)
    }

    /// The same in a region whose bytes all have a value, as those of a fresh mapping have: so room that is
    /// [reserved](Handle::reserve) need not be zeroed first.
    pub fn in_filled(region: &'r mut [u8], config: Config) -> Result<Self, OpenError> {
        Self::over(Region::new_filled(region), config)
    }

    fn over(region: Region, config: Config) -> Result<Self, OpenError> {
        let geometry = Geometry::new(region.len(), &config)?;
        let (seed, level) = (Seed::new(config.seed), Level::detect_within(config.simd));
        let shared =
            Shared { number: next_number(), region, geometry, seed, level, fences: FenceOrder::default() };
        shared.root().word64(ROOT_EPOCH).store(1, Relaxed);
        shared.root().word32(ROOT_HANDLES_USED).store(0, Relaxed);
        shared.root().word32(ROOT_SPARES_CALLED).store(0, Relaxed);
        for record in 0..geometry.handles {
            // Announcement offline, record vacant, ring empty, counters zero.
            shared.root().zero(geometry.record_at(record), crate::config::RECORD_RING);
            debug_assert_eq!(
                shared.root().word32(geometry.record_at(record) + RECORD_STATE).load(Relaxed),
                0
            );
        }
        (0..geometry.shards).for_each(|number| format(shared.shard(number), number));
        Ok(Self { shared, region: PhantomData })
    }

    /// A handle, which a thread works through. Also refused for the moment in which another handle takes over what one that
    /// is gone has left: where handles come and go all the time, allow for some more of them than are used at once.
    ///
    /// It is a value of about 20 KiB, most of it places for the blocks that it keeps: where stacks are small, make it where it stays.
    pub fn handle(&self) -> Result<Handle<'_>, NoHandle> {
        Local::join(&self.shared).map(Handle::new).ok_or(NoHandle { max: self.shared.geometry.handles })
    }

    /// The most bytes that key and value of one item may have together. There is a place for one so large unless others stand in its
    /// way: reservations, values that are being written, blocks that handles which are not quiescent keep, or pieces of the index for
    /// which a full cache had no better place. Then it is refused with [`NoPlace`](crate::StoreError::NoPlace).
    #[must_use]
    pub fn item_len_max(&self) -> usize {
        self.shared.geometry.item_len_max()
    }

    /// How many shards it has.
    #[must_use]
    pub fn shards(&self) -> u32 {
        self.shared.geometry.shards
    }

    /// Name of the SIMD level that was chosen at run time.
    #[must_use]
    pub fn simd_level(&self) -> &'static str {
        self.shared.level.name()
    }

    /// Figures, summed over all shards and handles. Walks no items; figures of shards in which others are allocating at
    /// this moment may be a few blocks old.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let counters = (0..shared.geometry.handles)
            .map(|record| Counters::load(shared.record(record)))
            .fold(Counters::default(), Counters::plus);
        let mut stats = Stats {
            items: counters.inserted.saturating_sub(counters.removed),
            region_bytes: shared.region.len() as u64,
            // One handle may have given back what another one retired, and shown it first.
            limbo_bytes: (counters.limbo_granules as i64).max(0) as u64 * GRANULE as u64,
            hits: counters.hits,
            misses: counters.misses,
            stores: counters.stores,
            deletes: counters.deletes,
            evictions: counters.evictions,
            expirations: counters.expirations,
            pressure: counters.pressure,
            copies: counters.copies,
            walked: counters.walked,
            ..Stats::default()
        };
        let limbo = stats.limbo_bytes;
        for shard in (0..shared.geometry.shards).map(|shard| shared.shard(shard)) {
            add_shard(&mut stats, shard);
        }
        stats.used_bytes = stats.used_bytes.saturating_sub(limbo);
        stats
    }
}

/// A number that no other cache of this process has, until 2^32 have been made.
fn next_number() -> u32 {
    static CACHES: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(1);
    CACHES.fetch_add(1, Relaxed)
}

/// Adds what a shard knows of itself.
fn add_shard(stats: &mut Stats, shard: Shard<'_>) {
    let bytes = |granules: u32| u64::from(granules) * GRANULE as u64;
    let geometry = &shard.shared.geometry;
    let locked = shard.try_lock();
    let nursery = crate::evict::nursery::Nursery::of(shard);
    let free = shard.free_word().load(Relaxed);
    let index = shard.word(crate::config::SHARD_INDEX).load(Relaxed);
    stats.free_bytes += bytes(free) + bytes(nursery.free());
    stats.limbo_bytes += bytes(nursery.waiting());
    stats.index_bytes += bytes(index);
    stats.index_free_bytes += bytes(shard.index_free_word().load(Relaxed));
    // Others may be allocating at this moment: then the figures are of different moments.
    let in_use = (geometry.arena_end - shard.first_block()).saturating_sub(free).saturating_sub(index);
    stats.used_bytes += bytes(in_use) + bytes(nursery.used());
    stats.buckets += shard.born().load(Relaxed);
    if let Some(locked) = locked {
        stats.largest_free_bytes = stats.largest_free_bytes.max(bytes(locked.items().largest()));
    }
}

/// An empty shard: one free block, and a directory of one chunk whose buckets are all born.
fn format(shard: Shard<'_>, number: u32) {
    let geometry = &shard.shared.geometry;
    shard.word(SHARD_NUMBER).store(number, Relaxed);
    shard.word(SHARD_LOCK).store(1, Relaxed);
    let locked = crate::arena::Locked { shard };
    locked.format();
    for chunk in 0..geometry.table_len {
        shard.word(SHARD_TABLE + chunk as usize * 4).store(0, Relaxed);
    }
    assert!(locked.ensure_directory(0, false), "the smallest shard holds a chunk");
    let born = 1 << geometry.chunk_shift;
    for bucket in 0..born {
        shard.directory(bucket).store(Word::new(geometry.chunk_shift, 0, 0).0, Relaxed);
    }
    shard.born().store(born, Relaxed);
}

impl fmt::Debug for Cache<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("region_bytes", &self.shared.region.len())
            .field("shards", &self.shared.geometry.shards)
            .field("simd_level", &self.simd_level())
            .finish_non_exhaustive()
    }
}

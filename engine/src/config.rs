//! What users set ([`Config`]) becomes what the code uses ([`Geometry`]). Every rule about sizes is checked here, once.
//!
//! ```text
//! region   | root | handle records, each with its limbo ring | shard 0 | shard 1 | ...
//! shard    | born, number | allocator state | directory table | free lists x 2 | ghost | nursery | main ... sentinel |
//! ```
//! All links are offsets: bytes from the start of the region, or granules of four bytes from the start of a shard.

use crate::arch::Simd;
use crate::arena::free_list::lists_bytes;
use crate::error::OpenError;
use crate::evict::ghost::ghost_bytes;

/// How a cache divides its region. Every field has a documented default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Number of shards, a power of two. A shard is a cache of its own with its own allocator; more of them let more
    /// threads allocate at once, fewer of them use the memory better. Default 0: one for each 8 MiB, at most 16,
    /// and as many as it takes to address the region.
    pub shards: u32,
    /// Most handles alive at once. Each costs up to 33 KiB of the region. Default 0: one for each 256 KiB of the
    /// region, at least 2, at most 64.
    pub handles_max: u32,
    /// Key of the hash. Take it from the system's random source, so that nobody can choose keys that collide.
    /// Default zeros: for tests, where each run should be the same.
    pub seed: [u64; 4],
    /// The widest instructions to use. Default: what was measured to be the best there are.
    pub simd: Simd,
}

impl Config {
    /// Most shards.
    pub const SHARDS_MAX: u32 = 256;
    /// Most handles.
    pub const HANDLES_MAX: u32 = 1024;
}

/// Bytes in a granule: the unit of places and of block sizes.
pub(crate) const GRANULE: usize = 4;

/// Byte offset in a shard of one of its granules.
#[inline(always)]
pub(crate) const fn offset_of(granule: u32) -> usize {
    granule as usize * GRANULE
}
/// A shard addresses its bytes by 30 bits of granules.
pub(crate) const SHARD_BYTES_MAX: usize = 1 << 32;
/// The smallest shard that holds its own tables and something useful.
const SHARD_BYTES_MIN: usize = 16 << 10;

/// Root: words that belong to the whole cache, one cache line pair each.
pub(crate) const ROOT_EPOCH: usize = 0;
pub(crate) const ROOT_HANDLES_USED: usize = 128;
/// Changes when handles are to give back what they keep.
pub(crate) const ROOT_SPARES_CALLED: usize = 132;
const ROOT_BYTES: usize = 256;

/// Offsets in a handle's record. The announcement has a pair of cache lines to itself: every advance reads it.
pub(crate) const RECORD_ANNOUNCED: usize = 0;
pub(crate) const RECORD_STATE: usize = 128;
pub(crate) const RECORD_HEAD: usize = 132;
pub(crate) const RECORD_TAIL: usize = 136;
pub(crate) const RECORD_COUNTERS: usize = 144;
pub(crate) const RECORD_RING: usize = 256;

/// Offsets in a shard. What readers load is apart from what the allocator writes.
pub(crate) const SHARD_BORN: usize = 0;
pub(crate) const SHARD_NUMBER: usize = 8;
pub(crate) const SHARD_LOCK: usize = 128;
pub(crate) const SHARD_HAND: usize = 132;
pub(crate) const SHARD_SWEEP: usize = 136;
/// Blocks of items: also those in limbo, spare ones, reservations, and what is dead in the ring.
pub(crate) const SHARD_ITEMS: usize = 140;
pub(crate) const SHARD_FREE: usize = 144;
pub(crate) const SHARD_INDEX: usize = 148;
pub(crate) const SHARD_INDEX_FREE: usize = 152;
pub(crate) const SHARD_ABANDONED: usize = 156;
pub(crate) const SHARD_NURSERY: usize = 160;
/// The lowest chunk of the index of those at the high end of main.
pub(crate) const SHARD_EDGE: usize = 208;
/// For the next chunk main is cleared up to this block; from this granule; at this epoch, if it is long enough.
pub(crate) const SHARD_CLEARING: usize = 212;
pub(crate) const SHARD_CLEARED_FROM: usize = 216;
pub(crate) const SHARD_CLEARED_AT: usize = 220;
pub(crate) const SHARD_TABLE: usize = 256;

/// Where everything lies. Made once, cannot be wrong afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) len: usize,
    pub(crate) handles: u32,
    /// Entries of a limbo ring, a power of two.
    pub(crate) limbo_len: u32,
    pub(crate) record_stride: usize,
    pub(crate) shards: u32,
    /// Which of a hash's highest bits tell its shard.
    pub(crate) shard_mask: u32,
    pub(crate) shards_at: usize,
    pub(crate) shard_stride: usize,
    /// log2 of the directory words in a chunk.
    pub(crate) chunk_shift: u32,
    /// The bits of a bucket's number that tell its place in a chunk.
    pub(crate) chunk_mask: u64,
    /// Chunks that the directory may have.
    pub(crate) table_len: u32,
    /// Offsets in a shard, in bytes.
    pub(crate) item_lists_at: usize,
    pub(crate) index_lists_at: usize,
    /// Ghost: a bit per line, then the lines.
    pub(crate) ghost_at: usize,
    pub(crate) ghost_lines: u32,
    /// Nursery: up to where main begins.
    pub(crate) nursery_at: usize,
    /// Where main begins, in granules.
    pub(crate) first_block: u32,
    /// First granule after the arena; a sentinel block stands there.
    pub(crate) arena_end: u32,
    /// The largest block that an item may have, in granules.
    pub(crate) item_granules_max: u32,
    /// Granules of main that are kept free at most, to be ahead of need.
    pub(crate) reserve: u32,
    /// Free granules of main above which newcomers need not prove anything.
    pub(crate) plenty: u32,
}

impl Geometry {
    pub(crate) fn new(len: usize, config: &Config) -> Result<Self, OpenError> {
        let shards = match config.shards {
            0 => default_shards(len),
            n if n.is_power_of_two() && n <= Config::SHARDS_MAX => n,
            shards => return Err(OpenError::BadShards { shards }),
        };
        let handles = match config.handles_max {
            0 => (len >> 18).clamp(2, 64) as u32,
            n if n <= Config::HANDLES_MAX => n,
            handles => return Err(OpenError::BadHandles { handles }),
        };
        // The rings together take a quarter of a percent; in small regions up to one, so that a reader which takes its time
        // does not stop the writers at once.
        let each = len / handles as usize;
        let limbo_len = 1 << (each / 3200).max((each / 800).min(256)).clamp(128, 4096).ilog2();
        let record_stride = RECORD_RING + limbo_len as usize * 8;
        let shards_at = (ROOT_BYTES + record_stride * handles as usize).next_multiple_of(256);
        let min = shards_at + SHARD_BYTES_MIN * shards as usize;
        if len < min {
            // More memory may mean more handles, which need more memory.
            let min = match Self::new(min, config) {
                Err(OpenError::RegionTooSmall { min, .. }) => min,
                _ => min,
            };
            return Err(OpenError::RegionTooSmall { len, min });
        }
        let shard_stride = (len - shards_at) / shards as usize / 256 * 256;
        if shard_stride > SHARD_BYTES_MAX {
            return Err(OpenError::RegionTooLarge {
                len,
                max: shards_at + SHARD_BYTES_MAX * shards as usize,
            });
        }
        let shard_mask = shards - 1;
        let shard = Self::shard(shard_stride);
        Ok(Self { len, handles, limbo_len, record_stride, shards, shard_mask, shards_at, ..shard })
    }

    /// The inside of a shard of this many bytes.
    fn shard(stride: usize) -> Self {
        // A chunk is about a 512th of the shard: 1 to 64 KiB, so that it holds the largest image.
        let chunk_shift = (stride / 512 / 8).clamp(128, 8192).ilog2();
        // Enough for one bucket for each six of the smallest items, which need 16 bytes and their share of the index.
        let buckets_max = stride / 96;
        let table_len = (buckets_max >> chunk_shift) as u32 + 1;
        let item_lists_at = SHARD_TABLE + (table_len as usize * 4).next_multiple_of(64);
        let index_lists_at = item_lists_at + lists_bytes(stride);
        let ghost_at = (index_lists_at + lists_bytes(index_chunk_bytes(chunk_shift))).next_multiple_of(64);
        // The ghost remembers one key for each 400 bytes, the nursery is a ninth of what is left.
        let ghost_lines = ((stride - ghost_at) / 400 / 31).max(1) as u32;
        let nursery_at = ghost_at + ghost_bytes(ghost_lines);
        let arena_at = nursery_at + (stride - 64 - nursery_at) / 9 / 64 * 64;
        let arena_end = ((stride - 64) / GRANULE) as u32;
        let first_block = (arena_at / GRANULE) as u32;
        let arena = arena_end - first_block;
        Self {
            len: 0,
            handles: 0,
            limbo_len: 0,
            record_stride: 0,
            shards: 0,
            shard_mask: 0,
            shards_at: 0,
            shard_stride: stride,
            chunk_shift,
            chunk_mask: (1 << chunk_shift) - 1,
            table_len,
            item_lists_at,
            index_lists_at,
            ghost_at,
            ghost_lines,
            nursery_at,
            first_block,
            arena_end,
            item_granules_max: (arena / 4).min(1 << 28),
            reserve: (arena / 256).clamp(64, 1 << 18),
            plenty: arena / 16,
        }
    }

    /// Where the shard begins, in bytes from the start of the region.
    #[inline(always)]
    pub(crate) fn shard_at(&self, shard: u32) -> usize {
        self.shards_at + shard as usize * self.shard_stride
    }

    pub(crate) fn record_at(&self, handle: u32) -> usize {
        ROOT_BYTES + handle as usize * self.record_stride
    }

    /// Granules of a block that holds one chunk of the index: of the directory, or of images.
    pub(crate) fn chunk_granules(&self) -> u32 {
        (index_chunk_bytes(self.chunk_shift) / GRANULE) as u32
    }

    /// How many buckets the directory can have.
    pub(crate) fn buckets_max(&self) -> u64 {
        u64::from(self.table_len) << self.chunk_shift
    }

    /// The largest key and value together, in bytes.
    pub(crate) fn item_len_max(&self) -> usize {
        self.item_granules_max as usize * GRANULE - crate::item::OVERHEAD_MAX
    }
}

/// A header, a granule to align the words, and room for the sentinel of a chunk of images.
const fn index_chunk_bytes(chunk_shift: u32) -> usize {
    (8 << chunk_shift) + 3 * GRANULE
}

/// One for each 8 MiB, at most 16, and as many as it takes to address the region; of which up to 255 bytes were lost where it
/// begins.
fn default_shards(len: usize) -> u32 {
    let by_size = 1 << ((len + 255) >> 23).clamp(1, 16).ilog2();
    let to_address = len.div_ceil(SHARD_BYTES_MAX).next_power_of_two() as u32;
    by_size.max(to_address).min(Config::SHARDS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_do_does() {
        for shards in [0, 1, 2, 16, 256] {
            for handles_max in [0, 1, 7, 64, 1024] {
                let config = Config { shards, handles_max, ..Config::default() };
                for len in [0, 1000, 15 << 10] {
                    match Geometry::new(len, &config) {
                        Err(OpenError::RegionTooSmall { min, .. }) => {
                            assert!(Geometry::new(min, &config).is_ok(), "{min} at {config:?}");
                        }
                        made => assert!(made.is_ok(), "{made:?}"),
                    }
                }
            }
        }
    }

    #[test]
    fn where_a_region_begins_does_not_change_its_shards() {
        for mib in [8, 16, 32, 64, 128, 512] {
            let shards = default_shards(mib << 20);
            assert_eq!(shards, (mib as u32 / 8).min(16));
            assert_eq!(default_shards((mib << 20) - 255), shards);
        }
    }

    #[test]
    fn geometry_covers_every_size() {
        for bits in 15..40 {
            for jitter in [0usize, 1, 63, 4095] {
                let len = (1usize << bits) + jitter;
                let g = match Geometry::new(len, &Config::default()) {
                    Ok(g) => g,
                    Err(OpenError::RegionTooSmall { min, .. }) => {
                        assert!(min > len);
                        continue;
                    }
                    Err(e) => panic!("{len}: {e}"),
                };
                assert!(g.shard_at(g.shards - 1) + g.shard_stride <= len);
                assert!(g.shard_stride <= SHARD_BYTES_MAX);
                assert!(g.first_block < g.arena_end);
                assert!((g.arena_end as usize + 1) * GRANULE <= g.shard_stride);
                let overhead = len - g.shards as usize * (g.arena_end as usize * GRANULE - g.nursery_at);
                assert!(len < 1 << 17 || overhead * 10 < len, "{len}: {overhead} bytes of overhead");
            }
        }
    }

    #[test]
    fn geometry_refuses_nonsense() {
        let config = |shards, handles_max| Config { shards, handles_max, ..Config::default() };
        assert_eq!(Geometry::new(1 << 20, &config(3, 0)), Err(OpenError::BadShards { shards: 3 }));
        assert_eq!(Geometry::new(1 << 20, &config(512, 0)), Err(OpenError::BadShards { shards: 512 }));
        assert_eq!(Geometry::new(1 << 20, &config(1, 5000)), Err(OpenError::BadHandles { handles: 5000 }));
        assert!(matches!(Geometry::new(100, &config(1, 1)), Err(OpenError::RegionTooSmall { .. })));
        assert!(matches!(Geometry::new(1 << 40, &config(1, 1)), Err(OpenError::RegionTooLarge { .. })));
    }
}

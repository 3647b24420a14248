//! Figures of a cache.
/// Figures of a cache, summed over its shards and handles. Counters are since the cache was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Items present (an expired item counts until it is collected).
    pub items: u64,
    /// Bytes of the region.
    pub region_bytes: u64,
    /// Bytes in blocks of items, headers and padding included.
    pub used_bytes: u64,
    /// Bytes free for items.
    pub free_bytes: u64,
    /// Largest free block, in bytes.
    pub largest_free_bytes: u64,
    /// Bytes of removed blocks that wait for their readers.
    pub limbo_bytes: u64,
    /// Bytes that the index has taken from the region.
    pub index_bytes: u64,
    /// Buckets of the index.
    pub buckets: u64,
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Writes that stored a value.
    pub stores: u64,
    /// Items removed on request.
    pub deletes: u64,
    /// Items removed to make room.
    pub evictions: u64,
    /// Items removed because their time had come.
    pub expirations: u64,
    /// Writes refused for lack of room.
    pub pressure: u64,
}

//! What users set.

/// How a cache divides its region. Every field has a documented default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Number of shards, a power of two; 0 chooses by the size of the region.
    pub shards: u32,
    /// Most handles alive at once. Default 64.
    pub handles_max: u32,
    /// Key of the hash: take it from the system's random source, so that nobody can choose keys that collide.
    pub seed: [u64; 4],
}
impl Config {
    /// Most shards.
    pub const SHARDS_MAX: u32 = 256;
    /// Most handles.
    pub const HANDLES_MAX: u32 = 1024;
}
impl Default for Config {
    fn default() -> Self { Self { shards: 0, handles_max: 64, seed: [0; 4] } }
}

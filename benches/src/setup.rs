//! What the criterion benches of the engine begin with: a filled cache, and keys in random order that lie ready.

use crabcache_engine::{Cache, Config, Handle, Millis, Op, Outcome, Simd};

use crate::bytes::{Keys, Region};
use crate::drive;

/// Operations in a batch.
pub const BATCH: usize = crabcache_engine::BATCH;
/// Bytes of each key.
pub const KEY_LEN: usize = 11;
/// What is stored under each key.
pub const VALUE: &[u8; 32] = &[b'v'; 32];
/// So many bytes of region for each item: all fit, with some room.
const BYTES_PER_ITEM: usize = 80;
/// Keys that lie ready; together too many bytes for the second cache, so that each run of them is as good as new.
const READY: usize = 1 << 20;

/// Memory for a cache of so many items.
#[derive(Debug)]
pub struct Table(Region);

impl Table {
    /// Fresh memory in which so many items fit.
    #[must_use]
    pub fn new(items: u32) -> Self {
        Self(Region::new((4 << 20) + items as usize * BYTES_PER_ITEM))
    }

    /// An empty cache of one shard.
    #[must_use]
    pub fn cache(&mut self) -> Cache<'_> {
        self.cache_with(Simd::default())
    }

    /// One that uses no wider instructions than these.
    ///
    /// # Panics
    /// Never: the region is large enough.
    #[must_use]
    pub fn cache_with(&mut self, simd: Simd) -> Cache<'_> {
        let config = Config { shards: 1, handles_max: 2, simd, ..Config::default() };
        Cache::new(self.0.bytes(), config).expect("the region is large enough")
    }
}

/// Puts the keys of all numbers below `items`.
///
/// # Panics
/// If one is refused.
pub fn fill(handle: &mut Handle<'_>, items: u32) {
    for first in (0..items).step_by(BATCH) {
        let batch = KeyBatch::numbered(first);
        let ops = batch.keys().map(|key| Op::put(key, VALUE));
        let ops = &ops[..BATCH.min((items - first) as usize)];
        let done = drive::execute(handle, Millis(0), ops, |_, outcome| {
            assert!(matches!(outcome, Outcome::Stored { .. }), "{outcome:?}");
        });
        assert_eq!(done, ops.len(), "no room");
        handle.quiescent(Millis(0));
    }
}

/// The keys of a batch.
#[derive(Clone, Copy, Debug)]
pub struct KeyBatch([[u8; KEY_LEN]; BATCH]);

impl KeyBatch {
    /// The keys of the numbers from `first` on.
    #[must_use]
    pub fn numbered(first: u32) -> Self {
        Self(std::array::from_fn(|i| key(first.wrapping_add(i as u32))))
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> [&[u8]; BATCH] {
        self.0.each_ref().map(|key| &key[..])
    }
}

/// Keys in random order.
#[derive(Debug)]
pub struct RandomKeys(Vec<KeyBatch>);

/// Goes round and round through [`RandomKeys`].
#[derive(Debug)]
pub struct Batches<'k> {
    keys: &'k RandomKeys,
    next: usize,
}

/// Keys of numbers below `items`, uniformly.
#[must_use]
pub fn random_keys(items: u32) -> RandomKeys {
    let mut state = 1_u64;
    let mut number = || {
        // PCG's multiplier (O'Neill 2014); the high bits are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (((state >> 32) * u64::from(items)) >> 32) as u32
    };
    let batch = |_| KeyBatch(std::array::from_fn(|_| key(number())));
    RandomKeys((0..READY / BATCH).map(batch).collect())
}

impl RandomKeys {
    /// The keys, batch by batch, without an end.
    #[must_use]
    pub const fn batches(&self) -> Batches<'_> {
        Batches { keys: self, next: 0 }
    }
}

impl<'k> Batches<'k> {
    /// The next keys.
    pub fn next_batch(&mut self) -> [&'k [u8]; BATCH] {
        let batch = &self.keys.0[self.next];
        self.next = (self.next + 1) % self.keys.0.len();
        batch.keys()
    }
}

fn key(number: u32) -> [u8; KEY_LEN] {
    let mut bytes = [0; KEY_LEN];
    Keys::new(KEY_LEN, u64::from(u32::MAX)).write(u64::from(number), &mut bytes);
    bytes
}

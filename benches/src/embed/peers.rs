//! Other caches and maps, each with what its users would put into it.
//!
//! Keys are `Box<[u8]>`, looked up by `&[u8]`. Values are `Arc<[u8]>` where a get hands out a clone (moka, `quick_cache`), else
//! `Box<[u8]>`, read where it lies. The hasher is the crate's own; where that is the standard library's `SipHash`, ahash, which
//! those who care about speed use. Everything else is as the crate has it by default.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use super::measure::{Contender, Operation, TURN, Tally, Work, first_byte};
use crate::process::CpuTime;

type Key = Box<[u8]>;
type Shared = Arc<[u8]>;
type Owned = Box<[u8]>;

type Foyer = foyer_memory::Cache<Key, Owned>;
type Moka = moka::sync::Cache<Key, Shared, ahash::RandomState>;
type QuickCache = quick_cache::sync::Cache<Key, Shared>;
type Lru = Mutex<lru::LruCache<Key, Owned>>;
type DashMap = dashmap::DashMap<Key, Owned, ahash::RandomState>;
type Papaya = papaya::HashMap<Key, Owned, ahash::RandomState>;
type Scc = scc::HashMap<Key, Owned, ahash::RandomState>;

/// Which peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKind {
    /// `quick_cache::sync::Cache`.
    QuickCache,
    /// `foyer_memory::Cache`, S3-FIFO.
    Foyer,
    /// `moka::sync::Cache`.
    Moka,
    /// `lru::LruCache` in a `std::sync::Mutex`.
    Lru,
    /// `dashmap::DashMap`, which evicts nothing.
    DashMap,
    /// `papaya::HashMap`, which evicts nothing.
    Papaya,
    /// `scc::HashMap`, which evicts nothing.
    Scc,
}

/// A text that names no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of quick_cache, foyer, moka, lru, dashmap, papaya, scc")]
pub struct BadPeer;

impl PeerKind {
    /// All of them, in the order in which they are reported.
    pub const ALL: [Self; 7] =
        [Self::QuickCache, Self::Foyer, Self::Moka, Self::Lru, Self::DashMap, Self::Papaya, Self::Scc];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::QuickCache => "quick_cache",
            Self::Foyer => "foyer",
            Self::Moka => "moka",
            Self::Lru => "lru",
            Self::DashMap => "dashmap",
            Self::Papaya => "papaya",
            Self::Scc => "scc",
        }
    }

    /// Whether it gives up items to make room for others.
    #[must_use]
    pub const fn evicts(self) -> bool {
        !matches!(self, Self::DashMap | Self::Papaya | Self::Scc)
    }

    /// An empty one for so many items. Maps are not told beforehand how many there will be, like the engine.
    #[must_use]
    pub fn build(self, capacity: usize) -> Box<dyn Contender> {
        let name = self.name();
        match self {
            Self::QuickCache => Box::new(Single { name, peer: QuickCache::new(capacity) }),
            Self::Foyer => {
                let builder = foyer_memory::CacheBuilder::new(capacity)
                    .with_eviction_config(foyer_memory::S3FifoConfig::default());
                Box::new(Single { name, peer: builder.build::<foyer_memory::CacheProperties>() })
            }
            Self::Moka => {
                let builder = moka::sync::Cache::builder().max_capacity(capacity as u64);
                Box::new(Single { name, peer: builder.build_with_hasher(ahash::RandomState::new()) as Moka })
            }
            Self::Lru => {
                let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
                Box::new(Single { name, peer: Mutex::new(lru::LruCache::new(capacity)) })
            }
            Self::DashMap => Box::new(Single { name, peer: DashMap::default() }),
            Self::Papaya => Box::new(Pinned(Papaya::default())),
            Self::Scc => Box::new(Single { name, peer: Scc::default() }),
        }
    }
}

impl FromStr for PeerKind {
    type Err = BadPeer;

    fn from_str(text: &str) -> Result<Self, BadPeer> {
        Self::ALL.into_iter().find(|peer| peer.name() == text).ok_or(BadPeer)
    }
}

/// What is done with a peer.
trait Map {
    /// Looks at the value of a key, if it is there.
    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R>;

    fn put(&self, key: &[u8], value: &[u8]);

    fn items(&self) -> u64;
}

/// A peer that takes part: its operations are carried out one by one.
struct Single<M> {
    name: &'static str,
    peer: M,
}

impl<M: Map + Sync> Contender for Single<M> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn items(&self) -> u64 {
        self.peer.items()
    }

    fn run(&self, work: &Work<'_>, start: &dyn Fn() -> CpuTime) -> Tally {
        run(work, start, |turn| turn(&self.peer))
    }

    fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.peer.get(key, <[u8]>::to_vec)
    }
}

/// Papaya is pinned once a turn, which is what the engine's `quiescent` is: it may not give back memory in between.
struct Pinned(Papaya);

impl Contender for Pinned {
    fn name(&self) -> &'static str {
        PeerKind::Papaya.name()
    }

    fn items(&self) -> u64 {
        self.0.pin().items()
    }

    fn run(&self, work: &Work<'_>, start: &dyn Fn() -> CpuTime) -> Tally {
        run(work, start, |turn| turn(&self.0.pin()))
    }

    fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        Map::get(&self.0.pin(), key, <[u8]>::to_vec)
    }
}

/// Carries out the work of one thread; `hold` hands the peer to each turn of it.
fn run<M: Map>(work: &Work<'_>, start: &dyn Fn() -> CpuTime, hold: impl Fn(&mut dyn FnMut(&M))) -> Tally {
    let mut tally = Tally { operations: work.len() as u64, ..Tally::default() };
    let mut number = 0;
    let start = start();
    for turn in work.keys.chunks(TURN * work.key_len) {
        hold(&mut |peer| {
            let keys = turn.chunks_exact(work.key_len);
            match work.operation {
                Operation::Get => keys.for_each(|key| {
                    if let Some(byte) = peer.get(key, first_byte) {
                        tally.hits += 1;
                        tally.sum += byte;
                    }
                }),
                Operation::Put => keys.for_each(|key| {
                    peer.put(key, work.value(number));
                    number += 1;
                }),
            }
        });
    }
    Tally { cpu: start.elapsed(), ..tally }
}

impl Map for QuickCache {
    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        Self::get(self, key).map(|value| look(&value))
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.insert(key.into(), value.into());
    }

    fn items(&self) -> u64 {
        self.len() as u64
    }
}

impl Map for Foyer {
    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        Self::get(self, key).map(|entry| look(entry.value()))
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.insert(key.into(), value.into());
    }

    fn items(&self) -> u64 {
        self.entries() as u64
    }
}

impl Map for Moka {
    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        Self::get(self, key).map(|value| look(&value))
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.insert(key.into(), value.into());
    }

    fn items(&self) -> u64 {
        self.run_pending_tasks();
        self.entry_count()
    }
}

impl Map for Lru {
    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.lock().unwrap_or_else(PoisonError::into_inner).get(key).map(|value| look(value))
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        // Allocated, and what it replaces freed, outside the lock.
        let (key, value) = (key.into(), value.into());
        let old = self.lock().unwrap_or_else(PoisonError::into_inner).push(key, value);
        drop(old);
    }

    fn items(&self) -> u64 {
        self.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }
}

impl Map for DashMap {
    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        Self::get(self, key).map(|value| look(&value))
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.insert(key.into(), value.into());
    }

    fn items(&self) -> u64 {
        self.len() as u64
    }
}

impl Map for papaya::HashMapRef<'_, Key, Owned, ahash::RandomState, papaya::LocalGuard<'_>> {
    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.get(key).map(|value| look(value))
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.insert(key.into(), value.into());
    }

    fn items(&self) -> u64 {
        self.len() as u64
    }
}

impl Map for Scc {
    fn get<R>(&self, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.read_sync(key, |_, value| look(value))
    }

    fn put(&self, key: &[u8], value: &[u8]) {
        self.upsert_sync(key.into(), value.into());
    }

    fn items(&self) -> u64 {
        self.len() as u64
    }
}

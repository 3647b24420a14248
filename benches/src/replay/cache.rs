//! A replay on a cache of another crate, which may hold so many bytes of keys and values.
//!
//! What it takes beyond them is its own affair, and shows in the memory of the process.

use std::fmt;
use std::sync::Arc;

use super::{Action, Answer, ReplayError, Step, Target};
use crate::bytes::{Filler, Keys};
use crate::embed::peers::PeerKind;

type Key = Box<[u8]>;
type Bytes = Arc<[u8]>;

type QuickCache = quick_cache::sync::Cache<Key, Bytes, Weigher>;
type Foyer = foyer_memory::Cache<Key, Bytes>;
type Moka = moka::sync::Cache<Key, Bytes, ahash::RandomState>;

/// A cache of another crate.
#[derive(Debug)]
pub struct CacheTarget<'c> {
    cache: Box<dyn Cache>,
    keys: Keys,
    filler: &'c Filler,
}

impl<'c> CacheTarget<'c> {
    /// An empty one that may hold so many bytes of keys and values; none of a kind that evicts nothing.
    #[must_use]
    pub fn new(kind: PeerKind, bytes: u64, keys: Keys, filler: &'c Filler) -> Option<Self> {
        let cache: Box<dyn Cache> = match kind {
            PeerKind::QuickCache => {
                // Told about how many items to expect, as its users have to.
                let items = bytes as usize / (keys.len() + 64);
                Box::new(QuickCache::with_weighter(items, bytes, Weigher))
            }
            PeerKind::Foyer => {
                let builder = foyer_memory::CacheBuilder::new(bytes as usize)
                    .with_eviction_config(foyer_memory::S3FifoConfig::default())
                    .with_weighter(|key: &Key, value: &Bytes| weight(key, value) as usize);
                Box::new(builder.build::<foyer_memory::CacheProperties>())
            }
            PeerKind::Moka => {
                let builder = moka::sync::Cache::builder()
                    .weigher(|key: &Key, value: &Bytes| weight(key, value) as u32)
                    .max_capacity(bytes);
                Box::new(builder.build_with_hasher(ahash::RandomState::new()) as Moka)
            }
            PeerKind::Lru => Box::new(Lru::new(bytes)),
            PeerKind::DashMap | PeerKind::Papaya | PeerKind::Scc => return None,
        };
        Some(Self { cache, keys, filler })
    }
}

impl Target for CacheTarget<'_> {
    fn run(&mut self, _: u64, steps: &[Step], answers: &mut Vec<Answer>) -> Result<(), ReplayError> {
        let mut key = vec![0; self.keys.len()];
        for step in steps {
            self.keys.write(u64::from(step.key), &mut key);
            answers.push(match step.action {
                Action::Get => match self.cache.get(&key) {
                    Some(value) => Answer::Hit {
                        size: value.len() as u32,
                        intact: self.filler.is_value(step.key, &value),
                    },
                    None => Answer::Miss,
                },
                Action::Put { .. } => {
                    self.cache.put(key.as_slice().into(), self.filler.value(step.key, step.size).into());
                    Answer::Done
                }
                Action::Delete => {
                    self.cache.remove(&key);
                    Answer::Done
                }
            });
        }
        Ok(())
    }

    fn is_local(&self) -> bool {
        true
    }
}

trait Cache: fmt::Debug {
    fn get(&mut self, key: &[u8]) -> Option<Bytes>;
    fn put(&mut self, key: Key, value: Bytes);
    fn remove(&mut self, key: &[u8]);
}

/// What an item weighs.
fn weight(key: &Key, value: &Bytes) -> u64 {
    (key.len() + value.len()) as u64
}

#[derive(Clone, Debug)]
struct Weigher;

impl quick_cache::Weighter<Key, Bytes> for Weigher {
    fn weight(&self, key: &Key, value: &Bytes) -> u64 {
        weight(key, value)
    }
}

impl Cache for QuickCache {
    fn get(&mut self, key: &[u8]) -> Option<Bytes> {
        Self::get(self, key)
    }

    fn put(&mut self, key: Key, value: Bytes) {
        self.insert(key, value);
    }

    fn remove(&mut self, key: &[u8]) {
        Self::remove(self, key);
    }
}

impl Cache for Foyer {
    fn get(&mut self, key: &[u8]) -> Option<Bytes> {
        Self::get(self, key).map(|entry| Arc::clone(entry.value()))
    }

    fn put(&mut self, key: Key, value: Bytes) {
        self.insert(key, value);
    }

    fn remove(&mut self, key: &[u8]) {
        Self::remove(self, key);
    }
}

impl Cache for Moka {
    fn get(&mut self, key: &[u8]) -> Option<Bytes> {
        Self::get(self, key)
    }

    fn put(&mut self, key: Key, value: Bytes) {
        self.insert(key, value);
    }

    fn remove(&mut self, key: &[u8]) {
        self.invalidate(key);
    }
}

/// `lru` counts items: those that weigh too much together are taken out here.
#[derive(Debug)]
struct Lru {
    items: lru::LruCache<Key, Bytes>,
    weight: u64,
    weight_max: u64,
}

impl Lru {
    fn new(weight_max: u64) -> Self {
        Self { items: lru::LruCache::unbounded(), weight: 0, weight_max }
    }
}

impl Cache for Lru {
    fn get(&mut self, key: &[u8]) -> Option<Bytes> {
        self.items.get(key).cloned()
    }

    fn put(&mut self, key: Key, value: Bytes) {
        self.weight += weight(&key, &value);
        if let Some((key, value)) = self.items.push(key, value) {
            self.weight -= weight(&key, &value);
        }
        while self.weight > self.weight_max
            && let Some((key, value)) = self.items.pop_lru()
        {
            self.weight -= weight(&key, &value);
        }
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some((key, value)) = self.items.pop_entry(key) {
            self.weight -= weight(&key, &value);
        }
    }
}

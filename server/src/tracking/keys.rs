//! Keys that were read, and by whom. In parts, of which none takes long to grow, or to be dropped: others wait meanwhile.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use ahash::RandomState;
use crabcache_engine::Millis;
use hashbrown::HashMap;

/// Who has read a key.
#[derive(Debug)]
pub(super) struct Readers {
    /// The numbers of the clients in order.
    pub(super) ids: Vec<u64>,
    /// When the key expires.
    pub(super) expires: Option<Millis>,
}

type Part = HashMap<Arc<[u8]>, Readers, RandomState>;

/// Their number.
const PARTS: usize = 64;

/// The keys.
#[derive(Debug)]
pub(super) struct Keys {
    parts: Vec<Part>,
    len: usize,
    choice: RandomState,
}

impl Default for Keys {
    fn default() -> Self {
        let parts = (0..PARTS).map(|_| Part::default()).collect();
        Self { parts, len: 0, choice: RandomState::default() }
    }
}

impl Keys {
    fn part(&self, key: &[u8]) -> usize {
        self.choice.hash_one(key) as usize % PARTS
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Readers> {
        let part = self.part(key);
        self.parts[part].get_mut(key)
    }

    pub(super) fn get_key_value(&self, key: &[u8]) -> Option<(&Arc<[u8]>, &Readers)> {
        self.parts[self.part(key)].get_key_value(key)
    }

    /// Adds one that is not there.
    pub(super) fn insert(&mut self, key: Arc<[u8]>, readers: Readers) {
        let part = self.part(&key);
        self.parts[part].insert(key, readers);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Readers> {
        let part = self.part(key);
        let removed = self.parts[part].remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Readers> {
        self.parts.iter().flat_map(HashMap::values)
    }
}

/// Keys that are no longer tracked, to be dropped some at a time.
#[derive(Debug)]
pub(super) struct Forgotten {
    parts: Vec<Part>,
    order: VecDeque<Arc<[u8]>>,
    deadlines: Vec<Reverse<(Millis, Arc<[u8]>)>>,
}

/// So many of each kind are dropped at once.
const DROPPED: usize = 2048;

impl Forgotten {
    pub(super) fn new(
        keys: Keys,
        order: VecDeque<Arc<[u8]>>,
        deadlines: BinaryHeap<Reverse<(Millis, Arc<[u8]>)>>,
    ) -> Self {
        Self { parts: keys.parts, order, deadlines: deadlines.into_vec() }
    }

    /// Drops some; true if nothing is left.
    pub(super) fn drop_some(&mut self) -> bool {
        let mut dropped = 0;
        while dropped < DROPPED
            && let Some(part) = self.parts.pop()
        {
            dropped += part.len();
        }
        self.order.truncate(self.order.len().saturating_sub(DROPPED));
        self.deadlines.truncate(self.deadlines.len().saturating_sub(DROPPED));
        self.parts.is_empty() && self.order.is_empty() && self.deadlines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_is_dropped_some_at_a_time() {
        let names: Vec<Arc<[u8]>> = (0..20_000_u32).map(|name| Arc::from(name.to_le_bytes())).collect();
        let mut keys = Keys::default();
        for name in &names {
            keys.insert(Arc::clone(name), Readers { ids: vec![1], expires: None });
        }
        assert!(keys.remove(&names[0]).is_some() && keys.remove(&names[0]).is_none());
        assert_eq!((keys.len(), keys.values().count()), (names.len() - 1, names.len() - 1));
        let deadlines = names.iter().map(|name| Reverse((Millis(1), Arc::clone(name)))).collect();
        let mut forgotten = Forgotten::new(keys, names.iter().cloned().collect(), deadlines);
        let held = || names.iter().map(|name| Arc::strong_count(name) - 1).sum::<usize>();
        let (mut before, mut times) = (held(), 1);
        while !forgotten.drop_some() {
            let now = held();
            assert!(before - now <= 4 * DROPPED, "{} at once", before - now);
            (before, times) = (now, times + 1);
        }
        assert_eq!(held(), 0);
        assert!(times >= names.len() / DROPPED, "{times}");
    }
}

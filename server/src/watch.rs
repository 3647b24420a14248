//! Keys that clients watch (`WATCH`), and who is told when they change.
//!
//! ```text
//! changed key --hash--> filter: how many watched keys have this hash?  --some--> table: key -> its watchers
//! ```
//! While nobody watches, a turn asks that once. While somebody does, each write is asked for its hash; only where a
//! watched key has the same is the table locked. A key that is evicted or expires tells nobody: whoever watched it as
//! present looks again at the end.
//!
//! Keys are those that the engine stores. Who begins to watch is alone with the items ([`Access`]), so a turn of another
//! worker either is over or knows.
//!
//! [`Access`]: crate::reactor::access::Access

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;
use hashbrown::HashMap;

/// Counters of the filter; a power of two.
const FILTER: usize = 1024;

/// All watched keys.
#[derive(Debug)]
pub(crate) struct Watches {
    /// Watched keys, each as often as it is watched by somebody who does not know yet that it has changed.
    count: AtomicUsize,
    /// The same by hash.
    filter: Box<[AtomicU32]>,
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    keys: HashMap<Box<[u8]>, Vec<Arc<Watcher>>, RandomState>,
    watchers: Vec<Arc<Watcher>>,
}

/// A client that watches.
#[derive(Debug, Default)]
struct Watcher {
    /// A key of its has changed.
    changed: AtomicBool,
    /// A key of its was there when it began to watch it.
    saw_some: AtomicBool,
}

impl Watcher {
    fn tell(&self) {
        // Relaxed, here and where it is read: the locks of the turns order it.
        self.changed.store(true, Ordering::Relaxed);
    }
}

impl Watches {
    pub(crate) fn new() -> Self {
        Self {
            count: AtomicUsize::new(0),
            filter: (0..FILTER).map(|_| AtomicU32::new(0)).collect(),
            hasher: RandomState::new(),
            table: Mutex::default(),
        }
    }

    /// Whether any key is watched. Who asks within a turn is right until its end.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        // Relaxed: the locks of the turns order it.
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Whether `key` may be watched.
    pub(crate) fn may_have(&self, key: &[u8]) -> bool {
        self.slot(key).load(Ordering::Relaxed) > 0
    }

    /// Tells all who watch `key` that it has changed, which they need to know once; gives how many they are.
    pub(crate) fn changed(&self, key: &[u8]) -> usize {
        if !self.may_have(key) {
            return 0;
        }
        let told = self.table(|table| table.keys.remove(key)).unwrap_or_default();
        for watcher in &told {
            watcher.tell();
        }
        self.discount(key, told.len());
        told.len()
    }

    /// Tells all who watch keys that `concerns` is true for that they have changed.
    pub(crate) fn changed_where(&self, concerns: impl Fn(&[u8]) -> bool) {
        self.table(|table| {
            let concerned = table.keys.iter().filter(|(key, _)| concerns(key));
            concerned.flat_map(|(_, watchers)| watchers).for_each(|watcher| watcher.tell());
        });
    }

    /// Says that all keys are removed: a change to each that was there. One that was not, and is now, has changed already.
    pub(crate) fn all_removed(&self) {
        self.table(|table| {
            let affected = table.watchers.iter().filter(|watcher| watcher.saw_some.load(Ordering::Relaxed));
            affected.for_each(|watcher| watcher.tell());
        });
    }

    fn slot(&self, key: &[u8]) -> &AtomicU32 {
        &self.filter[self.hasher.hash_one(key) as usize % FILTER]
    }

    fn add(&self, key: &[u8], watcher: &Arc<Watcher>) {
        self.table(|table| table.keys.entry(key.into()).or_default().push(Arc::clone(watcher)));
        self.slot(key).fetch_add(1, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// It may have been told of this key, and so no longer be one of its watchers.
    fn remove(&self, key: &[u8], watcher: &Arc<Watcher>) {
        let removed = self.table(|table| {
            let Some(watchers) = table.keys.get_mut(key) else { return 0 };
            let before = watchers.len();
            watchers.retain(|other| !Arc::ptr_eq(other, watcher));
            let removed = before - watchers.len();
            if watchers.is_empty() {
                table.keys.remove(key);
            }
            removed
        });
        self.discount(key, removed);
    }

    /// So many have ceased to watch this key.
    fn discount(&self, key: &[u8], watchers: usize) {
        self.slot(key).fetch_sub(watchers as u32, Ordering::Relaxed);
        self.count.fetch_sub(watchers, Ordering::Relaxed);
    }

    fn table<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        // The table is whole between any two calls, so a panic elsewhere does not make it wrong.
        work(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one client watches; it ends with this.
#[derive(Debug)]
pub(crate) struct Watching {
    watches: Arc<Watches>,
    watcher: Arc<Watcher>,
    /// Whether each key was present.
    keys: HashMap<Box<[u8]>, bool, RandomState>,
    held: usize,
}

/// Keys that one client may watch: EXEC looks at each of them while nobody else may do anything.
pub(crate) const WATCHED_MAX: usize = 4096;

/// Bytes of memory for a watched key beyond the key, which is there twice.
const ENTRY: usize = 160;

impl Watching {
    pub(crate) fn new(watches: &Arc<Watches>) -> Self {
        let watcher = Arc::<Watcher>::default();
        watches.table(|table| table.watchers.push(Arc::clone(&watcher)));
        Self { watches: Arc::clone(watches), watcher, keys: HashMap::default(), held: 0 }
    }

    /// Watches `key`, too, which is present or not at this moment.
    pub(crate) fn add(&mut self, key: &[u8], present: bool) {
        if !self.keys.contains_key(key) {
            self.keys.insert(key.into(), present);
            self.held += 2 * key.len() + ENTRY;
            self.watches.add(key, &self.watcher);
            self.watcher.saw_some.fetch_or(present, Ordering::Relaxed);
        }
    }

    /// Whether a key was changed, or is no longer there.
    pub(crate) fn has_changed(&self, mut is_present: impl FnMut(&[u8]) -> bool) -> bool {
        self.watcher.changed.load(Ordering::Relaxed)
            || self.keys.iter().any(|(key, &was)| was && !is_present(key))
    }

    /// How many keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.held
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        for key in self.keys.keys() {
            self.watches.remove(key, &self.watcher);
        }
        self.watches.table(|table| table.watchers.retain(|other| !Arc::ptr_eq(other, &self.watcher)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_watches_a_key_is_told_and_nobody_else() {
        let watches = Arc::new(Watches::new());
        let (mut one, mut two) = (Watching::new(&watches), Watching::new(&watches));
        one.add(b"a", true);
        one.add(b"a", true);
        one.add(b"b", false);
        two.add(b"b", false);
        two.add(b"c", true);
        assert_eq!(watches.changed(b"d"), 0);
        assert_eq!(watches.changed(b"a"), 1);
        assert_eq!(watches.changed(b"a"), 0, "it knows");
        assert!(one.has_changed(|_| true));
        assert!(!two.has_changed(|_| true));
        assert!(two.has_changed(|key| key != b"c"), "c has expired");
        let mut three = Watching::new(&watches);
        three.add(b"b", false);
        watches.all_removed();
        assert!(two.has_changed(|_| true) && !three.has_changed(|_| true));
        watches.changed_where(|key| key == b"b");
        assert!(three.has_changed(|_| true));
        drop(three);
        drop(one);
        assert!(watches.any() && !watches.table(|table| table.keys.contains_key(&b"a"[..])));
        drop(two);
        assert!(!watches.any());
        watches.table(|table| assert!(table.keys.is_empty() && table.watchers.is_empty()));
        assert!(watches.filter.iter().all(|slot| slot.load(Ordering::Relaxed) == 0));
    }
}

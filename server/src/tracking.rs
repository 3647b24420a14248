//! Keys of which clients keep copies (CLIENT TRACKING), and who is told when they change.
//!
//! ```text
//! read by a client that tracks --> keys: key -> numbers of clients      told once, then forgotten
//! BCAST, with or without prefixes --> trackers                          told of every change
//! ```
//! While nobody tracks, a turn asks that once. Who begins to track is alone with the items (`reactor/access.rs`), so a turn
//! of another worker either is over or knows. A key is noted before it is read, and looked up after it was written: a
//! change that the read has not seen finds the note.
//!
//! When a key that was read expires, is noted with it, so that its readers are told then, within a second. Items that the
//! engine evicts, or finds expired and removes, are told of by an observer, which its handles have only while somebody tracks.

mod keys;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;
use crabcache_engine::{Millis, Observer};
use crabcache_protocol::resp::{Version, write};
use hashbrown::HashMap;

use self::keys::{Forgotten, Keys, Readers};
use crate::connection::client::Client;
use crate::database;
use crate::mail::{Stale, Text, What};
use crate::shared::Shared;

/// What a client has asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Who is told instead.
    pub(crate) redirect: Option<u64>,
    /// Of all changes, whether it has read the key or not.
    pub(crate) broadcast: bool,
    /// Only of keys that begin so; all if there are none.
    pub(crate) prefixes: Vec<Box<[u8]>>,
    /// Only keys read after CLIENT CACHING YES.
    pub(crate) opt_in: bool,
    /// Not those read after CLIENT CACHING NO.
    pub(crate) opt_out: bool,
    /// Not of changes that it makes itself.
    pub(crate) no_loop: bool,
}

#[derive(Debug)]
struct Tracker {
    client: Arc<Client>,
    options: Options,
    /// The client that it redirects to is gone.
    broken: bool,
}

/// All that is tracked.
#[derive(Debug, Default)]
pub(crate) struct Tracking {
    clients: AtomicUsize,
    /// What it takes, in nanoseconds or so, to ask those who are told of every change whether one concerns them.
    asking: AtomicUsize,
    /// What it took to tell of what has gone by itself, in nanoseconds or so, as far as no worker has counted it.
    gone_work: AtomicUsize,
    /// A removal has ended too early to tell anybody of it.
    cut_off: AtomicBool,
    /// What is no longer tracked and not dropped yet, and how much of it nobody is about to drop.
    forgotten: Mutex<Vec<Forgotten>>,
    forgotten_len: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    trackers: HashMap<u64, Tracker, RandomState>,
    keys: Keys,
    /// Keys as they came, the oldest first; some are no longer those of `keys`.
    order: VecDeque<Arc<[u8]>>,
    /// Keys that expire, the next one first; some are no longer those of `keys`, or expire at another time.
    deadlines: BinaryHeap<Reverse<(Millis, Arc<[u8]>)>>,
    /// Bytes of memory that the keys take.
    held: usize,
    /// At most so many bytes more are taken by what `order` and `deadlines` have of keys that were forgotten.
    stale: usize,
    /// Those of `trackers` that broadcast.
    broadcasting: Vec<u64>,
    /// What it takes to ask all of these.
    asking: usize,
    /// What it took to tell of what has gone by itself, since a worker's turn has ended.
    gone_work: usize,
    /// More has gone since then, of which those that broadcast were not told.
    gone_untold: bool,
}

/// How much is tracked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Clients that track.
    pub(crate) clients: usize,
    /// Keys that will be told of.
    pub(crate) keys: usize,
    /// Clients that will be told, summed over the keys.
    pub(crate) items: usize,
    /// Prefixes.
    pub(crate) prefixes: usize,
}

impl Tracking {
    /// Whether anybody tracks. Who asks within a turn is right until its end.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        // Relaxed: the locks of the turns order it.
        self.clients.load(Ordering::Relaxed) > 0
    }

    fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        // The table is whole between any two calls.
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let done = work(&mut table);
        self.clients.store(table.trackers.len(), Ordering::Relaxed);
        self.asking.store(table.asking, Ordering::Relaxed);
        done
    }

    /// What a change takes at least, in nanoseconds or so.
    pub(crate) fn asking(&self) -> usize {
        self.asking.load(Ordering::Relaxed)
    }

    /// Notes that a client reads `key`; beyond `max` keys, or the memory of all clients, the oldest counts as changed.
    pub(crate) fn read(&self, shared: &Shared<'_>, id: u64, key: &[u8], max: usize) {
        self.with(|table| {
            if let Some(readers) = table.keys.get_mut(key) {
                let Err(place) = readers.ids.binary_search(&id) else { return };
                readers.ids.insert(place, id);
                table.held += READER;
            } else {
                let key: Arc<[u8]> = key.into();
                table.held += ENTRY + key.len() + READER;
                table.keys.insert(Arc::clone(&key), Readers { ids: vec![id], expires: None });
                table.order.push_back(key);
            }
            while max > 0 && table.keys.len() > max || table.held > shared.config.client_memory_bytes {
                let Some(oldest) = table.order.pop_front() else { break };
                if let Some(readers) = readers(&table.keys, &oldest) {
                    let has_deadline = readers.expires.is_some();
                    table.forget(shared, &oldest, None);
                    if !has_deadline {
                        // Nothing more is left of it.
                        table.stale -= ENTRY + oldest.len();
                    }
                }
            }
            table.prune();
        });
    }

    /// Notes when a key that was read expires, or might have: another worker may have noted meanwhile that it was stored anew to
    /// expire sooner. Telling too early is harmless.
    pub(crate) fn expires(&self, key: &[u8], at: Millis) {
        self.with(|table| {
            let Some((key, readers)) = table.keys.get_key_value(key) else { return };
            if readers.expires.is_some_and(|known| known <= at) {
                return;
            }
            let key = Arc::clone(key);
            if let Some(readers) = table.keys.get_mut(&key) {
                readers.expires = Some(at);
            }
            table.deadlines.push(Reverse((at, key)));
            table.prune();
        });
    }

    /// Tells those who keep copies of keys that have expired. True if it was enough for once, and there are more.
    pub(crate) fn expire(&self, shared: &Shared<'_>, now: Millis) -> bool {
        self.any()
            && self.with(|table| {
                let mut work = 0;
                while table.deadlines.peek().is_some_and(|Reverse((at, _))| *at <= now) {
                    if work >= EXPIRE_WORK {
                        return true;
                    }
                    let Some(Reverse((at, key))) = table.deadlines.pop() else { break };
                    work += EXPIRED;
                    if is_current(&table.keys, &key, at) {
                        work += table.forget(shared, &key, None);
                    }
                }
                false
            })
    }

    /// Tells those who keep copies of `key` that `author` has changed it; gives what it took, in nanoseconds or so.
    pub(crate) fn changed(&self, shared: &Shared<'_>, key: &[u8], author: u64) -> usize {
        self.with(|table| table.forget(shared, key, Some(author)) + table.ask_all(shared, key, author))
    }

    /// Tells those who keep copies of `key` that it has gone by itself. Very many may go at once, for one write: beyond some, those who
    /// are told of every change are told later that everything has changed ([`Tracking::end_turn`]).
    fn gone(&self, shared: &Shared<'_>, key: &[u8]) {
        let work = self.with(|table| {
            // Nobody has this number.
            let author = 0;
            let mut work = GONE + table.forget(shared, key, Some(author));
            if table.gone_work < GONE_WORK {
                work += table.ask_all(shared, key, author);
                table.gone_work += work;
            } else {
                table.gone_untold = true;
            }
            work
        });
        self.gone_work.fetch_add(work, Ordering::Relaxed);
    }

    /// What it took to tell of what has gone since this was asked last, in nanoseconds or so.
    pub(crate) fn take_gone_work(&self) -> usize {
        self.gone_work.swap(0, Ordering::Relaxed)
    }

    /// A worker has made room, and does something else now: tells of what nobody was told of yet.
    pub(crate) fn end_turn(&self, shared: &Shared<'_>) {
        if self.any() {
            self.with(|table| {
                table.gone_work = 0;
                if mem::take(&mut table.gone_untold) {
                    let Table { trackers, broadcasting, .. } = table;
                    for id in broadcasting {
                        if let Some(tracker) = trackers.get_mut(id) {
                            tracker.tell(shared, None);
                        }
                    }
                }
            });
        }
    }

    /// Tells all that every key has changed.
    pub(crate) fn flushed(&self, shared: &Shared<'_>) {
        if !self.any() {
            return;
        }
        let forgotten = self.with(|table| {
            for tracker in table.trackers.values_mut() {
                tracker.tell(shared, None);
            }
            table.take_keys()
        });
        self.leave_to_drop(forgotten);
    }

    /// Lets what is no longer tracked be dropped some at a time.
    fn leave_to_drop(&self, forgotten: Forgotten) {
        let mut all = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(forgotten);
        self.forgotten_len.store(all.len(), Ordering::Relaxed);
    }

    /// Whether there is something to drop.
    #[inline]
    pub(crate) fn has_forgotten(&self) -> bool {
        self.forgotten_len.load(Ordering::Relaxed) > 0
    }

    /// Drops some of it.
    pub(crate) fn drop_some(&self) {
        if !self.has_forgotten() {
            return;
        }
        let last = {
            let mut all = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
            let last = all.pop();
            self.forgotten_len.store(all.len(), Ordering::Relaxed);
            last
        };
        if let Some(mut last) = last
            && !last.drop_some()
        {
            self.leave_to_drop(last);
        }
    }

    /// Tells all that every key has changed, where a removal was cut off.
    #[inline]
    pub(crate) fn look_for_cut_off(&self, shared: &Shared<'_>) {
        // Relaxed: the worker that asks is the one that has cut it off.
        if self.cut_off.load(Ordering::Relaxed) && self.cut_off.swap(false, Ordering::Relaxed) {
            self.flushed(shared);
        }
    }

    /// Whether the client that this one redirects to is gone.
    pub(crate) fn is_broken(&self, id: u64) -> bool {
        self.with(|table| table.trackers.get(&id).is_some_and(|tracker| tracker.broken))
    }

    /// How much is tracked.
    pub(crate) fn figures(&self) -> Figures {
        self.with(|table| Figures {
            clients: table.trackers.len(),
            keys: table.keys.len(),
            items: table.keys.values().map(|readers| readers.ids.len()).sum(),
            prefixes: table.trackers.values().map(|tracker| tracker.options.prefix_count()).sum(),
        })
    }
}

/// A removal of many keys, of which those who keep copies are told at its end, whatever ends it: its client may go in the middle of it.
#[derive(Debug)]
pub(crate) struct Removal {
    tracking: Arc<Tracking>,
    told: bool,
}

impl Removal {
    /// Begins.
    pub(crate) fn begin(tracking: &Arc<Tracking>) -> Self {
        Self { tracking: Arc::clone(tracking), told: false }
    }

    /// Tells of it, at its end.
    pub(crate) fn end(&mut self, shared: &Shared<'_>) {
        self.told = true;
        self.tracking.flushed(shared);
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if !self.told {
            self.tracking.cut_off.store(true, Ordering::Relaxed);
        }
    }
}

/// Bytes of memory for a key beyond its bytes, and for one of its readers.
const ENTRY: usize = 176;
const READER: usize = size_of::<u64>();

/// What takes how long, in nanoseconds or so: to ask a client whether a change concerns it, to compare one of its prefixes, to tell
/// it; and to find a key that has expired.
const ASKED: usize = 30;
const PREFIX_ASKED: usize = 10;
const TOLD: usize = 100;
const EXPIRED: usize = 500;
/// And to find out who has read a key that has gone.
const GONE: usize = 50;
/// How much of that is done in a turn to tell those who are told of every change of what has gone.
const GONE_WORK: usize = 500_000;
/// How much of that is done at once for keys that have expired.
const EXPIRE_WORK: usize = 1000 * EXPIRED;

/// Prefixes that one client may ask for: each write looks at all of them.
pub(crate) const PREFIXES_MAX: usize = 128;

impl Observer for Shared<'_> {
    fn gone(&self, stored: &[u8]) {
        self.tracking.gone(self, database::split(stored).1);
    }
}

/// `order` and `deadlines` may have so many more entries than twice those that count.
const SLACK: usize = 64;
/// What was forgotten may take so much more memory than what was not.
const STALE_SLACK: usize = 64 << 10;

/// Who has read `key`, if it was not forgotten since: a key that is read again then has entries of its own in `order` and
/// `deadlines`, and these would pile up if they counted for it, too.
fn readers<'k>(keys: &'k Keys, key: &Arc<[u8]>) -> Option<&'k Readers> {
    keys.get_key_value(key).filter(|(own, _)| Arc::ptr_eq(own, key)).map(|(_, readers)| readers)
}

/// Whether `key` was read, and expires at this time as far as is known.
fn is_current(keys: &Keys, key: &Arc<[u8]>, at: Millis) -> bool {
    readers(keys, key).is_some_and(|readers| readers.expires == Some(at))
}

impl Options {
    /// Bytes of memory that they take.
    fn held(&self) -> usize {
        self.prefixes.iter().map(|prefix| prefix.len() + 2 * size_of::<usize>()).sum()
    }

    fn prefix_count(&self) -> usize {
        if self.broadcast { self.prefixes.len().max(1) } else { 0 }
    }

    /// What it takes to ask this client whether a change concerns it.
    fn asking(&self) -> usize {
        if self.broadcast { ASKED + self.prefixes.len() * PREFIX_ASKED } else { 0 }
    }
}

impl Table {
    /// Forgets all keys.
    fn take_keys(&mut self) -> Forgotten {
        (self.held, self.stale) = (0, 0);
        let Self { keys, order, deadlines, .. } = self;
        Forgotten::new(mem::take(keys), mem::take(order), mem::take(deadlines))
    }

    /// Lets go of what was forgotten, once it is as much as what was not.
    fn prune(&mut self) {
        let most = 2 * self.keys.len() + SLACK;
        let many = self.order.len() > most || self.deadlines.len() > most;
        if many || self.stale > self.held + STALE_SLACK {
            let Self { keys, order, deadlines, .. } = self;
            order.retain(|key| readers(keys, key).is_some());
            deadlines.retain(|Reverse((at, key))| is_current(keys, key, *at));
            self.stale = 0;
        }
    }

    /// Tells those who are told of every change that `author` has changed `key`; gives what it took, in nanoseconds or so.
    fn ask_all(&mut self, shared: &Shared<'_>, key: &[u8], author: u64) -> usize {
        let mut work = 0;
        let Self { trackers, broadcasting, .. } = self;
        for id in broadcasting {
            let Some(tracker) = trackers.get_mut(id) else { continue };
            work += ASKED;
            let Options { prefixes, no_loop, .. } = &tracker.options;
            if *no_loop && *id == author || tracker.knows_all() {
                continue;
            }
            let asked = prefixes.iter().position(|prefix| key.starts_with(prefix));
            work += asked.map_or(prefixes.len(), |at| at + 1) * PREFIX_ASKED;
            if prefixes.is_empty() || asked.is_some() {
                tracker.tell(shared, Some(key));
                work += TOLD;
            }
        }
        work
    }

    /// Tells those who have read `key`, and forgets that they have; gives what it took, in nanoseconds or so.
    fn forget(&mut self, shared: &Shared<'_>, key: &[u8], author: Option<u64>) -> usize {
        let Some(Readers { ids, .. }) = self.keys.remove(key) else { return 0 };
        self.held -= ENTRY + key.len() + ids.len() * READER;
        self.stale += ENTRY + key.len();
        let work = ids.len() * TOLD;
        for id in ids {
            if let Some(tracker) = self.trackers.get_mut(&id)
                && !(tracker.options.no_loop && author == Some(id))
            {
                tracker.tell(shared, Some(key));
            }
        }
        work
    }
}

impl Tracker {
    /// Whether it will be told that every key has changed, whatever changes until then.
    fn knows_all(&self) -> bool {
        self.options.redirect.is_none() && self.client.stale().as_ref().is_some_and(Stale::is_all)
    }

    /// Tells it of a key, or of all.
    fn tell(&mut self, shared: &Shared<'_>, key: Option<&[u8]>) {
        let Some(redirect) = self.options.redirect else {
            // RESP2 has no place for it.
            if self.client.version() == Version::Resp3 {
                shared.invalidate(&self.client, key, false);
            }
            return;
        };
        match shared.clients.find(redirect) {
            Some(client) if client.version() == Version::Resp3 || client.is_subscriber() => {
                shared.invalidate(&client, key, true);
            }
            Some(_) => {}
            None => self.break_off(shared, redirect),
        }
    }

    fn break_off(&mut self, shared: &Shared<'_>, redirect: u64) {
        if !self.broken && self.client.version() == Version::Resp3 {
            let mut body = Vec::new();
            write::integer(&mut body, redirect.cast_signed());
            shared.push(&self.client, &Text::new(What::RedirectBroken, &body.into(), 1));
        }
        self.broken = true;
    }
}

/// A client tracks, as long as this lives.
#[derive(Debug)]
pub(crate) struct Tracked {
    tracking: Arc<Tracking>,
    id: u64,
    /// What it has asked for.
    pub(crate) options: Options,
    /// What CLIENT CACHING has said about the next command.
    pub(crate) caching: bool,
    /// The command at hand notes the keys that it reads by itself, in slices.
    pub(crate) notes_slices: bool,
}

impl Tracked {
    /// Begins.
    pub(crate) fn new(tracking: &Arc<Tracking>, client: &Arc<Client>, options: Options) -> Self {
        let mut tracked = Self {
            tracking: Arc::clone(tracking),
            id: client.id,
            options: Options::default(),
            caching: false,
            notes_slices: false,
        };
        tracked.change(client, options);
        tracked
    }

    /// Goes on in this way.
    pub(crate) fn change(&mut self, client: &Arc<Client>, options: Options) {
        let tracker = Tracker { client: Arc::clone(client), options: options.clone(), broken: false };
        self.tracking.with(|table| {
            table.broadcasting.retain(|id| *id != self.id);
            table.broadcasting.extend(options.broadcast.then_some(self.id));
            table.asking += options.asking();
            let before = table.trackers.insert(self.id, tracker);
            table.asking -= before.map_or(0, |before| before.options.asking());
        });
        self.options = options;
    }

    /// Whether the keys that the command at hand reads are to be noted.
    pub(crate) fn notes_keys(&self) -> bool {
        let Options { broadcast, opt_in, opt_out, .. } = self.options;
        !broadcast && (!opt_in || self.caching) && (!opt_out || !self.caching)
    }

    /// Bytes of memory that it takes: what was asked for is kept here and in the table.
    pub(crate) fn held(&self) -> usize {
        2 * (size_of::<Tracker>() + self.options.held())
    }

    /// Whether the client that this one redirects to is gone.
    pub(crate) fn is_broken(&self) -> bool {
        self.tracking.is_broken(self.id)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let forgotten = self.tracking.with(|table| {
            let before = table.trackers.remove(&self.id);
            table.asking -= before.map_or(0, |before| before.options.asking());
            table.broadcasting.retain(|id| *id != self.id);
            table.trackers.is_empty().then(|| mem::take(table).take_keys())
        });
        if let Some(forgotten) = forgotten {
            self.tracking.leave_to_drop(forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::reactor::batch::Executor;
    use crate::simulation::setup::with_server;

    fn newcomer(shared: &Shared<'_>) -> Arc<Client> {
        shared.clients.add("simulated:0".to_owned(), "simulated:0".to_owned(), 0, 0)
    }

    /// What most clients do with a key of which they keep a copy.
    #[test]
    fn a_key_that_is_read_and_changed_again_and_again_takes_no_more_memory() {
        with_server(1 << 20, Config::default(), |shared| {
            let tracking = &shared.tracking;
            for _ in 0..10 * SLACK {
                tracking.read(shared, 1, b"key", 0);
                tracking.expires(b"key", Millis(1000));
                tracking.changed(shared, b"key", 2);
                tracking.read(shared, 1, b"key", 0);
                tracking.expires(b"key", Millis(1000));
            }
            tracking.with(|table| {
                assert_eq!((table.keys.len(), table.held), (1, ENTRY + b"key".len() + READER));
                assert!(table.order.len() <= 2 + SLACK, "{}", table.order.len());
                assert!(table.deadlines.len() <= 2 + SLACK, "{}", table.deadlines.len());
            });
        });
    }

    /// What is forgotten takes no more memory than what is not, however long its keys are.
    #[test]
    fn long_keys_that_are_read_and_changed_do_not_pile_up() {
        with_server(1 << 20, Config::default(), |shared| {
            let tracking = &shared.tracking;
            for short in 0..1000_u32 {
                tracking.read(shared, 1, &short.to_le_bytes(), 0);
            }
            for long in 0..2000_u32 {
                let key = [&long.to_le_bytes()[..], &[b'k'; 10_000]].concat();
                tracking.read(shared, 1, &key, 0);
                tracking.expires(&key, Millis(1000));
                tracking.changed(shared, &key, 2);
                tracking.with(|table| {
                    let bytes: usize = table.order.iter().map(|key| key.len()).sum();
                    assert!(bytes <= 2 * table.held + STALE_SLACK + 20_000, "{bytes} beside {}", table.held);
                    assert!(table.deadlines.len() <= 40, "{}", table.deadlines.len());
                });
            }
            tracking.with(|table| assert_eq!(table.keys.len(), 1000));
        });
    }

    /// It may have read what has gone before this worker has told its handle.
    #[test]
    fn who_begins_while_a_worker_makes_room_is_told_of_everything() {
        with_server(1 << 20, Config::default(), |shared| {
            let mut executor =
                Executor::new(shared.cache.handle().expect("the first"), shared, &shared.seats[0]);
            let client = shared.clients.add(String::new(), String::new(), 0, 0);
            client.resp.store(3, Ordering::Relaxed);
            let begin = || Tracked::new(&shared.tracking, &client, Options::default());
            let tracked = executor.aside_of_turns(|_| begin());
            assert!(client.stale().is_some());
            shared.seats[0].take_stale(&client);
            // Who was there before is told of what goes.
            executor.aside_of_turns(|_| {});
            assert!(client.stale().is_none());
            drop(tracked);
        });
    }

    /// A large value makes room by letting very many small ones go.
    #[test]
    fn very_many_keys_that_go_at_once_are_told_of_as_all() {
        with_server(1 << 20, Config::default(), |shared| {
            let tracking = &shared.tracking;
            let prefixes = (0..100_u8).map(|first| Box::from([first, 0])).chain([Box::from(*b"k")]).collect();
            let options = Options { broadcast: true, prefixes, ..Options::default() };
            let clients: Vec<_> = (0..50).map(|_| newcomer(shared)).collect();
            for client in &clients {
                client.resp.store(3, Ordering::Relaxed);
            }
            let tracked: Vec<_> =
                clients.iter().map(|client| Tracked::new(tracking, client, options.clone())).collect();
            let told =
                || clients.iter().filter(|client| client.stale().as_ref().is_some_and(Stale::is_all)).count();
            for key in 0..10_000_u32 {
                tracking.gone(shared, format!("k{key}").as_bytes());
            }
            assert!(tracking.take_gone_work() < 3 * GONE_WORK);
            assert_eq!((told(), tracking.take_gone_work()), (0, 0));
            tracking.end_turn(shared);
            assert_eq!(told(), clients.len());
            // Few are told of by their names.
            for client in &clients {
                shared.seats[0].take_stale(client);
            }
            tracking.gone(shared, b"key");
            tracking.end_turn(shared);
            assert_eq!(told(), 0);
            assert!(
                clients.iter().all(|client| client.stale().as_ref().is_some_and(|stale| stale.len() == 9))
            );
            drop(tracked);
        });
    }

    #[test]
    fn keys_that_expire_together_are_told_of_some_at_a_time() {
        with_server(1 << 20, Config::default(), |shared| {
            let (tracking, client) = (&shared.tracking, newcomer(shared));
            let _tracked = Tracked::new(tracking, &client, Options::default());
            for number in 0..2500_u32 {
                let key = number.to_le_bytes();
                tracking.read(shared, client.id, &key, 0);
                tracking.expires(&key, Millis(1000));
            }
            assert!(!tracking.expire(shared, Millis(999)));
            let mut left = tracking.figures().keys;
            assert_eq!(left, 2500);
            let mut again = 0;
            while tracking.expire(shared, Millis(1000)) {
                again += 1;
                let now = tracking.figures().keys;
                assert!((500..=1000).contains(&(left - now)), "{left} {now}");
                left = now;
            }
            assert!(again >= 2 && tracking.figures().keys == 0, "{again}");
        });
    }

    /// As many as are asked whether a change concerns them, with as many prefixes, are what it takes.
    #[test]
    fn what_it_takes_to_tell_of_a_change_is_known() {
        with_server(1 << 20, Config::default(), |shared| {
            let tracking = &shared.tracking;
            let clients: Vec<_> = (0..3).map(|_| newcomer(shared)).collect();
            let begin = |prefixes: &[&[u8]]| {
                let prefixes = prefixes.iter().map(|&prefix| prefix.into()).collect();
                let options = Options { broadcast: true, prefixes, ..Options::default() };
                clients
                    .iter()
                    .map(|client| Tracked::new(tracking, client, options.clone()))
                    .collect::<Vec<_>>()
            };
            let mut tracked = begin(&[]);
            assert_eq!(tracking.changed(shared, b"key", 0), 3 * (ASKED + TOLD));
            for client in &clients {
                client.resp.store(3, Ordering::Relaxed);
                shared.invalidate(client, None, false);
            }
            assert_eq!(tracking.changed(shared, b"key", 0), 3 * ASKED, "they know");
            tracked.truncate(1);
            assert_eq!((tracking.changed(shared, b"key", 0), tracking.asking()), (ASKED, ASKED));
            drop(tracked);
            for client in &clients {
                client.stale().take();
            }
            let tracked = begin(&[b"a", b"k", b"x"]);
            assert_eq!(tracking.changed(shared, b"key", 0), 3 * (ASKED + 2 * PREFIX_ASKED + TOLD));
            assert_eq!(tracking.changed(shared, b"other", 0), 3 * (ASKED + 3 * PREFIX_ASKED));
            assert_eq!(tracking.asking(), 3 * (ASKED + 3 * PREFIX_ASKED));
            drop(tracked);
            assert_eq!(tracking.asking(), 0);
            for client in &clients {
                tracking.read(shared, client.id, b"key", 0);
            }
            assert_eq!(tracking.changed(shared, b"key", 0), 3 * TOLD);
            assert_eq!(tracking.changed(shared, b"key", 0), 0, "it is forgotten");
        });
    }

    #[test]
    fn the_oldest_key_makes_room_not_one_that_was_read_again_since() {
        with_server(1 << 20, Config::default(), |shared| {
            let tracking = &shared.tracking;
            tracking.read(shared, 1, b"again", 2);
            tracking.changed(shared, b"again", 2);
            for key in [b"older", b"again", b"newer"] {
                tracking.read(shared, 1, key, 2);
            }
            tracking.with(|table| {
                let noted = |key: &[u8]| table.keys.get_key_value(key).is_some();
                assert_eq!([b"older", b"again", b"newer"].map(|key| noted(key)), [false, true, true]);
            });
        });
    }
}

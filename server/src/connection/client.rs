//! What is known about a client for people to look at, and the table of all clients. Touched when one comes or
//! goes, names itself, or is asked about: never by an ordinary request.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crabcache_engine::Millis;
use crabcache_protocol::resp::Version;
use hashbrown::HashMap;

/// One client, as reports show it.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its number; no two clients of one run share one.
    pub(crate) id: u64,
    /// Where it connects from.
    pub(crate) peer: String,
    /// Where it connects to.
    pub(crate) local: String,
    /// When it connected, in milliseconds since the Unix epoch.
    pub(crate) since_ms: u64,
    /// What it calls itself.
    names: Mutex<Names>,
    /// The version of RESP that it speaks; 0 for other protocols.
    pub(crate) resp: AtomicU8,
    /// Subscriptions to channels, patterns, shard channels.
    subscriptions: [AtomicUsize; 3],
    /// What its worker has told last, when it was asked.
    seen: Mutex<Seen>,
    /// Bytes in its worker's inbox that are for it.
    pub(crate) mail: AtomicUsize,
    /// There were too many, so that it is closed.
    pub(crate) is_overrun: AtomicBool,
    seat: AtomicUsize,
    place: AtomicUsize,
}

/// What a client has told about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// `CLIENT SETNAME`.
    pub(crate) client: String,
    /// `CLIENT SETINFO LIB-NAME`.
    pub(crate) library: String,
    /// `CLIENT SETINFO LIB-VER`.
    pub(crate) library_version: String,
}

/// What its worker sees of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// When it last sent something.
    pub(crate) last: Millis,
    /// The last command.
    pub(crate) command: &'static str,
    /// Its database.
    pub(crate) database: u8,
    /// Bytes of an unfinished request.
    pub(crate) input: usize,
    /// Bytes of answers that it has not taken.
    pub(crate) output: usize,
    /// All memory that it holds.
    pub(crate) held: usize,
    /// Requests that wait for EXEC; none without MULTI.
    pub(crate) queued: Option<usize>,
    /// Keys that it watches.
    pub(crate) watched: usize,
    /// Letters for what is special about it.
    pub(crate) flags: String,
    /// Who receives its invalidations: -1 without tracking, 0 for itself.
    pub(crate) redirect: i64,
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    next: AtomicU64,
    connected: Mutex<HashMap<u64, Arc<Client>, ahash::RandomState>>,
}

impl Clients {
    /// Adds one, for the worker at `seat`.
    pub(crate) fn add(&self, peer: String, local: String, since_ms: u64, seat: usize) -> Arc<Client> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client {
            id,
            peer,
            local,
            since_ms,
            names: Mutex::default(),
            resp: AtomicU8::new(0),
            subscriptions: Default::default(),
            seen: Mutex::new(Seen {
                last: Millis(since_ms),
                command: "NULL",
                redirect: -1,
                ..Seen::default()
            }),
            mail: AtomicUsize::new(0),
            is_overrun: AtomicBool::new(false),
            seat: AtomicUsize::new(seat),
            place: AtomicUsize::new(usize::MAX),
        });
        self.table(|table| table.insert(id, Arc::clone(&client)));
        client
    }

    /// Removes one.
    pub(crate) fn remove(&self, id: u64) {
        self.table(|table| table.remove(&id));
    }

    /// The one with this number.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.table(|table| table.get(&id).cloned())
    }

    /// All of them, in the order in which they came.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        let mut all = self.table(|table| table.values().map(Arc::clone).collect::<Vec<_>>());
        all.sort_unstable_by_key(|client| client.id);
        all
    }

    fn table<T>(&self, work: impl FnOnce(&mut HashMap<u64, Arc<Client>, ahash::RandomState>) -> T) -> T {
        // The table is whole between any two calls, so a panic elsewhere does not make it wrong.
        work(&mut self.connected.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Client {
    /// A copy of its names.
    #[must_use]
    pub(crate) fn names(&self) -> Names {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes its names.
    pub(crate) fn rename(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The version of RESP that it speaks.
    pub(crate) fn version(&self) -> Version {
        if self.resp.load(Ordering::Relaxed) == 3 { Version::Resp3 } else { Version::Resp2 }
    }

    /// The number of its worker.
    pub(crate) fn seat(&self) -> usize {
        self.seat.load(Ordering::Relaxed)
    }

    /// Its key in its worker's table.
    pub(crate) fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    /// Its worker has given it a place.
    pub(crate) fn settle(&self, place: usize) {
        self.place.store(place, Ordering::Relaxed);
    }

    /// Notes how many subscriptions of each kind it has.
    pub(crate) fn note_subscriptions(&self, counts: [usize; 3]) {
        for (kept, count) in self.subscriptions.iter().zip(counts) {
            kept.store(count, Ordering::Relaxed);
        }
    }

    /// How many subscriptions of each kind it has.
    pub(crate) fn subscriptions(&self) -> [usize; 3] {
        [0, 1, 2].map(|kind| self.subscriptions[kind].load(Ordering::Relaxed))
    }

    /// Whether it has subscribed to anything.
    pub(crate) fn is_subscriber(&self) -> bool {
        self.subscriptions().iter().any(|count| *count > 0)
    }

    /// Notes what its worker sees.
    pub(crate) fn note(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// One line of `CLIENT LIST`, without its line end.
    #[must_use]
    pub(crate) fn line(&self, now_ms: u64) -> String {
        let names = self.names();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let seconds = |since: u64| now_ms.saturating_sub(since) / 1000;
        let [channels, patterns, shard_channels] = self.subscriptions();
        let mut flags = seen.flags;
        if self.is_subscriber() {
            flags.insert(0, 'P');
        }
        if self.peer == UNIX {
            flags.push('U');
        }
        if flags.is_empty() {
            flags.push('N');
        }
        format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={channels} psub={patterns} \
             ssub={shard_channels} multi={} watch={} qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 \
             oll={} omem={} tot-mem={} events={} cmd={} user=default redir={} resp={} lib-name={} lib-ver={}",
            self.id,
            self.peer,
            self.local,
            self.place(),
            names.client,
            seconds(self.since_ms),
            seconds(seen.last.0),
            seen.database,
            seen.queued.map_or(-1, |queued| queued as i64),
            seen.watched,
            seen.input,
            u8::from(seen.output > 0),
            seen.output,
            seen.held,
            if seen.output > 0 { "rw" } else { "r" },
            seen.command,
            seen.redirect,
            self.resp.load(Ordering::Relaxed).max(2),
            names.library,
            names.library_version
        )
    }
}

/// The address of a client that came through a Unix socket.
pub(crate) const UNIX: &str = "unix:0";

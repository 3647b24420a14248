//! What is known about a client for people to look at. Touched when it comes or goes, names itself, or is asked about:
//! never by an ordinary request.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crabcache_engine::Millis;
use crabcache_protocol::resp::Version;

use crate::mail::Stale;

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
    /// Bytes that are for it, in its worker's inbox or here.
    pub(crate) mail: AtomicUsize,
    /// Keys that it is to be told of, if its worker is on the way to do that.
    stale: Mutex<Option<Stale>>,
    /// There were too many, so that it is closed.
    pub(crate) is_overrun: AtomicBool,
    /// It was told to go, and receives nothing more, though its worker may not know yet.
    pub(crate) is_killed: AtomicBool,
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

impl Client {
    pub(super) fn new(id: u64, peer: String, local: String, since_ms: u64, seat: usize) -> Self {
        Self {
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
            stale: Mutex::default(),
            is_overrun: AtomicBool::new(false),
            is_killed: AtomicBool::new(false),
            seat: AtomicUsize::new(seat),
            place: AtomicUsize::new(usize::MAX),
        }
    }

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

    /// Keys that it is to be told of, if its worker is on the way to do that.
    pub(crate) fn stale(&self) -> MutexGuard<'_, Option<Stale>> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what its worker sees.
    pub(crate) fn note(&self, seen: Seen) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// What its worker has told last.
    #[must_use]
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The address of a client that came through a Unix socket.
pub(crate) const UNIX: &str = "unix:0";

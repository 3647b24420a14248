//! What all threads of one server share. Nothing here is locked on the way of a request.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crabcache_engine::{Cache, KEY_LEN_MAX, Millis, Stats};
use crabcache_protocol::Limits;
use mio::Waker;

use crate::clock;
use crate::config::{Config, Endpoint, Listen, Pin};
use crate::connection::client::{Client, Clients};
use crate::database::Databases;
use crate::mail::Message;
use crate::monitor::Monitors;
use crate::net::stream::Stream;
use crate::pause::Pause;
use crate::pubsub::Channels;
use crate::reactor::{budget, sized};
use crate::sample::Sample;
use crate::settings::Settings;
use crate::shutdown::Control;
use crate::slowlog::SlowLog;
use crate::stats::calls::AllCalls;
use crate::stats::memcache;
use crate::stats::rates::Rates;
use crate::stats::{Codes, Counters, Totals};
use crate::sys::usage::CpuClock;
use crate::tracking::Tracking;
use crate::watch::Watches;

/// One server.
#[derive(Debug)]
pub(crate) struct Shared<'r> {
    /// The items.
    pub(crate) cache: Cache<'r>,
    /// What the server was started with; `workers` and `connections_max` as they really are.
    pub(crate) config: Config,
    /// Where it listens, with real ports.
    pub(crate) addresses: Vec<Listen>,
    /// A place per worker.
    pub(crate) seats: Vec<Seat>,
    /// The switch that stops it.
    pub(crate) control: Arc<Control>,
    /// All clients.
    pub(crate) clients: Clients,
    /// Clients that came.
    pub(crate) accepted: AtomicU64,
    /// Clients that were sent away.
    pub(crate) rejected: AtomicU64,
    /// When it started.
    pub(crate) started: Instant,
    /// Removes everything at this moment (memcached's `flush_all DELAY`).
    pub(crate) flush_at: Appointment,
    /// Whether large values are about.
    pub(crate) large: LargeValues,
    /// Where each database's keys are.
    pub(crate) databases: Databases,
    /// The last version that an item was given (`Shared::new_version`).
    versions: AtomicU64,
    /// Keys that clients watch.
    pub(crate) watches: Arc<Watches>,
    /// Who subscribed to what.
    pub(crate) channels: Arc<Channels>,
    /// Keys of which clients keep copies.
    pub(crate) tracking: Arc<Tracking>,
    /// Clients that are shown every request.
    pub(crate) monitors: Arc<Monitors>,
    /// Whether requests have to wait.
    pub(crate) pause: Pause,
    /// How many times all workers were asked about their clients.
    pub(crate) surveys: AtomicU64,
    /// What requests may look like.
    pub(crate) bounds: Bounds,
    /// What may be changed.
    pub(crate) settings: Settings,
    /// Names this run of the server: 40 digits, base 16.
    pub(crate) run_id: String,
    /// How much happens in a second.
    pub(crate) rates: Rates,
    /// The requests that took long.
    pub(crate) slowlog: SlowLog,
    /// What had been counted when the counters were last set to zero.
    baseline: Mutex<Report>,
}

/// Everything that is counted.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// About items.
    pub(crate) stats: Stats,
    /// About requests.
    pub(crate) totals: Totals,
    /// About the commands of RESP.
    pub(crate) calls: AllCalls,
    /// About errors of RESP.
    pub(crate) codes: Codes,
    /// What memcached counts, by `memcache::NAMES`.
    pub(crate) memcached: [u64; memcache::NAMES.len()],
    /// Clients that came, and that were sent away.
    pub(crate) accepted: u64,
    /// Clients that were sent away.
    pub(crate) rejected: u64,
}

/// A worker's place: where others find it.
#[derive(Debug)]
pub(crate) struct Seat {
    /// What it counts.
    pub(crate) counters: Counters,
    /// Clients, those on their way included: the acceptor balances by it.
    pub(crate) load: AtomicUsize,
    /// Tells the CPU time of the worker's thread, once that runs.
    pub(crate) cpu_clock: OnceLock<CpuClock>,
    /// Held by the worker while it carries out the requests of a turn (`reactor/access.rs`).
    pub(crate) turn: Mutex<()>,
    /// The worker waits for that, since another one is alone.
    pub(crate) waits: AtomicBool,
    /// Bytes of the arena that are reserved for values which its clients are sending.
    pub(crate) reserved: AtomicUsize,
    /// The last question about its clients that it has answered.
    pub(crate) surveyed: AtomicU64,
    /// Bytes that the texts in its inbox take.
    pub(crate) mail: AtomicUsize,
    /// The keys that it noted.
    pub(crate) sample: Sample,
    inbox: Mutex<Vec<Message>>,
    waker: Waker,
}

/// A client on its way from the acceptor to its worker.
#[derive(Debug)]
pub(crate) struct Newcomer {
    /// Its socket.
    pub(crate) stream: Stream,
    /// What is known about it.
    pub(crate) client: Arc<Client>,
    /// The protocol of the listener it came through.
    pub(crate) pin: Pin,
}

impl Seat {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            counters: Counters::default(),
            load: AtomicUsize::new(0),
            cpu_clock: OnceLock::new(),
            turn: Mutex::default(),
            waits: AtomicBool::new(false),
            reserved: AtomicUsize::new(0),
            surveyed: AtomicU64::new(0),
            mail: AtomicUsize::new(0),
            sample: Sample::default(),
            inbox: Mutex::default(),
            waker,
        }
    }

    /// CPU time that its worker has used so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.cpu_clock.get().map_or(Duration::ZERO, |clock| clock.now())
    }

    /// Hands a client over.
    pub(crate) fn welcome(&self, newcomer: Newcomer) {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.send(Message::Newcomer(newcomer));
    }

    /// Puts a message into its inbox.
    pub(crate) fn send(&self, message: Message) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.push(message);
        // Whoever put the first one there has woken the worker.
        if inbox.len() == 1 {
            drop(inbox);
            self.wake();
        }
    }

    /// Takes the messages out of its inbox.
    pub(crate) fn receive(&self) -> Vec<Message> {
        std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the worker's sleep.
    pub(crate) fn wake(&self) {
        // A waker fails only when its poll is gone, and with it the worker.
        let _ = self.waker.wake();
    }
}

impl<'r> Shared<'r> {
    /// A server that nobody has come to yet.
    pub(crate) fn new(
        cache: Cache<'r>,
        config: Config,
        addresses: Vec<Listen>,
        seats: Vec<Seat>,
        control: Arc<Control>,
        bounds: Bounds,
        run_id: String,
    ) -> Self {
        Self {
            cache,
            settings: Settings::new(config.connections_max, config.idle_seconds_max),
            config,
            addresses,
            seats,
            control,
            clients: Clients::default(),
            accepted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            started: clock::monotonic(),
            flush_at: Appointment::none(),
            large: LargeValues::default(),
            databases: Databases::new(),
            versions: AtomicU64::new(0),
            watches: Arc::new(Watches::new()),
            channels: Arc::default(),
            tracking: Arc::default(),
            monitors: Arc::default(),
            pause: Pause::default(),
            surveys: AtomicU64::new(0),
            bounds,
            run_id,
            rates: Rates::default(),
            slowlog: SlowLog::default(),
            baseline: Mutex::default(),
        }
    }

    /// A version for an item that is leased, or whose writer wants to know it: never the same twice.
    pub(crate) fn new_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The first TCP address that it listens on.
    pub(crate) fn tcp(&self) -> Option<std::net::SocketAddr> {
        self.addresses.iter().find_map(|listen| match listen.endpoint {
            Endpoint::Tcp(address) => Some(address),
            Endpoint::Unix(_) => None,
        })
    }

    /// What was counted since the start.
    fn report_all(&self) -> Report {
        let mut codes = Codes::new();
        let mut memcached = [0; memcache::NAMES.len()];
        for seat in &self.seats {
            seat.counters.codes_into(&mut codes);
            seat.counters.memcached.add_to(&mut memcached);
        }
        Report {
            stats: self.cache.stats(),
            totals: self.totals(),
            calls: AllCalls::of(self.seats.iter().map(|seat| &seat.counters.calls)),
            codes,
            memcached,
            accepted: self.accepted.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    /// What was counted since the counters were last set to zero.
    pub(crate) fn report(&self) -> Report {
        let baseline = self.baseline();
        self.report_all().since(&baseline)
    }

    /// Sets the counters to zero, for [`Shared::report`].
    pub(crate) fn reset_counters(&self) {
        let mut baseline = self.baseline();
        *baseline = self.report_all();
    }

    /// To be locked before anything is read that it is compared with: what was counted before must not be less than it.
    fn baseline(&self) -> MutexGuard<'_, Report> {
        self.baseline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that the clients of one worker may hold.
    pub(crate) fn client_memory_each(&self) -> usize {
        budget::share(self.config.client_memory_bytes, self.seats.len())
    }

    /// The workers' counters, summed.
    pub(crate) fn totals(&self) -> Totals {
        Totals::of(self.seats.iter().map(|seat| &seat.counters))
    }
}

impl Report {
    fn since(self, before: &Self) -> Self {
        let stats = Stats {
            hits: self.stats.hits - before.stats.hits,
            misses: self.stats.misses - before.stats.misses,
            stores: self.stats.stores - before.stats.stores,
            deletes: self.stats.deletes - before.stats.deletes,
            evictions: self.stats.evictions - before.stats.evictions,
            expirations: self.stats.expirations - before.stats.expirations,
            ..self.stats
        };
        let codes = self.codes.into_iter().map(|(code, count)| {
            let count = count - before.codes.get(&code).copied().unwrap_or(0);
            (code, count)
        });
        Self {
            stats,
            totals: self.totals.since(&before.totals),
            calls: self.calls.since(&before.calls),
            memcached: std::array::from_fn(|i| self.memcached[i] - before.memcached[i]),
            codes: codes.filter(|(_, count)| *count > 0).collect(),
            accepted: self.accepted - before.accepted,
            rejected: self.rejected - before.rejected,
        }
    }
}

/// A moment at which something happens once, whichever worker sees it first.
#[derive(Debug)]
pub(crate) struct Appointment(AtomicU64);

impl Appointment {
    const NONE: u64 = u64::MAX;

    pub(crate) const fn none() -> Self {
        Self(AtomicU64::new(Self::NONE))
    }

    /// Sets it; the last one set counts.
    pub(crate) fn set(&self, at: Millis) {
        self.0.store(at.0, Ordering::Relaxed);
    }

    /// Cancels it.
    pub(crate) fn cancel(&self) {
        self.0.store(Self::NONE, Ordering::Relaxed);
    }

    /// The moment, if one is set.
    pub(crate) fn get(&self) -> Option<Millis> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&at| at != Self::NONE).map(Millis)
    }

    /// Whether it has come; true for one caller only.
    pub(crate) fn is_due(&self, now: Millis) -> bool {
        let at = self.0.load(Ordering::Relaxed);
        at <= now.0
            && at != Self::NONE
            && self.0.compare_exchange(at, Self::NONE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The largest value seen lately. A batch answers all its reads into memory, so where values of megabytes are about,
/// batches must be shorter.
#[derive(Debug, Default)]
pub(crate) struct LargeValues {
    len: AtomicUsize,
    seen_ms: AtomicU64,
}

impl LargeValues {
    /// Values up to this length never matter.
    pub(crate) const FROM: usize = sized(64 << 10);
    /// For how long one is remembered.
    const MEMORY_MS: u64 = 60_000;

    /// Remembers a value of this length.
    #[cold]
    pub(crate) fn note(&self, len: usize, now: Millis) {
        self.len.fetch_max(len, Ordering::Relaxed);
        self.seen_ms.store(now.0, Ordering::Relaxed);
    }

    /// Whether a large value was seen lately.
    pub(crate) fn are_about(&self) -> bool {
        self.len.load(Ordering::Relaxed) > 0
    }

    /// How many operations a batch may have at this moment, for answers of `bytes` together unless one is larger.
    pub(crate) fn batch_len(&self, now: Millis, bytes: usize) -> usize {
        let len = self.len.load(Ordering::Relaxed);
        if len == 0 {
            return crabcache_engine::BATCH;
        }
        if now.0.saturating_sub(self.seen_ms.load(Ordering::Relaxed)) > Self::MEMORY_MS {
            self.len.store(0, Ordering::Relaxed);
        }
        (bytes / len).clamp(1, crabcache_engine::BATCH)
    }
}

/// The largest requests that are accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// What an item, key and value together, can have.
    pub(crate) item_len_max: usize,
    /// Bytes of one unfinished request that are kept.
    pub(crate) request_len_max: usize,
    /// For the native and memcached parsers, which skip a value that is too large.
    pub(crate) skipping: Limits,
    /// For the RESP parser, which cannot.
    pub(crate) resp: Limits,
}

impl Bounds {
    /// Redis' longest string.
    const BULK_LEN_MAX: usize = 512 << 20;
    /// Some room for a command of many arguments even where items are small.
    const REQUEST_LEN_MIN: usize = sized(8 << 20);

    pub(crate) fn new(item_len_max: usize) -> Self {
        let limits = Limits {
            key_len_max: KEY_LEN_MAX,
            value_len_max: item_len_max,
            args_max: 1 << 20,
            line_len_max: 64 << 10,
        };
        Self {
            item_len_max,
            request_len_max: (item_len_max + sized(1 << 20)).max(Self::REQUEST_LEN_MIN),
            skipping: limits,
            resp: Limits { value_len_max: Self::BULK_LEN_MAX, ..limits },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::setup::with_server;

    #[test]
    fn who_reports_while_another_resets_sees_no_less_than_nothing() {
        with_server(1 << 20, Config::default(), |shared| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        shared.accepted.fetch_add(1, Ordering::Relaxed);
                        shared.reset_counters();
                    }
                });
                // The differences are checked where they are taken.
                let most = (0..2000).map(|_| shared.report().accepted).max();
                assert!(most <= Some(1), "{most:?}");
            });
        });
    }
}

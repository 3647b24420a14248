//! What all threads of one server share. Nothing here is locked on the way of a request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crabcache_engine::Cache;

use crate::appointment::Appointment;
use crate::bounds::Bounds;
use crate::clock;
use crate::config::{Config, Endpoint, Listen};
use crate::connection::clients::Clients;
use crate::database::Databases;
use crate::large_values::LargeValues;
use crate::monitor::Monitors;
use crate::pause::Pause;
use crate::pubsub::Channels;
use crate::reactor::budget::{self, Beyond};
use crate::seat::Seat;
use crate::settings::Settings;
use crate::shutdown::Control;
use crate::slowlog::SlowLog;
use crate::stats::calls::AllCalls;
use crate::stats::rates::Rates;
use crate::stats::report::Report;
use crate::stats::{Codes, Totals, memcache};
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
    /// Memory of clients beyond what their workers have for them.
    pub(crate) beyond: Beyond,
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
            beyond: Beyond::default(),
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

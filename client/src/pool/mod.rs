//! The connections to one server: lent, taken back, opened, given up.
//!
//! ```text
//! checkout   newest idle one, PING first if it was idle for long
//!            else open one, if fewer than the maximum are open
//!            else wait for one to come back
//! return     in order and young: to the idle ones; the oldest idle ones beyond their limit are closed
//! ```
//!
//! Limits are enforced as connections come and go, and by [`Pool::maintain`], which a thread may call now and then.
//!
//! After a failure to connect the server counts as down: until the backoff has passed, a checkout that would have to
//! connect fails at once; then one thread tries while the others go on failing at once. Connections that are still
//! open are lent all the same, unless the server is down because several calls in a row got no answer in time: then
//! every checkout fails at once, until a connection can be opened or an answer comes on one that is in use.
//!
//! Invariants: `open` = idle + lent + being opened, and at most `connections_max`; no I/O happens under the lock. A
//! checkout ends as a hit, as a miss, exhausted or failed fast, and is counted as that.

mod lease;
mod maintenance;
mod stats;

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use lease::{Call, Lease};
pub use maintenance::Maintenance;
pub use stats::{Latency, PoolStats};

use crate::config::Config;
use crate::connection::Connection;
use crate::error::Error;

/// The longest that a health check may take.
const HEALTH_CHECK_TIMEOUT_MAX: Duration = Duration::from_secs(1);

/// A connection that was idle for so long costs one system call more, to see whether the server has closed it.
const LOOK_AFTER: Duration = Duration::from_millis(5);

/// Room for idle connections that is made at the start.
const IDLE_RESERVED_MAX: usize = 64;

/// A pool of connections to one server.
#[derive(Debug)]
pub(crate) struct Pool {
    config: Config,
    state: Mutex<State>,
    /// A connection came back or was given up, or the server was found down.
    changed: Condvar,
    counters: stats::Counters,
}

#[derive(Debug)]
struct State {
    /// By the time of their last use, the newest last.
    idle: VecDeque<Connection>,
    open: usize,
    down: Option<Down>,
    /// Calls in a row that had no answer in time.
    timeouts: u32,
    latencies: stats::Latencies,
}

/// The server could not be reached, or does not answer.
#[derive(Clone, Copy, Debug)]
struct Down {
    /// Failures in a row.
    failures: u32,
    /// Nothing is tried before.
    until: Instant,
    /// A thread is trying.
    probing: bool,
    /// It takes connections, but does not answer: so those that are open are of no use.
    stalled: bool,
}

/// What a look at the pool led to.
#[allow(clippy::large_enum_variant)] // in a box it would cost each call an allocation
enum Found {
    /// And the time, which is that of the call's begin if nobody waited.
    Idle(Connection, Instant),
    MayOpen,
}

impl Pool {
    pub(crate) fn new(config: Config) -> Self {
        let idle = VecDeque::with_capacity(config.connections_max.min(IDLE_RESERVED_MAX));
        let state = State { idle, open: 0, down: None, timeouts: 0, latencies: stats::Latencies::new() };
        Self {
            config,
            state: Mutex::new(state),
            changed: Condvar::new(),
            counters: stats::Counters::default(),
        }
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let state = self.lock();
        let latency = state.latencies.summary();
        self.counters.snapshot(state.open - state.idle.len(), state.idle.len(), latency)
    }

    pub(crate) fn count_unstored(&self) {
        self.counters.unstored.add(1);
    }

    /// Lends a connection.
    pub(crate) fn checkout(&self, call: Call) -> Result<Lease<'_>, Error> {
        let mut now = call.begun;
        loop {
            match self.find(call, now)? {
                Found::MayOpen => return self.open(call.time_left(), Some(call.begun)),
                Found::Idle(mut connection, found_at) => {
                    let idle = found_at.saturating_duration_since(connection.last_seen);
                    if !self.is_fit_after(idle, &mut connection, call.time_left()) {
                        self.counters.health_check_failures.add(1);
                        self.give_up(connection);
                        now = Instant::now();
                        continue;
                    }
                    self.counters.hits.add(1);
                    let at_once = found_at == call.begun && idle < self.config.health_check_after;
                    return Ok(self.lend(connection, true, at_once, Some(call.begun)));
                }
            }
        }
    }

    /// Lends a connection after one that seemed in order was found dead. The idle ones are likely dead too, so they
    /// are closed.
    pub(crate) fn checkout_fresh(&self, call: Call) -> Result<Lease<'_>, Error> {
        self.counters.retries.add(1);
        let suspects: Vec<Connection> = {
            let mut state = self.lock();
            let suspects = state.idle.drain(..).collect();
            state.open -= Vec::len(&suspects);
            suspects
        };
        self.changed.notify_all();
        self.counters.broken.add(suspects.len() as u64);
        drop(suspects);
        self.checkout(call)
    }

    /// An idle connection, or the permission to open one, which is already counted.
    fn find(&self, call: Call, mut now: Instant) -> Result<Found, Error> {
        let mut retired = Vec::new(); // before the guard, so that they are closed after the lock is released
        let mut state = self.lock();
        let mut wait_until = None;
        loop {
            while let Some(connection) = state.idle.pop_back() {
                if !connection.is_beyond(&self.config, state.idle.len() + 1, now) {
                    return Ok(Found::Idle(connection, now));
                }
                state.open -= 1;
                self.counters.retired.add(1);
                retired.push(connection);
            }
            // Connections in use show that the server may be there: rather wait for one of them than fail.
            if let Some(error) = state.fail_fast(now) {
                if state.open == 0 || state.down.is_some_and(|down| down.stalled) {
                    self.counters.failed_fast.add(1);
                    return Err(error);
                }
            } else if state.open < self.config.connections_max {
                state.begin_open();
                self.counters.misses.add(1);
                return Ok(Found::MayOpen);
            }
            let until = *wait_until.get_or_insert_with(|| {
                self.counters.waits.add(1);
                call.bounded(self.config.checkout_timeout)
            });
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                self.counters.exhausted.add(1);
                return Err(Error::PoolExhausted { waited: until.saturating_duration_since(call.begun) });
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            now = Instant::now();
        }
    }

    /// Opens the connection that [`State::begin_open`] counted.
    fn open(&self, left: Option<Duration>, begun: Option<Instant>) -> Result<Lease<'_>, Error> {
        let timeout = left.map_or(self.config.connect_timeout, |left| left.min(self.config.connect_timeout));
        let opened = Connection::open(&self.config, timeout);
        let mut state = self.lock();
        match opened {
            Ok(connection) => {
                if state.down.take().is_some() {
                    self.counters.reconnects.add(1);
                    state.timeouts = 0;
                }
                self.counters.opened.add(1);
                Ok(self.lend(connection, false, false, begun))
            }
            Err(error) => {
                // Several that fail in the same moment are one failure.
                if state.down.is_none_or(|down| down.probing) {
                    let stalled = state.down.is_some_and(|down| down.stalled);
                    state.go_down(&self.config, stalled);
                }
                state.open -= 1;
                self.counters.connect_failures.add(1);
                drop(state);
                self.changed.notify_all();
                Err(error)
            }
        }
    }

    fn lend(&self, connection: Connection, reused: bool, at_once: bool, begun: Option<Instant>) -> Lease<'_> {
        Lease { pool: self, connection: Some(connection), reused, at_once, timed_out: false, begun }
    }

    fn give_back(&self, mut connection: Connection, begun: Option<Instant>, timed_out: bool) {
        let now = Instant::now();
        let took = begun.map(|begun| now.saturating_duration_since(begun));
        if !connection.fit {
            self.counters.broken.add(1);
            let mut suspects = VecDeque::new();
            {
                let mut state = self.lock();
                if let Some(took) = took {
                    state.latencies.record(took);
                }
                if timed_out && state.is_one_timeout_too_many(&self.config) {
                    suspects = std::mem::take(&mut state.idle);
                    state.open -= suspects.len();
                    self.changed.notify_all(); // those who wait are to fail at once, too
                }
            }
            self.counters.broken.add(suspects.len() as u64);
            drop(suspects);
            return self.give_up(connection);
        }
        self.count_bytes(&mut connection);
        connection.trim();
        (connection.last_used, connection.last_seen) = (now, now);
        let retired = {
            let mut state = self.lock();
            if let Some(took) = took {
                state.latencies.record(took);
            }
            state.heard();
            state.idle.push_back(connection);
            let retired = state.retire(&self.config, now);
            state.open -= retired.len();
            retired
        };
        self.changed.notify_one();
        self.counters.retired.add(retired.len() as u64);
    }

    fn give_up(&self, mut connection: Connection) {
        self.count_bytes(&mut connection);
        drop(connection);
        self.lock().open -= 1;
        self.changed.notify_one();
    }

    fn count_bytes(&self, connection: &mut Connection) {
        self.counters.bytes_out.add(std::mem::take(&mut connection.bytes_out));
        self.counters.bytes_in.add(std::mem::take(&mut connection.bytes_in));
    }

    /// Whether a connection can be lent again. One that was idle for a moment is looked at, since a server that was
    /// restarted has closed it; one that was idle for long has to answer.
    fn is_fit_after(&self, idle: Duration, connection: &mut Connection, left: Option<Duration>) -> bool {
        if idle >= self.config.health_check_after {
            let timeout = self.health_check_timeout();
            return connection.is_healthy(Some(left.map_or(timeout, |left| left.min(timeout))));
        }
        idle < LOOK_AFTER || connection.is_quiet()
    }

    fn health_check_timeout(&self) -> Duration {
        self.config.request_timeout.unwrap_or(HEALTH_CHECK_TIMEOUT_MAX).min(HEALTH_CHECK_TIMEOUT_MAX)
    }

    /// No code that holds the lock panics; if it did, the state would still be in order.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fail_fast(&self, now: Instant) -> Option<Error> {
        let Down { until, probing, .. } = self.down?;
        let retry_in = until.saturating_duration_since(now);
        (probing || !retry_in.is_zero()).then_some(Error::Down { retry_in })
    }

    /// Down for a while, a longer one than the last time.
    fn go_down(&mut self, config: &Config, stalled: bool) {
        let failures = self.down.map_or(0, |down| down.failures).saturating_add(1);
        let until = Instant::now() + config.backoff.delay(failures);
        self.down = Some(Down { failures, until, probing: false, stalled });
    }

    /// Counts a call without an answer. True if the server is down from now on.
    fn is_one_timeout_too_many(&mut self, config: &Config) -> bool {
        self.timeouts += 1;
        let stalls = self.timeouts >= config.timeouts_max && self.down.is_none();
        if stalls {
            self.go_down(config, true);
        }
        stalls
    }

    /// The server answered.
    fn heard(&mut self) {
        self.timeouts = 0;
        if self.down.is_some_and(|down| down.stalled && !down.probing) {
            self.down = None;
        }
    }

    fn begin_open(&mut self) {
        self.open += 1;
        if let Some(down) = &mut self.down {
            down.probing = true;
        }
    }

    /// Takes out what is beyond its limits: too old, or idle for too long and not needed for the minimum. What is
    /// taken out is closed after the lock is released.
    fn retire(&mut self, config: &Config, now: Instant) -> Vec<Connection> {
        let mut retired = Vec::new();
        while self.idle.front().is_some_and(|oldest| oldest.is_beyond(config, self.idle.len(), now)) {
            retired.extend(self.idle.pop_front());
        }
        if self.idle.back().is_some_and(|newest| newest.is_beyond(config, self.idle.len(), now)) {
            retired.extend(self.idle.pop_back());
        }
        retired
    }
}

impl Connection {
    /// Whether it is to be closed, as one of so many idle ones.
    fn is_beyond(&self, config: &Config, idle: usize, now: Instant) -> bool {
        now.saturating_duration_since(self.opened) >= config.age_limit
            || (idle > config.idle_min && now.saturating_duration_since(self.last_used) >= config.idle_limit)
    }
}

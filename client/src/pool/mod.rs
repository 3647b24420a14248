//! The connections to one server: lent, taken back, opened, given up.
//!
//! ```text
//! checkout   newest idle one, PING first if it was idle for long; if that is dead, all idle ones are closed
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
use std::time::Duration;
use std::{fmt, io};

pub(crate) use lease::Lease;
pub use maintenance::Maintenance;
pub use stats::{Latency, PoolStats};

use crate::call::Call;
use crate::clock::Moment;
use crate::config::Config;
use crate::connection::Connection;
use crate::error::{Broken, Error};

/// The longest that a health check may take.
const HEALTH_CHECK_TIMEOUT_MAX: Duration = Duration::from_secs(1);

/// A connection that was idle for so long costs one system call more, to see whether the server has closed it.
const LOOK_AFTER: Duration = Duration::from_millis(5);

/// Room for idle connections that is made at the start.
const IDLE_RESERVED_MAX: usize = 64;

/// A pool of connections to one server.
pub(crate) struct Pool {
    config: Config,
    state: Mutex<State>,
    /// A connection came back or was given up, or the server was found down, or up again.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// By the time of their last use, the newest last.
    idle: VecDeque<Box<Connection>>,
    open: usize,
    /// Threads that wait for a change. Only then is it announced, since that is a system call.
    waiting: usize,
    down: Option<Down>,
    /// Calls in a row that had no answer in time.
    timeouts: u32,
    /// All but what is read off the rest: see [`Pool::stats`].
    counts: PoolStats,
    latencies: stats::Latencies,
}

/// The server could not be reached, or does not answer.
#[derive(Clone, Copy, Debug)]
struct Down {
    /// Failures in a row.
    failures: u32,
    /// Nothing is tried before.
    until: Moment,
    /// A thread is trying.
    probing: bool,
    /// It takes connections, but does not answer: so those that are open are of no use.
    stalled: bool,
}

fn is_timeout(error: &Error) -> bool {
    matches!(error, Error::Connect(io::ErrorKind::TimedOut) | Error::Handshake(Broken::Timeout))
}

/// What a look at the pool led to.
enum Found {
    Idle(Box<Connection>),
    MayOpen,
}

impl Pool {
    pub(crate) fn new(config: Config) -> Self {
        let state = State {
            idle: VecDeque::with_capacity(config.connections_max.min(IDLE_RESERVED_MAX)),
            open: 0,
            waiting: 0,
            down: None,
            timeouts: 0,
            counts: PoolStats::default(),
            latencies: stats::Latencies::new(),
        };
        Self { config, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let state = self.lock();
        PoolStats {
            active: state.open - state.idle.len(),
            idle: state.idle.len(),
            latency: state.latencies.summary(),
            ..state.counts
        }
    }

    pub(crate) fn count_unstored(&self) {
        self.lock().counts.unstored += 1;
    }

    /// Lends a connection.
    pub(crate) fn checkout(&self, call: &mut Call) -> Result<Lease<'_>, Error> {
        loop {
            match self.find(call)? {
                Found::MayOpen => return self.open(call.left(), Some(call)),
                Found::Idle(mut connection) => {
                    if self.is_fit(&mut connection, call) {
                        return Ok(self.lend(connection, true, Some(call.begun)));
                    }
                    let mut state = self.lock();
                    state.counts.hits -= 1; // it was none
                    state.counts.health_check_failures += 1;
                    // They were idle for longer. To find that out, too, would take time that a new one needs.
                    let suspects = state.take_suspects();
                    self.give_up(state, connection);
                    drop(suspects);
                    call.look();
                }
            }
        }
    }

    /// Lends a connection after one that seemed in order was found dead. The idle ones are likely dead too, so they
    /// are closed.
    pub(crate) fn checkout_fresh(&self, call: &mut Call) -> Result<Lease<'_>, Error> {
        let mut state = self.lock();
        state.counts.retries += 1;
        let suspects = state.take_suspects();
        self.announce(state);
        drop(suspects);
        call.look();
        self.checkout(call)
    }

    /// An idle connection, or the permission to open one, which is already counted.
    fn find(&self, call: &mut Call) -> Result<Found, Error> {
        let mut retired = Vec::new(); // before the guard, so that they are closed after the lock is released
        let mut state = self.lock();
        let mut wait_until = None;
        loop {
            while let Some(connection) = state.idle.pop_back() {
                if !connection.is_beyond(&self.config, state.idle.len() + 1, call.now) {
                    state.counts.hits += 1;
                    return Ok(Found::Idle(connection));
                }
                state.open -= 1;
                state.counts.retired += 1;
                retired.push(connection);
            }
            // Connections in use show that the server may be there: rather wait for one of them, or until one may be
            // opened again, than fail.
            let mut retry_in = Duration::ZERO;
            if let Some(down) = state.fail_fast(call.now) {
                retry_in = down.until.since(call.now);
                if state.open == 0 || down.stalled {
                    state.counts.failed_fast += 1;
                    return Err(Error::Down { retry_in });
                }
            } else if state.open < self.config.connections_max {
                state.begin_open();
                state.counts.misses += 1;
                return Ok(Found::MayOpen);
            }
            let until = *wait_until.get_or_insert_with(|| {
                state.counts.waits += 1;
                call.bounded(self.config.checkout_timeout)
            });
            let left = until.since(call.now);
            if left.is_zero() {
                state.counts.exhausted += 1;
                return Err(Error::PoolExhausted { waited: until.since(call.begun) });
            }
            // A thread that tries tells how that ended.
            let wait = if retry_in.is_zero() { left } else { left.min(retry_in) };
            state.waiting += 1;
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
            call.look();
        }
    }

    /// Opens the connection that [`State::begin_open`] counted, for this call if there is one.
    fn open(&self, left: Option<Duration>, call: Option<&mut Call>) -> Result<Lease<'_>, Error> {
        let timeout = left.map_or(self.config.connect_timeout, |left| left.min(self.config.connect_timeout));
        let opened = Connection::open(&self.config, timeout);
        let mut state = self.lock();
        match opened {
            Ok(connection) => {
                state.counts.opened += 1;
                if state.down.take().is_some() {
                    state.counts.reconnects += 1;
                    state.timeouts = 0;
                    self.announce(state);
                } else {
                    drop(state);
                }
                let begun = call.map(|call| {
                    call.look();
                    call.begun
                });
                Ok(self.lend(Box::new(connection), false, begun))
            }
            Err(error) => {
                match state.down {
                    // That says nothing about the server.
                    None if error == Error::TooManyFiles => {}
                    // The time was the call's, and short: that says no more than an answer that came too late for it.
                    None if timeout < self.config.connect_timeout && is_timeout(&error) => {
                        let _ = state.is_one_timeout_too_many(&self.config);
                    }
                    None => state.go_down(&self.config, false),
                    Some(down) if down.probing => state.go_down(&self.config, down.stalled),
                    // Several that fail in the same moment are one failure.
                    Some(_) => {}
                }
                state.open -= 1;
                state.counts.connect_failures += 1;
                self.announce(state);
                Err(error)
            }
        }
    }

    fn lend(&self, connection: Box<Connection>, reused: bool, begun: Option<Moment>) -> Lease<'_> {
        Lease { pool: self, connection: Some(connection), reused, timed_out: false, begun }
    }

    fn give_back(&self, mut connection: Box<Connection>, begun: Option<Moment>, timed_out: bool) {
        let now = Moment::now();
        connection.trim();
        let mut state = self.lock();
        if let Some(begun) = begun {
            state.latencies.record(now.since(begun));
        }
        if !connection.fit {
            state.counts.broken += 1;
            let stalls = timed_out && state.is_one_timeout_too_many(&self.config);
            let suspects = if stalls { state.take_suspects() } else { VecDeque::new() };
            self.give_up(state, connection);
            return drop(suspects);
        }
        state.count_bytes(&mut connection);
        (connection.last_used, connection.last_seen) = (now, now);
        state.heard();
        state.idle.push_back(connection);
        let retired = state.retire(&self.config, now);
        self.announce_one(state);
        drop(retired);
    }

    /// Closes a connection that was lent.
    fn give_up(&self, mut state: MutexGuard<'_, State>, mut connection: Box<Connection>) {
        state.count_bytes(&mut connection);
        state.open -= 1;
        self.announce(state);
        drop(connection);
    }

    /// Releases the lock, and tells one of those who wait that there is a connection.
    fn announce_one(&self, state: MutexGuard<'_, State>) {
        let waiting = state.waiting;
        drop(state);
        if waiting > 0 {
            self.changed.notify_one();
        }
    }

    /// Releases the lock, and tells all who wait that a connection may be opened, or that they are to fail at once.
    fn announce(&self, state: MutexGuard<'_, State>) {
        let waiting = state.waiting;
        drop(state);
        if waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Whether a connection can be lent again. One that was idle for a moment is looked at, since a server that was
    /// restarted has closed it; one that was idle for long has to answer.
    fn is_fit(&self, connection: &mut Connection, call: &mut Call) -> bool {
        let idle = call.now.since(connection.last_seen);
        if idle >= self.config.health_check_after {
            let timeout = self.health_check_timeout();
            // Half of the call's time is left for another one.
            let is_healthy =
                connection.is_healthy(call.left().map_or(timeout, |left| (left / 2).min(timeout)));
            call.look();
            return is_healthy;
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

impl fmt::Debug for Pool {
    /// Without its connections, whose buffers hold what was sent and received last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("addr", &self.config.addr).finish_non_exhaustive()
    }
}

impl State {
    /// Why no connection may be opened now.
    fn fail_fast(&self, now: Moment) -> Option<Down> {
        self.down.filter(|down| down.probing || down.until > now)
    }

    /// Down for a while, a longer one than the last time.
    fn go_down(&mut self, config: &Config, stalled: bool) {
        let failures = self.down.map_or(0, |down| down.failures).saturating_add(1);
        let until = Moment::now().after(config.backoff.delay(failures));
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

    fn count_bytes(&mut self, connection: &mut Connection) {
        self.counts.bytes_out += std::mem::take(&mut connection.bytes_out);
        self.counts.bytes_in += std::mem::take(&mut connection.bytes_in);
    }

    /// Takes out the idle ones, of which one that is like them was found dead or without an answer; they are to be closed
    /// after the lock is released.
    fn take_suspects(&mut self) -> VecDeque<Box<Connection>> {
        let suspects = std::mem::take(&mut self.idle);
        self.open -= suspects.len();
        self.counts.broken += suspects.len() as u64;
        suspects
    }

    /// Takes out what is beyond its limits: too old, or idle for too long and not needed for the minimum. What is
    /// taken out is closed after the lock is released.
    fn retire(&mut self, config: &Config, now: Moment) -> VecDeque<Box<Connection>> {
        let mut retired = VecDeque::new();
        while self.idle.front().is_some_and(|oldest| oldest.is_beyond(config, self.idle.len(), now)) {
            retired.extend(self.idle.pop_front());
        }
        if self.idle.back().is_some_and(|newest| newest.is_beyond(config, self.idle.len(), now)) {
            retired.extend(self.idle.pop_back());
        }
        self.open -= retired.len();
        self.counts.retired += retired.len() as u64;
        retired
    }
}

impl Connection {
    /// Whether it is to be closed, as one of so many idle ones.
    fn is_beyond(&self, config: &Config, idle: usize, now: Moment) -> bool {
        now >= self.old_from || (idle > config.idle_min && now.since(self.last_used) >= config.idle_limit)
    }
}

//! The connections to one server: lent, taken back, opened, given up.
//!
//! ```text
//! checkout   newest idle one, PING first if it was idle for long
//!            else open one, if fewer than the maximum are open
//!            else wait for one to come back
//! return     in order and young: to the idle ones; the oldest idle ones beyond their limit are closed
//! ```
//!
//! There is no thread: limits are enforced as connections come and go, and by [`Pool::maintain`].
//!
//! After a failure to connect the server counts as down: until the backoff has passed, a checkout that would have to
//! connect fails at once; then one thread tries while the others go on failing at once. Connections that are still
//! open are lent all the same.
//!
//! Invariants: `open` = idle + lent + being opened, and at most `connections_max`; no I/O happens under the lock.

mod stats;

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use stats::PoolStats;

use crate::config::Config;
use crate::connection::Connection;
use crate::error::Error;

/// The longest that a health check may take.
const HEALTH_CHECK_TIMEOUT_MAX: Duration = Duration::from_secs(1);

/// A connection that was idle for so long costs one system call more, to see whether the server has closed it.
const LOOK_AFTER: Duration = Duration::from_millis(5);

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
}

/// The server could not be reached.
#[derive(Clone, Copy, Debug)]
struct Down {
    /// Failures in a row.
    failures: u32,
    /// Nothing is tried before.
    until: Instant,
    /// A thread is trying.
    probing: bool,
}

/// What a look at the pool led to.
enum Found {
    Idle(Box<Connection>),
    MayOpen,
}

/// A connection on loan. It goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Lease<'p> {
    pool: &'p Pool,
    /// Always there until drop.
    connection: Option<Connection>,
    reused: bool,
}

impl Pool {
    pub(crate) fn new(config: Config) -> Self {
        let state = State { idle: VecDeque::new(), open: 0, down: None };
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
        self.counters.snapshot(state.open - state.idle.len(), state.idle.len())
    }

    pub(crate) fn count_retry(&self) {
        self.counters.retries.add(1);
    }

    pub(crate) fn count_unstored(&self) {
        self.counters.unstored.add(1);
    }

    /// Lends a connection.
    pub(crate) fn checkout(&self) -> Result<Lease<'_>, Error> {
        loop {
            match self.find()? {
                Found::MayOpen => return self.open(),
                Found::Idle(mut connection) => {
                    if !self.is_fit_after_idling(&mut connection) {
                        self.counters.health_check_failures.add(1);
                        self.give_up(*connection);
                        continue;
                    }
                    self.counters.hits.add(1);
                    return Ok(Lease { pool: self, connection: Some(*connection), reused: true });
                }
            }
        }
    }

    /// Lends a connection after one that seemed in order was found dead. The idle ones are likely dead too, so they
    /// are closed.
    pub(crate) fn checkout_fresh(&self) -> Result<Lease<'_>, Error> {
        let suspects = {
            let mut state = self.lock();
            let suspects = std::mem::take(&mut state.idle);
            state.open -= suspects.len();
            suspects
        };
        self.changed.notify_all();
        self.counters.broken.add(suspects.len() as u64);
        drop(suspects);
        self.checkout()
    }

    /// Opens connections until [`Config::idle_min`] are open, at least one.
    pub(crate) fn open_at_least_one(&self) -> Result<(), Error> {
        let mut opened = Vec::new();
        for _ in 0..self.config.idle_min.max(1) {
            match self.find()? {
                Found::MayOpen => opened.push(self.open()?),
                Found::Idle(connection) => {
                    opened.push(Lease { pool: self, connection: Some(*connection), reused: true });
                }
            }
        }
        Ok(())
    }

    /// Closes what is beyond its limits, and opens connections until the idle minimum is met.
    pub(crate) fn maintain(&self) -> Result<(), Error> {
        let retired = {
            let mut state = self.lock();
            let retired = state.retire(&self.config);
            state.open -= retired.len();
            retired
        };
        self.counters.retired.add(retired.len() as u64);
        drop(retired);
        let mut opened = Vec::new();
        loop {
            {
                let mut state = self.lock();
                let idle = state.idle.len() + opened.len();
                if idle >= self.config.idle_min || state.open >= self.config.connections_max {
                    return Ok(());
                }
                if let Some(error) = state.fail_fast() {
                    return Err(error);
                }
                state.begin_open();
            }
            opened.push(self.open()?);
        }
    }

    /// An idle connection, or the permission to open one, which is already counted.
    fn find(&self) -> Result<Found, Error> {
        let mut retired = Vec::new(); // before the guard, so that they are closed after the lock is released
        let mut state = self.lock();
        let mut deadline = None;
        loop {
            while let Some(connection) = state.idle.pop_back() {
                if !connection.is_beyond(&self.config, state.idle.len() + 1) {
                    return Ok(Found::Idle(Box::new(connection)));
                }
                state.open -= 1;
                self.counters.retired.add(1);
                retired.push(connection);
            }
            // Connections in use show that the server may be there: rather wait for one of them than fail.
            if let Some(error) = state.fail_fast() {
                if state.open == 0 {
                    self.counters.failed_fast.add(1);
                    return Err(error);
                }
            } else if state.open < self.config.connections_max {
                state.begin_open();
                self.counters.misses.add(1);
                return Ok(Found::MayOpen);
            }
            let now = Instant::now();
            let deadline = *deadline.get_or_insert_with(|| {
                self.counters.waits.add(1);
                now + self.config.checkout_timeout
            });
            let left = deadline.saturating_duration_since(now);
            if left.is_zero() {
                self.counters.exhausted.add(1);
                return Err(Error::PoolExhausted { waited: self.config.checkout_timeout });
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Opens the connection that [`State::begin_open`] counted.
    fn open(&self) -> Result<Lease<'_>, Error> {
        let opened = Connection::open(&self.config);
        let mut state = self.lock();
        match opened {
            Ok(connection) => {
                if state.down.take().is_some() {
                    self.counters.reconnects.add(1);
                }
                Ok(Lease { pool: self, connection: Some(connection), reused: false })
            }
            Err(error) => {
                // Several that fail in the same moment are one failure.
                if state.down.is_none_or(|down| down.probing) {
                    let failures = state.down.map_or(0, |down| down.failures).saturating_add(1);
                    let until = Instant::now() + self.config.backoff.delay(failures);
                    state.down = Some(Down { failures, until, probing: false });
                }
                state.open -= 1;
                self.counters.connect_failures.add(1);
                drop(state);
                self.changed.notify_all();
                Err(error)
            }
        }
    }

    fn give_back(&self, mut connection: Connection) {
        self.count_bytes(&mut connection);
        if !connection.fit {
            self.counters.broken.add(1);
            return self.give_up(connection);
        }
        connection.trim();
        connection.last_used = Instant::now();
        let retired = {
            let mut state = self.lock();
            state.idle.push_back(connection);
            let retired = state.retire(&self.config);
            state.open -= retired.len();
            retired
        };
        self.changed.notify_one();
        self.counters.retired.add(retired.len() as u64);
    }

    fn give_up(&self, connection: Connection) {
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
    fn is_fit_after_idling(&self, connection: &mut Connection) -> bool {
        let idle = connection.last_used.elapsed();
        if idle >= self.config.health_check_after {
            return connection.is_healthy(Some(self.health_check_timeout()));
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
    fn fail_fast(&self) -> Option<Error> {
        let Down { until, probing, .. } = self.down?;
        let retry_in = until.saturating_duration_since(Instant::now());
        (probing || !retry_in.is_zero()).then_some(Error::Down { retry_in })
    }

    fn begin_open(&mut self) {
        self.open += 1;
        if let Some(down) = &mut self.down {
            down.probing = true;
        }
    }

    /// Takes out what is beyond its limits: too old, or idle for too long and not needed for the minimum. What is
    /// taken out is closed after the lock is released.
    fn retire(&mut self, config: &Config) -> Vec<Connection> {
        let mut retired = Vec::new();
        while self.idle.front().is_some_and(|oldest| oldest.is_beyond(config, self.idle.len())) {
            retired.extend(self.idle.pop_front());
        }
        if self.idle.back().is_some_and(|newest| newest.is_beyond(config, self.idle.len())) {
            retired.extend(self.idle.pop_back());
        }
        retired
    }
}

impl Connection {
    /// Whether it is to be closed, as one of so many idle ones.
    fn is_beyond(&self, config: &Config, idle: usize) -> bool {
        self.opened.elapsed() >= config.age_limit
            || (idle > config.idle_min && self.last_used.elapsed() >= config.idle_limit)
    }
}

impl Lease<'_> {
    /// Whether the connection was used before: only then it may have died unnoticed.
    pub(crate) const fn is_reused(&self) -> bool {
        self.reused
    }
}

impl Deref for Lease<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("there until drop")
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("there until drop")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(connection);
        }
    }
}

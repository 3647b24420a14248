//! What is done for the connections that nobody uses: limits, health checks, the idle minimum.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;
use std::{fmt, io};

use super::{Found, Pool, PoolStats};
use crate::call::Call;
use crate::clock::Moment;
use crate::connection::Connection;
use crate::error::Error;

/// A thread that maintains the connections of a client. It ends when this is dropped, or with the last clone of the
/// client.
#[must_use = "the thread ends when this is dropped"]
pub struct Maintenance {
    _stop: Sender<()>,
}

impl Maintenance {
    pub(crate) fn start(
        pool: &Arc<Pool>,
        interval: Duration,
        mut export: impl FnMut(&PoolStats) + Send + 'static,
    ) -> io::Result<Self> {
        let pool: Weak<Pool> = Arc::downgrade(pool);
        let (stop, stopped) = mpsc::channel();
        thread::Builder::new().name("crabcache-maintenance".to_owned()).spawn(move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let Some(pool) = pool.upgrade() else { return };
                let _ = pool.maintain(); // what fails is in the figures
                export(&pool.stats());
            }
        })?;
        Ok(Self { _stop: stop })
    }
}

impl fmt::Debug for Maintenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maintenance").finish_non_exhaustive()
    }
}

impl Pool {
    /// Opens connections until the idle minimum is met, at least one.
    pub(crate) fn open_at_least_one(&self) -> Result<(), Error> {
        let mut opened = Vec::new();
        for _ in 0..self.config.idle_min.max(1) {
            opened.push(match self.find(&mut Call::begin(None))? {
                Found::MayOpen => self.open(None, None)?,
                Found::Idle(connection) => self.lend(connection, true, None),
            });
        }
        Ok(())
    }

    /// Closes what is beyond its limits or does not answer, and opens connections until the idle minimum is met.
    pub(crate) fn maintain(&self) -> Result<(), Error> {
        let retired = self.lock().retire(&self.config, Moment::now());
        drop(retired);
        self.check_idle();
        let mut opened = Vec::new();
        loop {
            {
                let mut state = self.lock();
                let idle = state.idle.len() + opened.len();
                if idle >= self.config.idle_min || state.open >= self.config.connections_max {
                    return Ok(());
                }
                let now = Moment::now();
                if let Some(down) = state.fail_fast(now) {
                    return Err(Error::Down { retry_in: down.until.since(now) });
                }
                state.begin_open();
            }
            opened.push(self.open(None, None)?);
        }
    }

    /// Asks each connection that was not heard of for long, one at a time, so that the others can be lent meanwhile.
    fn check_idle(&self) {
        let begun = Moment::now();
        while let Some(mut connection) = self.take_unheard(begun) {
            if connection.is_healthy(self.health_check_timeout()) {
                connection.last_seen = Moment::now();
                let mut state = self.lock();
                state.count_bytes(&mut connection);
                let at = state.idle.partition_point(|other| other.last_used <= connection.last_used);
                state.idle.insert(at, connection);
                self.announce_one(state);
            } else {
                let mut state = self.lock();
                state.counts.health_check_failures += 1;
                self.give_up(state, connection);
            }
        }
    }

    /// One that has not been heard of for as long as a health check is due after, seen from `now`.
    fn take_unheard(&self, now: Moment) -> Option<Box<Connection>> {
        let mut state = self.lock();
        let is_due = |connection: &Connection| {
            connection.last_seen <= now && now.since(connection.last_seen) >= self.config.health_check_after
        };
        let at = state.idle.iter().position(|connection| is_due(connection))?;
        state.idle.remove(at)
    }
}

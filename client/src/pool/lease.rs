//! What a call has of the pool: a [`Lease`] of a connection, for the time of the [`Call`].

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use super::Pool;
use crate::connection::Connection;

/// When a call began, and when it has to be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(super) begun: Instant,
    deadline: Option<Instant>,
}

/// A connection on loan. It goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Lease<'p> {
    pub(super) pool: &'p Pool,
    /// Always there until drop.
    pub(super) connection: Option<Connection>,
    /// Whether the connection was used before: only then it may have died unnoticed.
    pub(crate) reused: bool,
    /// Whether it was there without waiting, connecting or asking.
    pub(crate) at_once: bool,
    /// Whether the call ended because its time was up.
    pub(crate) timed_out: bool,
    /// When the call began that this is for; none if it is for no call.
    pub(super) begun: Option<Instant>,
}

impl Call {
    /// A call that begins now.
    pub(crate) fn begin(timeout: Option<Duration>) -> Self {
        let begun = Instant::now();
        Self { begun, deadline: timeout.map(|timeout| begun + timeout) }
    }

    /// The time to the deadline, at least a millisecond, as sockets know no shorter one; none if there is no deadline.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let left = self.deadline?.saturating_duration_since(Instant::now());
        Some(left.max(Duration::from_millis(1)))
    }

    /// The end of a part of the call that may take so long.
    pub(super) fn bounded(&self, timeout: Duration) -> Instant {
        let end = self.begun + timeout;
        self.deadline.map_or(end, |deadline| deadline.min(end))
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
            self.pool.give_back(connection, self.begun, self.timed_out);
        }
    }
}

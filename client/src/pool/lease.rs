//! What a call has of the pool: a [`Lease`] of a connection.

use std::ops::{Deref, DerefMut};

use super::Pool;
use crate::clock::Moment;
use crate::connection::Connection;

/// A connection on loan. It goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Lease<'p> {
    pub(super) pool: &'p Pool,
    /// Always there until drop.
    pub(super) connection: Option<Box<Connection>>,
    /// Whether the connection was used before: only then it may have died unnoticed.
    pub(crate) reused: bool,
    /// Whether the call ended because its time was up.
    pub(crate) timed_out: bool,
    /// When the call began that this is for; none if it is for no call.
    pub(super) begun: Option<Moment>,
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

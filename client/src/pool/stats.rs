//! What the pool counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters, shared by all threads. They order nothing, so all accesses are relaxed.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) waits: Counter,
    pub(super) exhausted: Counter,
    pub(super) failed_fast: Counter,
    pub(super) connect_failures: Counter,
    pub(super) reconnects: Counter,
    pub(super) health_check_failures: Counter,
    pub(super) retired: Counter,
    pub(super) broken: Counter,
    pub(super) retries: Counter,
    pub(super) unstored: Counter,
    pub(super) bytes_out: Counter,
    pub(super) bytes_in: Counter,
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A look at a client's pool. All but the first two count from the start of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections in use (or being opened) now.
    pub active: usize,
    /// Connections waiting to be used now.
    pub idle: usize,
    /// Checkouts that found an idle connection.
    pub hits: u64,
    /// Checkouts that had to open one.
    pub misses: u64,
    /// Checkouts that had to wait because all connections were in use.
    pub waits: u64,
    /// Checkouts that waited in vain.
    pub exhausted: u64,
    /// Checkouts that failed at once because the server is down.
    pub failed_fast: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Connections that were opened after the server had been down.
    pub reconnects: u64,
    /// Idle connections that did not answer PING.
    pub health_check_failures: u64,
    /// Connections that were closed for idleness or age.
    pub retired: u64,
    /// Connections that were closed because they were not in order after use.
    pub broken: u64,
    /// Requests that were sent again because their connection turned out dead.
    pub retries: u64,
    /// Values that [`Client::get_or_put_with`](crate::Client::get_or_put_with) computed and could not store, since the
    /// lease had ended or the server did not take them.
    pub unstored: u64,
    /// Bytes sent. Those of connections in use are counted when they are returned.
    pub bytes_out: u64,
    /// Bytes received. Those of connections in use are counted when they are returned.
    pub bytes_in: u64,
}

impl Counters {
    pub(super) fn snapshot(&self, active: usize, idle: usize) -> PoolStats {
        PoolStats {
            active,
            idle,
            hits: self.hits.get(),
            misses: self.misses.get(),
            waits: self.waits.get(),
            exhausted: self.exhausted.get(),
            failed_fast: self.failed_fast.get(),
            connect_failures: self.connect_failures.get(),
            reconnects: self.reconnects.get(),
            health_check_failures: self.health_check_failures.get(),
            retired: self.retired.get(),
            broken: self.broken.get(),
            retries: self.retries.get(),
            unstored: self.unstored.get(),
            bytes_out: self.bytes_out.get(),
            bytes_in: self.bytes_in.get(),
        }
    }
}

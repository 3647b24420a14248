//! The only reader of time. A worker looks once per turn and passes the answer on, so that everything in a turn
//! happens at one moment and nothing below pays for a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crabcache_engine::Millis;

/// Wall time in milliseconds since the Unix epoch, which expiries are given in.
#[must_use]
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Microseconds since the Unix epoch, for the commands that tell the time.
#[must_use]
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A clock that never runs backwards, for deadlines of the server's own.
#[must_use]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

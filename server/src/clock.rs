//! The only reader of time. A worker looks once per turn and passes the answer on, so that everything in a turn
//! happens at one moment and nothing below pays for a clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crabcache_engine::Millis;

/// What a worker takes a turn to happen at, on two clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Milliseconds since the Unix epoch, which expiries are given in. Somebody may set this clock.
    pub(crate) wall: Millis,
    /// Milliseconds of a clock that nobody sets and that never runs backwards, for how long clients have waited or
    /// have been quiet.
    pub(crate) steady: Millis,
}

impl Moment {
    /// The moment at which it is called.
    #[must_use]
    pub(crate) fn now() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        Self { wall: now(), steady: millis(START.get_or_init(monotonic).elapsed()) }
    }

    /// The wall time of an earlier moment on the steady clock.
    #[must_use]
    pub(crate) fn wall_of(self, earlier: Millis) -> Millis {
        Millis(self.wall.0.saturating_sub(self.steady.0.saturating_sub(earlier.0)))
    }
}

/// Wall time in milliseconds since the Unix epoch.
#[must_use]
pub(crate) fn now() -> Millis {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// In 64 bits, which last for some hundred million years: `Duration::as_millis` takes 128.
fn millis(since: Duration) -> Millis {
    Millis(since.as_secs() * 1000 + u64::from(since.subsec_millis()))
}

/// Microseconds since the Unix epoch, for the commands that tell the time.
#[must_use]
pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// A clock that never runs backwards.
#[must_use]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

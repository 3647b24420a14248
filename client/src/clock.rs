//! Moments of the monotonic clock. A call reads the clock twice and compares moments ten times, so a moment is one number.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Nanoseconds since this process first asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// Later than all others.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// Reads the clock.
    pub(crate) fn now() -> Self {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        let now = Instant::now();
        let time = now.saturating_duration_since(*BEGIN.get_or_init(|| now));
        Self(time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos()))
    }

    /// This much later.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time that has passed since an earlier moment; none since a later one.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_add_and_subtract() {
        let now = Moment::now();
        let ms = Duration::from_millis(1);
        assert_eq!(now.after(ms).since(now), ms);
        assert_eq!(now.since(now.after(ms)), Duration::ZERO);
        assert_eq!(now.after(Duration::MAX), Moment::NEVER);
        assert!(Moment::now() >= now && Moment::now() < now.after(Duration::from_hours(1)));
    }
}

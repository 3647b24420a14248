//! What the pool counts and times.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Latencies are told apart down to this, in nanoseconds.
const LATENCY_MIN_NS: u64 = 1000;
/// Longer ones count as this.
const LATENCY_MAX_NS: u64 = 60_000_000_000;
/// Decimal digits of a latency.
const LATENCY_DIGITS: u8 = 2;

/// How long calls took, those that failed included: from asking for a connection to giving it back. 20 KiB, all of it
/// allocated at the start.
#[derive(Debug)]
pub(super) struct Latencies(Histogram<u64>);

/// How long calls took that had a connection, from asking for it to the last answer. A pipeline is one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// Calls.
    pub count: u64,
    /// Half of the calls took no longer.
    pub p50: Duration,
    /// 95 % of the calls took no longer.
    pub p95: Duration,
    /// 99 % of the calls took no longer.
    pub p99: Duration,
    /// 99.9 % of the calls took no longer.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

/// A look at a client's pool. All but the first two count from the start of the client, and add up: every call, every
/// retry, and every connection that `connect` opens is one of `hits`, `misses`, `exhausted` and `failed_fast`; of the
/// connections that were `opened`, those that are not `active` or `idle` are among `retired`, `broken` and
/// `health_check_failures`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Connections that were opened.
    pub opened: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Connections that were opened after the server had been down.
    pub reconnects: u64,
    /// Idle connections that were found closed, or did not answer PING.
    pub health_check_failures: u64,
    /// Connections that were closed for idleness or age.
    pub retired: u64,
    /// Connections that were closed because they were not in order after use, or idle while one was found dead.
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
    /// How long calls took.
    pub latency: Latency,
}

impl PoolStats {
    /// All figures by name, durations in nanoseconds, for whatever they are exported to. The first two are gauges; the
    /// others up to `latency_count` only grow.
    #[must_use]
    pub fn figures(&self) -> [(&'static str, u64); 23] {
        let ns = |latency: Duration| latency.as_nanos() as u64;
        [
            ("active", self.active as u64),
            ("idle", self.idle as u64),
            ("hits", self.hits),
            ("misses", self.misses),
            ("waits", self.waits),
            ("exhausted", self.exhausted),
            ("failed_fast", self.failed_fast),
            ("opened", self.opened),
            ("connect_failures", self.connect_failures),
            ("reconnects", self.reconnects),
            ("health_check_failures", self.health_check_failures),
            ("retired", self.retired),
            ("broken", self.broken),
            ("retries", self.retries),
            ("unstored", self.unstored),
            ("bytes_out", self.bytes_out),
            ("bytes_in", self.bytes_in),
            ("latency_count", self.latency.count),
            ("latency_p50_ns", ns(self.latency.p50)),
            ("latency_p95_ns", ns(self.latency.p95)),
            ("latency_p99_ns", ns(self.latency.p99)),
            ("latency_p999_ns", ns(self.latency.p999)),
            ("latency_max_ns", ns(self.latency.max)),
        ]
    }
}

impl Latencies {
    pub(super) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(LATENCY_MIN_NS, LATENCY_MAX_NS, LATENCY_DIGITS);
        Self(histogram.expect("the bounds are in order"))
    }

    pub(super) fn record(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn summary(&self) -> Latency {
        let at = |quantile| Duration::from_nanos(self.0.value_at_quantile(quantile));
        Latency {
            count: self.0.len(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: Duration::from_nanos(self.0.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_told_to_two_digits() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.summary(), Latency::default());
        for us in 1..=10_000 {
            latencies.record(Duration::from_micros(us));
        }
        latencies.record(Duration::from_hours(1));
        let Latency { count, p50, p95, p99, p999, max } = latencies.summary();
        assert_eq!(count, 10_001);
        for (found, us) in [(p50, 5000.0), (p95, 9500.0), (p99, 9900.0), (p999, 9990.0), (max, 60e6)] {
            let found = found.as_secs_f64() * 1e6;
            assert!((found / us - 1.0).abs() < 0.015, "{found} for {us}");
        }
    }

    #[test]
    fn figures_have_names_of_their_own() {
        let stats = PoolStats { active: 1, idle: 2, ..PoolStats::default() };
        let mut names = stats.figures().map(|(name, _)| name);
        assert_eq!(stats.figures()[..2], [("active", 1), ("idle", 2)]);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

//! What was counted while requests were played.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A thread that uses this part of the clock's time has none left: it was the limit, not the server.
const SATURATED: f64 = 0.95;
/// Longest time that is told from longer ones: 100 s.
const NANOSECONDS_MAX: u64 = 100_000_000_000;
/// Significant decimal digits of latencies.
const DIGITS: u8 = 3;

/// What came of some requests.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that were due, but for which no connection had room until the end. Their latencies are at least what is recorded.
    pub unsent: u64,
    /// GETs that found a value.
    pub hits: u64,
    /// GETs that found none.
    pub misses: u64,
    /// SETs that were carried out, and PINGs.
    pub done: u64,
    /// Requests that were answered with an error.
    pub errors: u64,
    /// The first of these errors.
    pub first_error: Option<String>,
    /// Values that were not the ones that had been stored. Only if they were looked at.
    pub wrong: u64,
    /// Bytes that were received.
    pub bytes_in: u64,
    /// Bytes that were sent.
    pub bytes_out: u64,
    /// Latencies in nanoseconds: from the moment a request was sent, or was to be sent if there is a schedule, to the
    /// moment its answer was read.
    pub latency: Histogram<u64>,
    /// From the first request to the last answer; of several threads the longest.
    pub elapsed: Duration,
    /// CPU time that the load generator used itself; of several threads the sum.
    pub own_cpu: Duration,
    /// Threads, and how many of them had no CPU time left.
    pub threads: u32,
    /// See `threads`.
    pub saturated: u32,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            requests: 0,
            unsent: 0,
            hits: 0,
            misses: 0,
            done: 0,
            errors: 0,
            first_error: None,
            wrong: 0,
            bytes_in: 0,
            bytes_out: 0,
            latency: Histogram::new_with_bounds(1, NANOSECONDS_MAX, DIGITS).expect("the bounds are good"),
            elapsed: Duration::ZERO,
            own_cpu: Duration::ZERO,
            threads: 0,
            saturated: 0,
        }
    }
}

impl Tally {
    /// Notes how long some requests took.
    #[inline]
    pub fn record(&mut self, nanoseconds: u64, requests: u64) {
        self.latency.saturating_record_n(nanoseconds, requests);
    }

    /// The thread is done: what it took.
    pub fn close(&mut self, elapsed: Duration, own_cpu: Duration) {
        self.elapsed = elapsed;
        self.own_cpu = own_cpu;
        self.threads = 1;
        self.saturated = u32::from(own_cpu.as_secs_f64() > elapsed.as_secs_f64() * SATURATED);
    }

    /// Adds what another thread counted in the same time.
    ///
    /// # Panics
    /// Never: all histograms have the same bounds.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.unsent += other.unsent;
        self.hits += other.hits;
        self.misses += other.misses;
        self.done += other.done;
        self.errors += other.errors;
        self.wrong += other.wrong;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.own_cpu += other.own_cpu;
        self.threads += other.threads;
        self.saturated += other.saturated;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.first_error = self.first_error.take().or_else(|| other.first_error.clone());
        self.latency.add(&other.latency).expect("the bounds are the same");
    }

    /// Requests per second.
    #[must_use]
    pub fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Microseconds within which this part of the requests was answered.
    #[must_use]
    pub fn latency_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// CPU-nanoseconds of the load generator itself per request.
    #[must_use]
    pub fn own_cpu_ns(&self) -> f64 {
        self.own_cpu.as_nanos() as f64 / self.requests.max(1) as f64
    }

    /// CPU time of the load generator over the time of all its threads: 1 if they never waited.
    #[must_use]
    pub fn own_share(&self) -> f64 {
        self.own_cpu.as_secs_f64() / (self.elapsed.as_secs_f64() * f64::from(self.threads.max(1))).max(1e-9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let mut sum = Tally::default();
        for thread in 1..=3_u64 {
            let mut tally = Tally { requests: 100, hits: 90, misses: 10, ..Tally::default() };
            tally.record(thread * 1000, 100);
            let own = Duration::from_millis(if thread == 1 { 990 } else { 500 });
            tally.close(Duration::from_secs(1), own);
            sum.merge(&tally);
        }
        assert_eq!((sum.requests, sum.hits, sum.misses, sum.threads, sum.saturated), (300, 270, 30, 3, 1));
        assert!((sum.requests_per_second() - 300.0).abs() < 1e-9);
        assert!((sum.own_share() - 1.99 / 3.0).abs() < 1e-9);
        assert!((sum.latency_us(0.5) - 2.0).abs() < 0.01, "{}", sum.latency_us(0.5));
        assert!((sum.latency_us(1.0) - 3.0).abs() < 0.01);
    }

    #[test]
    fn what_takes_longer_than_can_be_told_counts_as_the_longest() {
        let mut tally = Tally::default();
        tally.record(u64::MAX, 1);
        assert!(tally.latency_us(1.0) >= 1e8);
    }
}

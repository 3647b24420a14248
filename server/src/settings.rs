//! What CONFIG SET may change while the server runs. Read where it matters, at most once a turn.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The settings.
#[derive(Debug)]
pub(crate) struct Settings {
    connections_max: AtomicUsize,
    /// Most that `connections_max` can be: files that the process may open are limited.
    connections_limit: usize,
    idle_seconds_max: AtomicU64,
    slow_micros: AtomicI64,
    slow_requests_max: AtomicUsize,
    times_requests: AtomicBool,
    percentiles: Mutex<Vec<f64>>,
    tracked_keys_max: AtomicUsize,
}

impl Settings {
    /// What a server starts with.
    pub(crate) fn new(connections_max: usize, idle_seconds_max: u64) -> Self {
        Self {
            connections_max: AtomicUsize::new(connections_max),
            connections_limit: connections_max,
            idle_seconds_max: AtomicU64::new(idle_seconds_max),
            slow_micros: AtomicI64::new(10_000),
            slow_requests_max: AtomicUsize::new(128),
            times_requests: AtomicBool::new(true),
            percentiles: Mutex::new(vec![50.0, 99.0, 99.9]),
            tracked_keys_max: AtomicUsize::new(1_000_000),
        }
    }

    /// Most clients at once.
    pub(crate) fn connections_max(&self) -> usize {
        self.connections_max.load(Ordering::Relaxed)
    }

    /// Changes it; false, and no change, beyond what the server was started for.
    pub(crate) fn set_connections_max(&self, max: usize) -> bool {
        let possible = max <= self.connections_limit;
        if possible {
            self.connections_max.store(max, Ordering::Relaxed);
        }
        possible
    }

    /// For how many seconds a client may be idle; 0: for ever.
    pub(crate) fn idle_seconds_max(&self) -> u64 {
        self.idle_seconds_max.load(Ordering::Relaxed)
    }

    /// The same in milliseconds.
    pub(crate) fn idle_ms_max(&self) -> u64 {
        self.idle_seconds_max().saturating_mul(1000)
    }

    /// Changes it.
    pub(crate) fn set_idle_seconds_max(&self, seconds: u64) {
        self.idle_seconds_max.store(seconds, Ordering::Relaxed);
    }

    /// From how many microseconds on a request is slow; negative: none is.
    pub(crate) fn slow_micros(&self) -> i64 {
        self.slow_micros.load(Ordering::Relaxed)
    }

    /// Changes it.
    pub(crate) fn set_slow_micros(&self, micros: i64) {
        self.slow_micros.store(micros, Ordering::Relaxed);
    }

    /// How many slow requests are remembered.
    pub(crate) fn slow_requests_max(&self) -> usize {
        self.slow_requests_max.load(Ordering::Relaxed)
    }

    /// Changes it.
    pub(crate) fn set_slow_requests_max(&self, max: usize) {
        self.slow_requests_max.store(max, Ordering::Relaxed);
    }

    /// Whether durations are told in LATENCY HISTOGRAM and INFO.
    pub(crate) fn times_requests(&self) -> bool {
        self.times_requests.load(Ordering::Relaxed)
    }

    /// Changes it.
    pub(crate) fn set_times_requests(&self, on: bool) {
        self.times_requests.store(on, Ordering::Relaxed);
    }

    /// The percentiles that INFO latencystats shows.
    pub(crate) fn percentiles(&self) -> Vec<f64> {
        self.percentiles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes them.
    pub(crate) fn set_percentiles(&self, percentiles: Vec<f64>) {
        *self.percentiles.lock().unwrap_or_else(PoisonError::into_inner) = percentiles;
    }

    /// How many keys are remembered for clients that keep copies; 0: as many as there are.
    pub(crate) fn tracked_keys_max(&self) -> usize {
        self.tracked_keys_max.load(Ordering::Relaxed)
    }

    /// Changes it.
    pub(crate) fn set_tracked_keys_max(&self, max: usize) {
        self.tracked_keys_max.store(max, Ordering::Relaxed);
    }
}

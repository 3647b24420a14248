//! A moment at which one thing happens.

use std::sync::atomic::{AtomicU64, Ordering};

use crabcache_engine::Millis;

/// A moment at which something happens once, whichever worker sees it first.
#[derive(Debug)]
pub(crate) struct Appointment(AtomicU64);

impl Appointment {
    const NONE: u64 = u64::MAX;

    pub(crate) const fn none() -> Self {
        Self(AtomicU64::new(Self::NONE))
    }

    /// Sets it; the last one set counts.
    pub(crate) fn set(&self, at: Millis) {
        self.0.store(at.0, Ordering::Relaxed);
    }

    /// Cancels it.
    pub(crate) fn cancel(&self) {
        self.0.store(Self::NONE, Ordering::Relaxed);
    }

    /// The moment, if one is set.
    pub(crate) fn get(&self) -> Option<Millis> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&at| at != Self::NONE).map(Millis)
    }

    /// Whether it has come; true for one caller only.
    pub(crate) fn is_due(&self, now: Millis) -> bool {
        let at = self.0.load(Ordering::Relaxed);
        at <= now.0
            && at != Self::NONE
            && self.0.compare_exchange(at, Self::NONE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

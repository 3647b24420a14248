//! CLIENT PAUSE: for a time nothing that RESP clients ask for is carried out, or nothing that writes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crabcache_engine::Millis;

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paused {
    /// Whatever writes.
    Writes,
    /// Everything.
    All,
}

/// A pause, or none.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    until: AtomicU64,
    all: AtomicBool,
}

impl Pause {
    /// Begins one. A shorter one that is asked for during another does not end that earlier, nor does it let more through.
    pub(crate) fn begin(&self, until: Millis, what: Paused, now: Millis) {
        let lasts = self.paused(now).is_some();
        self.until.store(if lasts { self.until().0.max(until.0) } else { until.0 }, Ordering::Relaxed);
        let all = what == Paused::All || (lasts && self.all.load(Ordering::Relaxed));
        self.all.store(all, Ordering::Relaxed);
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.until.store(0, Ordering::Relaxed);
    }

    /// When it ends, or ended.
    pub(crate) fn until(&self) -> Millis {
        Millis(self.until.load(Ordering::Relaxed))
    }

    /// What waits at this moment.
    #[inline]
    pub(crate) fn paused(&self, now: Millis) -> Option<Paused> {
        let lasts = now < self.until();
        lasts.then(|| if self.all.load(Ordering::Relaxed) { Paused::All } else { Paused::Writes })
    }
}

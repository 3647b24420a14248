//! Whether large values are about, for those who compose answers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crabcache_engine::Millis;

use crate::reactor::sized;

/// The largest value seen lately. A batch answers all its reads into memory, so where values of megabytes are about,
/// batches must be shorter.
#[derive(Debug, Default)]
pub(crate) struct LargeValues {
    len: AtomicUsize,
    seen_ms: AtomicU64,
}

impl LargeValues {
    /// Values up to this length never matter.
    pub(crate) const FROM: usize = sized(64 << 10);
    /// For how long one is remembered.
    const MEMORY_MS: u64 = 60_000;

    /// Remembers a value of this length.
    #[cold]
    pub(crate) fn note(&self, len: usize, now: Millis) {
        self.len.fetch_max(len, Ordering::Relaxed);
        self.seen_ms.store(now.0, Ordering::Relaxed);
    }

    /// Whether a large value was seen lately.
    pub(crate) fn are_about(&self) -> bool {
        self.len.load(Ordering::Relaxed) > 0
    }

    /// How many operations a batch may have at this moment, for answers of `bytes` together unless one is larger.
    pub(crate) fn batch_len(&self, now: Millis, bytes: usize) -> usize {
        let len = self.len.load(Ordering::Relaxed);
        if len == 0 {
            return crabcache_engine::BATCH;
        }
        if now.0.saturating_sub(self.seen_ms.load(Ordering::Relaxed)) > Self::MEMORY_MS {
            self.len.store(0, Ordering::Relaxed);
        }
        (bytes / len).clamp(1, crabcache_engine::BATCH)
    }
}

//! Whether large values are about, for those who compose answers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crabcache_engine::{BATCH, Millis};

use crate::reactor::answers::OUT_LEN_MAX;
use crate::reactor::sized;

/// The largest value seen lately, and ever. A batch answers all its reads into memory, so where values of megabytes are
/// about, batches must be shorter.
#[derive(Debug, Default)]
pub(crate) struct LargeValues {
    len: AtomicUsize,
    seen_ms: AtomicU64,
    /// The largest one of all. It may still be there, however long nobody asked for it.
    largest: AtomicUsize,
}

impl LargeValues {
    /// Values up to this length never matter.
    pub(crate) const FROM: usize = sized(64 << 10);
    /// For how long one is remembered.
    const MEMORY_MS: u64 = 60_000;
    /// A batch of the largest values ever seen has fewer bytes than this, or one value: it is answered whatever it finds, after
    /// what the turn has answered before.
    const BATCH_BYTES_MAX: usize = OUT_LEN_MAX - sized(2 << 20);

    /// Remembers a value of this length.
    #[cold]
    pub(crate) fn note(&self, len: usize, now: Millis) {
        self.largest.fetch_max(len, Ordering::Relaxed);
        let before = self.len.fetch_max(len, Ordering::Relaxed);
        // Smaller ones do not keep it from being forgotten.
        if len >= before / 2 {
            self.seen_ms.store(now.0, Ordering::Relaxed);
        }
    }

    /// Whether a large value was seen lately.
    pub(crate) fn are_about(&self) -> bool {
        self.len.load(Ordering::Relaxed) > 0
    }

    /// How many operations a batch may have at this moment, for answers of `bytes` together unless one is larger.
    pub(crate) fn batch_len(&self, now: Millis, bytes: usize) -> usize {
        let len = self.len.load(Ordering::Relaxed);
        if len > 0 && now.0.saturating_sub(self.seen_ms.load(Ordering::Relaxed)) > Self::MEMORY_MS {
            self.len.store(0, Ordering::Relaxed);
        }
        let of = |bytes: usize, len: usize| bytes.checked_div(len).unwrap_or(usize::MAX);
        let largest = self.largest.load(Ordering::Relaxed);
        of(bytes, len).min(of(Self::BATCH_BYTES_MAX, largest)).clamp(1, BATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_be_there_bounds_batches() {
        let large = LargeValues::default();
        let batch_len = |ms| large.batch_len(Millis(ms), sized(1 << 20));
        assert_eq!(batch_len(0), BATCH);
        large.note(sized(4 << 20), Millis(1));
        assert_eq!(batch_len(1), 1);
        // Forgotten, though smaller ones are seen all the time; but all answers of a batch of such values have room.
        for ms in (1..200_000).step_by(1000) {
            large.note(sized(70 << 10), Millis(ms));
            batch_len(ms);
        }
        assert_eq!(batch_len(200_000), 7);
        // Those of a megabyte have it anyway.
        let large = LargeValues::default();
        large.note(sized(900 << 10), Millis(1));
        assert_eq!(large.batch_len(Millis(1), sized(1 << 20)), 1);
        large.batch_len(Millis(100_000), sized(1 << 20));
        assert_eq!(large.batch_len(Millis(100_000), sized(1 << 20)), BATCH);
    }
}

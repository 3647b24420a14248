//! Keys of requests, noted while somebody asks for them (SAMPLE of the native protocol).
//!
//! A worker looks once a turn whether it is to note keys, and stops by itself when its list is full: so what a sample costs
//! is bounded, and no clock is needed to end it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of a worker's list after which no key is added.
const LEN_MAX: usize = 64 << 10;

/// The keys that a worker noted.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    /// Whether more are to be noted.
    wanted: AtomicBool,
    /// A list as it is sent, each key as len u16 and bytes.
    list: Mutex<Vec<u8>>,
}

impl Sample {
    /// Whether keys are to be noted.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        // Relaxed, here and below: a flag of its own, which orders nothing.
        self.wanted.load(Ordering::Relaxed)
    }

    /// Adds keys, until there are enough.
    pub(crate) fn note<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        let mut list = self.lock();
        for key in keys {
            if list.len() >= LEN_MAX {
                self.wanted.store(false, Ordering::Relaxed);
                return;
            }
            // A key has at most 65,535 bytes.
            list.extend_from_slice(&(key.len() as u16).to_le_bytes());
            list.extend_from_slice(key);
        }
    }

    /// Moves the keys to the end of `list`, and wants more.
    pub(crate) fn take(&self, list: &mut Vec<u8>) {
        list.append(&mut self.lock());
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// The list is whole between any two keys.
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_bounded_and_begins_anew() {
        let sample = Sample::default();
        assert!(!sample.is_wanted());
        let mut list = b"before".to_vec();
        sample.take(&mut list);
        assert!(sample.is_wanted());
        sample.note([&b"a"[..], b"bb"].into_iter());
        sample.take(&mut list);
        assert_eq!(list, b"before\x01\0a\x02\0bb");

        let long = vec![b'k'; u16::MAX.into()];
        sample.note([&b"k"[..], &long].into_iter()); // the last may reach beyond the bound
        assert!(sample.is_wanted());
        sample.note(std::iter::once(&b"too much"[..]));
        assert!(!sample.is_wanted());
        list.clear();
        sample.take(&mut list);
        assert_eq!(list.len(), 2 + 1 + 2 + long.len());
        assert!(sample.is_wanted());
    }
}

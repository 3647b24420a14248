//! The requests that took long, the last ones of them. Only requests that are timed by themselves can be among them:
//! walks, reports, and what names several keys.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Most arguments of a request that are kept.
const ARGS_MAX: usize = 32;
/// Most bytes of an argument that are kept.
const ARG_LEN_MAX: usize = 128;

/// One slow request.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Its number.
    pub(crate) id: u64,
    /// When it was done, in seconds since the Unix epoch.
    pub(crate) at: u64,
    /// How long it took.
    pub(crate) micros: u64,
    /// What was asked, shortened.
    pub(crate) args: Vec<Vec<u8>>,
    /// Who asked.
    pub(crate) peer: String,
    /// What it calls itself.
    pub(crate) name: String,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct SlowLog(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    entries: VecDeque<Entry>,
}

impl SlowLog {
    /// Adds a request, and forgets the oldest beyond `max`.
    pub(crate) fn add(&self, mut entry: Entry, max: usize) {
        self.with(|log| {
            entry.id = log.next;
            log.next += 1;
            log.entries.push_front(entry);
            log.entries.truncate(max);
        });
    }

    /// The last `count` of them, the newest first.
    pub(crate) fn last(&self, count: usize) -> Vec<Entry> {
        self.with(|log| log.entries.iter().take(count).cloned().collect())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.with(|log| log.entries.len())
    }

    /// Forgets all but the newest `max`.
    pub(crate) fn truncate(&self, max: usize) {
        self.with(|log| log.entries.truncate(max));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        // The list is whole between any two calls.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The arguments of a request as the log keeps them: long ones and those behind the first ones are cut off, and what is
/// missing is said.
pub(crate) fn shortened<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let len = args.len();
    let shown = if len > ARGS_MAX { ARGS_MAX - 1 } else { len };
    let mut kept: Vec<Vec<u8>> = args
        .take(shown)
        .map(|arg| match arg.len().checked_sub(ARG_LEN_MAX) {
            None | Some(0) => arg.to_vec(),
            Some(more) => [&arg[..ARG_LEN_MAX], format!("... ({more} more bytes)").as_bytes()].concat(),
        })
        .collect();
    if len > shown {
        kept.push(format!("... ({} more arguments)", len - shown).into_bytes());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_requests_are_shortened() {
        let long = [b'x'; 200];
        let args: Vec<&[u8]> = std::iter::once(&long[..]).chain((0..39).map(|_| &b"k"[..])).collect();
        let kept = shortened(args.into_iter());
        assert_eq!(kept.len(), ARGS_MAX);
        assert!(kept[0].starts_with(&long[..128]) && kept[0].ends_with(b"... (72 more bytes)"));
        assert_eq!(kept[31], b"... (9 more arguments)");
    }
}

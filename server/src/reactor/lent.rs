//! Values that are sent from where they lie.
//!
//! Copying a value of some KiB into the answers costs more than all the rest of a GET. So a long one stays in the arena,
//! pinned until the turn has sent its answers, and the answers have a gap:
//!
//! ```text
//! the buffer     $16384 \r\n  \r\n $5 \r\n small \r\n $9000 \r\n  \r\n
//! values lent               ^ 16384 bytes                        ^ 9000 bytes
//! ```
//! Positions in the answers count what was lent, so they stay true when it is copied into its gaps after all
//! ([`Lent::take_back`]): because somebody has to be let go of for a write, or the socket does not take it now.

use std::ops::Range;

use crabcache_engine::{ArenaRef, Handle};

use super::sized;

/// A value is lent from this length on, in bytes (benches/README.md).
pub(crate) const LENT_FROM: usize = sized(4 << 10);

/// A value that was lent.
#[derive(Clone, Copy, Debug)]
struct Loan {
    /// Where in the answers it begins.
    at: usize,
    /// Bytes lent before it.
    before: usize,
    value: ArenaRef,
}

/// What was lent to the answers of a turn, in order.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    loans: Vec<Loan>,
    len: usize,
    /// A buffer that the answers were copied from.
    spare: Vec<u8>,
}

/// What a buffer that is kept has room for at most.
const SPARE_LEN_MAX: usize = 4 << 20;

impl Lent {
    /// Whether nothing was.
    #[inline]
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.loans.is_empty()
    }

    /// Bytes lent.
    #[inline]
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Lends a value, which is pinned, to the answers at `at`.
    pub(crate) fn push(&mut self, at: usize, value: ArenaRef) {
        self.loans.push(Loan { at, before: self.len, value });
        self.len += value.len();
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.loans.clear();
        self.len = 0;
    }

    /// Copies all into their gaps in the answers.
    #[cold]
    pub(crate) fn take_back(&mut self, out: &mut Vec<u8>, handle: &Handle<'_>) {
        let len = out.len() + self.len;
        let mut whole = std::mem::take(&mut self.spare);
        whole.clear();
        whole.reserve(len);
        self.parts(out, handle, 0..len).for_each(|part| whole.extend_from_slice(part));
        std::mem::swap(out, &mut whole);
        if whole.capacity() <= SPARE_LEN_MAX {
            self.spare = whole;
        }
        self.clear();
    }

    /// What makes up this range of the answers, of which `out` is what was not lent. No value lies partly in it.
    pub(crate) fn parts<'p>(
        &'p self,
        out: &'p [u8],
        handle: &'p Handle<'_>,
        range: Range<usize>,
    ) -> impl Iterator<Item = &'p [u8]> {
        let first = self.loans.partition_point(|loan| loan.at < range.start);
        let mut loans = self.loans[first..].iter().peekable();
        let before = loans.peek().map_or(self.len, |loan| loan.before);
        let mut out = &out[range.start - before..];
        let (mut at, end) = (range.start, range.end);
        std::iter::from_fn(move || {
            if at == end {
                return None;
            }
            let part = if let Some(loan) = loans.next_if(|loan| loan.at == at) {
                handle.bytes(loan.value).expect("it was pinned, and its handle has not let go of it since")
            } else {
                let until = loans.peek().map_or(end, |loan| loan.at.min(end));
                let (part, rest) = out.split_at(until - at);
                out = rest;
                part
            };
            at += part.len();
            Some(part)
        })
    }
}

#[cfg(test)]
mod tests {
    use crabcache_engine::{Cache, Config, Millis};

    use super::*;

    #[test]
    fn parts_of_any_range_are_those_of_the_whole() {
        let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
        let cache = Cache::new(&mut region, Config::default()).expect("large enough");
        let mut handle = cache.handle().expect("the first");
        handle.pin();
        let (mut out, mut lent, mut whole) = (Vec::new(), Lent::default(), Vec::new());
        // Where a segment may begin or end.
        let mut bounds = vec![0];
        for i in 0..20_u8 {
            let value = vec![i; usize::from(i) * 7];
            handle.put(Millis(0), &[i], &value).expect("there is room");
            let found = handle.get(Millis(0), &[i]).expect("it is there").arena_ref();
            if i % 3 > 0 {
                lent.push(out.len() + lent.len(), found);
            } else {
                out.extend_from_slice(&value);
            }
            whole.extend_from_slice(&value);
            bounds.push(whole.len());
            if i % 4 == 0 {
                out.extend_from_slice(b"between");
                whole.extend_from_slice(b"between");
                bounds.push(whole.len());
            }
        }
        for (i, &start) in bounds.iter().enumerate() {
            for &end in &bounds[i..] {
                let parts: Vec<u8> = lent.parts(&out, &handle, start..end).flatten().copied().collect();
                assert_eq!(parts, whole[start..end], "{start}..{end}");
            }
        }
        lent.take_back(&mut out, &handle);
        assert_eq!((&out, lent.is_empty()), (&whole, true));
    }
}

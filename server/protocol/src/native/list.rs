//! Lists in a request, as they lie on the wire or as a slice: the keys of a MGET, `| len u16 | key | len u16 | key | ..`,
//! and the pairs of a MPUT, `| key len u16 | value len u32 | key | value | ..`.

use alloc::vec::Vec;
use core::fmt;

/// A key and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Several keys, in order; the same key may come twice.
pub type Keys<'a> = List<'a, &'a [u8]>;

/// Keys and their values, in order; the same key may come twice.
pub type Pairs<'a> = List<'a, Pair<'a>>;

/// Entries of one kind, in order.
#[derive(Clone, Copy)]
pub struct List<'a, E>(Repr<'a, E>);

#[derive(Clone, Copy)]
enum Repr<'a, E> {
    /// Invariant: a sequence of whole entries; `count` of them. Checked once, by `from_wire`.
    Wire {
        bytes: &'a [u8],
        count: usize,
    },
    Slice(&'a [E]),
}

/// The entries of a [`List`], one after the other.
#[derive(Clone, Debug)]
pub struct Entries<'a, E>(Walk<'a, E>);

#[derive(Clone, Debug)]
enum Walk<'a, E> {
    Wire { bytes: &'a [u8], count: usize },
    Slice(core::slice::Iter<'a, E>),
}

/// What is wrong with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListFault {
    /// An entry reaches beyond the end.
    Ends,
    /// A key is longer than allowed.
    KeyTooLong,
    /// More keys than allowed.
    TooMany,
}

/// What a list consists of.
pub trait Entry<'a>: Copy + fmt::Debug + PartialEq {
    /// The entry at the head, and what follows it; none if it does not end.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])>;

    /// Its key.
    fn key(&self) -> &'a [u8];

    /// Bytes of it on the wire.
    fn wire_len(&self) -> usize;

    /// Appends it as it is on the wire. What is too long for its length field was refused before.
    fn write(&self, out: &mut Vec<u8>);
}

impl<'a> Entry<'a> for &'a [u8] {
    #[inline]
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (len, rest) = bytes.split_first_chunk::<2>()?;
        rest.split_at_checked(u16::from_le_bytes(*len) as usize)
    }

    fn key(&self) -> &'a [u8] {
        self
    }

    fn wire_len(&self) -> usize {
        2 + self.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.len() as u16).to_le_bytes());
        out.extend_from_slice(self);
    }
}

impl<'a> Entry<'a> for Pair<'a> {
    #[inline]
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[k0, k1, v0, v1, v2, v3], rest) = bytes.split_first_chunk::<6>()?;
        let (key, rest) = rest.split_at_checked(u16::from_le_bytes([k0, k1]) as usize)?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes([v0, v1, v2, v3]) as usize)?;
        Some(((key, value), rest))
    }

    fn key(&self) -> &'a [u8] {
        self.0
    }

    fn wire_len(&self) -> usize {
        6 + self.0.len() + self.1.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (key, value) = self;
        out.extend_from_slice(&(key.len() as u16).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }
}

impl<'a, E> List<'a, E> {
    /// The entries of a slice, to be encoded.
    #[must_use]
    pub const fn from_slice(entries: &'a [E]) -> Self {
        Self(Repr::Slice(entries))
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Repr::Wire { count, .. } => count,
            Repr::Slice(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a, E: Entry<'a>> List<'a, E> {
    /// Walks the list once, so that iterating cannot fail.
    pub(super) fn from_wire(
        bytes: &'a [u8],
        key_len_max: usize,
        count_max: usize,
    ) -> Result<Self, ListFault> {
        let (mut rest, mut count, mut longest) = (bytes, 0_usize, 0_usize);
        while !rest.is_empty() {
            let (entry, after) = E::split(rest).ok_or(ListFault::Ends)?;
            longest = longest.max(entry.key().len());
            count += 1;
            rest = after;
        }
        if longest > key_len_max {
            return Err(ListFault::KeyTooLong);
        }
        if count > count_max {
            return Err(ListFault::TooMany);
        }
        Ok(Self(Repr::Wire { bytes, count }))
    }

    /// The entries, in order.
    #[must_use]
    pub fn iter(&self) -> Entries<'a, E> {
        Entries(match self.0 {
            Repr::Wire { bytes, count } => Walk::Wire { bytes, count },
            Repr::Slice(entries) => Walk::Slice(entries.iter()),
        })
    }

    /// Bytes of the list on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match self.0 {
            Repr::Wire { bytes, .. } => bytes.len(),
            Repr::Slice(entries) => entries.iter().map(Entry::wire_len).sum(),
        }
    }

    /// Appends the list as it is on the wire.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self.0 {
            Repr::Wire { bytes, .. } => out.extend_from_slice(bytes),
            Repr::Slice(entries) => entries.iter().for_each(|entry| entry.write(out)),
        }
    }
}

impl<'a, E: Entry<'a>> IntoIterator for List<'a, E> {
    type Item = E;
    type IntoIter = Entries<'a, E>;

    fn into_iter(self) -> Entries<'a, E> {
        self.iter()
    }
}

impl<'a, E: Entry<'a>> IntoIterator for &List<'a, E> {
    type Item = E;
    type IntoIter = Entries<'a, E>;

    fn into_iter(self) -> Entries<'a, E> {
        self.iter()
    }
}

impl<'a, E: Entry<'a>> Iterator for Entries<'a, E> {
    type Item = E;

    #[inline]
    fn next(&mut self) -> Option<E> {
        match &mut self.0 {
            Walk::Slice(entries) => entries.next().copied(),
            Walk::Wire { bytes, count } => {
                let (entry, rest) = E::split(bytes)?;
                *bytes = rest;
                *count -= 1;
                Some(entry)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Walk::Wire { count, .. } => *count,
            Walk::Slice(entries) => entries.len(),
        };
        (left, Some(left))
    }
}

impl<'a, E: Entry<'a>> ExactSizeIterator for Entries<'a, E> {}

impl<'a, E: Entry<'a>> PartialEq for List<'a, E> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, E: Entry<'a>> Eq for List<'a, E> {}

impl<'a, E: Entry<'a>> fmt::Debug for List<'a, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

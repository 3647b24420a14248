//! The list of keys of a MGET: `| len u16 | key | len u16 | key | ..`, as it lies on the wire or as a slice.

use alloc::vec::Vec;
use core::fmt;

/// Several keys, in order; the same key may come twice.
#[derive(Clone, Copy)]
pub struct Keys<'a>(Repr<'a>);

#[derive(Clone, Copy)]
enum Repr<'a> {
    /// Invariant: a sequence of whole entries; `count` of them. Checked once, by `from_wire`.
    Wire {
        bytes: &'a [u8],
        count: usize,
    },
    List(&'a [&'a [u8]]),
}

/// The keys of a [`Keys`], one after the other.
#[derive(Clone, Debug)]
pub struct KeysIter<'a>(Walk<'a>);

#[derive(Clone, Debug)]
enum Walk<'a> {
    Wire { bytes: &'a [u8], count: usize },
    List(core::slice::Iter<'a, &'a [u8]>),
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

impl<'a> Keys<'a> {
    /// The keys of a slice, to be encoded.
    #[must_use]
    pub const fn from_slice(keys: &'a [&'a [u8]]) -> Self {
        Self(Repr::List(keys))
    }

    /// Walks the list once, so that iterating cannot fail.
    pub(super) fn from_wire(
        bytes: &'a [u8],
        key_len_max: usize,
        count_max: usize,
    ) -> Result<Self, ListFault> {
        let (mut rest, mut count, mut longest) = (bytes, 0_usize, 0_usize);
        while !rest.is_empty() {
            let (key, after) = split_entry(rest).ok_or(ListFault::Ends)?;
            longest = longest.max(key.len());
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

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Repr::Wire { count, .. } => count,
            Repr::List(keys) => keys.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys, in order.
    #[must_use]
    pub fn iter(&self) -> KeysIter<'a> {
        KeysIter(match self.0 {
            Repr::Wire { bytes, count } => Walk::Wire { bytes, count },
            Repr::List(keys) => Walk::List(keys.iter()),
        })
    }

    /// Bytes of the list on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        match self.0 {
            Repr::Wire { bytes, .. } => bytes.len(),
            Repr::List(keys) => keys.iter().map(|key| 2 + key.len()).sum(),
        }
    }

    /// Appends the list as it is on the wire. Keys longer than 65,535 bytes were refused before.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self.0 {
            Repr::Wire { bytes, .. } => out.extend_from_slice(bytes),
            Repr::List(keys) => {
                for key in keys {
                    out.extend_from_slice(&(key.len() as u16).to_le_bytes());
                    out.extend_from_slice(key);
                }
            }
        }
    }
}

impl<'a> IntoIterator for Keys<'a> {
    type Item = &'a [u8];
    type IntoIter = KeysIter<'a>;

    fn into_iter(self) -> KeysIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Keys<'a> {
    type Item = &'a [u8];
    type IntoIter = KeysIter<'a>;

    fn into_iter(self) -> KeysIter<'a> {
        self.iter()
    }
}

impl<'a> Iterator for KeysIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        match &mut self.0 {
            Walk::List(keys) => keys.next().copied(),
            Walk::Wire { bytes, count } => {
                let (key, rest) = split_entry(bytes)?;
                *bytes = rest;
                *count -= 1;
                Some(key)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Walk::Wire { count, .. } => *count,
            Walk::List(keys) => keys.len(),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for KeysIter<'_> {}

impl PartialEq for Keys<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Keys<'_> {}

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_le_bytes(*len) as usize)
}

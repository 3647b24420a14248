//! The list of a MPUT: `| key len u16 | value len u32 | key | value | ..`, as it lies on the wire or as a slice.

use alloc::vec::Vec;
use core::fmt;

use super::keys::ListFault;

/// A key and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Keys and their values, in order; the same key may come twice.
#[derive(Clone, Copy)]
pub struct Pairs<'a>(Repr<'a>);

#[derive(Clone, Copy)]
enum Repr<'a> {
    /// Invariant: a sequence of whole pairs; `count` of them. Checked once, by `from_wire`.
    Wire {
        bytes: &'a [u8],
        count: usize,
    },
    List(&'a [Pair<'a>]),
}

/// Bytes of a pair before its key.
const HEADER_LEN: usize = 6;

impl<'a> Pairs<'a> {
    /// The pairs of a slice, to be encoded.
    #[must_use]
    pub const fn from_slice(pairs: &'a [Pair<'a>]) -> Self {
        Self(Repr::List(pairs))
    }

    /// Walks the list once, so that iterating cannot fail.
    pub(super) fn from_wire(
        bytes: &'a [u8],
        key_len_max: usize,
        count_max: usize,
    ) -> Result<Self, ListFault> {
        let (mut rest, mut count, mut longest) = (bytes, 0_usize, 0_usize);
        while !rest.is_empty() {
            let ((key, _), after) = split_pair(rest).ok_or(ListFault::Ends)?;
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

    /// How many pairs there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Repr::Wire { count, .. } => count,
            Repr::List(pairs) => pairs.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = Pair<'a>> + use<'a> {
        let (mut bytes, list): (_, &[Pair<'a>]) = match self.0 {
            Repr::Wire { bytes, .. } => (bytes, &[]),
            Repr::List(pairs) => (&[][..], pairs),
        };
        let from_wire = core::iter::from_fn(move || {
            let (pair, rest) = split_pair(bytes)?;
            bytes = rest;
            Some(pair)
        });
        list.iter().copied().chain(from_wire)
    }

    /// Bytes of the list on the wire.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.iter().map(|(key, value)| HEADER_LEN + key.len() + value.len()).sum()
    }

    /// Appends the list as it is on the wire. What is too long for its length field was refused before.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (key, value) in self.iter() {
            out.extend_from_slice(&(key.len() as u16).to_le_bytes());
            out.extend_from_slice(&(value.len() as u32).to_le_bytes());
            out.extend_from_slice(key);
            out.extend_from_slice(value);
        }
    }
}

impl PartialEq for Pairs<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Pairs<'_> {}

impl fmt::Debug for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn split_pair(bytes: &[u8]) -> Option<(Pair<'_>, &[u8])> {
    let (&[k0, k1, v0, v1, v2, v3], rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let (key, rest) = rest.split_at_checked(u16::from_le_bytes([k0, k1]) as usize)?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes([v0, v1, v2, v3]) as usize)?;
    Some(((key, value), rest))
}

//! The arguments of one command, as a view of the bytes they came in.
//!
//! ```text
//! *2\r\n | $3\r\nGET\r\n | $3\r\nkey\r\n |
//!        ^-------------- bytes ----------^      len = 2
//! ```
//! Invariant: `bytes` holds exactly `len` well-formed bulk strings. The parser has checked that, so that walking them
//! asks no questions and needs no memory.

use super::frame::{self, Bulk};

/// The arguments of one command, its name included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Args<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Args<'a> {
    /// `bytes` must be `len` whole bulk strings, as [`Args::as_bytes`] gives them.
    #[must_use]
    pub fn new(bytes: &'a [u8], len: usize) -> Self {
        Self { bytes, len }
    }

    /// How many arguments there are, the name included.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Always false; here because `len` is.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The name of the command, in the letters that came.
    #[inline]
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// Argument `index`, where 0 is the name. Walks the arguments before it.
    #[inline]
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.iter().nth(index)
    }

    /// The arguments from `index` on, as if they were a command of their own; none if there is no such argument.
    #[must_use]
    pub fn from(self, index: usize) -> Option<Self> {
        let mut rest = self.iter();
        for _ in 0..index {
            rest.next()?;
        }
        (rest.len > 0).then_some(Self { bytes: rest.bytes, len: rest.len })
    }

    /// All arguments, the name first.
    #[inline]
    #[must_use]
    pub fn iter(self) -> ArgsIter<'a> {
        ArgsIter { bytes: self.bytes, len: self.len }
    }

    /// The arguments as they came, from the first `$` to the last CRLF.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    #[inline]
    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Args`].
#[derive(Clone, Debug)]
pub struct ArgsIter<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let Ok(Bulk::Whole { start, len }) = frame::bulk(self.bytes, usize::MAX) else { return None };
        let (bulk, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        self.len -= 1;
        Some(&bulk[start..len - 2])
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}
impl core::iter::FusedIterator for ArgsIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn args_view() {
        let args = Args::new(b"$3\r\nfoo\r\n$0\r\n\r\n$2\r\n\r\n\r\n", 3);
        assert_eq!((args.len(), args.is_empty(), args.name()), (3, false, &b"foo"[..]));
        assert_eq!(args.get(2), Some(&b"\r\n"[..]));
        assert_eq!(args.get(3), None);
        assert_eq!(args.iter().len(), 3);
        assert_eq!(args.from(1).map(|rest| (rest.len(), rest.name())), Some((2, &b""[..])));
        assert_eq!((args.from(0), args.from(3)), (Some(args), None));
        assert_eq!(args.into_iter().collect::<Vec<_>>(), [&b"foo"[..], b"", b"\r\n"]);
    }
}

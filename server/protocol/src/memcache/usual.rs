//! The usual spellings: `get <key>\r\n`, and `set <key> 0 0 <bytes>\r\n<value>\r\n`.
//!
//! Invariant: a guess that succeeds gives what the strict parser gives (tested for all prefixes and mutations).

use super::line;
use crate::number::{self, two_digits};
use crate::{Limits, Usual};

const GET: u32 = u32::from_le_bytes(*b"get ");
const SET: u32 = u32::from_le_bytes(*b"set ");

/// The request at the head of `input` if it is in one of the usual spellings, and what follows it. What it gives is what
/// [`parse`](super::parse) gives; `None` means only that `parse` has to look. For loops in which nearly every request is one of
/// these.
#[inline(always)]
#[must_use]
pub fn usual<'a>(input: &'a [u8], limits: &Limits) -> Option<(Usual<'a>, &'a [u8])> {
    let (verb, rest) = input.split_first_chunk()?;
    let verb = u32::from_le_bytes(*verb);
    if verb == GET {
        let (key, rest) = split_key(rest, limits)?;
        Some((Usual::Get { key }, rest.strip_prefix(b"\r\n")?))
    } else if verb == SET {
        let (key, rest) = split_key(rest, limits)?;
        let rest = rest.strip_prefix(b" 0 0 ")?;
        let (value_len, digits) = two_digits(*rest.first_chunk()?).or_else(|| number_line(rest))?;
        if value_len > limits.value_len_max {
            return None;
        }
        let (value, rest) = rest[digits..].split_at_checked(value_len)?;
        Some((Usual::Set { key, value }, rest.strip_prefix(b"\r\n")?))
    } else {
        None
    }
}

/// A key up to the first blank or control character, and what follows it.
#[inline(always)]
fn split_key<'a>(text: &'a [u8], limits: &Limits) -> Option<(&'a [u8], &'a [u8])> {
    let len = line::key_end(text);
    (1..=line::key_len_max(limits)).contains(&len).then(|| text.split_at(len))
}

/// A number and the end of its line, and the length of both.
#[inline(never)]
fn number_line(text: &[u8]) -> Option<(usize, usize)> {
    let digits = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let number = usize::try_from(number::parse_u64(&text[..digits])?).ok()?;
    text[digits..].starts_with(b"\r\n").then_some((number, digits + 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memcache::{parse, parse_other};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { key_len_max: 250, value_len_max: 1024, args_max: 64, line_len_max: 4096 };

    fn guess_agrees(input: &[u8], limits: &Limits) {
        if usual(input, limits).is_some() {
            assert_eq!(parse(input, limits), parse_other(input, limits), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn guess_agrees_for_every_single_byte_change() {
        let tight = Limits { value_len_max: 2, key_len_max: 2, ..LIMITS };
        for example in [&b"get key\r\n"[..], b"set key 0 0 3\r\nabc\r\n", b"set key 0 0 10\r\n0123456789\r\n"]
        {
            assert!(usual(example, &LIMITS).is_some());
            let mut input = example.to_vec();
            for at in 0..input.len() {
                for byte in 0..=255 {
                    input[at] = byte;
                    guess_agrees(&input, &LIMITS);
                    guess_agrees(&input, &tight);
                }
                input[at] = example[at];
                guess_agrees(&input[..at], &LIMITS);
            }
        }
    }

    proptest! {
        #[test]
        fn guess_agrees_for_mutations(
            key in "[!-~]{1,260}",
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..1100)),
            mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let mut input = Vec::new();
            match value {
                None => input.extend_from_slice(alloc::format!("get {key}\r\n").as_bytes()),
                Some(value) => {
                    input.extend_from_slice(alloc::format!("set {key} 0 0 {}\r\n", value.len()).as_bytes());
                    input.extend_from_slice(&value);
                    input.extend_from_slice(b"\r\n");
                }
            }
            for (at, byte) in mutations {
                let at = at.index(input.len());
                input[at] = byte;
            }
            guess_agrees(&input, &LIMITS);
        }
    }
}

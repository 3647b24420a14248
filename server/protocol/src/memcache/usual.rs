//! The usual spellings: `get <key>\r\n`, and `set <key> 0 0 <bytes>\r\n<value>\r\n`.
//!
//! Invariant: a guess that succeeds gives what the strict parser gives (tested for all prefixes and mutations).

use super::line;
use crate::number::{self, one_digit, two_digits};
use crate::{Limits, Pair, Usual};

const GET: u32 = u32::from_le_bytes(*b"get ");
const SET: u32 = u32::from_le_bytes(*b"set ");

/// The request at the head of `input` if it is in one of the usual spellings, and what follows it. What it gives is what
/// [`parse`](super::parse) gives; `None` means only that `parse` has to look.
#[inline(always)]
#[must_use]
pub fn usual<'a>(input: &'a [u8], limits: &Limits) -> Option<(Usual<'a>, &'a [u8])> {
    if let Some((key, rest)) = usual_get(input, limits) {
        return Some((Usual::Get { key }, rest));
    }
    let ((key, value), rest) = usual_set(input, limits)?;
    Some((Usual::Set { key, value }, rest))
}

/// The key of the `get` at the head of `input`, if it is a usual one, and what follows it. For loops in which nearly every
/// request is one.
#[inline(always)]
#[must_use]
pub fn usual_get<'a>(input: &'a [u8], limits: &Limits) -> Option<(&'a [u8], &'a [u8])> {
    let (key, rest) = split_key(behind_verb(input, GET)?, limits)?;
    Some((key, rest.strip_prefix(b"\r\n")?))
}

/// The same for a `set`.
#[inline(always)]
#[must_use]
pub fn usual_set<'a>(input: &'a [u8], limits: &Limits) -> Option<(Pair<'a>, &'a [u8])> {
    let (key, rest) = split_key(behind_verb(input, SET)?, limits)?;
    let rest = rest.strip_prefix(b" 0 0 ")?;
    let line = *rest.first_chunk()?;
    let (value_len, digits) = if let Some(len) = two_digits(line) {
        (len, 4)
    } else if let Some(len) = one_digit(line) {
        (len, 3)
    } else {
        number_line(rest)?
    };
    if value_len > limits.value_len_max {
        return None;
    }
    let (value, rest) = rest[digits..].split_at_checked(value_len)?;
    Some(((key, value), rest.strip_prefix(b"\r\n")?))
}

#[inline(always)]
fn behind_verb(input: &[u8], verb: u32) -> Option<&[u8]> {
    let (first, rest) = input.split_first_chunk()?;
    (u32::from_le_bytes(*first) == verb).then_some(rest)
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

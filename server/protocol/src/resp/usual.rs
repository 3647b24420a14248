//! The usual spellings of GET and SET, by fixed offsets.
//!
//! ```text
//! 0       4       8           14  18
//! *2 \r\n $3 \r\n GET \r\n $  32 \r\n ...32 bytes... \r\n
//! ^--- u64 at 0 --^
//!             ^--- u64 at 6 ---^          in capitals, or in small letters
//! ```
//! Invariant: a guess that succeeds gives what the strict parser gives (tested for all prefixes and mutations).

use super::frame::{self, Bulk};
use crate::number::{one_digit, two_digits};
use crate::{Limits, Pair, Usual};

const GET_COUNT: u64 = u64::from_le_bytes(*b"*2\r\n$3\r\n");
const SET_COUNT: u64 = u64::from_le_bytes(*b"*3\r\n$3\r\n");
/// The verbs as clients spell them: one that mixes cases is for the strict parser.
const GET_VERBS: [u64; 2] = [u64::from_le_bytes(*b"\r\nGET\r\n$"), u64::from_le_bytes(*b"\r\nget\r\n$")];
const SET_VERBS: [u64; 2] = [u64::from_le_bytes(*b"\r\nSET\r\n$"), u64::from_le_bytes(*b"\r\nset\r\n$")];

/// Where the first argument's length begins.
const KEY_AT: usize = 14;
/// A bulk string of two digits is no longer than this; tighter limits are for the strict parser.
pub const SHORT_LEN_MAX: usize = 99;

/// The request at the head of `input` if it is a GET or a SET in the usual spelling, and what follows it. What it gives is
/// what [`parse`](super::parse) gives; `None` means only that `parse` has to look.
#[inline(always)]
#[must_use]
pub fn usual<'a>(input: &'a [u8], limits: &Limits) -> Option<(Usual<'a>, &'a [u8])> {
    if limits.value_len_max < SHORT_LEN_MAX {
        None
    } else if let Some((key, rest)) = usual_get(input) {
        Some((Usual::Get { key }, rest))
    } else {
        let ((key, value), rest) = usual_set(input, limits)?;
        Some((Usual::Set { key, value }, rest))
    }
}

/// The key of the GET at the head of `input`, if it is one in the usual spelling, and what follows it. For loops in which
/// nearly every request is one, and for limits that allow values of [`SHORT_LEN_MAX`].
#[inline(always)]
#[must_use]
pub fn usual_get(input: &[u8]) -> Option<(&[u8], &[u8])> {
    if !begins_with(input, GET_COUNT, GET_VERBS) {
        return None;
    }
    short_bulk(input, KEY_AT, b"\r\n")
}

/// The same for a SET.
#[inline(always)]
#[must_use]
pub fn usual_set<'a>(input: &'a [u8], limits: &Limits) -> Option<(Pair<'a>, &'a [u8])> {
    if !begins_with(input, SET_COUNT, SET_VERBS) {
        return None;
    }
    let (key, rest) = short_bulk(input, KEY_AT, b"\r\n$")?;
    let (value, rest) = short_bulk(rest, 0, b"\r\n")
        .or_else(|| long_bulk(&input[input.len() - rest.len() - 1..], limits.value_len_max))?;
    Some(((key, value), rest))
}

#[inline(always)]
fn begins_with(input: &[u8], count: u64, verbs: [u64; 2]) -> bool {
    // The shortest of these requests is longer than that.
    let Some(head) = input.first_chunk::<18>() else { return false };
    let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    word(0) == count && (word(6) == verbs[0] || word(6) == verbs[1])
}

/// A bulk string whose one or two digits start at `at` and which `tail` follows; and what comes behind that.
#[inline(always)]
fn short_bulk<'a, const N: usize>(
    input: &'a [u8],
    at: usize,
    tail: &[u8; N],
) -> Option<(&'a [u8], &'a [u8])> {
    let digits = *input.get(at..)?.first_chunk()?;
    // Each with a way of its own, so that the offsets of the usual one are constants.
    if let Some(len) = two_digits(digits) {
        return cut(input, at + 4, len, tail);
    }
    cut(input, at + 3, one_digit(digits)?, tail)
}

/// The `len` bytes at `start` if `tail` follows them, and what comes behind that.
#[inline(always)]
fn cut<'a, const N: usize>(
    input: &'a [u8],
    start: usize,
    len: usize,
    tail: &[u8; N],
) -> Option<(&'a [u8], &'a [u8])> {
    let end = start + len;
    if input.get(end..end + N)? != tail {
        return None;
    }
    Some((&input[start..end], &input[end + N..]))
}

/// A bulk string of any length, and what follows it.
#[inline(never)]
fn long_bulk(input: &[u8], len_max: usize) -> Option<(&[u8], &[u8])> {
    let Ok(Bulk::Whole { start, len }) = frame::bulk(input, len_max) else { return None };
    Some((&input[start..len - 2], &input[len..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Parsed;
    use crate::resp::write::command;
    use crate::resp::{Progress, Request, parse_other};
    use proptest::prelude::*;

    const LIMITS: Limits =
        Limits { key_len_max: 250, value_len_max: 1 << 20, args_max: 1024, line_len_max: 64 };

    fn guess_agrees(input: &[u8], limits: &Limits) {
        if let Some((request, rest)) = usual(input, limits) {
            let (value, consumed) = (Request::Usual(request), input.len() - rest.len());
            assert_eq!(
                parse_other(input, limits, &mut Progress::default()),
                Ok(Parsed::Complete { value, consumed }),
                "{}",
                input.escape_ascii()
            );
        }
    }

    #[test]
    fn guess_takes_every_usual_get_and_set() {
        for verb in [b"GET", b"get"] {
            for len in 0..100 {
                let key = &[b'k'; 100][..len];
                let input = command(&[verb, key]);
                assert_eq!(usual(&input, &LIMITS), Some((Usual::Get { key }, &b""[..])));
            }
        }
        for verb in [b"SET", b"set"] {
            for len in [0, 1, 9, 10, 99, 100, 999, 1000, 65_536, 1 << 20] {
                let (key, value) = (&b"key:000001"[..], &alloc::vec![b'v'; len][..]);
                let input = command(&[verb, key, value]);
                assert_eq!(usual(&input, &LIMITS), Some((Usual::Set { key, value }, &b""[..])));
            }
        }
    }

    /// Every byte of both spellings replaced by every other byte: nothing else is ever taken for them.
    #[test]
    fn guess_agrees_with_strict_for_every_single_byte_change() {
        let tight = Limits { value_len_max: 10, ..LIMITS };
        for words in [&[&b"GET"[..], b"key"][..], &[b"GET", b"key:0000001"], &[b"set", b"k", b"value0000001"]]
        {
            let mut input = command(words);
            for at in 0..input.len() {
                let kept = input[at];
                for byte in 0..=255 {
                    input[at] = byte;
                    guess_agrees(&input, &LIMITS);
                    guess_agrees(&input, &tight);
                }
                input[at] = kept;
                guess_agrees(&input[..at], &LIMITS);
            }
        }
    }

    proptest! {
        #[test]
        fn guess_agrees_with_strict_for_mutations(
            verb in prop::sample::select(alloc::vec![&b"GET"[..], b"set", b"SET", b"gEt", b"DEL"]),
            key in prop::collection::vec(any::<u8>(), 0..120),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
            mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            value_len_max in 0_usize..320,
        ) {
            let mut words = alloc::vec![verb, &key];
            words.extend(value.as_deref());
            let mut input = command(&words);
            for (at, byte) in mutations {
                let at = at.index(input.len());
                input[at] = byte;
            }
            guess_agrees(&input, &Limits { value_len_max, ..LIMITS });
        }
    }
}

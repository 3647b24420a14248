//! The usual requests: GET and PUT without flags, whose length is in the 12 bytes of their header.
//!
//! Invariant: a guess that succeeds gives what the strict parser gives (tested for all prefixes and mutations).

use super::header::condition;
use super::{Opcode, REQUEST_HEADER_LEN, REQUEST_MAGIC};
use crate::{Limits, Pair, Usual};

/// The first four bytes of a GET and of a PUT without flags.
const PLAIN_GET: u32 = u32::from_le_bytes([REQUEST_MAGIC, Opcode::Get as u8, 0, 0]);
const PLAIN_PUT: u32 = u32::from_le_bytes([REQUEST_MAGIC, Opcode::Put as u8, 0, condition::ALWAYS]);

/// The request at the start of `input` if it is a GET or a PUT without flags that is all here: with its opaque number and what
/// follows it. What it gives is what [`parse`](super::request::parse) gives; `None` means only that that has to look.
#[inline(always)]
#[must_use]
pub fn usual<'a>(input: &'a [u8], limits: &Limits) -> Option<(Usual<'a>, u16, &'a [u8])> {
    if let Some((key, opaque, rest)) = usual_get(input, limits) {
        return Some((Usual::Get { key }, opaque, rest));
    }
    let ((key, value), opaque, rest) = usual_put(input, limits)?;
    Some((Usual::Set { key, value }, opaque, rest))
}

/// Key and opaque number of the GET at the start of `input`, if it is a plain one, and what follows it. For loops in which
/// nearly every request is one.
#[inline(always)]
#[must_use]
pub fn usual_get<'a>(input: &'a [u8], limits: &Limits) -> Option<(&'a [u8], u16, &'a [u8])> {
    let (key, value_len, opaque, rest) = split_head(input, PLAIN_GET, limits)?;
    (value_len == 0).then_some((key, opaque, rest))
}

/// The same for a PUT.
#[inline(always)]
#[must_use]
pub fn usual_put<'a>(input: &'a [u8], limits: &Limits) -> Option<(Pair<'a>, u16, &'a [u8])> {
    let (key, value_len, opaque, rest) = split_head(input, PLAIN_PUT, limits)?;
    if value_len > limits.value_len_max {
        return None;
    }
    let (value, rest) = rest.split_at_checked(value_len)?;
    Some(((key, value), opaque, rest))
}

/// The key, the value's length and the opaque number of a request that begins with this word, and what follows the key.
#[inline(always)]
fn split_head<'a>(input: &'a [u8], word: u32, limits: &Limits) -> Option<(&'a [u8], usize, u16, &'a [u8])> {
    let (head, rest) = input.split_first_chunk::<REQUEST_HEADER_LEN>()?;
    let key_len = u16::from_le_bytes([head[4], head[5]]) as usize;
    let opaque = u16::from_le_bytes([head[6], head[7]]);
    let value_len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
    if u32::from_le_bytes([head[0], head[1], head[2], head[3]]) != word || key_len > limits.key_len_max {
        return None;
    }
    let (key, rest) = rest.split_at_checked(key_len)?;
    Some((key, value_len, opaque, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::request::{parse, parse_other};
    use crate::native::{Command, Put, Request};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { key_len_max: 250, value_len_max: 1024, args_max: 64, line_len_max: 64 };

    fn guess_agrees(input: &[u8], limits: &Limits) {
        if usual(input, limits).is_some() {
            assert_eq!(parse(input, limits), parse_other(input, limits), "{}", input.escape_ascii());
        }
    }

    fn encoded(command: Command<'_>) -> Vec<u8> {
        let mut input = Vec::new();
        Request { opaque: 0x4321, quiet: false, command }.encode(&mut input).expect("it is short");
        input
    }

    #[test]
    fn guess_agrees_for_every_single_byte_change() {
        let tight = Limits { value_len_max: 2, key_len_max: 2, ..LIMITS };
        let put = Put { key: b"key", value: b"value", ..Put::default() };
        for example in [Command::Get { key: b"key", meta: false }, Command::Put(put)] {
            let mut input = encoded(example);
            assert!(usual(&input, &LIMITS).is_some());
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
        fn guess_agrees_for_mutations(
            key in prop::collection::vec(any::<u8>(), 0..260),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..1100)),
            mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let mut input = encoded(match &value {
                None => Command::Get { key: &key, meta: false },
                Some(value) => Command::Put(Put { key: &key, value, ..Put::default() }),
            });
            for (at, byte) in mutations {
                let at = at.index(input.len());
                input[at] = byte;
            }
            guess_agrees(&input, &LIMITS);
        }
    }
}

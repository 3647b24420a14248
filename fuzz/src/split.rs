//! It does not matter in which pieces bytes arrive: for every parser, and every place to cut the input.
//!
//! ```text
//! whole input     Complete { consumed }     Incomplete { at_least }     error
//! shorter input   >= consumed: the same     Incomplete                  Incomplete, or the same error
//!                 <  consumed: Incomplete, and at_least <= consumed, or the reader would wait for ever
//! ```

use core::fmt::Debug;
use crabcache_protocol::Parsed;

/// So many bytes after a message must not change what it is.
const AFTER: usize = 16;

/// Parses the input and each of its beginnings. Answers the message at its head, and its length.
///
/// # Panics
/// If a rule above does not hold.
pub fn check<'a, T, E, F>(input: &'a [u8], mut parse: F) -> Option<(T, usize)>
where
    T: PartialEq + Debug,
    E: PartialEq + Debug,
    F: FnMut(&'a [u8]) -> Result<Parsed<T>, E>,
{
    let whole = parse(input);
    let end = match whole {
        // What comes after the message is of no interest; a little more of it than none is tried.
        Ok(Parsed::Complete { consumed, .. }) => input.len().min(consumed + AFTER),
        _ => input.len(),
    };
    for len in 0..end {
        check_part(&whole, len, parse(&input[..len]));
    }
    check_len(&whole, input.len());
    match whole {
        Ok(Parsed::Complete { value, consumed }) => Some((value, consumed)),
        _ => None,
    }
}

/// Parses all messages of a stream one after the other, each as [`check`] does, leaving out what `skip` says must be
/// skipped after it.
pub fn check_stream<'a, T, E, F>(mut input: &'a [u8], mut parse: F, skip: impl Fn(&T) -> u64)
where
    T: PartialEq + Debug,
    E: PartialEq + Debug,
    F: FnMut(&'a [u8]) -> Result<Parsed<T>, E>,
{
    while let Some((value, consumed)) = check(input, &mut parse) {
        let skip = usize::try_from(skip(&value)).unwrap_or(usize::MAX);
        input = input.get(consumed.saturating_add(skip)..).unwrap_or_default();
        if input.is_empty() {
            return;
        }
    }
}

fn check_len<T: Debug, E: Debug>(parsed: &Result<Parsed<T>, E>, len: usize) {
    match parsed {
        Ok(Parsed::Complete { consumed, .. }) => {
            assert!((1..=len).contains(consumed), "{consumed} of {len} bytes consumed");
        }
        Ok(Parsed::Incomplete { at_least }) => assert!(*at_least > len, "{at_least} wanted, {len} there"),
        Err(_) => {}
    }
}

/// Compares what became of the first `len` bytes with what became of all of them.
pub fn check_part<T, E>(whole: &Result<Parsed<T>, E>, len: usize, part: Result<Parsed<T>, E>)
where
    T: PartialEq + Debug,
    E: PartialEq + Debug,
{
    check_len(&part, len);
    match (whole, &part) {
        (Ok(Parsed::Complete { consumed, .. }), _) if len >= *consumed => {
            assert_eq!(part, *whole, "with {len} bytes");
        }
        (Ok(Parsed::Complete { consumed, .. }), Ok(Parsed::Incomplete { at_least })) => {
            assert!(at_least <= consumed, "waits for {at_least} bytes at {len}, has all at {consumed}");
        }
        (Ok(Parsed::Incomplete { .. }) | Err(_), Ok(Parsed::Incomplete { .. })) => {}
        (Err(whole), Err(part)) => assert_eq!(part, whole, "with {len} bytes"),
        _ => panic!("with {len} bytes: {part:?}; whole: {whole:?}"),
    }
}

//! The storage commands: a line that tells the length of the value, and the value.
//!
//! ```text
//! set <key> <flags> <exptime> <bytes> [noreply]\r\n | <bytes> of value | \r\n
//! cas <key> <flags> <exptime> <bytes> <cas> [noreply]\r\n | ...
//! ```
//! If the line is refused but tells a length, that many bytes are to be skipped: a value is never taken for commands.

use super::line;
use super::{Refusal, Refused, Request};
use crate::{Limits, Parsed, number};

/// A value to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store<'a> {
    /// On what condition, and how.
    pub mode: StoreMode,
    /// Key of the item.
    pub key: &'a [u8],
    /// The client's own number.
    pub flags: u32,
    /// See [`Exptime`](super::Exptime).
    pub exptime: i64,
    /// The value.
    pub value: &'a [u8],
    /// Whether to answer nothing.
    pub noreply: bool,
}

/// The storage commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// In any case.
    Set,
    /// If there is no item.
    Add,
    /// If there is an item.
    Replace,
    /// Behind the value of an item, whose flags and exptime stay.
    Append,
    /// Before the value of an item, whose flags and exptime stay.
    Prepend,
    /// If the item still has this cas unique.
    Cas(u64),
}

/// A storage command whose value is still arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncomingStore<'a> {
    /// The command; its value is what of it is here already.
    pub store: Store<'a>,
    /// Length of the whole value, in bytes.
    pub value_len: usize,
    /// Where in the input the value starts; CRLF follows it, and that ends the request.
    pub value_start: usize,
}

/// Looks whether an incomplete `input` is a storage command of which only (some of) the value is missing, so that the
/// rest can be read straight to where it will live.
#[must_use]
pub fn incoming_store<'a>(input: &'a [u8], limits: &Limits) -> Option<IncomingStore<'a>> {
    let (line, value_start) = line::split(input, limits).ok()??;
    let (verb, words) = line::split_word(line);
    let (mut store, value_len) = store_line(mode(verb)?, words, limits).ok()?;
    let value = &input[value_start..];
    store.value = &value[..value_len.min(value.len())];
    Some(IncomingStore { store, value_len, value_start })
}

/// The storage commands; the cas unique is not known yet.
pub(super) fn mode(verb: &[u8]) -> Option<StoreMode> {
    Some(match verb {
        b"set" => StoreMode::Set,
        b"add" => StoreMode::Add,
        b"replace" => StoreMode::Replace,
        b"append" => StoreMode::Append,
        b"prepend" => StoreMode::Prepend,
        b"cas" => StoreMode::Cas(0),
        _ => return None,
    })
}

pub(super) fn parse<'a>(
    mode: StoreMode,
    text: &'a [u8],
    input: &'a [u8],
    line_len: usize,
    limits: &Limits,
) -> Parsed<Request<'a>> {
    let (mut store, value_len) = match store_line(mode, text, limits) {
        Ok(line) => line,
        Err(refused) => return Parsed::Complete { value: Request::Refused(refused), consumed: line_len },
    };
    let value_end = line_len + value_len;
    let consumed = value_end + 2;
    let value = match input.get(value_end..consumed) {
        None => return Parsed::Incomplete { at_least: consumed },
        Some(b"\r\n") => {
            store.value = &input[line_len..value_end];
            Request::Store(store)
        }
        // As many bytes are taken as were told, as memcached does; the rest is read as commands.
        Some(_) => Request::Refused(Refused {
            refusal: Refusal::BadDataChunk,
            noreply: store.noreply,
            skip: 0,
            stale_key: None,
            binary: false,
        }),
    };
    Parsed::Complete { value, consumed }
}

/// Reads the words of a storage command: the command without its value, and the length of that.
fn store_line<'a>(
    mode: StoreMode,
    text: &'a [u8],
    limits: &Limits,
) -> Result<(Store<'a>, usize), Refused<'a>> {
    let mut words = [&b""[..]; line::WORDS_MAX];
    let words = line::words(text, &mut words);
    // Any unsigned number is a length that can be skipped; after anything else nobody knows where the value ends.
    let value_len = words.get(3).and_then(|&bytes| number::parse_u64_lenient(bytes));
    let refuse = |refusal, noreply, stale_key| Refused {
        refusal,
        noreply,
        skip: value_len.map_or(0, |len| len.saturating_add(2)),
        stale_key,
        binary: false,
    };
    let Some((&[key, flags, exptime, _], rest)) = words.split_first_chunk() else {
        return Err(refuse(Refusal::UnknownCommand, false, None));
    };
    let (mode, rest) = match (mode, rest) {
        (StoreMode::Cas(_), [unique, rest @ ..]) => {
            (number::parse_u64_lenient(unique).map(StoreMode::Cas), rest)
        }
        (StoreMode::Cas(_), []) => return Err(refuse(Refusal::UnknownCommand, false, None)),
        _ => (Some(mode), rest),
    };
    if rest.len() > 1 {
        return Err(refuse(Refusal::UnknownCommand, false, None));
    }
    // The last word even where one before it is missing, and so another is taken for that.
    let noreply = words.last() == Some(&&b"noreply"[..]);
    let flags = number::parse_u64_lenient(flags).and_then(|flags| u32::try_from(flags).ok());
    let exptime = number::parse_i64_lenient(exptime);
    let (Some(mode), Some(flags), Some(exptime), Some(value_len), true) =
        (mode, flags, exptime, value_len, line::is_key(key, limits))
    else {
        return Err(refuse(Refusal::BadFormat, noreply, None));
    };
    match usize::try_from(value_len) {
        Ok(value_len) if value_len <= limits.value_len_max.min(isize::MAX as usize) => {
            Ok((Store { mode, key, flags, exptime, value: b"", noreply }, value_len))
        }
        _ => Err(refuse(Refusal::TooLarge, noreply, (mode == StoreMode::Set).then_some(key))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { key_len_max: 250, value_len_max: 1024, args_max: 64, line_len_max: 4096 };

    #[test]
    fn incoming_store_is_seen_as_soon_as_its_line_is_here() {
        let input = b"cas key 7 -1 5 9 noreply\r\nvalue\r\n";
        let store =
            Store { mode: StoreMode::Cas(9), key: b"key", flags: 7, exptime: -1, value: b"", noreply: true };
        for len in 0..input.len() {
            let value = if len < 26 { b"" } else { &b"value"[..(len - 26).min(5)] };
            let expected = IncomingStore { store: Store { value, ..store }, value_len: 5, value_start: 26 };
            assert_eq!(incoming_store(&input[..len], &LIMITS), (len >= 26).then_some(expected), "{len}");
        }
        assert_eq!(incoming_store(b"get key\r\n", &LIMITS), None);
        assert_eq!(incoming_store(b"set key 0 0 1025\r\n", &LIMITS), None);
    }
}

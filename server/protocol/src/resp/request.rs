//! Requests: the parser that every RESP byte goes through.
//!
//! Nearly all requests are a GET or a SET with short lengths, sent by client libraries in one spelling. So the parser
//! guesses that spelling first, by fixed offsets, and only if the guess fails reads by the rules:
//!
//! ```text
//! 0       4       8           14
//! *2 \r\n $3 \r\n GET \r\n $  32 \r\n ...32 bytes... \r\n
//! ^--- u64 at 0 --^                       the verb's letters are compared without their case bit
//!             ^--- u64 at 6 ---^
//! ```
//! Invariant: a guess that succeeds gives what the strict parser gives (tested for all prefixes and mutations).

use super::frame::{self, Bulk, Header};
use super::{Args, ParseError};
use crate::{Limits, Parsed};

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// One of the two that matter.
    Usual(Usual<'a>),
    /// Any other command.
    Command(Args<'a>),
    /// A line that does not start with `*`, without its line end, not blank. [`inline::rewrite`](super::inline::rewrite)
    /// turns it into a request of the other kinds.
    Inline(&'a [u8]),
    /// An empty request (`*0`, `*-1`, a blank line): no answer is due.
    Nothing,
}

/// How far into one unfinished request the parser has come; the default is its start.
///
/// The caller keeps one per connection and hands it back with the same bytes and whatever came after them. It is at
/// its start again after each whole request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Arguments announced; 0 while the count is not read.
    args_total: usize,
    /// Arguments already checked.
    args_done: usize,
    /// Where the first argument starts.
    args_start: usize,
    /// Everything before this is checked.
    offset: usize,
}

/// Reads the request at the head of `input`.
///
/// Keys are not measured against `key_len_max`: that a key is too long is the command's answer, not a reason to close.
/// `at_least` may be as large as the announced request: take it as a hint when to parse again, not as a size to
/// allocate.
#[inline]
pub fn parse<'a>(
    input: &'a [u8],
    limits: &Limits,
    progress: &mut Progress,
) -> Result<Parsed<Request<'a>>, ParseError> {
    if let Some((usual, consumed)) = usual(input, limits) {
        *progress = Progress::default();
        return Ok(Parsed::Complete { value: Request::Usual(usual), consumed });
    }
    parse_other(input, limits, progress)
}

/// The two requests that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usual<'a> {
    /// `GET key`, any letter case.
    Get {
        /// Key to read.
        key: &'a [u8],
    },
    /// `SET key value` without options, any letter case.
    Set {
        /// Key to write.
        key: &'a [u8],
        /// Value to store.
        value: &'a [u8],
    },
}

/// A `SET` whose value is still arriving, plain or with an option of two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncomingSet<'a> {
    /// Key to write.
    pub key: &'a [u8],
    /// Length of the whole value, in bytes.
    pub value_len: usize,
    /// Where in the input the value starts; CRLF follows it.
    pub value_start: usize,
    /// Whether two more words follow, such as `EX 10`, and end the request.
    pub has_option: bool,
}

/// Looks whether an incomplete `input` is a `SET` of which only (some of) the value is missing, and what follows it: so that
/// the rest can be read straight to where it will live, or be left out if nobody will keep it.
#[must_use]
pub fn incoming_set<'a>(input: &'a [u8], limits: &Limits) -> Option<IncomingSet<'a>> {
    let key_start = SET_LINES.len();
    let (lines, rest) = input.split_at_checked(key_start)?;
    let Ok(Bulk::Whole { start, len }) = frame::bulk(rest, limits.value_len_max) else { return None };
    let (key, value) = rest.split_at(len);
    let Header::Number { value: value_len, len: header_len } = frame::header(value) else { return None };
    let value_len = usize::try_from(value_len).ok().filter(|&value_len| value_len <= limits.value_len_max)?;
    let has_option = lines.starts_with(b"*5");
    let is_set = lines[2..].eq_ignore_ascii_case(&SET_LINES[2..]) && (has_option || lines.starts_with(b"*3"));
    (is_set && value[0] == b'$').then_some(IncomingSet {
        key: &key[start..len - 2],
        value_len,
        value_start: key_start + len + header_len,
        has_option,
    })
}

const CRLF: u16 = u16::from_le_bytes(*b"\r\n");
const SET_LINES: &[u8; 13] = b"*3\r\n$3\r\nSET\r\n";

const GET_COUNT: u64 = u64::from_le_bytes(*b"*2\r\n$3\r\n");
const SET_COUNT: u64 = u64::from_le_bytes(*b"*3\r\n$3\r\n");
const GET_VERB: u64 = u64::from_le_bytes(*b"\r\nGET\r\n$");
const SET_VERB: u64 = u64::from_le_bytes(*b"\r\nSET\r\n$");
/// Clears the bit that tells lower case from upper case in the three letters of the verb.
const VERB_CASE: u64 = !u64::from_le_bytes([0, 0, 0x20, 0x20, 0x20, 0, 0, 0]);

/// The request at the head of `input` if it is a GET or a SET in the usual spelling, and its length. What it gives is what
/// [`parse`] gives; `None` means only that `parse` has to look. For loops in which nearly every request is one of these.
#[inline(always)]
#[must_use]
pub fn usual<'a>(input: &'a [u8], limits: &Limits) -> Option<(Usual<'a>, usize)> {
    let head = input.first_chunk::<14>()?;
    let count = u64::from_le_bytes(*head.first_chunk()?);
    let verb = u64::from_le_bytes(*head.last_chunk()?) & VERB_CASE;
    if count == GET_COUNT && verb == GET_VERB {
        let (key, len) = short_bulk(input, head.len(), b"\r\n", limits)?;
        Some((Usual::Get { key }, len))
    } else if count == SET_COUNT && verb == SET_VERB {
        let (key, at) = short_bulk(input, head.len(), b"\r\n$", limits)?;
        let (value, len) =
            short_bulk(input, at, b"\r\n", limits).or_else(|| long_bulk(input, at - 1, limits))?;
        Some((Usual::Set { key, value }, len))
    } else {
        None
    }
}

/// A bulk string whose one or two digits start at `at`, up to `tail`; and where that ends.
#[inline(always)]
fn short_bulk<'a, const N: usize>(
    input: &'a [u8],
    at: usize,
    tail: &[u8; N],
    limits: &Limits,
) -> Option<(&'a [u8], usize)> {
    let header = u32::from_le_bytes(*input.get(at..)?.first_chunk()?);
    let first = (header as u8).wrapping_sub(b'0');
    let second = ((header >> 8) as u8).wrapping_sub(b'0');
    let (start, len) = if (header >> 16) as u16 == CRLF && (1..=9).contains(&first) && second <= 9 {
        (at + 4, usize::from(first * 10 + second))
    } else if (header >> 8) as u16 == CRLF && first <= 9 {
        (at + 3, usize::from(first))
    } else {
        return None;
    };
    let end = start + len;
    let whole = input.get(end..end + N)? == tail && len <= limits.value_len_max;
    whole.then(|| (&input[start..end], end + N))
}

/// A bulk string of any length that starts at `at`, and where it ends.
fn long_bulk<'a>(input: &'a [u8], at: usize, limits: &Limits) -> Option<(&'a [u8], usize)> {
    let Ok(Bulk::Whole { start, len }) = frame::bulk(&input[at..], limits.value_len_max) else { return None };
    Some((&input[at + start..at + len - 2], at + len))
}

/// The word `SET` and the number of its arguments pass whatever the limits say.
const LIMIT_MIN: usize = 3;

/// [`parse`] by the rules, without trying the [`usual`] spellings first: for whoever has tried them.
#[inline(never)]
pub fn parse_other<'a>(
    input: &'a [u8],
    limits: &Limits,
    progress: &mut Progress,
) -> Result<Parsed<Request<'a>>, ParseError> {
    match input.first() {
        None => Ok(Parsed::Incomplete { at_least: 1 }),
        Some(b'*') => parse_array(input, limits, progress),
        Some(_) => parse_line(input, limits, progress),
    }
}

fn parse_array<'a>(
    input: &'a [u8],
    limits: &Limits,
    progress: &mut Progress,
) -> Result<Parsed<Request<'a>>, ParseError> {
    if progress.args_total == 0 {
        let (count, len) = match frame::header(input) {
            Header::Number { value, len } => (value, len),
            Header::Partial { missing } => return Ok(Parsed::Incomplete { at_least: input.len() + missing }),
            Header::TooLong => return Err(ParseError::TooBigMultibulkCount),
            Header::NotANumber => return Err(ParseError::InvalidMultibulkLength),
        };
        if count <= 0 {
            return Ok(Parsed::Complete { value: Request::Nothing, consumed: len });
        }
        // Redis ends at the largest int, whatever is configured.
        let args_total = i32::try_from(count).map_err(|_| ParseError::InvalidMultibulkLength)? as usize;
        if args_total > limits.args_max.max(LIMIT_MIN) {
            return Err(ParseError::InvalidMultibulkLength);
        }
        *progress = Progress { args_total, args_done: 0, args_start: len, offset: len };
    }
    let len_max = limits.value_len_max.max(LIMIT_MIN);
    while progress.args_done < progress.args_total {
        let rest = input.get(progress.offset..).unwrap_or_default();
        match frame::bulk(rest, len_max)? {
            Bulk::Whole { len, .. } => {
                progress.offset += len;
                progress.args_done += 1;
            }
            Bulk::Partial { at_least } => {
                let after =
                    (progress.args_total - progress.args_done - 1).saturating_mul(frame::BULK_LEN_MIN);
                let at_least = progress.offset.saturating_add(at_least).saturating_add(after);
                return Ok(Parsed::Incomplete { at_least });
            }
        }
    }
    let Progress { args_total, args_start, offset, .. } = core::mem::take(progress);
    let args = Args::new(&input[args_start..offset], args_total);
    Ok(Parsed::Complete { value: classify(args), consumed: offset })
}

fn classify(args: Args<'_>) -> Request<'_> {
    let mut words = args.iter();
    match (args.len(), words.next(), words.next(), words.next()) {
        (2, Some(name), Some(key), _) if name.eq_ignore_ascii_case(b"GET") => {
            Request::Usual(Usual::Get { key })
        }
        (3, Some(name), Some(key), Some(value)) if name.eq_ignore_ascii_case(b"SET") => {
            Request::Usual(Usual::Set { key, value })
        }
        _ => Request::Command(args),
    }
}

fn parse_line<'a>(
    input: &'a [u8],
    limits: &Limits,
    progress: &mut Progress,
) -> Result<Parsed<Request<'a>>, ParseError> {
    let seen = progress.offset.min(input.len());
    let end = memchr::memchr(b'\n', &input[seen..]).map(|found| seen + found);
    if end.unwrap_or(input.len()) > limits.line_len_max {
        return Err(ParseError::TooBigInline);
    }
    let Some(end) = end else {
        progress.offset = input.len();
        return Ok(Parsed::Incomplete { at_least: input.len() + 1 });
    };
    *progress = Progress::default();
    let line = &input[..end];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let value = if line.iter().all(|&byte| super::inline::is_space(byte)) {
        Request::Nothing
    } else {
        Request::Inline(line)
    };
    Ok(Parsed::Complete { value, consumed: end + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::write;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const LIMITS: Limits =
        Limits { key_len_max: 250, value_len_max: 1 << 20, args_max: 1024, line_len_max: 64 };

    fn strict<'a>(input: &'a [u8], limits: &Limits) -> Result<Parsed<Request<'a>>, ParseError> {
        parse_other(input, limits, &mut Progress::default())
    }

    fn guess_agrees(input: &[u8], limits: &Limits) {
        if let Some((request, consumed)) = usual(input, limits) {
            let value = Request::Usual(request);
            assert_eq!(
                strict(input, limits),
                Ok(Parsed::Complete { value, consumed }),
                "{}",
                input.escape_ascii()
            );
        }
    }

    fn command(words: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        write::array(&mut out, words.len());
        for word in words {
            write::bulk(&mut out, word);
        }
        out
    }

    #[test]
    fn guess_takes_every_usual_get_and_set() {
        for verb in [b"GET", b"get", b"gEt"] {
            for len in 0..100 {
                let key = &[b'k'; 100][..len];
                let input = command(&[verb, key]);
                assert_eq!(usual(&input, &LIMITS), Some((Usual::Get { key }, input.len())));
            }
        }
        for verb in [b"SET", b"set", b"SeT"] {
            for len in [0, 1, 9, 10, 99, 100, 999, 1000, 65_536, 1 << 20] {
                let (key, value) = (&b"key:000001"[..], &alloc::vec![b'v'; len][..]);
                let input = command(&[verb, key, value]);
                assert_eq!(usual(&input, &LIMITS), Some((Usual::Set { key, value }, input.len())));
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

    #[test]
    fn incoming_set_is_seen_as_soon_as_its_header_is_here() {
        let input = command(&[b"sEt", b"key", &alloc::vec![b'v'; 70_000]]);
        let value_start = input.len() - 70_000 - 2;
        let expected = IncomingSet { key: b"key", value_len: 70_000, value_start, has_option: false };
        for len in 0..input.len() {
            let seen = incoming_set(&input[..len], &LIMITS);
            assert_eq!(seen, (len >= value_start).then_some(expected), "{len}");
        }
        let expiring = command(&[b"SET", b"key", &alloc::vec![b'v'; 70_000], b"EX", b"10"]);
        let expected = IncomingSet { has_option: true, ..expected };
        assert_eq!(incoming_set(&expiring[..value_start], &LIMITS), Some(expected));
        for other in [
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n#9\r\n",
            "*4\r\n$3\r\nSET\r\n$1\r\nk\r\n$9\r\n",
            "*5\r\n$3\r\nGET\r\n$1\r\nk\r\n$9\r\n",
            "*3\r\n$3\r\nGET\r\n$1\r\nk\r\n$9\r\n",
        ] {
            assert_eq!(incoming_set(other.as_bytes(), &LIMITS), None);
        }
        assert_eq!(incoming_set(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n", &LIMITS), None);
    }

    /// A thousand arguments in a thousand pieces: each is looked at once.
    #[test]
    fn progress_never_goes_back() {
        let words: Vec<&[u8]> = core::iter::repeat_n(&b"argument"[..], 1000).collect();
        let input = command(&words);
        let mut progress = Progress::default();
        let mut before = 0;
        for len in 0..input.len() {
            let parsed = parse(&input[..len], &LIMITS, &mut progress);
            assert!(
                matches!(parsed, Ok(Parsed::Incomplete { at_least }) if at_least > len && at_least <= input.len())
            );
            assert!(progress.offset >= before && len < progress.offset + 16 + "$8\r\nargument\r\n".len());
            before = progress.offset;
        }
        assert!(
            matches!(parse(&input, &LIMITS, &mut progress), Ok(Parsed::Complete { consumed, .. }) if consumed == input.len())
        );
        assert_eq!(progress, Progress::default());
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

//! Requests: the parser that every RESP byte goes through. It tries the usual spellings first (`usual.rs`).

use super::frame::{self, Bulk, Header};
use super::{Args, ParseError, usual};
use crate::{Limits, Parsed, Usual};

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

impl Progress {
    /// Where in the unfinished request the first argument is that is not all here, and how many arguments there are from
    /// that one on; none while it is not known.
    #[must_use]
    pub fn unread(&self) -> Option<(usize, usize)> {
        (self.args_total > 0).then_some((self.offset, self.args_total - self.args_done))
    }
}

/// The length of the argument at the head of `input`, with what frames it; none while its header is not all here. For whoever
/// passes over it.
pub fn argument_len(input: &[u8], limits: &Limits) -> Result<Option<usize>, ParseError> {
    Ok(match frame::bulk(input, limits.value_len_max)? {
        Bulk::Whole { len, .. } => Some(len),
        Bulk::Partial { at_least } => {
            matches!(frame::header(input), Header::Number { .. }).then_some(at_least)
        }
    })
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
    if let Some((usual, rest)) = usual(input, limits) {
        *progress = Progress::default();
        return Ok(Parsed::Complete { value: Request::Usual(usual), consumed: input.len() - rest.len() });
    }
    parse_other(input, limits, progress)
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

const SET_LINES: &[u8; 13] = b"*3\r\n$3\r\nSET\r\n";

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

/// Checks some arguments of the request at the head of `input`, `most` of those that were not checked, as [`parse`] does: it goes on
/// behind them. True if there are more; for whoever has something else to do in between.
pub fn check_some(
    input: &[u8],
    limits: &Limits,
    progress: &mut Progress,
    most: usize,
) -> Result<bool, ParseError> {
    if progress.args_total == 0
        && (input.first() != Some(&b'*') || begin_array(input, limits, progress)?.is_some())
    {
        return Ok(false);
    }
    let left = progress.args_total - progress.args_done;
    Ok(check(input, limits, progress, most)?.is_none() && left > most)
}

fn parse_array<'a>(
    input: &'a [u8],
    limits: &Limits,
    progress: &mut Progress,
) -> Result<Parsed<Request<'a>>, ParseError> {
    if progress.args_total == 0
        && let Some(parsed) = begin_array(input, limits, progress)?
    {
        return Ok(parsed);
    }
    if let Some(at_least) = check(input, limits, progress, usize::MAX)? {
        return Ok(Parsed::Incomplete { at_least });
    }
    let Progress { args_total, args_start, offset, .. } = core::mem::take(progress);
    let args = Args::new(&input[args_start..offset], args_total);
    Ok(Parsed::Complete { value: classify(args), consumed: offset })
}

/// Reads the number of arguments; gives what comes of the request if that is known then.
#[inline]
fn begin_array<'a>(
    input: &'a [u8],
    limits: &Limits,
    progress: &mut Progress,
) -> Result<Option<Parsed<Request<'a>>>, ParseError> {
    let (count, len) = match frame::header(input) {
        Header::Number { value, len } => (value, len),
        Header::Partial { missing } => {
            return Ok(Some(Parsed::Incomplete { at_least: input.len() + missing }));
        }
        Header::TooLong => return Err(ParseError::TooBigMultibulkCount),
        Header::NotANumber => return Err(ParseError::InvalidMultibulkLength),
    };
    if count <= 0 {
        return Ok(Some(Parsed::Complete { value: Request::Nothing, consumed: len }));
    }
    // Redis ends at the largest int, whatever is configured.
    let args_total = i32::try_from(count).map_err(|_| ParseError::InvalidMultibulkLength)? as usize;
    if args_total > limits.args_max.max(LIMIT_MIN) {
        return Err(ParseError::InvalidMultibulkLength);
    }
    *progress = Progress { args_total, args_done: 0, args_start: len, offset: len };
    Ok(None)
}

/// Checks so many more arguments at most; where they are not all here, gives how long the request is at least.
#[inline]
fn check(
    input: &[u8],
    limits: &Limits,
    progress: &mut Progress,
    most: usize,
) -> Result<Option<usize>, ParseError> {
    let len_max = limits.value_len_max.max(LIMIT_MIN);
    let end = progress.args_total.min(progress.args_done.saturating_add(most));
    while progress.args_done < end {
        let rest = input.get(progress.offset..).unwrap_or_default();
        match frame::bulk(rest, len_max)? {
            Bulk::Whole { len, .. } => {
                progress.offset += len;
                progress.args_done += 1;
            }
            Bulk::Partial { at_least } => {
                let after =
                    (progress.args_total - progress.args_done - 1).saturating_mul(frame::BULK_LEN_MIN);
                return Ok(Some(progress.offset.saturating_add(at_least).saturating_add(after)));
            }
        }
    }
    Ok(None)
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
    use crate::resp::write::command;
    use alloc::vec::Vec;

    const LIMITS: Limits =
        Limits { key_len_max: 250, value_len_max: 1 << 20, args_max: 1024, line_len_max: 64 };

    /// However many at a time, and however much of the request is here.
    #[test]
    fn what_is_checked_in_parts_is_the_same_request() {
        let words: Vec<&[u8]> = (0..40).map(|number| &b"word"[..number % 5]).collect();
        let whole = [&command(&words)[..], b"PING\r\n"].concat();
        let expected = parse(&whole, &LIMITS, &mut Progress::default());
        for most in [1, 2, 3, 7, 39, 40, 41, usize::MAX] {
            for len in 0..=whole.len() {
                let (mut progress, mut times) = (Progress::default(), 0);
                while check_some(&whole[..len], &LIMITS, &mut progress, most).expect("it is well formed") {
                    times += 1;
                }
                let parts = words.len() / most + usize::from(!words.len().is_multiple_of(most));
                assert!(
                    times < parts && (len < whole.len() || times == parts - 1),
                    "{most} of {len}: {times}"
                );
                let parsed = parse(&whole[..len], &LIMITS, &mut progress);
                if len < whole.len() - b"PING\r\n".len() {
                    assert_eq!(parsed, parse(&whole[..len], &LIMITS, &mut Progress::default()));
                } else {
                    assert_eq!(parsed, expected);
                }
            }
        }
        for (input, error) in
            [("*x\r\n", true), ("*2\r\n$1\r\na\r\n+", true), ("GET k\r\n", false), ("*0\r\n", false)]
        {
            let checked = check_some(input.as_bytes(), &LIMITS, &mut Progress::default(), 5);
            assert_eq!((checked.is_err(), checked.unwrap_or(false)), (error, false), "{input:?}");
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

    #[test]
    fn what_is_left_of_a_request_is_known_as_soon_as_it_has_begun() {
        let input = command(&[b"MSET", b"a", &alloc::vec![b'v'; 70_000], b"b", b"w"]);
        let starts = [0, 4, 14, 21, 70_031, 70_038, 70_045];
        let mut progress = Progress::default();
        assert_eq!(progress.unread(), None);
        for (done, at) in starts[1..6].iter().enumerate() {
            for end in *at..starts[done + 2] {
                assert!(matches!(
                    parse(&input[..end], &LIMITS, &mut progress),
                    Ok(Parsed::Incomplete { .. })
                ));
                assert_eq!(progress.unread(), Some((*at, 5 - done)), "{end}");
                let rest = &input[*at..end];
                let len = rest.contains(&b'\n').then_some(starts[done + 2] - at);
                assert_eq!(argument_len(rest, &LIMITS), Ok(len), "{end}");
            }
        }
        assert_eq!(argument_len(&input[4..], &LIMITS), Ok(Some(10)));
        assert!(argument_len(b"*1\r\n", &LIMITS).is_err());
        assert!(argument_len(b"$1048577\r\n", &LIMITS).is_err());
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
}

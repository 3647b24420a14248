//! Replies, as far as a load generator has to understand them: where they end, and whether they are what was asked for.
//! Bodies are not looked for in the bytes but stepped over, so that large values need not be held.

use crabcache_protocol::native::{REPLY_HEADER_LEN, ReplyHeader, Status};

use super::LoadError;
use super::request::{Kind, Protocol};

/// A line of a reply is not longer than this.
const LINE_LEN_MAX: usize = 64 << 10;
/// Bytes that are shown of what is no reply.
const SHOWN_MAX: usize = 100;

/// What stands at the head of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// The beginning of a reply; more has to come.
    Partial,
    /// A whole reply of so many bytes, without a value.
    Whole {
        /// Its length.
        len: usize,
        /// What it says.
        answer: Answer,
    },
    /// A value follows, and then the reply's end.
    Value {
        /// Bytes before the value.
        head_len: usize,
        /// Bytes of the value.
        value_len: usize,
        /// What comes after the value.
        tail: &'static [u8],
    },
}

/// What a reply without a value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Stored, or pong.
    Done,
    /// There is no value under this key.
    Miss,
    /// The server refused.
    Error,
}

/// Bytes that are no reply of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadReply;

/// That these bytes are no reply, with the first line of them.
pub(super) fn no_reply(input: &[u8]) -> LoadError {
    let line = input.split(|&byte| byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    LoadError::Reply(line[..line.len().min(SHOWN_MAX)].escape_ascii().to_string())
}

/// Looks at the reply at the head of `input`, to a request of this kind.
#[inline]
pub(super) fn head(protocol: Protocol, kind: Kind, input: &[u8]) -> Result<Head, BadReply> {
    match protocol {
        Protocol::Resp => resp(input),
        Protocol::Memcache => memcache(kind, input),
        Protocol::Native => native(kind, input),
    }
}

/// What a reply says that is an error, for people.
pub(super) fn text(protocol: Protocol, reply: &[u8]) -> String {
    if protocol == Protocol::Native
        && let Some((header, body)) = reply.split_first_chunk::<REPLY_HEADER_LEN>()
        && let Ok(ReplyHeader { status, .. }) = ReplyHeader::decode(header)
    {
        return format!("{status:?} {}", body.escape_ascii()).trim_end().to_owned();
    }
    reply.trim_ascii_end().escape_ascii().to_string()
}

fn resp(input: &[u8]) -> Result<Head, BadReply> {
    let Some(line) = line(input)? else { return Ok(Head::Partial) };
    let whole = |answer| Ok(Head::Whole { len: line.len() + 2, answer });
    match line.first() {
        Some(b'$') if line == b"$-1" => whole(Answer::Miss),
        Some(b'$') => {
            let value_len = decimal(&line[1..]).ok_or(BadReply)?;
            Ok(Head::Value { head_len: line.len() + 2, value_len, tail: b"\r\n" })
        }
        Some(b'+' | b':') => whole(Answer::Done),
        Some(b'_') => whole(Answer::Miss),
        Some(b'-') => whole(Answer::Error),
        _ => Err(BadReply),
    }
}

fn memcache(kind: Kind, input: &[u8]) -> Result<Head, BadReply> {
    let Some(line) = line(input)? else { return Ok(Head::Partial) };
    let len = line.len() + 2;
    if kind == Kind::Get && line.starts_with(b"VALUE ") {
        let digits = line.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
        let value_len = decimal(digits).ok_or(BadReply)?;
        return Ok(Head::Value { head_len: len, value_len, tail: b"\r\nEND\r\n" });
    }
    let answer = match (kind, line) {
        (Kind::Get, b"END") => Answer::Miss,
        (Kind::Set, b"STORED") => Answer::Done,
        (Kind::Ping, _) if line.starts_with(b"VERSION ") => Answer::Done,
        (_, b"ERROR" | b"NOT_STORED") => Answer::Error,
        _ if [&b"SERVER_ERROR "[..], b"CLIENT_ERROR ", b"ERROR "]
            .iter()
            .any(|word| line.starts_with(word)) =>
        {
            Answer::Error
        }
        _ => return Err(BadReply),
    };
    Ok(Head::Whole { len, answer })
}

fn native(kind: Kind, input: &[u8]) -> Result<Head, BadReply> {
    let Some(header) = input.first_chunk::<REPLY_HEADER_LEN>() else { return Ok(Head::Partial) };
    let ReplyHeader { status, body_len, .. } = ReplyHeader::decode(header).map_err(|_| BadReply)?;
    let body_len = body_len as usize;
    if status == Status::Ok && kind == Kind::Get {
        return Ok(Head::Value { head_len: REPLY_HEADER_LEN, value_len: body_len, tail: b"" });
    }
    let len = REPLY_HEADER_LEN + body_len;
    let answer = match status {
        Status::Ok => Answer::Done,
        Status::Miss => Answer::Miss,
        _ => Answer::Error,
    };
    if body_len > LINE_LEN_MAX {
        return Err(BadReply);
    }
    Ok(if input.len() < len { Head::Partial } else { Head::Whole { len, answer } })
}

/// The first line, without its end; none if the end has not come yet.
#[inline]
fn line(input: &[u8]) -> Result<Option<&[u8]>, BadReply> {
    match input.iter().take(LINE_LEN_MAX).position(|&byte| byte == b'\n') {
        Some(end) if end > 0 && input[end - 1] == b'\r' => Ok(Some(&input[..end - 1])),
        None if input.len() < LINE_LEN_MAX => Ok(None),
        _ => Err(BadReply),
    }
}

fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    let add = |sum: usize, &digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + usize::from(digit - b'0'));
    digits.iter().try_fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn whole(len: usize, answer: Answer) -> Head {
        Head::Whole { len, answer }
    }

    const fn value(head_len: usize, value_len: usize, tail: &'static [u8]) -> Head {
        Head::Value { head_len, value_len, tail }
    }

    #[test]
    fn replies_of_all_protocols() {
        use Protocol::{Memcache, Native, Resp};
        for (protocol, kind, input, expected) in [
            (Resp, Kind::Get, &b"$32\r\nabc"[..], value(5, 32, b"\r\n")),
            (Resp, Kind::Get, b"$-1\r\n", whole(5, Answer::Miss)),
            (Resp, Kind::Get, b"_\r\n", whole(3, Answer::Miss)),
            (Resp, Kind::Set, b"+OK\r\n+OK\r\n", whole(5, Answer::Done)),
            (Resp, Kind::Set, b"-OOM no\r\n", whole(9, Answer::Error)),
            (Resp, Kind::Ping, b"+PONG\r\n", whole(7, Answer::Done)),
            (Memcache, Kind::Get, b"VALUE key 0 10\r\n", value(16, 10, b"\r\nEND\r\n")),
            (Memcache, Kind::Get, b"END\r\n", whole(5, Answer::Miss)),
            (Memcache, Kind::Set, b"STORED\r\n", whole(8, Answer::Done)),
            (Memcache, Kind::Set, b"SERVER_ERROR out of memory\r\n", whole(28, Answer::Error)),
            (Memcache, Kind::Ping, b"VERSION 1\r\n", whole(11, Answer::Done)),
            (Memcache, Kind::Get, b"ERROR Too many open connections\r\n", whole(33, Answer::Error)),
            (Native, Kind::Get, b"\xC2\0\0\0\x05\0\0\0ab", value(8, 5, b"")),
            (Native, Kind::Get, b"\xC2\x01\0\0\0\0\0\0", whole(8, Answer::Miss)),
            (Native, Kind::Set, b"\xC2\0\0\0\0\0\0\0", whole(8, Answer::Done)),
            (Native, Kind::Set, b"\xC2\x12\0\0\x02\0\0\0no", whole(10, Answer::Error)),
        ] {
            assert_eq!(head(protocol, kind, input), Ok(expected), "{}", input.escape_ascii());
            // Whatever is cut off before the head's end has to come yet.
            let head_len = match expected {
                Head::Value { head_len, .. } => head_len,
                Head::Whole { len, .. } => len,
                Head::Partial => unreachable!(),
            };
            for cut in 0..head_len {
                assert_eq!(
                    head(protocol, kind, &input[..cut]),
                    Ok(Head::Partial),
                    "{}",
                    input.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn errors_as_people_read_them() {
        assert_eq!(text(Protocol::Resp, b"-ERR no\r\n"), "-ERR no");
        assert_eq!(text(Protocol::Native, b"\xC2\x82\0\0\0\0\0\0"), "Busy");
        assert_eq!(text(Protocol::Native, b"\xC2\x12\0\0\x02\0\0\0no"), "TryAgain no");
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        let long = vec![b'+'; LINE_LEN_MAX];
        for (protocol, kind, input) in [
            (Protocol::Resp, Kind::Get, &b"VALUE\r\n"[..]),
            (Protocol::Resp, Kind::Get, b"$x\r\n"),
            (Protocol::Resp, Kind::Get, b"$99999999999\r\n"),
            (Protocol::Resp, Kind::Get, b"+OK\n"),
            (Protocol::Resp, Kind::Get, &long),
            (Protocol::Memcache, Kind::Get, b"STORED\r\n"),
            (Protocol::Memcache, Kind::Get, b"VALUE k 0 \r\n"),
            (Protocol::Memcache, Kind::Set, b"END\r\n"),
            (Protocol::Native, Kind::Get, b"HTTP/1.1 400"),
        ] {
            assert_eq!(head(protocol, kind, input), Err(BadReply), "{}", input.escape_ascii());
        }
    }
}

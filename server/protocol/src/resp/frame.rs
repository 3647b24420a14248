//! The two frames that requests are made of.
//!
//! ```text
//! header   | marker | decimal number | \r\n |                 *2\r\n   $3\r\n
//! bulk     | $ header, number = n | n bytes | \r\n |          $3\r\nkey\r\n
//! ```

use super::ParseError;
use crate::number;

/// Longest header, in bytes: no 64-bit number needs more, and none is waited for in vain.
const HEADER_LEN_MAX: usize = 32;

/// Length of the shortest bulk string, `$0\r\n\r\n`, in bytes.
pub(super) const BULK_LEN_MIN: usize = 6;

/// A header, as far as it is here.
pub(super) enum Header {
    /// All here.
    Number {
        /// The number.
        value: i64,
        /// Length of marker, number and CRLF, in bytes.
        len: usize,
    },
    /// At least `missing` more bytes must come.
    Partial {
        /// Bytes still to come at least.
        missing: usize,
    },
    /// It should have ended by now.
    TooLong,
    /// Between marker and CRLF stands something else.
    NotANumber,
}

/// Reads a header; the caller looks at the marker.
#[inline]
pub(super) fn header(input: &[u8]) -> Header {
    match *input {
        [_, units @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Header::Number { value: i64::from(units - b'0'), len: 4 }
        }
        [_, tens @ b'1'..=b'9', units @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Header::Number { value: i64::from((tens - b'0') * 10 + (units - b'0')), len: 5 }
        }
        _ => long_header(input),
    }
}

/// Any header.
fn long_header(input: &[u8]) -> Header {
    let seen = &input[..input.len().min(HEADER_LEN_MAX)];
    match seen.iter().position(|&byte| byte == b'\r') {
        Some(cr) => match (seen.get(1..cr).and_then(number::parse_i64), input.get(cr + 1)) {
            (_, None) => Header::Partial { missing: 1 },
            (Some(value), Some(b'\n')) => Header::Number { value, len: cr + 2 },
            _ => Header::NotANumber,
        },
        None if seen.len() == HEADER_LEN_MAX => Header::TooLong,
        None => Header::Partial { missing: 4_usize.saturating_sub(seen.len()).max(2) },
    }
}

/// A bulk string, as far as it is here.
pub(super) enum Bulk {
    /// All here: the body is `input[body]`, and `len` bytes are its frame.
    Whole {
        /// Where the body starts.
        start: usize,
        /// Length of header, body and CRLF, in bytes.
        len: usize,
    },
    /// Not all here; its frame is `at_least` bytes long.
    Partial {
        /// Length that the frame has at least, in bytes.
        at_least: usize,
    },
}

/// Reads a bulk string of at most `len_max` bytes.
#[inline]
pub(super) fn bulk(input: &[u8], len_max: usize) -> Result<Bulk, ParseError> {
    match input.first() {
        None => return Ok(Bulk::Partial { at_least: BULK_LEN_MIN }),
        Some(b'$') => {}
        Some(&got) => return Err(ParseError::ExpectedBulk { got }),
    }
    let (start, body_len) = match header(input) {
        Header::Number { value, len } => (len, usize::try_from(value).unwrap_or(usize::MAX)),
        Header::Partial { missing } => {
            return Ok(Bulk::Partial { at_least: BULK_LEN_MIN.max(input.len() + missing + 2) });
        }
        Header::TooLong => return Err(ParseError::TooBigBulkCount),
        Header::NotANumber => return Err(ParseError::InvalidBulkLength),
    };
    if body_len > len_max || body_len > isize::MAX as usize {
        return Err(ParseError::InvalidBulkLength);
    }
    let end = start + body_len;
    match input.get(end..end + 2) {
        Some(b"\r\n") => Ok(Bulk::Whole { start, len: end + 2 }),
        Some(_) => Err(ParseError::UnterminatedBulk),
        None => Ok(Bulk::Partial { at_least: end + 2 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_least(input: &[u8]) -> usize {
        match bulk(input, 1 << 20) {
            Ok(Bulk::Partial { at_least }) => at_least,
            _ => panic!("{input:?} is no partial bulk string"),
        }
    }

    #[test]
    fn partial_bulk_says_all_that_is_known() {
        assert_eq!(at_least(b""), 6);
        assert_eq!(at_least(b"$"), 6);
        assert_eq!(at_least(b"$0"), 6);
        assert_eq!(at_least(b"$12"), 7);
        assert_eq!(at_least(b"$12\r"), 7);
        assert_eq!(at_least(b"$12\r\n"), 19);
        assert_eq!(at_least(b"$1000000\r\nx"), 1_000_012);
    }

    #[test]
    fn huge_lengths_are_refused_not_added_up() {
        for len_max in [0, 1, usize::MAX] {
            assert!(bulk(b"$9223372036854775808\r\n", len_max).is_err());
            assert!(bulk(b"$-1\r\n", len_max).is_err());
        }
        let longest = bulk(b"$9223372036854775807\r\n", usize::MAX);
        assert!(matches!(longest, Ok(Bulk::Partial { at_least }) if at_least > isize::MAX as usize));
    }
}

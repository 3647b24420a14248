//! Replies, appended to the bytes that wait to be sent.
//!
//! ```text
//!            RESP2                     RESP3
//! nil        $-1\r\n                   _\r\n
//! map        *4\r\n k v k v            %2\r\n k v k v
//! set, push  *n\r\n                    ~n\r\n   >n\r\n
//! double     $3\r\n1.5\r\n             ,1.5\r\n
//! boolean    :1\r\n                    #t\r\n
//! verbatim   $4\r\ntext\r\n            =8\r\ntxt:text\r\n
//! ```
//! Aggregates are written as their header; the caller then writes the elements.

use super::{ParseError, Version};
use crate::number;
use crate::short::{self, Room};
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

/// `+OK\r\n`.
pub const OK: &[u8] = b"+OK\r\n";

/// Longest header that [`header`] writes, in bytes.
const HEADER_LEN_MAX: usize = 23;

/// A command, for tests: an array of bulk strings.
#[cfg(test)]
pub(super) fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    array(&mut out, words.len());
    for word in words {
        bulk(&mut out, word);
    }
    out
}

/// A simple string. Line breaks in `text` become blanks: they would end it.
pub fn simple(out: &mut Vec<u8>, text: &[u8]) {
    line(out, b'+', text);
}

/// An error; `text` starts with its code (`ERR ...`). Line breaks in it become blanks.
pub fn error(out: &mut Vec<u8>, text: &[u8]) {
    line(out, b'-', text);
}

/// The answer to a request that cannot be read, exactly as Redis gives it; close after it.
pub fn protocol_error(out: &mut Vec<u8>, error: ParseError) {
    if let ParseError::ExpectedBulk { got } = error {
        // Redis copies the byte as it is, even where it is no text.
        line(out, b'-', &[b"ERR Protocol error: expected '$', got '", &[got][..], b"'"].concat());
    } else {
        out.extend_from_slice(b"-ERR ");
        let _ = write!(Text(out), "{error}\r\n");
    }
}

/// An integer.
#[inline]
pub fn integer(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u64::try_from(value) {
        number_line(out, b':', value);
    } else {
        out.push(b':');
        number::write_i64(out, value);
        out.extend_from_slice(b"\r\n");
    }
}

/// A bulk string.
#[inline]
pub fn bulk(out: &mut Vec<u8>, value: &[u8]) {
    out.reserve(HEADER_LEN_MAX + value.len() + 2);
    header(out, b'$', value.len());
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A short bulk string, and its length; none if the value is not short.
#[inline(always)]
#[must_use]
pub fn short_bulk(room: &mut Room, value: &[u8]) -> Option<usize> {
    let (line, line_len) = short::line(value.len());
    let at = short::put_word(room, 0, line << 8 | u64::from(b'$'), 1 + line_len);
    let at = short::put(room, at, value)?;
    Some(short::put_text(room, at, b"\r\n"))
}

/// The header of a bulk string of `len` bytes; the caller sends those and a CRLF.
#[inline]
pub fn bulk_header(out: &mut Vec<u8>, len: usize) {
    header(out, b'$', len);
}

/// No value.
#[inline]
pub fn nil(out: &mut Vec<u8>, version: Version) {
    out.extend_from_slice(match version {
        Version::Resp2 => b"$-1\r\n",
        Version::Resp3 => b"_\r\n",
    });
}

/// No array.
pub fn nil_array(out: &mut Vec<u8>, version: Version) {
    out.extend_from_slice(match version {
        Version::Resp2 => b"*-1\r\n",
        Version::Resp3 => b"_\r\n",
    });
}

/// The header of an array of `len` elements.
#[inline]
pub fn array(out: &mut Vec<u8>, len: usize) {
    header(out, b'*', len);
}

/// The header of a map of `len` pairs; RESP2 has an array of keys and values instead.
pub fn map(out: &mut Vec<u8>, len: usize, version: Version) {
    match version {
        Version::Resp2 => header(out, b'*', len * 2),
        Version::Resp3 => header(out, b'%', len),
    }
}

/// The header of a set of `len` elements; RESP2 has an array instead.
pub fn set(out: &mut Vec<u8>, len: usize, version: Version) {
    header(out, if version == Version::Resp3 { b'~' } else { b'*' }, len);
}

/// The header of a push message of `len` elements; RESP2 has an array instead.
pub fn push(out: &mut Vec<u8>, len: usize, version: Version) {
    header(out, if version == Version::Resp3 { b'>' } else { b'*' }, len);
}

/// A floating-point number, in the shortest text that reads back the same; RESP2 has a bulk string instead.
pub fn double(out: &mut Vec<u8>, value: f64, version: Version) {
    let start = out.len();
    let magnitude = value.abs();
    // Writing into a Vec cannot fail.
    let _ = if value.is_nan() {
        Text(out).write_str("nan")
    } else if magnitude.is_finite() && magnitude != 0.0 && !(1e-5..1e17).contains(&magnitude) {
        write!(Text(out), "{value:e}")
    } else {
        write!(Text(out), "{value}")
    };
    let mut text = [0; 32];
    let text = &mut text[..out.len() - start];
    text.copy_from_slice(&out[start..]);
    out.truncate(start);
    match version {
        Version::Resp2 => bulk(out, text),
        Version::Resp3 => line(out, b',', text),
    }
}

/// A truth value; RESP2 has the integers 1 and 0 instead.
pub fn boolean(out: &mut Vec<u8>, value: bool, version: Version) {
    out.extend_from_slice(match (version, value) {
        (Version::Resp2, false) => b":0\r\n",
        (Version::Resp2, true) => b":1\r\n",
        (Version::Resp3, false) => b"#f\r\n",
        (Version::Resp3, true) => b"#t\r\n",
    });
}

/// Text to show as it is, where `format` is `txt` or `mkd`; RESP2 has a bulk string instead.
pub fn verbatim(out: &mut Vec<u8>, format: [u8; 3], text: &[u8], version: Version) {
    match version {
        Version::Resp2 => bulk(out, text),
        Version::Resp3 => {
            header(out, b'=', text.len() + 4);
            out.extend_from_slice(&format);
            out.push(b':');
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Marker, number, CRLF.
#[inline]
pub(super) fn header(out: &mut Vec<u8>, marker: u8, len: usize) {
    number_line(out, marker, len as u64);
}

#[inline]
fn number_line(out: &mut Vec<u8>, marker: u8, value: u64) {
    // Eight bytes are copied and cut back: one store, where copying one or two digits would be a call.
    let (bytes, len) = match value {
        0..10 => ([marker, b'0' + value as u8, b'\r', b'\n', 0, 0, 0, 0], 4),
        10..100 => {
            let (tens, units) = (value as u8 / 10, value as u8 % 10);
            ([marker, b'0' + tens, b'0' + units, b'\r', b'\n', 0, 0, 0], 5)
        }
        _ => return long_number_line(out, marker, value),
    };
    let end = out.len() + len;
    out.extend_from_slice(&bytes);
    out.truncate(end);
}

fn long_number_line(out: &mut Vec<u8>, marker: u8, value: u64) {
    out.push(marker);
    number::write_u64(out, value);
    out.extend_from_slice(b"\r\n");
}

fn line(out: &mut Vec<u8>, marker: u8, text: &[u8]) {
    out.reserve(text.len() + 3);
    out.push(marker);
    out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

/// Formats into a Vec.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

//! Replies, appended to the bytes that wait to be sent.
//!
//! ```text
//! VALUE <key> <flags> <bytes>[ <cas>]\r\n<value>\r\n     one per hit, then END\r\n
//! STORED\r\n  NOT_FOUND\r\n  12\r\n  STAT <name> <value>\r\n  ERROR\r\n
//! ```

use super::{ParseError, Refusal, binary};
use crate::number;
use crate::short::{self, Room};
use alloc::vec::Vec;

/// Ends a list of values or statistics.
pub const END: &[u8] = b"END\r\n";
/// The value is stored.
pub const STORED: &[u8] = b"STORED\r\n";
/// The condition of `add`, `replace`, `append` or `prepend` does not hold.
pub const NOT_STORED: &[u8] = b"NOT_STORED\r\n";
/// The item has another cas unique.
pub const EXISTS: &[u8] = b"EXISTS\r\n";
/// There is no item.
pub const NOT_FOUND: &[u8] = b"NOT_FOUND\r\n";
/// The item is deleted.
pub const DELETED: &[u8] = b"DELETED\r\n";
/// The item is touched.
pub const TOUCHED: &[u8] = b"TOUCHED\r\n";
/// Done.
pub const OK: &[u8] = b"OK\r\n";
/// No such command.
pub const ERROR: &[u8] = b"ERROR\r\n";
/// `incr` or `decr` of a value that is no number.
pub const NON_NUMERIC: &[u8] = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
/// No room could be made.
pub const OUT_OF_MEMORY: &[u8] = b"SERVER_ERROR out of memory storing object\r\n";

/// Longest first line of a value beyond its key: `VALUE `, three numbers, blanks and CRLF, in bytes.
const VALUE_LINE_LEN_MAX: usize = 6 + 1 + 10 + 1 + 20 + 1 + 20 + 2;

/// One hit; `cas` is told to `gets` and `gats` only.
#[inline]
pub fn value(out: &mut Vec<u8>, key: &[u8], flags: u32, cas: Option<u64>, value: &[u8]) {
    out.reserve(VALUE_LINE_LEN_MAX + key.len() + value.len() + 2);
    value_line(out, key, flags, cas, value.len());
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A short hit without flags and cas, with `END` behind it if it is the `last`, and the length of all; none if key or value is
/// not short.
#[inline(always)]
#[must_use]
pub fn short_value(room: &mut Room, key: &[u8], value: &[u8], last: bool) -> Option<usize> {
    let at = short::put_text(room, 0, b"VALUE ");
    let at = short::put(room, at, key)?;
    let (line, line_len) = short::line(value.len());
    let flags = u64::from_le_bytes(*b" 0 \0\0\0\0\0");
    let at = short::put_word(room, at, line << 24 | flags, 3 + line_len);
    let at = short::put(room, at, value)?;
    let end = short::put_text(room, at, b"\r\nEND\r\n");
    Some(if last { end } else { at + 2 })
}

/// The first line of a hit; the caller sends `value_len` bytes and a CRLF.
#[inline]
pub fn value_line(out: &mut Vec<u8>, key: &[u8], flags: u32, cas: Option<u64>, value_len: usize) {
    out.extend_from_slice(b"VALUE ");
    out.extend_from_slice(key);
    if flags == 0 {
        out.extend_from_slice(b" 0 ");
    } else {
        out.push(b' ');
        number::write_u64(out, u64::from(flags));
        out.push(b' ');
    }
    number::write_u64(out, value_len as u64);
    if let Some(cas) = cas {
        out.push(b' ');
        number::write_u64(out, cas);
    }
    out.extend_from_slice(b"\r\n");
}

/// What a counter is now.
pub fn number(out: &mut Vec<u8>, value: u64) {
    number::write_u64(out, value);
    out.extend_from_slice(b"\r\n");
}

/// A line that says all there is to say.
pub fn fixed(out: &mut Vec<u8>, text: &str) {
    line(out, text, b"");
}

/// The only server of a cluster, for auto discovery: payload of version, then `name|address|port`.
pub fn cluster_config(out: &mut Vec<u8>, host: &str, port: u16) {
    let payload = alloc::format!("1\n{host}|{host}|{port}\n");
    line(out, "CONFIG cluster 0 ", alloc::format!("{}", payload.len()).as_bytes());
    out.extend_from_slice(payload.as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(END);
}

/// The version of the server.
pub fn version(out: &mut Vec<u8>, version: &str) {
    line(out, "VERSION ", version.as_bytes());
}

/// One statistic; `END` follows the last.
pub fn stat(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(b"STAT ");
    out.extend_from_slice(name.as_bytes());
    line(out, " ", value);
}

/// The client's mistake.
pub fn client_error(out: &mut Vec<u8>, text: &str) {
    line(out, "CLIENT_ERROR ", text.as_bytes());
}

/// The server's trouble.
pub fn server_error(out: &mut Vec<u8>, text: &str) {
    line(out, "SERVER_ERROR ", text.as_bytes());
}

/// Why a request is refused; the caller has looked at `noreply`.
pub fn refusal(out: &mut Vec<u8>, refusal: Refusal) {
    line(out, refusal.text(), b"");
}

/// Why the connection is about to be closed.
pub fn parse_error(out: &mut Vec<u8>, error: ParseError) {
    match error {
        ParseError::LineTooLong => client_error(out, "line too long"),
        ParseError::Binary { opcode, opaque } => binary::write_refusal(out, opcode, opaque),
    }
}

/// Line breaks in `text` become blanks: they would end the line.
fn line(out: &mut Vec<u8>, before: &str, text: &[u8]) {
    out.extend_from_slice(before.as_bytes());
    out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

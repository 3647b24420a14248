//! Replies: writers for the server, a parser and readers of bodies for the client.
//!
//! ```text
//! | magic | status | opaque u16 | body_len u32 | body |
//! ```
//!
//! A body has no structure of its own: what it holds follows from the request's opcode (see PROTOCOL.md), so a
//! client keeps in mind what it asked for.

use alloc::vec::Vec;

use super::{Keys, Meta, ParseError, REPLY_HEADER_LEN, REPLY_MAGIC, ReplyHeader, Status, TTL_NEVER};
use crate::Parsed;
use crate::short::{self, Room};

/// Bytes that a [`Meta`] takes.
pub const META_LEN: usize = 20;
/// Bytes of an answer to HELLO before the server's name.
pub const HELLO_LEN: usize = 12;
/// Bytes of an answer to LEASE before an old value.
pub const LEASE_LEN: usize = 9;
/// Bytes before each value in an answer to MGET: status u8, length u32.
pub const ENTRY_HEADER_LEN: usize = 5;

/// One reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What came of the request.
    pub status: Status,
    /// The request's opaque number.
    pub opaque: u16,
    /// The answer; for a refusal empty or a text for people.
    pub body: &'a [u8],
}

/// The answer to HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The version to speak from here on.
    pub version: u8,
    /// Longest key that the server takes.
    pub key_len_max: u16,
    /// Longest value that the server takes.
    pub value_len_max: u32,
    /// Bits of optional abilities ([`feature`](super::feature)); a client ignores what it does not know.
    pub features: u32,
    /// Name and version of the server, for people.
    pub server: &'a [u8],
}

/// One key's part of an answer to MGET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// [`Status::Ok`], [`Status::Miss`], or [`Status::TryAgain`] where the answer would have become too large.
    pub status: Status,
    /// The item's meta, if it was asked for and the key is present.
    pub meta: Option<Meta>,
    /// The value.
    pub value: &'a [u8],
}

/// An answer to LEASE that is not the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leased<'a> {
    /// With [`Status::Won`] the token: store the value with [`Condition::Version`](super::Condition::Version) of it. With
    /// [`Status::Wait`] the milliseconds until the lease of somebody else ends; all ones where it does not.
    pub number: u64,
    /// The old value's meta, if it was asked for and there is one.
    pub meta: Option<Meta>,
    /// The old value, if there is one: stale, or about to expire.
    pub value: Option<&'a [u8]>,
}

/// A body that is not of the form that its request calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBody;

impl core::fmt::Display for BadBody {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the answer is not of the form that the request calls for")
    }
}

impl core::error::Error for BadBody {}

/// Reads the reply at the start of `input`. `body_len_max` bounds what a server may make its client hold.
#[inline]
pub fn parse(input: &[u8], body_len_max: usize) -> Result<Parsed<Reply<'_>>, ParseError> {
    let Some(head) = input.first_chunk::<REPLY_HEADER_LEN>() else {
        return match input.first() {
            Some(&found) if found != REPLY_MAGIC => Err(ParseError::Magic { found }),
            _ => Ok(Parsed::Incomplete { at_least: REPLY_HEADER_LEN }),
        };
    };
    let ReplyHeader { status, opaque, body_len } = ReplyHeader::decode(head)?;
    if body_len as usize > body_len_max {
        return Err(ParseError::BodyTooLong { len: body_len, max: body_len_max });
    }
    let consumed = REPLY_HEADER_LEN.saturating_add(body_len as usize);
    Ok(match input.get(REPLY_HEADER_LEN..consumed) {
        Some(body) => Parsed::Complete { value: Reply { status, opaque, body }, consumed },
        None => Parsed::Incomplete { at_least: consumed },
    })
}

/// Appends a success whose body is these bytes: a value, an echo, statistics. Values have at most `u32::MAX` bytes.
#[inline]
pub fn value(out: &mut Vec<u8>, opaque: u16, bytes: &[u8]) {
    out.reserve(REPLY_HEADER_LEN + bytes.len());
    out.extend_from_slice(&head(Status::Ok, opaque, bytes.len()));
    out.extend_from_slice(bytes);
}

/// A success whose body is this short value, and its length; none if the value is not short.
#[inline(always)]
#[must_use]
pub fn short_value(room: &mut Room, opaque: u16, value: &[u8]) -> Option<usize> {
    let at = short_status(room, opaque, Status::Ok, value.len());
    short::put(room, at, value)
}

/// The header of a reply whose body is short, and its length.
#[inline(always)]
pub fn short_status(room: &mut Room, opaque: u16, status: Status, body_len: usize) -> usize {
    let head = ReplyHeader { status, opaque, body_len: body_len as u32 }.encode();
    short::put_word(room, 0, u64::from_le_bytes(head), REPLY_HEADER_LEN)
}

/// Appends a value with its meta.
pub fn value_with_meta(out: &mut Vec<u8>, opaque: u16, meta: &Meta, bytes: &[u8]) {
    out.reserve(REPLY_HEADER_LEN + META_LEN + bytes.len());
    out.extend_from_slice(&head(Status::Ok, opaque, META_LEN + bytes.len()));
    out.extend_from_slice(&meta.encode());
    out.extend_from_slice(bytes);
}

/// Appends a reply without a body.
#[inline]
pub fn status(out: &mut Vec<u8>, opaque: u16, status: Status) {
    out.extend_from_slice(&head(status, opaque, 0));
}

/// Appends a refusal with a text for people.
pub fn refusal(out: &mut Vec<u8>, opaque: u16, status: Status, text: &str) {
    out.extend_from_slice(&head(status, opaque, text.len()));
    out.extend_from_slice(text.as_bytes());
}

/// Appends the answer to INCR.
pub fn number(out: &mut Vec<u8>, opaque: u16, number: i64) {
    value(out, opaque, &number.to_le_bytes());
}

/// Appends the answer to APPEND and PREPEND.
pub fn length(out: &mut Vec<u8>, opaque: u16, len: u64) {
    value(out, opaque, &len.to_le_bytes());
}

/// Appends the answer to HELLO.
pub fn hello(out: &mut Vec<u8>, opaque: u16, hello: &Hello<'_>) {
    out.extend_from_slice(&head(Status::Ok, opaque, HELLO_LEN + hello.server.len()));
    out.extend_from_slice(&[hello.version, 0]);
    out.extend_from_slice(&hello.key_len_max.to_le_bytes());
    out.extend_from_slice(&hello.value_len_max.to_le_bytes());
    out.extend_from_slice(&hello.features.to_le_bytes());
    out.extend_from_slice(hello.server);
}

/// Appends an answer to LEASE that is not the value: `number` is the token of a lease that was won, or the milliseconds
/// until that of somebody else ends.
pub fn lease(
    out: &mut Vec<u8>,
    opaque: u16,
    status: Status,
    number: u64,
    value: Option<(Option<&Meta>, &[u8])>,
) {
    let value_len = value.map_or(0, |(meta, value)| meta.map_or(0, |_| META_LEN) + value.len());
    out.extend_from_slice(&head(status, opaque, LEASE_LEN + value_len));
    out.extend_from_slice(&number.to_le_bytes());
    out.push(u8::from(value.is_some()));
    if let Some((meta, value)) = value {
        if let Some(meta) = meta {
            out.extend_from_slice(&meta.encode());
        }
        out.extend_from_slice(value);
    }
}

/// The header alone, for a body that is sent from elsewhere.
#[inline]
#[must_use]
pub const fn head(status: Status, opaque: u16, body_len: usize) -> [u8; REPLY_HEADER_LEN] {
    debug_assert!(body_len <= u32::MAX as usize);
    ReplyHeader { status, opaque, body_len: body_len as u32 }.encode()
}

/// Writes the answer to MGET, MPUT, SCAN or SAMPLE, key by key, into a buffer. [`ListWriter::finish`] puts
/// in the length.
#[derive(Debug)]
#[must_use = "the reply has no length before it is finished"]
pub struct ListWriter {
    start: usize,
}

impl ListWriter {
    /// Begins a reply at the end of `out`.
    pub fn begin(out: &mut Vec<u8>, opaque: u16) -> Self {
        let start = out.len();
        status(out, opaque, Status::Ok);
        Self { start }
    }

    /// A key that is present; `meta` exactly if the request asked for it.
    pub fn hit(&self, out: &mut Vec<u8>, meta: Option<&Meta>, value: &[u8]) {
        let meta_len = if meta.is_some() { META_LEN } else { 0 };
        out.push(Status::Ok as u8);
        out.extend_from_slice(&((meta_len + value.len()) as u32).to_le_bytes());
        if let Some(meta) = meta {
            out.extend_from_slice(&meta.encode());
        }
        out.extend_from_slice(value);
    }

    /// A key without a value, for this reason.
    pub fn without(&self, out: &mut Vec<u8>, status: Status) {
        out.extend_from_slice(&[status as u8, 0, 0, 0, 0]);
    }

    /// What came of a pair of MPUT.
    pub fn status(&self, out: &mut Vec<u8>, status: Status) {
        out.push(status as u8);
    }

    /// Where SCAN goes on; written first, and again at the end.
    pub fn cursor(&self, out: &mut Vec<u8>, cursor: u64) {
        let at = self.start + REPLY_HEADER_LEN;
        match out.get_mut(at..at + 8) {
            Some(place) => place.copy_from_slice(&cursor.to_le_bytes()),
            None => out.extend_from_slice(&cursor.to_le_bytes()),
        }
    }

    /// A key that SCAN found, or one of SAMPLE.
    pub fn key(&self, out: &mut Vec<u8>, key: &[u8]) {
        out.extend_from_slice(&(key.len() as u16).to_le_bytes());
        out.extend_from_slice(key);
    }

    /// Bytes in the body so far: a server bounds them, and answers the remaining keys with [`Status::TryAgain`].
    #[must_use]
    pub const fn body_len(&self, out: &[u8]) -> usize {
        out.len() - self.start - REPLY_HEADER_LEN
    }

    /// Ends the reply.
    pub fn finish(self, out: &mut [u8]) {
        let body_len = out.len() - self.start - REPLY_HEADER_LEN;
        debug_assert!(u32::try_from(body_len).is_ok());
        out[self.start + 4..self.start + 8].copy_from_slice(&(body_len as u32).to_le_bytes());
    }
}

impl Meta {
    /// The meta's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; META_LEN] {
        let mut bytes = [0; META_LEN];
        bytes[..8].copy_from_slice(&self.version.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.flags.to_le_bytes());
        bytes[12..].copy_from_slice(&self.ttl_ms.unwrap_or(TTL_NEVER).to_le_bytes());
        bytes
    }

    /// Splits a body that begins with a meta into it and the value.
    pub fn split(body: &[u8]) -> Result<(Self, &[u8]), BadBody> {
        let (version, rest) = body.split_first_chunk().ok_or(BadBody)?;
        let (flags, rest) = rest.split_first_chunk().ok_or(BadBody)?;
        let (ttl, value) = rest.split_first_chunk().ok_or(BadBody)?;
        let ttl_ms = Some(u64::from_le_bytes(*ttl)).filter(|&ms| ms != TTL_NEVER);
        let meta = Self { version: u64::from_le_bytes(*version), flags: u32::from_le_bytes(*flags), ttl_ms };
        Ok((meta, value))
    }
}

impl<'a> Reply<'a> {
    /// The body of an answer to INCR.
    pub fn number(&self) -> Result<i64, BadBody> {
        self.body.try_into().map(i64::from_le_bytes).map_err(|_| BadBody)
    }

    /// The body of an answer to APPEND and PREPEND.
    pub fn length(&self) -> Result<u64, BadBody> {
        self.body.try_into().map(u64::from_le_bytes).map_err(|_| BadBody)
    }

    /// The body of an answer to HELLO.
    pub fn hello(&self) -> Result<Hello<'a>, BadBody> {
        let (b, server) = self.body.split_first_chunk::<HELLO_LEN>().ok_or(BadBody)?;
        Ok(Hello {
            version: b[0],
            key_len_max: u16::from_le_bytes([b[2], b[3]]),
            value_len_max: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
            features: u32::from_le_bytes([b[8], b[9], b[10], b[11]]),
            server,
        })
    }

    /// The body of an answer to LEASE with status [`Status::Won`] or [`Status::Wait`]; `meta` as the request had it.
    pub fn lease(&self, meta: bool) -> Result<Leased<'a>, BadBody> {
        let (number, rest) = self.body.split_first_chunk().ok_or(BadBody)?;
        let number = u64::from_le_bytes(*number);
        match rest.split_first() {
            Some((0, [])) => Ok(Leased { number, meta: None, value: None }),
            Some((1, value)) if meta => {
                let (meta, value) = Meta::split(value)?;
                Ok(Leased { number, meta: Some(meta), value: Some(value) })
            }
            Some((1, value)) => Ok(Leased { number, meta: None, value: Some(value) }),
            _ => Err(BadBody),
        }
    }

    /// The body of an answer to SCAN: where to go on, 0 at the end, and the keys.
    pub fn scan(&self) -> Result<(u64, Keys<'a>), BadBody> {
        let (cursor, keys) = self.body.split_first_chunk().ok_or(BadBody)?;
        let keys = Keys::from_wire(keys, usize::MAX, usize::MAX).map_err(|_| BadBody)?;
        Ok((u64::from_le_bytes(*cursor), keys))
    }

    /// The body of an answer to SAMPLE: a key for each request that was noted.
    pub fn sample(&self) -> Result<Keys<'a>, BadBody> {
        Keys::from_wire(self.body, usize::MAX, usize::MAX).map_err(|_| BadBody)
    }

    /// The body of an answer to MPUT: what came of each pair.
    pub fn statuses(&self) -> impl Iterator<Item = Result<Status, BadBody>> + use<'a> {
        self.body.iter().map(|&byte| Status::from_byte(byte).ok_or(BadBody))
    }

    /// The body of an answer to MGET; `meta` as the request had it.
    #[must_use]
    pub const fn entries(&self, meta: bool) -> Entries<'a> {
        Entries { rest: self.body, meta }
    }
}

/// The parts of an answer to MGET. After an error it ends.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
    meta: bool,
}

impl<'a> Entries<'a> {
    fn split(&self) -> Result<(Entry<'a>, &'a [u8]), BadBody> {
        let ([status, len @ ..], rest) = self.rest.split_first_chunk::<ENTRY_HEADER_LEN>().ok_or(BadBody)?;
        let status = Status::from_byte(*status).ok_or(BadBody)?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(BadBody)?;
        if !self.meta || status != Status::Ok {
            return Ok((Entry { status, meta: None, value }, rest));
        }
        let (meta, value) = Meta::split(value)?;
        Ok((Entry { status, meta: Some(meta), value }, rest))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, BadBody>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = self.split();
        self.rest = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(entry, _)| entry))
    }
}

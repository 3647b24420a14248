//! Requests into bytes: all of it ([`Request::encode`]), or only what stands before the key ([`Request::head`]), for
//! a client that sends key and value from where they lie.
//!
//! GET and PUT without anything else, which are most of what is sent, have a shorter way.

use alloc::vec::Vec;
use core::fmt;

use super::header::condition;
use super::{
    Command, Condition, End, Opcode, Put, Request, RequestHeader, TTL_NEVER, TouchCondition, Ttl, flag,
};

/// Header and optional fields of a request: 12 to 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; 32],
    len: u8,
}

/// Why a request cannot be put into bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// A key has more than 65,535 bytes.
    KeyTooLong {
        /// Bytes in the key.
        len: usize,
    },
    /// The value part has more than `u32::MAX` bytes.
    ValueTooLong {
        /// Bytes in the value part.
        len: usize,
    },
    /// [`Command::Refused`] is made by the parser only.
    NotARequest,
}

impl Head {
    /// The bytes to send before key and value.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    fn new(header: &RequestHeader) -> Self {
        let mut head = Self { bytes: [0; 32], len: 0 };
        head.push(&header.encode());
        head
    }

    fn push(&mut self, bytes: &[u8]) {
        let at = self.len as usize;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }
}

impl<'a> Request<'a> {
    /// Appends the request.
    ///
    /// # Errors
    /// Then `out` is unchanged.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !self.quiet && self.command.encode_plain(self.opaque, out)? {
            return Ok(());
        }
        self.encode_any(out)
    }

    fn encode_any(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let head = self.head()?;
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(self.key());
        match self.command {
            Command::Hello { version_min, version_max, client } => {
                out.extend_from_slice(&[version_min, version_max]);
                out.extend_from_slice(client);
            }
            Command::Increment { delta, initial, .. } => {
                out.extend_from_slice(&delta.to_le_bytes());
                if let Some(initial) = initial {
                    out.extend_from_slice(&initial.to_le_bytes());
                }
            }
            Command::MultiGet { keys, .. } => keys.write(out),
            Command::MultiPut { pairs, .. } => pairs.write(out),
            Command::Lease { lease_ms, early_ms, .. } => {
                out.extend_from_slice(&lease_ms.to_le_bytes());
                if early_ms != 0 {
                    out.extend_from_slice(&early_ms.to_le_bytes());
                }
            }
            Command::Scan { cursor, count, .. } => {
                out.extend_from_slice(&cursor.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            }
            _ => out.extend_from_slice(self.value()),
        }
        Ok(())
    }

    /// Appends the request up to where its [`value`](Request::value) begins, so that the value need not be copied.
    ///
    /// # Errors
    /// Then `out` is unchanged.
    pub fn encode_before_value(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.value().is_empty() {
            return self.encode(out);
        }
        let head = self.head()?;
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(self.key());
        Ok(())
    }

    /// The key, which follows the head on the wire. Empty where the operation has none.
    #[must_use]
    pub const fn key(&self) -> &'a [u8] {
        match self.command {
            Command::Get { key, .. }
            | Command::Delete { key, .. }
            | Command::Touch { key, .. }
            | Command::Increment { key, .. }
            | Command::Concat { key, .. }
            | Command::Lease { key, .. }
            | Command::Stale { key, .. } => key,
            Command::Scan { prefix, .. } => prefix,
            Command::Put(put) => put.key,
            _ => &[],
        }
    }

    /// The bytes that follow the key on the wire, where they lie in memory as they are sent: the value of a PUT, the
    /// bytes of APPEND, PREPEND and PING. Empty for the rest.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.command.value()
    }

    /// Header and optional fields. Key and value part follow on the wire.
    pub fn head(&self) -> Result<Head, EncodeError> {
        let key = self.key();
        let key_len = u16::try_from(key.len()).map_err(|_| EncodeError::KeyTooLong { len: key.len() })?;
        let mut header = RequestHeader {
            opcode: 0,
            flags: if self.quiet { flag::QUIET } else { 0 },
            condition: condition::ALWAYS,
            key_len,
            opaque: self.opaque,
            value_len: 0,
        };
        let mut value_len = self.value().len();
        let (mut ttl, mut version, mut client_flags) = (None, None, None);
        let opcode = match self.command {
            Command::Hello { client, .. } => {
                value_len = 2 + client.len();
                Opcode::Hello
            }
            Command::Ping { .. } => Opcode::Ping,
            Command::Stats => Opcode::Stats,
            Command::Flush => Opcode::Flush,
            Command::Sample => Opcode::Sample,
            Command::Get { meta, .. } => {
                header.flags |= if meta { flag::WANT_META } else { 0 };
                Opcode::Get
            }
            Command::Put(put) => {
                ttl = ttl_field(put.ttl, Ttl::Never, &mut header.flags);
                client_flags = (put.flags != 0).then_some(put.flags);
                header.condition = match put.condition {
                    Condition::Always => condition::ALWAYS,
                    Condition::Absent => condition::ABSENT,
                    Condition::Present => condition::PRESENT,
                    Condition::Version(wanted) => {
                        version = Some(wanted);
                        condition::VERSION
                    }
                };
                Opcode::Put
            }
            Command::Delete { version: wanted, .. } => {
                if wanted.is_some() {
                    header.condition = condition::VERSION;
                }
                version = wanted;
                Opcode::Delete
            }
            Command::Touch { ttl: new, condition, .. } => {
                ttl = ttl_field(new, Ttl::Never, &mut header.flags);
                header.condition = match condition {
                    TouchCondition::Always => condition::ALWAYS,
                    TouchCondition::Permanent => condition::PERMANENT,
                    TouchCondition::Expiring => condition::EXPIRING,
                    TouchCondition::Later => condition::LATER,
                    TouchCondition::Earlier => condition::EARLIER,
                };
                Opcode::Touch
            }
            Command::Increment { initial, ttl: new, .. } => {
                ttl = ttl_field(new, Ttl::Keep, &mut header.flags);
                value_len = if initial.is_some() { 16 } else { 8 };
                Opcode::Increment
            }
            Command::Concat { end, create, .. } => {
                header.condition = if create { condition::ALWAYS } else { condition::PRESENT };
                if matches!(end, End::Back) { Opcode::Append } else { Opcode::Prepend }
            }
            Command::MultiGet { keys, meta } => {
                if let Some(key) = keys.iter().find(|key| key.len() > u16::MAX as usize) {
                    return Err(EncodeError::KeyTooLong { len: key.len() });
                }
                header.flags |= if meta { flag::WANT_META } else { 0 };
                value_len = keys.wire_len();
                Opcode::MultiGet
            }
            Command::MultiPut { pairs, ttl: new } => {
                for (key, value) in pairs {
                    if key.len() > u16::MAX as usize {
                        return Err(EncodeError::KeyTooLong { len: key.len() });
                    }
                    if u32::try_from(value.len()).is_err() {
                        return Err(EncodeError::ValueTooLong { len: value.len() });
                    }
                }
                ttl = ttl_field(new, Ttl::Never, &mut header.flags);
                value_len = pairs.wire_len();
                Opcode::MultiPut
            }
            Command::Lease { early_ms, meta, .. } => {
                header.flags |= if meta { flag::WANT_META } else { 0 };
                value_len = if early_ms == 0 { 8 } else { 16 };
                Opcode::Lease
            }
            Command::Stale { ttl: new, version: wanted, .. } => {
                ttl = ttl_field(new, Ttl::Keep, &mut header.flags);
                if wanted.is_some() {
                    header.condition = condition::VERSION;
                }
                version = wanted;
                Opcode::Stale
            }
            Command::Scan { .. } => {
                value_len = 12;
                Opcode::Scan
            }
            Command::Refused { .. } => return Err(EncodeError::NotARequest),
        };
        header.opcode = opcode as u8;
        header.value_len =
            u32::try_from(value_len).map_err(|_| EncodeError::ValueTooLong { len: value_len })?;
        header.flags |= if ttl.is_some() { flag::TTL } else { 0 }
            | if version.is_some() { flag::VERSION } else { 0 }
            | if client_flags.is_some() { flag::CLIENT_FLAGS } else { 0 };
        let mut head = Head::new(&header);
        for number in [ttl, version].into_iter().flatten() {
            head.push(&number.to_le_bytes());
        }
        if let Some(flags) = client_flags {
            head.push(&flags.to_le_bytes());
        }
        Ok(head)
    }
}

impl<'a> Command<'a> {
    /// As [`Request::value`].
    #[inline]
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        match *self {
            Self::Put(put) => put.value,
            Self::Concat { bytes, .. } => bytes,
            Self::Ping { payload } => payload,
            _ => &[],
        }
    }

    /// Appends the request, if it is a GET or PUT with nothing but key and value; false if it is not.
    ///
    /// # Errors
    /// Then `out` is unchanged.
    #[inline]
    pub fn encode_plain(&self, opaque: u16, out: &mut Vec<u8>) -> Result<bool, EncodeError> {
        match *self {
            Self::Get { key, meta: false } => encode(out, Opcode::Get, opaque, key, &[])?,
            Self::Put(Put { key, value, flags: 0, ttl: Ttl::Never, condition: Condition::Always }) => {
                encode(out, Opcode::Put, opaque, key, value)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Appends a request that is its header, key and value.
#[inline]
fn encode(
    out: &mut Vec<u8>,
    opcode: Opcode,
    opaque: u16,
    key: &[u8],
    value: &[u8],
) -> Result<(), EncodeError> {
    let Ok(key_len) = u16::try_from(key.len()) else {
        return Err(EncodeError::KeyTooLong { len: key.len() });
    };
    let Ok(value_len) = u32::try_from(value.len()) else {
        return Err(EncodeError::ValueTooLong { len: value.len() });
    };
    let opcode = opcode as u8;
    let header = RequestHeader { opcode, flags: 0, condition: condition::ALWAYS, key_len, opaque, value_len };
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
    Ok(())
}

/// The ttl field, if the operation's default does not say the same.
fn ttl_field(ttl: Ttl, default: Ttl, flags: &mut u8) -> Option<u64> {
    match ttl {
        _ if ttl == default => None,
        Ttl::Never => Some(TTL_NEVER),
        Ttl::After(ms) => Some(ms),
        Ttl::Keep => {
            *flags |= flag::KEEP_TTL;
            None
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyTooLong { len } => write!(f, "a key of {len} bytes, where at most 65535 can be sent"),
            Self::ValueTooLong { len } => {
                write!(f, "a value of {len} bytes, where at most 4294967295 can be sent")
            }
            Self::NotARequest => f.write_str("a refused request cannot be sent"),
        }
    }
}

impl core::error::Error for EncodeError {}

//! The native binary protocol, version 1. PROTOCOL.md in the root of the repository is its specification; the
//! examples in there are tests in `document.rs`.
//!
//! ```text
//! request   | header 12 | ttl 8 ? | version 8 ? | client flags 4 ? | key | value |
//! reply     | header 8  | body |
//! ```
//!
//! All numbers are little-endian. The first 12 bytes of a request tell how long it is, so nothing is ever scanned,
//! and a request that is too large is refused before its bytes have arrived.
//!
//! Invariants: `consumed <= input.len()`; an answer of `Incomplete` asks for more than there is; what parses from
//! the whole input parses the same from every longer input. Checked by the property tests in `tests.rs`.

#[cfg(test)]
mod document;
mod encode;
mod header;
mod list;
pub mod reply;
pub mod request;
#[cfg(test)]
mod tests;
mod usual;

use core::fmt;

pub use encode::{EncodeError, Head};
pub use header::{REPLY_HEADER_LEN, REQUEST_HEADER_LEN, ReplyHeader, RequestHeader, flag};
pub use list::{Entries, Entry, Keys, List, Pair, Pairs};
pub use reply::Reply;
pub use request::{Command, Put, Request};
pub use usual::{usual, usual_get, usual_put};

/// The protocol version that this module speaks.
pub const VERSION: u8 = 1;
/// First byte of a request of version 1. The high bit tells the native protocol from the text protocols.
pub const REQUEST_MAGIC: u8 = 0xC1;
/// First byte of a reply of version 1.
pub const REPLY_MAGIC: u8 = 0xC2;
/// What this module speaks of version 1 beyond its first form, as [`reply::Hello::features`] tells it.
pub const FEATURES: u32 = feature::LEASE | feature::MULTI_PUT | feature::SCAN | feature::SAMPLE;

/// Abilities of a server, as bits.
pub mod feature {
    /// LEASE and STALE.
    pub const LEASE: u32 = 1;
    /// MPUT.
    pub const MULTI_PUT: u32 = 2;
    /// SCAN.
    pub const SCAN: u32 = 4;
    /// SAMPLE.
    pub const SAMPLE: u32 = 8;
}

/// The number on the wire that stands for "never expires".
pub const TTL_NEVER: u64 = u64::MAX;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Opcode {
    /// Agree on a version, learn the limits.
    Hello = 0x01,
    /// Answer with the same bytes.
    Ping = 0x02,
    /// Statistics as lines of text.
    Stats = 0x03,
    /// Remove everything.
    Flush = 0x04,
    /// Keys that requests are about.
    Sample = 0x05,
    /// Read a value.
    Get = 0x10,
    /// Store a value.
    Put = 0x11,
    /// Remove a key.
    Delete = 0x12,
    /// Change when a key expires.
    Touch = 0x13,
    /// Add to a counter.
    Increment = 0x14,
    /// Add bytes at the end of a value.
    Append = 0x15,
    /// Add bytes before a value.
    Prepend = 0x16,
    /// Read several values.
    MultiGet = 0x17,
    /// Walk over keys.
    Scan = 0x20,
    /// Store several values.
    MultiPut = 0x22,
    /// Read a value, or win the right to store it.
    Lease = 0x23,
    /// Mark a value as stale.
    Stale = 0x24,
}

/// What came of a request. From 0x80 on the server closes the connection after this reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Status {
    /// Done; the body is the answer.
    Ok = 0x00,
    /// The key is absent; nothing was changed.
    Miss = 0x01,
    /// The key is present, but the condition did not hold; nothing was changed.
    NotStored = 0x02,
    /// The lease is the caller's: it is to store the value.
    Won = 0x03,
    /// Somebody else is to store the value.
    Wait = 0x04,
    /// The value, the item or the list is larger than this server takes.
    TooLarge = 0x10,
    /// The key is longer than this server takes.
    KeyTooLong = 0x11,
    /// No room or no capacity at this moment. Nothing was changed; try again.
    TryAgain = 0x12,
    /// The value is not a decimal number.
    NotANumber = 0x13,
    /// The counter would leave the range of a signed 64-bit number.
    Overflow = 0x14,
    /// This server does not know the opcode.
    UnknownOperation = 0x20,
    /// The connection has to authenticate first (reserved with `AUTH`).
    AuthRequired = 0x21,
    /// The request breaks the protocol. The connection closes.
    BadRequest = 0x80,
    /// The server does not speak this version. The connection closes.
    UnsupportedVersion = 0x81,
    /// The server has as many connections as it takes. The connection closes.
    Busy = 0x82,
    /// The server is about to stop. The connection closes.
    ShuttingDown = 0x83,
}

/// Whether a [`Put`] happens, by what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Condition {
    /// In any case.
    #[default]
    Always,
    /// Only if the key is absent.
    Absent,
    /// Only if the key is present.
    Present,
    /// Only if the key is present and its version is this one.
    Version(u64),
}

/// Whether [`Command::Touch`] happens, by the expiry it finds. Never counts as infinitely late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TouchCondition {
    /// In any case.
    #[default]
    Always,
    /// Only if the item never expires.
    Permanent,
    /// Only if the item expires at some time.
    Expiring,
    /// Only if the new moment is later than the old one.
    Later,
    /// Only if the new moment is earlier than the old one.
    Earlier,
}

/// When an item expires, seen from the moment at which the server carries out the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// It does not expire.
    #[default]
    Never,
    /// After this many milliseconds; at once if 0. `u64::MAX` is the same as [`Ttl::Never`].
    After(u64),
    /// When it would have expired anyway; a new item never.
    Keep,
}

/// An end of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Before the first byte.
    Front,
    /// After the last byte.
    Back,
}

/// What an item has besides its value; on the wire 20 bytes: version u64, flags u32, ttl u64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// Changes with every write to the key; to be given back in [`Condition::Version`].
    pub version: u64,
    /// The number that was stored with the value; 0 if none was.
    pub flags: u32,
    /// Milliseconds left to live; none if it does not expire.
    pub ttl_ms: Option<u64>,
}

/// Why no request, or no reply, can be read from here on. After it the connection is of no use any more: the server
/// answers with [`ParseError::status`] and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseError {
    /// The first byte is not the magic of version 1.
    Magic {
        /// The byte that is there.
        found: u8,
    },
    /// The header can be read, but breaks a rule.
    Malformed {
        /// The request's opaque number.
        opaque: u16,
        /// The rule.
        fault: Fault,
    },
    /// A reply has a status that this version does not have.
    UnknownStatus {
        /// The byte that is there.
        found: u8,
    },
    /// A reply is longer than its reader accepts.
    BodyTooLong {
        /// Bytes that the header declares.
        len: u32,
        /// Bytes that the reader accepts.
        max: usize,
    },
}

/// The rule that a request breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A reserved flag bit is set: the length of the request is unknown.
    ReservedFlag,
    /// A flag that this operation does not have.
    Flag,
    /// A condition that this operation does not have.
    Condition,
    /// The VERSION flag and the condition "version" do not come together.
    VersionField,
    /// Both a new ttl and the flag to keep the old one.
    TwoTtls,
    /// A key where the operation has none.
    Key,
    /// A value of a length that the operation does not have.
    ValueLen,
    /// The list of keys, or of pairs, does not end where the value ends.
    KeyList,
}

impl Opcode {
    /// The operation with this number; none if it is unknown or reserved.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Hello,
            0x02 => Self::Ping,
            0x03 => Self::Stats,
            0x04 => Self::Flush,
            0x05 => Self::Sample,
            0x10 => Self::Get,
            0x11 => Self::Put,
            0x12 => Self::Delete,
            0x13 => Self::Touch,
            0x14 => Self::Increment,
            0x15 => Self::Append,
            0x16 => Self::Prepend,
            0x17 => Self::MultiGet,
            0x20 => Self::Scan,
            0x22 => Self::MultiPut,
            0x23 => Self::Lease,
            0x24 => Self::Stale,
            _ => return None,
        })
    }
}

impl Status {
    /// The status with this number, if there is one.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x00 => Self::Ok,
            0x01 => Self::Miss,
            0x02 => Self::NotStored,
            0x03 => Self::Won,
            0x04 => Self::Wait,
            0x10 => Self::TooLarge,
            0x11 => Self::KeyTooLong,
            0x12 => Self::TryAgain,
            0x13 => Self::NotANumber,
            0x14 => Self::Overflow,
            0x20 => Self::UnknownOperation,
            0x21 => Self::AuthRequired,
            0x80 => Self::BadRequest,
            0x81 => Self::UnsupportedVersion,
            0x82 => Self::Busy,
            0x83 => Self::ShuttingDown,
            _ => return None,
        })
    }

    /// Whether the server closes the connection after a reply with this status.
    #[must_use]
    pub const fn closes(self) -> bool {
        self as u8 >= 0x80
    }

    /// Whether the request failed. [`Status::Miss`], [`Status::NotStored`], [`Status::Won`] and [`Status::Wait`] are answers.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        self as u8 >= 0x10
    }
}

impl ParseError {
    /// The status to answer with before the connection is closed.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self {
            Self::Magic { .. } => Status::UnsupportedVersion,
            _ => Status::BadRequest,
        }
    }

    /// The opaque number to answer with: the request's, or 0 where it cannot be known.
    #[must_use]
    pub const fn opaque(&self) -> u16 {
        match self {
            Self::Malformed { opaque, .. } => *opaque,
            _ => 0,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReservedFlag => "a reserved flag is set",
            Self::Flag => "the operation does not have this flag",
            Self::Condition => "the operation does not have this condition",
            Self::VersionField => "the version field and the condition on it do not come together",
            Self::TwoTtls => "a new ttl and the old one at the same time",
            Self::Key => "the operation has no key",
            Self::ValueLen => "the operation has no value of this length",
            Self::KeyList => "the list does not end with the value",
        })
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => write!(f, "0x{found:02X} does not begin a message of version {VERSION}"),
            Self::Malformed { fault, .. } => fault.fmt(f),
            Self::UnknownStatus { found } => write!(f, "0x{found:02X} is not a status"),
            Self::BodyTooLong { len, max } => {
                write!(f, "a reply of {len} bytes, where at most {max} are accepted")
            }
        }
    }
}

impl core::error::Error for ParseError {}

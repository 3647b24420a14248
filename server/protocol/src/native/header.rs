//! The two fixed headers, and what may stand in them.
//!
//! ```text
//! request   0 magic | 1 opcode | 2 flags | 3 condition | 4 key_len u16 | 6 opaque u16 | 8 value_len u32
//! reply     0 magic | 1 status | 2 opaque u16          | 4 body_len u32
//! ```
//!
//! Every check that needs the header alone is here, in [`RequestHeader::check`].

use super::{Fault, Opcode, ParseError, REPLY_MAGIC, REQUEST_MAGIC, Status};

/// Bytes in the header of a request.
pub const REQUEST_HEADER_LEN: usize = 12;
/// Bytes in the header of a reply.
pub const REPLY_HEADER_LEN: usize = 8;

/// The bits of a request's flags.
pub mod flag {
    /// Do not answer what was expected: a miss of GET, the success of a write.
    pub const QUIET: u8 = 0x01;
    /// A ttl (u64, milliseconds) follows.
    pub const TTL: u8 = 0x02;
    /// A version (u64) follows.
    pub const VERSION: u8 = 0x04;
    /// Client flags (u32) follow.
    pub const CLIENT_FLAGS: u8 = 0x08;
    /// Answer with version, client flags and ttl before the value.
    pub const WANT_META: u8 = 0x10;
    /// The item keeps the expiry that it has.
    pub const KEEP_TTL: u8 = 0x20;
    /// Not given out yet; they may come to mean more fields, so a set one makes a request unreadable.
    pub const RESERVED: u8 = 0xC0;
}

/// The numbers in a request's condition byte.
pub(super) mod condition {
    pub(in super::super) const ALWAYS: u8 = 0;
    pub(in super::super) const ABSENT: u8 = 1;
    pub(in super::super) const PRESENT: u8 = 2;
    pub(in super::super) const VERSION: u8 = 3;
    pub(in super::super) const PERMANENT: u8 = 4;
    pub(in super::super) const EXPIRING: u8 = 5;
    pub(in super::super) const LATER: u8 = 6;
    pub(in super::super) const EARLIER: u8 = 7;
}

/// The first 12 bytes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// Number of the operation; it need not be a known one.
    pub opcode: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// Number of the condition.
    pub condition: u8,
    /// Bytes in the key.
    pub key_len: u16,
    /// A number of the client's choice that comes back in the reply.
    pub opaque: u16,
    /// Bytes in the value.
    pub value_len: u32,
}

/// The first 8 bytes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// What came of the request.
    pub status: Status,
    /// The request's opaque number.
    pub opaque: u16,
    /// Bytes that follow.
    pub body_len: u32,
}

impl RequestHeader {
    /// Reads the header. Fails where the length of the request cannot be known: at a strange magic or a reserved flag.
    #[inline]
    pub const fn decode(b: &[u8; REQUEST_HEADER_LEN]) -> Result<Self, ParseError> {
        if b[0] != REQUEST_MAGIC {
            return Err(ParseError::Magic { found: b[0] });
        }
        let opaque = u16::from_le_bytes([b[6], b[7]]);
        if b[2] & flag::RESERVED != 0 {
            return Err(ParseError::Malformed { opaque, fault: Fault::ReservedFlag });
        }
        Ok(Self {
            opcode: b[1],
            flags: b[2],
            condition: b[3],
            key_len: u16::from_le_bytes([b[4], b[5]]),
            opaque,
            value_len: u32::from_le_bytes([b[8], b[9], b[10], b[11]]),
        })
    }

    /// The header's bytes.
    #[inline]
    #[must_use]
    pub const fn encode(&self) -> [u8; REQUEST_HEADER_LEN] {
        let [k0, k1] = self.key_len.to_le_bytes();
        let [o0, o1] = self.opaque.to_le_bytes();
        let [v0, v1, v2, v3] = self.value_len.to_le_bytes();
        [REQUEST_MAGIC, self.opcode, self.flags, self.condition, k0, k1, o0, o1, v0, v1, v2, v3]
    }

    /// Bytes between the header and the key.
    #[inline]
    #[must_use]
    pub const fn fields_len(&self) -> usize {
        let ttl = (self.flags & flag::TTL != 0) as usize;
        let version = (self.flags & flag::VERSION != 0) as usize;
        let client_flags = (self.flags & flag::CLIENT_FLAGS != 0) as usize;
        8 * ttl + 8 * version + 4 * client_flags
    }

    /// Bytes of the request after its header.
    #[inline]
    #[must_use]
    pub const fn rest_len(&self) -> u64 {
        self.fields_len() as u64 + self.key_len as u64 + self.value_len as u64
    }

    /// Whether everything in the header is allowed for `opcode`.
    #[inline]
    pub(super) const fn check(&self, opcode: Opcode) -> Result<(), ParseError> {
        match self.fault(opcode) {
            None => Ok(()),
            Some(fault) => Err(ParseError::Malformed { opaque: self.opaque, fault }),
        }
    }

    const fn fault(&self, opcode: Opcode) -> Option<Fault> {
        use flag::{CLIENT_FLAGS, KEEP_TTL, QUIET, TTL, VERSION, WANT_META};
        let both_ttls = TTL | KEEP_TTL;
        let (flags, conditions, has_key): (u8, u8, bool) = match opcode {
            Opcode::Hello | Opcode::Ping | Opcode::Stats | Opcode::Flush | Opcode::Sample => (0, 0x01, false),
            Opcode::MultiGet => (WANT_META, 0x01, false),
            Opcode::MultiPut => (both_ttls, 0x01, false),
            Opcode::Scan => (0, 0x01, true),
            Opcode::Lease => (WANT_META, 0x01, true),
            Opcode::Stale => (QUIET | both_ttls | VERSION, 0x09, true),
            Opcode::Get => (QUIET | WANT_META, 0x01, true),
            Opcode::Put => (QUIET | both_ttls | VERSION | CLIENT_FLAGS, 0x0F, true),
            Opcode::Delete => (QUIET | VERSION, 0x09, true),
            Opcode::Touch => (QUIET | both_ttls, 0xF1, true),
            Opcode::Increment => (QUIET | both_ttls, 0x01, true),
            Opcode::Append | Opcode::Prepend => (QUIET, 0x05, true),
        };
        if self.flags & !flags != 0 {
            return Some(Fault::Flag);
        }
        if self.flags & both_ttls == both_ttls {
            return Some(Fault::TwoTtls);
        }
        if self.condition > 7 || (conditions >> self.condition) & 1 == 0 {
            return Some(Fault::Condition);
        }
        if (self.condition == condition::VERSION) != (self.flags & VERSION != 0) {
            return Some(Fault::VersionField);
        }
        if !has_key && self.key_len != 0 {
            return Some(Fault::Key);
        }
        let value_fits = match opcode {
            Opcode::Get
            | Opcode::Delete
            | Opcode::Touch
            | Opcode::Stats
            | Opcode::Flush
            | Opcode::Sample
            | Opcode::Stale => self.value_len == 0,
            Opcode::Increment | Opcode::Lease => matches!(self.value_len, 8 | 16),
            Opcode::Scan => self.value_len == 12,
            Opcode::Hello => self.value_len >= 2,
            Opcode::Put
            | Opcode::Ping
            | Opcode::Append
            | Opcode::Prepend
            | Opcode::MultiGet
            | Opcode::MultiPut => true,
        };
        if value_fits { None } else { Some(Fault::ValueLen) }
    }
}

impl ReplyHeader {
    /// Reads the header.
    #[inline]
    pub const fn decode(b: &[u8; REPLY_HEADER_LEN]) -> Result<Self, ParseError> {
        if b[0] != REPLY_MAGIC {
            return Err(ParseError::Magic { found: b[0] });
        }
        let Some(status) = Status::from_byte(b[1]) else {
            return Err(ParseError::UnknownStatus { found: b[1] });
        };
        Ok(Self {
            status,
            opaque: u16::from_le_bytes([b[2], b[3]]),
            body_len: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        })
    }

    /// The header's bytes: what a server sends before a body that lies elsewhere.
    #[inline]
    #[must_use]
    pub const fn encode(&self) -> [u8; REPLY_HEADER_LEN] {
        let [o0, o1] = self.opaque.to_le_bytes();
        let [b0, b1, b2, b3] = self.body_len.to_le_bytes();
        [REPLY_MAGIC, self.status as u8, o0, o1, b0, b1, b2, b3]
    }
}

//! Why a request is not carried out: it is refused and the stream goes on, or it cannot be read and the stream ends.

use core::fmt;

/// A request that is understood far enough to answer and go on. Its text is memcached's line, without CRLF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No such command, or not with that many words.
    UnknownCommand,
    /// A bad key, or a bad number among flags, exptime, bytes and cas.
    BadFormat,
    /// `delete` with a second word that is neither `0` nor `noreply`.
    DeleteUsage,
    /// The amount of `incr` or `decr` is no unsigned 64-bit number.
    InvalidDelta,
    /// The exptime of `touch`, `gat`, `gats` or `flush_all` is no number.
    InvalidExptime,
    /// The value is not followed by CRLF where its length says.
    BadDataChunk,
    /// The value is longer than allowed.
    TooLarge,
    /// A meta command has a flag of a letter that it does not know,
    InvalidFlag,
    /// or one twice,
    DuplicateFlag,
    /// or either, where the command does not say which.
    InvalidOrDuplicateFlag,
    /// `mg` has more flags than allowed,
    FlagsAreTooLong,
    /// or another meta command has.
    FlagsTooLong,
    /// What stands behind a flag is no number.
    BadToken,
    /// The delta of `ma` is no unsigned 64-bit number.
    BadDelta,
    /// What `ma` is to create is no unsigned 64-bit number.
    BadInitial,
    /// A mode has one letter.
    BadModeLength,
    /// `ms` has no such mode.
    InvalidSetMode,
    /// `ma` has no such mode.
    InvalidArithmeticMode,
    /// The opaque token is longer than allowed.
    OpaqueTooLong,
    /// The key is not in base64.
    BadBase64,
}

impl Refusal {
    /// The line to answer, without CRLF.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::UnknownCommand => "ERROR",
            Self::BadFormat => "CLIENT_ERROR bad command line format",
            Self::DeleteUsage => "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]",
            Self::InvalidDelta => "CLIENT_ERROR invalid numeric delta argument",
            Self::InvalidExptime => "CLIENT_ERROR invalid exptime argument",
            Self::BadDataChunk => "CLIENT_ERROR bad data chunk",
            Self::TooLarge => "SERVER_ERROR object too large for cache",
            Self::InvalidFlag => "CLIENT_ERROR invalid flag",
            Self::DuplicateFlag => "CLIENT_ERROR duplicate flag",
            Self::InvalidOrDuplicateFlag => "CLIENT_ERROR invalid or duplicate flag",
            Self::FlagsAreTooLong => "CLIENT_ERROR options flags are too long",
            Self::FlagsTooLong => "CLIENT_ERROR options flags too long",
            Self::BadToken => "CLIENT_ERROR bad token in command line format",
            Self::BadDelta => "CLIENT_ERROR invalid numeric delta value",
            Self::BadInitial => "CLIENT_ERROR invalid numeric initial value",
            Self::BadModeLength => "CLIENT_ERROR incorrect length for M token",
            Self::InvalidSetMode => "CLIENT_ERROR invalid mode for ms M token",
            Self::InvalidArithmeticMode => "CLIENT_ERROR invalid mode for ma M token",
            Self::OpaqueTooLong => "CLIENT_ERROR opaque token too long",
            Self::BadBase64 => "CLIENT_ERROR error decoding key",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl core::error::Error for Refusal {}

/// A stream in which the next request cannot be found. Answer with [`write::parse_error`](super::write::parse_error), then close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// The line is longer than allowed. memcached closes without a word; we say why.
    LineTooLong,
    /// The client speaks the binary protocol.
    Binary {
        /// What it asks for.
        opcode: u8,
        /// Its number, to be repeated.
        opaque: [u8; 4],
    },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong => f.write_str("CLIENT_ERROR line too long"),
            Self::Binary { .. } => f.write_str("the binary protocol is not spoken"),
        }
    }
}

impl core::error::Error for ParseError {}

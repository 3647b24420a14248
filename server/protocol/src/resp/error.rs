//! Why a request cannot be read. After any of these the position in the stream is lost: answer, then close.

use core::fmt;

/// A malformed RESP request. Its text is Redis 7's, `Protocol error: ` included; the server puts `-ERR ` before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// The number after `*` is not a number, or more arguments are announced than allowed.
    InvalidMultibulkLength,
    /// The number after `$` is not a number, is negative, or more bytes are announced than allowed.
    InvalidBulkLength,
    /// An argument does not start with `$`.
    ExpectedBulk {
        /// What it starts with.
        got: u8,
    },
    /// The line that starts with `*` does not end.
    TooBigMultibulkCount,
    /// The line that starts with `$` does not end.
    TooBigBulkCount,
    /// An inline command is longer than allowed.
    TooBigInline,
    /// A quote of an inline command is not closed, or text follows the closing quote.
    UnbalancedQuotes,
    /// A bulk string is not followed by CRLF. Redis does not look; we would rather stop than lose step unnoticed.
    UnterminatedBulk,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match *self {
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::ExpectedBulk { got } => {
                let got = if matches!(got, b'\r' | b'\n') { ' ' } else { got as char };
                return write!(f, "expected '$', got '{got}'");
            }
            Self::TooBigMultibulkCount => "too big mbulk count string",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::TooBigInline => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::UnterminatedBulk => "expected CRLF after bulk string",
        })
    }
}

impl core::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn expected_bulk_never_breaks_the_reply_line() {
        assert_eq!(
            ParseError::ExpectedBulk { got: b'\n' }.to_string(),
            "Protocol error: expected '$', got ' '"
        );
    }
}

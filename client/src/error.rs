//! What can go wrong, by what a caller can do about it.
//!
//! | error | the connection | was it carried out? |
//! |---|---|---|
//! | [`CommandError`] with a status below 0x80 | stays in the pool | no |
//! | [`CommandError`] with a status from 0x80 on | is closed | no |
//! | [`CommandError::NotSent`] | is closed | no |
//! | [`CommandError::Unanswered`], and [`Error::Closed`], `Timeout`, `Io`, `Protocol` | is closed | perhaps |
//! | [`Error::PoolExhausted`], `Down`, `Lookup`, `Connect`, `TooManyFiles`, `Handshake`, `Refused`, `NotNative` | there was none | no |
//! | [`Error::Leased`] | stays in the pool | no |
//! | [`Error::Address`], `Cluster` | nothing was tried | no |
//! | [`Error::Node`] | as the error in it says | as the error in it says |
//! | `Error::Json` | stays in the pool | reading was, storing was not |

use std::io;
use std::time::Duration;

use crabcache_protocol::native::{EncodeError, ParseError, Status};

/// Why a call failed. A pipeline fails as a whole only if none of its commands was carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be understood.
    #[error("not an address: {0:?}; expected host:port or unix:///path")]
    Address(String),
    /// These nodes make no [`Cluster`](crate::Cluster); why.
    #[error("{0}")]
    Cluster(String),
    /// What one node of a [`Cluster`](crate::Cluster) is to blame for. What is about the command alone, such as
    /// [`CommandError::TooLarge`], comes as it is.
    #[error("{name}: {error}")]
    Node {
        /// The address of the node.
        name: String,
        /// What its client says.
        error: Box<Error>,
    },
    /// The host's name has no address; what the system says.
    #[error("cannot look up the host: {0}")]
    Lookup(String),
    /// No connection could be made.
    #[error("cannot connect: {}", unconnected(*.0))]
    Connect(io::ErrorKind),
    /// No connection could be made, since this process, or the system, has its most files open.
    #[error("cannot connect: too many files are open (ulimit -n)")]
    TooManyFiles,
    /// The server took the connection, but HELLO had no answer, or none that makes sense.
    #[error("the server took the connection, but: {0}")]
    Handshake(Broken),
    /// The server took the connection, but does not want to talk.
    #[error("the server refused the connection: {}", refusal(*.0))]
    Refused(Status),
    /// The server took the connection, but speaks another protocol; the first byte that it said.
    #[error("the server does not speak the native protocol, but {}", speech(*.0))]
    NotNative(u8),
    /// All connections are in use, and none came back in time.
    #[error("no connection became free within {waited:?}")]
    PoolExhausted {
        /// The checkout timeout.
        waited: Duration,
    },
    /// Connecting failed a moment ago, or several calls were not answered; nothing is tried before `retry_in` has passed.
    #[error("the server is down; next try in {retry_in:?}")]
    Down {
        /// When a call will try to connect again.
        retry_in: Duration,
    },
    /// Somebody else was to compute the value, and had not done so in time.
    #[error("nobody has computed the value within {waited:?}")]
    Leased {
        /// The request timeout.
        waited: Duration,
    },
    /// A value is not JSON of the type that was asked for, or one of this type cannot be JSON.
    #[cfg(feature = "serde")]
    #[error("JSON: {0}")]
    Json(String),
    /// The server closed the connection before it had answered.
    #[error("the server closed the connection")]
    Closed,
    /// The answer did not come in time.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::ErrorKind),
    /// The server answered something that is not the protocol.
    #[error("the server breaks the protocol: {0}")]
    Protocol(ProtocolError),
    /// The server refused the command.
    #[error(transparent)]
    Command(CommandError),
}

/// The system calls a path without a socket an entity.
fn unconnected(kind: io::ErrorKind) -> String {
    if kind == io::ErrorKind::NotFound { "there is no such socket".to_owned() } else { kind.to_string() }
}

/// What a refusal of HELLO says.
fn refusal(status: Status) -> String {
    match CommandError::from_status(status) {
        Some(CommandError::Busy) => "it has its most clients (--max-connections)".to_owned(),
        Some(error) => error.to_string(),
        None => format!("{status:?}"),
    }
}

/// Why one command has no answer; the other commands of its pipeline have theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The value, the item or the list of keys is larger than the server takes, or larger than can be sent.
    #[error("the value is too large")]
    TooLarge,
    /// The key is longer than the server takes, or longer than can be sent.
    #[error("the key is too long")]
    KeyTooLong,
    /// The server has no room at this moment.
    #[error("the server has no room at this moment")]
    TryAgain,
    /// The value is not a decimal number.
    #[error("the value is not a number")]
    NotANumber,
    /// The number would leave the range of `i64`.
    #[error("the number would overflow")]
    Overflow,
    /// The server does not know the operation.
    #[error("the server does not know this operation")]
    UnknownOperation,
    /// The server wants authentication first.
    #[error("the server wants authentication")]
    AuthRequired,
    /// The server takes the request for malformed. It closed the connection.
    #[error("the server cannot read the request")]
    BadRequest,
    /// The server does not speak our version. It closed the connection.
    #[error("the server does not speak this version of the protocol")]
    UnsupportedVersion,
    /// The server has too many connections. It closed this one.
    #[error("the server has too many connections")]
    Busy,
    /// The server is about to stop. It closed the connection.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The connection broke before any byte of the command was sent.
    #[error("not sent: {0}")]
    NotSent(Broken),
    /// The connection broke before the answer came: the command may or may not have been carried out.
    #[error("not answered: {0}")]
    Unanswered(Broken),
}

/// Why a connection had to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// The server closed it.
    #[error("the server closed the connection")]
    Closed,
    /// The server was silent for too long.
    #[error("no answer in time")]
    Timeout,
    /// The system says so.
    #[error("the connection broke: {0}")]
    Io(io::ErrorKind),
    /// What came is not the protocol.
    #[error("the server breaks the protocol: {0}")]
    Protocol(ProtocolError),
}

/// How the server broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The bytes are no reply.
    #[error("{0}")]
    Parse(#[from] ParseError),
    /// The reply is to another request.
    #[error("an answer with the number {found} where {expected} is due")]
    Opaque {
        /// The opaque number of the request whose turn it is.
        expected: u16,
        /// The opaque number in the reply.
        found: u16,
    },
    /// There is no request that this could be the reply to.
    #[error("an answer that nobody asked for")]
    Unasked,
    /// The body is not of the form that the request calls for.
    #[error("an answer that is not of the form that was asked for")]
    Body,
    /// The status is not one that the request can have.
    #[error("{0:?} is no answer to this request")]
    Status(Status),
}

impl Error {
    /// Whether the same call may succeed when it is made again. See [`Error::may_have_executed`] before doing so with
    /// something that must not happen twice.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Lookup(_)
            | Self::Connect(_)
            | Self::TooManyFiles
            | Self::PoolExhausted { .. }
            | Self::Down { .. }
            | Self::Leased { .. }
            | Self::Closed
            | Self::Timeout
            | Self::Io(_) => true,
            Self::Handshake(broken) => !matches!(broken, Broken::Protocol(_)),
            Self::Refused(status) => matches!(status, Status::Busy | Status::ShuttingDown),
            Self::Command(error) => error.is_retryable(),
            Self::Node { error, .. } => error.is_retryable(),
            Self::Address(_) | Self::Cluster(_) | Self::NotNative(_) | Self::Protocol(_) => false,
            #[cfg(feature = "serde")]
            Self::Json(_) => false,
        }
    }

    /// Whether the server may have carried out the command although the call failed.
    #[must_use]
    pub const fn may_have_executed(&self) -> bool {
        match self {
            Self::Closed | Self::Timeout | Self::Io(_) | Self::Protocol(_) => true,
            Self::Command(error) => error.may_have_executed(),
            Self::Node { error, .. } => error.may_have_executed(),
            _ => false,
        }
    }

    /// Whether a connection was used and is in order after this error. It is back in the pool then.
    #[must_use]
    pub const fn keeps_connection(&self) -> bool {
        match self {
            Self::Command(error) => error.keeps_connection(),
            Self::Node { error, .. } => error.keeps_connection(),
            Self::Leased { .. } => true,
            #[cfg(feature = "serde")]
            Self::Json(_) => true,
            _ => false,
        }
    }
}

impl CommandError {
    /// Whether the same command may succeed when it is sent again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::TryAgain
                | Self::Busy
                | Self::ShuttingDown
                | Self::NotSent(_)
                | Self::Unanswered(Broken::Closed | Broken::Timeout | Broken::Io(_))
        )
    }

    /// Whether the server may have carried out the command all the same.
    #[must_use]
    pub const fn may_have_executed(&self) -> bool {
        matches!(self, Self::Unanswered(_))
    }

    /// Whether the connection is in order after this error, and goes back to the pool.
    #[must_use]
    pub const fn keeps_connection(&self) -> bool {
        matches!(
            self,
            Self::TooLarge
                | Self::KeyTooLong
                | Self::TryAgain
                | Self::NotANumber
                | Self::Overflow
                | Self::UnknownOperation
                | Self::AuthRequired
        )
    }

    /// The error for a refusal; none if the status is an answer (or unknown to this version of the client).
    pub(crate) const fn from_status(status: Status) -> Option<Self> {
        Some(match status {
            Status::TooLarge => Self::TooLarge,
            Status::KeyTooLong => Self::KeyTooLong,
            Status::TryAgain => Self::TryAgain,
            Status::NotANumber => Self::NotANumber,
            Status::Overflow => Self::Overflow,
            Status::UnknownOperation => Self::UnknownOperation,
            Status::AuthRequired => Self::AuthRequired,
            Status::BadRequest => Self::BadRequest,
            Status::UnsupportedVersion => Self::UnsupportedVersion,
            Status::Busy => Self::Busy,
            Status::ShuttingDown => Self::ShuttingDown,
            _ => return None,
        })
    }
}

/// The protocol whose errors begin with this byte.
const fn speech(first: u8) -> &'static str {
    match first {
        b'-' => "RESP (Redis)",
        b'E' => "that of memcached",
        b'H' => "HTTP",
        _ => "another one",
    }
}

impl Broken {
    /// Whether the connection was already dead, or died at once, rather than that the server did something wrong.
    pub(crate) const fn is_hangup(&self) -> bool {
        matches!(
            self,
            Self::Closed
                | Self::Io(
                    io::ErrorKind::BrokenPipe
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionAborted
                )
        )
    }
}

impl From<CommandError> for Error {
    /// The two errors that are about the connection become the error of the connection.
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NotSent(broken) | CommandError::Unanswered(broken) => broken.into(),
            refused => Self::Command(refused),
        }
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Closed => Self::Closed,
            Broken::Timeout => Self::Timeout,
            Broken::Io(kind) => Self::Io(kind),
            Broken::Protocol(error) => Self::Protocol(error),
        }
    }
}

impl From<ProtocolError> for Broken {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<rustix::io::Errno> for Broken {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.kind())
    }
}

impl From<EncodeError> for CommandError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::KeyTooLong { .. } => Self::KeyTooLong,
            EncodeError::ValueTooLong { .. } => Self::TooLarge,
            _ => Self::BadRequest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The promise of the protocol (below 0x80 the connection stays) is the promise of the client.
    #[test]
    fn keeps_connection_is_the_status_bit() {
        for byte in 0..=255 {
            let Some(status) = Status::from_byte(byte) else { continue };
            assert_eq!(CommandError::from_status(status).is_some(), status.is_refusal(), "{status:?}");
            if let Some(error) = CommandError::from_status(status) {
                assert_eq!(error.keeps_connection(), !status.closes(), "{status:?}");
                assert_eq!(Error::from(error).keeps_connection(), !status.closes(), "{status:?}");
                assert!(!error.may_have_executed());
            }
        }
        let lost = CommandError::Unanswered(Broken::Timeout);
        assert!(lost.is_retryable() && lost.may_have_executed() && !lost.keeps_connection());
        let unsent = CommandError::NotSent(Broken::Closed);
        assert!(unsent.is_retryable() && !unsent.may_have_executed() && !unsent.keeps_connection());
        assert!(!CommandError::NotANumber.is_retryable() && CommandError::TryAgain.is_retryable());
        assert_eq!(Error::from(lost), Error::Timeout);
        let full = Error::Refused(Status::Busy).to_string();
        assert_eq!(full, "the server refused the connection: it has its most clients (--max-connections)");
    }
}

//! RESP, the protocol of Redis, versions 2 and 3.
//!
//! ```text
//! request   *2\r\n$3\r\nGET\r\n$3\r\nkey\r\n        an array of bulk strings, in both versions
//! inline    GET "key"\r\n                          a line typed by hand, rewritten into the form above
//! reply     $5\r\nvalue\r\n   +OK\r\n   :1\r\n     one byte of type, a line, sometimes a body
//! ```
//!
//! [`parse`] reads requests ([`usual`] the two that matter), [`mod@write`] makes replies, [`reply`] reads replies (clients and tests).

mod args;
mod error;
mod frame;
pub mod glob;
pub mod inline;
pub mod reply;
mod request;
mod usual;
pub mod write;

pub use args::{Args, ArgsIter};
pub use error::ParseError;
pub use request::{
    IncomingSet, Progress, Request, argument_len, check_some, incoming_set, parse, parse_other,
};
pub use usual::{SHORT_LEN_MAX, usual, usual_get, usual_set};

/// The version of RESP that a connection speaks; it starts with 2, and `HELLO 3` raises it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// Types are simple string, error, integer, bulk string and array.
    #[default]
    Resp2,
    /// Adds null, map, set, push, double, boolean and verbatim string.
    Resp3,
}

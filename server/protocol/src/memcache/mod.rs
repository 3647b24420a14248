//! The text protocol of memcached 1.6.
//!
//! ```text
//! get <key>*\r\n                                              gets, gat <exptime>, gats <exptime>
//! set <key> <flags> <exptime> <bytes> [noreply]\r\n           add, replace, append, prepend; cas has <cas> after <bytes>
//!     <value>\r\n
//! delete <key> [0] [noreply]\r\n                              incr, decr, touch, flush_all, version, stats, quit, ..
//! ```
//! Lines end with CRLF or LF; words are separated by one or more blanks, and blanks at either end are nothing. Rules and
//! error texts were put to memcached 1.6.18; where we differ, the comment says why.
//!
//! [`parse`] reads requests ([`usual`] the two that matter), [`mod@write`] makes replies. The meta commands stand in `meta.rs`.

mod admin;
pub mod base64;
mod binary;
mod error;
mod exptime;
mod line;
mod meta;
mod request;
mod store;
mod usual;
pub mod write;

pub use admin::Dump;
pub use binary::REQUEST_MAGIC as BINARY_MAGIC;
pub use error::{ParseError, Refusal};
pub use exptime::Exptime;
pub use line::{Keys, KeysIter};
pub use meta::{Flags, FlagsIter, Meta, Options, Verb};
pub use request::{Refused, Request, parse, parse_other};
pub use store::{IncomingStore, Store, StoreMode, incoming_store};
pub use usual::{usual, usual_get, usual_set};

/// Longest key of the protocol, in bytes; [`Limits::key_len_max`](crate::Limits::key_len_max) can only lower it.
pub const KEY_LEN_MAX: usize = 250;

/// Longest line that is not a `get`, `gets`, `gat` or `gats`, in bytes.
pub const LINE_LEN_MAX: usize = 2048;

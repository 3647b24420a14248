//! The wire protocols as pure functions over bytes: no I/O, no unsafe code; only the writers allocate.
//!
//! A parser takes the bytes that have arrived and answers with a borrowed request and its length, with how many more
//! bytes it needs at least, or with an error. It never looks at a byte twice more than it must, and it checks every
//! declared length against [`Limits`] before it is believed.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod detect;
pub mod memcache;
pub mod native;
pub mod number;
pub mod rdb;
pub mod resp;
pub mod short;
mod usual;

pub use usual::{Pair, Usual};

/// What became of the bytes that have arrived so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// One whole message.
    Complete {
        /// The message; it borrows the input.
        value: T,
        /// How many bytes of the input it took.
        consumed: usize,
    },
    /// The message is not all here yet. Parsing again makes sense once the input has this many bytes.
    Incomplete {
        /// Length that the input must at least reach; always more than it has now.
        at_least: usize,
    },
}

/// The largest messages that a parser accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest key, in bytes.
    pub key_len_max: usize,
    /// Longest value (and longest RESP bulk string), in bytes.
    pub value_len_max: usize,
    /// Most arguments of one command, its name included. RESP needs 3 here and in `value_len_max`, and takes less as 3.
    pub args_max: usize,
    /// Longest line: an inline command, a memcached command line, in bytes.
    pub line_len_max: usize,
}

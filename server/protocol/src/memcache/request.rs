//! Requests: a line, and for the storage commands (`store.rs`) a value of told length after it.
//!
//! As in RESP the usual spellings are tried first (`usual.rs`). Everything else is read word by word.

use super::line::{self, Keys};
use super::meta::{self, Meta};
use super::store::{self, Store, StoreMode};
use super::{Dump, ParseError, Refusal, admin, binary, usual};
use crate::{Limits, Parsed, Usual, number};

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// `get`, `gets`.
    Get {
        /// Keys to read.
        keys: Keys<'a>,
        /// Whether the answer tells the cas unique (`gets`).
        with_cas: bool,
    },
    /// `gat`, `gats`: read, and set when the items expire.
    GetAndTouch {
        /// See [`Exptime`](super::Exptime).
        exptime: i64,
        /// Keys to read.
        keys: Keys<'a>,
        /// Whether the answer tells the cas unique (`gats`).
        with_cas: bool,
    },
    /// `set`, `add`, `replace`, `append`, `prepend`, `cas`.
    Store(Store<'a>),
    /// `delete`.
    Delete {
        /// Key to delete.
        key: &'a [u8],
        /// Whether to answer nothing.
        noreply: bool,
    },
    /// `incr`.
    Increment {
        /// Key of the counter.
        key: &'a [u8],
        /// How much to add; wraps at 2^64.
        delta: u64,
        /// Whether to answer nothing.
        noreply: bool,
    },
    /// `decr`.
    Decrement {
        /// Key of the counter.
        key: &'a [u8],
        /// How much to take away; stops at 0.
        delta: u64,
        /// Whether to answer nothing.
        noreply: bool,
    },
    /// `touch`.
    Touch {
        /// Key of the item.
        key: &'a [u8],
        /// See [`Exptime`](super::Exptime).
        exptime: i64,
        /// Whether to answer nothing.
        noreply: bool,
    },
    /// `flush_all`.
    FlushAll {
        /// When; 0 is now. See [`Exptime`](super::Exptime) for the rest.
        exptime: i64,
        /// Whether to answer nothing.
        noreply: bool,
    },
    /// `version`.
    Version,
    /// `verbosity`: to be answered `OK`; the level is nobody's business but the operator's.
    Verbosity {
        /// Whether to answer nothing.
        noreply: bool,
    },
    /// `stats`.
    Stats {
        /// Which; empty for the general ones. May hold several words.
        section: &'a [u8],
    },
    /// To be answered with this line, without CRLF; there is nothing to do.
    Fixed(&'static str),
    /// `lru_crawler metadump` and `mgdump`: tell of all items.
    Dump(Dump),
    /// `shutdown`: stop the server, if its operator allows that.
    Shutdown {
        /// Whether it is to be done in a way that memcached knows.
        known: bool,
    },
    /// `cache_memlimit`.
    MemoryLimit {
        /// Memory for items, in mebibytes.
        mebibytes: u32,
        /// Whether to answer nothing.
        noreply: bool,
    },
    /// `config get cluster`: which servers there are (auto discovery of Amazon's clients).
    ClusterConfig,
    /// `quit`: close without an answer.
    Quit,
    /// A meta command.
    Meta(Meta<'a>),
    /// Answer an error, skip, go on.
    Refused(Refused<'a>),
}

/// A request that is answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    /// The error.
    pub refusal: Refusal,
    /// Whether to answer nothing: memcached keeps its word even then.
    pub noreply: bool,
    /// How many bytes after the consumed ones to throw away, so that the value is never taken for commands.
    pub skip: u64,
    /// Item to delete: a `set` that is too large must not leave the old value behind.
    pub stale_key: Option<&'a [u8]>,
    /// Whether that key is in base64.
    pub binary: bool,
}

/// Reads the request at the head of `input`.
///
/// A line that comes in pieces is searched for its end each time; it is too short for that to matter. A value is not
/// looked at before it is all here.
#[inline]
pub fn parse<'a>(input: &'a [u8], limits: &Limits) -> Result<Parsed<Request<'a>>, ParseError> {
    let Some((usual, rest)) = usual(input, limits) else { return parse_other(input, limits) };
    let value = match usual {
        Usual::Get { key } => Request::Get { keys: Keys::single(key), with_cas: false },
        Usual::Set { key, value } => {
            let mode = StoreMode::Set;
            Request::Store(Store { mode, key, flags: 0, exptime: 0, value, noreply: false })
        }
    };
    Ok(Parsed::Complete { value, consumed: input.len() - rest.len() })
}

/// [`parse`] word by word, without trying the [`usual`] spellings first: for whoever has tried them.
#[inline(never)]
pub fn parse_other<'a>(input: &'a [u8], limits: &Limits) -> Result<Parsed<Request<'a>>, ParseError> {
    if let Some(parsed) = binary::refuse(input) {
        return parsed;
    }
    let Some((line, consumed)) = line::split(input, limits)? else {
        return Ok(Parsed::Incomplete { at_least: input.len() + 1 });
    };
    let (verb, text) = line::split_word(line);
    if let Some(mode) = store::mode(verb) {
        return Ok(store::parse(mode, text, input, consumed, limits));
    }
    if let Some(verb) = meta::verb(verb) {
        return Ok(meta::parse(verb, text, input, consumed, limits));
    }
    if let b"get" | b"gets" | b"gat" | b"gats" = verb {
        let value = retrieval(verb, text, limits).unwrap_or_else(|refusal| refused(refusal, false));
        return Ok(Parsed::Complete { value, consumed });
    }
    let mut words = [&b""[..]; line::WORDS_MAX];
    let words = line::words(text, &mut words);
    let noreply = words.last() == Some(&&b"noreply"[..]);
    let value = command(verb, text, words, noreply, limits)
        .unwrap_or_else(|refusal| refused(refusal, noreply && refusal != Refusal::UnknownCommand));
    Ok(Parsed::Complete { value, consumed })
}

/// The commands that ask for keys; the words are not counted, as there may be thousands.
fn retrieval<'a>(verb: &[u8], text: &'a [u8], limits: &Limits) -> Result<Request<'a>, Refusal> {
    let with_cas = verb.ends_with(b"s");
    let (first, after) = line::split_word(text);
    if first.is_empty() {
        return Err(Refusal::UnknownCommand);
    }
    let keys = |text| Keys::new(text, limits).ok_or(Refusal::BadFormat);
    if verb.starts_with(b"get") {
        return Ok(Request::Get { keys: keys(text)?, with_cas });
    }
    let exptime = number::parse_i64_lenient(first).ok_or(Refusal::InvalidExptime)?;
    Ok(Request::GetAndTouch { exptime, keys: keys(after)?, with_cas })
}

fn refused<'a>(refusal: Refusal, noreply: bool) -> Request<'a> {
    Request::Refused(Refused { refusal, noreply, skip: 0, stale_key: None, binary: false })
}

/// The commands that are one line.
fn command<'a>(
    verb: &[u8],
    text: &'a [u8],
    words: &[&'a [u8]],
    noreply: bool,
    limits: &Limits,
) -> Result<Request<'a>, Refusal> {
    Ok(match (verb, words) {
        // A key may be called so.
        (b"delete", [key]) => Request::Delete { key: checked_key(key, limits)?, noreply: false },
        (b"delete", [key, b"0" | b"noreply"] | [key, b"0", b"noreply"]) => {
            Request::Delete { key: checked_key(key, limits)?, noreply }
        }
        (b"delete", [_, _] | [_, _, _]) => return Err(Refusal::DeleteUsage),
        (b"incr" | b"decr", [key, delta] | [key, delta, _]) => {
            let key = checked_key(key, limits)?;
            let delta = number::parse_u64_lenient(delta).ok_or(Refusal::InvalidDelta)?;
            if verb == b"incr" {
                Request::Increment { key, delta, noreply }
            } else {
                Request::Decrement { key, delta, noreply }
            }
        }
        (b"touch", [key, exptime] | [key, exptime, _]) => {
            let key = checked_key(key, limits)?;
            let exptime = number::parse_i64_lenient(exptime).ok_or(Refusal::InvalidExptime)?;
            Request::Touch { key, exptime, noreply }
        }
        (b"flush_all", [] | [b"noreply"]) => Request::FlushAll { exptime: 0, noreply },
        (b"flush_all", [exptime] | [exptime, _]) => {
            let exptime = number::parse_i64_lenient(exptime).ok_or(Refusal::InvalidExptime)?;
            Request::FlushAll { exptime, noreply }
        }
        (b"verbosity", [level] | [level, _]) => {
            number::parse_u64_lenient(level).ok_or(Refusal::BadFormat)?;
            Request::Verbosity { noreply }
        }
        (b"version", _) => Request::Version,
        (b"stats", _) => Request::Stats { section: line::trim(text) },
        (b"quit", _) => Request::Quit,
        _ => match admin::command(verb, words, noreply) {
            Some(command) => command?,
            None => return Err(Refusal::UnknownCommand),
        },
    })
}

fn checked_key<'a>(key: &'a [u8], limits: &Limits) -> Result<&'a [u8], Refusal> {
    if line::is_key(key, limits) { Ok(key) } else { Err(Refusal::BadFormat) }
}

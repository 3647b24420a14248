//! How outcomes are answered in RESP.

use crabcache_engine::{Outcome, StoreError, Value};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Version, write};

use crate::reactor::answers::{Answers, ttl_ms};
use crate::reactor::batch::Pass;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// The value that is or was there, or nil.
    Value,
    /// `+OK`, or nil where a condition did not hold.
    Ok,
    /// 1 if it was done, 0 if not.
    Did,
    /// A part of a sum of those; the last one is answered.
    Tally {
        /// It is the last.
        last: bool,
    },
    /// An element of an array.
    Element {
        /// How many elements the array has, at its first one; else 0.
        head: u32,
    },
    /// A part of a write of several keys; the last one is answered.
    Written {
        /// It is the last.
        last: bool,
    },
    /// Length of the value.
    Length,
    /// A part of the value, from and to these places, which count from the end where they are negative.
    Range {
        /// The first byte.
        from: i64,
        /// The last byte.
        to: i64,
    },
    /// The number.
    Number,
    /// Something about the item.
    About(Kind),
}

impl Reply {
    /// Whether the answer to a read holds the value.
    pub(crate) fn shows_value(self) -> bool {
        matches!(self, Self::Value | Self::Element { .. } | Self::Range { .. })
    }
}

/// What can be asked about an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its type.
    Type,
    /// Seconds left.
    Ttl,
    /// Milliseconds left.
    Pttl,
    /// When it expires, in seconds.
    ExpireTime,
    /// When it expires, in milliseconds.
    PexpireTime,
    /// Bytes of memory that it takes.
    Usage,
    /// How its value is kept.
    Encoding,
    /// How many others share its value.
    RefCount,
    /// Seconds since it was used. Not known.
    IdleTime,
    /// How often it was used, as far as eviction counts that.
    Freq,
}

/// Bytes of an item beyond key and value, index included: what MEMORY USAGE adds.
const ITEM_OVERHEAD: usize = 16;

/// Writes the answer.
pub(crate) fn answer(
    to: &mut Answers<'_>,
    reply: Reply,
    version: Version,
    outcome: Outcome<'_>,
    too_much: bool,
) {
    if too_much {
        // The head of an array counts this element, too.
        if let Reply::Element { head } = reply
            && head > 0
        {
            write::array(&mut to.out, head as usize);
        }
        return to.fail("ERR the answers of this pipeline are too large; ask for less at a time");
    }
    match reply {
        Reply::Value => value(to, found(outcome), version, outcome),
        Reply::Ok => match outcome {
            Outcome::Stored { .. } => to.out.extend_from_slice(write::OK),
            other => value(to, None, version, other),
        },
        Reply::Did => match did(outcome) {
            Ok(did) => write::integer(&mut to.out, did),
            Err(error) => refused(to, error),
        },
        Reply::Tally { last } => {
            to.tally += did(outcome).unwrap_or(0);
            if last {
                let tally = std::mem::take(&mut to.tally);
                write::integer(&mut to.out, tally);
            }
        }
        Reply::Element { head } => {
            if head > 0 {
                write::array(&mut to.out, head as usize);
            }
            match found(outcome) {
                Some(value) => to.bulk(&value),
                None => write::nil(&mut to.out, version),
            }
        }
        Reply::Written { last } => {
            if let Outcome::Refused(error) = outcome {
                to.failure.get_or_insert(error);
            }
            if last {
                match to.failure.take() {
                    None => to.out.extend_from_slice(write::OK),
                    Some(error) => refused(to, error),
                }
            }
        }
        Reply::Length => match outcome {
            Outcome::Length(len) => write::integer(&mut to.out, len as i64),
            Outcome::Hit(value) => write::integer(&mut to.out, value.bytes().len() as i64),
            Outcome::Refused(error) => refused(to, error),
            _ => write::integer(&mut to.out, 0),
        },
        Reply::Range { from, to: end } => match outcome {
            Outcome::Hit(value) => write::bulk(&mut to.out, range(value.bytes(), from, end)),
            Outcome::Refused(error) => refused(to, error),
            _ => write::bulk(&mut to.out, b""),
        },
        Reply::Number => match outcome {
            Outcome::Number(number) => write::integer(&mut to.out, i64::try_from(number).unwrap_or(i64::MAX)),
            other => value(to, None, version, other),
        },
        Reply::About(kind) => about(to, kind, version, outcome),
    }
}

/// The value in an outcome.
fn found(outcome: Outcome<'_>) -> Option<Value<'_>> {
    match outcome {
        Outcome::Hit(value) | Outcome::Removed(value) | Outcome::Touched(value) | Outcome::Kept(value) => {
            Some(value)
        }
        Outcome::Stored { old } => old,
        Outcome::NotStored { found } => found,
        _ => None,
    }
}

/// 1 if something was done or found.
fn did(outcome: Outcome<'_>) -> Result<i64, StoreError> {
    match outcome {
        Outcome::Refused(error) => Err(error),
        Outcome::Miss | Outcome::Kept(_) | Outcome::NotStored { .. } => Ok(0),
        _ => Ok(1),
    }
}

fn value(to: &mut Answers<'_>, value: Option<Value<'_>>, version: Version, outcome: Outcome<'_>) {
    match (value, outcome) {
        (Some(value), _) => to.bulk(&value),
        (None, Outcome::Refused(error)) => refused(to, error),
        (None, _) => write::nil(&mut to.out, version),
    }
}

/// The bytes from `from` to `to`, both included, as GETRANGE counts.
fn range(bytes: &[u8], from: i64, to: i64) -> &[u8] {
    let len = bytes.len() as i64;
    let place = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    if from < 0 && to < 0 && from > to {
        return b"";
    }
    let (from, to) = (place(from).max(0), place(to).max(0).min(len - 1));
    if from > to { b"" } else { &bytes[from as usize..=to as usize] }
}

/// What OBJECT IDLETIME answers while the policy is one of LFU.
const NO_IDLE_TIME: &str = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
                            switching between policies at runtime LRU and LFU data will take some time to adjust.";

/// How Redis would keep a value that was set as it is.
fn encoding(value: &[u8]) -> &'static str {
    match value.len() {
        _ if parse_i64(value).is_some() => "int",
        ..=44 => "embstr",
        _ => "raw",
    }
}

fn about(to: &mut Answers<'_>, kind: Kind, version: Version, outcome: Outcome<'_>) {
    let Outcome::Hit(value) = outcome else {
        return match (kind, outcome) {
            (_, Outcome::Refused(error)) => refused(to, error),
            (Kind::Type, _) => write::simple(&mut to.out, b"none"),
            (Kind::Ttl | Kind::Pttl | Kind::ExpireTime | Kind::PexpireTime, _) => {
                write::integer(&mut to.out, -2);
            }
            _ => write::nil(&mut to.out, version),
        };
    };
    let left = ttl_ms(&value, to.now);
    let number = match kind {
        Kind::Type => return write::simple(&mut to.out, b"string"),
        Kind::Encoding => return write::bulk(&mut to.out, encoding(value.bytes()).as_bytes()),
        Kind::IdleTime => return to.fail(NO_IDLE_TIME),
        Kind::Ttl => left.map_or(-1, |ms| (ms.saturating_add(500) / 1000) as i64),
        Kind::Pttl => left.map_or(-1, |ms| ms as i64),
        Kind::ExpireTime => value.expires().map_or(-1, |at| (at.0.saturating_add(500) / 1000) as i64),
        Kind::PexpireTime => value.expires().map_or(-1, |at| at.0 as i64),
        Kind::Usage => (value.bytes().len() + ITEM_OVERHEAD) as i64,
        Kind::RefCount => 1,
        Kind::Freq => value.uses().into(),
    };
    write::integer(&mut to.out, number);
}

/// The text for an item larger than `max` bytes.
pub(crate) fn too_large(max: usize) -> String {
    format!("ERR item is too large: key and value may have {max} bytes together")
}

/// Answers that something was refused.
pub(super) fn refuse(pass: &mut Pass<'_, '_, '_>, error: StoreError) {
    pass.run();
    refused(&mut pass.executor.answers, error);
}

fn refused(to: &mut Answers<'_>, error: StoreError) {
    match error {
        StoreError::KeyTooLong { max, .. } => {
            to.fail(&format!("ERR key is too long: it may have {max} bytes"));
        }
        StoreError::TooLarge { max, .. } => to.fail(&too_large(max)),
        StoreError::NotANumber => to.fail("ERR value is not an integer or out of range"),
        StoreError::Overflow => to.fail("ERR increment or decrement would overflow"),
        // Pressure, NoPlace, and whatever the engine may come to refuse.
        _ => to.fail("OOM command not allowed when used memory > 'maxmemory'."),
    }
}

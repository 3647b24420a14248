//! Outcomes become answers: written once, from the arena into the buffer they are sent from.
//!
//! GET and SET of RESP that find their key are told apart first, in line; all the rest goes through `answer`.

use std::ops::Range;

use crabcache_engine::{Action, Millis, Op, Outcome, StoreError, Value};
use crabcache_protocol::{native, resp::write};

use super::batch::Plan;
use super::lent::{LENT_FROM, Lent};
use super::sized;
use crate::command::{Reply, memcache, memcache_meta, native as native_reply, resp};
use crate::database;
use crate::shared::LargeValues;
use crate::stats::memcache::Tallies;
use crate::stats::{Codes, note_code};

/// The answers of one turn, and what an answer that comes of several operations is waiting for.
#[derive(Debug)]
pub(crate) struct Answers<'s> {
    /// The bytes, all clients one after the other, but for those of values that were lent.
    pub(crate) out: Vec<u8>,
    /// Values that are sent from where they lie.
    pub(crate) lent: Lent,
    /// Whether what is found is pinned, and so can be lent.
    pub(crate) lends: bool,
    /// The moment of this turn.
    pub(crate) now: Millis,
    /// Errors written in this turn.
    pub(crate) errors: u64,
    /// Their codes, where they have some.
    pub(crate) codes: Codes,
    /// Sum of a command over several keys, so far.
    pub(crate) tally: i64,
    /// First failure of a command that writes several keys.
    pub(crate) failure: Option<StoreError>,
    /// The answer to a native MGET or MPUT, begun.
    pub(crate) list: Option<native::reply::ListWriter>,
    /// What memcached counts of them, and whether there is any of it.
    pub(crate) tallies: Tallies,
    pub(crate) tallied: bool,
    /// Keys and flags of memcached's meta commands, which the answers repeat.
    pub(crate) notes: Vec<u8>,
    large: &'s LargeValues,
}

/// Above this many bytes of answers in one turn, a read is refused.
pub(crate) const OUT_LEN_MAX: usize = sized(32 << 20);
/// What the buffer keeps from one turn to the next.
const OUT_LEN_KEPT: usize = 2 << 20;

impl<'s> Answers<'s> {
    pub(crate) fn new(large: &'s LargeValues) -> Self {
        Self {
            out: Vec::with_capacity(64 << 10),
            lent: Lent::default(),
            lends: false,
            now: Millis::default(),
            errors: 0,
            codes: Codes::default(),
            tally: 0,
            failure: None,
            list: None,
            tallies: Tallies::default(),
            tallied: false,
            notes: Vec::new(),
            large,
        }
    }

    /// Writes an error of RESP; `text` begins with its code.
    #[cold]
    pub(crate) fn fail<T: AsRef<[u8]> + ?Sized>(&mut self, text: &T) {
        let text = text.as_ref();
        write::error(&mut self.out, text);
        self.errors += 1;
        note_code(&mut self.codes, text);
    }

    /// Begins a turn.
    pub(crate) fn begin(&mut self, now: Millis) {
        self.now = now;
        self.out.clear();
        self.lent.clear();
        self.notes.clear();
        if self.out.capacity() > 4 * OUT_LEN_KEPT {
            self.out.shrink_to(OUT_LEN_KEPT);
        }
    }

    /// How long the answers are so far, with what was lent.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.out.len() + self.lent.len()
    }

    /// Whether these are the last of the answers, and most of what their buffer holds.
    pub(crate) fn is_nearly_all(&self, rest: &Range<usize>) -> bool {
        self.lent.is_empty() && rest.end == self.out.len() && rest.len() > self.out.capacity() / 2
    }

    /// Writes a value as a bulk string, or lends it.
    #[inline(never)]
    pub(crate) fn bulk(&mut self, value: &Value<'_>) {
        let bytes = value.bytes();
        if self.lends && bytes.len() >= LENT_FROM {
            write::bulk_header(&mut self.out, bytes.len());
            self.lent.push(self.len(), value.arena_ref());
            self.out.extend_from_slice(b"\r\n");
        } else {
            bulk(&mut self.out, bytes);
        }
    }

    /// Writes the answer to a read of `op` that found this.
    #[inline(always)]
    pub(crate) fn hit(&mut self, op: &Op<'_>, plan: &Plan, value: Value<'_>) {
        let bytes = value.bytes();
        if matches!(plan.reply, Reply::Resp(resp::Reply::Value)) && bytes.len() < LENT_FROM {
            bulk(&mut self.out, bytes);
        } else {
            self.answer(op, plan, Outcome::Hit(value));
        }
    }

    /// Writes the answer to `op`, which has replaced this.
    #[inline(always)]
    pub(crate) fn replaced(&mut self, op: &Op<'_>, plan: &Plan, old: Value<'_>) {
        if matches!(plan.reply, Reply::Resp(resp::Reply::Ok)) {
            self.out.extend_from_slice(write::OK);
        } else {
            self.answer(op, plan, Outcome::Stored { old: Some(old) });
        }
    }

    /// Writes the answer to `op`.
    #[inline(never)]
    pub(crate) fn answer(&mut self, op: &Op<'_>, plan: &Plan, outcome: Outcome<'_>) {
        let len = value_len(outcome);
        if len > LargeValues::FROM {
            self.large.note(len, self.now);
        }
        // What was changed or removed is answered in any case; what was only read or touched can be asked for again.
        let read = matches!(op.action, Action::Get | Action::Peek | Action::Lease(_) | Action::Touch(..))
            || matches!(plan.reply, Reply::Memcache(_));
        let too_much =
            read && plan.reply.shows_value() && self.len().saturating_add(len) > OUT_LEN_MAX.max(len);
        if matches!(plan.reply, Reply::Memcache(_)) && !matches!(op.action, Action::Get) {
            self.tallies.count(op, &outcome);
            self.tallied = true;
        }
        match plan.reply {
            Reply::Resp(reply) => resp::answer(self, reply, plan.version, outcome, too_much),
            Reply::Memcache(memcache::Reply::Meta(note)) => {
                memcache_meta::answer(self, note, op, outcome, too_much);
            }
            Reply::Memcache(reply) => {
                memcache::answer(self, reply, database::split(op.key).1, outcome, too_much);
            }
            Reply::Native(reply) => native_reply::answer(self, reply, op, outcome, too_much),
        }
    }
}

/// A bulk string. The usual lengths have two digits: then everything but the value is copied in fixed sizes.
#[inline(never)]
fn bulk(out: &mut Vec<u8>, value: &[u8]) {
    let len = value.len();
    if !(10..100).contains(&len) {
        return write::bulk(out, value);
    }
    let (tens, ones) = (len as u8 / 10, len as u8 % 10);
    out.extend_from_slice(&[b'$', b'0' + tens, b'0' + ones, b'\r', b'\n']);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The length of the value in an outcome; 0 if there is none.
fn value_len(outcome: Outcome<'_>) -> usize {
    match outcome {
        Outcome::Hit(value)
        | Outcome::Removed(value)
        | Outcome::Touched(value)
        | Outcome::Kept(value)
        | Outcome::Stored { old: Some(value) }
        | Outcome::Won { value: Some(value) }
        | Outcome::NotStored { found: Some(value) } => value.bytes().len(),
        Outcome::Length(len) => len,
        _ => 0,
    }
}

/// Milliseconds that an item has left; none if it does not expire.
#[must_use]
pub(crate) fn ttl_ms(value: &Value<'_>, now: Millis) -> Option<u64> {
    value.expires().map(|at| at.0.saturating_sub(now.0))
}

//! Outcomes become answers: written once, from the arena into the buffer they are sent from.
//!
//! GET and SET that find their key, with a short value, are told apart first, in line; all the rest goes through `answer`.

use std::ops::Range;

use crabcache_engine::{Action, Condition, Millis, Op, Outcome, StoreError, Value};
use crabcache_protocol::memcache::write as memcache_write;
use crabcache_protocol::native::{self, Status};
use crabcache_protocol::resp::{Version, write};
use crabcache_protocol::short::{self, Room};

use super::batch::{Form, Ops, Plan};
use super::lane::Lane;
use super::lent::{LENT_FROM, Lent};
use super::sized;
use crate::command::{Reply, memcache, native as native_reply, resp};
use crate::database::{self, begins_escaped};
use crate::large_values::LargeValues;
use crate::stats::memcache::Tallies;
use crate::stats::{Codes, note_code};

/// The answers of one turn, and what an answer that comes of several operations is waiting for.
#[derive(Debug)]
pub(crate) struct Answers<'s> {
    /// The bytes, all clients one after the other, but for those of values that were lent.
    pub(crate) out: Vec<u8>,
    /// Short ones of the batch at hand, which come behind those.
    lane: Lane,
    /// Values that are sent from where they lie.
    pub(crate) lent: Lent,
    /// Whether what is found is pinned, and so can be lent.
    pub(crate) lends: bool,
    /// The moment of this turn.
    pub(crate) now: Millis,
    /// What was done in this turn beside answering, in nanoseconds or so: about as long as it takes to answer so many bytes.
    pub(crate) worked: usize,
    /// Errors written in this turn.
    pub(crate) errors: u64,
    /// Writes refused in this turn because there is no place for so large an item.
    pub(crate) no_place: u64,
    /// Codes of the errors, where they have some.
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
            lane: Lane::new(),
            lent: Lent::default(),
            lends: false,
            now: Millis::default(),
            worked: 0,
            errors: 0,
            no_place: 0,
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
        self.worked = 0;
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
        self.out.len() + self.lane.len() + self.lent.len()
    }

    /// Whether these are the last of the answers, and most of what their buffer holds.
    pub(crate) fn is_nearly_all(&self, rest: &Range<usize>) -> bool {
        self.lent.is_empty() && rest.end == self.out.len() && rest.len() > self.out.capacity() / 2
    }

    /// Whether a value is better lent than copied, and can be.
    #[inline]
    pub(crate) fn is_lendable(&self, value: &Value<'_>) -> bool {
        self.lends && value.bytes().len() >= LENT_FROM
    }

    /// Lends a value, as the next bytes of the answers.
    pub(crate) fn lend(&mut self, value: &Value<'_>) {
        self.lent.push(self.len(), value.arena_ref());
    }

    /// Writes a value as a bulk string, or lends it.
    #[inline(never)]
    pub(crate) fn bulk(&mut self, value: &Value<'_>) {
        let bytes = value.bytes();
        if self.is_lendable(value) {
            write::bulk_header(&mut self.out, bytes.len());
            self.lend(value);
            self.out.extend_from_slice(b"\r\n");
        } else {
            write::bulk(&mut self.out, bytes);
        }
    }

    /// Writes the answer to a read that found this, operation `at` of `ops`, if it is a short one.
    #[inline(always)]
    pub(crate) fn short_hit(&mut self, form: Form, ops: &Ops<'_>, at: usize, value: &Value<'_>) -> bool {
        let Some(room) = self.lane.room() else { return false };
        let len = if let Form::Resp(_) = form {
            write::short_bulk(room, value.bytes())
        } else {
            short_other_value(room, form, ops, at, value.bytes(), value.flags())
        };
        len.inspect(|&len| self.lane.add(len)).is_some()
    }

    /// Writes the answer to an operation that has stored a value, if it is a short one. Of such a success nothing is tallied.
    #[inline(always)]
    pub(crate) fn short_success(&mut self, form: Form) -> bool {
        let Some(room) = self.lane.room() else { return false };
        let len = if let Form::Resp(_) = form {
            Some(short::text(room, b"+OK\r\n"))
        } else {
            short_other_success(room, form)
        };
        len.inspect(|&len| self.lane.add(len)).is_some()
    }

    /// Writes the answer to a read that found nothing, if it is a short one.
    #[inline]
    pub(crate) fn short_miss(&mut self, form: Form) -> bool {
        let Some(room) = self.lane.room() else { return false };
        let len = match form {
            Form::Resp(Version::Resp2) => short::text(room, b"$-1\r\n"),
            Form::Resp(Version::Resp3) => short::text(room, b"_\r\n"),
            Form::Memcache { last: true } => short::text(room, b"END\r\n"),
            Form::Memcache { last: false } => 0,
            Form::Native { opaque } => native::reply::short_status(room, opaque, Status::Miss, 0),
            Form::Planned(_) => return false,
        };
        self.lane.add(len);
        true
    }

    /// Puts the short answers to the others.
    #[inline]
    pub(crate) fn gather(&mut self) {
        self.lane.move_to(&mut self.out);
    }

    /// Whether `op` or its answer is about the version of the value, which is made of all its bytes.
    fn looks_at_all(&self, op: &Op<'_>, plan: &Plan) -> bool {
        let condition = match op.action {
            Action::Put(put) => put.condition,
            Action::Delete(condition) => condition,
            Action::Recache(recache) => recache.condition,
            Action::Invalidate(invalidate) => invalidate.condition,
            _ => Condition::Always,
        };
        let told = match plan.reply {
            Reply::Memcache(memcache::Reply::Value { with_cas, .. }) => with_cas,
            Reply::Memcache(memcache::Reply::Meta(note)) => memcache::meta::tells_version(&self.notes, note),
            Reply::Native(reply) => reply.tells_version(),
            _ => false,
        };
        told || matches!(condition, Condition::Version(_))
    }

    /// Writes the answer to `op`.
    #[inline(never)]
    pub(crate) fn answer(&mut self, op: &Op<'_>, plan: &Plan, outcome: Outcome<'_>) {
        self.gather();
        let len = value_len(outcome);
        if len > LargeValues::FROM {
            self.large.note(len, self.now);
            if self.looks_at_all(op, plan) {
                self.worked += len / 8;
            }
        }
        // Of what something was added to, that was a copy.
        if let Outcome::Length(len) = outcome {
            self.worked += len;
        }
        // What was changed or removed is answered in any case; what was only read or touched can be asked for again.
        let read = matches!(op.action, Action::Get | Action::Peek | Action::Lease(_) | Action::Touch(..))
            || matches!(plan.reply, Reply::Memcache(_));
        let too_much =
            read && plan.reply.shows_value() && self.len().saturating_add(len) > OUT_LEN_MAX.max(len);
        if matches!(outcome, Outcome::Refused(StoreError::NoPlace)) {
            self.no_place += 1;
        }
        if matches!(plan.reply, Reply::Memcache(_)) && !matches!(op.action, Action::Get) {
            self.tallies.count(op, &outcome);
            self.tallied = true;
        }
        match plan.reply {
            Reply::Resp(reply) => resp::answer(self, reply, plan.version, outcome, too_much),
            Reply::Memcache(memcache::Reply::Meta(note)) => {
                memcache::meta::answer(self, note, op, outcome, too_much);
            }
            Reply::Memcache(reply) => {
                memcache::answer(self, reply, database::split(op.key).1, outcome, too_much);
            }
            Reply::Native(reply) => native_reply::answer(self, reply, op, outcome, too_much),
        }
    }
}

/// Writes a value with these flags in another form than RESP's. Out of line: whoever carries out a batch has few registers to
/// spare.
#[inline(never)]
fn short_other_value(
    room: &mut Room,
    form: Form,
    ops: &Ops<'_>,
    at: usize,
    value: &[u8],
    flags: u32,
) -> Option<usize> {
    match form {
        Form::Native { opaque } => native::reply::short_value(room, opaque, value),
        Form::Memcache { last } if flags == 0 => {
            let key = ops.get(at)?.key;
            if begins_escaped(key) { None } else { memcache_write::short_value(room, key, value, last) }
        }
        _ => None,
    }
}

/// The same of a success.
#[inline(never)]
fn short_other_success(room: &mut Room, form: Form) -> Option<usize> {
    match form {
        Form::Memcache { .. } => Some(short::text(room, b"STORED\r\n")),
        Form::Native { opaque } => Some(native::reply::short_status(room, opaque, Status::Ok, 0)),
        Form::Resp(_) | Form::Planned(_) => None,
    }
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

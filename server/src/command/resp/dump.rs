//! `DUMP` and `RESTORE`: values in the form of an RDB file, which a Redis reads and writes, too.

use crabcache_engine::{Action, Condition, Expiry, Millis, Op, Outcome, Put};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::rdb::{self, Fault};
use crabcache_protocol::resp::{Args, write};

use super::{is, one, reply, three};
use crate::command::task::Task;
use crate::connection::Connection;
use crate::large_values::LargeValues;
use crate::reactor::batch::Pass;
use crate::reactor::budget::Taken;

const BUSY: &str = "BUSYKEY Target key name already exists.";
const NO_TTL: &str = "ERR Invalid TTL value, must be >= 0";
const NO_IDLETIME: &str = "ERR Invalid IDLETIME value, must be >= 0";
const NO_FREQ: &str = "ERR Invalid FREQ value, must be >= 0 and <= 255";

/// Bytes that are summed at once: less than a millisecond's work.
const SLICE: usize = 256 << 10;

/// A payload whose checksum takes several slices.
#[derive(Debug)]
pub(crate) struct Summing {
    payload: Vec<u8>,
    /// The sum of the first `summed` bytes.
    sum: u64,
    summed: usize,
    /// What to do with it; None: DUMP answers it.
    restores: Option<Restored>,
    /// The key of a DUMP that has to wait for memory.
    waits: Option<Box<[u8]>>,
    /// For a copy that was made beside the value.
    _room: Option<Taken>,
}

/// What DUMP has found.
enum Found {
    Nothing,
    Value(Summing),
    /// It has to wait for memory.
    Waits,
}

impl Summing {
    fn new(payload: Vec<u8>, restores: Option<Restored>) -> Self {
        Self { payload, sum: 0, summed: 0, restores, waits: None, _room: None }
    }

    /// Whether it has its payload.
    pub(crate) fn has_read(&self) -> bool {
        self.waits.is_none()
    }

    /// Whether it changes nothing.
    pub(crate) fn only_answers(&self) -> bool {
        self.restores.is_none()
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.payload.capacity()
            + self.restores.as_ref().map_or(0, |restored| restored.key.capacity())
            + self.waits.as_ref().map_or(0, |key| key.len())
    }

    /// Goes on for a slice; true when it is done and answered.
    pub(crate) fn step(&mut self, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
        if let Some(key) = &self.waits {
            match find(key, connection, pass) {
                Found::Value(summing) => *self = summing,
                Found::Waits => return false,
                Found::Nothing => {
                    let version = pass.version;
                    write::nil(pass.direct(), version);
                    return true;
                }
            }
        }
        self.sum_slice(pass)
    }

    fn sum_slice(&mut self, pass: &mut Pass<'_, '_, '_>) -> bool {
        let (len, expected) = match self.restores {
            None => (self.payload.len(), None),
            Some(_) => match rdb::split_sum(&self.payload) {
                Ok((summed, sum)) => (summed.len(), Some(sum)),
                Err(fault) => {
                    refuse(fault, pass);
                    return true;
                }
            },
        };
        let end = (self.summed + SLICE).min(len);
        self.sum = rdb::crc64_from(self.sum, &self.payload[self.summed..end]);
        self.summed = end;
        if end < len {
            return false;
        }
        match &self.restores {
            None => {
                self.payload.extend_from_slice(&self.sum.to_le_bytes());
                // It is copied.
                pass.executor.note_work(self.payload.len() / 4);
                write::bulk(pass.direct(), &self.payload);
            }
            Some(_) if expected != Some(self.sum) => refuse(Fault::Footer, pass),
            Some(restored) => restored.store(&self.payload, pass),
        }
        true
    }

    /// Does it at once where one slice is enough, else in turns.
    fn begin(mut self, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
        if self.payload.len() > SLICE {
            connection.task = Some(Box::new(Task::Summing(self)));
        } else {
            pass.executor.note_work(self.payload.len() * 2);
            self.sum_slice(pass);
        }
    }
}

/// `DUMP key`
pub(super) fn dump<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.run();
    let key = one(&args);
    match find(key, connection, pass) {
        Found::Value(summing) => summing.begin(connection, pass),
        Found::Waits => {
            let waits = Some(key.into());
            let summing = Summing { waits, ..Summing::new(Vec::new(), None) };
            connection.task = Some(Box::new(Task::Summing(summing)));
        }
        Found::Nothing => {
            let version = pass.version;
            write::nil(pass.direct(), version);
        }
    }
}

/// Copies the value of `key`, for DUMP.
fn find(key: &[u8], connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> Found {
    let len = pass.peek(key, |value| value.bytes().len()).unwrap_or(0);
    let mut room = None;
    if len > SLICE {
        room = pass.take_room(len, connection);
        if room.is_none() {
            return Found::Waits;
        }
    }
    let key = pass.place().stored(key);
    let written = pass.executor.apply(&Op::get(&key), |outcome| match outcome {
        Outcome::Hit(value) => {
            let mut written = Vec::with_capacity(value.bytes().len() + rdb::EXTRA_MAX);
            rdb::dump_unsummed(&mut written, value.bytes());
            Some(written)
        }
        _ => None,
    });
    let Some(written) = written else { return Found::Nothing };
    // It was copied, into new memory.
    pass.executor.note_work(written.len() / 2);
    Found::Value(Summing { _room: room, ..Summing::new(written, None) })
}

/// What RESTORE is told beside key, ttl and value. When a key was used last, and how often, is not taken over: eviction
/// counts anew.
#[derive(Default)]
struct Options {
    replaces: bool,
    absolute: bool,
}

/// None where an error was answered.
fn options(args: Args<'_>, pass: &mut Pass<'_, '_, '_>) -> Option<Options> {
    let mut told = Options::default();
    let (mut idletime, mut freq) = (false, false);
    let mut options = args.iter().skip(4);
    while let Some(option) = options.next() {
        if is(option, "REPLACE") {
            told.replaces = true;
        } else if is(option, "ABSTTL") {
            told.absolute = true;
        } else if is(option, "IDLETIME")
            && !freq
            && let Some(seconds) = options.next()
        {
            idletime = true;
            match parse_i64(seconds) {
                Some(0..) => {}
                Some(_) => return error(NO_IDLETIME, pass),
                None => return not_an_integer(pass),
            }
        } else if is(option, "FREQ")
            && !idletime
            && let Some(uses) = options.next()
        {
            freq = true;
            match parse_i64(uses) {
                Some(0..=255) => {}
                Some(_) => return error(NO_FREQ, pass),
                None => return not_an_integer(pass),
            }
        } else {
            pass.syntax_error();
            return None;
        }
    }
    Some(told)
}

fn error<T>(text: &str, pass: &mut Pass<'_, '_, '_>) -> Option<T> {
    pass.error(text);
    None
}

fn not_an_integer<T>(pass: &mut Pass<'_, '_, '_>) -> Option<T> {
    pass.not_an_integer();
    None
}

/// `RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`
pub(super) fn restore<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, ttl, payload) = three(&args);
    let Some(Options { replaces, absolute }) = options(args, pass) else { return };
    pass.run();
    if !replaces && pass.peek(key, |_| ()).is_some() {
        return pass.error(BUSY);
    }
    let ttl = match parse_i64(ttl) {
        Some(ttl @ 0..) => ttl,
        Some(_) => return pass.error(NO_TTL),
        None => return pass.not_an_integer(),
    };
    let expires = match (ttl, absolute) {
        (0, _) => None,
        (at, true) => Some(at),
        // As in Redis, a moment beyond all numbers has passed.
        (ttl, false) => Some(ttl.wrapping_add(pass.now().0 as i64)),
    };
    // It is copied, into new memory.
    pass.executor.note_work(payload.len() / 2);
    let restored = Restored { key: key.to_vec(), expires, replaces };
    Summing::new(payload.to_vec(), Some(restored)).begin(connection, pass);
}

/// What is to become of a payload whose checksum is right.
#[derive(Debug)]
struct Restored {
    key: Vec<u8>,
    expires: Option<i64>,
    replaces: bool,
}

impl Restored {
    fn store(&self, payload: &[u8], pass: &mut Pass<'_, '_, '_>) {
        let max = pass.shared().bounds.item_len_max;
        let value = match rdb::restore_summed(payload, max) {
            Ok(value) => value,
            Err(fault) => return refuse(fault, pass),
        };
        // It was perhaps unpacked, and is copied.
        pass.executor.note_work(value.len());
        let now = pass.now().0 as i64;
        let condition = if self.replaces { Condition::Always } else { Condition::Absent };
        let action = match self.expires {
            Some(at) if at <= now && self.replaces => Action::Delete(Condition::Always),
            Some(at) if at <= now => return pass.direct().extend_from_slice(write::OK),
            expires => {
                if value.len() > LargeValues::FROM {
                    pass.note_large(value.len());
                }
                pass.note_write();
                let expiry = expires.map_or(Expiry::Never, |at| Expiry::At(Millis(at as u64)));
                Action::Put(Put { value: &value, flags: 0, expiry, condition })
            }
        };
        let key = pass.place().stored(&self.key);
        let done = pass.executor.apply(&Op { key: &key, action }, |outcome| match outcome {
            Outcome::Refused(error) => Err(error),
            outcome => Ok(!matches!(outcome, Outcome::NotStored { .. })),
        });
        match done {
            Ok(true) => pass.direct().extend_from_slice(write::OK),
            // Somebody was faster.
            Ok(false) => pass.error(BUSY),
            Err(error) => reply::refuse(pass, error),
        }
    }
}

fn refuse(fault: Fault, pass: &mut Pass<'_, '_, '_>) {
    match fault {
        Fault::Footer => pass.error("ERR DUMP payload version or checksum are wrong"),
        Fault::Format => pass.error("ERR Bad data format"),
        Fault::TooLarge => {
            let max = pass.shared().bounds.item_len_max;
            pass.error(&reply::too_large(max));
        }
    }
}

//! `DUMP` and `RESTORE`: values in the form of an RDB file, which a Redis reads and writes, too.

use crabcache_engine::{Action, Condition, Expiry, Millis, Op, Outcome, Put};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::rdb::{self, Fault};
use crabcache_protocol::resp::{Args, write};

use super::{is, one, reply, three};
use crate::connection::Connection;
use crate::reactor::batch::Pass;
use crate::shared::LargeValues;

const BUSY: &str = "BUSYKEY Target key name already exists.";
const NO_TTL: &str = "ERR Invalid TTL value, must be >= 0";
const NO_IDLETIME: &str = "ERR Invalid IDLETIME value, must be >= 0";
const NO_FREQ: &str = "ERR Invalid FREQ value, must be >= 0 and <= 255";

/// `DUMP key`
pub(super) fn dump<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.run();
    let key = pass.place().stored(one(&args));
    let written = pass.executor.apply(&Op::get(&key), |outcome| match outcome {
        Outcome::Hit(value) => {
            let mut written = Vec::with_capacity(value.bytes().len() + rdb::EXTRA_MAX);
            rdb::dump(&mut written, value.bytes());
            Some(written)
        }
        _ => None,
    });
    let version = pass.version;
    match written {
        Some(written) => {
            // It was summed and copied, and will be.
            pass.executor.note_work(written.len());
            write::bulk(pass.direct(), &written);
        }
        None => write::nil(pass.direct(), version),
    }
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
pub(super) fn restore<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
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
    // It is summed, perhaps unpacked, and copied.
    pass.executor.note_work(payload.len());
    let max = pass.shared().bounds.item_len_max;
    let value = match rdb::restore(payload, max) {
        Ok(value) => value,
        Err(Fault::Footer) => return pass.error("ERR DUMP payload version or checksum are wrong"),
        Err(Fault::Format) => return pass.error("ERR Bad data format"),
        Err(Fault::TooLarge) => return pass.error(&reply::too_large(max)),
    };
    pass.executor.note_work(value.len());
    let now = pass.now().0 as i64;
    let expires = match (ttl, absolute) {
        (0, _) => None,
        (at, true) => Some(at),
        // As in Redis, a moment beyond all numbers has passed.
        (ttl, false) => Some(ttl.wrapping_add(now)),
    };
    let condition = if replaces { Condition::Always } else { Condition::Absent };
    let action = match expires {
        Some(at) if at <= now && replaces => Action::Delete(Condition::Always),
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
    let key = pass.place().stored(key);
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

//! The native protocol; PROTOCOL.md specifies it.

use std::fmt::Write as _;

use crabcache_engine::{
    Action, Condition, Count, Delta, End, Expiry, Invalidate, KEY_LEN_MAX, Lease, Millis, Op, Outcome, Put,
    StoreError, TouchCondition, Value,
};
use crabcache_protocol::Parsed;
use crabcache_protocol::native::{self as wire, Command, Meta, Request, Status, Ttl, reply};

use super::Reply as AnyReply;
use super::arrival::{self, Ends, Frame};
use super::task::{Done, Task};
use super::usual::serve_usual;
use crate::connection::Connection;
use crate::large_values::LargeValues;
use crate::reactor::answers::{Answers, ttl_ms};
use crate::reactor::batch::{self, Pass};
use crate::stats::calls::CallTotals;

/// The form of an answer, and the request's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) opaque: u16,
    /// The expected outcome is not answered.
    quiet: bool,
    form: Form,
}

impl Reply {
    /// With the value alone.
    #[inline]
    pub(crate) fn value(opaque: u16) -> Self {
        Self { opaque, quiet: false, form: Form::Value { meta: false } }
    }

    /// With a status alone.
    #[inline]
    pub(crate) fn status(opaque: u16) -> Self {
        Self { opaque, quiet: false, form: Form::Status }
    }

    /// Whether the version of a value is answered.
    pub(crate) fn tells_version(self) -> bool {
        matches!(
            self.form,
            Form::Value { meta: true } | Form::Part { meta: true, .. } | Form::Lease { meta: true }
        )
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The value.
    Value { meta: bool },
    /// A status alone.
    Status,
    /// A number.
    Number,
    /// A length.
    Length,
    /// A part of an answer to MGET.
    Part { meta: bool, first: bool, last: bool },
    /// A part of an answer to MPUT.
    PutPart { first: bool, last: bool },
    /// The value, or who is to store it.
    Lease { meta: bool },
}

/// Answers requests until they end, one is not all here, or the client has to wait; gives how many bytes they had.
pub(crate) fn serve<'a, 's>(
    connection: &mut Connection<'s>,
    bytes: &'a [u8],
    pass: &mut Pass<'a, '_, 's>,
) -> usize {
    let limits = pass.shared().bounds.skipping;
    let mut at = 0;
    loop {
        let ordinary = pass.is_ordinary();
        if ordinary {
            at += usual(&bytes[at..], pass);
        }
        if at == bytes.len() || pass.is_full() {
            break;
        }
        let parse = if ordinary { wire::request::parse_other } else { wire::request::parse };
        match parse(&bytes[at..], &limits) {
            Ok(Parsed::Complete { value: Request { opaque, quiet, command }, consumed }) => {
                let too_much = match &command {
                    Command::Get { key, .. } | Command::Lease { key, .. } => {
                        pass.is_too_much(std::iter::once(*key))
                    }
                    Command::MultiGet { keys, .. } => pass.is_too_much(keys.iter()),
                    _ => false,
                };
                if too_much {
                    connection.hold_back();
                    break;
                }
                at += consumed;
                pass.executor.commands += 1;
                pass.executor.note_unusual();
                let reply = |form| AnyReply::Native(Reply { opaque, quiet, form });
                match command {
                    Command::Get { key, meta } => pass.push(Op::get(key), reply(Form::Value { meta })),
                    Command::Refused { status, skip } => {
                        reply::status(pass.direct(), opaque, status);
                        pass.executor.answers.errors += 1;
                        let here = (bytes.len() - at) as u64;
                        connection.input.skip(skip.saturating_sub(here));
                        at += skip.min(here) as usize;
                    }
                    other => {
                        if let Some((op, form)) = operation(other, pass) {
                            if let Action::Put(put) = op.action
                                && put.value.len() > LargeValues::FROM
                            {
                                pass.note_large(put.value.len());
                            }
                            pass.push(op, reply(form));
                        } else {
                            directly(opaque, other, connection, pass);
                            if !connection.takes_requests() {
                                break;
                            }
                        }
                    }
                }
            }
            Ok(Parsed::Incomplete { at_least }) => {
                match receive(&bytes[at..], connection, pass) {
                    Some(consumed) => at += consumed,
                    None => connection.input.expect(at_least),
                }
                break;
            }
            Err(error) => {
                reply::refusal(pass.direct(), error.opaque(), error.status(), &error.to_string());
                connection.close();
                return bytes.len();
            }
        }
    }
    at
}

/// Begins to receive the value of a PUT, if that is what `bytes` begin. Gives how many of them are done with, or nothing if
/// the request has to be gathered.
#[cold]
#[inline(never)]
fn receive<'s>(bytes: &[u8], connection: &mut Connection<'s>, pass: &mut Pass<'_, '_, 's>) -> Option<usize> {
    let head = wire::request::put_head(bytes, &pass.shared().bounds.skipping)?;
    let frame = Frame { value_start: head.value_at, value_len: head.value_len, ends: Ends::Nothing };
    let (op, form) = operation(Command::Put(head.put), pass)?;
    let reply = AnyReply::Native(Reply { opaque: head.opaque, quiet: head.quiet, form });
    arrival::begin(&op, reply, frame, bytes, connection, pass)
}

/// The usual requests at the head of `bytes`; gives how many bytes they had. Out of line, so that the loop has the registers to
/// itself.
#[inline(never)]
fn usual<'a>(bytes: &'a [u8], pass: &mut Pass<'a, '_, '_>) -> usize {
    let limits = pass.shared().bounds.skipping;
    let get = |rest| wire::usual_get(rest, &limits);
    let set = |rest| wire::usual_put(rest, &limits);
    serve_usual(bytes, pass, get, set, |opaque| batch::Form::Native { opaque }).len
}

/// The operation of a command that is one.
fn operation<'a>(command: Command<'a>, pass: &Pass<'_, '_, '_>) -> Option<(Op<'a>, Form)> {
    let now = pass.now();
    let (key, action, form) = match command {
        Command::Put(put) => {
            let condition = match put.condition {
                wire::Condition::Always => Condition::Always,
                wire::Condition::Absent => Condition::Absent,
                wire::Condition::Present => Condition::Present,
                wire::Condition::Version(version) => Condition::Version(version),
            };
            let action = Put { value: put.value, flags: put.flags, expiry: expiry(put.ttl, now), condition };
            (put.key, Action::Put(action), Form::Status)
        }
        Command::Delete { key, version } => {
            (key, Action::Delete(version.map_or(Condition::Always, Condition::Version)), Form::Status)
        }
        Command::Touch { key, ttl, condition } => {
            let condition = match condition {
                wire::TouchCondition::Always => TouchCondition::Always,
                wire::TouchCondition::Permanent => TouchCondition::Permanent,
                wire::TouchCondition::Expiring => TouchCondition::Expiring,
                wire::TouchCondition::Later => TouchCondition::Later,
                wire::TouchCondition::Earlier => TouchCondition::Earlier,
            };
            (key, Action::Touch(expiry(ttl, now), condition), Form::Status)
        }
        Command::Increment { key, delta, initial, ttl } => {
            let count = Count {
                delta: Delta::Signed(delta),
                initial: initial.map(i128::from),
                expiry: expiry(ttl, now),
            };
            (key, Action::Count(count), Form::Number)
        }
        Command::Concat { key, bytes, end, create } => {
            let end = if end == wire::End::Back { End::Back } else { End::Front };
            (key, Action::Concat { bytes, end, create }, Form::Length)
        }
        Command::Lease { key, lease_ms, early_ms, meta } => {
            let until = now.after(lease_ms.max(1));
            let lease = Lease {
                vivify: until,
                version: pass.shared().new_version(),
                recache: if early_ms == 0 { Millis(0) } else { now.after(early_ms) },
                until,
                ..Lease::default()
            };
            (key, Action::Lease(lease), Form::Lease { meta })
        }
        Command::Stale { key, ttl, version } => {
            let condition = version.map_or(Condition::Always, Condition::Version);
            let version = pass.shared().new_version();
            let action = Invalidate { expiry: expiry(ttl, now), condition, version, ..Invalidate::default() };
            (key, Action::Invalidate(action), Form::Status)
        }
        _ => return None,
    };
    Some((Op { key, action }, form))
}

fn expiry(ttl: Ttl, now: Millis) -> Expiry {
    match ttl {
        Ttl::Never => Expiry::Never,
        Ttl::After(0) => Expiry::At(Millis(0)),
        Ttl::After(ms) => Expiry::At(now.after(ms)),
        Ttl::Keep => Expiry::Keep,
    }
}

/// Commands that are no operation on one key. None of them can be quiet.
fn directly<'a>(opaque: u16, command: Command<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match command {
        Command::Hello { version_min, version_max, .. } => {
            if !(version_min..=version_max).contains(&wire::VERSION) {
                let text = format!("this server speaks version {}", wire::VERSION);
                reply::refusal(pass.direct(), opaque, Status::UnsupportedVersion, &text);
                return connection.close();
            }
            let value_len_max = u32::try_from(pass.shared().bounds.item_len_max).unwrap_or(u32::MAX);
            let server = concat!("crabcache/", env!("CARGO_PKG_VERSION"));
            let hello = reply::Hello {
                version: wire::VERSION,
                key_len_max: KEY_LEN_MAX as u16,
                value_len_max,
                features: wire::FEATURES,
                server: server.as_bytes(),
            };
            reply::hello(pass.direct(), opaque, &hello);
        }
        Command::Ping { payload } => reply::value(pass.direct(), opaque, payload),
        Command::Stats => {
            pass.run();
            let text = statistics(pass);
            reply::value(pass.direct(), opaque, text.as_bytes());
        }
        Command::Sample => sample(opaque, pass),
        Command::Flush => {
            pass.counters().flushes.add(1);
            connection.task = Some(Box::new(Task::flush(Done::Native { opaque }, pass.shared())));
        }
        Command::MultiGet { keys, meta } => {
            // It begins a batch, so that nothing before it is still to be put in front of it.
            pass.settled();
            let len = keys.len();
            if len == 0 {
                return reply::status(pass.direct(), opaque, Status::Ok);
            }
            for (at, key) in keys.iter().enumerate() {
                let form = Form::Part { meta, first: at == 0, last: at + 1 == len };
                pass.push(Op::get(key), AnyReply::Native(Reply { opaque, quiet: false, form }));
            }
        }
        Command::MultiPut { pairs, ttl } => {
            pass.settled();
            let (len, expiry) = (pairs.len(), expiry(ttl, pass.now()));
            if len == 0 {
                return reply::status(pass.direct(), opaque, Status::Ok);
            }
            for (at, (key, value)) in pairs.iter().enumerate() {
                if value.len() > LargeValues::FROM {
                    pass.note_large(value.len());
                }
                let form = Form::PutPart { first: at == 0, last: at + 1 == len };
                let action = Action::Put(Put { value, expiry, ..Put::default() });
                pass.push(Op { key, action }, AnyReply::Native(Reply { opaque, quiet: false, form }));
            }
        }
        Command::Scan { prefix, cursor, count } => scan(opaque, prefix, cursor, count, pass),
        _ => reply::status(pass.direct(), opaque, Status::UnknownOperation),
    }
}

/// Answers the keys that the workers noted, and lets them note more.
fn sample(opaque: u16, pass: &mut Pass<'_, '_, '_>) {
    pass.run();
    let mut keys = Vec::new();
    for seat in &pass.shared().seats {
        seat.sample.take(&mut keys);
    }
    reply::value(pass.direct(), opaque, &keys);
}

/// Most keys that one SCAN looks at, and about as many bytes of keys as it answers.
const SCAN_MAX: u32 = 4096;
const SCAN_LEN_MAX: usize = 256 << 10;
/// Keys that are looked at before it is looked how many bytes there are.
const SCAN_STEP: u32 = 64;
/// Nanoseconds that a key takes, about.
const SCAN_TIME: u32 = 100;

/// Walks over some keys, and answers those that begin with the prefix.
fn scan(opaque: u16, prefix: &[u8], cursor: u64, count: u32, pass: &mut Pass<'_, '_, '_>) {
    let (now, place) = (pass.now(), pass.place());
    pass.run();
    let (handle, out) = pass.executor.own_handle();
    let writer = reply::ListWriter::begin(out, opaque);
    writer.cursor(out, 0);
    let count = count.clamp(1, SCAN_MAX);
    let (mut cursor, mut left) = (cursor, count);
    loop {
        let step = left.min(SCAN_STEP);
        cursor = handle.scan(now, cursor, step as usize, |key, _| {
            if let Some(key) = place.own(key).filter(|key| key.starts_with(prefix)) {
                writer.key(out, key);
            }
        });
        left -= step;
        if cursor == 0 || left == 0 || writer.body_len(out) > SCAN_LEN_MAX {
            break;
        }
    }
    writer.cursor(out, cursor);
    writer.finish(out);
    pass.executor.note_work(((count - left) * SCAN_TIME) as usize);
}

fn statistics(pass: &Pass<'_, '_, '_>) -> String {
    let shared = pass.shared();
    let stats = shared.cache.stats();
    let totals = shared.totals();
    let mut text = format!(
        "version={}\nuptime_s={}\nworkers={}\nsimd={}\n",
        env!("CARGO_PKG_VERSION"),
        shared.started.elapsed().as_secs(),
        shared.seats.len(),
        shared.cache.simd_level()
    );
    for (name, number) in [
        ("items", stats.items),
        ("region_bytes", stats.region_bytes),
        ("used_bytes", stats.used_bytes),
        ("free_bytes", stats.free_bytes),
        ("largest_free_bytes", stats.largest_free_bytes),
        ("limbo_bytes", stats.limbo_bytes),
        ("index_bytes", stats.index_bytes),
        ("buckets", stats.buckets),
        ("hits", stats.hits),
        ("misses", stats.misses),
        ("stores", stats.stores),
        ("deletes", stats.deletes),
        ("evictions", stats.evictions),
        ("expirations", stats.expirations),
        ("pressure", totals.no_room),
        ("connections", totals.connections),
        ("commands", totals.commands),
        ("errors", totals.errors),
        ("timeouts", totals.timeouts),
        ("bytes_in", totals.bytes_in),
        ("bytes_out", totals.bytes_out),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}={number}");
    }
    let batched = CallTotals::batched(shared.seats.iter().map(|seat| &seat.counters.calls));
    for (name, percent) in [("p50", 50.0), ("p99", 99.0), ("p99.9", 99.9)] {
        if let Some(nanos) = batched.percentile(percent) {
            let _ = writeln!(text, "latency_{name}_ns={nanos}");
        }
    }
    text
}

/// Writes the answer.
pub(crate) fn answer(to: &mut Answers<'_>, reply: Reply, op: &Op<'_>, outcome: Outcome<'_>, too_much: bool) {
    let Reply { opaque, quiet, form } = reply;
    match form {
        Form::Part { meta, first, last } => {
            return part(to, opaque, meta, (first, last), outcome, too_much);
        }
        Form::PutPart { first, last } => return put_part(to, opaque, (first, last), outcome),
        Form::Lease { meta } => return lease(to, opaque, meta, op, outcome, too_much),
        _ => {}
    }
    let status = match outcome {
        _ if too_much => Status::TryAgain,
        Outcome::Miss | Outcome::NotStored { found: None } => Status::Miss,
        Outcome::NotStored { .. } | Outcome::Kept(_) => Status::NotStored,
        Outcome::Refused(error) => refusal(error),
        _ => Status::Ok,
    };
    if status.is_refusal() {
        to.errors += 1;
    }
    let silent = if matches!(form, Form::Value { .. }) { Status::Miss } else { Status::Ok };
    if quiet && status == silent {
        return;
    }
    match (form, outcome) {
        (Form::Value { meta: false }, Outcome::Hit(value))
            if status == Status::Ok && to.is_lendable(&value) =>
        {
            to.out.extend_from_slice(&reply::head(status, opaque, value.bytes().len()));
            to.lend(&value);
        }
        (Form::Value { meta: false }, Outcome::Hit(value)) if status == Status::Ok => {
            reply::value(&mut to.out, opaque, value.bytes());
        }
        (Form::Value { meta: true }, Outcome::Hit(value)) if status == Status::Ok => {
            reply::value_with_meta(&mut to.out, opaque, &about(&value, to.now), value.bytes());
        }
        (Form::Number, Outcome::Number(number)) => {
            reply::number(&mut to.out, opaque, i64::try_from(number).unwrap_or(i64::MAX));
        }
        (Form::Length, Outcome::Length(len)) => reply::length(&mut to.out, opaque, len as u64),
        _ => reply::status(&mut to.out, opaque, status),
    }
}

/// A key's part of an answer to MGET.
fn part(
    to: &mut Answers<'_>,
    opaque: u16,
    meta: bool,
    (first, last): (bool, bool),
    outcome: Outcome<'_>,
    too_much: bool,
) {
    if first {
        to.list = Some(reply::ListWriter::begin(&mut to.out, opaque));
    }
    let Some(writer) = &to.list else { return };
    match outcome {
        _ if too_much => writer.without(&mut to.out, Status::TryAgain),
        Outcome::Hit(value) => {
            let meta = meta.then(|| about(&value, to.now));
            writer.hit(&mut to.out, meta.as_ref(), value.bytes());
        }
        Outcome::Refused(error) => writer.without(&mut to.out, refusal(error)),
        _ => writer.without(&mut to.out, Status::Miss),
    }
    if last && let Some(writer) = to.list.take() {
        writer.finish(&mut to.out);
    }
}

/// A key's part of an answer to MPUT.
fn put_part(to: &mut Answers<'_>, opaque: u16, (first, last): (bool, bool), outcome: Outcome<'_>) {
    if first {
        to.list = Some(reply::ListWriter::begin(&mut to.out, opaque));
    }
    let Some(writer) = &to.list else { return };
    let status = if let Outcome::Refused(error) = outcome { refusal(error) } else { Status::Ok };
    to.errors += u64::from(status.is_refusal());
    writer.status(&mut to.out, status);
    if last && let Some(writer) = to.list.take() {
        writer.finish(&mut to.out);
    }
}

/// The value, or who is to store it.
fn lease(to: &mut Answers<'_>, opaque: u16, meta: bool, op: &Op<'_>, outcome: Outcome<'_>, too_much: bool) {
    let now = to.now;
    let (status, number, value) = match (outcome, op.action) {
        (Outcome::Won { value: None }, Action::Lease(lease)) => (Status::Won, lease.version, None),
        (Outcome::Won { value: Some(value) }, _) => (Status::Won, value.version(), Some(value)),
        (Outcome::Hit(value), _) => {
            let left = value.leased_until(now).map(|until| match until {
                // One of memcached's.
                Millis(u64::MAX) => u64::MAX,
                Millis(until) => until - now.0,
            });
            match left {
                Some(left) if value.is_placeholder(now) => (Status::Wait, left, None),
                Some(left) if value.is_stale() => (Status::Wait, left, Some(value)),
                _ if too_much => {
                    to.errors += 1;
                    return reply::status(&mut to.out, opaque, Status::TryAgain);
                }
                _ if meta => {
                    return reply::value_with_meta(&mut to.out, opaque, &about(&value, now), value.bytes());
                }
                _ => return reply::value(&mut to.out, opaque, value.bytes()),
            }
        }
        (Outcome::Refused(error), _) => {
            to.errors += 1;
            return reply::status(&mut to.out, opaque, refusal(error));
        }
        // A key that nothing can be stored under, since it is too long as it is kept: who misses another one wins.
        _ => {
            to.errors += 1;
            return reply::status(&mut to.out, opaque, Status::KeyTooLong);
        }
    };
    // What was won is told, though there is no memory for the old value.
    let value = value.filter(|_| !too_much);
    let about = value.filter(|_| meta).map(|value| about(&value, now));
    let value = value.map(|value| (about.as_ref(), value.bytes()));
    reply::lease(&mut to.out, opaque, status, number, value);
}

fn about(value: &Value<'_>, now: Millis) -> Meta {
    Meta { version: value.version(), flags: value.flags(), ttl_ms: ttl_ms(value, now) }
}

fn refusal(error: StoreError) -> Status {
    match error {
        StoreError::KeyTooLong { .. } => Status::KeyTooLong,
        StoreError::TooLarge { .. } => Status::TooLarge,
        StoreError::NotANumber => Status::NotANumber,
        StoreError::Overflow => Status::Overflow,
        // Pressure, NoPlace, and whatever the engine may come to refuse.
        _ => Status::TryAgain,
    }
}

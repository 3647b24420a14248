//! memcached's text protocol, with memcached 1.6's answers.

pub(crate) mod dump;
pub(crate) mod meta;
pub(crate) mod retrieval;
mod stats;

use dump::Dumping;
use retrieval::Retrieval;

use crabcache_engine::{
    Action, Condition, Count, Delta, End, Expiry, Millis, Op, Outcome, Put, StoreError, TouchCondition,
};
use crabcache_protocol::Parsed;
use crabcache_protocol::detect::is_http_word;
use crabcache_protocol::memcache::{
    self, Exptime, KEY_LEN_MAX, LINE_LEN_MAX, Refusal, Refused, Request, Store, StoreMode, base64, write,
};

use super::arrival::{self, Ends, Frame};
use super::task::{Done, Task};
use super::usual::serve_usual;
use super::{NOT_A_WEB_SERVER, Reply as AnyReply};
use crate::connection::Connection;
use crate::large_values::LargeValues;
use crate::reactor::answers::Answers;
use crate::reactor::batch::{Form, Pass};

/// The version of memcached whose commands are spoken: clients choose by it what they may ask for.
pub(super) const MEMCACHED_VERSION: &str = "1.6.40";

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// None at all.
    Nothing,
    /// The item, if there is one; after the last of a request, `END`.
    Value {
        /// The cas unique is told.
        with_cas: bool,
        /// It is the last.
        last: bool,
    },
    /// `STORED`, `NOT_STORED`.
    Stored,
    /// `STORED`, `EXISTS`, `NOT_FOUND`.
    Swapped,
    /// `DELETED`, `NOT_FOUND`.
    Deleted,
    /// `TOUCHED`, `NOT_FOUND`.
    Touched,
    /// The number, `NOT_FOUND`.
    Number,
    /// A meta command's.
    Meta(meta::Note),
}

/// Answers requests until they end, one is not all here, or the client has to wait; gives how many bytes they had.
pub(crate) fn serve<'a, 's>(
    connection: &mut Connection<'s>,
    bytes: &'a [u8],
    pass: &mut Pass<'a, '_, 's>,
) -> usize {
    let limits = pass.shared().bounds.skipping;
    let seen = std::mem::take(&mut connection.input.line_len);
    if seen > 0 && goes_on(seen, bytes, limits.line_len_max, connection) {
        return 0;
    }
    let mut at = 0;
    loop {
        let ordinary = pass.is_ordinary();
        if ordinary {
            at += usual(&bytes[at..], pass);
        }
        if at == bytes.len() || pass.is_full() {
            break;
        }
        let parse = if ordinary { memcache::parse_other } else { memcache::parse };
        match parse(&bytes[at..], &limits) {
            Ok(Parsed::Complete { value, consumed }) => {
                let too_much = match &value {
                    Request::Get { keys, .. } | Request::GetAndTouch { keys, .. } => {
                        pass.is_too_much(keys.iter())
                    }
                    Request::Meta(meta) => meta::is_too_much(meta, pass),
                    _ => false,
                };
                if too_much {
                    connection.hold_back();
                    break;
                }
                let line = &bytes[at..at + consumed];
                at += consumed;
                pass.executor.commands += 1;
                pass.executor.note_unusual();
                match value {
                    Request::Get { keys, with_cas } => {
                        values(keys, consumed, with_cas, Action::Get, connection, pass);
                    }
                    Request::GetAndTouch { exptime, keys, with_cas } => {
                        let action = Action::Touch(expiry(exptime, pass.now()), TouchCondition::Always);
                        values(keys, consumed, with_cas, action, connection, pass);
                    }
                    Request::Store(request) => store(request, pass),
                    Request::Meta(request) => meta::serve(&request, pass),
                    Request::Refused(Refused { refusal: Refusal::UnknownCommand, .. }) if is_http(line) => {
                        write::client_error(pass.direct(), NOT_A_WEB_SERVER);
                        connection.close();
                        return bytes.len();
                    }
                    Request::Refused(request) => at += refused(request, connection, bytes.len() - at, pass),
                    other => less_usual(other, connection, pass),
                }
                if !connection.takes_requests() {
                    break;
                }
            }
            Ok(Parsed::Incomplete { at_least }) => {
                let rest = &bytes[at..];
                match receive(rest, connection, pass) {
                    Some(consumed) => at += consumed,
                    None if rest.len() > LINE_LEN_MAX
                        && goes_on(0, rest, limits.line_len_max, connection) => {}
                    None => connection.input.expect(at_least),
                }
                break;
            }
            Err(error) => {
                write::parse_error(pass.direct(), error);
                connection.close();
                return bytes.len();
            }
        }
    }
    at
}

/// The usual requests at the head of `bytes`; gives how many bytes they had. Out of line, so that the loop has the registers to
/// itself.
#[inline(never)]
fn usual<'a>(bytes: &'a [u8], pass: &mut Pass<'a, '_, '_>) -> usize {
    let mut limits = pass.shared().bounds.skipping;
    // One that may be too large together with its key is looked at.
    limits.value_len_max = limits.value_len_max.saturating_sub(KEY_LEN_MAX);
    let form = Form::Memcache { last: true };
    let get = |rest| {
        let (key, rest) = memcache::usual_get(rest, &limits)?;
        Some((key, 0, rest))
    };
    let set = |rest| {
        let (pair, rest) = memcache::usual_set(rest, &limits)?;
        Some((pair, 0, rest))
    };
    serve_usual(bytes, pass, get, set, |_| form).len
}

/// Whether a long line, whose first `seen` bytes do not end it, does not end in the others that are here: then these are not
/// looked at again when more have come.
#[cold]
fn goes_on(seen: usize, bytes: &[u8], len_max: usize, connection: &mut Connection) -> bool {
    let on = bytes.len() <= len_max && !bytes[seen.min(bytes.len())..].contains(&b'\n');
    if on {
        connection.input.line_len = bytes.len();
        connection.input.expect(bytes.len() + 1);
    }
    on
}

/// Whether a line begins as those of HTTP do.
#[cold]
fn is_http(line: &[u8]) -> bool {
    let word = line.split(u8::is_ascii_whitespace).next();
    // One of these is a command here, too; browsers write it large.
    word.is_some_and(|word| is_http_word(word) && word != b"delete")
}

/// Answers with the items of `keys`, which came in a line of so many bytes.
fn values<'a>(
    keys: memcache::Keys<'a>,
    line_len: usize,
    with_cas: bool,
    action: Action<'static>,
    connection: &mut Connection,
    pass: &mut Pass<'a, '_, '_>,
) {
    if let Some(retrieval) = Retrieval::of_many(keys, line_len, with_cas, action, &pass.shared().large) {
        connection.task = Some(Box::new(Task::Retrieval(retrieval)));
        return;
    }
    let mut keys = keys.iter();
    let Some(mut key) = keys.next() else {
        pass.direct().extend_from_slice(write::END);
        return;
    };
    loop {
        let next = keys.next();
        pass.push(Op { key, action }, AnyReply::Memcache(Reply::Value { with_cas, last: next.is_none() }));
        match next {
            Some(next) => key = next,
            None => return,
        }
    }
}

fn push<'a>(pass: &mut Pass<'a, '_, '_>, key: &'a [u8], action: Action<'a>, reply: Reply, noreply: bool) {
    pass.push(Op { key, action }, AnyReply::Memcache(if noreply { Reply::Nothing } else { reply }));
}

fn store<'a>(request: Store<'a>, pass: &mut Pass<'a, '_, '_>) {
    if request.value.len() > LargeValues::FROM {
        pass.note_large(request.value.len());
    }
    if request.mode == StoreMode::Set && is_too_large(request.key, request.value, pass) {
        forget(request.key, pass);
    }
    let (op, reply) = operation(request, pass.now());
    pass.push(op, AnyReply::Memcache(reply));
}

/// Whether key and value are more than an item may have together, so that the engine will refuse them.
fn is_too_large(key: &[u8], value: &[u8], pass: &Pass<'_, '_, '_>) -> bool {
    pass.place().stored(key).len() + value.len() > pass.shared().bounds.item_len_max
}

/// Deletes an item whose new value is refused: the old one is not to stay.
fn forget<'a>(key: &'a [u8], pass: &mut Pass<'a, '_, '_>) {
    push(pass, key, Action::Delete(Condition::Always), Reply::Nothing, true);
}

/// The operation of a storage command, and its answer.
fn operation(request: Store<'_>, now: Millis) -> (Op<'_>, Reply) {
    let Store { mode, key, flags, exptime, value, noreply } = request;
    let put = |condition| Action::Put(Put { value, flags, expiry: expiry(exptime, now), condition });
    let (action, reply) = match mode {
        StoreMode::Set => (put(Condition::Always), Reply::Stored),
        StoreMode::Add => (put(Condition::Absent), Reply::Stored),
        StoreMode::Replace => (put(Condition::Present), Reply::Stored),
        StoreMode::Cas(version) => (put(Condition::Version(version)), Reply::Swapped),
        StoreMode::Append => (Action::Concat { bytes: value, end: End::Back, create: false }, Reply::Stored),
        StoreMode::Prepend => {
            (Action::Concat { bytes: value, end: End::Front, create: false }, Reply::Stored)
        }
    };
    (Op { key, action }, if noreply { Reply::Nothing } else { reply })
}

/// Begins to receive the value of a storage command, if that is what `bytes` begin. Gives how many of them are done with, or
/// nothing if the request has to be gathered.
#[cold]
#[inline(never)]
fn receive<'s>(bytes: &[u8], connection: &mut Connection<'s>, pass: &mut Pass<'_, '_, 's>) -> Option<usize> {
    let incoming = memcache::incoming_store(bytes, &pass.shared().bounds.skipping)?;
    let frame = Frame { value_start: incoming.value_start, value_len: incoming.value_len, ends: Ends::Crlf };
    let (op, reply) = operation(incoming.store, pass.now());
    arrival::begin(&op, AnyReply::Memcache(reply), frame, bytes, connection, pass)
}

/// The longest value that is left out: as long as memcached's largest item can be made, 1 GiB.
const SKIP_MAX: u64 = 1 << 30;

/// Answers a request that cannot be carried out; gives how many of the `here` bytes behind it are to be left out.
#[cold]
fn refused<'a>(
    request: Refused<'a>,
    connection: &mut Connection,
    here: usize,
    pass: &mut Pass<'a, '_, '_>,
) -> usize {
    let Refused { refusal, noreply, skip, stale_key, binary } = request;
    let mut place = [0; KEY_LEN_MAX];
    match stale_key {
        Some(key) if binary => {
            // The parser has tried it.
            let key = base64::decode(key, &mut place).unwrap_or_default();
            pass.aside(|aside| forget(key, aside));
        }
        Some(key) => forget(key, pass),
        None => {}
    }
    if !noreply {
        write::refusal(pass.direct(), refusal);
    }
    pass.executor.answers.errors += 1;
    if skip > SKIP_MAX {
        // No value is so long: the number is probably not a length, and nobody knows where the next request begins.
        connection.close();
        return here;
    }
    let now = usize::try_from(skip).map_or(here, |skip| skip.min(here));
    connection.input.skip(skip - now as u64);
    now
}

fn less_usual<'a>(request: Request<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match request {
        Request::Delete { key, noreply } => {
            push(pass, key, Action::Delete(Condition::Always), Reply::Deleted, noreply);
        }
        Request::Increment { key, delta, noreply } => count(pass, key, Delta::Up(delta), noreply),
        Request::Decrement { key, delta, noreply } => count(pass, key, Delta::Down(delta), noreply),
        Request::Touch { key, exptime, noreply } => {
            let action = Action::Touch(expiry(exptime, pass.now()), TouchCondition::Always);
            push(pass, key, action, Reply::Touched, noreply);
        }
        Request::FlushAll { exptime, noreply } => match expiry(exptime, pass.now()) {
            Expiry::At(at) if at > pass.now() => {
                pass.shared().flush_at.set(at);
                if !noreply {
                    pass.direct().extend_from_slice(write::OK);
                }
            }
            _ => {
                pass.shared().flush_at.cancel();
                pass.counters().flushes.add(1);
                connection.task = Some(Box::new(Task::flush(Done::Memcache { noreply }, pass.shared())));
            }
        },
        Request::Version => write::version(pass.direct(), MEMCACHED_VERSION),
        Request::Verbosity { noreply } => {
            if !noreply {
                pass.direct().extend_from_slice(write::OK);
            }
        }
        Request::Stats { section } => {
            pass.run();
            let (shared, now) = (pass.shared(), pass.now());
            stats::answer(pass.direct(), section, shared, now);
        }
        Request::Quit => connection.close(),
        Request::Fixed(text) => write::fixed(pass.direct(), text),
        Request::Dump(form) => connection.task = Some(Box::new(Task::Dump(Dumping::new(form)))),
        Request::Shutdown { known } => shutdown(known, connection, pass),
        Request::MemoryLimit { mebibytes, noreply } => {
            let there = pass.shared().config.memory_bytes >> 20;
            let text = match mebibytes {
                0..8 => "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m",
                1_000_000_001.. => "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes",
                _ if mebibytes as usize == there => "OK",
                _ => "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust",
            };
            if !noreply {
                write::fixed(pass.direct(), text);
            }
        }
        Request::ClusterConfig => match pass.shared().tcp() {
            Some(address) => write::cluster_config(pass.direct(), &address.ip().to_string(), address.port()),
            None => pass.direct().extend_from_slice(write::ERROR),
        },
        Request::Get { .. }
        | Request::GetAndTouch { .. }
        | Request::Store(_)
        | Request::Meta(_)
        | Request::Refused(_) => {}
    }
}

/// Stops the server, if that was allowed when it was started.
fn shutdown(known: bool, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    if !pass.shared().config.shutdown_command {
        write::fixed(pass.direct(), "ERROR: shutdown not enabled");
    } else if known {
        pass.run();
        pass.shared().control.request();
        connection.close();
    } else {
        write::client_error(pass.direct(), "invalid shutdown mode");
    }
}

fn count<'a>(pass: &mut Pass<'a, '_, '_>, key: &'a [u8], delta: Delta, noreply: bool) {
    let count = Count { delta, initial: None, expiry: Expiry::Keep };
    push(pass, key, Action::Count(count), Reply::Number, noreply);
}

/// The moment that an exptime means.
pub(crate) fn expiry(exptime: i64, now: Millis) -> Expiry {
    match Exptime::from(exptime) {
        Exptime::Never => Expiry::Never,
        Exptime::Expired => Expiry::At(Millis(0)),
        Exptime::Relative(seconds) => Expiry::At(now.after(u64::from(seconds) * 1000)),
        Exptime::Absolute(seconds) => Expiry::At(Millis(seconds.saturating_mul(1000))),
    }
}

/// Writes the answer.
pub(crate) fn answer(to: &mut Answers<'_>, reply: Reply, key: &[u8], outcome: Outcome<'_>, too_much: bool) {
    if reply == Reply::Nothing {
        return;
    }
    if let Outcome::Refused(error) = outcome {
        return refuse(to, reply, error);
    }
    let text: &[u8] = match (reply, outcome) {
        (Reply::Value { with_cas, last }, outcome) => {
            match outcome {
                // An error ends an answer for every client, and what comes behind it would be taken for the next one. So a
                // value that there is no memory for counts as evicted.
                _ if too_much => to.errors += 1,
                Outcome::Hit(value) | Outcome::Touched(value) => {
                    let cas = with_cas.then(|| value.version());
                    if to.is_lendable(&value) {
                        write::value_line(&mut to.out, key, value.flags(), cas, value.bytes().len());
                        to.lend(&value);
                        to.out.extend_from_slice(b"\r\n");
                    } else {
                        write::value(&mut to.out, key, value.flags(), cas, value.bytes());
                    }
                }
                _ => {}
            }
            if last { write::END } else { b"" }
        }
        (Reply::Number, Outcome::Number(number)) => {
            return write::number(&mut to.out, u64::try_from(number).unwrap_or(u64::MAX));
        }
        (Reply::Stored, Outcome::Stored { .. } | Outcome::Length(_))
        | (Reply::Swapped, Outcome::Stored { .. }) => write::STORED,
        (Reply::Stored, _) => write::NOT_STORED,
        (Reply::Swapped, Outcome::NotStored { found: Some(_) }) => write::EXISTS,
        (Reply::Deleted, Outcome::Removed(_)) => write::DELETED,
        (Reply::Touched, Outcome::Touched(_)) => write::TOUCHED,
        _ => write::NOT_FOUND,
    };
    to.out.extend_from_slice(text);
}

#[cold]
fn refuse(to: &mut Answers<'_>, reply: Reply, error: StoreError) {
    to.errors += 1;
    match (reply, error) {
        (Reply::Value { last, .. }, _) => {
            // No such key can be stored, so it is absent.
            if last {
                to.out.extend_from_slice(write::END);
            }
        }
        (_, StoreError::NotANumber) => to.out.extend_from_slice(write::NON_NUMERIC),
        (_, StoreError::TooLarge { .. }) => write::server_error(&mut to.out, "object too large for cache"),
        (_, StoreError::KeyTooLong { .. }) => write::client_error(&mut to.out, "bad command line format"),
        (Reply::Number, StoreError::Pressure | StoreError::NoPlace) => {
            write::server_error(&mut to.out, "out of memory in incr");
        }
        (_, StoreError::Pressure | StoreError::NoPlace) => to.out.extend_from_slice(write::OUT_OF_MEMORY),
        (_, error) => write::server_error(&mut to.out, &error.to_string()),
    }
}

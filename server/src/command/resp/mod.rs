//! RESP: the commands of Redis that a cache has, with Redis 7's answers and texts.
//!
//! ```text
//! usual --GET, SET--> operation            the two that matter go straight through
//! other --table------> a function of `strings`, `keyspace`, `expiry`, `connection`, `introspection`
//! ```

mod acl;
mod admin;
mod attend;
mod big;
mod bits;
pub(crate) mod calls;
mod change;
mod client;
mod client_list;
mod client_tracking;
mod config;
mod connection;
mod databases;
mod dump;
mod expiry;
pub(crate) mod info;
mod introspection;
mod keyspace;
mod latency;
mod lcs;
mod long_double;
mod many;
mod pubsub;
mod rename;
mod reply;
mod scripts;
mod sort;
mod strings;
mod table;
mod transaction;

use crabcache_engine::{Expiry, Millis, Op, Put};
use crabcache_protocol::detect::is_http_word;
use crabcache_protocol::resp::{self, Args, ParseError, Request, glob, inline, write};
use crabcache_protocol::{Limits, Parsed, Usual};

pub(crate) use attend::{begin_answer, end_answer, end_caching};
pub(crate) use client_list::ClientList;
pub(crate) use client_tracking::redirection;
pub(crate) use dump::Summing;
pub(crate) use lcs::Lcs;
pub(crate) use many::Many;
pub(crate) use pubsub::Ending;
pub(crate) use reply::{Reply, answer};
pub(crate) use table::{ALL as COMMANDS, name_of};
pub(crate) use transaction::{Exec, Transaction};

/// The number of SET.
pub(super) const SET: u16 = calls::SET as u16;

use self::expiry::Moment;
use super::arrival::{self, Ends, Frame};
use super::usual::Served;
use super::{NOT_A_WEB_SERVER, Reply as AnyReply};
use crate::bounds::Bounds;
use crate::connection::{Connection, Dialect, Replies};
use crate::reactor::batch::{Form, Pass};
use crate::reactor::sized;
use crate::reactor::turn::READ_MAX;

/// Answers requests until they end, one is not all here, or the client has to wait; gives how many bytes they had.
pub(crate) fn serve<'a, 's>(
    connection: &mut Connection<'s>,
    bytes: &'a [u8],
    pass: &mut Pass<'a, '_, 's>,
) -> usize {
    let mut at = leave_out(connection, bytes, pass);
    if connection.input.args_left > 0 {
        return at;
    }
    loop {
        if pass.is_ordinary() && !pass.executor.attended && connection.takes_usual() {
            at += serve_usual(connection, &bytes[at..], pass);
        }
        if at == bytes.len() || pass.is_full() || connection.input.is_whole() {
            return at;
        }
        let consumed = serve_other(connection, &bytes[at..], pass);
        at += consumed;
        if consumed == 0 || !connection.takes_requests() {
            return at;
        }
    }
}

/// The usual requests at the head of `bytes`; gives how many bytes they had. Out of line, so that the loop has the registers to
/// itself.
#[inline(never)]
fn serve_usual<'a>(connection: &mut Connection, bytes: &'a [u8], pass: &mut Pass<'a, '_, '_>) -> usize {
    let limits = pass.shared().bounds.resp;
    if limits.value_len_max < resp::SHORT_LEN_MAX {
        return 0;
    }
    let form = Form::Resp(pass.version);
    let get = |rest| {
        let (key, rest) = resp::usual_get(rest)?;
        Some((key, 0, rest))
    };
    let set = |rest| {
        let (pair, rest) = resp::usual_set(rest, &limits)?;
        Some((pair, 0, rest))
    };
    let Served { len, gets, sets } = super::usual::serve_usual(bytes, pass, get, set, |_| form);
    if len > 0 {
        // What was here was a whole request, however far the parser had come before.
        connection.input.progress = resp::Progress::default();
        connection.last = if sets > 0 { calls::SET } else { calls::GET } as u16;
    }
    pass.executor.gets += gets;
    pass.executor.sets += sets;
    len
}

/// The one request at the head of `bytes`, whatever it is; gives 0 if it has to stay there.
fn serve_other<'a, 's>(
    connection: &mut Connection<'s>,
    bytes: &'a [u8],
    pass: &mut Pass<'a, '_, 's>,
) -> usize {
    let limits = &pass.shared().bounds.resp;
    // What is longer than is read at once was gathered, and may have very many arguments.
    if bytes.len() > READ_MAX {
        match resp::check_some(bytes, limits, &mut connection.input.progress, CHECKED) {
            Ok(true) => {
                pass.executor.note_work(CHECKED * CHECK_TIME);
                connection.input.postpone();
                return 0;
            }
            Ok(false) => {}
            Err(error) => {
                protocol_error(error, connection, pass);
                return bytes.len();
            }
        }
    }
    // Whose requests are ordinary has come from `serve_usual`, where this one was looked at.
    let parse = if pass.is_ordinary() { resp::parse_other } else { resp::parse };
    match parse(bytes, limits, &mut connection.input.progress) {
        Ok(Parsed::Complete { value, consumed }) => {
            let typed = if let Request::Inline(line) = value { shows_too_much(line, pass) } else { false };
            if !connection.queues() && (typed || pass.is_too_much(values_shown(value))) {
                connection.hold_back();
                return 0;
            }
            if pass.executor.attended && attend::is_paused(value, connection, pass) {
                connection.pause();
                return 0;
            }
            pass.executor.commands += u64::from(value != Request::Nothing);
            let answer = begin_answer(connection, pass);
            match value {
                Request::Usual(usual) if connection.queues() => {
                    connection.last = calls::number_of_usual(usual) as u16;
                    transaction::queue(&bytes[..consumed], connection, pass);
                }
                Request::Usual(usual) => self::usual(usual, connection, pass),
                Request::Command(args) => table::run(args, connection, pass),
                Request::Inline(line) => retype(line, connection, pass),
                Request::Nothing => {}
            }
            end_answer(answer, connection, pass);
            pass.executor.note_unusual();
            consumed
        }
        Ok(Parsed::Incomplete { at_least }) => {
            if at_least > pass.shared().bounds.request_len_max {
                let answer = begin_answer(connection, pass);
                let consumed = refuse(connection, bytes, pass);
                end_answer(answer, connection, pass);
                return consumed;
            }
            receive(bytes, connection, pass).unwrap_or_else(|| {
                connection.input.expect(at_least);
                0
            })
        }
        Err(error) => {
            protocol_error(error, connection, pass);
            bytes.len()
        }
    }
}

/// Arguments of a request that are checked in a turn, and how long one takes, in nanoseconds or so.
const CHECKED: usize = sized(32 << 10);
const CHECK_TIME: usize = 10;

/// Nobody knows where the next request begins: says so, unless the client wants no answer, and closes.
#[cold]
fn protocol_error(error: ParseError, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    if connection.replies == Replies::On {
        write::protocol_error(pass.direct(), error);
    }
    connection.close();
}

/// A GET or SET that does not go straight through.
fn usual<'a>(usual: Usual<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let attended = connection.attended || pass.executor.attended;
    if attended && !attend::usual(usual, connection, pass) {
        return;
    }
    match usual {
        Usual::Get { key } => {
            pass.executor.gets += 1;
            pass.op(Op::get(key), Reply::Value);
        }
        Usual::Set { key, value } => {
            pass.executor.sets += 1;
            strings::put(pass, key, Put { value, ..Put::default() }, Reply::Ok);
        }
    }
}

/// Begins to receive the value of a SET, if that is what `bytes` begin. Gives how many of them are done with, or nothing if
/// the request has to be gathered.
#[cold]
#[inline(never)]
fn receive<'s>(bytes: &[u8], connection: &mut Connection<'s>, pass: &mut Pass<'_, '_, 's>) -> Option<usize> {
    if !connection.takes_usual() || pass.executor.attended {
        return None;
    }
    let set = resp::incoming_set(bytes, &pass.shared().bounds.resp)?;
    let ends = if set.has_option { Ends::Option } else { Ends::Crlf };
    let frame = Frame { value_start: set.value_start, value_len: set.value_len, ends };
    let reply = AnyReply::Resp(Reply::Ok);
    arrival::begin(&Op::put(set.key, &[]), reply, frame, bytes, connection, pass)
}

/// Longest words behind a value that are looked at, in bytes: no number in them is longer.
const BEHIND_MAX: usize = 64;

/// Reads the end of a value and two words behind it: when the item expires, if they tell that.
pub(super) fn read_expiry(bytes: &[u8], limits: &Limits, now: Millis) -> Parsed<Option<Millis>> {
    const COUNT: &[u8] = b"*2\r\n";
    const NONE: Parsed<Option<Millis>> = Parsed::Complete { value: None, consumed: 0 };
    let Some(words) = bytes.strip_prefix(b"\r\n") else { return NONE };
    let command = [COUNT, &words[..words.len().min(BEHIND_MAX)]].concat();
    match resp::parse_other(&command, limits, &mut resp::Progress::default()) {
        Ok(Parsed::Complete { value: Request::Command(args), consumed }) => {
            let (mut moment, mut number) = (Moment::default(), args.iter().skip(1));
            let is_moment = moment.take(args.name(), "", &mut number);
            match moment.expiry(now) {
                Ok(Some(Expiry::At(at))) if is_moment && at > now => {
                    Parsed::Complete { value: Some(at), consumed: consumed - COUNT.len() + 2 }
                }
                _ => NONE,
            }
        }
        Ok(Parsed::Incomplete { at_least }) if at_least < BEHIND_MAX => {
            Parsed::Incomplete { at_least: at_least - COUNT.len() + 2 }
        }
        _ => NONE,
    }
}

/// The keys whose values the answer will hold.
fn values_shown(request: Request<'_>) -> impl Iterator<Item = &[u8]> {
    let (key, args) = match request {
        Request::Usual(Usual::Get { key }) => (Some(key), None),
        Request::Command(args) => (None, Some(args)),
        _ => (None, None),
    };
    key.into_iter().chain(args.into_iter().flat_map(table::values_of))
}

/// A request that is too large to be kept: it is answered, and what is to come of it is left out. Gives how many bytes are
/// done with.
#[cold]
fn refuse(connection: &mut Connection, bytes: &[u8], pass: &mut Pass<'_, '_, '_>) -> usize {
    let Bounds { item_len_max, request_len_max, resp: limits, .. } = pass.shared().bounds;
    let Some((at, args)) = std::mem::take(&mut connection.input.progress).unread() else {
        // Nobody knows where the next request begins.
        pass.error("ERR Protocol error: too big request");
        connection.close();
        return bytes.len();
    };
    transaction::spoil(connection);
    match resp::argument_len(&bytes[at..], &limits) {
        Ok(Some(len)) if len > item_len_max => pass.error(&reply::too_large(item_len_max)),
        _ => pass.error(&format!("ERR the request is too large: it may have {request_len_max} bytes")),
    }
    connection.input.args_left = args;
    at + leave_out(connection, &bytes[at..], pass)
}

/// Leaves out what is left of a request that is too large; gives how many bytes are done with.
#[inline]
fn leave_out(connection: &mut Connection, bytes: &[u8], pass: &mut Pass<'_, '_, '_>) -> usize {
    let mut at = 0;
    while connection.input.args_left > 0 {
        let rest = &bytes[at..];
        match resp::argument_len(rest, &pass.shared().bounds.resp) {
            Ok(Some(len)) => {
                connection.input.args_left -= 1;
                if len > rest.len() {
                    connection.input.skip((len - rest.len()) as u64);
                    return bytes.len();
                }
                at += len;
            }
            Ok(None) => {
                connection.input.expect(rest.len() + 1);
                break;
            }
            Err(error) => {
                protocol_error(error, connection, pass);
                return bytes.len();
            }
        }
    }
    at
}

/// A line typed by hand: the same request as a client library would have sent it, carried out aside, since its bytes
/// live no longer than this call.
#[cold]
fn retype(line: &[u8], connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    let mut typed = Vec::new();
    if let Err(error) = inline::rewrite(line, &mut typed) {
        protocol_error(error, connection, pass);
        return;
    }
    let limits = pass.shared().bounds.resp;
    pass.aside(|pass| match resp::parse(&typed, &limits, &mut resp::Progress::default()) {
        Ok(Parsed::Complete { value, .. }) => match value {
            Request::Usual(_) if connection.queues() => transaction::queue(&typed, connection, pass),
            Request::Usual(usual) => self::usual(usual, connection, pass),
            // A browser sends lines.
            Request::Command(args) if is_http_word(args.name()) && table::find(args.name()).is_none() => {
                pass.error(&format!("ERR {NOT_A_WEB_SERVER}"));
                connection.close();
            }
            Request::Command(args) => table::run(args, connection, pass),
            Request::Inline(_) | Request::Nothing => {}
        },
        Ok(Parsed::Incomplete { .. }) => {}
        Err(error) => {
            protocol_error(error, connection, pass);
        }
    });
}

/// Whether a line typed by hand asks for values that there is no memory for at the moment.
fn shows_too_much(line: &[u8], pass: &mut Pass<'_, '_, '_>) -> bool {
    let mut typed = Vec::new();
    if !pass.is_cautious() || inline::rewrite(line, &mut typed).is_err() {
        return false;
    }
    let parsed = resp::parse(&typed, &pass.shared().bounds.resp, &mut resp::Progress::default());
    matches!(parsed, Ok(Parsed::Complete { value, .. }) if pass.is_too_much(values_shown(value)))
}

/// Changes the version of RESP from this request on.
fn speak(version: resp::Version, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    connection.dialect = Dialect::Resp(version);
    pass.version = version;
}

impl<'a> Pass<'a, '_, '_> {
    /// Adds an operation that is answered as RESP does.
    #[inline]
    fn op(&mut self, op: Op<'a>, reply: Reply) {
        self.push(op, AnyReply::Resp(reply));
    }

    /// Answers with an error; `text` begins with its code.
    #[cold]
    pub(crate) fn error<T: AsRef<[u8]> + ?Sized>(&mut self, text: &T) {
        self.run();
        self.executor.answers.fail(text);
        self.executor.refused += 1;
    }

    /// Answers that the command `name` has too few or too many arguments.
    #[cold]
    fn wrong_arity(&mut self, name: &str) {
        self.error(&format!("ERR wrong number of arguments for '{name}' command"));
    }

    /// Answers that the arguments make no sense.
    #[cold]
    fn syntax_error(&mut self) {
        self.error("ERR syntax error");
    }

    /// Answers that an argument should have been a number.
    #[cold]
    fn not_an_integer(&mut self) {
        self.error("ERR value is not an integer or out of range");
    }

    /// Answers that an expiry cannot be.
    #[cold]
    fn invalid_expire(&mut self, name: &str) {
        self.error(&format!("ERR invalid expire time in '{name}' command"));
    }
}

/// An array of names.
fn names(out: &mut Vec<u8>, names: &[&str]) {
    write::array(out, names.len());
    for name in names {
        write::bulk(out, name.as_bytes());
    }
}

/// Flags: a set of simple strings.
fn flags(out: &mut Vec<u8>, flags: &[&str], version: resp::Version) {
    write::set(out, flags.len(), version);
    for flag in flags {
        write::simple(out, flag.as_bytes());
    }
}

/// At most so many bytes of an argument, and none from a 0 on: as C's `%.*s` shows it in an error.
fn shown(argument: &[u8], len_max: usize) -> &[u8] {
    let end = argument.iter().position(|&byte| byte == 0).unwrap_or(argument.len());
    &argument[..end.min(len_max)]
}

/// Whether an argument is this word, in any case. `word` is in upper case.
fn is(argument: &[u8], word: &str) -> bool {
    argument.eq_ignore_ascii_case(word.as_bytes())
}

/// The first argument after the name, the first two, the first three: for commands whose arity the table has checked.
fn one<'a>(args: &Args<'a>) -> &'a [u8] {
    args.get(1).unwrap_or_default()
}

fn two<'a>(args: &Args<'a>) -> (&'a [u8], &'a [u8]) {
    let mut rest = args.iter().skip(1);
    (rest.next().unwrap_or_default(), rest.next().unwrap_or_default())
}

fn three<'a>(args: &Args<'a>) -> (&'a [u8], &'a [u8], &'a [u8]) {
    let mut rest = args.iter().skip(1);
    (rest.next().unwrap_or_default(), rest.next().unwrap_or_default(), rest.next().unwrap_or_default())
}

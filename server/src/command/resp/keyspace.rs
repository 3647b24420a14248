//! Commands about keys, one or all of them.

use crabcache_engine::{Action, Op};
use crabcache_protocol::number::{parse_i64, parse_u64_lenient, write_u64};
use crabcache_protocol::resp::{Args, write};

use super::reply::{Kind, Reply};
use super::{is, many, one, two};
use crate::command::task::Task;
use crate::command::walk::{Search, TOO_COMPLEX, TooComplex, Walk};
use crate::connection::Connection;
use crate::reactor::batch::Pass;

/// The most items that one SCAN looks at: about half a millisecond.
const SCAN_COUNT_MAX: usize = 4096;

/// An operation per key, and the number of those that found it.
fn tally<'a>(
    args: Args<'a>,
    connection: &mut Connection,
    pass: &mut Pass<'a, '_, '_>,
    action: Action<'static>,
) {
    if args.len() == 2 {
        return pass.op(Op { key: one(&args), action }, Reply::Did);
    }
    if many::tally(args, action, connection, pass) {
        return;
    }
    let mut left = args.len() - 1;
    for key in args.iter().skip(1) {
        left -= 1;
        pass.op(Op { key, action }, Reply::Tally { last: left == 0 });
    }
}

pub(super) fn del<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    tally(args, connection, pass, Op::delete(b"").action);
}

pub(super) fn exists<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    tally(args, connection, pass, Action::Peek);
}

pub(super) fn touch<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    tally(args, connection, pass, Action::Get);
}

fn about<'a>(key: &'a [u8], pass: &mut Pass<'a, '_, '_>, kind: Kind) {
    pass.op(Op { key, action: Action::Peek }, Reply::About(kind));
}

pub(super) fn r#type<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    about(one(&args), pass, Kind::Type);
}

pub(super) fn object_encoding<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    about(two(&args).1, pass, Kind::Encoding);
}

pub(super) fn object_refcount<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    about(two(&args).1, pass, Kind::RefCount);
}

pub(super) fn object_idletime<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    about(two(&args).1, pass, Kind::IdleTime);
}

pub(super) fn object_freq<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    about(two(&args).1, pass, Kind::Freq);
}

/// `MEMORY USAGE key [SAMPLES count]`: a string is measured whole, however many samples are allowed.
pub(super) fn memory_usage<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let mut options = args.iter().skip(3);
    while let Some(option) = options.next() {
        let Some(count) = options.next().filter(|_| is(option, "SAMPLES")) else {
            return pass.syntax_error();
        };
        match parse_i64(count) {
            Some(0..) => {}
            Some(_) => return pass.syntax_error(),
            None => return pass.not_an_integer(),
        }
    }
    about(two(&args).1, pass, Kind::Usage);
}

pub(super) fn memory_doctor<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let text = "The memory of this cache is fixed, and was taken when it started. MEMORY STATS tells how it is used.\n";
    let version = pass.version;
    write::verbatim(pass.direct(), *b"txt", text.as_bytes(), version);
}

/// `MEMORY PURGE`: what clients held goes back to the system. The items' memory is taken for good.
pub(super) fn memory_purge<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    crate::sys::memory::return_small_buffers();
    pass.executor.note_work(1_000_000);
    pass.direct().extend_from_slice(write::OK);
}

/// `MEMORY STATS`, with Redis' names for what there is.
pub(super) fn memory_stats<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    // The system is asked.
    pass.executor.note_work(100_000);
    pass.run();
    let usage = crate::sys::usage::usage();
    let stats = pass.shared().cache.stats();
    let overhead = stats.index_bytes + stats.limbo_bytes;
    let used = stats.used_bytes + overhead;
    let figures = [
        ("peak.allocated", usage.resident_bytes_max),
        ("total.allocated", used),
        ("startup.allocated", 0),
        ("overhead.total", overhead),
        ("keys.count", stats.items),
        ("keys.bytes-per-key", used.checked_div(stats.items).unwrap_or(0)),
        ("dataset.bytes", stats.used_bytes),
        ("allocator.allocated", used),
        ("allocator.active", stats.region_bytes),
        ("allocator.resident", usage.resident_bytes),
    ];
    let version = pass.version;
    let out = pass.direct();
    write::map(out, figures.len(), version);
    for (name, figure) in figures {
        write::bulk(out, name.as_bytes());
        write::integer(out, figure as i64);
    }
}

pub(super) fn keys<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    connection.task = Some(Box::new(Task::Walk(Walk::keys(pass.place(), one(&args)))));
}

pub(super) fn randomkey<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if pass.shared().databases.is_unused(pass.place()) {
        let version = pass.version;
        return write::nil(pass.direct(), version);
    }
    // Where there is no randomness to be had, any key will do.
    let choice = getrandom::u64().unwrap_or_default();
    let buckets = pass.shared().cache.stats().buckets;
    connection.task = Some(Box::new(Task::Walk(Walk::random(pass.place(), choice, buckets))));
}

/// A cursor, as C's `strtoul` reads it: one below 0 counts from the end of all numbers.
fn cursor(text: &[u8]) -> Option<u64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text.strip_prefix(b"+").unwrap_or(text)),
    };
    match (digits, parse_u64_lenient(digits)) {
        // Redis takes no text for 0.
        ([], _) if text.is_empty() => Some(0),
        ([b'0'..=b'9', ..], Some(number)) if negative => Some(number.wrapping_neg()),
        ([b'0'..=b'9', ..], number) => number,
        _ => None,
    }
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub(super) fn scan<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let Some(mut cursor) = cursor(one(&args)) else { return pass.error("ERR invalid cursor") };
    let (mut pattern, mut count, mut strings) = (None, 10, true);
    let mut options = args.iter().skip(2);
    while let Some(option) = options.next() {
        let Some(operand) = options.next() else { return pass.syntax_error() };
        if is(option, "MATCH") {
            pattern = Some(operand).filter(|pattern| *pattern != b"*");
        } else if is(option, "COUNT") {
            match parse_i64(operand) {
                Some(wanted @ 1..) => {
                    count = usize::try_from(wanted).map_or(SCAN_COUNT_MAX, |n| n.min(SCAN_COUNT_MAX));
                }
                Some(_) => return pass.syntax_error(),
                None => return pass.not_an_integer(),
            }
        } else if is(option, "TYPE") {
            strings = is(operand, "STRING");
        } else {
            return pass.syntax_error();
        }
    }
    pass.run();
    let mut search = Search::new(pass.place());
    loop {
        let left = count.saturating_sub(search.seen);
        cursor = match search.go_on(cursor, left, pattern, pass) {
            Ok(next) => next,
            Err(TooComplex) => return pass.error(TOO_COMPLEX),
        };
        if cursor == 0 || search.has_worked(count) {
            break;
        }
    }
    pass.executor.note_work(search.work());
    if !strings {
        (search.found, search.count) = (Vec::new(), 0);
    }
    let out = pass.direct();
    write::array(out, 2);
    let mut digits = Vec::with_capacity(20);
    write_u64(&mut digits, cursor);
    write::bulk(out, &digits);
    write::array(out, search.count);
    out.extend_from_slice(&search.found);
}

/// `WAIT replicas timeout`: there are no replicas to wait for.
pub(super) fn wait<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (replicas, timeout) = two(&args);
    match (parse_i64(replicas), parse_i64(timeout)) {
        (None, _) => pass.not_an_integer(),
        (_, None) => pass.error("ERR timeout is not an integer or out of range"),
        (_, Some(..0)) => pass.error("ERR timeout is negative"),
        _ => write::integer(pass.direct(), 0),
    }
}

pub(super) fn memory_malloc_stats<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::bulk(pass.direct(), b"Stats not supported for the current allocator");
}

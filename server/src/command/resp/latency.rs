//! LATENCY and SLOWLOG: how long commands took. Events are not monitored, so there are none to tell of.

use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::connection::ECHOED_MAX;
use super::table::{self, Found};
use crate::connection::Connection;
use crate::reactor::batch::Pass;

/// `LATENCY LATEST`
pub(super) fn latest<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::array(pass.direct(), 0);
}

/// `LATENCY HISTORY event`
pub(super) fn history<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::array(pass.direct(), 0);
}

/// `LATENCY RESET [event ...]`
pub(super) fn reset<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::integer(pass.direct(), 0);
}

/// `LATENCY GRAPH event`
pub(super) fn graph<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let event = String::from_utf8_lossy(args.get(2).unwrap_or_default()).into_owned();
    pass.error(&format!("ERR No samples available for event '{event}'"));
}

/// `LATENCY DOCTOR`
pub(super) fn doctor<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let text = "Latency events are not monitored here. LATENCY HISTOGRAM, INFO latencystats and SLOWLOG GET tell how \
                long commands took.\n";
    let version = pass.version;
    write::verbatim(pass.direct(), *b"txt", text.as_bytes(), version);
}

/// `LATENCY HISTOGRAM [command ...]`
pub(super) fn histogram<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many commands at once");
    }
    pass.run();
    let shared = pass.shared();
    let calls = shared.report().calls;
    let wanted: Vec<Found> = if args.len() == 2 {
        table::all().collect()
    } else {
        // Each is told of once, however often it is named.
        let mut told = [false; table::ALL];
        args.iter()
            .skip(2)
            .filter_map(table::find_any)
            .flat_map(|found| std::iter::once(found).chain(table::subcommands_of(found)))
            .filter(|found| !std::mem::replace(&mut told[found.number], true))
            .collect()
    };
    pass.executor.note_work(wanted.len() * 1000);
    let wanted = wanted.into_iter().map(|found| (found.command.name, calls.command(found.number)));
    let wanted: Vec<_> =
        wanted.filter(|(_, totals)| totals.calls > 0 && shared.settings.times_requests()).collect();
    let version = pass.version;
    let out = pass.direct();
    write::map(out, wanted.len(), version);
    for (name, totals) in wanted {
        write::bulk(out, name.as_bytes());
        write::map(out, 2, version);
        write::bulk(out, b"calls");
        write::integer(out, totals.calls as i64);
        write::bulk(out, b"histogram_usec");
        let lines = totals.histogram();
        write::map(out, lines.len(), version);
        for (nanos, calls) in lines {
            write::integer(out, (nanos / 1000) as i64);
            write::integer(out, calls as i64);
        }
    }
}

/// `SLOWLOG GET [count]`
pub(super) fn slowlog_get<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len() > 3 {
        return pass.wrong_subcommand(args);
    }
    let count = match args.get(2).map(parse_i64) {
        None => 10,
        Some(Some(-1)) => usize::MAX,
        Some(Some(count @ 0..)) => usize::try_from(count).unwrap_or(usize::MAX),
        Some(_) => return pass.error("ERR count should be greater than or equal to -1"),
    };
    let entries = pass.shared().slowlog.last(count);
    let out = pass.direct();
    write::array(out, entries.len());
    for entry in entries {
        write::array(out, 6);
        for number in [entry.id, entry.at, entry.micros] {
            write::integer(out, number as i64);
        }
        write::array(out, entry.args.len());
        for arg in &entry.args {
            write::bulk(out, arg);
        }
        write::bulk(out, entry.peer.as_bytes());
        write::bulk(out, entry.name.as_bytes());
    }
}

/// `SLOWLOG LEN`
pub(super) fn slowlog_len<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let len = pass.shared().slowlog.len();
    write::integer(pass.direct(), len as i64);
}

/// `SLOWLOG RESET`
pub(super) fn slowlog_reset<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.shared().slowlog.truncate(0);
    pass.direct().extend_from_slice(write::OK);
}

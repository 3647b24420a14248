//! Channels can be subscribed to, since some clients insist on it at the start; nothing is ever published.

use crabcache_protocol::resp::{Args, write};

use super::connection::ECHOED_MAX;
use crate::connection::Connection;
use crate::reactor::batch::Pass;

pub(super) fn subscribe<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    subscription(args, pass, true);
}

pub(super) fn psubscribe<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    subscription(args, pass, true);
}

pub(super) fn punsubscribe<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    subscription(args, pass, false);
}

pub(super) fn unsubscribe<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    subscription(args, pass, false);
}

fn subscription(args: Args<'_>, pass: &mut Pass<'_, '_, '_>, on: bool) {
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many channels at once");
    }
    let name = args.name().to_ascii_lowercase();
    let version = pass.version;
    let out = pass.direct();
    for (at, channel) in args.iter().skip(1).enumerate() {
        write::push(out, 3, version);
        write::bulk(out, &name);
        write::bulk(out, channel);
        write::integer(out, if on { at as i64 + 1 } else { 0 });
    }
    if args.len() == 1 {
        write::push(out, 3, version);
        write::bulk(out, &name);
        write::nil(out, version);
        write::integer(out, 0);
    }
}

pub(super) fn publish<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::integer(pass.direct(), 0);
}

//! CLIENT: who is connected, and how it wants to be treated.

use crabcache_engine::Millis;
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::{client_list, is};
use crate::clock;
use crate::clock::Moment;
use crate::connection::{Connection, Replies};
use crate::monitor::Monitoring;
use crate::pause::Paused;
use crate::reactor::batch::Pass;

/// `CLIENT ID`
pub(super) fn id<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::integer(pass.direct(), connection.client.id as i64);
}

/// `CLIENT GETNAME`
pub(super) fn getname<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let names = connection.client.names();
    let version = pass.version;
    match names.client.as_bytes() {
        b"" => write::nil(pass.direct(), version),
        name => write::bulk(pass.direct(), name),
    }
}

/// `CLIENT INFO`
pub(super) fn info<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    connection.client.note(connection.seen_as(Moment::now()));
    let line = client_list::line(&connection.client, clock::now().0) + "\n";
    let version = pass.version;
    write::verbatim(pass.direct(), *b"txt", line.as_bytes(), version);
}

/// `CLIENT SETNAME name`
pub(super) fn setname<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if set_name(args.get(2).unwrap_or_default(), connection, pass) {
        pass.direct().extend_from_slice(write::OK);
    }
}

/// `CLIENT REPLY ON | OFF | SKIP`
pub(super) fn reply<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match args.get(2) {
        Some(on) if is(on, "ON") => {
            connection.replies = Replies::On;
            pass.direct().extend_from_slice(write::OK);
        }
        Some(off) if is(off, "OFF") => connection.replies = Replies::Off,
        // Who is not answered at all stays so.
        Some(skip) if is(skip, "SKIP") => {
            if connection.replies != Replies::Off {
                connection.replies = Replies::SkipNext;
            }
        }
        _ => return pass.syntax_error(),
    }
    connection.attend();
}

/// `CLIENT PAUSE milliseconds [WRITE | ALL]`
pub(super) fn pause<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len() > 4 {
        return pass.wrong_subcommand(args);
    }
    let what = match args.get(3) {
        Some(what) if is(what, "WRITE") => Paused::Writes,
        Some(what) if !is(what, "ALL") => return pass.error("ERR CLIENT PAUSE mode must be WRITE or ALL"),
        _ => Paused::All,
    };
    let Some(ms) = parse_i64(args.get(2).unwrap_or_default()) else {
        return pass.error("ERR timeout is not an integer or out of range");
    };
    if ms < 0 {
        return pass.error("ERR timeout is negative");
    }
    let (shared, now) = (pass.shared(), pass.now());
    // A pause that ends behind all moments of Redis would have no end.
    let Some(end) = ms.checked_add_unsigned(now.0) else {
        return pass.error("ERR timeout is out of range");
    };
    // Nobody else carries anything out while this begins, and whoever begins after that knows.
    pass.alone(|_| shared.pause.begin(Millis(end.unsigned_abs()), what, now));
    pass.executor.look_around();
    shared.wake_all();
    pass.direct().extend_from_slice(write::OK);
}

/// `CLIENT UNPAUSE`
pub(super) fn unpause<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let shared = pass.shared();
    shared.pause.end();
    pass.executor.look_around();
    shared.wake_all();
    pass.direct().extend_from_slice(write::OK);
}

/// `CLIENT UNBLOCK id [TIMEOUT | ERROR]`: no command blocks, so there is nobody to unblock.
pub(super) fn unblock<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len() > 4 {
        return pass.wrong_subcommand(args);
    }
    match args.get(3) {
        Some(why) if !is(why, "TIMEOUT") && !is(why, "ERROR") => {
            return pass.error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        }
        _ => {}
    }
    match parse_i64(args.get(2).unwrap_or_default()) {
        Some(_) => write::integer(pass.direct(), 0),
        None => pass.not_an_integer(),
    }
}

/// `MONITOR`
pub(super) fn monitor<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let shared = pass.shared();
    if connection.monitoring.is_none() {
        let client = &connection.client;
        connection.monitoring = Some(pass.alone(|_| Monitoring::new(&shared.monitors, client)));
        pass.executor.look_around();
        connection.attend();
    }
    pass.direct().extend_from_slice(write::OK);
}

/// `CLIENT NO-EVICT ON | OFF`: memory is given back by rules that know no favourites.
pub(super) fn no_evict<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match args.get(2) {
        Some(on) if is(on, "ON") || is(on, "OFF") => pass.direct().extend_from_slice(write::OK),
        _ => pass.syntax_error(),
    }
}

/// `CLIENT NO-TOUCH ON | OFF`: reads count as uses all the same.
pub(super) fn no_touch<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    no_evict(args, connection, pass);
}

/// Longest name of a client: it is kept for as long as the client stays.
const NAME_LEN_MAX: usize = 1024;

/// Whether a name can be shown in a list: Redis' rule.
fn is_showable(text: &[u8]) -> bool {
    text.len() <= NAME_LEN_MAX && text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

pub(super) fn set_name(name: &[u8], connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
    if name.len() > NAME_LEN_MAX {
        pass.error("ERR Client names cannot be longer than 1024 bytes.");
        return false;
    }
    let showable = is_showable(name);
    if showable {
        connection.client.rename(|names| names.client = String::from_utf8_lossy(name).into_owned());
    } else {
        pass.error("ERR Client names cannot contain spaces, newlines or special characters.");
    }
    showable
}

/// `CLIENT SETINFO LIB-NAME name | LIB-VER version`
pub(super) fn setinfo<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (field, text) = (args.get(2).unwrap_or_default(), args.get(3).unwrap_or_default());
    let name = String::from_utf8_lossy(field).to_lowercase();
    let known = is(field, "LIB-NAME") || is(field, "LIB-VER");
    if !known {
        pass.error(&format!("ERR Unrecognized option '{name}'"));
    } else if !is_showable(text) {
        pass.error(&format!("ERR {name} cannot contain spaces, newlines or special characters."));
    } else {
        let text = String::from_utf8_lossy(text).into_owned();
        connection.client.rename(|names| {
            if is(field, "LIB-NAME") {
                names.library = text;
            } else {
                names.library_version = text;
            }
        });
        pass.direct().extend_from_slice(write::OK);
    }
}

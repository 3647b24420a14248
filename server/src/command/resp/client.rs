//! CLIENT: who is connected, and how it wants to be treated.

use crabcache_protocol::resp::{Args, write};

use super::is;
use crate::clock;
use crate::connection::Connection;
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
    let line = connection.client.line(clock::now().0) + "\n";
    let version = pass.version;
    write::verbatim(pass.direct(), *b"txt", line.as_bytes(), version);
}

/// `CLIENT LIST`
pub(super) fn list<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let now = clock::now().0;
    let lines: String = pass.shared().clients.all().iter().map(|client| client.line(now) + "\n").collect();
    let version = pass.version;
    write::verbatim(pass.direct(), *b"txt", lines.as_bytes(), version);
}

/// `CLIENT SETNAME name`
pub(super) fn setname<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if set_name(args.get(2).unwrap_or_default(), connection, pass) {
        pass.direct().extend_from_slice(write::OK);
    }
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

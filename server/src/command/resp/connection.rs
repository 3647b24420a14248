//! Commands about the connection itself.

use std::sync::atomic::Ordering;

use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, Version, write};

use super::{is, one, speak};
use crate::clock;
use crate::connection::Connection;
use crate::reactor::batch::Pass;

pub(super) fn ping<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match args.get(1) {
        None => pass.direct().extend_from_slice(b"+PONG\r\n"),
        Some(text) if args.len() == 2 => write::bulk(pass.direct(), text),
        Some(_) => pass.wrong_arity("ping"),
    }
}

pub(super) fn echo<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::bulk(pass.direct(), one(&args));
}

pub(super) fn quit<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.direct().extend_from_slice(write::OK);
    connection.close();
}

pub(super) fn select<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match parse_i64(one(&args)) {
        Some(0) => pass.direct().extend_from_slice(write::OK),
        Some(_) => pass.error("ERR DB index is out of range"),
        None => pass.not_an_integer(),
    }
}

/// `AUTH [user] password`: there is no password to be right about.
pub(super) fn auth<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match args.len() {
        2 => pass.error(NO_PASSWORD),
        3 => authenticate(one(&args), pass),
        _ => pass.syntax_error(),
    }
}

const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the default user. Are you \
                           sure your configuration is correct?";

/// With a user's name Redis lets the default user in with any password while it has none.
fn authenticate(user: &[u8], pass: &mut Pass<'_, '_, '_>) {
    if user == b"default" {
        pass.direct().extend_from_slice(write::OK);
    } else {
        pass.error("WRONGPASS invalid username-password pair or user is disabled.");
    }
}

/// `HELLO [version [AUTH user password] [SETNAME name]]`
pub(super) fn hello<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let mut options = args.iter().skip(1);
    let version = match options.next().map(parse_i64) {
        None => pass.version,
        Some(Some(2)) => Version::Resp2,
        Some(Some(3)) => Version::Resp3,
        Some(Some(_)) => return pass.error("NOPROTO unsupported protocol version"),
        Some(None) => return pass.error("ERR Protocol version is not an integer or out of range"),
    };
    while let Some(option) = options.next() {
        if is(option, "AUTH") {
            let (Some(user), Some(_)) = (options.next(), options.next()) else {
                return no_option(option, pass);
            };
            if user != b"default" {
                return authenticate(user, pass);
            }
        } else if is(option, "SETNAME") {
            let Some(name) = options.next() else { return no_option(option, pass) };
            if !set_name(name, connection, pass) {
                return;
            }
        } else {
            return no_option(option, pass);
        }
    }
    speak(version, connection, pass);
    let number = if version == Version::Resp3 { 3 } else { 2 };
    connection.client.resp.store(number, Ordering::Relaxed);
    let id = connection.client.id;
    let out = pass.direct();
    write::map(out, 7, version);
    for (name, text) in [("server", "redis"), ("version", super::info::REDIS_VERSION)] {
        write::bulk(out, name.as_bytes());
        write::bulk(out, text.as_bytes());
    }
    for (name, number) in [("proto", i64::from(number)), ("id", id as i64)] {
        write::bulk(out, name.as_bytes());
        write::integer(out, number);
    }
    for (name, text) in [("mode", "standalone"), ("role", "master")] {
        write::bulk(out, name.as_bytes());
        write::bulk(out, text.as_bytes());
    }
    write::bulk(out, b"modules");
    write::array(out, 0);
}

fn no_option(option: &[u8], pass: &mut Pass<'_, '_, '_>) {
    pass.error(&format!("ERR Syntax error in HELLO option '{}'", String::from_utf8_lossy(option)));
}

pub(super) fn reset<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    speak(Version::Resp2, connection, pass);
    connection.transaction = None;
    connection.client.resp.store(2, Ordering::Relaxed);
    connection.client.rename(|names| names.client.clear());
    pass.direct().extend_from_slice(b"+RESET\r\n");
}

/// `CLIENT SETINFO | SETNAME | GETNAME | ID | INFO | LIST | NO-EVICT | NO-TOUCH | REPLY ON`
pub(super) fn client<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let mut rest = args.iter().skip(1);
    let what = rest.next().unwrap_or_default();
    let now = clock::now().0;
    match (rest.next(), rest.next()) {
        (None, None) if is(what, "ID") => write::integer(pass.direct(), connection.client.id as i64),
        (None, None) if is(what, "GETNAME") => {
            let names = connection.client.names();
            let version = pass.version;
            match names.client.as_bytes() {
                b"" => write::nil(pass.direct(), version),
                name => write::bulk(pass.direct(), name),
            }
        }
        (None, None) if is(what, "INFO") => {
            let line = connection.client.line(now) + "\n";
            let version = pass.version;
            write::verbatim(pass.direct(), *b"txt", line.as_bytes(), version);
        }
        (_, _) if is(what, "LIST") => {
            let lines: String =
                pass.shared().clients.all().iter().map(|client| client.line(now) + "\n").collect();
            let version = pass.version;
            write::verbatim(pass.direct(), *b"txt", lines.as_bytes(), version);
        }
        (Some(name), None) if is(what, "SETNAME") => {
            if set_name(name, connection, pass) {
                pass.direct().extend_from_slice(write::OK);
            }
        }
        (Some(field), Some(text)) if is(what, "SETINFO") && args.len() == 4 => {
            set_info(field, text, connection, pass);
        }
        (Some(_), None) if is(what, "NO-EVICT") || is(what, "NO-TOUCH") => {
            pass.direct().extend_from_slice(write::OK);
        }
        (Some(on), None) if is(what, "REPLY") && is(on, "ON") => pass.direct().extend_from_slice(write::OK),
        _ if ["ID", "GETNAME", "INFO", "SETNAME", "SETINFO"].iter().any(|known| is(what, known)) => {
            pass.wrong_arity(&format!("client|{}", String::from_utf8_lossy(what).to_lowercase()));
        }
        _ => pass.unknown_subcommand(what, "CLIENT"),
    }
}

/// Longest name of a client: it is kept for as long as the client stays.
const NAME_LEN_MAX: usize = 1024;

/// Most arguments of a command that answers more than it was asked.
pub(super) const ECHOED_MAX: usize = 1024;

/// Whether a name can be shown in a list: Redis' rule.
fn is_showable(text: &[u8]) -> bool {
    text.len() <= NAME_LEN_MAX && text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn set_name(name: &[u8], connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
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

fn set_info(field: &[u8], text: &[u8], connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
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

/// Channels can be subscribed to, since some clients insist on it at the start; nothing is ever published.
pub(super) fn subscribe<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    subscription(args, pass, true);
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

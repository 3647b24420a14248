//! Commands about the connection itself.

use std::sync::atomic::Ordering;

use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, Version, write};

use super::client::set_name;
use super::pubsub::Ending;
use super::{is, one, shown, speak};
use crate::connection::{Connection, Replies};
use crate::reactor::batch::Pass;

pub(super) fn ping<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match args.get(1) {
        text if connection.subscriptions.is_some() && pass.version == Version::Resp2 && args.len() < 3 => {
            // Among messages it has to look like one.
            let out = pass.direct();
            write::array(out, 2);
            write::bulk(out, b"pong");
            write::bulk(out, text.unwrap_or_default());
        }
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
    pass.error(&[b"ERR Syntax error in HELLO option '", shown(option, option.len()), b"'"].concat());
}

pub(super) fn reset<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    Ending::Reset.begin(connection, pass);
}

/// Makes the connection what it was, once it has no subscriptions.
pub(super) fn reset_now(connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    speak(Version::Resp2, connection, pass);
    connection.transaction = None;
    connection.database = 0;
    pass.use_database(0);
    connection.monitoring = None;
    connection.tracked = None;
    if connection.replies == Replies::Off {
        connection.replies = Replies::On;
    }
    connection.attend();
    connection.client.resp.store(2, Ordering::Relaxed);
    connection.client.rename(|names| names.client.clear());
    pass.direct().extend_from_slice(b"+RESET\r\n");
}

/// Most arguments of a command that answers something about each, or more than it was asked.
pub(super) const ECHOED_MAX: usize = 1024;

//! The command line, and what may have been meant where it cannot be understood.

use std::ffi::OsString;

use clap::builder::{StyledStr, UnknownArgumentValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches};
use crabcache_client::Addr;

use crate::args::{Arguments, parse_time, without_empty_variables};

const ADDR: &str = "the server is named by --addr HOST:PORT";
const DATABASE: &str = "the database stands in the address: --addr redis://HOST:PORT/N";
const PASSWORD: &str = "the password stands in the address: --addr redis://:PASSWORD@HOST:PORT";

/// Parses it; what talks to a `CrabCache` has this address.
pub(crate) fn parse(line: Vec<OsString>, addr: &str) -> Result<Arguments, clap::Error> {
    // Not in Arguments, lest a shell completes them.
    let command = without_empty_variables(Arguments::command()).args(flags_of_others());
    let matches = command.try_get_matches_from(line).map_err(|error| with_tip(error, addr))?;
    Arguments::from_arg_matches(&matches)
}

/// How redis-cli names the server, but for its `-h`, the database and the password.
fn flags_of_others() -> impl Iterator<Item = Arg> {
    let hidden = |name: &'static str, tip: &'static str| {
        let known = UnknownArgumentValueParser::suggest(tip);
        Arg::new(name).action(ArgAction::SetTrue).hide(true).value_parser(known)
    };
    // A short one is an argument of its own, so that it is told as it was typed.
    [
        hidden("p", ADDR).short('p'),
        hidden("port", ADDR).long("port"),
        hidden("host", ADDR).long("host"),
        hidden("n", DATABASE).short('n'),
        hidden("a", PASSWORD).short('a'),
        hidden("pass", PASSWORD).long("pass"),
    ]
    .into_iter()
}

/// Help for who types `-h HOST` before a command would be taken for success.
pub(crate) fn host_for_help(words: &[OsString]) -> Option<clap::Error> {
    let [flag, host, ..] = words else { return None };
    let command = Arguments::command();
    if flag != "-h" || host.as_encoded_bytes().starts_with(b"-") || command.find_subcommand(host).is_some() {
        return None;
    }
    let mut error = clap::Error::new(ErrorKind::UnknownArgument).with_cmd(&command);
    let host = host.to_string_lossy().into_owned();
    error.insert(ContextKind::InvalidArg, ContextValue::String(host));
    add(&mut error, ADDR.to_owned());
    Some(error)
}

/// The error about a command of ours, for this server, with a tip if there is one.
pub(crate) fn with_tip(mut error: clap::Error, addr: &str) -> clap::Error {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    let tip = match error.kind() {
        ErrorKind::InvalidSubcommand => said(ContextKind::InvalidSubcommand).and_then(|name| {
            let addr = match addr.parse() {
                Ok(Addr::Tcp(host_port)) => format!("redis://{host_port}"),
                Ok(Addr::Unix(path)) => format!("redis+unix://{}", path.display()),
                Err(_) => return None,
            };
            Some(format!("if it is a command of Redis: crabcache-cli --addr {addr} {name}"))
        }),
        ErrorKind::UnknownArgument => said(ContextKind::InvalidArg)
            .filter(|word| parse_time(word).is_ok())
            .map(|time| format!("a time to live stands behind --ttl: --ttl {time}")),
        _ => None,
    };
    if let Some(tip) = tip {
        add(&mut error, tip);
    }
    error
}

fn add(error: &mut clap::Error, tip: String) {
    let mut tips = match error.remove(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(tips)) => tips,
        _ => Vec::new(),
    };
    tips.push(StyledStr::from(tip));
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
}

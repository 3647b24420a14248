//! Commands that ask about the server.

use crabcache_protocol::resp::{Args, write};

use super::connection::ECHOED_MAX;
use super::{glob, info, is, one, table};
use crate::clock;
use crate::connection::Connection;
use crate::reactor::batch::Pass;

/// `INFO [section ...]`
pub(super) fn info<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.run();
    let sections: Vec<&[u8]> = args.iter().skip(1).collect();
    let text = info::text(pass.shared(), pass.now(), &sections);
    let version = pass.version;
    write::verbatim(pass.direct(), *b"txt", text.as_bytes(), version);
}

/// `COMMAND [COUNT | DOCS | LIST | INFO name ...]`
pub(super) fn command<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many commands at once");
    }
    let version = pass.version;
    let out = pass.direct();
    let Some(what) = args.get(1) else {
        write::array(out, table::COMMANDS.len());
        return table::COMMANDS.iter().for_each(|command| command.describe(out, version));
    };
    if is(what, "COUNT") {
        write::integer(out, table::COMMANDS.len() as i64);
    } else if is(what, "DOCS") {
        // No documentation: redis-cli then completes no arguments, and goes on.
        write::map(out, 0, version);
    } else if is(what, "LIST") {
        write::array(out, table::COMMANDS.len());
        for command in table::COMMANDS {
            write::bulk(out, command.name.as_bytes());
        }
    } else if is(what, "INFO") {
        if args.len() == 2 {
            write::array(out, table::COMMANDS.len());
            return table::COMMANDS.iter().for_each(|command| command.describe(out, version));
        }
        write::array(out, args.len() - 2);
        for name in args.iter().skip(2) {
            match table::find(name) {
                Some(command) => command.describe(out, version),
                None => write::nil_array(out, version),
            }
        }
    } else {
        pass.unknown_subcommand(what, "COMMAND");
    }
}

/// `CONFIG GET pattern ... | SET name value ... | RESETSTAT | REWRITE`
pub(super) fn config<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let what = one(&args);
    if is(what, "GET") && args.len() > 2 {
        let known = info::parameters(pass.shared());
        let wanted = known.iter().filter(|(name, _)| {
            args.iter().skip(2).any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
        });
        let wanted: Vec<_> = wanted.collect();
        let version = pass.version;
        let out = pass.direct();
        write::map(out, wanted.len(), version);
        for (name, value) in wanted {
            write::bulk(out, name.as_bytes());
            write::bulk(out, value.as_bytes());
        }
    } else if is(what, "SET") && args.len() > 3 && args.len().is_multiple_of(2) {
        set(args, pass);
    } else if is(what, "RESETSTAT") && args.len() == 2 {
        pass.direct().extend_from_slice(write::OK);
    } else if is(what, "REWRITE") && args.len() == 2 {
        pass.error("ERR The server is running without a config file");
    } else if is(what, "GET") || is(what, "SET") || is(what, "RESETSTAT") || is(what, "REWRITE") {
        pass.wrong_arity(&format!("config|{}", String::from_utf8_lossy(what).to_lowercase()));
    } else {
        pass.unknown_subcommand(what, "CONFIG");
    }
}

/// Nothing can be changed while the server runs. What is set to the value that it has is set; what makes no
/// difference here (how a log that we do not have is kept) is accepted, since tools insist on it.
fn set(args: Args<'_>, pass: &mut Pass<'_, '_, '_>) {
    let known = info::parameters(pass.shared());
    let mut rest = args.iter().skip(2);
    while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
        let name = String::from_utf8_lossy(name).to_lowercase();
        let immaterial = name.starts_with("slowlog-") || name.starts_with("latency-") || name == "save";
        let current = known.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        match current {
            Some(current) if current.as_bytes().eq_ignore_ascii_case(value) => {}
            _ if immaterial => {}
            Some(_) => {
                return pass.error(&format!(
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable config"
                ));
            }
            None => {
                return pass
                    .error(&format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'"));
            }
        }
    }
    pass.direct().extend_from_slice(write::OK);
}

pub(super) fn time<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let micros = clock::micros();
    let out = pass.direct();
    write::array(out, 2);
    write::bulk(out, (micros / 1_000_000).to_string().as_bytes());
    write::bulk(out, (micros % 1_000_000).to_string().as_bytes());
}

/// Nothing is recorded yet, and so it says.
pub(super) fn latency<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let what = one(&args);
    let version = pass.version;
    if is(what, "LATEST") || is(what, "HISTORY") {
        write::array(pass.direct(), 0);
    } else if is(what, "HISTOGRAM") {
        write::map(pass.direct(), 0, version);
    } else if is(what, "RESET") {
        write::integer(pass.direct(), 0);
    } else {
        pass.unknown_subcommand(what, "LATENCY");
    }
}

pub(super) fn slowlog<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let what = one(&args);
    if is(what, "LEN") {
        write::integer(pass.direct(), 0);
    } else if is(what, "GET") {
        write::array(pass.direct(), 0);
    } else if is(what, "RESET") {
        pass.direct().extend_from_slice(write::OK);
    } else {
        pass.unknown_subcommand(what, "SLOWLOG");
    }
}

pub(super) fn cluster<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.error("ERR This instance has cluster support disabled");
}

pub(super) fn module<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if is(one(&args), "LIST") {
        write::array(pass.direct(), 0);
    } else {
        pass.unknown_subcommand(one(&args), "MODULE");
    }
}

impl Pass<'_, '_, '_> {
    /// Answers that a command has no such subcommand.
    #[cold]
    pub(super) fn unknown_subcommand(&mut self, what: &[u8], command: &str) {
        let what = String::from_utf8_lossy(&what[..what.len().min(128)]).into_owned();
        self.error(&format!("ERR unknown subcommand '{what}'. Try {command} HELP."));
    }
}

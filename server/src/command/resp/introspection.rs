//! Commands that describe the commands.

use crabcache_protocol::resp::{Args, write};

use super::connection::ECHOED_MAX;
use super::table::flags::CATEGORIES;
use super::table::{self, COMMANDS, Found};
use super::{flags, glob, is, names, shown};
use crate::connection::Connection;
use crate::reactor::batch::Pass;

/// `COMMAND`
pub(super) fn command<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let version = pass.version;
    let out = pass.direct();
    write::array(out, COMMANDS.len());
    for command in COMMANDS {
        command.describe(out, version);
    }
}

/// `COMMAND COUNT`
pub(super) fn count<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    write::integer(pass.direct(), COMMANDS.len() as i64);
}

/// `COMMAND INFO [name ...]`
pub(super) fn infos<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len() == 2 {
        return command(args, connection, pass);
    }
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many commands at once");
    }
    let version = pass.version;
    let out = pass.direct();
    write::array(out, args.len() - 2);
    for name in args.iter().skip(2) {
        match table::find_any(name) {
            Some(found) => found.command.describe(out, version),
            None => write::nil(out, version),
        }
    }
}

/// `COMMAND DOCS [name ...]`
pub(super) fn docs<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many commands at once");
    }
    let wanted: Vec<_> = if args.len() == 2 {
        COMMANDS.iter().collect()
    } else {
        args.iter().skip(2).filter_map(table::find_any).map(|found| found.command).collect()
    };
    let version = pass.version;
    let out = pass.direct();
    write::map(out, wanted.len(), version);
    for command in &wanted {
        command.document(out, version);
    }
}

/// What the pattern of a COMMAND LIST may cost in comparisons; what is not known then is left out.
const LIST_STEPS_MAX: usize = 4 << 20;

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
pub(super) fn list<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let mut options = args.iter().skip(2);
    let (by, what, operand) = (options.next(), options.next(), options.next());
    let wanted: Vec<&str> = match (by, what, operand) {
        (None, ..) => all(|_| true),
        (Some(by), Some(what), Some(operand)) if is(by, "FILTERBY") && args.len() == 5 => {
            if is(what, "MODULE") {
                Vec::new()
            } else if is(what, "ACLCAT") {
                let bit = CATEGORIES.iter().position(|name| is(operand, name));
                bit.map(|at| all(|found| found.command.categories_bits() & 1 << at != 0)).unwrap_or_default()
            } else if is(what, "PATTERN") {
                let pattern = operand.to_ascii_lowercase();
                let mut steps = LIST_STEPS_MAX;
                let matching = all(|found| {
                    glob::matches_within(&pattern, found.command.name.as_bytes(), &mut steps) == Some(true)
                });
                pass.executor.note_work(LIST_STEPS_MAX - steps);
                matching
            } else {
                return pass.syntax_error();
            }
        }
        _ => return pass.syntax_error(),
    };
    names(pass.direct(), &wanted);
}

fn all(wanted: impl FnMut(&Found) -> bool) -> Vec<&'static str> {
    table::all().filter(wanted).map(|found| found.command.name).collect()
}

/// `COMMAND GETKEYS command [argument ...]`
pub(super) fn getkeys<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if let Some(keys) = keys_of(args, pass) {
        let out = pass.direct();
        write::array(out, keys.len());
        for (key, _) in &keys {
            write::bulk(out, key);
        }
    }
}

/// `COMMAND GETKEYSANDFLAGS command [argument ...]`
pub(super) fn getkeysandflags<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if let Some(keys) = keys_of(args, pass) {
        let version = pass.version;
        let out = pass.direct();
        write::array(out, keys.len());
        for (key, does) in keys {
            write::array(out, 2);
            write::bulk(out, key);
            flags(out, &does.split(' ').collect::<Vec<_>>(), version);
        }
    }
}

/// The keys of the request behind the subcommand, and what is done with them; none if that was answered with an error.
fn keys_of<'a>(args: Args<'a>, pass: &mut Pass<'a, '_, '_>) -> Option<Vec<(&'a [u8], &'static str)>> {
    if args.len() > ECHOED_MAX {
        pass.error("ERR too many arguments at once");
        return None;
    }
    let request = args.from(2)?;
    match table::asked(request) {
        Ok(found) => Some(found.command.keys_of(request)),
        Err(text) => {
            pass.error(text);
            None
        }
    }
}

/// `CONTAINER HELP`: what the table knows about the subcommands.
pub(super) fn help<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let Some(found) = table::find(args.name()) else { return };
    let name = found.command.name.to_ascii_uppercase();
    let out = pass.direct();
    let subcommands = found.command.subcommands;
    write::array(out, 1 + 2 * subcommands.len());
    let head = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    write::simple(out, head.as_bytes());
    let (last, others): (Vec<_>, Vec<_>) =
        subcommands.iter().partition(|command| command.short_name() == "help");
    for command in others {
        let short = command.short_name().to_ascii_uppercase();
        write::simple(out, format!("{short} {}", command.syntax).trim_end().as_bytes());
        write::simple(out, format!("    {}", command.summary).as_bytes());
    }
    for _ in last {
        write::simple(out, b"HELP");
        write::simple(out, b"    Prints this help.");
    }
}

impl Pass<'_, '_, '_> {
    /// Answers that a command has no such subcommand.
    #[cold]
    pub(super) fn unknown_subcommand(&mut self, what: &[u8], command: &str) {
        let command = command.to_ascii_uppercase();
        self.error(
            &[b"ERR unknown subcommand '", shown(what, 128), b"'. Try ", command.as_bytes(), b" HELP."]
                .concat(),
        );
    }

    /// Answers that a subcommand does not take these arguments.
    #[cold]
    pub(super) fn wrong_subcommand(&mut self, args: Args<'_>) {
        let what = args.get(1).unwrap_or_default();
        let what = String::from_utf8_lossy(&what[..what.len().min(128)]).into_owned();
        let container = String::from_utf8_lossy(args.name()).to_uppercase();
        self.error(&format!(
            "ERR unknown subcommand or wrong number of arguments for '{what}'. Try {container} HELP."
        ));
    }
}

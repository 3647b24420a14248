//! The commands: what each is called, takes, does and where its keys are. `commands.rs` and `subcommands.rs` are the one
//! place that knows; arity checks, COMMAND, HELP, ACL CAT, MONITOR and the statistics all read it there.
//!
//! A name is found by its first 16 bytes in lower case, packed into one number: one multiplication, one slot of a
//! table made at compile time, one comparison.

mod commands;
mod describe;
pub(super) mod flags;
mod subcommands;
mod syntax;

use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::Args;

use super::{attend, calls, shown, sort, transaction};
use crate::connection::Connection;
use crate::reactor::batch::Pass;
pub(super) use commands::COMMANDS;
use flags::{CAT_SORTED, CONTAINER, FAST, NO_MULTI, WRITE, categories_of};

/// Carries a command out; its arity was checked.
pub(super) type Run = for<'a, 'e, 's> fn(Args<'a>, &mut Connection, &mut Pass<'a, 'e, 's>);

/// One command, or one subcommand of a container.
#[derive(Debug)]
pub(super) struct Command {
    /// In lower case; a subcommand's is `container|name`.
    pub(super) name: &'static str,
    /// How many arguments, the name included; negative: at least so many.
    arity: i32,
    /// Bits of [`flags`].
    pub(super) flags: u32,
    /// Categories of ACL beyond those that follow from flags and group.
    categories: u32,
    keys: &'static [Keys],
    tips: &'static [&'static str],
    since: &'static str,
    group: &'static str,
    complexity: &'static str,
    /// In which version it was replaced, and by what.
    deprecated: Option<(&'static str, &'static str)>,
    /// Its arguments, as people write them: the language of [`syntax`].
    pub(super) syntax: &'static str,
    pub(super) summary: &'static str,
    pub(super) subcommands: &'static [Command],
    run: Run,
}

/// Most arguments of a command that does not take any number of keys: nobody has so many, but to hold others up while they are looked at.
const WORDS_MAX: usize = 16 << 10;

/// Where keys stand among the arguments.
#[derive(Debug)]
pub(super) struct Keys {
    /// The first one, or their number; 1 is what follows the name.
    first: i32,
    others: Others,
    /// What is done with them, in the words of COMMAND.
    does: &'static str,
}

/// Where the keys are beside the first.
#[derive(Clone, Copy, Debug)]
enum Others {
    /// Up to one so many arguments behind the first; negative: from the end.
    Range { last: i32, step: i32 },
    /// As many behind the first argument as that says.
    Counted,
    /// The one behind the last STORE of SORT, and no other. Redis says it in words.
    Stored,
    /// What the value of another key names. Redis says it in words.
    Named,
}

impl Keys {
    const fn range(first: i32, last: i32, step: i32, does: &'static str) -> Self {
        Self { first, others: Others::Range { last, step }, does }
    }

    const fn one(first: i32, does: &'static str) -> Self {
        Self::range(first, 0, 1, does)
    }

    const fn all(first: i32, does: &'static str) -> Self {
        Self::range(first, -1, 1, does)
    }

    const fn pairs(first: i32, does: &'static str) -> Self {
        Self::range(first, -1, 2, does)
    }

    const fn counted(number: i32, does: &'static str) -> Self {
        Self { first: number, others: Others::Counted, does }
    }

    const fn stored(does: &'static str) -> Self {
        Self { first: 2, others: Others::Stored, does }
    }

    const fn named(does: &'static str) -> Self {
        Self { first: 2, others: Others::Named, does }
    }

    /// The keys of a request.
    fn of<'a>(&self, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let first = self.first.unsigned_abs() as usize;
        let (first, end, step) = match self.others {
            Others::Range { last, step } => {
                let distance = last.unsigned_abs() as usize;
                let last = if last < 0 { args.len().saturating_sub(distance) } else { first + distance };
                (first, last + 1, step.unsigned_abs() as usize)
            }
            Others::Counted => {
                let number =
                    args.get(first).and_then(parse_i64).and_then(|number| usize::try_from(number).ok());
                let end = (first + 1).saturating_add(number.unwrap_or(0));
                // Redis finds none where there are fewer than that.
                (first + 1, if end > args.len() { 0 } else { end }, 1)
            }
            Others::Stored => sort::stored_at(args).map_or((0, 0, 1), |at| (at, at + 1, 1)),
            Others::Named => (0, 0, 1),
        };
        args.iter().take(end).skip(first).step_by(step)
    }
}

/// How the rows of the table are written.
impl Command {
    const fn new(name: &'static str, arity: i32, flags: u32, run: Run) -> Self {
        Self {
            name,
            arity,
            flags,
            categories: 0,
            keys: &[],
            tips: &[],
            since: "",
            group: "",
            complexity: "",
            deprecated: None,
            syntax: "",
            summary: "",
            subcommands: &[],
            run,
        }
    }

    const fn container(name: &'static str, subcommands: &'static [Self]) -> Self {
        Self { subcommands, ..Self::new(name, -2, CONTAINER, no_subcommand) }
    }

    const fn subcommands(mut self, subcommands: &'static [Self]) -> Self {
        self.subcommands = subcommands;
        self
    }

    const fn keys(mut self, keys: &'static [Keys]) -> Self {
        self.keys = keys;
        self
    }

    const fn categories(mut self, categories: u32) -> Self {
        self.categories = categories;
        self
    }

    const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    const fn since(mut self, since: &'static str, group: &'static str, complexity: &'static str) -> Self {
        self.since = since;
        self.group = group;
        self.complexity = complexity;
        self
    }

    const fn deprecated(mut self, since: &'static str, by: &'static str) -> Self {
        self.deprecated = Some((since, by));
        self
    }

    const fn docs(mut self, syntax: &'static str, summary: &'static str) -> Self {
        self.syntax = syntax;
        self.summary = summary;
        self
    }
}

impl Command {
    /// Whether it takes so many arguments, the name included.
    pub(super) fn accepts(&self, args: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity >= 0 {
            return args == least;
        }
        args >= least && (args <= WORDS_MAX || self.takes_many_keys())
    }

    /// Whether it takes any number of keys.
    fn takes_many_keys(&self) -> bool {
        self.keys.iter().any(|keys| matches!(keys.others, Others::Range { last, .. } if last < 0))
    }

    /// Whether any of its arguments are keys: channels stand where keys do, but are none.
    fn has_keys(&self) -> bool {
        self.keys.iter().any(|keys| keys.does != "not_key")
    }

    /// Whether it has this flag.
    pub(super) fn is(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether each call is timed: all but those that look at one key or at nothing, which take less time than the clock.
    pub(super) fn is_timed(&self) -> bool {
        match self.keys {
            [] => !self.is(FAST),
            [only] => !matches!(only.others, Others::Range { last: 0, .. }),
            _ => true,
        }
    }

    /// The name without its container's.
    pub(super) fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, short)| short)
    }

    /// The keys of a request, and what is done with them.
    pub(super) fn keys_of<'a>(&self, args: Args<'a>) -> Vec<(&'a [u8], &'static str)> {
        let keys = self.keys.iter().flat_map(|keys| keys.of(args).map(|key| (key, keys.does)));
        keys.map(|(key, does)| {
            (key, does.strip_suffix(" variable_flags").map_or(does, |does| narrow(args, does)))
        })
        .collect()
    }

    /// Bits of the ACL categories that it belongs to.
    pub(super) fn categories_bits(&self) -> u32 {
        // Redis counts SORT among the commands about lists instead.
        let group = if self.categories & CAT_SORTED == 0 { self.group } else { "" };
        self.categories | categories_of(self.flags, group)
    }
}

/// SET reads what was there only if it is asked to, and BITFIELD changes it only if it is.
fn narrow(args: Args<'_>, does: &'static str) -> &'static str {
    if args.name().eq_ignore_ascii_case(b"bitfield") {
        return if changes_bits(args) { does } else { "RO access" };
    }
    if args.iter().skip(3).any(|option| option.eq_ignore_ascii_case(b"get")) { does } else { "OW update" }
}

fn changes_bits(args: Args<'_>) -> bool {
    let mut words = args.iter().skip(2);
    while let Some(word) = words.next() {
        let operands = match word {
            word if word.eq_ignore_ascii_case(b"get") => 2,
            word if word.eq_ignore_ascii_case(b"overflow") => 1,
            _ => return true,
        };
        if words.by_ref().take(operands).count() < operands {
            return true;
        }
    }
    false
}

fn no_subcommand<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.wrong_arity(&String::from_utf8_lossy(args.name()).to_lowercase());
}

/// A command that was found, with its number among all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// From 0 to [`ALL`], subcommands included.
    pub(super) number: usize,
    pub(super) command: &'static Command,
}

impl Found {
    /// Its subcommand of this name, in any case.
    fn subcommand(self, name: &[u8]) -> Option<Self> {
        subcommands_of(self).find(|found| found.command.short_name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// How many commands there are, subcommands included.
pub(crate) const ALL: usize = BASES[COMMANDS.len()];

/// The number of each command's first subcommand; at the end, how many numbers there are.
const BASES: [usize; COMMANDS.len() + 1] = {
    let mut bases = [COMMANDS.len(); COMMANDS.len() + 1];
    let mut at = 0;
    while at < COMMANDS.len() {
        bases[at + 1] = bases[at] + COMMANDS[at].subcommands.len();
        at += 1;
    }
    bases
};

/// All commands, each followed by its subcommands.
pub(super) fn all() -> impl Iterator<Item = Found> {
    COMMANDS.iter().enumerate().flat_map(|(number, command)| {
        let found = Found { number, command };
        std::iter::once(found).chain(subcommands_of(found))
    })
}

/// The name of a command by its number.
pub(crate) fn name_of(number: usize) -> Option<&'static str> {
    all().find(|found| found.number == number).map(|found| found.command.name)
}

/// The number of a command that there is.
pub(crate) const fn number_of(name: &str) -> usize {
    let mut at = 0;
    while at < COMMANDS.len() {
        if pack(COMMANDS[at].name.as_bytes()) == pack(name.as_bytes()) {
            return at;
        }
        at += 1;
    }
    panic!("there is such a command")
}

/// Carries out the command that `args` begins with, or queues it.
pub(super) fn run<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    match resolve(args) {
        Ok(found) if connection.queues() && found.command.is(NO_MULTI) => {
            calls::reject(found, pass);
            pass.error("ERR Command not allowed inside a transaction");
            transaction::spoil(connection);
        }
        Ok(found) if connection.queues() && !transaction::is_done_at_once(found.command.name) => {
            connection.last = found.number as u16;
            transaction::queue_args(args, connection, pass);
        }
        Ok(found) => calls::carry_out(found, found.command.run, args, connection, pass),
        Err(refusal) => {
            refusal.answer(args, connection, pass);
            transaction::spoil(connection);
            if !connection.queues() {
                attend::end_caching(connection);
            }
        }
    }
}

/// Why a request is not carried out.
enum Refusal {
    /// There is no such command.
    Unknown,
    /// The container has no such subcommand.
    NoSubcommand(&'static Command),
    /// It takes fewer or more arguments.
    Arity(Found),
}

impl Refusal {
    #[cold]
    fn answer(self, args: Args<'_>, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
        match self {
            Self::Unknown => unknown(args, pass),
            Self::NoSubcommand(container) => {
                pass.unknown_subcommand(args.get(1).unwrap_or_default(), container.name);
            }
            Self::Arity(found) => {
                calls::reject(found, pass);
                if found.command.name == "exec" {
                    transaction::abort(connection, pass, "of: wrong number of arguments for 'exec' command");
                } else {
                    pass.wrong_arity(found.command.name);
                }
            }
        }
    }
}

/// The command or subcommand that a request asks for.
fn resolve(args: Args<'_>) -> Result<Found, Refusal> {
    let found = find(args.name()).ok_or(Refusal::Unknown)?;
    let found = match args.get(1).filter(|_| !found.command.subcommands.is_empty()) {
        None => found,
        Some(name) => found.subcommand(name).ok_or(Refusal::NoSubcommand(found.command))?,
    };
    if found.command.accepts(args.len()) { Ok(found) } else { Err(Refusal::Arity(found)) }
}

/// What is known about the command of a request, where its keys are asked for.
pub(super) fn asked(args: Args<'_>) -> Result<Found, &'static str> {
    match resolve(args) {
        Ok(found) if !found.command.has_keys() => Err("ERR The command has no key arguments"),
        Ok(found) => Ok(found),
        Err(Refusal::Arity(found)) if !found.command.has_keys() => {
            Err("ERR The command has no key arguments")
        }
        Err(Refusal::Arity(_)) => Err("ERR Invalid number of arguments specified for command"),
        Err(Refusal::Unknown | Refusal::NoSubcommand(_)) => Err("ERR Invalid command specified"),
    }
}

/// The subcommands of a command.
pub(super) fn subcommands_of(found: Found) -> impl Iterator<Item = Found> {
    let subcommands = found.command.subcommands.iter().enumerate();
    subcommands.map(move |(at, command)| Found { number: BASES[found.number] + at, command })
}

/// The command or subcommand with this name (`get`, `client|id`), in any case.
pub(super) fn find_any(name: &[u8]) -> Option<Found> {
    let Some(bar) = name.iter().position(|&byte| byte == b'|') else { return find(name) };
    let found = find(&name[..bar])?;
    found.subcommand(&name[bar + 1..])
}

/// The keys whose values the answer will hold.
pub(super) fn values_of(args: Args<'_>) -> impl Iterator<Item = &[u8]> {
    const SHOW: [&str; 11] =
        ["dump", "eval", "evalsha", "get", "getdel", "getex", "getrange", "getset", "mget", "set", "substr"];
    let shown = find(args.name()).filter(|found| SHOW.contains(&found.command.name));
    let keys = shown.filter(|found| {
        // Only SET with GET answers with a value.
        found.command.name != "set" || args.iter().skip(3).any(|option| option.eq_ignore_ascii_case(b"get"))
    });
    keys.into_iter().flat_map(|found| found.command.keys).flat_map(move |keys| keys.of(args))
}

/// Whether a command writes.
pub(super) fn writes(args: Args<'_>) -> bool {
    find(args.name()).is_some_and(|found| found.command.is(WRITE))
}

#[cold]
fn unknown(args: Args<'_>, pass: &mut Pass<'_, '_, '_>) {
    const LEN_MAX: usize = 128;
    let mut arguments = Vec::new();
    for argument in args.iter().skip(1) {
        if arguments.len() >= LEN_MAX {
            break;
        }
        let argument = shown(argument, LEN_MAX - arguments.len());
        arguments.extend([b"'", argument, b"' "].concat());
    }
    let name = shown(args.name(), LEN_MAX);
    pass.error(&[b"ERR unknown command '", name, b"', with args beginning with: ", &*arguments].concat());
}

/// Slots of the table; a power of two, several times the number of commands.
const SLOTS: usize = 512;
const SLOT_BITS: u32 = SLOTS.trailing_zeros();
/// An odd number without pattern.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

const TABLE: [u8; SLOTS] = {
    assert!(COMMANDS.len() < 255);
    let mut table = [u8::MAX; SLOTS];
    let mut at = 0;
    while at < COMMANDS.len() {
        let mut slot = slot(pack(COMMANDS[at].name.as_bytes()));
        while table[slot] != u8::MAX {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = at as u8;
        at += 1;
    }
    table
};

/// Up to 16 bytes in lower case as one number.
const fn pack(name: &[u8]) -> u128 {
    let mut packed = 0;
    let mut at = 0;
    while at < name.len() && at < 16 {
        packed = packed << 8 | name[at].to_ascii_lowercase() as u128;
        at += 1;
    }
    packed
}

const fn slot(packed: u128) -> usize {
    let folded = packed as u64 ^ ((packed >> 64) as u64).rotate_left(17);
    (folded.wrapping_mul(MIX) >> (64 - SLOT_BITS)) as usize
}

/// The command with this name, in any case.
pub(super) fn find(name: &[u8]) -> Option<Found> {
    let mut slot = slot(pack(name));
    loop {
        // Free slots, of which there are always some, hold a number that is no command's.
        let number = TABLE[slot] as usize;
        let command = COMMANDS.get(number)?;
        if command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(Found { number, command });
        }
        slot = (slot + 1) % SLOTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case() {
        for found in all() {
            let name = found.command.name;
            assert_eq!(name, name.to_ascii_lowercase());
            for name in [name.to_owned(), name.to_ascii_uppercase()] {
                let again = find_any(name.as_bytes()).expect("it is there");
                assert_eq!((again.number, again.command.name), (found.number, found.command.name));
            }
        }
        let numbers: Vec<usize> = all().map(|found| found.number).collect();
        assert_eq!(numbers.iter().copied().collect::<std::collections::BTreeSet<_>>().len(), numbers.len());
        assert_eq!((numbers.len(), number_of("get")), (ALL, find(b"GET").expect("it is there").number));
    }

    #[test]
    fn other_names_are_not_found() {
        for name in [
            "",
            "ge",
            "gett",
            "get\0",
            "a name that is much longer than any command's",
            "expireTimes",
            "client|",
            "|",
        ] {
            assert!(find_any(name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn commands_are_in_order() {
        assert!(COMMANDS.is_sorted_by(|one, next| one.name < next.name));
        for command in COMMANDS {
            assert!(command.subcommands.is_sorted_by(|one, next| one.name < next.name), "{}", command.name);
        }
    }

    #[test]
    fn every_command_is_documented() {
        for Found { command, .. } in all() {
            let Command { name, since, group, complexity, summary, .. } = command;
            assert!(summary.ends_with('.') && summary.len() > 10, "{name}");
            assert!(!since.is_empty() && !group.is_empty() && !complexity.is_empty(), "{name}");
        }
    }
}

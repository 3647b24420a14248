//! The commands: name, arity, flags, and where the keys are; the one place that knows.
//!
//! A name is found by its first 16 bytes in lower case, packed into one number: one multiplication, one slot of a
//! table made at compile time, one comparison.

use crabcache_protocol::resp::{Args, Version, write};

use super::{connection, expiry, introspection, keyspace, strings, transaction};
use crate::connection::Connection;
use crate::reactor::batch::Pass;

type Run = for<'a, 'e, 's> fn(Args<'a>, &mut Connection, &mut Pass<'a, 'e, 's>);

/// One command.
pub(super) struct Command {
    /// In lower case.
    pub(super) name: &'static str,
    /// How many arguments, the name included; negative: at least so many.
    arity: i32,
    flags: &'static [&'static str],
    /// First key, last key (negative: from the end), step between keys; all 0 where there are none.
    keys: (i32, i32, i32),
    run: Run,
}

const READ: &[&str] = &["readonly", "fast"];
const WALK: &[&str] = &["readonly"];
const WRITE: &[&str] = &["write", "denyoom", "fast"];
const CHANGE: &[&str] = &["write", "fast"];
const ABOUT: &[&str] = &["loading", "stale", "fast"];
const ADMIN: &[&str] = &["admin", "loading", "stale"];
const PUBSUB: &[&str] = &["pubsub", "loading", "stale"];

const NONE: (i32, i32, i32) = (0, 0, 0);
const ONE: (i32, i32, i32) = (1, 1, 1);
const MANY: (i32, i32, i32) = (1, -1, 1);
const PAIRS: (i32, i32, i32) = (1, -1, 2);

macro_rules! commands {
    ($($name:literal $arity:literal $flags:ident $keys:ident $run:path;)*) => {
        /// All commands.
        pub(super) const COMMANDS: &[Command] = &[
            $( Command { name: $name, arity: $arity, flags: $flags, keys: $keys, run: $run }, )*
        ];
    };
}

commands! {
    "append"       3 WRITE  ONE   strings::append;
    "auth"        -2 ABOUT  NONE  connection::auth;
    "client"      -2 ADMIN  NONE  connection::client;
    "cluster"     -2 ADMIN  NONE  introspection::cluster;
    "command"     -1 ABOUT  NONE  introspection::command;
    "config"      -2 ADMIN  NONE  introspection::config;
    "dbsize"       1 READ   NONE  keyspace::dbsize;
    "decr"         2 WRITE  ONE   strings::decr;
    "decrby"       3 WRITE  ONE   strings::decrby;
    "del"         -2 CHANGE MANY  keyspace::del;
    "discard"      1 ABOUT  NONE  transaction::discard;
    "echo"         2 ABOUT  NONE  connection::echo;
    "exec"         1 ABOUT  NONE  transaction::exec;
    "exists"      -2 READ   MANY  keyspace::exists;
    "expire"      -3 CHANGE ONE   expiry::expire;
    "expireat"    -3 CHANGE ONE   expiry::expireat;
    "expiretime"   2 READ   ONE   expiry::expiretime;
    "flushall"    -1 CHANGE NONE  keyspace::flush;
    "flushdb"     -1 CHANGE NONE  keyspace::flush;
    "get"          2 READ   ONE   strings::get;
    "getdel"       2 CHANGE ONE   strings::getdel;
    "getex"       -2 CHANGE ONE   strings::getex;
    "getrange"     4 WALK   ONE   strings::getrange;
    "getset"       3 WRITE  ONE   strings::getset;
    "hello"       -1 ABOUT  NONE  connection::hello;
    "incr"         2 WRITE  ONE   strings::incr;
    "incrby"       3 WRITE  ONE   strings::incrby;
    "info"        -1 ABOUT  NONE  introspection::info;
    "keys"         2 WALK   NONE  keyspace::keys;
    "latency"     -2 ADMIN  NONE  introspection::latency;
    "memory"      -2 WALK   NONE  keyspace::memory;
    "mget"        -2 READ   MANY  strings::mget;
    "module"      -2 ADMIN  NONE  introspection::module;
    "mset"        -3 WRITE  PAIRS strings::mset;
    "multi"        1 ABOUT  NONE  transaction::multi;
    "object"      -2 WALK   NONE  keyspace::object;
    "persist"      2 CHANGE ONE   expiry::persist;
    "pexpire"     -3 CHANGE ONE   expiry::pexpire;
    "pexpireat"   -3 CHANGE ONE   expiry::pexpireat;
    "pexpiretime"  2 READ   ONE   expiry::pexpiretime;
    "ping"        -1 ABOUT  NONE  connection::ping;
    "psetex"       4 WRITE  ONE   strings::psetex;
    "psubscribe"  -2 PUBSUB NONE  connection::subscribe;
    "pttl"         2 READ   ONE   expiry::pttl;
    "publish"      3 PUBSUB NONE  connection::publish;
    "punsubscribe" -1 PUBSUB NONE connection::unsubscribe;
    "quit"        -1 ABOUT  NONE  connection::quit;
    "reset"        1 ABOUT  NONE  connection::reset;
    "scan"        -2 WALK   NONE  keyspace::scan;
    "select"       2 ABOUT  NONE  connection::select;
    "set"         -3 WRITE  ONE   strings::set;
    "setex"        4 WRITE  ONE   strings::setex;
    "setnx"        3 WRITE  ONE   strings::setnx;
    "slowlog"     -2 ADMIN  NONE  introspection::slowlog;
    "strlen"       2 READ   ONE   strings::strlen;
    "subscribe"   -2 PUBSUB NONE  connection::subscribe;
    "substr"       4 WALK   ONE   strings::getrange;
    "time"         1 ABOUT  NONE  introspection::time;
    "touch"       -2 READ   MANY  keyspace::touch;
    "ttl"          2 READ   ONE   expiry::ttl;
    "type"         2 READ   ONE   keyspace::r#type;
    "unlink"      -2 CHANGE MANY  keyspace::del;
    "unsubscribe" -1 PUBSUB NONE  connection::unsubscribe;
    "unwatch"      1 ABOUT  NONE  transaction::unwatch;
    "watch"       -2 ABOUT  MANY  transaction::watch;
}

impl Command {
    fn accepts(&self, args: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { args >= least } else { args == least }
    }

    /// Its entry in the answer to COMMAND.
    pub(super) fn describe(&self, out: &mut Vec<u8>, version: Version) {
        write::array(out, 10);
        write::bulk(out, self.name.as_bytes());
        write::integer(out, i64::from(self.arity));
        write::set(out, self.flags.len(), version);
        self.flags.iter().for_each(|flag| write::simple(out, flag.as_bytes()));
        for number in [self.keys.0, self.keys.1, self.keys.2] {
            write::integer(out, i64::from(number));
        }
        // Categories, tips, key specifications, subcommands: none are told.
        for _ in 0..4 {
            write::array(out, 0);
        }
    }
}

/// Carries out the command that `args` begins with.
pub(super) fn run<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let queues = connection.queues();
    match find(args.name()) {
        Some(command) if command.accepts(args.len()) => {
            if queues && !transaction::is_done_at_once(command.name) {
                return transaction::queue_args(args, connection, pass);
            }
            return (command.run)(args, connection, pass);
        }
        Some(command) if command.name == "exec" => {
            transaction::abort(connection, pass, "of: wrong number of arguments for 'exec' command");
        }
        Some(command) => pass.wrong_arity(command.name),
        None => unknown(args, pass),
    }
    transaction::spoil(connection);
}

/// The keys whose values the answer will hold.
pub(super) fn values_of(args: Args<'_>) -> impl Iterator<Item = &[u8]> {
    const SHOW: [&str; 8] = ["get", "getdel", "getex", "getrange", "getset", "mget", "set", "substr"];
    let shown = find(args.name()).filter(|command| SHOW.contains(&command.name));
    let keys = match shown.map(|command| (command.keys, command.name)) {
        None => 0,
        Some((MANY, _)) => args.len(),
        // Only SET with GET answers with a value.
        Some((_, "set")) if !args.iter().skip(3).any(|option| option.eq_ignore_ascii_case(b"get")) => 0,
        Some(_) => 1,
    };
    args.into_iter().skip(1).take(keys)
}

#[cold]
fn unknown(args: Args<'_>, pass: &mut Pass<'_, '_, '_>) {
    let shown =
        |bytes: &[u8], len: usize| String::from_utf8_lossy(&bytes[..bytes.len().min(len)]).into_owned();
    let mut text = format!("ERR unknown command '{}', with args beginning with: ", shown(args.name(), 128));
    let mut room = 128_usize;
    for argument in args.iter().skip(1) {
        if room == 0 {
            break;
        }
        let argument = shown(argument, room);
        room = room.saturating_sub(argument.len() + 3);
        text.push('\'');
        text.push_str(&argument);
        text.push_str("' ");
    }
    pass.error(&text);
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
pub(super) fn find(name: &[u8]) -> Option<&'static Command> {
    let mut slot = slot(pack(name));
    loop {
        // Free slots, of which there are always some, hold a number that is no command's.
        let command = COMMANDS.get(TABLE[slot] as usize)?;
        if command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(command);
        }
        slot = (slot + 1) % SLOTS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case() {
        for command in COMMANDS {
            assert_eq!(command.name, command.name.to_ascii_lowercase());
            let upper = command.name.to_ascii_uppercase();
            assert!(std::ptr::eq(find(upper.as_bytes()).unwrap(), find(command.name.as_bytes()).unwrap()));
            assert_eq!(find(upper.as_bytes()).map(|found| found.name), Some(command.name));
        }
    }

    #[test]
    fn other_names_are_not_found() {
        for name in
            ["", "ge", "gett", "get\0", "a name that is much longer than any command's", "expireTimes"]
        {
            assert!(find(name.as_bytes()).is_none(), "{name}");
        }
    }
}

//! The flags of commands and the categories of ACL, in the order in which Redis lists them.

/// Changes keys.
pub(crate) const WRITE: u32 = 1 << 0;
/// Looks at keys and changes none.
pub(crate) const READ: u32 = 1 << 1;
/// May need room.
pub(crate) const DENYOOM: u32 = 1 << 2;
/// About the server.
pub(crate) const ADMIN: u32 = 1 << 3;
/// About channels.
pub(crate) const PUBSUB: u32 = 1 << 4;
/// Not for scripts.
pub(crate) const NOSCRIPT: u32 = 1 << 5;
/// Waits for something.
pub(crate) const BLOCKING: u32 = 1 << 6;
/// Goes on while a dataset is loaded.
pub(crate) const LOADING: u32 = 1 << 7;
/// Goes on while data may be old.
pub(crate) const STALE: u32 = 1 << 8;
/// Not shown by MONITOR.
pub(crate) const SKIP_MONITOR: u32 = 1 << 9;
/// Not kept by SLOWLOG.
pub(crate) const SKIP_SLOWLOG: u32 = 1 << 10;
/// Takes a short time, whatever is stored.
pub(crate) const FAST: u32 = 1 << 11;
/// For those who have not said who they are, too.
pub(crate) const NO_AUTH: u32 = 1 << 12;
/// Not while a dataset is loaded in the background.
pub(crate) const NO_ASYNC_LOADING: u32 = 1 << 13;
/// Not in a transaction.
pub(crate) const NO_MULTI: u32 = 1 << 14;
/// Goes on while a script keeps the server busy.
pub(crate) const ALLOW_BUSY: u32 = 1 << 15;
/// Has keys only if it is told so.
pub(crate) const NO_MANDATORY_KEYS: u32 = 1 << 16;
/// Where its keys are depends on its arguments.
pub(crate) const MOVABLE_KEYS: u32 = 1 << 17;
/// The first bits that are not told to anybody. A container itself: what it belongs to is said by its subcommands.
pub(crate) const CONTAINER: u32 = 1 << 31;

/// What several commands have in common.
pub(crate) const ALWAYS: u32 = LOADING | STALE;
/// Commands about a connection.
pub(crate) const PERSONAL: u32 = NOSCRIPT | ALWAYS;
/// Commands about the server.
pub(crate) const ADMINISTER: u32 = ADMIN | PERSONAL;
/// Commands that come before anything else.
pub(crate) const GREETING: u32 = PERSONAL | FAST | NO_AUTH | ALLOW_BUSY;
/// Commands that carry out scripts.
pub(crate) const SCRIPTED: u32 = NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLE_KEYS;

/// The names of the flags.
pub(crate) const FLAGS: [(u32, &str); 18] = [
    (WRITE, "write"),
    (READ, "readonly"),
    (DENYOOM, "denyoom"),
    (ADMIN, "admin"),
    (PUBSUB, "pubsub"),
    (NOSCRIPT, "noscript"),
    (BLOCKING, "blocking"),
    (LOADING, "loading"),
    (STALE, "stale"),
    (SKIP_MONITOR, "skip_monitor"),
    (SKIP_SLOWLOG, "skip_slowlog"),
    (FAST, "fast"),
    (NO_AUTH, "no_auth"),
    (NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (NO_ASYNC_LOADING, "no_async_loading"),
    (NO_MULTI, "no_multi"),
    (MOVABLE_KEYS, "movablekeys"),
    (ALLOW_BUSY, "allow_busy"),
];

const fn category(name: &str) -> u32 {
    let mut at = 0;
    while at < CATEGORIES.len() {
        let known = CATEGORIES[at].as_bytes();
        if known.len() == name.len() {
            let mut same = 0;
            while same < known.len() && known[same] == name.as_bytes()[same] {
                same += 1;
            }
            if same == known.len() {
                return 1 << at;
            }
        }
        at += 1;
    }
    panic!("there is such a category")
}

/// The categories of ACL.
pub(crate) const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Said of a command by name, where it does not follow from its group.
pub(crate) const CAT_KEYSPACE: u32 = category("keyspace");
/// The same.
pub(crate) const CAT_DANGEROUS: u32 = category("dangerous");
/// The same.
pub(crate) const CAT_CONNECTION: u32 = category("connection");

/// The same.
pub(crate) const CAT_ADMIN: u32 = category("admin");

/// The types whose values can be sorted.
pub(crate) const CAT_SORTED: u32 = category("set") | category("sortedset") | category("list");

/// The categories that follow from what else is known about a command.
pub(crate) fn categories_of(flags: u32, group: &str) -> u32 {
    let mut categories = 0;
    for (flag, name) in [
        (WRITE, "write"),
        (READ, "read"),
        (PUBSUB, "pubsub"),
        (ADMIN, "admin"),
        (ADMIN, "dangerous"),
        (BLOCKING, "blocking"),
        (FAST, "fast"),
    ] {
        if flags & flag != 0 {
            categories |= category(name);
        }
    }
    if flags & FAST == 0 {
        categories |= category("slow");
    }
    if flags & CONTAINER == 0 {
        categories |= match group {
            "generic" => category("keyspace"),
            "string" => category("string"),
            "bitmap" => category("bitmap"),
            "connection" => category("connection"),
            "transactions" => category("transaction"),
            "scripting" => category("scripting"),
            _ => 0,
        };
    }
    categories
}

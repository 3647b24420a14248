//! The commands, in the order of their names.

use super::super::{
    admin, bits, change, client, connection, databases, dump, expiry, info, introspection, keyspace, lcs,
    pubsub, rename, scripts, sort, strings, transaction,
};
use super::flags::{
    ADMIN, ADMINISTER, ALLOW_BUSY, ALWAYS, CAT_ADMIN, CAT_CONNECTION, CAT_DANGEROUS, CAT_KEYSPACE,
    CAT_SORTED, DENYOOM, FAST, GREETING, MOVABLE_KEYS, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, PERSONAL,
    PUBSUB, READ, SCRIPTED, SKIP_SLOWLOG, STALE, WRITE,
};
use super::{Command, Keys, subcommands};

/// All commands; their subcommands hang on them.
pub(in crate::command::resp) const COMMANDS: &[Command] = &[
    Command::container("acl", subcommands::ACL)
        .since("6.0.0", "server", "depends on the subcommand")
        .docs("", "Commands about users and what they may do."),
    Command::new("append", 3, WRITE | DENYOOM | FAST, strings::append)
        .keys(&[Keys::one(1, "RW insert")])
        .since("2.0.0", "string", "O(1)")
        .docs("key value", "Adds bytes to the end of a value."),
    Command::new("auth", -2, GREETING, connection::auth)
        .since("1.0.0", "connection", "O(N)")
        .docs("[username] password", "Says who the client is."),
    Command::new("bitcount", -2, READ, bits::bitcount)
        .keys(&[Keys::one(1, "RO access")])
        .since("2.6.0", "bitmap", "O(N)")
        .docs("key [start end [BYTE|BIT]]", "Counts the bits of a value that are set."),
    Command::new("bitfield", -2, WRITE | DENYOOM, bits::bitfield)
        .keys(&[Keys::one(1, "RW access update variable_flags")])
        .since("3.2.0", "bitmap", "O(1) for each number")
        .docs(
            "key [GET encoding offset|[OVERFLOW WRAP|SAT|FAIL] SET encoding offset value|INCRBY encoding offset increment ...]",
            "Reads and writes numbers of any width in a value.",
        ),
    Command::new("bitfield_ro", -2, READ | FAST, bits::bitfield_ro)
        .keys(&[Keys::one(1, "RO access")])
        .since("6.0.0", "bitmap", "O(1) for each number")
        .docs("key [GET encoding offset ...]", "Reads numbers of any width in a value."),
    Command::new("bitop", -4, WRITE | DENYOOM, bits::bitop)
        .keys(&[Keys::one(2, "OW update"), Keys::all(3, "RO access")])
        .since("2.6.0", "bitmap", "O(N)")
        .docs("AND|OR|XOR|NOT destkey key...", "Combines the bits of values."),
    Command::new("bitpos", -3, READ, bits::bitpos)
        .keys(&[Keys::one(1, "RO access")])
        .since("2.8.7", "bitmap", "O(N)")
        .docs("key bit [start [end [BYTE|BIT]]]", "Finds the first bit that is set, or clear."),
    Command::container("client", subcommands::CLIENT)
        .since("2.4.0", "connection", "depends on the subcommand")
        .docs("", "Commands about connections."),
    Command::container("cluster", subcommands::CLUSTER)
        .since("3.0.0", "cluster", "depends on the subcommand")
        .docs("", "Commands about a cluster."),
    Command::new("command", -1, ALWAYS, introspection::command)
        .subcommands(subcommands::COMMAND)
        .categories(CAT_CONNECTION)
        .tips(&["nondeterministic_output_order"])
        .since("2.8.13", "server", "depends on the subcommand")
        .docs("", "Describes all commands."),
    Command::container("config", subcommands::CONFIG)
        .since("2.0.0", "server", "depends on the subcommand")
        .docs("", "Commands about settings."),
    Command::new("copy", -3, WRITE | DENYOOM, rename::copy)
        .keys(&[Keys::one(1, "RO access"), Keys::one(2, "OW update")])
        .since("6.2.0", "generic", "O(N)")
        .docs("source destination [DB destination-db] [REPLACE]", "Copies a key's value to another key."),
    Command::new("dbsize", 1, READ | FAST, databases::dbsize)
        .categories(CAT_KEYSPACE)
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .since("1.0.0", "server", "O(1)")
        .docs("", "Counts the keys."),
    Command::new("debug", -2, ADMINISTER, admin::debug)
        .since("1.0.0", "server", "O(1)")
        .docs("", "For developers of Redis; disabled here."),
    Command::new("decr", 2, WRITE | DENYOOM | FAST, strings::decr)
        .keys(&[Keys::one(1, "RW access update")])
        .since("1.0.0", "string", "O(1)")
        .docs("key", "Subtracts one from a number."),
    Command::new("decrby", 3, WRITE | DENYOOM | FAST, strings::decrby)
        .keys(&[Keys::one(1, "RW access update")])
        .since("1.0.0", "string", "O(1)")
        .docs("key decrement", "Subtracts from a number."),
    Command::new("del", -2, WRITE, keyspace::del)
        .keys(&[Keys::all(1, "RM delete")])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .since("1.0.0", "generic", "O(N)")
        .docs("key...", "Removes keys."),
    Command::new("delifeq", 3, WRITE | FAST, change::delifeq)
        .keys(&[Keys::one(1, "RW delete")])
        .since("9.0.0", "string", "O(1)")
        .docs("key value", "Removes a key if it has this value."),
    Command::new("discard", 1, PERSONAL | FAST | ALLOW_BUSY, transaction::discard)
        .since("2.0.0", "transactions", "O(N)")
        .docs("", "Forgets what was queued."),
    Command::new("dump", 2, READ, dump::dump)
        .keys(&[Keys::one(1, "RO access")])
        .tips(&["nondeterministic_output"])
        .since("2.6.0", "generic", "O(N)")
        .docs("key", "Writes a value in the form that RESTORE reads."),
    Command::new("echo", 2, ALWAYS | FAST, connection::echo)
        .since("1.0.0", "connection", "O(1)")
        .docs("message", "Answers with its argument."),
    Command::new("eval", -3, SCRIPTED, scripts::eval)
        .keys(&[Keys::counted(2, "RW access update")])
        .since("2.6.0", "scripting", "Depends on the script that is executed.")
        .docs("script numkeys [key...] [arg...]", "Carries out a script that is known."),
    Command::new("evalsha", -3, SCRIPTED, scripts::evalsha)
        .keys(&[Keys::counted(2, "RW access update")])
        .since("2.6.0", "scripting", "Depends on the script that is executed.")
        .docs("sha1 numkeys [key...] [arg...]", "Carries out a script that is known, by the SHA1 of its text."),
    Command::new("exec", 1, PERSONAL | SKIP_SLOWLOG, transaction::exec)
        .since("1.2.0", "transactions", "O(1)")
        .docs("", "Carries out what was queued, as one."),
    Command::new("exists", -2, READ | FAST, keyspace::exists)
        .keys(&[Keys::all(1, "RO")])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .since("1.0.0", "generic", "O(N)")
        .docs("key...", "Counts how many of the keys are there."),
    Command::new("expire", -3, WRITE | FAST, expiry::expire)
        .keys(&[Keys::one(1, "RW update")])
        .since("1.0.0", "generic", "O(1)")
        .docs("key seconds [NX|XX|GT|LT]", "Lets a key expire after some seconds."),
    Command::new("expireat", -3, WRITE | FAST, expiry::expireat)
        .keys(&[Keys::one(1, "RW update")])
        .since("1.2.0", "generic", "O(1)")
        .docs("key unix-time-seconds [NX|XX|GT|LT]", "Lets a key expire at a moment given in seconds."),
    Command::new("expiretime", 2, READ | FAST, expiry::expiretime)
        .keys(&[Keys::one(1, "RO access")])
        .since("7.0.0", "generic", "O(1)")
        .docs("key", "Tells in seconds when a key expires."),
    Command::new("flushall", -1, WRITE, databases::flushall)
        .categories(CAT_KEYSPACE | CAT_DANGEROUS)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .since("1.0.0", "server", "O(N)")
        .docs("[ASYNC|SYNC]", "Removes all keys of all databases."),
    Command::new("flushdb", -1, WRITE, databases::flushdb)
        .categories(CAT_KEYSPACE | CAT_DANGEROUS)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .since("1.0.0", "server", "O(N)")
        .docs("[ASYNC|SYNC]", "Removes all keys of the current database."),
    Command::new("get", 2, READ | FAST, strings::get)
        .keys(&[Keys::one(1, "RO access")])
        .since("1.0.0", "string", "O(1)")
        .docs("key", "Reads a value."),
    Command::new("getbit", 3, READ | FAST, bits::getbit)
        .keys(&[Keys::one(1, "RO access")])
        .since("2.2.0", "bitmap", "O(1)")
        .docs("key offset", "Reads a bit of a value."),
    Command::new("getdel", 2, WRITE | FAST, strings::getdel)
        .keys(&[Keys::one(1, "RW access delete")])
        .since("6.2.0", "string", "O(1)")
        .docs("key", "Reads a value and removes its key."),
    Command::new("getex", -2, WRITE | FAST, strings::getex)
        .keys(&[Keys::one(1, "RW access update")])
        .since("6.2.0", "string", "O(1)")
        .docs("key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST]", "Reads a value and may change when it expires."),
    Command::new("getrange", 4, READ, strings::getrange)
        .keys(&[Keys::one(1, "RO access")])
        .since("2.4.0", "string", "O(N)")
        .docs("key start end", "Reads a part of a value."),
    Command::new("getset", 3, WRITE | DENYOOM | FAST, strings::getset)
        .keys(&[Keys::one(1, "RW access update")])
        .since("1.0.0", "string", "O(1)")
        .deprecated("6.2.0", "SET with GET")
        .docs("key value", "Writes a value and answers with the one before."),
    Command::new("hello", -1, GREETING, connection::hello)
        .since("6.0.0", "connection", "O(1)")
        .docs("[protover [AUTH username password] [SETNAME clientname]]", "Chooses the version of the protocol and introduces both sides."),
    Command::new("incr", 2, WRITE | DENYOOM | FAST, strings::incr)
        .keys(&[Keys::one(1, "RW access update")])
        .since("1.0.0", "string", "O(1)")
        .docs("key", "Adds one to a number."),
    Command::new("incrby", 3, WRITE | DENYOOM | FAST, strings::incrby)
        .keys(&[Keys::one(1, "RW access update")])
        .since("1.0.0", "string", "O(1)")
        .docs("key increment", "Adds to a number."),
    Command::new("incrbyfloat", 3, WRITE | DENYOOM | FAST, change::incrbyfloat)
        .keys(&[Keys::one(1, "RW access update")])
        .since("2.6.0", "string", "O(1)")
        .docs("key increment", "Adds to a number with a point."),
    Command::new("info", -1, ALWAYS, info::info)
        .categories(CAT_DANGEROUS)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .since("1.0.0", "server", "O(1)")
        .docs("[section...]", "Tells the figures and settings of the server."),
    Command::new("keys", 2, READ, keyspace::keys)
        .categories(CAT_DANGEROUS)
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .since("1.0.0", "generic", "O(N)")
        .docs("pattern", "Lists the keys that match a pattern."),
    Command::container("latency", subcommands::LATENCY)
        .since("2.8.13", "server", "depends on the subcommand")
        .docs("", "Commands about how long things took."),
    Command::new("lcs", -3, READ, lcs::lcs)
        .keys(&[Keys::range(1, 1, 1, "RO access")])
        .since("7.0.0", "string", "O(N*M)")
        .docs(
            "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
            "Finds the longest subsequence that two values have in common.",
        ),
    Command::new("lolwut", -1, READ | FAST, admin::lolwut)
        .since("5.0.0", "server", "O(1)")
        .docs("[VERSION version]", "Shows the version and a small picture."),
    Command::container("memory", subcommands::MEMORY)
        .since("4.0.0", "server", "depends on the subcommand")
        .docs("", "Commands about memory."),
    Command::new("mget", -2, READ | FAST, strings::mget)
        .keys(&[Keys::all(1, "RO access")])
        .tips(&["request_policy:multi_shard"])
        .since("1.0.0", "string", "O(N)")
        .docs("key...", "Reads several values."),
    Command::container("module", subcommands::MODULE)
        .since("4.0.0", "server", "depends on the subcommand")
        .docs("", "Commands about modules."),
    Command::new("monitor", 1, ADMINISTER, client::monitor)
        .since("1.0.0", "server", "O(1)")
        .docs("", "Shows every request that the server carries out, as it comes."),
    Command::new("move", 3, WRITE | FAST, rename::r#move)
        .keys(&[Keys::one(1, "RW access update")])
        .since("1.0.0", "generic", "O(1)")
        .docs("key db", "Moves a key to another database."),
    Command::new("mset", -3, WRITE | DENYOOM, strings::mset)
        .keys(&[Keys::pairs(1, "OW update")])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .since("1.0.1", "string", "O(N)")
        .docs("(key value)...", "Writes several values."),
    Command::new("msetnx", -3, WRITE | DENYOOM, change::msetnx)
        .keys(&[Keys::pairs(1, "OW insert")])
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .since("1.0.1", "string", "O(N)")
        .docs("(key value)...", "Writes several values if none of the keys is there."),
    Command::new("multi", 1, PERSONAL | FAST | ALLOW_BUSY, transaction::multi)
        .since("1.2.0", "transactions", "O(1)")
        .docs("", "Begins a transaction: what follows is queued."),
    Command::container("object", subcommands::OBJECT)
        .since("2.2.3", "generic", "depends on the subcommand")
        .docs("", "Commands about how a value is kept."),
    Command::new("persist", 2, WRITE | FAST, expiry::persist)
        .keys(&[Keys::one(1, "RW update")])
        .since("2.2.0", "generic", "O(1)")
        .docs("key", "Lets a key never expire."),
    Command::new("pexpire", -3, WRITE | FAST, expiry::pexpire)
        .keys(&[Keys::one(1, "RW update")])
        .since("2.6.0", "generic", "O(1)")
        .docs("key milliseconds [NX|XX|GT|LT]", "Lets a key expire after some milliseconds."),
    Command::new("pexpireat", -3, WRITE | FAST, expiry::pexpireat)
        .keys(&[Keys::one(1, "RW update")])
        .since("2.6.0", "generic", "O(1)")
        .docs("key unix-time-milliseconds [NX|XX|GT|LT]", "Lets a key expire at a moment given in milliseconds."),
    Command::new("pexpiretime", 2, READ | FAST, expiry::pexpiretime)
        .keys(&[Keys::one(1, "RO access")])
        .since("7.0.0", "generic", "O(1)")
        .docs("key", "Tells in milliseconds when a key expires."),
    Command::new("ping", -1, FAST, connection::ping)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .since("1.0.0", "connection", "O(1)")
        .docs("[message]", "Answers, to show that the server is there."),
    Command::new("psetex", 4, WRITE | DENYOOM, strings::psetex)
        .keys(&[Keys::one(1, "OW update")])
        .since("2.6.0", "string", "O(1)")
        .docs("key milliseconds value", "Writes a value that expires after some milliseconds."),
    Command::new("psubscribe", -2, PUBSUB | PERSONAL, pubsub::psubscribe)
        .since("2.0.0", "pubsub", "O(N)")
        .docs("pattern...", "Receives what is published to channels that match patterns."),
    Command::new("pttl", 2, READ | FAST, expiry::pttl)
        .keys(&[Keys::one(1, "RO access")])
        .tips(&["nondeterministic_output"])
        .since("2.6.0", "generic", "O(1)")
        .docs("key", "Tells in milliseconds how long a key has left."),
    Command::new("publish", 3, PUBSUB | ALWAYS | FAST, pubsub::publish)
        .since("2.0.0", "pubsub", "O(N+M)")
        .docs("channel message", "Sends a message to those who subscribed to a channel."),
    Command::container("pubsub", subcommands::PUBSUB)
        .since("2.8.0", "pubsub", "depends on the subcommand")
        .docs("", "Commands about channels."),
    Command::new("punsubscribe", -1, PUBSUB | PERSONAL, pubsub::punsubscribe)
        .since("2.0.0", "pubsub", "O(N+M)")
        .docs("[pattern...]", "Ends subscriptions to patterns."),
    Command::new("quit", -1, GREETING, connection::quit)
        .since("1.0.0", "connection", "O(1)")
        .docs("", "Ends the connection."),
    Command::new("randomkey", 1, READ, keyspace::randomkey)
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .since("1.0.0", "generic", "O(1)")
        .docs("", "Gives a key, any."),
    Command::new("rename", 3, WRITE, rename::rename)
        .keys(&[Keys::one(1, "RW access delete"), Keys::one(2, "OW update")])
        .since("1.0.0", "generic", "O(1)")
        .docs("key newkey", "Puts a value under another key."),
    Command::new("renamenx", 3, WRITE | FAST, rename::renamenx)
        .keys(&[Keys::one(1, "RW access delete"), Keys::one(2, "OW insert")])
        .since("1.0.0", "generic", "O(1)")
        .docs("key newkey", "Puts a value under another key if that is not there."),
    Command::new("replicaof", 3, ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING, admin::replicaof)
        .since("5.0.0", "server", "O(1)")
        .docs("host port", "Makes the server a copy of another; refused here."),
    Command::new("reset", 1, GREETING, connection::reset)
        .since("6.2.0", "connection", "O(1)")
        .docs("", "Makes the connection as it was when it was new."),
    Command::new("restore", -4, WRITE | DENYOOM, dump::restore)
        .categories(CAT_DANGEROUS)
        .keys(&[Keys::one(1, "OW update")])
        .since("2.6.0", "generic", "O(N)")
        .docs(
            "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
            "Stores a value that DUMP has written.",
        ),
    Command::new("role", 1, PERSONAL | FAST, admin::role)
        .categories(CAT_ADMIN | CAT_DANGEROUS)
        .since("2.8.12", "server", "O(1)")
        .docs("", "Tells the part of the server in replication."),
    Command::new("scan", -2, READ, keyspace::scan)
        .tips(&["nondeterministic_output", "request_policy:special"])
        .since("2.8.0", "generic", "O(1)")
        .docs("cursor [MATCH pattern] [COUNT count] [TYPE type]", "Walks over the keys, a few at a time."),
    Command::container("script", subcommands::SCRIPT)
        .since("2.6.0", "scripting", "depends on the subcommand")
        .docs("", "Commands about scripts."),
    Command::new("select", 2, ALWAYS | FAST, databases::select)
        .since("1.0.0", "connection", "O(1)")
        .docs("index", "Chooses the database."),
    Command::new("set", -3, WRITE | DENYOOM, strings::set)
        .keys(&[Keys::one(1, "RW access update variable_flags")])
        .since("1.0.0", "string", "O(1)")
        .docs("key value [NX|XX|IFEQ comparison-value] [GET] [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL]", "Writes a value."),
    Command::new("setbit", 4, WRITE | DENYOOM, bits::setbit)
        .keys(&[Keys::one(1, "RW access update")])
        .since("2.2.0", "bitmap", "O(1)")
        .docs("key offset value", "Writes a bit of a value."),
    Command::new("setex", 4, WRITE | DENYOOM, strings::setex)
        .keys(&[Keys::one(1, "OW update")])
        .since("2.0.0", "string", "O(1)")
        .docs("key seconds value", "Writes a value that expires after some seconds."),
    Command::new("setnx", 3, WRITE | DENYOOM | FAST, strings::setnx)
        .keys(&[Keys::one(1, "OW insert")])
        .since("1.0.0", "string", "O(1)")
        .docs("key value", "Writes a value where there is none."),
    Command::new("setrange", 4, WRITE | DENYOOM, change::setrange)
        .keys(&[Keys::one(1, "RW update")])
        .since("2.2.0", "string", "O(1)")
        .docs("key offset value", "Writes a part of a value."),
    Command::new("shutdown", -1, ADMINISTER | NO_MULTI | ALLOW_BUSY, admin::shutdown)
        .since("1.0.0", "server", "O(N)")
        .docs("[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]", "Stops the server, where that is allowed."),
    Command::new("slaveof", 3, ADMIN | NOSCRIPT | STALE | NO_ASYNC_LOADING, admin::replicaof)
        .since("1.0.0", "server", "O(1)")
        .deprecated("5.0.0", "REPLICAOF")
        .docs("host port", "Makes the server a copy of another; refused here."),
    Command::container("slowlog", subcommands::SLOWLOG)
        .since("2.2.12", "server", "depends on the subcommand")
        .docs("", "Commands about the list of slow requests."),
    Command::new("sort", -2, WRITE | DENYOOM | MOVABLE_KEYS, sort::sort)
        .categories(CAT_SORTED | CAT_DANGEROUS)
        .keys(&[Keys::one(1, "RO access"), Keys::named("RO access"), Keys::stored("OW update")])
        .since("1.0.0", "generic", "O(1)")
        .docs(
            "key [BY pattern] [LIMIT (offset count)] [GET pattern]... [ASC|DESC] [ALPHA] [STORE destination]",
            "Sorts a list or set; here there are none.",
        ),
    Command::new("sort_ro", -2, READ | MOVABLE_KEYS, sort::sort_ro)
        .categories(CAT_SORTED | CAT_DANGEROUS)
        .keys(&[Keys::one(1, "RO access"), Keys::named("RO access")])
        .since("7.0.0", "generic", "O(1)")
        .docs(
            "key [BY pattern] [LIMIT (offset count)] [GET pattern]... [ASC|DESC] [ALPHA]",
            "Sorts a list or set; here there are none.",
        ),
    Command::new("spublish", 3, PUBSUB | ALWAYS | FAST, pubsub::spublish)
        .keys(&[Keys::one(1, "not_key")])
        .since("7.0.0", "pubsub", "O(N)")
        .docs("shardchannel message", "Sends a message to those who subscribed to a shard channel."),
    Command::new("ssubscribe", -2, PUBSUB | PERSONAL, pubsub::ssubscribe)
        .keys(&[Keys::all(1, "not_key")])
        .since("7.0.0", "pubsub", "O(N)")
        .docs("shardchannel...", "Receives what is published to shard channels."),
    Command::new("strlen", 2, READ | FAST, strings::strlen)
        .keys(&[Keys::one(1, "RO")])
        .since("2.2.0", "string", "O(1)")
        .docs("key", "Tells the length of a value."),
    Command::new("subscribe", -2, PUBSUB | PERSONAL, pubsub::subscribe)
        .since("2.0.0", "pubsub", "O(N)")
        .docs("channel...", "Receives what is published to channels."),
    Command::new("substr", 4, READ, strings::getrange)
        .keys(&[Keys::one(1, "RO access")])
        .since("1.0.0", "string", "O(N)")
        .deprecated("2.0.0", "GETRANGE")
        .docs("key start end", "Reads a part of a value."),
    Command::new("sunsubscribe", -1, PUBSUB | PERSONAL, pubsub::sunsubscribe)
        .keys(&[Keys::all(1, "not_key")])
        .since("7.0.0", "pubsub", "O(N)")
        .docs("[shardchannel...]", "Ends subscriptions to shard channels."),
    Command::new("swapdb", 3, WRITE | FAST, databases::swapdb)
        .categories(CAT_KEYSPACE | CAT_DANGEROUS)
        .since("4.0.0", "server", "O(N)")
        .docs("index1 index2", "Swaps two databases."),
    Command::new("time", 1, ALWAYS | FAST, admin::time)
        .tips(&["nondeterministic_output"])
        .since("2.6.0", "server", "O(1)")
        .docs("", "Tells the time."),
    Command::new("touch", -2, READ | FAST, keyspace::touch)
        .keys(&[Keys::all(1, "RO")])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .since("3.2.1", "generic", "O(N)")
        .docs("key...", "Counts the keys that are there and marks them as used."),
    Command::new("ttl", 2, READ | FAST, expiry::ttl)
        .keys(&[Keys::one(1, "RO access")])
        .tips(&["nondeterministic_output"])
        .since("1.0.0", "generic", "O(1)")
        .docs("key", "Tells in seconds how long a key has left."),
    Command::new("type", 2, READ | FAST, keyspace::r#type)
        .keys(&[Keys::one(1, "RO")])
        .since("1.0.0", "generic", "O(1)")
        .docs("key", "Tells the type of a value."),
    Command::new("unlink", -2, WRITE | FAST, keyspace::del)
        .keys(&[Keys::all(1, "RM delete")])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .since("4.0.0", "generic", "O(1)")
        .docs("key...", "Removes keys."),
    Command::new("unsubscribe", -1, PUBSUB | PERSONAL, pubsub::unsubscribe)
        .since("2.0.0", "pubsub", "O(N)")
        .docs("[channel...]", "Ends subscriptions to channels."),
    Command::new("unwatch", 1, PERSONAL | FAST | ALLOW_BUSY, transaction::unwatch)
        .since("2.2.0", "transactions", "O(1)")
        .docs("", "Forgets all watched keys."),
    Command::new("wait", 3, NOSCRIPT, keyspace::wait)
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .since("3.0.0", "connection", "O(1)")
        .docs("numreplicas timeout", "Waits for replicas, of which there are none."),
    Command::new("watch", -2, PERSONAL | FAST | ALLOW_BUSY, transaction::watch)
        .keys(&[Keys::all(1, "RO")])
        .since("2.2.0", "transactions", "O(1)")
        .docs("key...", "Lets EXEC do nothing if a key changes before it."),
];

//! The subcommands, container by container.

use super::super::{
    acl, admin, client, client_list, client_tracking, config, introspection, keyspace, latency, pubsub,
    scripts,
};
use super::flags::{
    self, ADMIN, ADMINISTER, ALLOW_BUSY, ALWAYS, CAT_CONNECTION, NOSCRIPT, PERSONAL, READ, STALE,
};
use super::{Command, Keys};

pub(super) const ACL: &[Command] = &[
    Command::new("acl|cat", -2, PERSONAL, acl::cat)
        .since("6.0.0", "server", "O(1)")
        .docs("[category]", "Lists the categories of commands, or the commands of one."),
    Command::new("acl|getuser", 3, ADMINISTER, acl::getuser)
        .since("6.0.0", "server", "O(N)")
        .docs("username", "Describes a user."),
    Command::new("acl|help", 2, ALWAYS, introspection::help)
        .since("6.0.0", "server", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("acl|list", 2, ADMINISTER, acl::list)
        .since("6.0.0", "server", "O(N)")
        .docs("", "Lists the users and their rules."),
    Command::new("acl|users", 2, ADMINISTER, acl::users)
        .since("6.0.0", "server", "O(N)")
        .docs("", "Lists the names of the users."),
    Command::new("acl|whoami", 2, PERSONAL, acl::whoami)
        .since("6.0.0", "server", "O(1)")
        .docs("", "Tells the user of this connection."),
];

pub(super) const CLIENT: &[Command] = &[
    Command::new("client|caching", 3, PERSONAL, client_tracking::caching)
        .since("6.0.0", "connection", "O(1)")
        .docs("YES|NO", "Decides about tracking the keys of the next command."),
    Command::new("client|getname", 2, PERSONAL, client::getname)
        .since("2.6.9", "connection", "O(1)")
        .docs("", "Tells the name of this connection."),
    Command::new("client|getredir", 2, PERSONAL, client_tracking::getredir)
        .since("6.0.0", "connection", "O(1)")
        .docs("", "Tells the client that receives the invalidations of this one."),
    Command::new("client|help", 2, ALWAYS, introspection::help)
        .since("5.0.0", "connection", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("client|id", 2, PERSONAL, client::id)
        .since("5.0.0", "connection", "O(1)")
        .docs("", "Tells the number of this connection."),
    Command::new("client|info", 2, PERSONAL, client::info)
        .tips(&["nondeterministic_output"])
        .since("6.2.0", "connection", "O(1)")
        .docs("", "Describes this connection."),
    Command::new("client|kill", -3, ADMINISTER, client_list::kill)
        .since("2.4.0", "connection", "O(N)")
        .docs("ip:port|[ID client-id] [TYPE (NORMAL|MASTER|SLAVE|REPLICA|PUBSUB)] [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME (YES|NO)] [MAXAGE maxage]", "Closes connections."),
    Command::new("client|list", -2, ADMINISTER, client_list::list)
        .tips(&["nondeterministic_output"])
        .since("2.4.0", "connection", "O(N)")
        .docs("[TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID client-id...]", "Describes connections."),
    Command::new("client|no-evict", 3, ADMINISTER, client::no_evict)
        .since("7.0.0", "connection", "O(1)")
        .docs("ON|OFF", "Spares this connection when memory for clients is short."),
    Command::new("client|no-touch", 3, PERSONAL, client::no_touch)
        .since("7.2.0", "connection", "O(1)")
        .docs("ON|OFF", "Accepted; reads count as uses all the same."),
    Command::new("client|pause", -3, ADMINISTER, client::pause)
        .since("2.9.50", "connection", "O(1)")
        .docs("timeout [WRITE|ALL]", "Lets clients wait for some milliseconds."),
    Command::new("client|reply", 3, PERSONAL, client::reply)
        .since("3.2.0", "connection", "O(1)")
        .docs("ON|OFF|SKIP", "Decides whether this connection is answered."),
    Command::new("client|setinfo", 4, PERSONAL, client::setinfo)
        .since("7.2.0", "connection", "O(1)")
        .docs("LIB-NAME libname|LIB-VER libver", "Tells the name or version of the client's library."),
    Command::new("client|setname", 3, PERSONAL, client::setname)
        .since("2.6.9", "connection", "O(1)")
        .docs("connection-name", "Names this connection."),
    Command::new("client|tracking", -3, PERSONAL, client_tracking::tracking)
        .since("6.0.0", "connection", "O(1)")
        .docs("(ON|OFF) [REDIRECT client-id] [PREFIX prefix]... [BCAST] [OPTIN] [OPTOUT] [NOLOOP]", "Tells this client when keys change that it has read."),
    Command::new("client|trackinginfo", 2, PERSONAL, client_tracking::trackinginfo)
        .since("6.2.0", "connection", "O(1)")
        .docs("", "Tells how this connection tracks keys."),
    Command::new("client|unblock", -3, ADMINISTER, client::unblock)
        .since("5.0.0", "connection", "O(log N)")
        .docs("client-id [TIMEOUT|ERROR]", "Ends the wait of a blocked client."),
    Command::new("client|unpause", 2, ADMINISTER, client::unpause)
        .since("6.2.0", "connection", "O(N)")
        .docs("", "Ends a pause."),
];

pub(super) const CLUSTER: &[Command] = &[
    Command::new("cluster|help", 2, ALWAYS, introspection::help)
        .since("5.0.0", "cluster", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("cluster|info", 2, STALE, admin::cluster)
        .tips(&["nondeterministic_output"])
        .since("3.0.0", "cluster", "O(1)")
        .docs("", "Refused: there is no cluster."),
    Command::new("cluster|keyslot", 3, STALE, admin::cluster)
        .since("3.0.0", "cluster", "O(N)")
        .docs("key", "Refused: there is no cluster."),
    Command::new("cluster|links", 2, STALE, admin::cluster)
        .tips(&["nondeterministic_output"])
        .since("7.0.0", "cluster", "O(N)")
        .docs("", "Refused: there is no cluster."),
    Command::new("cluster|myid", 2, STALE, admin::cluster)
        .since("3.0.0", "cluster", "O(1)")
        .docs("", "Refused: there is no cluster."),
    Command::new("cluster|nodes", 2, STALE, admin::cluster)
        .tips(&["nondeterministic_output"])
        .since("3.0.0", "cluster", "O(N)")
        .docs("", "Refused: there is no cluster."),
    Command::new("cluster|shards", 2, STALE, admin::cluster)
        .tips(&["nondeterministic_output"])
        .since("7.0.0", "cluster", "O(N)")
        .docs("", "Refused: there is no cluster."),
    Command::new("cluster|slots", 2, STALE, admin::cluster)
        .tips(&["nondeterministic_output"])
        .since("3.0.0", "cluster", "O(N)")
        .deprecated("7.0.0", "CLUSTER SHARDS")
        .docs("", "Refused: there is no cluster."),
];

pub(super) const COMMAND: &[Command] = &[
    Command::new("command|count", 2, ALWAYS, introspection::count)
        .categories(CAT_CONNECTION)
        .since("2.8.13", "server", "O(1)")
        .docs("", "Counts the commands."),
    Command::new("command|docs", -2, ALWAYS, introspection::docs)
        .categories(CAT_CONNECTION)
        .tips(&["nondeterministic_output_order"])
        .since("7.0.0", "server", "O(N)")
        .docs("[command-name...]", "Documents commands."),
    Command::new("command|getkeys", -4, ALWAYS, introspection::getkeys)
        .categories(CAT_CONNECTION)
        .since("2.8.13", "server", "O(N)")
        .docs("command [arg...]", "Lists the keys of a request."),
    Command::new("command|getkeysandflags", -4, ALWAYS, introspection::getkeysandflags)
        .categories(CAT_CONNECTION)
        .since("7.0.0", "server", "O(N)")
        .docs("command [arg...]", "Lists the keys of a request and what it does with them."),
    Command::new("command|help", 2, ALWAYS, introspection::help)
        .categories(CAT_CONNECTION)
        .since("5.0.0", "server", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("command|info", -2, ALWAYS, introspection::infos)
        .categories(CAT_CONNECTION)
        .tips(&["nondeterministic_output_order"])
        .since("2.8.13", "server", "O(N)")
        .docs("[command-name...]", "Describes commands."),
    Command::new("command|list", -2, ALWAYS, introspection::list)
        .categories(CAT_CONNECTION)
        .tips(&["nondeterministic_output_order"])
        .since("7.0.0", "server", "O(N)")
        .docs(
            "[FILTERBY (MODULE module-name|ACLCAT category|PATTERN pattern)]",
            "Lists the names of commands.",
        ),
];

pub(super) const CONFIG: &[Command] = &[
    Command::new("config|get", -3, ADMINISTER, config::get)
        .since("2.0.0", "server", "O(N)")
        .docs("parameter...", "Tells settings."),
    Command::new("config|help", 2, ALWAYS, introspection::help)
        .since("5.0.0", "server", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("config|resetstat", 2, ADMINISTER, config::resetstat)
        .since("2.0.0", "server", "O(1)")
        .docs("", "Sets the counters to zero."),
    Command::new("config|rewrite", 2, ADMINISTER, config::rewrite)
        .since("2.8.0", "server", "O(1)")
        .docs("", "Writes the settings to the file they came from."),
    Command::new("config|set", -4, ADMINISTER, config::set)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .since("2.0.0", "server", "O(N)")
        .docs("(parameter value)...", "Changes settings."),
];

pub(super) const LATENCY: &[Command] = &[
    Command::new("latency|doctor", 2, ADMINISTER, latency::doctor)
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .since("2.8.13", "server", "O(1)")
        .docs("", "Tells what could be done about latency."),
    Command::new("latency|graph", 3, ADMINISTER, latency::graph)
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .since("2.8.13", "server", "O(1)")
        .docs("event", "Draws the latencies of an event."),
    Command::new("latency|help", 2, ALWAYS, introspection::help)
        .since("2.8.13", "server", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("latency|histogram", -2, ADMINISTER, latency::histogram)
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .since("7.0.0", "server", "O(N)")
        .docs("[command...]", "Tells how often commands took how long."),
    Command::new("latency|history", 3, ADMINISTER, latency::history)
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .since("2.8.13", "server", "O(1)")
        .docs("event", "Tells the latencies of an event."),
    Command::new("latency|latest", 2, ADMINISTER, latency::latest)
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
        .since("2.8.13", "server", "O(1)")
        .docs("", "Tells the last latency of each event."),
    Command::new("latency|reset", -2, ADMINISTER, latency::reset)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .since("2.8.13", "server", "O(1)")
        .docs("[event...]", "Forgets the latencies of events."),
];

pub(super) const MEMORY: &[Command] = &[
    Command::new("memory|doctor", 2, 0, keyspace::memory_doctor)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .since("4.0.0", "server", "O(1)")
        .docs("", "Tells what could be done about memory."),
    Command::new("memory|help", 2, ALWAYS, introspection::help)
        .since("4.0.0", "server", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("memory|malloc-stats", 2, 0, keyspace::memory_malloc_stats)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .since("4.0.0", "server", "O(N)")
        .docs("", "Tells about the allocator, which is not the one of Redis."),
    Command::new("memory|purge", 2, 0, keyspace::memory_purge)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .since("4.0.0", "server", "O(1)")
        .docs("", "Asks the allocator to give memory back."),
    Command::new("memory|stats", 2, 0, keyspace::memory_stats)
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .since("4.0.0", "server", "O(1)")
        .docs("", "Tells what memory is used for."),
    Command::new("memory|usage", -3, READ, keyspace::memory_usage)
        .keys(&[Keys::one(2, "RO")])
        .since("4.0.0", "server", "O(N)")
        .docs("key [SAMPLES count]", "Tells how much memory a key takes."),
];

pub(super) const MODULE: &[Command] = &[
    Command::new("module|help", 2, ALWAYS, introspection::help)
        .since("5.0.0", "server", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("module|list", 2, ADMIN | NOSCRIPT, admin::modules)
        .tips(&["nondeterministic_output_order"])
        .since("4.0.0", "server", "O(N)")
        .docs("", "Lists the modules."),
];

pub(super) const OBJECT: &[Command] = &[
    Command::new("object|encoding", 3, READ, keyspace::object_encoding)
        .keys(&[Keys::one(2, "RO")])
        .tips(&["nondeterministic_output"])
        .since("2.2.3", "generic", "O(1)")
        .docs("key", "Tells how a value is kept."),
    Command::new("object|freq", 3, READ, keyspace::object_freq)
        .keys(&[Keys::one(2, "RO")])
        .tips(&["nondeterministic_output"])
        .since("4.0.0", "generic", "O(1)")
        .docs("key", "Tells how often a key was used."),
    Command::new("object|help", 2, ALWAYS, introspection::help)
        .since("6.2.0", "generic", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("object|idletime", 3, READ, keyspace::object_idletime)
        .keys(&[Keys::one(2, "RO")])
        .tips(&["nondeterministic_output"])
        .since("2.2.3", "generic", "O(1)")
        .docs("key", "Tells how long a key was not used."),
    Command::new("object|refcount", 3, READ, keyspace::object_refcount)
        .keys(&[Keys::one(2, "RO")])
        .tips(&["nondeterministic_output"])
        .since("2.2.3", "generic", "O(1)")
        .docs("key", "Tells how often a value is shared."),
];

pub(super) const PUBSUB: &[Command] = &[
    Command::new("pubsub|channels", -2, flags::PUBSUB | ALWAYS, pubsub::channels)
        .since("2.8.0", "pubsub", "O(N)")
        .docs("[pattern]", "Lists the channels somebody subscribed to."),
    Command::new("pubsub|help", 2, ALWAYS, introspection::help)
        .since("6.2.0", "pubsub", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("pubsub|numpat", 2, flags::PUBSUB | ALWAYS, pubsub::numpat)
        .since("2.8.0", "pubsub", "O(1)")
        .docs("", "Counts the patterns somebody subscribed to."),
    Command::new("pubsub|numsub", -2, flags::PUBSUB | ALWAYS, pubsub::numsub)
        .since("2.8.0", "pubsub", "O(N)")
        .docs("[channel...]", "Counts the subscribers of channels."),
    Command::new("pubsub|shardchannels", -2, flags::PUBSUB | ALWAYS, pubsub::shardchannels)
        .since("7.0.0", "pubsub", "O(N)")
        .docs("[pattern]", "Lists the shard channels somebody subscribed to."),
    Command::new("pubsub|shardnumsub", -2, flags::PUBSUB | ALWAYS, pubsub::shardnumsub)
        .since("7.0.0", "pubsub", "O(N)")
        .docs("[shardchannel...]", "Counts the subscribers of shard channels."),
];

pub(super) const SCRIPT: &[Command] = &[
    Command::new("script|exists", -3, NOSCRIPT, scripts::exists)
        .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
        .since("2.6.0", "scripting", "O(N)")
        .docs("sha1...", "Tells which scripts are known."),
    Command::new("script|flush", -2, NOSCRIPT, scripts::flush)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .since("2.6.0", "scripting", "O(1)")
        .docs("[ASYNC|SYNC]", "Accepted; what is known stays so."),
    Command::new("script|help", 2, ALWAYS, introspection::help)
        .since("5.0.0", "scripting", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("script|kill", 2, NOSCRIPT | ALLOW_BUSY, scripts::kill)
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
        .since("2.6.0", "scripting", "O(1)")
        .docs("", "Ends a script, of which none takes long."),
    Command::new("script|load", 3, NOSCRIPT | STALE, scripts::load)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .since("2.6.0", "scripting", "O(N)")
        .docs("script", "Tells the SHA1 of a script that is known."),
];

pub(super) const SLOWLOG: &[Command] = &[
    Command::new("slowlog|get", -2, ADMIN | ALWAYS, latency::slowlog_get)
        .tips(&["request_policy:all_nodes", "nondeterministic_output"])
        .since("2.2.12", "server", "O(N)")
        .docs("[count]", "Lists slow requests, the last one first."),
    Command::new("slowlog|help", 2, ALWAYS, introspection::help)
        .since("6.2.0", "server", "O(1)")
        .docs("", "Lists the subcommands."),
    Command::new("slowlog|len", 2, ADMIN | ALWAYS, latency::slowlog_len)
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"])
        .since("2.2.12", "server", "O(1)")
        .docs("", "Counts the slow requests that are remembered."),
    Command::new("slowlog|reset", 2, ADMIN | ALWAYS, latency::slowlog_reset)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .since("2.2.12", "server", "O(N)")
        .docs("", "Forgets the slow requests."),
];

//! Commands about channels. Who receives what is told in `crate::pubsub`.

use std::sync::Arc;

use crabcache_protocol::resp::{Args, Version, write};

use super::connection::{ECHOED_MAX, reset_now};
use super::two;
use crate::command::task::Task;
use crate::connection::{Connection, Replies};
use crate::mail::WAITING_MAX;
use crate::pubsub::{self, ENDED_AT_ONCE, Kind, PATTERNS_MAX, Subscriptions};
use crate::reactor::batch::Pass;

/// `SUBSCRIBE channel ...`
pub(super) fn subscribe<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    begin(Kind::Channel, "subscribe", args, connection, pass);
}

/// `PSUBSCRIBE pattern ...`
pub(super) fn psubscribe<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    begin(Kind::Pattern, "psubscribe", args, connection, pass);
}

/// `SSUBSCRIBE shardchannel ...`
pub(super) fn ssubscribe<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if connection.executes {
        return pass.error("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
    }
    begin(Kind::Shard, "ssubscribe", args, connection, pass);
}

/// `UNSUBSCRIBE [channel ...]`
pub(super) fn unsubscribe<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    end(Kind::Channel, "unsubscribe", args, connection, pass);
}

/// `PUNSUBSCRIBE [pattern ...]`
pub(super) fn punsubscribe<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    end(Kind::Pattern, "punsubscribe", args, connection, pass);
}

/// `SUNSUBSCRIBE [shardchannel ...]`
pub(super) fn sunsubscribe<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    end(Kind::Shard, "sunsubscribe", args, connection, pass);
}

/// How many subscriptions the answers count: shard channels by themselves.
fn counted(kind: Kind, subscriptions: Option<&Subscriptions>) -> usize {
    let count = |kind| subscriptions.map_or(0, |subscriptions| subscriptions.len(kind));
    if kind == Kind::Shard { count(kind) } else { count(Kind::Channel) + count(Kind::Pattern) }
}

fn confirm(out: &mut Vec<u8>, verb: &str, name: Option<&[u8]>, count: usize, version: Version) {
    write::push(out, 3, version);
    write::bulk(out, verb.as_bytes());
    match name {
        Some(name) => write::bulk(out, name),
        None => write::nil(out, version),
    }
    write::integer(out, count as i64);
}

/// How long it takes to begin or end a subscription, in nanoseconds or so.
const CHANGE_TIME: usize = 500;

fn begin(kind: Kind, verb: &str, args: Args<'_>, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many channels at once");
    }
    let before = connection.subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.len(kind));
    if kind == Kind::Pattern && before + args.len() - 1 > PATTERNS_MAX {
        return pass.error(&format!("ERR a client can subscribe to at most {PATTERNS_MAX} patterns"));
    }
    let (shared, version) = (pass.shared(), pass.version);
    let client = &connection.client;
    let subscriptions = connection
        .subscriptions
        .get_or_insert_with(|| Box::new(Subscriptions::new(&shared.channels, client)));
    let out = pass.direct();
    for name in args.iter().skip(1) {
        subscriptions.add(kind, name);
        confirm(out, verb, Some(name), counted(kind, Some(subscriptions)), version);
    }
    pass.executor.note_work((args.len() - 1) * CHANGE_TIME);
    connection.confirmed = true;
    connection.attend();
}

fn end(
    kind: Kind,
    verb: &'static str,
    args: Args<'_>,
    connection: &mut Connection,
    pass: &mut Pass<'_, '_, '_>,
) {
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many channels at once");
    }
    if args.len() == 1 {
        return Ending::Kind(kind, verb).begin(connection, pass);
    }
    let version = pass.version;
    let out = pass.direct();
    for name in args.iter().skip(1) {
        if let Some(subscriptions) = &mut connection.subscriptions {
            subscriptions.remove(kind, name);
        }
        confirm(out, verb, Some(name), counted(kind, connection.subscriptions.as_deref()), version);
    }
    pass.executor.note_work((args.len() - 1) * CHANGE_TIME);
    connection.subscriptions.take_if(|subscriptions| subscriptions.is_empty());
    connection.confirmed = true;
    connection.attend();
}

/// All subscriptions of a client end, some at a time.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Those of a kind; each end is confirmed by this verb.
    Kind(Kind, &'static str),
    /// Those of all kinds, since the connection is to be as it was.
    Reset,
}

impl Ending {
    /// Begins with it; what is left goes on as a task.
    pub(super) fn begin(self, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
        if !self.step(connection, pass) {
            connection.task = Some(Box::new(Task::End(self)));
        }
    }

    /// Goes on for a slice; true when it is done and answered.
    pub(crate) fn step(&self, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
        let mut subscriptions = connection.subscriptions.as_deref_mut();
        match *self {
            Self::Kind(kind, verb) => {
                let names = subscriptions.as_mut().map_or(Vec::new(), |held| held.take(kind, ENDED_AT_ONCE));
                let left = counted(kind, subscriptions.as_deref());
                let done = subscriptions.is_none_or(|held| held.len(kind) == 0);
                let version = pass.version;
                let out = pass.direct();
                if names.is_empty() {
                    confirm(out, verb, None, left, version);
                }
                for (name, left) in names.iter().zip((left..left + names.len()).rev()) {
                    confirm(out, verb, Some(name), left, version);
                }
                pass.executor.note_work(names.len() * CHANGE_TIME);
                connection.subscriptions.take_if(|subscriptions| subscriptions.is_empty());
                connection.confirmed = true;
                connection.attend();
                done
            }
            Self::Reset => {
                let ended = subscriptions.map_or(0, |held| held.end(ENDED_AT_ONCE));
                pass.executor.note_work(ended * CHANGE_TIME);
                connection.subscriptions.take_if(|subscriptions| subscriptions.is_empty());
                let done = connection.subscriptions.is_none();
                if done {
                    reset_now(connection, pass);
                }
                done
            }
        }
    }
}

/// `PUBLISH channel message`
pub(super) fn publish<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    send(Kind::Channel, args, connection, pass);
}

/// `SPUBLISH shardchannel message`
pub(super) fn spublish<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    send(Kind::Shard, args, connection, pass);
}

fn send(kind: Kind, args: Args<'_>, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    // What was asked before is done before the message is seen.
    pass.run();
    let (channel, message) = two(&args);
    let version = pass.version;
    // What it receives itself comes right behind the answer: it may end the subscription with its next request.
    let Connection { client: author, output, .. } = connection;
    let (receivers, work) = pubsub::publish(pass.shared(), kind, channel, message, |client, text| {
        let takes = Arc::ptr_eq(client, author) && output.len() < WAITING_MAX;
        if takes {
            output.put_behind(text.parts(version));
        }
        takes
    });
    write::integer(pass.direct(), receivers as i64);
    pass.executor.note_work(work);
    if connection.replies == Replies::On && !connection.executes {
        connection.tell_what_waits(pass.direct());
    }
}

/// `PUBSUB CHANNELS [pattern]`
pub(super) fn channels<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    list(Kind::Channel, args, pass);
}

/// `PUBSUB SHARDCHANNELS [pattern]`
pub(super) fn shardchannels<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    list(Kind::Shard, args, pass);
}

/// What a list of channels may cost in comparisons; what is not known then is left out.
const LIST_STEPS_MAX: usize = 4 << 20;

fn list(kind: Kind, args: Args<'_>, pass: &mut Pass<'_, '_, '_>) {
    if args.len() > 3 {
        return pass.wrong_subcommand(args);
    }
    let pattern = args.get(2).unwrap_or(b"*");
    let mut steps = LIST_STEPS_MAX;
    let found = pass.shared().channels.names(kind, pattern, &mut steps);
    let out = pass.direct();
    write::array(out, found.count);
    out.extend_from_slice(&found.bulks);
    pass.executor.note_work(LIST_STEPS_MAX - steps + found.looked * 50);
}

/// `PUBSUB NUMSUB [channel ...]`
pub(super) fn numsub<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    count(Kind::Channel, args, pass);
}

/// `PUBSUB SHARDNUMSUB [shardchannel ...]`
pub(super) fn shardnumsub<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    count(Kind::Shard, args, pass);
}

fn count(kind: Kind, args: Args<'_>, pass: &mut Pass<'_, '_, '_>) {
    if args.len() > ECHOED_MAX {
        return pass.error("ERR too many channels at once");
    }
    let channels = &pass.shared().channels;
    let out = pass.direct();
    write::array(out, 2 * (args.len() - 2));
    for name in args.iter().skip(2) {
        write::bulk(out, name);
        write::integer(out, channels.subscribers(kind, name) as i64);
    }
}

/// `PUBSUB NUMPAT`
pub(super) fn numpat<'a>(_: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let count = pass.shared().channels.len(Kind::Pattern);
    write::integer(pass.direct(), count as i64);
}

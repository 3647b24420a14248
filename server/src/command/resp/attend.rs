//! What is looked at before a request is carried out, while somebody wants that: a client in a mode of its own, MONITOR, or
//! a pause. Otherwise no request comes by here.

use crabcache_protocol::Usual;
use crabcache_protocol::resp::{Args, Request, Version};

use super::connection::ECHOED_MAX;
use super::table::flags::{ADMIN, NO_MANDATORY_KEYS, READ, WRITE};
use super::table::{self, Found};
use super::{calls, is, many, transaction};
use crate::connection::{Connection, Replies};
use crate::monitor;
use crate::pause::Paused;
use crate::reactor::batch::Pass;

/// Whether a request has to wait for the end of a pause.
pub(super) fn is_paused(request: Request<'_>, connection: &Connection, pass: &Pass<'_, '_, '_>) -> bool {
    let Some(paused) = pass.executor.paused else { return false };
    let name = match request {
        Request::Usual(Usual::Get { .. }) => b"get",
        Request::Usual(Usual::Set { .. }) => b"set",
        Request::Command(args) => args.name(),
        Request::Inline(line) => {
            line.split(u8::is_ascii_whitespace).find(|word| !word.is_empty()).unwrap_or_default()
        }
        Request::Nothing => return false,
    };
    paused == Paused::All
        || table::find(name).is_some_and(|Found { command, .. }| match command.name {
            "exec" => connection.queues(),
            "publish" | "spublish" => true,
            "eval" | "evalsha" => !connection.queues(),
            _ => command.is(WRITE) && !connection.queues(),
        })
}

/// Looks at a GET or SET; false if it was refused.
pub(super) fn usual(usual: Usual<'_>, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
    let (name, key, value) = match usual {
        Usual::Get { key } => (&b"GET"[..], key, None),
        Usual::Set { key, value } => (&b"SET"[..], key, Some(value)),
    };
    let Some(found) = table::find(name) else { return true };
    connection.last = found.number as u16;
    look(found, [name, key].into_iter().chain(value), std::iter::once(key), connection, pass)
}

/// Looks at a command; false if it was refused.
pub(super) fn command(
    found: Found,
    args: Args<'_>,
    connection: &mut Connection,
    pass: &mut Pass<'_, '_, '_>,
) -> bool {
    let in_slices = many::goes_in_slices(found, args, connection);
    let keys =
        if connection.tracked.is_some() && !in_slices { found.command.keys_of(args) } else { Vec::new() };
    let reads = in_slices && found.command.is(READ);
    let notes = reads && connection.tracked.as_ref().is_some_and(|tracked| tracked.notes_keys());
    let goes = look(found, args.iter(), keys.iter().map(|(key, _)| *key), connection, pass);
    if let Some(tracked) = &mut connection.tracked {
        tracked.notes_slices = notes;
    }
    goes
}

fn look<'w>(
    found: Found,
    words: impl Iterator<Item = &'w [u8]>,
    keys: impl Iterator<Item = &'w [u8]>,
    connection: &mut Connection,
    pass: &mut Pass<'_, '_, '_>,
) -> bool {
    let only_listens = connection.subscriptions.is_some() && pass.version == Version::Resp2;
    if only_listens && !connection.executes && !is_for_subscribers(found) {
        calls::reject(found, pass);
        let name = found.command.name;
        let why = format!(
            "Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context"
        );
        if name == "exec" {
            transaction::abort(connection, pass, &format!("of: {why}"));
        } else {
            pass.error(&format!("ERR {why}"));
        }
        return false;
    }
    if connection.monitoring.is_some() && found.command.is(READ | WRITE) {
        calls::reject(found, pass);
        pass.error("ERR Replica can't interact with the keyspace");
        return false;
    }
    // EXEC is shown behind what it carries out; of a script, the call is.
    if pass.executor.monitored && found.command.name != "exec" && !found.command.is(ADMIN) {
        let secret = Secret::of(found.command.name);
        let mut hidden = 0_u32;
        let words = words.enumerate().map(|(at, word)| match secret {
            Secret::Nothing => word,
            Secret::Arguments => {
                if at > 0 {
                    REDACTED
                } else {
                    word
                }
            }
            Secret::Password => {
                let shown = if hidden > 0 { REDACTED } else { word };
                hidden = if is(word, "AUTH") && hidden == 0 { 2 } else { hidden.saturating_sub(1) };
                shown
            }
        });
        let before = pass.executor.shown.len();
        monitor::line(&mut pass.executor.shown, &connection.client.peer, connection.database, words);
        pass.executor.note_work(pass.executor.shown.len() - before);
    }
    let in_transaction = connection.executes || connection.queues();
    if let Some(tracked) = &mut connection.tracked {
        // Scripts, the commands that need not have keys, read those that they have.
        if found.command.is(READ | NO_MANDATORY_KEYS) && tracked.notes_keys() {
            // No script that is carried out has more.
            let most = if found.command.is(NO_MANDATORY_KEYS) { ECHOED_MAX } else { usize::MAX };
            note_keys(keys.take(most), connection.client.id, pass);
        }
        // It is about the next command that is not about the client itself, or about a whole transaction.
        if !in_transaction && !found.command.name.starts_with("client|") && found.command.name != "multi" {
            tracked.caching = false;
        }
    }
    true
}

/// What it takes to note that a key is read, in nanoseconds or so; and when it expires.
const NOTED: usize = 500;

/// Notes that a client that tracks reads these keys.
pub(super) fn note_keys<'k>(keys: impl Iterator<Item = &'k [u8]>, id: u64, pass: &mut Pass<'_, '_, '_>) {
    let shared = pass.shared();
    // What was asked before may change when they expire.
    pass.run();
    let mut work = 0;
    for key in keys {
        shared.tracking.read(shared, id, key, shared.settings.tracked_keys_max());
        work += NOTED;
        let mut expires = None;
        pass.peek(key, |value| expires = value.expires());
        if let Some(at) = expires {
            shared.tracking.expires(key, at);
            work += NOTED;
        }
    }
    pass.executor.note_work(work);
}

/// Looks at a command that was carried out, or has begun: what it has ended.
pub(super) fn carried_out(found: Found, connection: &mut Connection) {
    // An EXEC that has begun ends as a task does.
    if connection.task.is_none() && matches!(found.command.name, "discard" | "exec") {
        end_caching(connection);
    }
}

/// Forgets what CLIENT CACHING has said: what it was about is over.
pub(crate) fn end_caching(connection: &mut Connection) {
    if let Some(tracked) = &mut connection.tracked {
        tracked.caching = false;
    }
}

/// Shows an EXEC, in the letters that came, to the monitors.
pub(super) fn executed(name: &[u8], connection: &Connection, pass: &mut Pass<'_, '_, '_>) {
    if pass.executor.monitored {
        monitor::line(
            &mut pass.executor.shown,
            &connection.client.peer,
            connection.database,
            std::iter::once(name),
        );
    }
}

const REDACTED: &[u8] = b"(redacted)";

/// What MONITOR does not show.
#[derive(Clone, Copy)]
enum Secret {
    Nothing,
    /// All arguments.
    Arguments,
    /// The two behind AUTH.
    Password,
}

impl Secret {
    fn of(name: &str) -> Self {
        match name {
            "auth" => Self::Arguments,
            "hello" => Self::Password,
            _ => Self::Nothing,
        }
    }
}

fn is_for_subscribers(found: Found) -> bool {
    matches!(
        found.command.name,
        "subscribe"
            | "psubscribe"
            | "ssubscribe"
            | "unsubscribe"
            | "punsubscribe"
            | "sunsubscribe"
            | "ping"
            | "quit"
            | "reset"
    )
}

/// Where the answer to the next request begins, if it may have to be taken back.
pub(crate) fn begin_answer(connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> Option<usize> {
    if connection.replies == Replies::On {
        return None;
    }
    connection.confirmed = false;
    if connection.replies == Replies::SkipNext {
        connection.replies = Replies::SkipThis;
    }
    Some(pass.settled().len())
}

/// Takes the answer back, if the client does not want it.
pub(crate) fn end_answer(start: Option<usize>, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    let Some(start) = start else { return };
    if connection.replies != Replies::On && !connection.confirmed {
        let out = pass.settled();
        let unwanted = out.len() - start;
        out.truncate(start);
        // It was work all the same.
        pass.executor.note_work(unwanted);
    }
    if connection.task.is_none() {
        // Messages are told to clients that want no answers, too.
        connection.tell_what_waits(pass.direct());
    }
    if connection.replies == Replies::SkipThis && connection.task.is_none() {
        connection.replies = Replies::On;
        connection.attend();
    }
}

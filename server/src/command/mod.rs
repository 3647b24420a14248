//! Requests become operations, outcomes become answers: one module per protocol.
//!
//! A request for one key is an [`Op`](crabcache_engine::Op) and a [`Reply`] that says how to answer it. One for several
//! keys is several of them, whose replies know which is the first and which the last. Everything else is answered at
//! once, behind what was asked before.

mod arrival;
pub(crate) mod memcache;
pub(crate) mod native;
pub(crate) mod resp;
pub(crate) mod task;
mod usual;
pub(crate) mod walk;

use std::sync::atomic::Ordering;

use crabcache_protocol::detect::{Speaker, detect};
use crabcache_protocol::native as wire;
use crabcache_protocol::resp::{Version, write};

use task::Task;

use crate::clock;
use crate::connection::{Connection, Dialect, Phase};
use crate::reactor::batch::Pass;

/// How to answer an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    /// As RESP does.
    Resp(resp::Reply),
    /// As memcached does.
    Memcache(memcache::Reply),
    /// As the native protocol does.
    Native(native::Reply),
}

impl Reply {
    /// Whether the answer to a read holds the value.
    pub(crate) fn shows_value(self) -> bool {
        match self {
            Self::Resp(reply) => reply.shows_value(),
            Self::Memcache(reply) => {
                matches!(reply, memcache::Reply::Value { .. } | memcache::Reply::Meta(_))
            }
            Self::Native(_) => true,
        }
    }
}

/// What a browser is told before its connection is closed: the body of what it sends would be taken for commands.
const NOT_A_WEB_SERVER: &str = "this is a cache, not a web server";

/// Answers the requests at the head of `bytes`, and gives how many bytes they had. The connection's input knows what
/// the rest is: an unfinished request, or requests for the next turn.
pub(crate) fn serve<'a, 's>(
    connection: &mut Connection<'s>,
    bytes: &'a [u8],
    pass: &mut Pass<'a, '_, 's>,
) -> usize {
    let mut at = 0;
    pass.use_database(connection.database);
    if let Dialect::Resp(version) = connection.dialect {
        // A task that goes on answers in it, too.
        pass.version = version;
    }
    loop {
        if let Some(task) = connection.task.take() {
            let long = task.is_long();
            if pass.is_full() || (long && !pass.executor.takes_another_slice()) {
                connection.task = Some(task);
                connection.input.postpone();
                return at;
            }
            connection.stepped = long;
            if !go_on(task, connection, pass) {
                return at;
            }
            if long && at < bytes.len() {
                // The next request may be as long.
                connection.input.postpone();
                return at;
            }
        }
        if connection.phase != Phase::Open {
            return bytes.len();
        }
        if connection.arriving.is_some() {
            // All of its value is here.
            match arrival::finish(connection, &bytes[at..], pass) {
                Some(consumed) => at += consumed,
                None => return at,
            }
        }
        let rest = &bytes[at..];
        if rest.is_empty() {
            return at;
        }
        if pass.is_full() {
            connection.input.postpone();
            // Who was served comes behind those who were not.
            connection.stepped |= at > 0;
            return at;
        }
        let consumed = match connection.dialect {
            Dialect::Resp(version) => {
                pass.version = version;
                resp::serve(connection, rest, pass)
            }
            Dialect::Memcache => memcache::serve(connection, rest, pass),
            Dialect::Native => native::serve(connection, rest, pass),
            Dialect::Unknown => match introduce(connection, rest, pass) {
                Some(skipped) => {
                    at += skipped;
                    continue;
                }
                None => return at,
            },
        };
        at += consumed;
        // Stopped by itself with bytes left: the rest is an unfinished request.
        if connection.takes_requests() && !pass.is_full() {
            return at;
        }
    }
}

/// Goes on with what takes more than one turn; true if that is done.
fn go_on(mut task: Box<Task>, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
    pass.run();
    let answer = resp::begin_answer(connection, pass);
    let mut lasting = connection.lasting.take();
    let start = clock::monotonic();
    let done = task.step(connection, pass);
    let time = start.elapsed();
    pass.executor.note_slice(time);
    if let Some(lasting) = &mut lasting {
        lasting.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
    if !done {
        connection.lasting = lasting;
        connection.task = Some(task);
        connection.input.postpone();
    } else if let Some(lasting) = lasting {
        lasting.end(connection, pass);
    }
    resp::end_answer(answer, connection, pass);
    if done {
        connection.tell_what_waits(pass.direct());
    }
    done
}

/// What a client is told that is closed because its request did not come to an end.
pub(crate) fn too_slow(dialect: Dialect) -> &'static [u8] {
    const TIMEOUT: [u8; wire::REPLY_HEADER_LEN] = wire::reply::head(wire::Status::BadRequest, 0, 0);
    match dialect {
        Dialect::Resp(_) | Dialect::Unknown => {
            b"-ERR Protocol error: the rest of the request did not come in time\r\n"
        }
        Dialect::Memcache => b"CLIENT_ERROR the rest of the request did not come in time\r\n",
        Dialect::Native => &TIMEOUT,
    }
}

/// What a client is told that is closed because all of them together hold too much memory.
pub(crate) fn out_of_memory(dialect: Dialect) -> &'static [u8] {
    const BUSY: [u8; wire::REPLY_HEADER_LEN] = wire::reply::head(wire::Status::Busy, 0, 0);
    match dialect {
        Dialect::Resp(_) | Dialect::Unknown => b"-ERR the requests of all clients take too much memory\r\n",
        Dialect::Memcache => b"SERVER_ERROR out of memory reading request\r\n",
        Dialect::Native => &BUSY,
    }
}

/// Finds out who is speaking; gives how many bytes to drop, or nothing while it cannot be told.
fn introduce(connection: &mut Connection, bytes: &[u8], pass: &mut Pass<'_, '_, '_>) -> Option<usize> {
    let detection = detect(bytes);
    let counters = pass.counters();
    match detection.speaker {
        Speaker::Native => {
            connection.dialect = Dialect::Native;
            counters.native.add(1);
        }
        Speaker::Resp => {
            connection.dialect = Dialect::Resp(Version::Resp2);
            connection.client.resp.store(2, Ordering::Relaxed);
            counters.resp.add(1);
        }
        Speaker::Memcache => {
            connection.dialect = Dialect::Memcache;
            counters.memcache.add(1);
        }
        Speaker::Http => {
            write::error(pass.direct(), format!("ERR {NOT_A_WEB_SERVER}").as_bytes());
            connection.close();
        }
        Speaker::Unknown(unknown) => {
            write::error(pass.direct(), format!("ERR Protocol error: {unknown}").as_bytes());
            connection.close();
        }
        Speaker::Undecided => {
            connection.input.expect(bytes.len() + 1);
            return None;
        }
    }
    Some(detection.skip)
}

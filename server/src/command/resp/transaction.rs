//! Transactions: `MULTI` queues requests, `EXEC` carries them out as one, unless a watched key has changed.
//!
//! ```text
//! MULTI   request --valid--> queue (the bytes as they came)      --not valid--> EXEC will be refused
//! EXEC    alone with the items:  watched keys | request | request | ...   one batch after the other
//! ```
//! Who is alone is told in `reactor/access.rs`, who watches what in `watch.rs`. A request that walks through all keys
//! (KEYS, FLUSHDB) goes on in slices within a transaction, too, and lets others in between: a transaction that holds one
//! is isolated before it and behind it only.

use crabcache_protocol::Parsed;
use crabcache_protocol::resp::{self, Args, Request, write};

use super::{attend, table, values_shown};
use crate::command::task::Task;
use crate::connection::{Connection, Phase};
use crate::reactor::batch::Pass;
use crate::watch::Watching;

/// What a client has begun.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    watching: Option<Watching>,
    queue: Option<Queue>,
}

/// Requests that wait for EXEC.
#[derive(Debug, Default)]
struct Queue {
    /// One after the other.
    bytes: Vec<u8>,
    count: usize,
    /// A request was refused.
    spoilt: bool,
}

impl Transaction {
    /// Whether requests wait for EXEC.
    pub(crate) fn queues(&self) -> bool {
        self.queue.is_some()
    }

    /// How many requests wait for EXEC; none without MULTI.
    pub(crate) fn queued(&self) -> Option<usize> {
        self.queue.as_ref().map(|queue| queue.count)
    }

    /// How many keys are watched.
    pub(crate) fn watched(&self) -> usize {
        self.watching.as_ref().map_or(0, Watching::len)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.watching.as_ref().map_or(0, Watching::held)
            + self.queue.as_ref().map_or(0, |queue| queue.bytes.capacity())
    }
}

/// Whether a command is not queued, but carried out within MULTI.
pub(super) fn is_done_at_once(name: &str) -> bool {
    matches!(name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// Says that a request of the transaction was refused.
pub(super) fn spoil(connection: &mut Connection) {
    if let Some(queue) = connection.transaction.as_mut().and_then(|transaction| transaction.queue.as_mut()) {
        queue.spoilt = true;
    }
}

fn enqueue(connection: &mut Connection, pass: &mut Pass<'_, '_, '_>, add: impl FnOnce(&mut Vec<u8>)) {
    let queue = connection.transaction.as_mut().and_then(|transaction| transaction.queue.as_mut());
    if let Some(queue) = queue {
        add(&mut queue.bytes);
        queue.count += 1;
        pass.direct().extend_from_slice(b"+QUEUED\r\n");
    }
}

/// Queues a request, as it came.
pub(super) fn queue(request: &[u8], connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    enqueue(connection, pass, |bytes| bytes.extend_from_slice(request));
}

/// Queues a command.
pub(super) fn queue_args(args: Args<'_>, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    enqueue(connection, pass, |bytes| {
        write::array(bytes, args.len());
        bytes.extend_from_slice(args.as_bytes());
    });
}

pub(super) fn multi<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if connection.queues() {
        return pass.error("ERR MULTI calls can not be nested");
    }
    connection.transaction.get_or_insert_default().queue = Some(Queue::default());
    pass.direct().extend_from_slice(write::OK);
}

pub(super) fn discard<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if !connection.queues() {
        return pass.error("ERR DISCARD without MULTI");
    }
    connection.transaction = None;
    pass.direct().extend_from_slice(write::OK);
}

pub(super) fn watch<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if connection.queues() {
        return pass.error("ERR WATCH inside MULTI is not allowed");
    }
    let watches = &pass.shared().watches;
    let transaction = connection.transaction.get_or_insert_default();
    let watching = transaction.watching.get_or_insert_with(|| Watching::new(watches));
    pass.alone(|pass| {
        for key in args.iter().skip(1) {
            let present = pass.peek(key, |_| ()).is_some();
            watching.add(&pass.place().stored(key), present);
        }
    });
    pass.direct().extend_from_slice(write::OK);
}

pub(super) fn unwatch<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    connection.transaction = None;
    pass.direct().extend_from_slice(write::OK);
}

/// Ends the transaction without having done anything.
pub(super) fn abort(connection: &mut Connection, pass: &mut Pass<'_, '_, '_>, why: &str) {
    connection.transaction = None;
    pass.error(&format!("EXECABORT Transaction discarded because {why}"));
}

pub(super) fn exec<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let Some(Transaction { watching, queue: Some(queue) }) =
        connection.transaction.take_if(|transaction| transaction.queues()).map(|transaction| *transaction)
    else {
        return pass.error("ERR EXEC without MULTI");
    };
    if queue.spoilt {
        return abort(connection, pass, "of previous errors.");
    }
    connection.task =
        Some(Box::new(Task::Exec(Exec { watching, queue, at: 0, task: None, name: args.name().into() })));
}

/// A transaction that is being carried out.
#[derive(Debug)]
pub(crate) struct Exec {
    watching: Option<Watching>,
    queue: Queue,
    /// Where in the queue it has come to.
    at: usize,
    /// A request of it that takes more than one turn.
    task: Option<Box<Task>>,
    /// How it was asked for.
    name: Box<[u8]>,
}

impl Exec {
    /// Bytes of memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.queue.bytes.capacity() + self.task.as_ref().map_or(0, |task| task.held())
    }

    /// Goes on; true when all is done and answered.
    pub(crate) fn step(&mut self, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
        if self.at == 0 && self.asks_too_much(pass) {
            connection.hold_back();
            return false;
        }
        if let Some(task) = &mut self.task {
            if !task.step(connection, pass) {
                return false;
            }
            self.task = None;
        }
        pass.alone(|pass| self.go_on(connection, pass));
        let done = self.task.is_none();
        if done {
            attend::executed(&self.name, connection, pass);
        }
        done
    }

    fn go_on(&mut self, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
        if self.at == 0 {
            if let Some(watching) = self.watching.take()
                && watching.has_changed(|key| pass.executor.peek(key, |_| ()).is_some())
            {
                let version = pass.version;
                return write::nil_array(pass.direct(), version);
            }
            write::array(pass.direct(), self.queue.count);
        }
        let Self { queue, at, task, .. } = self;
        pass.aside(|pass| {
            for (request, consumed) in requests(&queue.bytes[*at..], pass) {
                *at += consumed;
                match request {
                    Request::Usual(usual) => super::usual(usual, connection, pass),
                    Request::Command(args) => table::run(args, connection, pass),
                    Request::Inline(_) | Request::Nothing => {}
                }
                *task = connection.task.take();
                // How long it takes is part of how long EXEC does.
                connection.lasting = None;
                if task.is_some() || connection.phase != Phase::Open {
                    break;
                }
            }
        });
    }

    /// Whether its answer has to wait for memory.
    fn asks_too_much(&self, pass: &mut Pass<'_, '_, '_>) -> bool {
        let requests = requests(&self.queue.bytes, pass);
        pass.is_too_much(requests.flat_map(|(request, _)| values_shown(request)))
    }
}

/// The requests of a queue, each with its length.
fn requests<'q>(
    bytes: &'q [u8],
    pass: &Pass<'_, '_, '_>,
) -> impl Iterator<Item = (Request<'q>, usize)> + use<'q> {
    let limits = pass.shared().bounds.resp;
    let mut at = 0;
    std::iter::from_fn(move || match resp::parse(&bytes[at..], &limits, &mut resp::Progress::default()) {
        Ok(Parsed::Complete { value, consumed }) => {
            at += consumed;
            Some((value, consumed))
        }
        // The queue holds whole requests only.
        Ok(Parsed::Incomplete { .. }) | Err(_) => None,
    })
}

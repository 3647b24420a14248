//! Transactions: `MULTI` queues requests, `EXEC` carries them out as one, unless a watched key has changed.
//!
//! ```text
//! MULTI   request --valid--> queue (the bytes as they came)      --not valid--> EXEC will be refused
//! EXEC    alone with the items:  watched keys | request | request | ...   one batch after the other
//! ```
//! Who is alone is told in `reactor/access.rs`, who watches what in `watch.rs`. A request that walks through all keys
//! (KEYS, FLUSHDB) goes on in slices within a transaction, too, and lets others in between: a transaction that holds one
//! is isolated before it and behind it only; so it is where LCS or DUMP has to wait for memory. Its answer is sent when it is whole. It is
//! carried out wholly, too, where its client is closed meanwhile, by itself or by another one: that goes behind it. Where its memory is
//! needed, its answer is dropped.

use crabcache_protocol::Parsed;
use crabcache_protocol::resp::{self, Args, Request, write};

use super::{attend, table, values_shown};
use crate::command::task::Task;
use crate::connection::{Connection, Phase};
use crate::large_values::LargeValues;
use crate::reactor::answers::OUT_LEN_MAX;
use crate::reactor::batch::Pass;
use crate::reactor::budget::Taken;
use crate::reactor::sized;
use crate::watch::{WATCHED_MAX, Watching};

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

impl Queue {
    /// Adds a request, which consists of these parts; gives the text of an error if it would have more bytes than `max` then.
    fn add(&mut self, parts: [&[u8]; 2], max: usize) -> Result<(), String> {
        // What will not be carried out need not be kept.
        if !self.spoilt {
            let len = self.bytes.len() + parts.iter().map(|part| part.len()).sum::<usize>();
            if len > max {
                *self = Self { spoilt: true, count: self.count, ..Self::default() };
                return Err(format!(
                    "ERR the transaction is too large: its requests may have {max} bytes together"
                ));
            }
            if len > self.bytes.capacity() {
                self.bytes.reserve_exact((2 * len).min(max) - self.bytes.len());
            }
            for part in parts {
                self.bytes.extend_from_slice(part);
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Forgets what is carried out, up to `at`.
    fn forget(&mut self, at: &mut usize) {
        self.bytes.drain(..std::mem::take(at));
        self.bytes.shrink_to_fit();
    }
}

fn enqueue(parts: [&[u8]; 2], connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    let queue = connection.transaction.as_mut().and_then(|transaction| transaction.queue.as_mut());
    match queue.map(|queue| queue.add(parts, pass.shared().client_memory_each())) {
        Some(Ok(())) => pass.direct().extend_from_slice(b"+QUEUED\r\n"),
        Some(Err(text)) => pass.error(&text),
        None => {}
    }
}

/// Queues a request, as it came.
pub(super) fn queue(request: &[u8], connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    enqueue([request, b""], connection, pass);
}

/// Queues a command.
pub(super) fn queue_args(args: Args<'_>, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
    let mut head = Vec::with_capacity(16);
    write::array(&mut head, args.len());
    enqueue([&head, args.as_bytes()], connection, pass);
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
    let before = connection.transaction.as_ref().map_or(0, |transaction| transaction.watched());
    if before + args.len() - 1 > WATCHED_MAX {
        return pass.error(&format!("ERR a client can watch at most {WATCHED_MAX} keys"));
    }
    let transaction = connection.transaction.get_or_insert_default();
    let watching = transaction.watching.get_or_insert_with(|| Watching::new(watches));
    pass.alone(|pass| {
        for key in args.iter().skip(1) {
            let present = pass.peek(key, |_| ()).is_some();
            watching.add(&pass.place().stored(key), present);
        }
    });
    // It holds up all workers.
    pass.executor.note_work((args.len() - 1) * 1000);
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
    connection.task = Some(Box::new(Task::Exec(Exec {
        watching,
        queue,
        at: 0,
        begun: false,
        room: None,
        task: None,
        name: args.name().into(),
        wanted: 0,
        reserved: false,
        answer: Vec::new(),
        too_long: false,
        closes: false,
        last: false,
    })));
}

/// The longest answer to EXEC: as many values as are read at a time, and something to each request.
const ANSWER_LEN_MAX: usize = OUT_LEN_MAX + OUT_LEN_MAX / 4;
/// So many values need not be looked at beforehand where large ones are not about.
const SMALL_ANSWERS: usize = 64;
/// Behind a request that holds more than this, what was carried out of the queue is forgotten.
const QUEUE_KEPT: usize = sized(64 << 10);
const TOO_LONG: &str = "ERR the transaction was carried out, but its answer is too long to be given";

/// A transaction that is being carried out.
#[derive(Debug)]
pub(crate) struct Exec {
    watching: Option<Watching>,
    queue: Queue,
    /// Where in the queue it has come to.
    at: usize,
    /// Something of it is carried out.
    begun: bool,
    /// For its requests.
    room: Option<Taken>,
    /// A request of it that takes more than one turn.
    task: Option<Box<Task>>,
    /// How it was asked for.
    name: Box<[u8]>,
    /// How long its answer will be, about, if it is a large one; and whether there is memory for that.
    wanted: usize,
    reserved: bool,
    /// What was answered in earlier turns: sent in parts, it would have others' messages between them.
    answer: Vec<u8>,
    /// What it answers is dropped.
    too_long: bool,
    /// The client takes no further request.
    closes: bool,
    /// The client is let go behind it.
    last: bool,
}

impl Exec {
    /// Bytes of memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.queue.bytes.capacity()
            + self.answer.capacity().max(if self.reserved { self.wanted } else { 0 })
            + self.watching.as_ref().map_or(0, Watching::held)
            + self.task.as_ref().map_or(0, |task| task.held())
    }

    /// How long the answer is that it waits to be given memory for, if it does.
    pub(crate) fn wanted(&self) -> Option<usize> {
        (self.wanted > 0 && !self.reserved && !self.begun).then_some(self.wanted)
    }

    /// Sets memory apart for its answer.
    pub(crate) fn reserve(&mut self) {
        self.reserved = true;
    }

    /// Whether that is so.
    pub(crate) fn has_reserved(&self) -> bool {
        self.reserved
    }

    /// Whether its next step takes long.
    pub(crate) fn is_long(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.is_long())
    }

    /// Whether something of it is carried out.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether it has begun, and waits for nobody.
    pub(crate) fn goes_on(&self) -> bool {
        self.begun && self.task.as_ref().is_none_or(|task| task.goes_on())
    }

    /// Whether it holds nothing that it could do without.
    pub(crate) fn is_bare(&self) -> bool {
        self.too_long && !self.task.as_ref().is_some_and(|task| task.only_answers())
    }

    /// Does without the memory of its answer from here on.
    pub(crate) fn drop_answer(&mut self) {
        (self.answer, self.too_long, self.reserved) = (Vec::new(), true, false);
        self.task.take_if(|task| task.only_answers());
        self.queue.forget(&mut self.at);
    }

    /// Lets the client go once it is done; false if that is known.
    pub(crate) fn lets_go(&mut self) -> bool {
        !std::mem::replace(&mut self.last, true)
    }

    /// Goes on; true when all is done and answered.
    pub(crate) fn step(&mut self, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
        if !self.begun {
            if !self.reserved {
                self.wanted = self.answer_len(pass);
                if self.wanted > 0 {
                    connection.input.postpone();
                    return false;
                }
            }
            let max = pass.shared().client_memory_each();
            self.room = pass.executor.transactions.take(self.queue.bytes.capacity(), max);
            if self.room.is_none() {
                connection.hold_back();
                return false;
            }
        }
        let start = pass.settled().len();
        if let Some(task) = &mut self.task {
            let done = task.step(connection, pass);
            self.bound_answer(start, pass);
            if !done {
                self.keep_answer(start, pass);
                return false;
            }
            self.task = None;
        }
        let paused = pass.alone(|pass| {
            let paused = !self.begun && pass.executor.paused.is_some();
            if !paused {
                self.go_on(start, connection, pass);
            }
            paused
        });
        if paused {
            (self.room, self.reserved) = (None, false);
            connection.pause();
            return false;
        }
        if let Some(task) = &self.task {
            if task.held() > QUEUE_KEPT {
                // It has a copy of its request.
                self.queue.forget(&mut self.at);
            }
            self.keep_answer(start, pass);
            return false;
        }
        attend::executed(&self.name, connection, pass);
        if self.too_long && self.last {
            // It may not have taken what came before.
        } else if self.too_long {
            pass.error(TOO_LONG);
        } else if !self.answer.is_empty() {
            // It may be large, so that it is not what is copied.
            let mut answer = std::mem::take(&mut self.answer);
            let out = pass.settled();
            answer.extend(out.drain(start..));
            answer.splice(..0, out.drain(..));
            *out = answer;
        }
        if self.closes || self.last {
            connection.close();
        }
        if self.last {
            pass.shared().kill(&connection.client);
        }
        true
    }

    fn go_on(&mut self, start: usize, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) {
        if !self.begun {
            if let Some(watching) = self.watching.take()
                && watching.has_changed(|key| pass.executor.peek(key, |_| ()).is_some())
            {
                let version = pass.version;
                return write::nil_array(pass.direct(), version);
            }
            if self.takes_too_much(pass) {
                return abort(connection, pass, "the values it takes are too much for one answer.");
            }
            write::array(pass.direct(), self.queue.count);
            self.begun = true;
        }
        let queue = std::mem::take(&mut self.queue);
        connection.executes = true;
        pass.aside(|pass| {
            for (request, consumed) in requests(&queue.bytes[self.at..], pass) {
                self.at += consumed;
                match request {
                    Request::Usual(usual) => super::usual(usual, connection, pass),
                    Request::Command(args) => table::run(args, connection, pass),
                    Request::Inline(_) | Request::Nothing => {}
                }
                self.bound_answer(start, pass);
                self.task = connection.task.take();
                // How long it takes is part of how long EXEC does.
                connection.lasting = None;
                if connection.phase != Phase::Open {
                    // It has killed itself. What comes behind that is carried out all the same.
                    (connection.phase, self.closes) = (Phase::Open, true);
                }
                if self.task.is_some() {
                    break;
                }
            }
        });
        connection.executes = false;
        self.queue = queue;
    }

    /// Drops the answer, of which this turn's part begins at `start`, if it is too long, and what more is answered.
    fn bound_answer(&mut self, start: usize, pass: &mut Pass<'_, '_, '_>) {
        self.too_long |= self.answer.len() + pass.executor.answers.len() - start > ANSWER_LEN_MAX;
        if self.too_long {
            self.answer = Vec::new();
            pass.settled().truncate(start);
        }
    }

    /// Keeps what this turn has answered, from `start` on, for the last one.
    fn keep_answer(&mut self, start: usize, pass: &mut Pass<'_, '_, '_>) {
        let max = pass.shared().client_memory_each();
        let out = pass.settled();
        let part = &out[start..];
        let len = self.answer.len() + part.len();
        self.too_long |= len > max;
        if self.too_long {
            self.answer = Vec::new();
        } else {
            if len > self.answer.capacity() {
                self.answer.reserve_exact((2 * len).min(max) - self.answer.len());
            }
            self.answer.extend_from_slice(part);
        }
        out.truncate(start);
    }

    /// How long its answer will be, about: 0 where that does not matter. It is known before it begins, since nobody can be asked to
    /// wait in the middle of it.
    fn answer_len(&self, pass: &mut Pass<'_, '_, '_>) -> usize {
        let shown = || requests(&self.queue.bytes, pass).flat_map(|(request, _)| values_shown(request));
        if !pass.shared().large.are_about() && shown().nth(SMALL_ANSWERS).is_none() {
            return 0;
        }
        let keys: Vec<&[u8]> = shown().collect();
        pass.run();
        let lens = keys.into_iter().map(|key| pass.peek(key, |value| value.bytes().len()).unwrap_or(0));
        let len = lens.sum::<usize>().min(ANSWER_LEN_MAX);
        if len > LargeValues::FROM { len } else { 0 }
    }

    /// Whether it removes or replaces so much, and wants it for an answer, that it cannot be answered: what is only read can
    /// be asked for again.
    fn takes_too_much(&self, pass: &mut Pass<'_, '_, '_>) -> bool {
        let taken = || {
            let commands = requests(&self.queue.bytes, pass).filter_map(|(request, _)| match request {
                Request::Command(args) => Some(args),
                _ => None,
            });
            commands.filter(|args| table::writes(*args)).flat_map(table::values_of)
        };
        let few = || taken().nth(OUT_LEN_MAX / LargeValues::FROM).is_none();
        if !pass.shared().large.are_about() && few() {
            return false;
        }
        let keys: Vec<&[u8]> = taken().collect();
        let lens = keys.into_iter().map(|key| pass.peek(key, |value| value.bytes().len()).unwrap_or(0));
        lens.sum::<usize>() > OUT_LEN_MAX
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

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::reactor::service::Service;
    use crate::simulation::setup::{connect, moment, read_mail, send as ask, with_server};

    /// Keys, so many that a walk over them takes several turns.
    const KEYS: u32 = 20_000;

    #[test]
    fn messages_come_before_or_behind_the_answer_to_exec() {
        with_server(4 << 20, Config::default(), |shared| {
            let mut handle = shared.cache.handle().expect("the first");
            for key in 0..KEYS {
                handle.put(moment(0).wall, &key.to_le_bytes(), b"v").expect("there is room");
            }
            let mut service = Service::new(shared, 0, handle, moment(0));
            let mut clients = [1, 2].map(|number| connect(shared, &mut service, number, 64 << 10));
            let [listens, publishes] = &mut clients;
            ask(&mut service, listens, b"HELLO 3\r\nSUBSCRIBE c\r\n");
            service.turn(moment(0), false);
            listens.1.take(usize::MAX);
            ask(&mut service, listens, b"MULTI\r\nSET n 1\r\nKEYS nothing\r\nINCR n\r\nFLUSHDB\r\nEXEC\r\n");
            let (mut answers, mut turns) = (Vec::new(), 0);
            let end = b":2\r\n+OK\r\n";
            while !answers.windows(end.len()).any(|part| part == end) {
                ask(&mut service, publishes, b"PUBLISH c m\r\n");
                service.turn(moment(turns), false);
                read_mail(shared, &mut service);
                answers.extend(listens.1.take(usize::MAX));
                turns += 1;
                assert!(turns < 1000, "{}", answers.escape_ascii());
            }
            assert!(turns > 5, "{turns}: it was to take several");
            let answer = b"*4\r\n+OK\r\n*0\r\n:2\r\n+OK\r\n";
            let whole = answers.windows(answer.len()).filter(|part| part == answer).count();
            assert_eq!(whole, 1, "{}", answers.escape_ascii());
            service.leave();
        });
    }
}

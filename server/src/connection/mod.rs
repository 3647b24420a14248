//! The state of one client.
//!
//! ```text
//! open --QUIT, a broken request--> closing --all answers sent--> lingering --client closed, or a second--> gone
//! ```
//!
//! Lingering means: we have said that nothing more comes, and still read and drop what the client sends. Closing a
//! socket with unread bytes would reset the connection and could take the last answers with it.

pub(crate) mod arriving;
pub(crate) mod client;
pub(crate) mod clients;
pub(crate) mod input;
pub(crate) mod output;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crabcache_engine::Millis;
use crabcache_protocol::resp::Version;

use crate::clock::Moment;
use crate::command::resp;
use crate::command::resp::calls::Lasting;
use crate::command::resp::{Exec, Transaction};
use crate::command::task::Task;
use crate::config::Pin;
use crate::monitor::Monitoring;
use crate::net::stream::Stream;
use crate::pubsub::Subscriptions;
use crate::reactor::budget::Charge;
use crate::tracking::Tracked;
use arriving::Arriving;
use client::{Client, Seen};
use input::Input;
use output::Output;

/// The protocol that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Not told apart yet.
    Unknown,
    /// The native protocol.
    Native,
    /// RESP, in a version that `HELLO` may change.
    Resp(Version),
    /// memcached's text protocol.
    Memcache,
}

/// Where a connection stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Requests are read and answered.
    Open,
    /// No more requests; what was answered is still to be sent.
    Closing,
    /// All is sent; what arrives is dropped until the client closes.
    Lingering,
}

/// Which requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replies {
    /// All.
    On,
    /// None.
    Off,
    /// All but the next one.
    SkipNext,
    /// All but the one at hand.
    SkipThis,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Connection<'s> {
    /// Its socket.
    pub(crate) stream: Stream,
    /// What people may want to know about it.
    pub(crate) client: Arc<Client>,
    /// What it speaks.
    pub(crate) dialect: Dialect,
    /// The database that it has selected.
    pub(crate) database: u8,
    /// Bytes in.
    pub(crate) input: Input,
    /// A value that is received into the arena, before anything else is.
    pub(crate) arriving: Option<Box<Arriving<'s>>>,
    /// Bytes out.
    pub(crate) output: Output,
    /// Where it stands.
    pub(crate) phase: Phase,
    /// The number of the last command of RESP that was looked at.
    pub(crate) last: u16,
    /// What is measured about `task`, where it is a command of RESP.
    pub(crate) lasting: Option<Box<Lasting>>,
    /// Something that takes more than one turn; until it is done no further request of this client is looked at.
    pub(crate) task: Option<Box<Task>>,
    /// What it watches, and the requests that wait for `EXEC`.
    pub(crate) transaction: Option<Box<Transaction>>,
    /// The socket may hold bytes: it was reported and not drained since.
    pub(crate) readable: bool,
    /// The client has closed its side: a short read does not mean that the socket is drained.
    pub(crate) half_closed: bool,
    /// A slice of its task was carried out in this turn, or so much for it that others had to wait: they come first in the next.
    pub(crate) stepped: bool,
    /// It is on the worker's list for the next turn.
    pub(crate) queued: bool,
    /// The turn that was about to read it left it out: there was too much to do.
    pub(crate) left_out: bool,
    /// Its requests have to be looked at one by one before they are carried out.
    pub(crate) attended: bool,
    /// A request of its transaction is at hand, which was accepted when it was queued.
    pub(crate) executes: bool,
    /// Which requests are answered.
    pub(crate) replies: Replies,
    /// The answer at hand is told to clients, too, that want none: it says what they will be told from now on.
    pub(crate) confirmed: bool,
    /// What it subscribed to.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// It is told of changes to keys.
    pub(crate) tracked: Option<Box<Tracked>>,
    /// It is shown all requests.
    pub(crate) monitoring: Option<Monitoring>,
    /// Its next request waits for the end of a pause.
    pub(crate) paused: bool,
    /// It waits for memory.
    pub(crate) waits: bool,
    /// Its last answers were large, and the next ones may be.
    pub(crate) heavy: bool,
    /// Its last requests took much work, whatever was answered, and the next ones may.
    pub(crate) toils: bool,
    /// When it last sent anything, or took part of an answer that had to wait; by the steady clock.
    pub(crate) moved: Millis,
    /// What the worker's budget knows about it.
    pub(crate) charge: Charge,
}

impl Connection<'_> {
    /// A client that has just come.
    #[must_use]
    pub(crate) fn new(stream: Stream, client: Arc<Client>, pin: Pin, now: Millis) -> Self {
        let dialect = match pin {
            Pin::Any => Dialect::Unknown,
            Pin::Native => Dialect::Native,
            Pin::Resp => Dialect::Resp(Version::Resp2),
            Pin::Memcache => Dialect::Memcache,
        };
        if let Dialect::Resp(_) = dialect {
            client.resp.store(2, Ordering::Relaxed);
        }
        Self {
            stream,
            client,
            dialect,
            database: 0,
            input: Input::default(),
            arriving: None,
            output: Output::default(),
            phase: Phase::Open,
            last: u16::MAX,
            lasting: None,
            task: None,
            transaction: None,
            readable: false,
            half_closed: false,
            stepped: false,
            queued: false,
            left_out: false,
            attended: false,
            executes: false,
            replies: Replies::On,
            confirmed: false,
            subscriptions: None,
            tracked: None,
            monitoring: None,
            paused: false,
            waits: false,
            heavy: false,
            toils: false,
            moved: now,
            charge: Charge::default(),
        }
    }

    /// Takes no further request; what is answered will still be sent.
    pub(crate) fn close(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closing;
        }
    }

    /// Lets the request at hand wait for the end of a pause.
    #[cold]
    pub(crate) fn pause(&mut self) {
        self.paused = true;
        self.input.postpone();
    }

    /// Finds out whether its requests have to be looked at one by one.
    pub(crate) fn attend(&mut self) {
        self.attended = self.replies != Replies::On
            || self.subscriptions.is_some()
            || self.monitoring.is_some()
            || self.tracked.is_some();
    }

    /// Whether GETs and SETs can go straight to the batch.
    #[inline]
    #[must_use]
    pub(crate) fn takes_usual(&self) -> bool {
        !self.attended && !self.queues()
    }

    /// What reports tell about it.
    #[must_use]
    pub(crate) fn seen_as(&self, moment: Moment) -> Seen {
        let transaction = self.transaction.as_ref();
        let queued = transaction.and_then(|transaction| transaction.queued());
        let flags = [
            (queued.is_some(), 'x'),
            (self.monitoring.is_some(), 'O'),
            (self.phase != Phase::Open, 'c'),
            (self.tracked.is_some(), 't'),
            (self.tracked.as_ref().is_some_and(|tracked| tracked.is_broken()), 'R'),
            (self.tracked.as_ref().is_some_and(|tracked| tracked.options.broadcast), 'B'),
        ];
        Seen {
            last: moment.wall_of(self.moved),
            command: resp::name_of(self.last.into()).unwrap_or("NULL"),
            database: self.database,
            input: self.input.kept().len() + self.arriving.as_ref().map_or(0, |arriving| arriving.filled()),
            output: self.output.len(),
            held: self.held(),
            queued,
            watched: transaction.map_or(0, |transaction| transaction.watched()),
            flags: flags.iter().filter(|(has, _)| *has).map(|(_, letter)| *letter).collect(),
            redirect: resp::redirection(self.tracked.as_deref()),
        }
    }

    /// Puts the request at hand off until there is memory for its answer.
    #[cold]
    pub(crate) fn hold_back(&mut self) {
        self.input.postpone();
        self.heavy = true;
    }

    /// Whether the next request may be looked at now.
    #[inline]
    #[must_use]
    pub(crate) fn takes_requests(&self) -> bool {
        self.phase == Phase::Open && self.task.is_none()
    }

    /// Whether requests wait for `EXEC`.
    #[inline]
    #[must_use]
    pub(crate) fn queues(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.queues())
    }

    /// Whether another turn has something to do here without waiting for the socket.
    #[must_use]
    pub(crate) fn has_work(&self) -> bool {
        self.output.is_empty()
            && !self.waits
            && !self.paused
            && (self.readable || self.task.is_some() || self.input.is_whole())
    }

    /// Whether it has asked for something that is not carried out yet.
    #[must_use]
    pub(crate) fn waits_for_us(&self) -> bool {
        self.waits || self.paused || self.queued || self.task.is_some() || self.input.is_whole()
    }

    /// Whether a part of a request is here, and the rest is to be read.
    #[must_use]
    pub(crate) fn is_unfinished(&self) -> bool {
        self.input.is_unfinished() || self.arriving.is_some()
    }

    /// Whether the next thing to do is to read more of a large request.
    #[inline]
    #[must_use]
    pub(crate) fn gathers(&self) -> bool {
        self.input.is_large() && !self.input.is_whole() && self.task.is_none()
    }

    /// How long the answer is that it waits to be given memory for, if it does.
    #[inline]
    #[must_use]
    pub(crate) fn answer_wanted(&self) -> Option<usize> {
        match self.task.as_deref() {
            Some(Task::Exec(exec)) => exec.wanted(),
            _ => None,
        }
    }

    /// Sets apart the memory that it waits for.
    pub(crate) fn reserve(&mut self) {
        match self.task.as_deref_mut() {
            Some(Task::Exec(exec)) => exec.reserve(),
            _ => self.input.reserve(),
        }
    }

    /// Whether memory is set apart for its request, or for the answer.
    #[inline]
    #[must_use]
    pub(crate) fn has_reserved(&self) -> bool {
        self.input.is_reserved() || self.has_reserved_answer()
    }

    /// Whether memory is set apart for its answer.
    #[inline]
    #[must_use]
    pub(crate) fn has_reserved_answer(&self) -> bool {
        matches!(self.task.as_deref(), Some(Task::Exec(exec)) if exec.has_reserved())
    }

    /// Whether many bytes of large values or answers may be moved for it.
    #[must_use]
    pub(crate) fn moves_much(&self) -> bool {
        !self.output.is_empty() || self.arriving.is_some() || self.gathers()
    }

    /// Bytes of memory that it holds.
    #[inline]
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.input.held()
            + self.output.held()
            + self.arriving.as_ref().map_or(0, |arriving| arriving.held())
            + self.task.as_ref().map_or(0, |task| task.held())
            + self.transaction.as_ref().map_or(0, |transaction| transaction.held())
            + self.subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.held())
            + self.tracked.as_ref().map_or(0, |tracked| tracked.held())
    }

    /// Whether messages have to wait for the answer at hand.
    pub(crate) fn holds_messages(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.has_read())
    }

    /// The transaction that it is in the middle of.
    pub(crate) fn executing(&mut self) -> Option<&mut Exec> {
        match self.task.as_deref_mut() {
            Some(Task::Exec(exec)) if exec.has_begun() => Some(exec),
            _ => None,
        }
    }

    /// Whether memory comes back where it is closed.
    pub(crate) fn gives_way(&self) -> bool {
        match self.task.as_deref() {
            Some(Task::Exec(exec)) if exec.has_begun() => !exec.is_bare(),
            _ => true,
        }
    }

    /// Adds to the answers what was to come behind the one that has just been given.
    pub(crate) fn tell_what_waits(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.output.take_behind());
    }

    /// Sends what waits, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.output.flush(&mut self.stream)
    }
}

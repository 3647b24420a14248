//! One turn, in three walks over the clients that are ready.
//!
//! ```text
//! gather    recv once from each, into consecutive places of one buffer                     gather.rs
//!           | client a: kept + fresh | client b: fresh | ... |
//! process   parse, carry out, answer: borrows the buffer, so operations point into it
//! scatter   send each client its part of the answers, keep what is left over of its requests   scatter.rs
//! ```
//! Between turns, clients are let go whose memory is needed (`relief.rs`), or whose time is up (`overdue.rs`).
//!
//! Bounds: a client may have 256 KiB read in a turn, all together the buffer's length, and about a MiB of large values beside it; a short read means that the
//! socket is drained. Who was not drained, or did not fit, stays on the list, and the next poll does not wait.

mod gather;
mod overdue;
mod push;
mod relief;
mod scatter;
mod value;

use std::sync::Arc;

use crabcache_engine::Millis;
use slab::Slab;

pub(crate) use gather::READ_MAX;

use super::batch::{Executor, Pass};
use super::budget::{self, Beyond, Budget};
use super::deadline::Deadlines;
use super::scratch::Scratch;
use super::sized;
use crate::command;
use crate::config::Config;
use crate::connection::Connection;
use crate::connection::client::Client;
use crate::pubsub::{ENDED_AT_ONCE, Subscriptions};

/// Bytes that a turn reads from all clients together.
const GATHER_LEN: usize = sized(1 << 20);
/// Behind them, room for what is read only to be dropped.
const SCRATCH_LEN: usize = sized(16 << 10);
/// Subscriptions of a client that end with it, however many others end: about as much work as to close its socket.
const ENDED_EACH: usize = 16;
/// A client for which more than this was done in a turn, beside answering it, counts as one that asks for work.
const TOIL: usize = sized(256 << 10);

/// A client's part of a turn.
#[derive(Debug)]
struct Segment {
    key: usize,
    source: Source,
    /// It begins with bytes that were here before, the beginning of a request.
    carries: bool,
    consumed: usize,
}

/// Where the bytes of a segment lie.
#[derive(Debug)]
enum Source {
    /// In the turn's buffer.
    Buffer { start: usize, end: usize },
    /// In a buffer that the connection had gathered.
    Own(usize),
}

/// The clients of a worker, and the buffers of its turns.
#[derive(Debug)]
pub(crate) struct Turn<'s> {
    /// The clients.
    pub(crate) connections: Slab<Connection<'s>>,
    /// Clients to look at in the next turn.
    ready: Vec<usize>,
    /// Of these, who comes behind the others.
    last: Vec<usize>,
    visiting: Vec<usize>,
    /// The first of the segments of those who come behind the others, since they were answered much or asked for work.
    first_heavy: usize,
    /// Those who ask for work were left out of the last turn.
    spared: bool,
    buffer: Box<[u8]>,
    segments: Vec<Segment>,
    scratch: Scratch,
    owned: Vec<Vec<u8>>,
    budget: Budget,
    deadlines: Deadlines,
    /// The moment of this turn, by the steady clock.
    now: Millis,
    /// Clients to let go at the end of the turn.
    gone: Vec<usize>,
    /// Subscriptions of clients that have gone, to be ended.
    leaving: Vec<Subscriptions>,
    /// Clients that were told that nothing more comes, since the last look.
    pub(crate) lingering: Vec<usize>,
}

impl<'s> Turn<'s> {
    /// For one of so many workers.
    pub(crate) fn new(config: &Config, workers: usize, beyond: Beyond) -> Self {
        Self {
            connections: Slab::new(),
            ready: Vec::new(),
            last: Vec::new(),
            visiting: Vec::new(),
            first_heavy: usize::MAX,
            spared: false,
            buffer: vec![0; GATHER_LEN + SCRATCH_LEN].into_boxed_slice(),
            segments: Vec::new(),
            scratch: Scratch::new(),
            owned: Vec::new(),
            budget: Budget::new(budget::share(config.client_memory_bytes, workers), beyond),
            deadlines: Deadlines::new(config.request_ms_max),
            now: Millis::default(),
            gone: Vec::new(),
            leaving: Vec::new(),
            lingering: Vec::new(),
        }
    }

    /// It is this moment now: for what comes before the next turn.
    pub(crate) fn wake(&mut self, now: Millis) {
        self.now = now;
    }

    /// Puts a client on the list for the next turn.
    #[inline]
    pub(crate) fn enqueue(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key)
            && !connection.queued
        {
            connection.queued = true;
            self.ready.push(key);
        }
    }

    /// Puts a client behind the others on that list.
    fn enqueue_last(&mut self, key: usize) {
        if let Some(connection) = self.connections.get_mut(key)
            && !connection.queued
        {
            connection.queued = true;
            self.last.push(key);
        }
    }

    /// Whether somebody waits for the next turn.
    #[must_use]
    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.leaving.is_empty()
    }

    /// Whether clients that need much have to wait.
    #[must_use]
    pub(crate) fn is_tight(&self) -> bool {
        self.budget.is_tight()
    }

    /// Whether clients wait for memory, here or for what somebody here holds.
    #[must_use]
    pub(crate) fn has_waiting(&self) -> bool {
        self.budget.has_waiting() || self.budget.is_waited_for()
    }

    /// How many clients have something to be answered in this turn.
    #[must_use]
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Answers what was gathered.
    pub(crate) fn process(&mut self, executor: &mut Executor<'s>) {
        if self.segments.is_empty() {
            return;
        }
        executor.enter();
        executor.authors.clear();
        // Whoever begins to track within this turn is told of its own writes as of a stranger's: that is safe.
        if executor.is_tracked() {
            let ids = self.segments.iter().map(|segment| self.connections[segment.key].client.id);
            executor.authors.extend(ids);
        }
        let mut pass = Pass::new(executor, &self.scratch);
        let buffer: &[u8] = &self.buffer;
        let owned: &[Vec<u8>] = &self.owned;
        for (at, segment) in self.segments.iter_mut().enumerate() {
            let bytes = match segment.source {
                Source::Buffer { start, end } => &buffer[start..end],
                Source::Own(index) => &owned[index],
            };
            if at == self.first_heavy {
                pass.make_room();
            }
            pass.enter(at);
            let connection = &mut self.connections[segment.key];
            if pass.executor.tight {
                pass.executor.crowded = self.budget.is_tight_for(connection);
                pass.executor.cautious = pass.executor.short && pass.executor.crowded;
            }
            let before = pass.executor.answers.worked;
            segment.consumed = command::serve(connection, bytes, &mut pass);
            pass.leave();
            let toils = pass.executor.answers.worked - before > TOIL;
            // Who was not served is what it was.
            connection.toils = toils || (connection.toils && segment.consumed == 0);
        }
        pass.run();
        drop(pass);
        executor.leave();
        self.scratch.clear();
    }

    /// Lets go of the clients that have gone; tells which. Where they have many subscriptions, these end some at a time.
    pub(crate) fn sweep(&mut self, mut gone: impl FnMut(&Connection)) {
        let mut left = ENDED_AT_ONCE;
        while let Some(key) = self.gone.pop() {
            // The same client may be on the list twice: once for its last read, once for its last send.
            let Some(mut connection) = self.connections.try_remove(key) else { continue };
            if let Some(mut subscriptions) = connection.subscriptions.take() {
                // Who sees that it is gone sees the end of a few, too.
                left = left.saturating_sub(subscriptions.end(left.max(ENDED_EACH)));
                self.leaving.extend((!subscriptions.is_empty()).then_some(*subscriptions));
            }
            self.budget.release(&mut connection);
            // Its socket is closed here, by which the kernel forgets that we wanted to hear of it.
            gone(&connection);
        }
        while left > 0
            && let Some(subscriptions) = self.leaving.last_mut()
        {
            left -= subscriptions.end(left);
            self.leaving.pop_if(|subscriptions| subscriptions.is_empty());
        }
    }

    /// Where a client is, if it is still here.
    pub(crate) fn find(&self, client: &Arc<Client>) -> Option<usize> {
        let connection = self.connections.get(client.place())?;
        Arc::ptr_eq(&connection.client, client).then(|| client.place())
    }

    /// Lets a client go at the end of this turn.
    pub(crate) fn drop_client(&mut self, key: usize) {
        self.gone.push(key);
    }

    /// Panics if what is known of all clients together is not the sum of what is known of each.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn verify(&self) {
        self.budget.verify(&self.connections);
        for (key, connection) in &self.connections {
            assert!(!connection.queued || self.ready.contains(&key), "client {key} is on no list");
        }
    }

    /// Whether nobody is connected.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}

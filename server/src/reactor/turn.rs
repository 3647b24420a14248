//! One turn, in three walks over the clients that are ready.
//!
//! ```text
//! gather    recv once from each, into consecutive places of one buffer
//!           | client a: kept + fresh | client b: fresh | ... |
//! process   parse, carry out, answer: borrows the buffer, so operations point into it
//! scatter   send each client its part of the answers, keep what is left over of its requests
//! ```
//!
//! Bounds: a client may have 256 KiB read in a turn, all together the buffer's length; a short read means that the
//! socket is drained. Who was not drained, or did not fit, stays on the list, and the next poll does not wait.

use std::io::ErrorKind;
use std::sync::Arc;

use crabcache_engine::Millis;
use mio::Registry;
use slab::Slab;

use super::batch::{Executor, Pass};
use super::budget::{self, Budget};
use super::scratch::Scratch;
use crate::command;
use crate::connection::client::Client;
use crate::connection::{Connection, Phase};
use crate::mail;
use crate::stats::Counters;

/// Bytes that a turn reads from all clients together.
const GATHER_LEN: usize = 1 << 20;
/// Behind them, room for what is read only to be dropped.
const SCRATCH_LEN: usize = 16 << 10;
/// Bytes that a turn reads from one client.
const READ_MAX: usize = 256 << 10;
/// With less room than this in the buffer a client waits for the next turn.
const READ_MIN: usize = 16 << 10;
/// A client that was answered more than this in a turn counts as one with large answers.
const HEAVY: usize = 64 << 10;

/// A client's part of a turn.
#[derive(Debug)]
struct Segment {
    key: usize,
    source: Source,
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
pub(crate) struct Turn {
    /// The clients.
    pub(crate) connections: Slab<Connection>,
    /// Clients to look at in the next turn.
    ready: Vec<usize>,
    visiting: Vec<usize>,
    buffer: Box<[u8]>,
    segments: Vec<Segment>,
    scratch: Scratch,
    owned: Vec<Vec<u8>>,
    budget: Budget,
    /// Clients to let go at the end of the turn.
    gone: Vec<usize>,
    /// Clients that were told that nothing more comes, since the last look.
    pub(crate) lingering: Vec<usize>,
}

impl Turn {
    /// For clients that may hold so many bytes, all together.
    pub(crate) fn new(client_memory: usize) -> Self {
        Self {
            connections: Slab::new(),
            ready: Vec::new(),
            visiting: Vec::new(),
            buffer: vec![0; GATHER_LEN + SCRATCH_LEN].into_boxed_slice(),
            segments: Vec::new(),
            scratch: Scratch::new(),
            owned: Vec::new(),
            budget: Budget::new(client_memory),
            gone: Vec::new(),
            lingering: Vec::new(),
        }
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

    /// Whether somebody waits for the next turn.
    #[must_use]
    pub(crate) fn has_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether clients that need much have to wait.
    #[must_use]
    pub(crate) fn is_tight(&self) -> bool {
        self.budget.is_tight()
    }

    /// Whether clients wait for memory.
    #[must_use]
    pub(crate) fn has_waiting(&self) -> bool {
        self.budget.has_waiting()
    }

    /// Reads from every client on the list.
    pub(crate) fn gather(&mut self, now: Millis, counters: &Counters) {
        let mut received = 0;
        let mut filled = 0;
        std::mem::swap(&mut self.ready, &mut self.visiting);
        for at in 0..self.visiting.len() {
            let key = self.visiting[at];
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.queued = false;
            if !connection.output.is_empty() {
                let before = connection.output.len();
                let flushed = connection.flush();
                let taken = before - connection.output.len();
                if taken > 0 {
                    connection.moved = now;
                    self.budget.charge(connection);
                }
                counters.bytes_out.add(taken as u64);
                if flushed.is_err() {
                    self.gone.push(key);
                    continue;
                }
                if !connection.output.is_empty() {
                    continue;
                }
            }
            if connection.phase != Phase::Open {
                self.wind_up(key);
                continue;
            }
            if connection.waits {
                continue;
            }
            if connection.gathers() {
                if !connection.readable {
                    continue;
                }
                if connection.input.is_reserved()
                    || (!self.budget.has_waiting() && self.budget.admit(connection, now))
                {
                    received += self.gather_large(key, now);
                } else {
                    self.budget.wait(key, connection, now);
                }
                continue;
            }
            if connection.heavy && self.budget.is_tight_for(connection) {
                self.budget.wait(key, connection, now);
                continue;
            }
            if connection.task.is_some() || connection.input.is_whole() {
                self.segments.push(Segment { key, source: Source::Own(self.owned.len()), consumed: 0 });
                self.owned.push(connection.input.take());
                continue;
            }
            if !connection.readable {
                continue;
            }
            let kept = connection.input.kept().len();
            let start = filled;
            let fresh = start + kept;
            if fresh + READ_MIN > GATHER_LEN {
                connection.queued = true;
                self.ready.push(key);
                continue;
            }
            let room = (GATHER_LEN - fresh).min(if self.budget.is_tight() { READ_MIN } else { READ_MAX });
            match connection.stream.recv(&mut self.buffer[fresh..fresh + room]) {
                Ok(0) => self.gone.push(key),
                Ok(len) => {
                    received += len;
                    connection.seen = now;
                    connection.readable = len == room || connection.half_closed;
                    if kept > 0 {
                        self.buffer[start..fresh].copy_from_slice(connection.input.kept());
                        connection.input.clear();
                    }
                    let start = start + connection.input.skipped(len);
                    filled = fresh + len;
                    self.segments.push(Segment {
                        key,
                        source: Source::Buffer { start, end: filled },
                        consumed: 0,
                    });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => connection.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => self.enqueue(key),
                Err(_) => self.gone.push(key),
            }
        }
        self.visiting.clear();
        counters.bytes_in.add(received as u64);
    }

    /// Receives more of a large request; it becomes a segment when all of it that is known of is here.
    fn gather_large(&mut self, key: usize, now: Millis) -> usize {
        let connection = &mut self.connections[key];
        match connection.input.fill(&mut connection.stream) {
            Ok((0, _)) => self.gone.push(key),
            Ok((len, drained)) => {
                connection.moved = now;
                connection.seen = now;
                connection.readable = !drained || connection.half_closed;
                if connection.input.is_enough() {
                    self.segments.push(Segment { key, source: Source::Own(self.owned.len()), consumed: 0 });
                    self.owned.push(connection.input.take());
                } else if connection.readable {
                    self.enqueue(key);
                }
                return len;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => self.enqueue(key),
            Err(_) => self.gone.push(key),
        }
        0
    }

    /// A client that is answered: says that nothing more comes, then drops what it still sends.
    fn wind_up(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if connection.phase == Phase::Closing {
            connection.phase = Phase::Lingering;
            connection.stream.end_sending();
            self.lingering.push(key);
        }
        match connection.stream.recv(&mut self.buffer[GATHER_LEN..]) {
            Ok(0) => self.gone.push(key),
            Ok(_) => self.enqueue(key),
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => self.enqueue(key),
            Err(_) => self.gone.push(key),
        }
    }

    /// How many clients have something to be answered in this turn.
    #[must_use]
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Answers what was gathered.
    pub(crate) fn process(&mut self, executor: &mut Executor<'_>) {
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
            pass.enter(at);
            segment.consumed = command::serve(&mut self.connections[segment.key], bytes, &mut pass);
            pass.leave();
        }
        pass.run();
        drop(pass);
        executor.leave();
        self.scratch.clear();
    }

    /// Sends the answers, and keeps what is left over.
    pub(crate) fn scatter(&mut self, executor: &mut Executor<'_>, counters: &Counters) {
        let answers = std::mem::take(&mut executor.answers.out);
        let mut sent = 0;
        let mut start = 0;
        let mut adopter = None;
        let mut segments = std::mem::take(&mut self.segments);
        for (segment, &end) in segments.iter().zip(&executor.ends) {
            let end = end.max(start);
            let answer = &answers[start..end];
            start = end;
            let key = segment.key;
            let connection = &mut self.connections[key];
            match segment.source {
                Source::Buffer { start, end } => {
                    let rest = &self.buffer[start + segment.consumed..end];
                    if !rest.is_empty() {
                        connection.input.keep(rest);
                    }
                }
                Source::Own(index) => {
                    let bytes = std::mem::take(&mut self.owned[index]);
                    if segment.consumed < bytes.len() {
                        connection.input.give_back(bytes, segment.consumed);
                    }
                }
            }
            if !answer.is_empty() {
                let Ok(taken) = send(connection, answer) else {
                    self.gone.push(key);
                    continue;
                };
                sent += taken;
                connection.heavy = answer.len() > HEAVY;
                let rest = &answer[taken..];
                if !rest.is_empty() {
                    connection.moved = executor.now;
                    if end == answers.len() && rest.len() > answers.capacity() / 2 {
                        adopter = Some((key, end - rest.len()));
                        continue;
                    }
                    connection.output.keep(rest);
                }
            }
            self.settle(key);
        }
        match adopter {
            // Large answers are not copied: their client gets the whole buffer.
            Some((key, taken)) => {
                self.connections[key].output.adopt(answers, taken);
                self.settle(key);
            }
            None => executor.answers.out = answers,
        }
        segments.clear();
        self.segments = segments;
        self.owned.clear();
        counters.bytes_out.add(sent as u64);
        while self.budget.is_far_exceeded() && self.close_largest(counters) {}
    }

    /// Accounts for what a client holds after it was answered, and finds out what is next to do for it.
    #[inline]
    fn settle(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        self.budget.charge(connection);
        let waits = connection.phase == Phase::Closing && connection.output.is_empty();
        if (waits || connection.has_work()) && !connection.queued {
            connection.queued = true;
            self.ready.push(key);
        }
        if self.budget.is_exceeded() {
            self.budget.tolerate(connection);
        }
    }

    /// Looks after the clients that wait for memory.
    pub(crate) fn relieve(&mut self, now: Millis, counters: &Counters) {
        while let Some(key) = self.budget.next(&mut self.connections, now) {
            self.enqueue(key);
        }
        if self.budget.looks(now) {
            // One at a time: its memory may be enough.
            let resting = self.connections.iter().filter(|(_, connection)| budget::rests(connection, now));
            let largest = resting.max_by_key(|(_, connection)| connection.charge.counted());
            if let Some((key, _)) = largest {
                self.close_for_memory(key, counters);
            }
        }
        if self.budget.is_stuck(now) {
            self.close_largest(counters);
        }
    }

    /// Closes the client that holds most memory; false if nobody holds any.
    #[cold]
    fn close_largest(&mut self, counters: &Counters) -> bool {
        let largest = self.connections.iter().max_by_key(|(_, connection)| connection.charge.counted());
        let Some((key, _)) = largest.filter(|(_, connection)| connection.charge.counted() > 0) else {
            return false;
        };
        self.close_for_memory(key, counters);
        true
    }

    /// Closes a client whose memory is needed.
    #[cold]
    fn close_for_memory(&mut self, key: usize, counters: &Counters) {
        let connection = &mut self.connections[key];
        counters.memory_closes.add(1);
        let reads = connection.output.is_empty();
        self.budget.release(connection);
        if reads {
            // What it sends is dropped from here on, and it is told why.
            connection.output.keep(command::out_of_memory(connection.dialect));
            connection.waits = false;
            connection.close();
            self.enqueue(key);
        } else {
            // It does not take its answers; it would not take an error either.
            self.gone.push(key);
        }
    }

    /// Lets go of the clients that have gone; tells which.
    pub(crate) fn sweep(&mut self, registry: &Registry, mut gone: impl FnMut(&Connection)) {
        while let Some(key) = self.gone.pop() {
            // The same client may be on the list twice: once for its last read, once for its last send.
            let Some(mut connection) = self.connections.try_remove(key) else { continue };
            self.budget.release(&mut connection);
            // Closing the socket deregisters it in any case.
            let _ = registry.deregister(&mut connection.stream);
            gone(&connection);
        }
    }

    /// Where a client is, if it is still here.
    pub(crate) fn find(&self, client: &Arc<Client>) -> Option<usize> {
        let connection = self.connections.get(client.place())?;
        Arc::ptr_eq(&connection.client, client).then(|| client.place())
    }

    /// Adds a message to what a client is sent. If too much waits for it already, it goes.
    pub(crate) fn push(&mut self, client: &Arc<Client>, bytes: &[u8], counters: &Counters) {
        let Some(key) = self.find(client) else { return };
        let connection = &mut self.connections[key];
        if connection.phase != Phase::Open {
            return;
        }
        if connection.output.len() + bytes.len() > mail::WAITING_MAX {
            counters.memory_closes.add(1);
            self.gone.push(key);
            return;
        }
        connection.output.push(bytes);
        self.budget.charge(connection);
        self.enqueue(key);
    }

    /// Lets clients go that have sent nothing since `since`, and wait for nothing.
    pub(crate) fn drop_idle(&mut self, since: Millis) {
        let idle = self.connections.iter().filter(|(_, connection)| {
            connection.seen < since
                && connection.takes_requests()
                && connection.output.is_empty()
                && !connection.waits
                && !connection.paused
                && connection.subscriptions.is_none()
                && connection.monitoring.is_none()
        });
        self.gone.extend(idle.map(|(key, _)| key));
    }

    /// Lets a client go at the end of this turn.
    pub(crate) fn drop_client(&mut self, key: usize) {
        self.gone.push(key);
    }

    /// Whether nobody is connected.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }
}

/// Sends once, or again where only a signal came between.
fn send(connection: &mut Connection, bytes: &[u8]) -> std::io::Result<usize> {
    loop {
        match connection.stream.send(bytes) {
            Ok(taken) => return Ok(taken),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        }
    }
}

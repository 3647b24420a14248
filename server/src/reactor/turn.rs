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

use std::io::{ErrorKind, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use crabcache_engine::Millis;
use slab::Slab;

use super::batch::{Executor, Pass};
use super::budget::{self, Budget};
use super::deadline::{Deadlines, Missed};
use super::scratch::Scratch;
use super::sized;
use crate::command;
use crate::config::Config;
use crate::connection::client::Client;
use crate::connection::{Connection, Phase};
use crate::mail;
use crate::settings::Settings;
use crate::stats::Counters;

/// Bytes that a turn reads from all clients together.
const GATHER_LEN: usize = sized(1 << 20);
/// Behind them, room for what is read only to be dropped.
const SCRATCH_LEN: usize = sized(16 << 10);
/// Bytes that a turn reads from one client.
const READ_MAX: usize = sized(256 << 10);
/// With less room than this in the buffer a client waits for the next turn.
const READ_MIN: usize = sized(16 << 10);
/// Parts of an answer that one call sends.
const PARTS_MAX: usize = 64;
/// A client that was answered more than this in a turn counts as one with large answers.
const HEAVY: usize = sized(64 << 10);

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
pub(crate) struct Turn {
    /// The clients.
    pub(crate) connections: Slab<Connection>,
    /// Clients to look at in the next turn.
    ready: Vec<usize>,
    /// Of these, who comes behind the others.
    last: Vec<usize>,
    visiting: Vec<usize>,
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
    /// Clients that were told that nothing more comes, since the last look.
    pub(crate) lingering: Vec<usize>,
}

impl Turn {
    /// For one of so many workers.
    pub(crate) fn new(config: &Config, workers: usize) -> Self {
        Self {
            connections: Slab::new(),
            ready: Vec::new(),
            last: Vec::new(),
            visiting: Vec::new(),
            buffer: vec![0; GATHER_LEN + SCRATCH_LEN].into_boxed_slice(),
            segments: Vec::new(),
            scratch: Scratch::new(),
            owned: Vec::new(),
            budget: Budget::new(config.client_memory_bytes / workers.max(1)),
            deadlines: Deadlines::new(config.request_ms_max),
            now: Millis::default(),
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
        self.now = now;
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
                    received += self.gather_large(key);
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
                self.push_own(key);
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
                    connection.moved = now;
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
                        carries: kept > 0,
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
    fn gather_large(&mut self, key: usize) -> usize {
        let now = self.now;
        let connection = &mut self.connections[key];
        match connection.input.fill(&mut connection.stream) {
            Ok((0, _)) => self.gone.push(key),
            Ok((len, drained)) => {
                connection.moved = now;
                connection.input.note_progress(false, now);
                connection.readable = !drained || connection.half_closed;
                if connection.input.is_enough() {
                    self.push_own(key);
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

    /// Makes a segment of what a connection has gathered.
    fn push_own(&mut self, key: usize) {
        let bytes = self.connections[key].input.take();
        let source = Source::Own(self.owned.len());
        self.segments.push(Segment { key, source, carries: !bytes.is_empty(), consumed: 0 });
        self.owned.push(bytes);
    }

    /// A client that is answered: says that nothing more comes, then drops what it still sends.
    fn wind_up(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if connection.phase == Phase::Closing {
            connection.phase = Phase::Lingering;
            connection.moved = self.now;
            connection.stream.end_sending();
            self.lingering.push(key);
        }
        match connection.stream.recv(&mut self.buffer[GATHER_LEN..]) {
            Ok(0) => self.gone.push(key),
            Ok(_) => {
                connection.moved = self.now;
                self.enqueue(key);
            }
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
        let mut sent = 0;
        let mut start = 0;
        let mut adopter = None;
        let mut segments = std::mem::take(&mut self.segments);
        for (segment, &end) in segments.iter().zip(&executor.ends) {
            let range = start..end.max(start);
            start = range.end;
            let key = segment.key;
            self.keep_requests(segment);
            if !range.is_empty() {
                let connection = &mut self.connections[key];
                let Ok(taken) = send(connection, executor, &range) else {
                    self.gone.push(key);
                    continue;
                };
                sent += taken;
                connection.heavy = range.len() > HEAVY;
                let rest = range.start + taken..range.end;
                if !rest.is_empty() {
                    connection.moved = self.now;
                    if executor.answers.is_nearly_all(&rest) {
                        adopter = Some((key, rest.start));
                        continue;
                    }
                    let parts = after(executor.parts(range), taken);
                    connection.output.keep_parts(parts, rest.len());
                }
            }
            self.settle(key);
        }
        if let Some((key, taken)) = adopter {
            // Large answers are not copied: their client gets the whole buffer.
            let answers = std::mem::take(&mut executor.answers.out);
            self.connections[key].output.adopt(answers, taken);
            self.settle(key);
        }
        executor.answers.lent.clear();
        segments.clear();
        self.segments = segments;
        self.ready.append(&mut self.last);
        self.owned.clear();
        counters.bytes_out.add(sent as u64);
        while self.budget.is_far_exceeded() && self.close_largest(counters) {}
    }

    /// Keeps what a segment has of requests that are not whole.
    #[inline]
    fn keep_requests(&mut self, segment: &Segment) {
        let connection = &mut self.connections[segment.key];
        match segment.source {
            Source::Buffer { start, end } => {
                let rest = &self.buffer[start + segment.consumed..end];
                if !rest.is_empty() {
                    connection.input.keep(rest);
                    connection.input.note_progress(!segment.carries || segment.consumed > 0, self.now);
                }
            }
            Source::Own(index) => {
                let bytes = std::mem::take(&mut self.owned[index]);
                if segment.consumed < bytes.len() {
                    connection.input.give_back(bytes, segment.consumed);
                    connection.input.note_progress(!segment.carries || segment.consumed > 0, self.now);
                }
            }
        }
    }

    /// Accounts for what a client holds after it was answered, and finds out what is next to do for it.
    #[inline]
    fn settle(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        self.budget.charge(connection);
        let waits = connection.phase == Phase::Closing && connection.output.is_empty();
        if (waits || connection.has_work()) && !connection.queued {
            connection.queued = true;
            if std::mem::take(&mut connection.stepped) { &mut self.last } else { &mut self.ready }.push(key);
        }
        if self.budget.is_exceeded() {
            self.budget.tolerate(connection);
        }
    }

    /// Looks after the clients that wait for memory.
    pub(crate) fn relieve(&mut self, counters: &Counters) {
        self.wake_waiting();
        if self.budget.looks(self.now) {
            // The largest first: its memory may be enough.
            while self.budget.has_waiting()
                && let Some(key) = self.largest(budget::rests)
            {
                self.close_for_memory(key, counters);
                self.wake_waiting();
            }
        }
        if self.budget.is_stuck(self.now) {
            self.close_largest(counters);
        }
    }

    fn wake_waiting(&mut self) {
        while let Some(key) = self.budget.next(&mut self.connections, self.now) {
            self.enqueue(key);
        }
    }

    /// Of the clients that are `wanted`, the one that holds most memory, if any holds some.
    fn largest(&self, wanted: impl Fn(&Connection, Millis) -> bool) -> Option<usize> {
        let wanted = self.connections.iter().filter(|(_, connection)| wanted(connection, self.now));
        let largest = wanted.max_by_key(|(_, connection)| connection.charge.counted());
        largest.filter(|(_, connection)| connection.charge.counted() > 0).map(|(key, _)| key)
    }

    /// Closes the client that holds most memory; false if nobody holds any.
    #[cold]
    fn close_largest(&mut self, counters: &Counters) -> bool {
        let largest = self.largest(|_, _| true);
        if let Some(key) = largest {
            self.close_for_memory(key, counters);
        }
        largest.is_some()
    }

    /// Closes a client whose memory is needed.
    #[cold]
    fn close_for_memory(&mut self, key: usize, counters: &Counters) {
        counters.memory_closes.add(1);
        self.dismiss(key, command::out_of_memory(self.connections[key].dialect));
    }

    /// Takes a client's memory back, and closes it with this for an answer.
    fn dismiss(&mut self, key: usize, answer: &[u8]) {
        let connection = &mut self.connections[key];
        let reads = connection.output.is_empty();
        self.budget.release(connection);
        if reads {
            // What it sends is dropped from here on, and it is told why.
            connection.output.keep(answer);
            self.budget.charge(connection);
            connection.moved = self.now;
            connection.waits = false;
            connection.close();
            self.enqueue(key);
        } else {
            // It does not take its answers; it would not take an error either.
            self.gone.push(key);
        }
    }

    /// When somebody's time may be up, if that can be.
    #[must_use]
    pub(crate) fn next_look(&self, idle_ms_max: u64) -> Option<Millis> {
        self.deadlines.next_look(idle_ms_max > 0 && !self.connections.is_empty(), self.budget.is_held())
    }

    /// Lets go of the clients whose time is up.
    #[inline]
    pub(crate) fn enforce_deadlines(&mut self, settings: &Settings, counters: &Counters) {
        if self.deadlines.is_due(self.now) {
            self.look_at_deadlines(settings.idle_ms_max(), counters);
        }
    }

    #[cold]
    fn look_at_deadlines(&mut self, idle_ms_max: u64, counters: &Counters) {
        let mut missed = Vec::new();
        for (key, connection) in &mut self.connections {
            let deadline = self.deadlines.missed(connection, idle_ms_max, self.now);
            missed.extend(deadline.map(|deadline| (key, deadline)));
        }
        counters.timeouts.add(missed.len() as u64);
        for (key, missed) in missed {
            match missed {
                // Nothing was asked, so nothing is answered.
                Missed::Idle => self.gone.push(key),
                Missed::Request => self.dismiss(key, command::too_slow(self.connections[key].dialect)),
            }
        }
    }

    /// Lets go of the clients that have gone; tells which.
    pub(crate) fn sweep(&mut self, mut gone: impl FnMut(&Connection)) {
        while let Some(key) = self.gone.pop() {
            // The same client may be on the list twice: once for its last read, once for its last send.
            let Some(mut connection) = self.connections.try_remove(key) else { continue };
            self.budget.release(&mut connection);
            // Its socket is closed here, by which the kernel forgets that we wanted to hear of it.
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
        // One message may be as long as it is: the client has had no time to take it.
        if !connection.output.is_empty() && connection.output.len() + bytes.len() > mail::WAITING_MAX {
            counters.memory_closes.add(1);
            self.gone.push(key);
            return;
        }
        connection.output.push(bytes);
        self.budget.charge(connection);
        self.enqueue(key);
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

/// Sends an answer, this range of all. Gives how much of it the socket took.
#[inline]
fn send(
    connection: &mut Connection,
    executor: &Executor<'_>,
    range: &Range<usize>,
) -> std::io::Result<usize> {
    if executor.answers.lent.is_empty() {
        let answer = &executor.answers.out[range.clone()];
        return once(|| connection.stream.send(answer));
    }
    let mut parts = executor.parts(range.clone());
    let mut sent = 0;
    loop {
        let slices: heapless::Vec<IoSlice<'_>, PARTS_MAX> =
            parts.by_ref().take(PARTS_MAX).map(IoSlice::new).collect();
        let len: usize = slices.iter().map(|part| part.len()).sum();
        let taken = once(|| connection.stream.send_parts(&slices))?;
        sent += taken;
        if taken < len || sent == range.len() {
            return Ok(sent);
        }
    }
}

/// Sends once, or again where only a signal came between.
#[inline]
fn once(mut send: impl FnMut() -> std::io::Result<usize>) -> std::io::Result<usize> {
    loop {
        match send() {
            Ok(taken) => return Ok(taken),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        }
    }
}

/// What follows the first `skipped` bytes.
fn after<'p>(parts: impl Iterator<Item = &'p [u8]>, mut skipped: usize) -> impl Iterator<Item = &'p [u8]> {
    parts.map(move |part| {
        let skip = skipped.min(part.len());
        skipped -= skip;
        &part[skip..]
    })
}

//! The first walk of a turn: one `recv` from every client that has something to say.

use std::io::ErrorKind;

use crabcache_engine::Millis;

use super::{GATHER_LEN, Segment, Source, Turn};
use crate::connection::Phase;
use crate::reactor::sized;
use crate::stats::Counters;

/// Bytes that a turn reads from one client.
pub(super) const READ_MAX: usize = sized(256 << 10);
/// With less room than this in the buffer a client waits for the next turn.
pub(super) const READ_MIN: usize = sized(16 << 10);

impl Turn<'_> {
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
            if connection.arriving.as_mut().is_some_and(|arriving| arriving.left() > 0) {
                if connection.readable {
                    let len;
                    (len, filled) = self.gather_value(key, filled);
                    received += len;
                }
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
}

//! What the workers count, summed when somebody asks.
//!
//! Each counter has one writer, its worker, and sits in that worker's own cache lines: adding is a plain load and
//! store, never a locked instruction, and happens once per turn rather than once per request.

pub(crate) mod calls;
pub(crate) mod memcache;
pub(crate) mod rates;
pub(crate) mod report;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use calls::Calls;

/// A number that only its worker changes and anybody may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds, for the one thread that owns this counter.
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        // Relaxed: a figure of its own, which orders nothing.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// Subtracts, for the one thread that owns this counter.
    pub(crate) fn sub(&self, less: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(less), Ordering::Relaxed);
    }

    /// The number as it is now.
    #[must_use]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// Requests carried out.
    pub(crate) commands: Counter,
    /// Requests that were answered with an error.
    pub(crate) errors: Counter,
    /// Bytes received.
    pub(crate) bytes_in: Counter,
    /// Bytes sent.
    pub(crate) bytes_out: Counter,
    /// Clients connected now.
    pub(crate) connections: Counter,
    /// Clients that turned out to speak RESP.
    pub(crate) resp: Counter,
    /// Clients that turned out to speak memcached's protocol.
    pub(crate) memcache: Counter,
    /// Clients that turned out to speak the native protocol.
    pub(crate) native: Counter,
    /// Clients dropped because clients held too much memory.
    pub(crate) memory_closes: Counter,
    /// Clients dropped because they were idle, or a request of theirs was on its way, for too long.
    pub(crate) timeouts: Counter,
    /// Requests for everything to be removed.
    pub(crate) flushes: Counter,
    /// Writes refused because no room could be made in time, or anywhere.
    pub(crate) no_room: Counter,
    /// What memcached counts, too.
    pub(crate) memcached: memcache::Sums,
    /// Calls of RESP's commands.
    pub(crate) calls: Calls,
    /// Errors answered in RESP, by their codes. Locked where there are some, once a turn.
    codes: Mutex<Codes>,
}

/// How often each code of an error (`ERR`, `WRONGTYPE`) was answered.
pub(crate) type Codes = BTreeMap<Box<str>, u64>;

/// Notes the error `text`, which begins with its code.
pub(crate) fn note_code(codes: &mut Codes, text: &[u8]) {
    let code = text.split(|&byte| byte == b' ').next().and_then(|code| str::from_utf8(code).ok());
    let code = code.unwrap_or_default();
    match codes.get_mut(code) {
        Some(count) => *count += 1,
        None => {
            codes.insert(code.into(), 1);
        }
    }
}

impl Counters {
    /// Adds the errors of a turn, and empties the list.
    pub(crate) fn note_codes(&self, turn: &mut Codes) {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        add_codes(&mut codes, turn);
        turn.clear();
    }

    /// The errors so far are added to `sum`.
    pub(crate) fn codes_into(&self, sum: &mut Codes) {
        add_codes(sum, &self.codes.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn add_codes(sum: &mut Codes, more: &Codes) {
    for (code, count) in more {
        *sum.entry(code.clone()).or_default() += count;
    }
}

/// The sums.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Requests carried out.
    pub(crate) commands: u64,
    /// Requests that were answered with an error.
    pub(crate) errors: u64,
    /// Bytes received.
    pub(crate) bytes_in: u64,
    /// Bytes sent.
    pub(crate) bytes_out: u64,
    /// Clients connected now.
    pub(crate) connections: u64,
    /// Clients that turned out to speak RESP.
    pub(crate) resp: u64,
    /// Clients that turned out to speak memcached's protocol.
    pub(crate) memcache: u64,
    /// Clients that turned out to speak the native protocol.
    pub(crate) native: u64,
    /// Clients dropped because clients held too much memory.
    pub(crate) memory_closes: u64,
    /// Clients dropped because they were idle, or a request of theirs was on its way, for too long.
    pub(crate) timeouts: u64,
    /// Requests for everything to be removed.
    pub(crate) flushes: u64,
    /// Writes refused because no room could be made in time, or anywhere.
    pub(crate) no_room: u64,
}

impl Totals {
    /// Adds up the counters of all workers.
    pub(crate) fn of<'a>(workers: impl Iterator<Item = &'a Counters>) -> Self {
        workers.fold(Self::default(), |sum, worker| Self {
            commands: sum.commands + worker.commands.get(),
            errors: sum.errors + worker.errors.get(),
            bytes_in: sum.bytes_in + worker.bytes_in.get(),
            bytes_out: sum.bytes_out + worker.bytes_out.get(),
            connections: sum.connections + worker.connections.get(),
            resp: sum.resp + worker.resp.get(),
            memcache: sum.memcache + worker.memcache.get(),
            native: sum.native + worker.native.get(),
            memory_closes: sum.memory_closes + worker.memory_closes.get(),
            timeouts: sum.timeouts + worker.timeouts.get(),
            flushes: sum.flushes + worker.flushes.get(),
            no_room: sum.no_room + worker.no_room.get(),
        })
    }

    /// Without what was counted before; clients connected now stay.
    pub(crate) fn since(self, before: &Self) -> Self {
        Self {
            commands: self.commands - before.commands,
            errors: self.errors - before.errors,
            bytes_in: self.bytes_in - before.bytes_in,
            bytes_out: self.bytes_out - before.bytes_out,
            connections: self.connections,
            resp: self.resp - before.resp,
            memcache: self.memcache - before.memcache,
            native: self.native - before.native,
            memory_closes: self.memory_closes - before.memory_closes,
            timeouts: self.timeouts - before.timeouts,
            flushes: self.flushes - before.flushes,
            no_room: self.no_room - before.no_room,
        }
    }
}

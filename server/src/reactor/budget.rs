//! How much memory the clients of one worker may hold: requests that are not all here, answers that are not taken.
//!
//! ```text
//! 0 ........... soft ............. 2 x limit
//!    all go on  | large requests, and requests for large answers, wait in order
//!               |                  | the client that holds most is closed
//! ```
//!
//! A large request reserves all its memory before it is read on, so those that are read can be finished: nobody holds
//! memory while waiting for more. Whoever waits is not read, and the kernel's flow control slows its client down; so
//! many clients with large values make each other wait, but nobody is refused. So does a transaction whose answer is large. One request or answer at a time,
//! of all workers' clients, may be larger than what is left. Clients with small requests and answers never wait. While some do wait, a client that
//! holds memory and neither sends nor takes anything for a few seconds is closed.
//!
//! What is kept over several turns to make an answer of it (the table of LCS, a large value that DUMP copies) is made for one client at
//! a time ([`Room`]); the others wait until it is their turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crabcache_engine::Millis;

use super::sized;
use crate::connection::Connection;
use crate::connection::input::LARGE;

/// What a connection holds, as far as the budget knows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Charge {
    bytes: usize,
    /// Of these, how many do not count, because it was let through.
    free: usize,
    reserved: bool,
    /// It gives memory back by itself: it sends a request whose memory is reserved, or takes its answers, or is carried out.
    moves: bool,
}

impl Charge {
    /// Bytes that it holds or may come to hold, as far as they count.
    #[inline]
    #[must_use]
    pub(crate) fn counted(self) -> usize {
        self.bytes - self.free
    }
}

/// What stands for memory of which few clients may have some at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room(Arc<AtomicUsize>);

/// A part of it: it is given back where this is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Arc<AtomicUsize>,
    len: usize,
}

impl Room {
    /// Takes so much of it, if there is no more than `max` taken then or nobody else has any.
    pub(crate) fn take(&self, len: usize, max: usize) -> Option<Taken> {
        // Relaxed: it is a count, no more.
        let fits = |taken| (taken == 0 || taken + len <= max).then_some(taken + len);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.ok().map(|_| Taken { room: Arc::clone(&self.0), len })
    }
}

/// What goes beyond the budgets of all workers: one client at a time has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beyond {
    room: Room,
    /// Somebody has wanted it in vain since it was taken.
    wanted: Arc<AtomicBool>,
}

impl Beyond {
    fn take(&self) -> Option<Taken> {
        let taken = self.room.take(1, 0);
        self.wanted.store(taken.is_none(), Ordering::Relaxed);
        taken
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.fetch_sub(self.len, Ordering::Relaxed);
    }
}

/// The budget of one worker.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    held: usize,
    /// Clients that have reserved memory for a large request.
    reserved: usize,
    /// Clients that give memory back by themselves.
    moving: usize,
    beyond: Beyond,
    /// A client was let through beyond the budget.
    let_through: Option<Taken>,
    /// Clients that wait, those first who hold a good part of a large request already: they are nearest to giving that back.
    waiting_with_part: VecDeque<usize>,
    waiting: VecDeque<usize>,
    /// Clients that rested and had to go, since nobody waited last.
    rested: u32,
    /// Since when the one in front waits.
    since: Millis,
    looked: Millis,
}

/// The least limit of a worker: its clients wait from three quarters of it on.
const LIMIT_MIN: usize = sized(4 << 20);
/// While others wait, a client that holds memory may rest for so long; a half of it with each that had to go, but so many times at
/// most.
const REST_MS: u64 = 5_000;
const RESTED_MAX: u32 = 3;
/// Clients may wait for so long until the one that holds most is closed, however busy.
const PATIENCE_MS: u64 = 30_000;
/// How often those who hold memory are looked at.
const LOOK_MS: u64 = 500;

/// Who holds more of a large request than is read at once holds a good part of it.
const PART_MIN: usize = sized(256 << 10);

/// The share that one of so many workers has of the memory of all clients.
pub(crate) fn share(bytes: usize, workers: usize) -> usize {
    (bytes / workers.max(1)).max(LIMIT_MIN)
}

impl Budget {
    /// A budget of this many bytes.
    pub(crate) fn new(limit: usize, beyond: Beyond) -> Self {
        Self {
            limit,
            beyond,
            held: 0,
            reserved: 0,
            moving: 0,
            let_through: None,
            waiting_with_part: VecDeque::new(),
            waiting: VecDeque::new(),
            rested: 0,
            since: Millis::default(),
            looked: Millis::default(),
        }
    }

    fn soft(&self) -> usize {
        self.limit / 4 * 3
    }

    /// Whether clients that need much have to wait: there is somebody to wait for, who holds memory and gives it back. They
    /// do, too, while one has more than there is: what it was let through with does not count, so that `held` may be low.
    #[inline]
    #[must_use]
    pub(crate) fn is_tight(&self) -> bool {
        (self.held > self.soft() && self.moving > 0) || self.let_through.is_some()
    }

    /// The same for one client, which must not wait for itself.
    #[inline]
    #[must_use]
    pub(crate) fn is_tight_for(&self, connection: &Connection) -> bool {
        let others = self.held - connection.charge.counted();
        (others > self.soft() && self.moving > 0)
            || (self.let_through.is_some() && connection.charge.free == 0)
    }

    /// Whether nobody may come to hold more, where values are large.
    #[inline]
    #[must_use]
    pub(crate) fn is_exceeded(&self) -> bool {
        self.held > self.limit
    }

    /// Whether somebody has to go at once, even one that takes its answers as fast as it can.
    #[inline]
    #[must_use]
    pub(crate) fn is_far_exceeded(&self) -> bool {
        self.held > 2 * self.limit
    }

    /// Notes what a connection holds now.
    #[inline]
    pub(crate) fn charge(&mut self, connection: &mut Connection) {
        let before = connection.charge;
        let bytes = connection.held();
        let reserved = connection.has_reserved();
        let goes_on = connection.task.as_ref().is_some_and(|task| task.goes_on());
        let moves = reserved || !connection.output.is_empty() || goes_on;
        // Once it has given that back, what is left counts again: its next request, say, which must not wait for itself.
        let free = if moves { before.free.min(bytes) } else { 0 };
        let now = Charge { bytes, free, reserved, moves };
        self.moving = self.moving + usize::from(moves) - usize::from(before.moves);
        connection.charge = now;
        self.held = self.held - before.counted() + now.counted();
        self.reserved = self.reserved + usize::from(now.reserved) - usize::from(before.reserved);
        if before.free > 0 && now.free == 0 {
            self.let_through = None;
        }
    }

    /// Whether a client may have more than there is: one at a time may, here and at all other workers.
    fn lets_through(&mut self, connection: &Connection) -> bool {
        if self.let_through.is_some() {
            return connection.charge.free > 0;
        }
        self.let_through = self.beyond.take();
        self.let_through.is_some()
    }

    /// What the client that is let through has beyond `limit` does not count.
    fn free(&mut self, connection: &mut Connection, limit: usize) {
        let free = self.held.saturating_sub(limit).min(connection.charge.counted());
        connection.charge.free += free;
        self.held -= free;
    }

    /// Lets a client keep what goes beyond the limit, if it is the only one, and will give it back.
    pub(crate) fn tolerate(&mut self, connection: &mut Connection) {
        if connection.charge.moves && connection.charge.counted() > 0 && self.lets_through(connection) {
            self.free(connection, self.limit);
        }
    }

    /// Forgets a connection that is gone.
    pub(crate) fn release(&mut self, connection: &mut Connection) {
        connection.input.take();
        connection.output.take();
        connection.arriving = None;
        connection.task = None;
        connection.transaction = None;
        connection.monitoring = None;
        connection.tracked = None;
        self.charge(connection);
    }

    /// Reserves the memory of a large request, or of a large answer, if there is enough of it or nobody else reads or makes one.
    pub(crate) fn admit(&mut self, connection: &mut Connection, now: Millis) -> bool {
        let answer = connection.answer_wanted();
        let more =
            answer.unwrap_or_else(|| connection.input.needed().saturating_sub(connection.input.held()));
        let goes_beyond = self.held + more > self.soft();
        if goes_beyond && (self.reserved > 0 || !self.lets_through(connection)) {
            return false;
        }
        connection.reserve();
        connection.moved = now;
        self.charge(connection);
        if goes_beyond {
            self.free(connection, self.soft());
            // It may hold less by now than was known.
            self.let_through.take_if(|_| connection.charge.free == 0);
        }
        true
    }

    /// Lets a client wait, behind all others who do.
    pub(crate) fn wait(&mut self, key: usize, connection: &mut Connection, now: Millis) {
        connection.waits = true;
        if !self.has_waiting() {
            (self.since, self.rested) = (now, 0);
        }
        // Of every large request something is here: it was read to learn how large it is.
        let has_part = connection.input.is_large() && connection.charge.bytes > PART_MIN;
        if has_part { &mut self.waiting_with_part } else { &mut self.waiting }.push_back(key);
    }

    /// Whether anybody holds memory.
    #[must_use]
    pub(crate) fn is_held(&self) -> bool {
        self.held > 0 || self.let_through.is_some()
    }

    /// Panics if the sums are not those of `connections`.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn verify(&self, connections: &slab::Slab<Connection>) {
        let charges = || connections.iter().map(|(_, connection)| connection.charge);
        assert_eq!(self.held, charges().map(Charge::counted).sum::<usize>(), "held");
        assert_eq!(self.reserved, charges().filter(|charge| charge.reserved).count(), "reserved");
        assert_eq!(self.moving, charges().filter(|charge| charge.moves).count(), "moving");
        assert!(self.let_through.is_none() || charges().any(|charge| charge.free > 0), "let through");
        assert!(charges().filter(|charge| charge.free > 0).count() <= 1, "several let through");
        assert!(self.held <= 2 * self.limit, "{} of {} held", self.held, self.limit);
        for (key, connection) in connections {
            assert!(
                connection.charge.bytes >= connection.held(),
                "client {key} holds more than is known: {:?} {} {}",
                connection.charge,
                connection.input.held(),
                connection.output.held()
            );
            let listed = self.waiting_with_part.contains(&key) || self.waiting.contains(&key);
            assert!(!connection.waits || listed, "client {key} waits for ever");
        }
    }

    /// Whether anybody waits.
    #[inline]
    #[must_use]
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting_with_part.is_empty() || !self.waiting.is_empty()
    }

    /// The next client whose turn has come. `connections` gives the client of a key, if it is still there.
    pub(crate) fn next(&mut self, connections: &mut slab::Slab<Connection>, now: Millis) -> Option<usize> {
        while let Some(&key) = self.waiting_with_part.front().or(self.waiting.front()) {
            // A client that left may have left its place to one that does not wait.
            if let Some(connection) = connections.get_mut(key).filter(|connection| connection.waits) {
                let goes = if connection.gathers() || connection.answer_wanted().is_some() {
                    self.admit(connection, now)
                } else {
                    !self.is_tight_for(connection)
                };
                if !goes {
                    return None;
                }
                connection.waits = false;
                self.drop_next();
                self.since = now;
                return Some(key);
            }
            self.drop_next();
        }
        None
    }

    fn drop_next(&mut self) {
        if self.waiting_with_part.pop_front().is_none() {
            self.waiting.pop_front();
        }
    }

    /// Whether another worker waits until the client that was let through has less.
    #[must_use]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.let_through.is_some() && self.beyond.wanted.load(Ordering::Relaxed)
    }

    /// Whether it is time to look at those who hold memory while others wait.
    pub(crate) fn looks(&mut self, now: Millis) -> bool {
        let looks =
            (self.has_waiting() || self.is_waited_for()) && now.0.saturating_sub(self.looked.0) >= LOOK_MS;
        if looks {
            self.looked = now;
        }
        looks
    }

    /// For how long a client that holds memory may rest. Each that had to go since somebody last did not have to wait has left less
    /// time to the next one: otherwise as many as rest one after the other would hold up the others for as many times as long.
    pub(crate) fn rest_ms(&self) -> u64 {
        REST_MS >> self.rested.min(RESTED_MAX)
    }

    /// One that rested had to go.
    pub(crate) fn note_rested(&mut self) {
        self.rested = self.rested.saturating_add(1);
    }

    /// Whether clients have waited for too long; then the next may wait as long again.
    pub(crate) fn is_stuck(&mut self, now: Millis) -> bool {
        let stuck = self.has_waiting() && now.0.saturating_sub(self.since.0) > PATIENCE_MS;
        if stuck {
            self.since = now;
        }
        stuck
    }
}

/// Keeps memory set apart for a large request that is not whole yet, since an argument more is to come, or not all checked.
pub(crate) fn reserve_again(connection: &mut Connection) {
    let Charge { bytes, reserved, .. } = connection.charge;
    let goes_on = connection.gathers() && connection.input.needed() <= bytes + LARGE;
    if reserved && (goes_on || connection.input.is_partly_checked()) {
        connection.input.reserve();
    }
}

/// Whether a client was let through.
pub(crate) fn is_through(connection: &Connection) -> bool {
    connection.charge.free > 0
}

/// Whether a client holds memory that others need, and has done nothing about it for so long.
pub(crate) fn rests(connection: &Connection, now: Millis, rest_ms: u64) -> bool {
    (connection.charge.reserved || !connection.output.is_empty())
        && now.0.saturating_sub(connection.moved.0) > rest_ms
}

//! The loop of one worker: sleep until something is ready, go through a turn, look after what time brings.
//!
//! A worker's engine handle is online only while it works: one that sleeps holds up nobody's reclamation.

use std::io;
use std::time::{Duration, Instant};

use crabcache_engine::{Handle, Millis};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::batch::Executor;
use super::turn::Turn;
use crate::clock;
use crate::command::resp::calls;
use crate::connection::{Connection, Dialect};
use crate::mail::Message;
use crate::monitor;
use crate::shared::{Newcomer, Seat, Shared};
use crate::shutdown::Level;
use crate::stats::calls::SAMPLE;

/// The token of the worker's waker; clients have their slab keys.
pub(crate) const WAKER: Token = Token(usize::MAX);
/// Events taken from the kernel at once.
const EVENTS: usize = 1024;
/// How long a client that was told that nothing more comes may take to close.
const LINGER: Duration = Duration::from_secs(1);
/// How often expired items are looked for: while there are some, and while there are none.
const SWEEP_BUSY_MS: u64 = 100;
const SWEEP_IDLE_MS: u64 = 1000;
/// How long, and how many times, a worker that has nothing to do sleeps before it sleeps until somebody comes.
const QUIET_MS: u64 = 1000;
const QUIET_WAKES: u32 = 5;
/// How often idle clients are looked for.
const IDLE_LOOK_MS: u64 = 500;
/// Blocks of each shard that one look goes through before the clients have their turn again.
const SWEEP_BLOCKS: u32 = 512;
/// Buckets emptied per turn by a flush that comes of itself.
const FLUSH_BUCKETS: usize = 1024;

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker<'s> {
    shared: &'s Shared<'s>,
    seat: &'s Seat,
    poll: Poll,
    turn: Turn,
    executor: Executor<'s>,
    lingering: Vec<(usize, u64, Instant)>,
    /// Whether it is the one that looks for expired items: more would only look at the same ones.
    sweeps: bool,
    swept: Millis,
    sweep_every_ms: u64,
    /// Turns in which somebody had something to say.
    turns: u64,
    /// Clients may wait for the end of a pause.
    pausing: bool,
    /// When idle clients were last looked for.
    looked_for_idle: Millis,
    /// Wakes in which nothing had happened, one after the other.
    quiet: u32,
    /// Where a flush by appointment has come to.
    flushing: Option<u64>,
    draining: Option<Instant>,
}

impl<'s> Worker<'s> {
    pub(crate) fn new(shared: &'s Shared<'s>, number: usize, poll: Poll, handle: Handle<'s>) -> Self {
        let seat = &shared.seats[number];
        Self {
            shared,
            seat,
            poll,
            turn: Turn::new(shared.config.client_memory_bytes / shared.seats.len().max(1)),
            executor: Executor::new(handle, shared, seat),
            lingering: Vec::new(),
            sweeps: number == 0,
            turns: 0,
            pausing: false,
            looked_for_idle: Millis::default(),
            quiet: 0,
            swept: clock::now(),
            sweep_every_ms: SWEEP_BUSY_MS,
            flushing: None,
            draining: None,
        }
    }

    /// Serves until the server is stopped and its clients are answered.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.sleep(&mut events)?;
            let now = clock::now();
            self.quiet =
                if events.is_empty() && !self.turn.has_work() { self.quiet.saturating_add(1) } else { 0 };
            let mut woken = false;
            for event in &events {
                if event.token() == WAKER {
                    woken = true;
                } else {
                    self.note(event);
                }
            }
            if woken {
                self.read_mail();
            }
            self.turn(now);
            self.upkeep(now);
            if self.shared.control.level() != Level::Running && self.drain() {
                break;
            }
        }
        self.leave();
        Ok(())
    }

    /// Waits for the kernel, unless somebody waits for us.
    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let polled = if self.turn.has_work() || self.flushing.is_some() {
            self.poll.poll(events, Some(Duration::ZERO))
        } else {
            let timeout = self.until_upkeep();
            self.executor.handle.offline();
            let polled = self.poll.poll(events, timeout);
            self.executor.handle.online();
            polled
        };
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    /// What the kernel says about a client.
    #[inline]
    fn note(&mut self, event: &Event) {
        let key = event.token().0;
        // An event of a client that is gone may name one that came since: it is looked at in vain, no more.
        let Some(connection) = self.turn.connections.get_mut(key) else { return };
        if event.is_readable() || event.is_error() {
            connection.readable = true;
        }
        if event.is_read_closed() || event.is_error() {
            connection.half_closed = true;
        }
        if connection.has_work()
            || (!connection.output.is_empty() && (event.is_writable() || event.is_error()))
        {
            self.turn.enqueue(key);
        }
    }

    /// Reads the messages in the inbox.
    fn read_mail(&mut self) {
        for message in self.seat.receive() {
            match message {
                Message::Newcomer(newcomer) => self.welcome(newcomer),
                Message::Push(client, bytes) => {
                    let counters = &self.seat.counters;
                    self.turn.push(&client, &bytes, counters);
                }
                Message::Kill(client) => {
                    if let Some(key) = self.turn.find(&client) {
                        self.turn.drop_client(key);
                    }
                }
                Message::Survey(number) => self.answer(number),
                Message::Look => {}
            }
        }
        self.let_go();
    }

    /// Notes how all clients are.
    fn answer(&self, number: u64) {
        for (_, connection) in &self.turn.connections {
            connection.client.note(connection.seen_as());
        }
        // Release: what was noted. Pairs with the Acquire loads of `ClientList::step`.
        self.seat.surveyed.fetch_max(number, std::sync::atomic::Ordering::Release);
    }

    /// Takes a client that the acceptor has handed over.
    fn welcome(&mut self, newcomer: Newcomer) {
        let mut connection = Connection::new(newcomer.stream, newcomer.client, newcomer.pin);
        let counters = &self.seat.counters;
        match connection.dialect {
            Dialect::Unknown => {}
            Dialect::Native => counters.native.add(1),
            Dialect::Resp(_) => counters.resp.add(1),
            Dialect::Memcache => counters.memcache.add(1),
        }
        let entry = self.turn.connections.vacant_entry();
        let key = entry.key();
        let interests = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut connection.stream, Token(key), interests).is_err() {
            self.shared.clients.remove(connection.client.id);
            self.seat.load.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            return;
        }
        counters.connections.add(1);
        connection.client.settle(key);
        entry.insert(connection);
        if self.draining.is_some() {
            self.turn.enqueue(key);
        }
    }

    fn turn(&mut self, now: Millis) {
        let counters = &self.seat.counters;
        self.turn.gather(now, counters);
        self.executor.begin(now, self.turn.segments(), self.turn.is_tight());
        let requests = self.turn.segments();
        let timed = requests > 0 && self.turns.is_multiple_of(SAMPLE);
        self.turns += u64::from(requests > 0);
        let start = timed.then(clock::monotonic);
        self.turn.process(&mut self.executor);
        if let Some(start) = start {
            self.executor.note_time(start);
        }
        self.turn.scatter(&mut self.executor, counters);
        calls::count_usual(&mut self.executor);
        counters.commands.add(std::mem::take(&mut self.executor.commands));
        if std::mem::take(&mut self.executor.answers.tallied) {
            counters.memcached.take(&mut self.executor.answers.tallies);
        }
        let errors = std::mem::take(&mut self.executor.answers.errors);
        if errors > 0 {
            counters.errors.add(errors);
            counters.note_codes(&mut self.executor.answers.codes);
        }
        if !self.executor.shown.is_empty() {
            monitor::show(self.shared, &self.executor.shown);
            self.executor.shown.clear();
        }
        self.pausing |= self.executor.paused.is_some();
        self.let_go();
        if self.turn.has_waiting() {
            self.turn.relieve(now, &self.seat.counters);
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        let Self { turn, shared, seat, .. } = self;
        turn.sweep(self.poll.registry(), |connection| {
            shared.clients.remove(connection.client.id);
            seat.counters.connections.sub(1);
            seat.load.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        });
    }

    /// What time brings: lingering clients, expired items, a flush by appointment.
    fn upkeep(&mut self, now: Millis) {
        if !self.turn.lingering.is_empty() {
            let until = clock::monotonic() + LINGER;
            for key in std::mem::take(&mut self.turn.lingering) {
                if let Some(connection) = self.turn.connections.get(key) {
                    self.lingering.push((key, connection.client.id, until));
                }
            }
        }
        if !self.lingering.is_empty() {
            let instant = clock::monotonic();
            let turn = &mut self.turn;
            self.lingering.retain(|&(key, id, until)| {
                let here = turn.connections.get(key).is_some_and(|connection| connection.client.id == id);
                if here && until <= instant {
                    turn.drop_client(key);
                }
                here && until > instant
            });
            self.let_go();
        }
        if self.pausing && self.shared.pause.paused(now).is_none() {
            self.pausing = false;
            self.enqueue_all(|connection| std::mem::take(&mut connection.paused));
        }
        let idle_ms = self.shared.settings.idle_seconds_max().saturating_mul(1000);
        if idle_ms > 0 && now.0.saturating_sub(self.looked_for_idle.0) >= IDLE_LOOK_MS {
            self.looked_for_idle = now;
            self.turn.drop_idle(Millis(now.0.saturating_sub(idle_ms)));
            self.let_go();
        }
        let handle = &mut self.executor.handle;
        // Once per turn, whatever it was spent on: others wait for this to use their memory again.
        handle.quiescent(now);
        if self.quiet > 0 {
            // Twice where nothing happens, so that the grace period ends before the long sleep.
            handle.quiescent(now);
        }
        if self.sweeps && (now.0.saturating_sub(self.swept.0) >= self.sweep_every_ms || now < self.swept) {
            self.swept = now;
            self.shared.tracking.expire(self.shared, now);
            self.shared.rates.measure(now, || self.shared.totals());
            let freed = handle.sweep(now, SWEEP_BLOCKS);
            // Many expired items among those looked at: there are more, so come back soon.
            self.sweep_every_ms = match freed {
                0 => (self.sweep_every_ms * 2).clamp(SWEEP_BUSY_MS, SWEEP_IDLE_MS),
                _ if freed * 8 > u64::from(SWEEP_BLOCKS) => 2,
                _ => SWEEP_BUSY_MS,
            };
            handle.quiescent(now);
        }
        if self.shared.flush_at.is_due(now) {
            self.flushing = Some(0);
            self.seat.counters.flushes.add(1);
        }
        if let Some(cursor) = self.flushing {
            self.executor.enter();
            self.executor.will_remove_all();
            self.flushing = self.executor.handle.flush(now, cursor, FLUSH_BUCKETS);
            self.executor.leave();
            if self.flushing.is_none() {
                self.shared.tracking.flushed(self.shared);
            }
            self.executor.handle.quiescent(now);
        }
    }

    /// For how long nothing of `upkeep` will be due; none if something has to happen first.
    fn until_upkeep(&self) -> Option<Duration> {
        let now = clock::now();
        // What this worker has removed comes back to the cache in its next few quiescent states.
        let mut ms = if self.quiet < QUIET_WAKES || self.turn.has_waiting() { QUIET_MS } else { u64::MAX };
        if self.sweeps {
            ms = (self.swept.0 + self.sweep_every_ms).saturating_sub(now.0).clamp(1, SWEEP_IDLE_MS);
        }
        if self.pausing {
            ms = ms.min(self.shared.pause.until().0.saturating_sub(now.0).max(1));
        }
        if self.shared.settings.idle_seconds_max() > 0 {
            ms = ms.min(IDLE_LOOK_MS);
        }
        if let Some(at) = self.shared.flush_at.get() {
            ms = ms.min(at.0.saturating_sub(now.0).max(1));
        }
        if !self.lingering.is_empty() || self.draining.is_some() {
            ms = ms.min(50);
        }
        (ms < u64::MAX).then(|| Duration::from_millis(ms))
    }

    /// One step towards the end: true when it is reached.
    fn drain(&mut self) -> bool {
        let now = clock::monotonic();
        let Some(until) = self.draining else {
            self.draining = Some(now + Duration::from_millis(self.shared.config.drain_ms_max));
            // What a client has sent until now may lie in its socket only: everybody is read once more.
            for (_, connection) in &mut self.turn.connections {
                connection.readable = true;
            }
            self.enqueue_all(|_| true);
            return false;
        };
        // What was read is answered by now, except where it takes more than a turn. The answers that a socket has not
        // taken are sent first; then the client is told that nothing more comes.
        self.enqueue_all(|connection| {
            let answered = connection.takes_requests() && !connection.input.is_whole();
            if answered {
                connection.close();
            }
            answered
        });
        let ending = self.shared.control.level() == Level::Ending;
        ending || self.turn.is_empty() || now >= until
    }

    fn enqueue_all(&mut self, mut wanted: impl FnMut(&mut Connection) -> bool) {
        let keys: Vec<usize> = self
            .turn
            .connections
            .iter_mut()
            .filter_map(|(key, connection)| wanted(connection).then_some(key))
            .collect();
        for key in keys {
            self.turn.enqueue(key);
        }
    }

    /// Closes what is left.
    fn leave(&mut self) {
        for message in self.seat.receive() {
            if let Message::Newcomer(newcomer) = message {
                self.shared.clients.remove(newcomer.client.id);
            }
        }
        self.answer(u64::MAX);
        let keys: Vec<usize> = self.turn.connections.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.turn.drop_client(key);
        }
        self.let_go();
    }
}

//! What a worker does for its clients, given what is ready and what time it is: a turn, then what time brings.
//!
//! Nothing is waited for, and no clock decides anything but the one that is passed in, so that the simulation
//! (`simulation/`) drives this very code.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crabcache_engine::{Handle, Millis};

use super::batch::Executor;
use super::turn::Turn;
use crate::clock::{self, Moment};
use crate::command::resp::calls;
use crate::command::task::FLUSH_BUCKETS;
use crate::connection::{Connection, Dialect};
use crate::mail::Message;
use crate::monitor;
use crate::seat::{Newcomer, Seat};
use crate::shared::Shared;
use crate::shutdown::Level;
use crate::stats::calls::{SAMPLE, SAMPLE_MS};

/// A client that was told that nothing more comes is let go once it has sent nothing for so long: with nothing unread
/// in its socket the kernel goes on delivering what it has not taken yet.
const LINGER_QUIET_MS: u64 = 1000;
/// One that goes on sending may do so for this long.
const LINGER_MS_MAX: u64 = 10_000;
/// How often expired items are looked for: while there are many, while there are some, and while there are none.
const SWEEP_AGAIN_MS: u64 = 2;
const SWEEP_BUSY_MS: u64 = 100;
const SWEEP_IDLE_MS: u64 = 1000;
/// How long, and how many times, a worker that has nothing to do sleeps before it sleeps until somebody comes.
const QUIET_MS: u64 = 1000;
const QUIET_WAKES: u32 = 5;
/// For so long nothing has to have happened until a worker counts as at rest. It is awake then.
const REST_MS: u64 = QUIET_MS * (QUIET_WAKES as u64 - 1);
/// Blocks, of all shards together, that one look goes through before the clients have their turn again; and the fewest of a shard.
const SWEEP_BLOCKS: u32 = 4096;
const SWEEP_BLOCKS_MIN: u32 = 16;

/// What the kernel says about a client's socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Readiness {
    /// There are bytes to read, or an end, or an error.
    pub(crate) readable: bool,
    /// It takes bytes again.
    pub(crate) writable: bool,
    /// The client has closed its side.
    pub(crate) read_closed: bool,
    /// The connection is broken.
    pub(crate) error: bool,
}

/// A worker without its loop.
#[derive(Debug)]
pub(crate) struct Service<'s> {
    shared: &'s Shared<'s>,
    seat: &'s Seat,
    pub(crate) turn: Turn<'s>,
    executor: Executor<'s>,
    /// Clients that were told that nothing more comes, by key and number, and until when they may linger.
    lingering: Vec<(usize, u64, Millis)>,
    /// The moment of the last turn.
    moment: Moment,
    /// Clients may wait for the end of a pause.
    pausing: bool,
    /// Whether it is the one that looks for expired items: more would only look at the same ones.
    sweeps: bool,
    swept: Millis,
    sweep_every_ms: u64,
    /// Blocks of each shard.
    sweep_blocks: u32,
    /// Turns in which somebody had something to say, since one was timed.
    turns: u64,
    /// When that was.
    timed: Millis,
    /// Turns in which nothing had happened, one after the other.
    quiet: u32,
    /// When something had happened last; none once the memory that it left was given back.
    stirred: Option<Millis>,
    /// Where a flush by appointment has come to.
    flushing: Option<u64>,
    /// Stopping: until when at the latest.
    draining: Option<Millis>,
}

impl<'s> Service<'s> {
    pub(crate) fn new(shared: &'s Shared<'s>, number: usize, handle: Handle<'s>, moment: Moment) -> Self {
        let seat = &shared.seats[number];
        Self {
            shared,
            seat,
            turn: Turn::new(&shared.config, shared.seats.len(), shared.beyond.clone()),
            executor: Executor::new(handle, shared, seat),
            lingering: Vec::new(),
            moment,
            pausing: false,
            sweeps: number == 0,
            // The first one is.
            turns: SAMPLE,
            timed: moment.steady,
            quiet: 0,
            stirred: None,
            swept: moment.steady,
            sweep_every_ms: SWEEP_BUSY_MS,
            sweep_blocks: (SWEEP_BLOCKS / shared.cache.shards()).max(SWEEP_BLOCKS_MIN),
            flushing: None,
            draining: None,
        }
    }

    /// The key of the client that will be admitted next.
    pub(crate) fn next_key(&self) -> usize {
        self.turn.connections.vacant_key()
    }

    /// Takes a client, under the key that [`Service::next_key`] gave.
    pub(crate) fn admit(&mut self, newcomer: Newcomer, moment: Moment) {
        let connection = Connection::new(newcomer.stream, newcomer.client, newcomer.pin, moment.steady);
        let counters = &self.seat.counters;
        match connection.dialect {
            Dialect::Unknown => {}
            Dialect::Native => counters.native.add(1),
            Dialect::Resp(_) => counters.resp.add(1),
            Dialect::Memcache => counters.memcache.add(1),
        }
        counters.connections.add(1);
        connection.client.settle(self.next_key());
        let known = self.shared.clients.find(connection.client.id).is_some();
        let key = self.turn.connections.insert(connection);
        if !known {
            // It was killed on its way here, and nobody would find it any more.
            self.turn.drop_client(key);
        }
        if self.draining.is_some() {
            self.turn.enqueue(key);
        }
    }

    /// Forgets a client that cannot be admitted.
    pub(crate) fn turn_away(&self, newcomer: &Newcomer) {
        self.shared.clients.remove(newcomer.client.id);
        self.seat.load.fetch_sub(1, Ordering::Relaxed);
    }

    /// It is this moment now: for messages that are read before the next turn.
    pub(crate) fn wake(&mut self, moment: Moment) {
        self.moment = moment;
        self.turn.wake(moment.steady);
    }

    /// Reads a message.
    pub(crate) fn read(&mut self, message: Message) {
        match message {
            Message::Newcomer(newcomer) => self.turn_away(&newcomer),
            Message::Push(client, text) => {
                self.seat.took(&text, &client);
                self.turn.push(&client, &text, &self.seat.counters);
            }
            Message::Stale(client) => {
                let stale = self.seat.take_stale(&client);
                self.turn.invalidate(&client, stale, &self.seat.counters);
            }
            Message::Overrun(client) => self.turn.overrun(&client, &self.seat.counters),
            Message::Kill(client) => self.turn.kill(&client),
            Message::Survey(number) => self.survey(number),
            Message::Look => {}
        }
    }

    /// Notes how all clients are.
    fn survey(&self, number: u64) {
        for (_, connection) in &self.turn.connections {
            connection.client.note(connection.seen_as(self.moment));
        }
        // Release: what was noted. Pairs with the Acquire loads of `ClientList::step`.
        self.seat.surveyed.fetch_max(number, Ordering::Release);
    }

    /// Notes what the kernel says about the client `key`.
    #[inline]
    pub(crate) fn note(&mut self, key: usize, readiness: Readiness) {
        // What is said of a client that is gone may name one that came since: it is looked at in vain, no more.
        let Some(connection) = self.turn.connections.get_mut(key) else { return };
        if readiness.readable || readiness.error {
            connection.readable = true;
        }
        if readiness.read_closed || readiness.error {
            connection.half_closed = true;
        }
        if connection.has_work() || (!connection.output.is_empty() && (readiness.writable || readiness.error))
        {
            self.turn.enqueue(key);
        } else if (connection.waits || connection.paused)
            && readiness.error
            && connection.executing().is_none()
        {
            // Nobody is there to be answered, so nobody has to wait for it.
            self.turn.drop_client(key);
        }
    }

    /// Goes through a turn, and looks after what time brings; `nothing_new`: the kernel had nothing to say. True at the
    /// end: the server stops, and all is answered.
    pub(crate) fn turn(&mut self, moment: Moment, nothing_new: bool) -> bool {
        self.moment = moment;
        self.quiet = if nothing_new && !self.turn.has_work() { self.quiet.saturating_add(1) } else { 0 };
        if self.quiet == 0 {
            self.stirred = Some(moment.steady);
        }
        let counters = &self.seat.counters;
        self.turn.gather(moment.steady, counters);
        self.executor.begin(moment.wall, self.turn.segments(), self.turn.is_tight());
        let requests = self.turn.segments() > 0;
        self.turns += u64::from(requests);
        let since_ms = moment.steady.0.saturating_sub(self.timed.0);
        let timed = requests && (self.turns >= SAMPLE || since_ms >= SAMPLE_MS);
        let start = timed.then(clock::monotonic);
        self.turn.process(&mut self.executor);
        if start.is_some_and(|start| self.executor.note_time(start)) {
            (self.turns, self.timed) = (0, moment.steady);
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
            counters.no_room.add(std::mem::take(&mut self.executor.answers.no_place));
            counters.note_codes(&mut self.executor.answers.codes);
        }
        if !self.executor.shown.is_empty() {
            // Not kept: a line is up to four times as long as the longest request.
            let lines = std::mem::take(&mut self.executor.shown);
            monitor::show(self.shared, &lines);
        }
        self.pausing |= self.executor.paused.is_some();
        self.turn.enforce_deadlines(&self.shared.settings, counters);
        self.let_go();
        if self.turn.has_waiting() {
            // With the memory of those who have just gone.
            self.turn.relieve(counters);
            self.let_go();
        }
        self.upkeep(moment);
        self.shared.control.level() != Level::Running && self.drain(moment.steady)
    }

    /// Whether nothing has happened for a while, since just now.
    pub(crate) fn has_come_to_rest(&mut self) -> bool {
        self.stirred.take_if(|at| self.moment.steady.0.saturating_sub(at.0) >= REST_MS).is_some()
    }

    /// Before a long sleep. What cannot be given back now, since others still may be looking at it, is in a later upkeep.
    pub(crate) fn rest(&mut self) {
        self.executor.handle().rest();
    }

    /// Whether the next turn has something to do that is already known.
    pub(crate) fn has_work(&self) -> bool {
        self.turn.has_work() || self.flushing.is_some() || self.shared.tracking.has_forgotten()
    }

    /// Before sleeping.
    pub(crate) fn offline(&mut self) {
        self.executor.handle().offline();
    }

    /// After sleeping.
    pub(crate) fn online(&mut self) {
        self.executor.handle().online();
    }

    pub(crate) fn let_go(&mut self) {
        let Self { turn, shared, seat, .. } = self;
        turn.sweep(|connection| {
            shared.clients.remove(connection.client.id);
            seat.counters.connections.sub(1);
            seat.load.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// What time brings: lingering clients, expired items, a flush by appointment.
    fn upkeep(&mut self, Moment { wall, steady }: Moment) {
        self.watch_lingering(steady);
        self.shared.tracking.look_for_cut_off(self.shared);
        if self.pausing && self.shared.pause.paused(wall).is_none() {
            self.pausing = false;
            self.enqueue_all(|connection| std::mem::take(&mut connection.paused));
        }
        let sweeps = self.sweeps && steady.0 - self.swept.0 >= self.sweep_every_ms;
        let mut more = false;
        if sweeps {
            self.swept = steady;
            more = self.shared.tracking.expire(self.shared, wall);
            self.shared.rates.measure(wall, || self.shared.totals());
        }
        let (quiet, blocks) = (self.quiet > 0, self.sweep_blocks);
        let freed = self.executor.aside_of_turns(|handle| {
            // Once per turn, whatever it was spent on: others wait for this to use their memory again.
            handle.quiescent(wall);
            if quiet {
                // Twice where nothing happens, so that the grace period ends before the long sleep.
                handle.quiescent(wall);
            }
            sweeps.then(|| {
                let freed = handle.sweep(wall, blocks);
                handle.quiescent(wall);
                freed
            })
        });
        if let Some(freed) = freed {
            // Many expired items among those looked at: there are more, so come back soon.
            self.sweep_every_ms = match freed {
                _ if more => SWEEP_AGAIN_MS,
                0 => (self.sweep_every_ms * 2).clamp(SWEEP_BUSY_MS, SWEEP_IDLE_MS),
                _ if freed * 8 > u64::from(SWEEP_BLOCKS) => SWEEP_AGAIN_MS,
                _ => SWEEP_BUSY_MS,
            };
        }
        if self.shared.flush_at.is_due(wall) {
            self.flushing = Some(0);
            self.seat.counters.flushes.add(1);
        }
        if let Some(cursor) = self.flushing {
            self.executor.enter();
            self.executor.will_remove_all();
            self.flushing = self.executor.handle().flush(wall, cursor, FLUSH_BUCKETS);
            self.executor.leave();
            if self.flushing.is_none() {
                self.shared.tracking.flushed(self.shared);
            }
            self.executor.handle().quiescent(wall);
        }
        self.shared.tracking.end_turn(self.shared);
        self.shared.tracking.drop_some();
    }

    fn watch_lingering(&mut self, now: Millis) {
        for key in std::mem::take(&mut self.turn.lingering) {
            if let Some(connection) = self.turn.connections.get(key) {
                self.lingering.push((key, connection.client.id, now.after(LINGER_MS_MAX)));
            }
        }
        if self.lingering.is_empty() {
            return;
        }
        let turn = &mut self.turn;
        self.lingering.retain(|&(key, id, until)| {
            let Some(connection) = turn.connections.get(key) else { return false };
            let here = connection.client.id == id;
            let over = until <= now || connection.moved.after(LINGER_QUIET_MS) <= now;
            if here && over {
                turn.drop_client(key);
            }
            here && !over
        });
        self.let_go();
    }

    /// For how long nothing of `upkeep` will be due; none if something has to happen first.
    pub(crate) fn until_upkeep(&self, Moment { wall, steady }: Moment) -> Option<Duration> {
        // What this worker has removed comes back to the cache in its next few quiescent states.
        let mut ms = if self.quiet < QUIET_WAKES || self.turn.has_waiting() { QUIET_MS } else { u64::MAX };
        if self.sweeps {
            ms = (self.swept.0 + self.sweep_every_ms).saturating_sub(steady.0).clamp(1, SWEEP_IDLE_MS);
        }
        if self.pausing {
            ms = ms.min(self.shared.pause.until().0.saturating_sub(wall.0).max(1));
        }
        if let Some(at) = self.shared.flush_at.get() {
            ms = ms.min(at.0.saturating_sub(wall.0).max(1));
        }
        if !self.lingering.is_empty() || self.draining.is_some() {
            ms = ms.min(50);
        }
        if let Some(at) = self.turn.next_look(self.shared.settings.idle_ms_max()) {
            ms = ms.min(at.0.saturating_sub(steady.0).max(1));
        }
        (ms < u64::MAX).then(|| Duration::from_millis(ms))
    }

    /// One step towards the end: true when it is reached.
    fn drain(&mut self, now: Millis) -> bool {
        let Some(until) = self.draining else {
            self.draining = Some(now.after(self.shared.config.drain_ms_max));
            // What a client has sent until now may lie in its socket only: everybody is read once more.
            for (_, connection) in &mut self.turn.connections {
                connection.readable = true;
            }
            self.enqueue_all(|_| true);
            return false;
        };
        // Everybody has been read but those who were left out, and what was read is answered, except where it takes more than a
        // turn. The answers that a socket has not taken are sent first; then the client is told that nothing more comes.
        self.enqueue_all(|connection| {
            let answered =
                connection.takes_requests() && !connection.input.is_whole() && !connection.left_out;
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
    pub(crate) fn leave(&mut self) {
        self.survey(u64::MAX);
        let keys: Vec<usize> = self.turn.connections.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.turn.drop_client(key);
        }
        self.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Pin};
    use crate::pubsub::{ENDED_AT_ONCE, Kind};
    use crate::reactor::budget;
    use crate::simulation::random::Random;
    use crate::simulation::setup::{connect, moment, newcomer, read_mail, send, with_server};
    use crate::simulation::wire::{self, End, Peer};
    use crate::tracking::{Options, PREFIXES_MAX, Tracked};

    /// The bytes that a client's socket takes.
    const ROOM: usize = 64 << 10;

    fn with_clients(work: impl FnOnce(&Shared<'_>, &mut Service<'_>, &[(usize, Peer); 2])) {
        with_server(2 << 20, Config::default(), |shared| {
            let mut service = Service::new(shared, 0, shared.cache.handle().expect("the first"), moment(0));
            let clients = [1, 2].map(|number| connect(shared, &mut service, number, ROOM));
            work(shared, &mut service, &clients);
            service.leave();
        });
    }

    fn say(service: &mut Service<'_>, client: &(usize, Peer), request: &[u8], ms: u64) {
        send(service, client, request);
        service.turn(moment(ms), false);
    }

    #[test]
    fn who_has_gone_does_not_wait_for_the_end_of_a_pause() {
        with_clients(|_, service, [one, other]| {
            say(service, one, b"CLIENT PAUSE 100000\r\n", 1);
            say(service, other, b"SET a b\r\n", 2);
            assert!(service.turn.connections[other.0].paused);
            other.1.end(End::Reset);
            service.note(other.0, other.1.poll().expect("it is gone"));
            service.turn(moment(3), false);
            assert!(service.turn.connections.get(other.0).is_none(), "it stays");
        });
    }

    #[test]
    fn who_was_idle_has_time_to_take_a_message() {
        with_clients(|shared, service, [one, other]| {
            say(service, other, b"SUBSCRIBE a\r\n", 1);
            let text = "t".repeat(2 * ROOM);
            let request = format!("*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n${}\r\n{text}\r\n", text.len());
            say(service, one, request.as_bytes(), 60_000);
            while service.has_work() {
                service.turn(moment(60_000), false);
            }
            service.wake(moment(60_001));
            read_mail(shared, service);
            let connection = &service.turn.connections[other.0];
            assert!(!connection.output.is_empty(), "its socket takes all of it");
            assert!(!budget::rests(connection, Millis(60_002), 600));
        });
    }

    #[test]
    fn who_is_killed_on_its_way_is_not_served() {
        with_clients(|shared, service, _| {
            let (socket, _peer) = wire::connect(Random::new(3), ROOM, usize::MAX);
            let newcomer = newcomer(shared, socket, Pin::Any);
            shared.kill(&newcomer.client);
            read_mail(shared, service);
            let key = service.next_key();
            service.admit(newcomer, moment(1));
            service.let_go();
            assert!(service.turn.connections.get(key).is_none());
        });
    }

    /// Lets so many clients be told of every change to keys that begin as none does.
    fn tracked(shared: &Shared<'_>, clients: usize) -> Vec<Tracked> {
        let options = Options {
            broadcast: true,
            prefixes: (0..PREFIXES_MAX as u8).map(|number| [0, number][..].into()).collect(),
            ..Options::default()
        };
        let client = || shared.clients.add("simulated:0".to_owned(), "simulated:0".to_owned(), 0, 0);
        (0..clients).map(|_| Tracked::new(&shared.tracking, &client(), options.clone())).collect()
    }

    #[test]
    fn whoever_changes_what_many_are_told_of_lets_others_be_served_between() {
        with_clients(|shared, service, [one, other]| {
            let _tracked = tracked(shared, 10);
            send(service, one, &b"SET a b\r\n".repeat(100));
            send(service, other, b"GET c\r\n");
            service.turn(moment(1), false);
            let answered = one.1.take(usize::MAX).len() / b"+OK\r\n".len();
            assert!(answered < 20, "{answered} at once");
            service.turn(moment(2), false);
            assert_eq!(other.1.take(usize::MAX), b"$-1\r\n");
            assert!(service.turn.connections[one.0].toils && !service.turn.connections[other.0].toils);
            while service.has_work() {
                service.turn(moment(3), false);
            }
            assert_eq!(one.1.take(usize::MAX).len() / b"+OK\r\n".len() + answered, 100);
        });
    }

    #[test]
    fn a_change_that_many_are_told_of_is_the_work_of_whoever_made_it() {
        with_clients(|shared, service, [one, other]| {
            let _tracked = tracked(shared, 20);
            // The batch of the first is not whole.
            send(service, one, b"SET a b\r\n");
            send(service, other, b"PING\r\n");
            service.turn(moment(1), false);
            assert!(service.turn.connections[one.0].toils && !service.turn.connections[other.0].toils);
        });
    }

    #[test]
    fn many_subscriptions_are_work() {
        with_clients(|_, service, [one, _]| {
            let names: Vec<_> = (0..100).map(|number| number.to_string()).collect();
            let subscribe = format!("SUBSCRIBE {}", names.join(" "));
            for (request, toils) in [(&*subscribe, true), ("PING", false), ("UNSUBSCRIBE", true)] {
                say(service, one, format!("{request}\r\n").as_bytes(), 1);
                assert_eq!(service.turn.connections[one.0].toils, toils, "{request}");
            }
        });
    }

    #[test]
    fn many_subscriptions_end_some_at_a_time() {
        const MANY: usize = 3 * ENDED_AT_ONCE - 1;
        for request in [None, Some("UNSUBSCRIBE"), Some("RESET")] {
            with_clients(|shared, service, [one, _]| {
                for number in 0..MANY {
                    say(service, one, format!("SUBSCRIBE {number:04}\r\n").as_bytes(), 1);
                }
                one.1.take(usize::MAX);
                let mut left = shared.channels.len(Kind::Channel);
                assert_eq!(left, MANY);
                if let Some(request) = request {
                    say(service, one, format!("{request}\r\nPING\r\n").as_bytes(), 1);
                } else {
                    one.1.end(End::Reset);
                    service.note(one.0, one.1.poll().expect("it is gone"));
                    service.turn(moment(1), false);
                }
                while left > 0 {
                    let now = shared.channels.len(Kind::Channel);
                    // There are up to three slices in a turn.
                    assert!((1..=3 * ENDED_AT_ONCE).contains(&(left - now)), "{request:?}: {left} {now}");
                    left = now;
                    assert!(service.has_work() || left == 0);
                    service.turn(moment(1), false);
                }
                while service.has_work() {
                    service.turn(moment(1), false);
                }
                let sent = String::from_utf8(one.1.take(usize::MAX)).expect("text");
                match request {
                    None => {}
                    Some("RESET") => assert_eq!(sent, "+RESET\r\n+PONG\r\n"),
                    Some(_) => {
                        let counts =
                            sent.lines().filter_map(|line| line.strip_prefix(':')?.parse::<usize>().ok());
                        assert!(counts.eq((0..MANY).rev()), "{sent}");
                        assert!(sent.ends_with(":0\r\n+PONG\r\n"));
                    }
                }
            });
        }
    }

    #[test]
    fn of_many_keys_that_expire_more_are_told_of_soon() {
        with_clients(|shared, service, [one, _]| {
            say(service, one, b"CLIENT TRACKING ON\r\n", 1);
            let id = service.turn.connections[one.0].client.id;
            for number in 0..1500_u32 {
                shared.tracking.read(shared, id, &number.to_le_bytes(), 0);
                shared.tracking.expires(&number.to_le_bytes(), moment(10).wall);
            }
            for ms in [1000, 1000 + SWEEP_AGAIN_MS] {
                assert_ne!(shared.tracking.figures().keys, 0);
                service.turn(moment(ms), true);
            }
            assert_eq!(shared.tracking.figures().keys, 0);
        });
    }

    #[test]
    fn rest_is_a_matter_of_time_and_comes_once() {
        with_clients(|_, service, [one, _]| {
            say(service, one, b"PING\r\n", 1000);
            // Woken often, as the one is that removes expired items.
            let rests = (1010..20_000).step_by(10).filter(|&ms| {
                service.turn(moment(ms), true);
                service.has_come_to_rest()
            });
            assert_eq!(rests.collect::<Vec<_>>(), [1000 + REST_MS]);
        });
    }
}

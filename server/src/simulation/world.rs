//! A server of one worker, its clients, and time.

use std::sync::atomic::Ordering;

use crabcache_engine::{Handle, Millis};

use super::client::Client;
use super::random::Random;
use super::script::Habits;
use super::setup::{moment, newcomer, read_mail, with_server};
use super::wire;
use crate::config::{Config, Pin};
use crate::reactor::service::Service;
use crate::shared::Shared;
use crate::shutdown::Level;

/// Steps after which something has got stuck.
const STEPS_MAX: usize = 60_000;
/// Turns after which a small request must be answered, whatever else goes on.
const TURNS_MAX: usize = 60;

/// Lets a seed's clients and network have their way. Panics if they are not served as they should be. Tells whether any value
/// was received into the arena.
pub(crate) fn run(seed: u64) -> bool {
    let mut random = Random::new(seed);
    let small_cache = random.one_in(3);
    let short_of_memory = random.one_in(2);
    let memory = if small_cache { 384 << 10 } else { 4 << 20 };
    let config = Config {
        memory_bytes: memory,
        client_memory_bytes: if short_of_memory { 0 } else { 64 << 20 },
        idle_seconds_max: 0,
        request_ms_max: 0,
        ..Config::default()
    };
    let mut received = false;
    with_server(memory, config, |shared| {
        let bounds = shared.bounds;
        let value_len_max = if random.one_in(2) { 300 } else { (bounds.item_len_max / 2).min(40_000) };
        let habits = Habits {
            value_len_max,
            always_large: value_len_max > 300 && random.one_in(2),
            item_len_max: bounds.item_len_max,
            request_len_max: bounds.request_len_max,
            forgetful: small_cache,
            late_ms_max: [0, 100, 5000][random.below(3)],
        };
        let mut world = World::new(shared, habits, short_of_memory, random);
        world.run();
        received = world.received;
    });
    received
}

struct World<'s> {
    shared: &'s Shared<'s>,
    service: Service<'s>,
    /// Another thread, that keeps what was removed from being used again for a while.
    other: Option<Handle<'s>>,
    habits: Habits,
    short_of_memory: bool,
    random: Random,
    clients: Vec<(usize, Client)>,
    to_come: usize,
    stop_at: Option<usize>,
    stopped: Option<u64>,
    now: u64,
    /// Turns for which each client has waited for the answer to a small request.
    waited: Vec<usize>,
    /// Some value was received into the arena.
    received: bool,
}

impl<'s> World<'s> {
    fn new(shared: &'s Shared<'s>, habits: Habits, short_of_memory: bool, mut random: Random) -> Self {
        let now = 1_000_000;
        let handle = shared.cache.handle().expect("a handle");
        let other = habits.forgetful && random.one_in(2);
        let crowd = if random.one_in(4) || habits.always_large { 24 } else { 8 };
        Self {
            shared,
            service: Service::new(shared, 0, handle, moment(now)),
            other: other.then(|| shared.cache.handle().expect("a handle")),
            habits,
            short_of_memory,
            clients: Vec::new(),
            to_come: 1 + random.below(crowd),
            stop_at: random.one_in(4).then(|| random.below(300)),
            stopped: None,
            random,
            now,
            waited: Vec::new(),
            received: false,
        }
    }

    fn run(&mut self) {
        for step in 0..STEPS_MAX {
            if self.to_come > 0 && (self.clients.is_empty() || self.random.one_in(4)) {
                self.to_come -= 1;
                self.connect();
            }
            if self.stop_at == Some(step) {
                self.stopped = Some(self.now);
                self.shared.control.raise(Level::Draining);
            }
            if self.step() {
                return self.end();
            }
            if self.to_come == 0
                && self.service.turn.is_empty()
                && self.clients.iter().all(|(_, client)| client.over)
            {
                return self.end();
            }
        }
        let clients = self.clients.iter().filter(|(key, client)| {
            !client.over
                || self.service.turn.connections.get(*key).is_some_and(|_| !client.peer().is_closed())
        });
        let clients: Vec<String> = clients.map(|(_, client)| client.describe()).collect();
        panic!("it does not come to an end:\n{}\n{:?}", clients.join("\n"), self.service.turn.connections);
    }

    fn connect(&mut self) {
        let room = [1000, 64 << 10][self.random.below(2)];
        let room = 100 + self.random.below(room);
        let interrupts = [8, 1000][self.random.below(2)];
        let (socket, peer) = wire::connect(self.random.fork(), room, interrupts);
        let client = Client::new(self.clients.len(), peer, &self.habits, self.random.fork());
        let pin = if self.random.one_in(2) { Pin::Any } else { client.pin() };
        let key = self.service.next_key();
        self.service.admit(newcomer(self.shared, socket, pin), moment(self.now));
        self.clients.push((key, client));
        self.waited.push(0);
    }

    /// Clients act, the kernel tells what is ready, the worker has a turn. True: the worker has left.
    fn step(&mut self) -> bool {
        for (_, client) in &mut self.clients {
            client.act(self.now);
        }
        let events = self.poll();
        if !self.service.has_work() {
            self.service.offline();
            self.service.online();
            let later =
                self.service.until_upkeep(moment(self.now)).map_or(10, |until| until.as_millis() as u64);
            self.now += if events == 0 { 1 + self.random.below(later.min(200) as usize) as u64 } else { 0 };
        }
        self.now += u64::from(self.random.one_in(2));
        self.hold_memory_back();
        read_mail(self.shared, &mut self.service);
        let over = self.service.turn(moment(self.now), events == 0);
        self.service.turn.verify();
        self.received |= self.shared.seats[0].reserved.load(Ordering::Relaxed) > 0;
        let stopping = self.shared.control.level() != Level::Running;
        for ((_, client), waited) in self.clients.iter_mut().zip(&mut self.waited) {
            client.check(stopping);
            let small = client.is_prompt() && self.habits.value_len_max <= 300 && client.waits();
            *waited = if small && !client.over { *waited + 1 } else { 0 };
            assert!(*waited < TURNS_MAX, "waits for {waited} turns: {}", client.describe());
        }
        over
    }

    /// Tells the worker about some of those of whom there is something to tell, in any order.
    fn poll(&mut self) -> usize {
        let mut changed: Vec<usize> =
            (0..self.clients.len()).filter(|&at| self.clients[at].1.peer().is_changed()).collect();
        let mut told = 0;
        while !changed.is_empty() {
            let at = changed.swap_remove(self.random.below(changed.len()));
            if self.random.one_in(4) {
                continue;
            }
            let (key, client) = &self.clients[at];
            if let Some(readiness) = client.peer().poll() {
                self.service.note(*key, readiness);
                told += 1;
            }
        }
        told
    }

    fn hold_memory_back(&mut self) {
        let lets_go = self.random.one_in(3);
        if let Some(other) = &mut self.other {
            if lets_go {
                other.quiescent(Millis(self.now));
            }
            if self.random.one_in(50) {
                other.offline();
            } else {
                other.online();
            }
        }
    }

    /// All have left: nothing is left of them.
    fn end(&mut self) {
        self.service.leave();
        let stopping = self.stopped.is_some();
        for (_, client) in &mut self.clients {
            if !client.over {
                client.act(u64::MAX);
                client.check(stopping);
            }
        }
        self.service.turn.verify();
        assert!(self.service.turn.is_empty());
        assert!(!self.service.turn.has_waiting() || stopping);
        assert_eq!(self.shared.seats[0].load.load(Ordering::Relaxed), 0);
        assert_eq!(self.shared.seats[0].reserved.load(Ordering::Relaxed), 0, "blocks were not given back");
        assert!(self.shared.clients.all().is_empty());
        let drain_ms_max = self.shared.config.drain_ms_max;
        let closes = self.shared.seats[0].counters.memory_closes.get() as usize;
        let cut_off = self.clients.iter().map(|(_, client)| client).filter(|client| client.cut_off);
        let cut_off: Vec<String> = cut_off.map(Client::describe).collect();
        assert!(
            cut_off.len() <= closes || self.stopped.is_some_and(|at| self.now - at >= drain_ms_max),
            "cut off, though only {closes} for their memory (stop at {:?}, now {}):\n{}",
            self.stopped,
            self.now,
            cut_off.join("\n")
        );
        assert!(closes == 0 || self.short_of_memory, "there was memory enough");
    }
}

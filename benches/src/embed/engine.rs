//! The engine as an embedder uses it: a handle for each thread, a clock read and `quiescent` once a turn of 32 operations.

use std::thread;
use std::time::{Duration, Instant};

use crabcache_engine::{Cache, Config, Handle, Millis, Op, OpenError, Outcome, Sink, StoreError, Value};

use super::measure::{Contender, Operation, TURN, Tally, Work, first_byte};
use crate::process::CpuTime;

/// So many times in a row a put may meet pressure before it is given up: a second at least.
const TRIES_MAX: u32 = 10_000;
/// So many of these only give up the processor; the others sleep, for the thread that holds back memory is not running.
const YIELDS_MAX: u32 = 20;
/// How long they sleep.
const NAP: Duration = Duration::from_micros(100);

/// How operations are handed to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By `Handle::get` and `Handle::put`.
    OneByOne,
    /// By `Handle::get_many` and `Handle::execute_into`, 32 at a time.
    Batches,
}

/// An engine that takes part.
#[derive(Debug)]
pub struct Engine<'r> {
    cache: Cache<'r>,
    mode: Mode,
    epoch: Instant,
}

impl<'r> Engine<'r> {
    /// Name of the engine in the mode that an application without batches uses.
    pub const ONE_BY_ONE: &'static str = "engine, one by one";
    /// Name of the engine in the mode that it is made for.
    pub const BATCHES: &'static str = "engine, batches";

    /// An empty cache in this region.
    pub fn new(region: &'r mut [u8], mode: Mode, shards: u32, threads_max: u32) -> Result<Self, OpenError> {
        // One more handle, to look at values with.
        let config = Config { shards, handles_max: threads_max + 1, seed: [2, 3, 5, 7], ..Config::default() };
        Ok(Self { cache: Cache::in_filled(region, config)?, mode, epoch: Instant::now() })
    }

    fn handle(&self) -> Handle<'_> {
        self.cache.handle().expect("a handle for each thread")
    }

    fn now(&self) -> Millis {
        Millis(self.epoch.elapsed().as_millis() as u64)
    }

    fn get_one_by_one(&self, handle: &mut Handle<'_>, work: &Work<'_>, tally: &mut Tally) {
        for turn in work.keys.chunks(TURN * work.key_len) {
            let now = self.now();
            for key in turn.chunks_exact(work.key_len) {
                if let Some(value) = handle.get(now, key) {
                    tally.hits += 1;
                    tally.sum += first_byte(value.bytes());
                }
            }
            handle.quiescent(now);
        }
    }

    fn put_one_by_one(&self, handle: &mut Handle<'_>, work: &Work<'_>, tally: &mut Tally) {
        let mut number = 0;
        for turn in work.keys.chunks(TURN * work.key_len) {
            let now = self.now();
            for key in turn.chunks_exact(work.key_len) {
                put(handle, now, key, work.value(number), tally);
                number += 1;
            }
            handle.quiescent(now);
        }
    }

    fn get_batches(&self, handle: &mut Handle<'_>, work: &Work<'_>, tally: &mut Tally) {
        let mut batch = [&[][..]; TURN];
        for turn in work.keys.chunks(TURN * work.key_len) {
            let keys = turn.chunks_exact(work.key_len);
            let len = keys.len();
            batch.iter_mut().zip(keys).for_each(|(place, key)| *place = key);
            let now = self.now();
            handle.get_many(now, &batch[..len], |_, value| {
                if let Some(value) = value {
                    tally.hits += 1;
                    tally.sum += first_byte(value.bytes());
                }
            });
            handle.quiescent(now);
        }
    }

    fn put_batches(&self, handle: &mut Handle<'_>, work: &Work<'_>, tally: &mut Tally) {
        let mut ops = [Op::get(&[]); TURN];
        let mut number = 0;
        for turn in work.keys.chunks(TURN * work.key_len) {
            let keys = turn.chunks_exact(work.key_len);
            let len = keys.len();
            for (op, key) in ops.iter_mut().zip(keys) {
                *op = Op::put(key, work.value(number));
                number += 1;
            }
            let now = self.now();
            execute(handle, now, &ops[..len], tally);
            handle.quiescent(now);
        }
    }
}

impl Contender for Engine<'_> {
    fn name(&self) -> &'static str {
        match self.mode {
            Mode::OneByOne => Self::ONE_BY_ONE,
            Mode::Batches => Self::BATCHES,
        }
    }

    fn items(&self) -> u64 {
        self.cache.stats().items
    }

    fn run(&self, work: &Work<'_>, start: &dyn Fn() -> CpuTime) -> Tally {
        let mut handle = self.handle();
        let mut tally = Tally { operations: work.len() as u64, ..Tally::default() };
        let start = start();
        match (self.mode, work.operation) {
            (Mode::Batches, Operation::Get) => self.get_batches(&mut handle, work, &mut tally),
            (Mode::Batches, Operation::Put) => self.put_batches(&mut handle, work, &mut tally),
            (Mode::OneByOne, Operation::Get) => self.get_one_by_one(&mut handle, work, &mut tally),
            (Mode::OneByOne, Operation::Put) => self.put_one_by_one(&mut handle, work, &mut tally),
        }
        Tally { cpu: start.elapsed(), ..tally }
    }

    fn value(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.handle().get(self.now(), key).map(|value| value.bytes().to_vec())
    }

    fn own_bytes(&self) -> Option<u64> {
        let stats = self.cache.stats();
        Some(stats.used_bytes + stats.index_bytes)
    }
}

/// Stores a value, with the patience that [`StoreError::Pressure`] asks for.
fn put(handle: &mut Handle<'_>, now: Millis, key: &[u8], value: &[u8], tally: &mut Tally) {
    for tries in 0..TRIES_MAX {
        match handle.put(now, key, value) {
            Ok(()) => return,
            Err(StoreError::Pressure) => wait(handle, now, tries, tally),
            Err(_) => break,
        }
    }
    tally.refused += 1;
}

/// Executes a batch, with the same patience.
fn execute(handle: &mut Handle<'_>, now: Millis, ops: &[Op<'_>], tally: &mut Tally) {
    let (mut done, mut tries) = (0, 0);
    while done < ops.len() {
        let executed = handle.execute_into(now, &ops[done..], &mut Look(tally));
        done += executed;
        if done < ops.len() {
            tries = if executed == 0 { tries + 1 } else { 0 };
            wait(handle, now, tries, tally);
            if tries == TRIES_MAX {
                tally.refused += 1;
                (done, tries) = (done + 1, 0);
            }
        }
    }
}

/// Lets those who hold back memory go on.
fn wait(handle: &mut Handle<'_>, now: Millis, tries: u32, tally: &mut Tally) {
    tally.pressed += 1;
    handle.quiescent(now);
    if tries < YIELDS_MAX {
        thread::yield_now();
    } else {
        thread::sleep(NAP);
    }
}

/// Looks at what came of puts.
struct Look<'t>(&'t mut Tally);

impl Sink for Look<'_> {
    #[inline(always)]
    fn take(&mut self, _: usize, outcome: Outcome<'_>) {
        if let Outcome::Refused(_) = outcome {
            self.0.refused += 1;
        }
    }

    #[inline(always)]
    fn replaced<'v>(&mut self, _: usize, _: impl FnOnce() -> Value<'v>) {}
}

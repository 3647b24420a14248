//! One run: a cache in a region so small that it fills, several handles used in turn, and a clock that jumps.

use std::collections::HashMap;
use std::mem::MaybeUninit;

use crabcache_engine::{
    Action, ArenaRef, BATCH, Cache, Condition, Config, Count, Delta, End, Expiry, Handle, Millis,
};
use crabcache_engine::{Invalidate, Lease, Op, Outcome, Put, Recache, TouchCondition};

use crate::model::Model;
use crate::steps::{Act, Expires, Key, Run, Step, TouchWhen, When};

/// A few of the smallest shards.
const REGION_BYTES: usize = 96 << 10;
const HANDLES: usize = 3;
/// Values that are held to be looked at again.
const HELD_MAX: usize = 64;
/// So often everything is quiescent before a put that still finds no room shows that the cache is stuck.
const PATIENCE: usize = 1000;

/// A value that was read: through which handle, where, and what it was.
struct Held {
    handle: usize,
    reference: ArenaRef,
    bytes: Vec<u8>,
}

struct World<'c> {
    cache: &'c Cache<'c>,
    handles: Vec<Handle<'c>>,
    model: Model,
    now: Millis,
    held: Vec<Held>,
    /// The version that was last read, by key.
    seen: HashMap<Vec<u8>, u64>,
    /// Versions that were given.
    given: u64,
}

/// Carries a run out.
///
/// # Panics
/// If the engine lies, or is stuck.
pub fn run(run: &Run) {
    let mut region = vec![MaybeUninit::uninit(); REGION_BYTES];
    let config = Config {
        shards: 1 << (run.shards & 1),
        handles_max: HANDLES as u32,
        seed: [run.seed, 1, 2, 3],
        ..Config::default()
    };
    let cache = Cache::new(&mut region, config).expect("the region is large enough");
    let handles = (0..HANDLES).map(|_| cache.handle().expect("none is taken")).collect();
    let (model, held, seen) = (Model::default(), Vec::new(), HashMap::new());
    let mut world = World { cache: &cache, handles, model, now: Millis(1 << 40), held, seen, given: 0 };
    run.steps.iter().for_each(|step| world.step(step));
    world.reread();
    world.scan(0, 7);
    world.is_not_stuck();
}

impl<'c> World<'c> {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Batch(handle, ref ops) => self.execute(handle, ops),
            Step::One(handle, key, act) => self.execute(handle, &[(key, act)]),
            Step::Fill(handle, first, count, len) => {
                let put =
                    Act::Put(crate::steps::Text::Long(first, len % 2048), 0, Expires::Never, When::Always);
                let keys = (0..count).map(|i| (Key(first.wrapping_add(i)), put));
                self.execute(handle, &keys.collect::<Vec<_>>());
            }
            Step::Read(handle, first, count) => {
                let keys = (0..count).map(|i| (Key(first.wrapping_add(i)), Act::Get));
                self.execute(handle, &keys.collect::<Vec<_>>());
            }
            Step::Quiescent(handle) => {
                let now = self.now;
                self.handle(handle).quiescent(now);
            }
            Step::AllQuiescent => self.all_quiescent(),
            Step::Offline(handle) => self.handle(handle).offline(),
            Step::Replace(handle) => {
                let at = usize::from(handle) % HANDLES;
                self.held.retain(|held| held.handle != at);
                drop(self.handles.remove(at));
                self.handles.insert(at, self.cache.handle().expect("one was given back"));
            }
            Step::Later(ms) => self.now = self.now.after(u64::from(ms)),
            Step::Jump(ms) => self.now = Millis((1 << 40) + u64::from(ms)),
            Step::Sweep(handle, blocks) => {
                let now = self.now;
                self.handle(handle).sweep(now, u32::from(blocks));
            }
            Step::Scan(handle, at_least) => self.scan(handle, usize::from(at_least)),
            Step::ScanFrom(handle, cursor, at_least) => {
                self.scan_part(handle, cursor, usize::from(at_least));
            }
            Step::Flush(handle) => self.flush(handle),
            Step::Reread => self.reread(),
        }
        self.check_stats();
    }

    fn execute(&mut self, handle: u8, ops: &[(Key, Act)]) {
        let Self { handles, model, now, held, seen, given, .. } = self;
        let (now, at) = (*now, usize::from(handle) % HANDLES);
        let keys: Vec<_> = ops.iter().map(|(key, _)| key.bytes()).collect();
        let texts: Vec<_> = ops.iter().map(|(_, act)| text(act)).collect();
        let ops: Vec<_> = ops
            .iter()
            .zip(keys.iter().zip(&texts))
            .map(|((_, act), (key, text))| {
                *given += 1;
                Op { key, action: action(act, text, now, seen.get(key), *given) }
            })
            .collect();
        let mut next = 0;
        let handle = &mut handles[at];
        handle.online();
        let done = handle.execute(now, &ops, |index, outcome| {
            assert_eq!(index, next, "outcomes are in order");
            next += 1;
            let op = &ops[index];
            model.apply(now, op, &outcome);
            if let (Action::Lease(lease), Outcome::Won { value: None }) = (op.action, outcome) {
                seen.insert(op.key.to_vec(), lease.version);
            }
            if let Outcome::Hit(value) = outcome {
                seen.insert(op.key.to_vec(), value.version());
                if held.len() < HELD_MAX {
                    held.push(Held {
                        handle: at,
                        reference: value.arena_ref(),
                        bytes: value.bytes().to_vec(),
                    });
                }
            }
        });
        // The rest of a batch that met pressure is not executed.
        assert_eq!(next, done, "each operation has its outcome");
        assert!(done == ops.len() || !is_read(&ops[done]), "{:?} found no room", ops[done]);
    }

    /// The handle, awake.
    fn handle(&mut self, handle: u8) -> &mut Handle<'c> {
        let handle = &mut self.handles[usize::from(handle) % HANDLES];
        handle.online();
        handle
    }

    fn all_quiescent(&mut self) {
        for handle in &mut self.handles {
            handle.online();
            handle.quiescent(self.now);
        }
    }

    /// Memory that a handle may still be looking at was not used for anything else.
    fn reread(&mut self) {
        let handles = &self.handles;
        self.held.retain(|held| {
            let bytes = handles[held.handle].bytes(held.reference);
            assert!(bytes.is_none_or(|bytes| bytes == held.bytes), "reused under its reader");
            bytes.is_some()
        });
    }

    fn scan(&mut self, handle: u8, at_least: usize) {
        let mut cursor = 0;
        // Each call gets on, so that a walk ends.
        for _ in 0..100_000 {
            cursor = self.scan_part(handle, cursor, at_least.max(1));
            if cursor == 0 {
                return;
            }
        }
        panic!("a walk without an end");
    }

    fn scan_part(&mut self, handle: u8, cursor: u64, at_least: usize) -> u64 {
        let Self { handles, model, now, .. } = self;
        let handle = &mut handles[usize::from(handle) % HANDLES];
        handle.online();
        handle.scan(*now, cursor, at_least, |key, value| model.check(*now, key, &value))
    }

    /// Where others hold up the reuse of memory it may not come to an end.
    fn flush(&mut self, handle: u8) {
        let (now, mut cursor) = (self.now, 0);
        for _ in 0..1000 {
            let Some(next) = self.handle(handle).flush(now, cursor, 50) else {
                self.model.clear();
                assert_eq!(self.cache.stats().items, 0, "it says that it has removed everything");
                return;
            };
            cursor = next;
        }
    }

    fn check_stats(&self) {
        let stats = self.cache.stats();
        let bytes = stats.used_bytes + stats.free_bytes + stats.limbo_bytes + stats.index_bytes;
        assert!(bytes <= stats.region_bytes, "{stats:?}");
        assert!(stats.index_free_bytes <= stats.index_bytes, "{stats:?}");
        assert!(stats.largest_free_bytes <= stats.free_bytes, "{stats:?}");
        // Keys that the model does not know are not there: it forgets only what the engine says is absent.
        assert!(stats.items <= self.model.len() as u64, "{stats:?}, {} keys known", self.model.len());
    }

    /// Once nobody holds anything, something small can be stored, and is there.
    fn is_not_stuck(&mut self) {
        for number in 0..2 * BATCH {
            let key = format!("last:{number}").into_bytes();
            let op = Op::put(&key, b"v");
            let stored = (0..PATIENCE).any(|turn| {
                self.all_quiescent();
                let mut stored = false;
                let handle = &mut self.handles[turn % HANDLES];
                let done = handle.execute(self.now, &[op], |_, outcome| {
                    stored = matches!(outcome, Outcome::Stored { .. });
                });
                assert_eq!(done == 1, stored, "what is carried out succeeds");
                let done = handle.execute(self.now, &[Op::get(&key)], |_, outcome| {
                    let found = matches!(outcome, Outcome::Hit(value) if value.bytes() == b"v");
                    assert_eq!(found, stored, "{outcome:?}");
                });
                assert_eq!(done, 1, "reads find room");
                stored
            });
            assert!(stored, "the cache is stuck: {:?}", self.cache.stats());
        }
    }
}

fn is_read(op: &Op<'_>) -> bool {
    matches!(op.action, Action::Get | Action::Peek)
}

fn text(act: &Act) -> Vec<u8> {
    match act {
        Act::Put(text, ..) | Act::Concat(text, ..) | Act::Recache(text, ..) => text.bytes(),
        _ => Vec::new(),
    }
}

fn action<'a>(act: &Act, text: &'a [u8], now: Millis, seen: Option<&u64>, fresh: u64) -> Action<'a> {
    let expiry = |expires| match expires {
        Expires::Never => Expiry::Never,
        Expires::After(ms) => Expiry::At(now.after(u64::from(ms))),
        Expires::Ago(ms) => Expiry::At(Millis(now.0 - u64::from(ms))),
        Expires::Keep => Expiry::Keep,
    };
    let condition = |when| match when {
        When::Always => Condition::Always,
        When::Absent => Condition::Absent,
        When::Present => Condition::Present,
        When::Seen => seen.map_or(Condition::Present, |&version| Condition::Version(version)),
        When::Version(version) => Condition::Version(version),
    };
    let count = |delta, initial: Option<i128>, expires| {
        Action::Count(Count { delta, initial, expiry: expiry(expires) })
    };
    match *act {
        Act::Get => Action::Get,
        Act::Peek => Action::Peek,
        Act::Put(_, flags, expires, when) => {
            let (expiry, condition) = (expiry(expires), condition(when));
            Action::Put(Put { value: text, flags, expiry, condition })
        }
        Act::Delete(when) => Action::Delete(condition(when)),
        Act::Touch(expires, when) => Action::Touch(
            expiry(expires),
            match when {
                TouchWhen::Always => TouchCondition::Always,
                TouchWhen::Permanent => TouchCondition::Permanent,
                TouchWhen::Expiring => TouchCondition::Expiring,
                TouchWhen::Later => TouchCondition::Later,
                TouchWhen::Earlier => TouchCondition::Earlier,
            },
        ),
        Act::Concat(_, front, create) => {
            Action::Concat { bytes: text, end: if front { End::Front } else { End::Back }, create }
        }
        Act::Signed(delta, initial, expires) => count(Delta::Signed(delta), initial.map(Into::into), expires),
        Act::Up(delta, initial, expires) => count(Delta::Up(delta), initial.map(Into::into), expires),
        Act::Lease(vivify, recache, until, touch_first, peek) => {
            let touch = if touch_first { expiry(until) } else { Expiry::Keep };
            let [vivify, recache, until] = [vivify, recache, until].map(|at| match expiry(at) {
                Expiry::At(at) => at,
                Expiry::Never => Millis(u64::MAX),
                Expiry::Keep => Millis(0),
            });
            Action::Lease(Lease { vivify, version: fresh, recache, until, touch, touch_first, peek })
        }
        Act::Recache(_, flags, expires, when, versioned, or_stale) => {
            let (expiry, condition) = (expiry(expires), condition(when));
            let version = if versioned { fresh } else { 0 };
            Action::Recache(Recache { value: text, flags, expiry, condition, version, or_stale })
        }
        Act::Invalidate(stale, clear, expires, when, versioned) => {
            let (expiry, condition) = (expiry(expires), condition(when));
            let version = if versioned { fresh } else { 0 };
            Action::Invalidate(Invalidate { stale, clear, expiry, condition, version })
        }
        Act::Down(delta, initial, expires) => count(Delta::Down(delta), initial.map(Into::into), expires),
    }
}

//! Seeded runs of random operations against a model that may forget but never lies. A failure prints its seed, and the
//! same seed repeats it: the engine is a function of region size, configuration, operations and clock values.

use crate::{Action, Cache, Condition, Config, Count, Delta, End, Expiry, Handle, Millis, Op, Outcome, Put};
use crate::{Reservation, StoreError, TouchCondition, Value};
use ahash::RandomState;
use core::mem::MaybeUninit;
use std::vec::Vec;

type Model = hashbrown::HashMap<Vec<u8>, Known, RandomState>;

/// What counters begin at: a number that no sum in a run comes to, so that the model can tell a fresh one.
const INITIAL: i128 = 3_074_457_345_618_258_602;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Known {
    value: Vec<u8>,
    flags: u32,
    expires: Option<Millis>,
}

#[derive(Clone, Copy)]
struct World {
    region: usize,
    shards: u32,
    keys: u64,
    value_max: u64,
    /// Everything fits: the engine must not forget.
    roomy: bool,
    steps: usize,
}

fn check(seed: u64, key: &[u8], value: &Value<'_>, known: Option<&Known>) {
    let known = known.unwrap_or_else(|| panic!("seed {seed}: {key:?} is there and should not be"));
    assert_eq!(value.bytes(), known.value, "seed {seed}: {key:?}");
    assert_eq!((value.flags(), value.expires()), (known.flags, known.expires), "seed {seed}: {key:?}");
}

fn random_action<'a>(random: &mut Random, now: Millis, value: &'a [u8]) -> Action<'a> {
    let expiry = match random.below(8) {
        0 => Expiry::At(now.after(random.below(5000))),
        1 => Expiry::Keep,
        2 => Expiry::At(Millis(now.0.saturating_sub(random.below(3)))),
        _ => Expiry::Never,
    };
    let condition = match random.below(6) {
        0 => Condition::Absent,
        1 => Condition::Present,
        2 => Condition::Version(random.next()),
        _ => Condition::Always,
    };
    match random.below(16) {
        0..6 => Action::Get,
        6 => Action::Peek,
        7..11 => {
            let flags = if random.below(4) == 0 { random.next() as u32 } else { 0 };
            Action::Put(Put { value, flags, expiry, condition })
        }
        11 => Action::Delete(condition),
        12 => {
            let condition = match random.below(8) {
                0 => TouchCondition::Permanent,
                1 => TouchCondition::Expiring,
                2 => TouchCondition::Later,
                3 => TouchCondition::Earlier,
                _ => TouchCondition::Always,
            };
            Action::Touch(expiry, condition)
        }
        13 => {
            let end = if random.below(2) == 0 { End::Front } else { End::Back };
            Action::Concat { bytes: &value[..value.len().min(20)], end, create: random.below(2) == 0 }
        }
        14 => {
            let delta = random.next() as i64 >> random.below(60);
            Action::Count(Count { delta: Delta::Signed(delta), initial: Some(INITIAL), expiry })
        }
        _ => Action::Count(Count { delta: Delta::Up(random.below(100)), initial: None, expiry }),
    }
}

/// What the model says of an outcome, and what it is afterwards. `None` where the engine has forgotten the key.
fn apply(model: &mut Model, seed: u64, now: Millis, op: &Op<'_>, outcome: &Outcome<'_>) {
    let key = op.key.to_vec();
    let alive = |known: &Known| known.expires.is_none_or(|at| at > now);
    let known = model.get(&key).filter(|known| alive(known)).cloned();
    if known.is_none() {
        model.remove(&key);
    }
    let known = known.as_ref();
    match (&op.action, outcome) {
        (_, Outcome::Refused(StoreError::TooLarge { .. })) => {}
        (Action::Get | Action::Peek, Outcome::Hit(value)) => check(seed, &key, value, known),
        (
            Action::Get
            | Action::Peek
            | Action::Delete(_)
            | Action::Touch(..)
            | Action::Concat { .. }
            | Action::Count(_),
            Outcome::Miss,
        ) => {
            model.remove(&key);
        }
        (Action::Put(put), Outcome::Stored { old }) => {
            if let Some(old) = old {
                check(seed, &key, old, known);
            }
            match put.condition {
                Condition::Always => {}
                Condition::Absent => assert!(old.is_none(), "seed {seed}"),
                Condition::Present => assert!(old.is_some(), "seed {seed}"),
                Condition::Version(v) => assert_eq!(old.map(|old| old.version()), Some(v), "seed {seed}"),
            }
            let expires = put.expiry.resolve(old.and_then(|old| old.expires()));
            if expires.is_some_and(|at| at <= now) {
                model.remove(&key);
            } else {
                model.insert(key, Known { value: put.value.to_vec(), flags: put.flags, expires });
            }
        }
        (Action::Put(put), Outcome::NotStored { found }) => match (put.condition, found) {
            (Condition::Absent, Some(found)) => check(seed, &key, found, known),
            (Condition::Present | Condition::Version(_), None) => {
                model.remove(&key);
            }
            (Condition::Version(v), Some(found)) => {
                check(seed, &key, found, known);
                assert_ne!(found.version(), v, "seed {seed}");
            }
            other => panic!("seed {seed}: {other:?}"),
        },
        (Action::Delete(_), Outcome::Removed(value)) => {
            check(seed, &key, value, known);
            model.remove(&key);
        }
        (Action::Delete(condition), Outcome::NotStored { found: Some(found) }) => {
            check(seed, &key, found, known);
            assert!(matches!(condition, Condition::Absent | Condition::Version(_)), "seed {seed}");
        }
        (Action::Touch(expiry, _), Outcome::Touched(value)) => {
            check(seed, &key, value, known);
            let expires = expiry.resolve(value.expires());
            if expires.is_some_and(|at| at <= now) {
                model.remove(&key);
            } else {
                model.get_mut(&key).unwrap().expires = expires;
            }
        }
        (Action::Touch(_, condition), Outcome::Kept(value)) => {
            check(seed, &key, value, known);
            assert_ne!(*condition, TouchCondition::Always, "seed {seed}");
        }
        (Action::Concat { bytes, end, create }, Outcome::Length(len)) => {
            let mut new = known.cloned().unwrap_or(Known { value: Vec::new(), flags: 0, expires: None });
            if new.value.len() + bytes.len() != *len {
                // The engine forgot the old value and began anew.
                assert!(*create && *len == bytes.len(), "seed {seed}");
                new = Known { value: Vec::new(), flags: 0, expires: None };
            }
            let at = if *end == End::Front { 0 } else { new.value.len() };
            new.value.splice(at..at, bytes.iter().copied());
            model.insert(key, new);
        }
        (Action::Count(count), Outcome::Number(number)) => {
            let old = known.and_then(|k| std::str::from_utf8(&k.value).ok()?.trim_end().parse::<i128>().ok());
            let flags = known.map_or(0, |k| k.flags);
            let (flags, old_expires) = match (count.delta, old) {
                (Delta::Signed(delta), Some(old)) if old + i128::from(delta) == *number => {
                    (flags, known.and_then(|k| k.expires))
                }
                (Delta::Up(delta), Some(old)) if old + i128::from(delta) == *number => {
                    (flags, known.and_then(|k| k.expires))
                }
                _ => {
                    assert_eq!(Some(*number), count.initial, "seed {seed}: {count:?} on {known:?}");
                    (0, None)
                }
            };
            let expires = count.expiry.resolve(old_expires);
            if expires.is_some_and(|at| at <= now) {
                model.remove(&key);
            } else {
                let value = std::format!("{number}").into_bytes();
                model.insert(key, Known { value, flags, expires });
            }
        }
        (Action::Count(_), Outcome::Refused(StoreError::NotANumber | StoreError::Overflow)) => {
            assert!(known.is_some(), "seed {seed}");
        }
        other => panic!("seed {seed}: {other:?}"),
    }
}

fn simulate(world: World, seed: u64) {
    let mut random = Random(seed);
    let mut region = std::vec![MaybeUninit::uninit(); world.region];
    let config = Config { shards: world.shards, seed: [seed, 1, 2, 3], ..Config::default() };
    let cache = Cache::new(&mut region, config).unwrap();
    let mut handle = cache.handle().unwrap();
    let mut model = Model::with_hasher(RandomState::with_seeds(1, 2, 3, 4));
    let mut now = Millis(1_000_000);
    let mut waiting: Option<Reservation<'_>> = None;
    let filler: Vec<u8> = (0..world.value_max).map(|i| b'0' + (i % 10) as u8).collect();
    for step in 0..world.steps {
        let count = if random.below(3) == 0 { 1 } else { random.below(70) as usize };
        let keys: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let key = random.below(world.keys);
                let mut key = std::format!("{key}").into_bytes();
                key.resize(if key[0] == b'7' { 150 } else { key.len() }, b'x');
                if key == b"5" { Vec::new() } else { key }
            })
            .collect();
        let ops: Vec<Op<'_>> = keys
            .iter()
            .map(|key| {
                // Never empty: else a forgotten value and a present one could not be told apart when bytes are added.
                let len = if random.below(100) == 0 { world.value_max } else { 1 + random.below(80) };
                Op { key, action: random_action(&mut random, now, &filler[..len as usize]) }
            })
            .collect();
        let mut next = 0;
        let done = handle.execute(now, &ops, |i, outcome| {
            assert_eq!(i, next);
            next += 1;
            if world.roomy && outcome_is_absent(&outcome) {
                let known = model.get(ops[i].key).filter(|k| k.expires.is_none_or(|at| at > now));
                assert_eq!(
                    known, None,
                    "seed {seed}: forgot {:?}, {:?} -> {outcome:?}",
                    ops[i].key, ops[i].action
                );
            }
            apply(&mut model, seed, now, &ops[i], &outcome);
        });
        assert_eq!(next, done);
        assert!(done == ops.len() || cache.stats().pressure > 0, "seed {seed}: stopped without reason");
        assert!(!world.roomy || done == ops.len(), "seed {seed}: pressure in a roomy cache");
        match random.below(20) {
            0 => now = now.after(random.below(3000)),
            1 => {
                handle.sweep(now, 50);
            }
            2 if random.below(40) == 0 => {
                flush(&mut handle, now);
                model.clear();
                assert_eq!(cache.stats().items, 0);
            }
            3 => {
                handle.offline();
                handle.online();
            }
            4..7 => match waiting.take() {
                None => {
                    let key = std::format!("{}", random.below(world.keys)).into_bytes();
                    let len = 1 + random.below(world.value_max) as usize;
                    waiting = handle.reserve(now, &key, len, 0, None).ok();
                }
                Some(room) => finish(&mut handle, &mut model, &mut random, now, room, seed),
            },
            7 if random.below(10) == 0 => {
                drop(handle);
                handle = cache.handle().unwrap();
            }
            _ => {}
        }
        if random.below(4) != 0 {
            handle.quiescent(now);
        }
        if step % 64 == 0 || step + 1 == world.steps {
            audit(&cache, &mut handle, &model, now, seed);
        }
    }
}

/// Commits a reservation, or lets it go.
fn finish<'c>(
    handle: &mut Handle<'c>,
    model: &mut Model,
    random: &mut Random,
    now: Millis,
    mut room: Reservation<'c>,
    seed: u64,
) {
    if random.below(4) == 0 {
        return;
    }
    let byte = b'a' + random.below(26) as u8;
    room.value().fill(byte);
    let (key, value) = (room.key().to_vec(), room.value().to_vec());
    let condition = if random.below(3) == 0 { Condition::Absent } else { Condition::Always };
    if let Ok(outcome) = handle.commit(now, room, condition) {
        let put = Put { value: &value, condition, ..Put::default() };
        apply(model, seed, now, &Op { key: &key, action: Action::Put(put) }, &outcome);
    }
}

fn outcome_is_absent(outcome: &Outcome<'_>) -> bool {
    matches!(outcome, Outcome::Miss | Outcome::Stored { old: None } | Outcome::NotStored { found: None })
}

fn flush(handle: &mut Handle<'_>, now: Millis) {
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        cursor = handle.flush(now, at, 100);
    }
}

/// Structure, figures and a whole scan.
fn audit(cache: &Cache<'_>, handle: &mut Handle<'_>, model: &Model, now: Millis, seed: u64) {
    let stats = cache.stats();
    let (mut items, mut reachable, mut free) = (0, 0, 0);
    for shard in 0..cache.shared.geometry.shards {
        let census = cache.shared.shard(shard).try_lock().unwrap().verify();
        items += census.items.len() as u64;
        reachable += census.reachable.len() as u64;
        free += u64::from(census.free) * 4;
    }
    assert_eq!(stats.items, reachable, "seed {seed}");
    assert!(items >= reachable, "seed {seed}");
    assert_eq!(stats.free_bytes, free, "seed {seed}");
    let mut cursor = 0;
    let mut seen = 0;
    loop {
        cursor = handle.scan(now, cursor, 10, |key, value| {
            seen += 1;
            check(seed, key, &value, model.get(key));
        });
        if cursor == 0 {
            break;
        }
    }
    assert!(seen <= reachable, "seed {seed}");
}

fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let first = std::env::var("CRABCACHE_SEED").ok().map(|s| s.parse().unwrap());
    first.into_iter().chain((0..count).filter(move |_| first.is_none()))
}

#[test]
fn everything_fits_and_nothing_is_forgotten() {
    for seed in seeds(20) {
        let world =
            World { region: 8 << 20, shards: 2, keys: 5000, value_max: 2000, roomy: true, steps: 600 };
        simulate(world, seed);
    }
}

#[test]
fn a_full_cache_forgets_but_never_lies() {
    for seed in seeds(20) {
        let world =
            World { region: 256 << 10, shards: 1, keys: 20_000, value_max: 9000, roomy: false, steps: 1500 };
        simulate(world, seed);
    }
}

#[test]
fn a_tiny_cache_forgets_but_never_lies() {
    for seed in seeds(40) {
        let world =
            World { region: 40 << 10, shards: 1, keys: 2000, value_max: 1200, roomy: false, steps: 800 };
        simulate(world, seed);
    }
}

//! Seeded runs of random operations against a model that may forget but never lies. A failure prints its seed, and the
//! same seed repeats it: the engine is a function of region size, configuration, operations and clock values.

mod model;

use self::model::{Model, apply, check};
use crate::random::Random;
use crate::{Action, Cache, Condition, Config, Count, Delta, End, Expiry, Handle, Millis, Op, Outcome, Put};
use crate::{Invalidate, Lease, Recache, Reservation, TouchCondition};
use ahash::RandomState;
use core::mem::MaybeUninit;
use std::vec::Vec;

/// What counters begin at: a number that no sum in a run comes to, so that the model can tell a fresh one.
const INITIAL: i128 = 3_074_457_345_618_258_602;

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

/// `seen` is a version that the key may have, `fresh` one that no key has had.
fn random_action<'a>(
    random: &mut Random,
    now: Millis,
    value: &'a [u8],
    seen: Option<u64>,
    fresh: u64,
) -> Action<'a> {
    let expiry = match random.below(8) {
        0 => Expiry::At(now.after(random.below(5000))),
        1 => Expiry::Keep,
        2 => Expiry::At(Millis(now.0.saturating_sub(random.below(3)))),
        _ => Expiry::Never,
    };
    let condition = match random.below(6) {
        0 => Condition::Absent,
        1 => Condition::Present,
        2 => Condition::Version(seen.unwrap_or_else(|| random.next())),
        3 if random.below(4) == 0 => Condition::Version(random.next()),
        _ => Condition::Always,
    };
    let soon = |random: &mut Random| match random.below(4) {
        0 => Millis(0),
        1 => Millis(u64::MAX),
        _ => now.after(random.below(5000)),
    };
    match random.below(20) {
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
        15 => Action::Count(Count { delta: Delta::Up(random.below(100)), initial: None, expiry }),
        16 | 17 => Action::Lease(Lease {
            vivify: soon(random),
            version: fresh,
            recache: if random.below(3) == 0 { now.after(random.below(5000)) } else { Millis(0) },
            until: soon(random),
            touch: if random.below(4) == 0 { expiry } else { Expiry::Keep },
            touch_first: random.below(2) == 0,
            peek: random.below(4) == 0,
        }),
        18 => {
            let version = if random.below(2) == 0 { fresh } else { 0 };
            let flags = random.below(2) as u32;
            Action::Recache(Recache {
                value,
                flags,
                expiry,
                condition,
                version,
                or_stale: random.below(2) == 0,
            })
        }
        _ => {
            // What is left of it is as what begins anew: when bytes are added to it, nobody could tell which of them it was.
            let (clear, expiry) =
                if random.below(4) == 0 { (Some(0), Expiry::Never) } else { (None, expiry) };
            let version = if random.below(2) == 0 { fresh } else { 0 };
            Action::Invalidate(Invalidate { stale: random.below(4) != 0, clear, expiry, condition, version })
        }
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
    let mut fresh = 1 << 40;
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
                let known = model.get(key.as_slice()).and_then(|known| known.mark);
                let seen = known.map(|mark| mark.version).filter(|_| random.below(2) == 0);
                fresh += 1;
                Op { key, action: random_action(&mut random, now, &filler[..len as usize], seen, fresh) }
            })
            .collect();
        let mut next = 0;
        let pinned = random.below(4) == 0;
        if pinned {
            handle.pin();
        }
        let mut found = Vec::new();
        let done = handle.execute(now, &ops, |i, outcome| {
            assert_eq!(i, next);
            next += 1;
            if let Outcome::Hit(value) = outcome {
                found.push((value.arena_ref(), value.bytes().to_vec()));
            }
            if world.roomy && outcome_is_absent(&outcome) {
                let leases = matches!(ops[i].action, Action::Lease(_));
                let known = model.get(ops[i].key).filter(|known| {
                    known.expires.is_none_or(|at| at > now) || leases && known.is_placeholder(now)
                });
                assert_eq!(
                    known, None,
                    "seed {seed}: forgot {:?}, {:?} -> {outcome:?}",
                    ops[i].key, ops[i].action
                );
            }
            apply(&mut model, seed, now, &ops[i], &outcome);
        });
        assert_eq!(next, done);
        assert!(
            done == ops.len() || pinned || cache.stats().pressure > 0,
            "seed {seed}: stopped without reason"
        );
        assert!(!world.roomy || pinned || done == ops.len(), "seed {seed}: pressure in a roomy cache");
        for (reference, bytes) in &found {
            match handle.bytes(*reference) {
                Some(there) => assert_eq!(there, bytes, "seed {seed}"),
                None => assert!(!pinned, "seed {seed}: let go of what was pinned"),
            }
        }
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
        if pinned || random.below(4) != 0 {
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
    matches!(
        outcome,
        Outcome::Miss
            | Outcome::Won { value: None }
            | Outcome::Stored { old: None }
            | Outcome::NotStored { found: None }
    )
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
            check(seed, now, key, &value, model.get(key));
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

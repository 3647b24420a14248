//! Threads on one small cache: growth, eviction, expiry, overwrites and deletes at once, with real reuse of memory.
//!
//! What is checked is per-key linearizability as far as it can be seen from outside:
//! - a key has one writer, whose values carry a rising number: no reader ever sees the number fall;
//! - a value is whole: its bytes follow from its key and number;
//! - counters lose no increment, an add is won by one thread alone.
//!
//! Under `ThreadSanitizer`: see `.ci/run`. `CRABCACHE_STRESS=n` multiplies the rounds.

mod support;

use crabcache_engine::{
    Action, Cache, Condition, Config, Count, Delta, Expiry, Handle, Millis, Op, Outcome, Put,
};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use support::Random;

fn rounds(base: usize) -> usize {
    base * std::env::var("CRABCACHE_STRESS").map_or(1, |n| n.parse().expect("a number"))
}

fn region(bytes: usize) -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); bytes]
}

fn value(key: u64, number: u64, buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&key.to_le_bytes());
    buffer.extend_from_slice(&number.to_le_bytes());
    let len = (key.wrapping_mul(31) ^ number).wrapping_mul(0x9e37_79b9) % 200;
    buffer.extend((0..len).map(|i| (key ^ number.wrapping_mul(7) ^ i) as u8));
}

/// The number of a value, after checking that all of it belongs to this key and number.
fn number_of(key: u64, bytes: &[u8]) -> u64 {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let (stored, number) = (word(0), word(8));
    let mut expected = Vec::new();
    value(key, number, &mut expected);
    assert_eq!((stored, bytes), (key, &expected[..]), "a torn or foreign value");
    number
}

/// The end of a scope waits in the standard library, where `ThreadSanitizer` does not see it; a join it does see.
fn join(threads: Vec<std::thread::ScopedJoinHandle<'_, ()>>) {
    for thread in threads {
        thread.join().expect("a thread without a panic");
    }
}

struct World {
    bytes: usize,
    shards: u32,
    keys: u64,
    threads: u64,
    rounds: usize,
}

/// Each key belongs to thread `key % threads`, which alone writes it; everybody reads everything.
fn single_writers(world: &World) {
    let mut memory = region(world.bytes);
    let cache = Cache::new(
        &mut memory,
        Config { shards: world.shards, handles_max: 2 * world.threads as u32, ..Config::default() },
    )
    .expect("a region");
    let clock = AtomicU64::new(1);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for thread in 0..world.threads {
            let (cache, clock) = (&cache, &clock);
            threads.push(scope.spawn(move || {
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ thread << 32);
                let mut handle = cache.handle().expect("a handle");
                let mut seen = vec![0_u64; world.keys as usize];
                let mut next = 1_u64;
                for round in 0..world.rounds {
                    let now = Millis(clock.fetch_add(u64::from(round % 8 == 0), Ordering::Relaxed));
                    turn(world, thread, &mut random, &mut handle, now, &mut seen, &mut next);
                    match random.below(64) {
                        0 => {
                            handle.offline();
                            handle.online();
                        }
                        1 => {
                            handle.sweep(now, 20);
                        }
                        2 => {
                            drop(handle);
                            handle = cache.handle().expect("a handle");
                        }
                        3 => {
                            let cursor = random.next_cursor(world.keys);
                            handle.scan(now, cursor, 8, |key, value| {
                                number_of(
                                    u64::from_le_bytes(key.try_into().expect("eight bytes")),
                                    value.bytes(),
                                );
                            });
                        }
                        _ => handle.quiescent(now),
                    }
                }
            }));
        }
        join(threads);
    });
    let stats = cache.stats();
    assert!(stats.hits > 0 && stats.stores > 0, "{stats:?}");
}

impl Random {
    fn next_cursor(&mut self, keys: u64) -> u64 {
        self.below(keys)
    }
}

/// One batch of random operations.
fn turn(
    world: &World,
    thread: u64,
    random: &mut Random,
    handle: &mut Handle<'_>,
    now: Millis,
    seen: &mut [u64],
    next: &mut u64,
) {
    let count = 1 + random.below(40);
    let plan: Vec<(u64, u64, u64)> = (0..count)
        .map(|_| {
            let key = random.below(world.keys);
            let key = if random.below(2) == 0 { key - key % world.threads + thread } else { key };
            let key = key.min(world.keys - 1);
            *next += 1;
            (key, random.below(8), *next)
        })
        .collect();
    let keys: Vec<[u8; 8]> = plan.iter().map(|plan| plan.0.to_le_bytes()).collect();
    let values: Vec<Vec<u8>> = plan
        .iter()
        .map(|&(key, _, number)| {
            let mut bytes = Vec::new();
            value(key, number, &mut bytes);
            bytes
        })
        .collect();
    let ops: Vec<Op<'_>> = plan
        .iter()
        .zip(keys.iter().zip(&values))
        .map(|(&(key, choice, _), (bytes, value))| {
            let mine = key % world.threads == thread;
            let expiry = if choice == 5 { Expiry::At(now.after(3)) } else { Expiry::Never };
            let action = match choice {
                2 if mine => Action::Delete(Condition::Always),
                3.. if mine => Action::Put(Put { value, expiry, ..Put::default() }),
                _ => Action::Get,
            };
            Op { key: bytes, action }
        })
        .collect();
    let mut seen_outcomes = 0;
    let done = handle.execute(now, &ops, |i, outcome| {
        seen_outcomes += 1;
        let (key, _, number) = plan[i];
        match outcome {
            Outcome::Hit(value) | Outcome::Removed(value) => {
                let found = number_of(key, value.bytes());
                assert!(
                    found >= seen[key as usize],
                    "key {key} went back: {found} after {}",
                    seen[key as usize]
                );
                seen[key as usize] = found;
            }
            Outcome::Stored { old } => {
                if let Some(old) = old {
                    assert_eq!(
                        number_of(key, old.bytes()),
                        seen[key as usize],
                        "another value than the last"
                    );
                }
                seen[key as usize] = number;
            }
            Outcome::Miss => {}
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(done, seen_outcomes);
}

#[test]
fn single_writers_in_a_roomy_cache() {
    let world = World { bytes: 8 << 20, shards: 2, keys: 3000, threads: 4, rounds: rounds(1500) };
    single_writers(&world);
}

#[test]
fn single_writers_in_a_full_cache() {
    let world = World { bytes: 192 << 10, shards: 1, keys: 4000, threads: 3, rounds: rounds(1500) };
    single_writers(&world);
}

#[test]
fn single_writers_while_the_index_grows() {
    for _ in 0..rounds(3) {
        let world = World { bytes: 32 << 20, shards: 1, keys: 60_000, threads: 4, rounds: 1000 };
        single_writers(&world);
    }
}

#[test]
fn counters_lose_no_increment_and_adds_are_won_once() {
    let mut memory = region(4 << 20);
    let cache = Cache::new(&mut memory, Config::default()).expect("a region");
    let (threads, rounds) = (4_u64, rounds(1500) as u64);
    let wins = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let mut spawned = Vec::new();
        for _ in 0..threads {
            spawned.push(scope.spawn(|| {
                let mut handle = cache.handle().expect("a handle");
                let one = Count { delta: Delta::Signed(1), initial: Some(1), expiry: Expiry::Keep };
                for round in 0..rounds {
                    let names: Vec<Vec<u8>> = (0..4).map(|i| format!("counter {i}").into_bytes()).collect();
                    for name in &names {
                        // Another thread may be inside the allocator, or hold back what is free.
                        let op = Op { key: name, action: Action::Count(one) };
                        until_done(&mut handle, op, |outcome| assert!(matches!(outcome, Outcome::Number(_))));
                    }
                    let key = round.to_le_bytes();
                    let put = Put { value: b"won", condition: Condition::Absent, ..Put::default() };
                    until_done(&mut handle, Op { key: &key, action: Action::Put(put) }, |outcome| {
                        if let Outcome::Stored { old: None } = outcome {
                            wins.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            }));
        }
        join(spawned);
    });
    let mut handle = cache.handle().expect("a handle");
    for i in 0..4 {
        let name = format!("counter {i}").into_bytes();
        until_done(&mut handle, Op::get(&name), |outcome| {
            let Outcome::Hit(value) = outcome else { panic!("{outcome:?}") };
            let text = std::str::from_utf8(value.bytes()).expect("digits");
            assert_eq!(text.parse::<u64>().expect("a number"), threads * rounds, "an increment was lost");
        });
    }
    assert_eq!(wins.load(Ordering::Relaxed), rounds, "an add was won twice, or by nobody");
    assert_eq!(cache.stats().evictions, 0, "a busy lock was taken for a full cache");
}

/// Executes one operation, again for as long as it meets Pressure.
fn until_done(handle: &mut Handle<'_>, op: Op<'_>, mut look: impl FnMut(Outcome<'_>)) {
    while handle.execute(Millis(1), &[op], |_, outcome| look(outcome)) == 0 {
        handle.quiescent(Millis(1));
        std::thread::yield_now();
    }
    handle.quiescent(Millis(1));
}

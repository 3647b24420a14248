use super::*;
use crate::bytes::{Filler, Keys, Region};

/// A cache of so many items that forgets in order of arrival, and writes down what it is asked.
#[derive(Default)]
struct Fifo {
    items_max: usize,
    size_max: u32,
    /// Key, size, expiry.
    items: Vec<(u32, u32, Option<u64>)>,
    log: Vec<String>,
    /// So many puts find no room before one does.
    busy: u32,
    local: bool,
}

impl Target for Fifo {
    fn run(&mut self, now_ms: u64, steps: &[Step], answers: &mut Vec<Answer>) -> Result<(), ReplayError> {
        let mut line = Vec::new();
        for step in steps {
            let key = step.key;
            self.items.retain(|item| item.2.is_none_or(|at| at > now_ms));
            let at = self.items.iter().position(|item| item.0 == key);
            let (verb, answer) = match (step.action, at) {
                (Action::Get, Some(at)) => ("get", Answer::Hit { size: self.items[at].1, intact: true }),
                (Action::Get, None) => ("get", Answer::Miss),
                (Action::Put { .. }, _) if step.size > self.size_max => ("put", Answer::TooLarge),
                (Action::Put { .. }, _) if self.busy > 0 => {
                    self.busy -= 1;
                    ("put", Answer::TryAgain)
                }
                (Action::Put { expires_ms }, at) => {
                    if let Some(at) = at {
                        self.items.remove(at);
                    }
                    self.items.push((key, step.size, expires_ms));
                    if self.items.len() > self.items_max {
                        self.items.remove(0);
                    }
                    ("put", Answer::Done)
                }
                (Action::Delete, Some(at)) => {
                    self.items.remove(at);
                    ("del", Answer::Done)
                }
                (Action::Delete, None) => ("del", Answer::Miss),
            };
            line.push(format!("{verb} {key}"));
            answers.push(answer);
        }
        self.log.push(line.join(" "));
        Ok(())
    }

    fn is_local(&self) -> bool {
        self.local
    }
}

/// `g0:100` is a get of key 0 whose size is 100, `s` a set, `d` a delete; `+5` lets five seconds pass, `/60` is a ttl.
fn trace(text: &str) -> Trace {
    let mut trace = Trace { key_len: 8, ..Trace::default() };
    let mut time = 0;
    for word in text.split_whitespace() {
        if let Some(passed) = word.strip_prefix('+') {
            time += passed.parse::<u32>().unwrap();
            continue;
        }
        let (word, ttl) = word.split_once('/').unwrap_or((word, "0"));
        let (key, size) = word[1..].split_once(':').unwrap_or((&word[1..], "100"));
        let kind = match &word[..1] {
            "g" => Kind::Get,
            "s" => Kind::Set,
            _ => Kind::Delete,
        };
        let (key, size, ttl) = (key.parse().unwrap(), size.parse().unwrap(), ttl.parse().unwrap());
        trace.keys = trace.keys.max(key + 1);
        trace.requests.push(Request { time, key, size, ttl, kind });
    }
    trace
}

fn run(text: &str, target: &mut Fifo, batch: usize, ttl: bool) -> Tally {
    replay(&trace(text), target, Options { batch, ttl }, &mut |_| ()).unwrap()
}

fn fifo(items_max: usize) -> Fifo {
    Fifo { items_max, size_max: 1000, ..Fifo::default() }
}

#[test]
fn windows_end_before_a_repeated_key_and_begin_with_the_puts() {
    let mut target = fifo(100);
    let tally = run("g0 g1 s2 g0 g3 g3 g3", &mut target, 32, false);
    let log = ["get 0 get 1 put 2", "put 0 put 1 get 0 get 3", "put 3 get 3", "get 3"];
    assert_eq!(target.log, log);
    assert_eq!((tally.requests, tally.gets, tally.misses, tally.windows), (7, 6, 3, 4));
    assert_eq!((tally.operations, tally.wrong, tally.foreign), (10, 0, 0));
}

#[test]
fn a_local_target_gets_the_puts_apart() {
    let mut target = Fifo { local: true, ..fifo(100) };
    run("g0 g1 g0", &mut target, 32, false);
    assert_eq!(target.log, ["get 0 get 1", "put 0 put 1", "get 0"]);
}

#[test]
fn the_last_misses_are_put_too() {
    let mut target = fifo(100);
    run("g0 g1", &mut target, 1, false);
    assert_eq!(target.log, ["get 0", "put 0 get 1", "put 1"]);
}

/// A repeat of the key counts as in a client that waits for each answer, whatever the window.
#[test]
fn exact_misses_by_hand() {
    for batch in [1, 2, 3, 32] {
        // Misses: 0, 1 | the set of 2 makes its get a hit | 0 after its delete | 3. Sizes weigh them.
        let text = "g0:10 g1:20 g0:10 s2:30 g2:30 d0:10 g0:10 g3:40 g1:20 g3:40";
        let tally = run(text, &mut fifo(100), batch, false);
        assert_eq!((tally.gets, tally.misses), (8, 4), "{batch}");
        assert_eq!((tally.get_bytes, tally.miss_bytes), (180, 80), "{batch}");
        assert_eq!((tally.wrong, tally.refused, tally.pressure), (0, 0, 0), "{batch}");
    }
    // Room for two, first in first out: 0 1 miss, 2 misses and drives out 0, 0 misses and drives out 1, 2 hits.
    let tally = run("g0 g1 g0 g2 g0 g2", &mut fifo(2), 1, false);
    assert_eq!((tally.gets, tally.misses), (6, 4));
    assert!((tally.miss_ratio() - 4.0 / 6.0).abs() < 1e-12);
}

#[test]
fn a_set_changes_the_size_and_a_get_does_not() {
    let tally = run("g0:10 s0:20 g0:30 g0:30", &mut fifo(2), 8, false);
    assert_eq!((tally.gets, tally.misses, tally.wrong), (3, 1, 0));
}

#[test]
fn ttl_counts_in_seconds_of_the_trace() {
    let text = "g0/10 g1/0 +9 g0/10 +1 g0/10 g1/0 +5 g0/10 +5 g0/10";
    let tally = run(text, &mut fifo(9), 8, true);
    // 0 misses at 0, is there at 9, is gone at 10, there at 15, gone at 20.
    assert_eq!((tally.gets, tally.misses, tally.wrong), (7, 4, 0));
    let tally = run(text, &mut fifo(9), 8, false);
    assert_eq!((tally.gets, tally.misses), (7, 2));
}

#[test]
fn puts_come_before_time_moves_on() {
    let mut target = fifo(9);
    run("g0/5 +5 g1", &mut target, 8, true);
    assert_eq!(target.log, ["get 0", "put 0", "get 1", "put 1"]);
}

#[test]
fn too_large_values_are_refused_and_miss() {
    let mut target = fifo(9);
    let tally = run("g0:5000 g0:5000 s1:10 s1:5000 g1:5000", &mut target, 8, false);
    assert_eq!((tally.gets, tally.misses, tally.refused, tally.wrong), (3, 3, 4, 0));
    // The value before the refused set is removed.
    assert!(target.log.iter().any(|line| line.contains("del 1")), "{:?}", target.log);
}

#[test]
fn no_room_is_tried_again() {
    let mut target = Fifo { busy: 5, ..fifo(9) };
    let tally = run("g0 g0", &mut target, 8, false);
    // The get that was sent together with the put could not wait for it.
    assert_eq!((tally.misses, tally.pressure), (2, 0));
    let mut target = Fifo { busy: 5, local: true, ..fifo(9) };
    let tally = run("g0 g0", &mut target, 8, false);
    assert_eq!((tally.misses, tally.pressure), (1, 0));
    let mut target = Fifo { busy: u32::MAX, ..fifo(9) };
    let tally = run("g0 g0", &mut target, 8, false);
    assert_eq!((tally.misses, tally.pressure), (2, 2));
}

/// A cache that lies is found out.
#[test]
fn wrong_answers_are_counted() {
    for local in [false, true] {
        let mut target = Fifo { items: vec![(0, 1, None)], local, ..fifo(9) };
        let tally = run("g0", &mut target, 8, false);
        assert_eq!((tally.wrong, tally.foreign), (u64::from(local), u64::from(!local)));
    }
    let mut target = fifo(9);
    run("s0:10", &mut target, 8, false);
    target.items[0].1 = 11;
    let mut replay = Replay::new(Box::leak(Box::new(trace("g0:10"))), Options { batch: 1, ttl: false });
    replay.stored[0] = Some(Stored { size: 10, expires_ms: None });
    replay.window(&mut target).unwrap();
    assert_eq!(replay.tally.wrong, 1);
}

/// Pseudo-random requests for a set of keys, all of which fit.
fn mixed(keys: u64, requests: usize) -> Trace {
    let mut state = 7_u64;
    let mut numbers = std::collections::HashMap::new();
    let mut trace = Trace { key_len: 11, ..Trace::default() };
    for i in 0..requests {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = state >> 33;
        let next = numbers.len() as u32;
        // A few keys are asked for often.
        let key = *numbers.entry((random % keys).pow(2) / keys).or_insert(next);
        let kind = match random >> 20 & 15 {
            0 => Kind::Set,
            1 => Kind::Delete,
            _ => Kind::Get,
        };
        let size = 40 + key % 200 + (random >> 25 & 1) as u32;
        trace.requests.push(Request { time: i as u32 / 100, key, size, ttl: key % 50, kind });
    }
    trace.keys = numbers.len() as u32;
    trace
}

fn on_engine(trace: &Trace, capacity: usize, options: Options) -> (Tally, u64) {
    let (keys, filler) = (Keys::new(11, u64::from(trace.keys)), Filler::new(trace.value_len_max()));
    let mut region = Region::new(capacity);
    let cache = EngineTarget::open(region.bytes(), 1).unwrap();
    let mut target = EngineTarget::new(&cache, keys, &filler);
    let tally = replay(trace, &mut target, options, &mut |_| ()).unwrap();
    assert_eq!(cache.stats().region_bytes, capacity as u64);
    (tally, cache.stats().evictions)
}

/// Where everything fits, windows of any length count as the model that goes one by one does, with and without ttl.
#[test]
fn engine_replay_differential() {
    let trace = mixed(2000, 40_000);
    for ttl in [false, true] {
        let model = replay(&trace, &mut fifo(usize::MAX), Options { batch: 1, ttl }, &mut |_| ()).unwrap();
        assert!(model.misses > 2000 && model.misses < model.gets);
        for batch in [1, 7, 64] {
            let (tally, evictions) = on_engine(&trace, 4 << 20, Options { batch, ttl });
            assert_eq!(evictions, 0);
            assert_eq!(Tally { windows: model.windows, ..tally }, model, "{batch}");
        }
    }
}

/// All blocks that were looked at are in the figures of one put or another.
#[test]
fn what_making_room_took_is_noted_put_by_put() {
    let trace = mixed(2000, 40_000);
    for (capacity, batch) in [(4 << 20, 1), (64 << 10, 1), (64 << 10, 32)] {
        let (keys, filler) = (Keys::new(11, u64::from(trace.keys)), Filler::new(trace.value_len_max()));
        let mut region = Region::new(capacity);
        let cache = EngineTarget::open(region.bytes(), 1).unwrap();
        let mut target = EngineTarget::new(&cache, keys, &filler);
        replay(&trace, &mut target, Options { batch, ttl: false }, &mut |_| ()).unwrap();
        let (making_room, stats) = (target.into_making_room(), cache.stats());
        let walked: u64 = making_room
            .walked
            .iter_recorded()
            .map(|bin| bin.value_iterated_to() * bin.count_at_value())
            .sum();
        if capacity == 4 << 20 {
            assert_eq!((walked, making_room.walked.max(), making_room.idle_bytes()), (0, 0, 0));
            continue;
        }
        // What the last calls, which put nothing, looked at is missing.
        let last = stats.walked - walked;
        assert!(walked > 0 && last <= making_room.walked.max(), "{last} of {}", stats.walked);
        assert!(batch > 1 || making_room.walked.len() >= stats.stores);
        assert!(making_room.walked.mean() >= 1.0 && making_room.walked.max() < 1000);
        let idle = making_room.idle_bytes();
        assert!(idle > 0 && idle < capacity as u64 / 8, "{idle}");
    }
}

#[test]
fn engine_replay_of_a_small_cache_is_never_wrong() {
    let trace = mixed(2000, 40_000);
    let (roomy, _) = on_engine(&trace, 4 << 20, Options { batch: 1, ttl: false });
    for batch in [1, 32] {
        let (tally, evictions) = on_engine(&trace, 64 << 10, Options { batch, ttl: false });
        assert!(evictions > 0 && tally.misses > roomy.misses);
        assert_eq!((tally.wrong, tally.pressure), (0, 0));
    }
}

/// With room for all of them each key misses once; with room for a part of them they miss again; and what was deleted is gone.
#[cfg(feature = "embed")]
#[test]
fn caches_of_others_hold_what_they_may() {
    use crate::embed::peers::PeerKind;

    let keys: Vec<_> = (0..2000).chain(0..2000).map(|key| format!("g{key}:92")).collect();
    let twice = keys.join(" ");
    let (twice, deleted) = (trace(&twice), trace("g0 g0 d0 g0"));
    let filler = Filler::new(100);
    let run = |kind, bytes, trace: &Trace| {
        let keys = Keys::new(8, u64::from(trace.keys));
        let mut target = CacheTarget::new(kind, bytes, keys, &filler).unwrap();
        let tally = replay(trace, &mut target, Options { batch: 1, ttl: false }, &mut |_| ()).unwrap();
        assert_eq!((tally.wrong, tally.refused), (0, 0));
        tally.misses
    };
    for kind in PeerKind::ALL.into_iter().filter(|kind| kind.evicts()) {
        assert_eq!(run(kind, 4_000_000, &twice), 2000, "{}", kind.name());
        // A tenth of the 200,000 bytes: at most a tenth of the second half can be there.
        let misses = run(kind, 20_000, &twice);
        assert!(misses >= 3800, "{}: {misses}", kind.name());
        assert_eq!(run(kind, 4_000_000, &deleted), 2, "{}", kind.name());
    }
    assert!(CacheTarget::new(PeerKind::Scc, 1, Keys::new(8, 1), &filler).is_none());
}

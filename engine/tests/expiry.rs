//! Expired items go while nothing else happens.

use std::mem::MaybeUninit;

use crabcache_engine::{Action, Cache, Condition, Config, Expiry, Millis, Op, Outcome, Put, TouchCondition};

/// A full cache, with items in the nursery, too: all of them expire, and idle time is enough to collect them.
#[test]
fn sweeps_collect_all_that_has_expired() {
    let mut memory = vec![MaybeUninit::uninit(); 2 << 20];
    let config = Config { shards: 2, handles_max: 2, ..Config::default() };
    let cache = Cache::new(&mut memory, config).expect("large enough");
    let mut handle = cache.handle().expect("the first");
    for i in 0..40_000_u32 {
        let put = Put {
            value: &[b'v'; 100],
            flags: 0,
            expiry: Expiry::At(Millis(1000 + u64::from(i / 100))),
            condition: Condition::Always,
        };
        let outcome = handle.apply(Millis(0), &Op { key: &i.to_le_bytes(), action: Action::Put(put) });
        assert!(matches!(outcome, Outcome::Stored { .. }), "{outcome:?}");
        handle.quiescent(Millis(0));
    }
    let full = cache.stats();
    assert!(full.evictions > 0 && full.items > 1000);
    let now = Millis(10_000);
    let mut freed = 0;
    // Each look goes through a part of it; a lap ends a look.
    for _ in 0..200 {
        freed += handle.sweep(now, 512);
    }
    let stats = cache.stats();
    assert_eq!((stats.items, freed, stats.expirations), (0, full.items, full.items));
}

/// A key that was said to be gone stays gone, even if the clock is set back to when it was not.
#[test]
fn what_was_found_to_be_gone_does_not_come_back() {
    let mut memory = vec![MaybeUninit::uninit(); 1 << 20];
    let cache = Cache::new(&mut memory, Config::default()).expect("large enough");
    let mut handle = cache.handle().expect("the first");
    let writes = [
        Op::delete(b"key"),
        Op { key: b"key", action: Action::Touch(Expiry::Never, TouchCondition::Always) },
        Op {
            key: b"key",
            action: Action::Put(Put { value: b"new", condition: Condition::Present, ..Put::default() }),
        },
    ];
    for (write, gone) in writes.iter().zip(1..) {
        let put = Put { value: b"old", expiry: Expiry::At(Millis(1000)), ..Put::default() };
        let stored = handle.apply(Millis(0), &Op { key: b"key", action: Action::Put(put) });
        assert!(matches!(stored, Outcome::Stored { old: None }), "{stored:?}");
        let refused = handle.apply(Millis(2000), write);
        assert!(matches!(refused, Outcome::Miss | Outcome::NotStored { found: None }), "{refused:?}");
        assert!(handle.get(Millis(500), b"key").is_none());
        let stats = cache.stats();
        assert_eq!((stats.items, stats.expirations), (0, gone));
    }
}

//! Expired items go while nothing else happens.

use std::mem::MaybeUninit;

use crabcache_engine::{Action, Cache, Condition, Config, Expiry, Millis, Op, Outcome, Put};

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

//! What does a PUT cost, in batches of 32: over a value that is there, into a cache that grows, and into a full one, where
//! something has to go for it? Times are per 32 puts, criterion's throughput is puts. Keys of 11 bytes, values of 32.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use crabcache_bench::drive;
use crabcache_bench::setup::{self, BATCH, KeyBatch, Table, VALUE};
use crabcache_engine::{Handle, Millis, Op, Outcome};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ITEMS: u32 = 200_000;

fn store(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(BATCH as u64));

    let mut table = Table::new(ITEMS);
    let cache = table.cache();
    let mut handle = cache.handle().expect("the first handle");
    setup::fill(&mut handle, ITEMS);
    let keys = setup::random_keys(ITEMS);
    let mut batches = keys.batches();
    group.bench_function("overwrite", |bencher| {
        bencher.iter(|| put(&mut handle, &batches.next_batch()));
    });

    // A new cache for each so many keys: the index grows from nothing, memory is touched for the first time.
    group.bench_function("insert_growing", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let mut table = Table::new(ITEMS);
                let cache = table.cache();
                let mut handle = cache.handle().expect("the first handle");
                let batches = left.min(u64::from(ITEMS) / BATCH as u64);
                let keys: Vec<_> =
                    (0..batches).map(|i| KeyBatch::numbered(i as u32 * BATCH as u32)).collect();
                let start = Instant::now();
                for keys in &keys {
                    put(&mut handle, &keys.keys());
                }
                spent += start.elapsed();
                left -= batches;
            }
            spent
        });
    });

    let mut table = Table::new(ITEMS / 4);
    let cache = table.cache();
    let mut handle = cache.handle().expect("the first handle");
    setup::fill(&mut handle, ITEMS);
    assert!(cache.stats().evictions > 0, "it is full");
    let mut next = ITEMS;
    group.bench_function("insert_full", |bencher| {
        bencher.iter(|| {
            let keys = KeyBatch::numbered(next);
            next = next.wrapping_add(BATCH as u32);
            put(&mut handle, &keys.keys());
        });
    });
}

fn put(handle: &mut Handle<'_>, keys: &[&[u8]; BATCH]) {
    let ops = keys.map(|key| Op::put(key, black_box(VALUE)));
    let done = drive::execute(handle, Millis(0), &ops, |_, outcome| {
        assert!(matches!(outcome, Outcome::Stored { .. }), "{outcome:?}");
    });
    assert_eq!(done, BATCH, "no room");
    handle.quiescent(Millis(0));
}

/// For comparing on one machine, which drifts more than a longer run would average out.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = short(); targets = store }
criterion_main!(benches);

//! What does a GET cost when the table does not fit the cache of the processor, one by one and in batches? Times are per
//! 32 lookups, criterion's throughput is lookups. Keys of 11 bytes, values of 32, keys asked for at random; all hit.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use crabcache_bench::setup::{self, BATCH, Table};
use crabcache_engine::{Millis, Op, Outcome, Simd};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(BATCH as u64));
    for items in [200_000, 2_000_000, 10_000_000] {
        let mut table = Table::new(items);
        let cache = table.cache();
        let mut handle = cache.handle().expect("the first handle");
        setup::fill(&mut handle, items);
        let keys = setup::random_keys(items);
        let mut batches = keys.batches();
        group.bench_function(BenchmarkId::new("one_by_one", items), |bencher| {
            bencher.iter(|| {
                for key in batches.next_batch() {
                    black_box(handle.get(Millis(0), key).expect("it is there").bytes().last());
                }
                handle.quiescent(Millis(0));
            });
        });
        group.bench_function(BenchmarkId::new("batch_32", items), |bencher| {
            bencher.iter(|| {
                let ops = batches.next_batch().map(Op::get);
                let _ = handle.execute(Millis(0), &ops, |_, outcome| hit(&outcome));
                handle.quiescent(Millis(0));
            });
        });
    }
}

/// What the levels of SIMD buy on the way of every request.
fn levels(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("levels");
    group.throughput(Throughput::Elements(BATCH as u64));
    let items = 200_000;
    for simd in [Simd::Scalar, Simd::Sse, Simd::Avx2, Simd::Widest] {
        let mut table = Table::new(items);
        let cache = table.cache_with(simd);
        let mut handle = cache.handle().expect("the first handle");
        setup::fill(&mut handle, items);
        let keys = setup::random_keys(items);
        for (name, op) in [("get", Op::get as fn(_) -> _), ("put", |key| Op::put(key, setup::VALUE))] {
            let mut batches = keys.batches();
            group.bench_function(BenchmarkId::new(name, cache.simd_level()), |bencher| {
                bencher.iter(|| {
                    let ops = batches.next_batch().map(op);
                    let _ = handle.execute(Millis(0), &ops, |_, outcome| {
                        black_box(&outcome);
                    });
                    handle.quiescent(Millis(0));
                });
            });
        }
    }
}

/// Touches the value as somebody who copies it would.
fn hit(outcome: &Outcome<'_>) {
    match outcome {
        Outcome::Hit(value) => {
            black_box(value.bytes().last());
        }
        other => panic!("{other:?}"),
    }
}

/// For comparing on one machine, which drifts more than a longer run would average out.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = short(); targets = lookup, levels }
criterion_main!(benches);

//! What does each CPU level gain, kernel by kernel? Batches of 32, the dispatch included; times are per operation's
//! batch, `elem` in criterion's throughput is one key or one bucket.
//!
//! The kernels are private to the engine, so this includes their files.

#![allow(missing_docs, unreachable_pub)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use arch::{Kernels, Level, Seed, Work};
use crabcache_bench::draw::Random;

#[allow(dead_code, unused_imports)] // its tests run in the engine
#[path = "../../engine/src/arch/mod.rs"]
mod arch;

const BATCH: usize = 32;
/// Batches of different inputs, so that branch predictors cannot learn one by heart.
const BATCHES: usize = 256;
/// But together they stay in the second cache.
const BYTES_MAX: usize = 256 << 10;

struct Hash<'a> {
    seed: &'a Seed,
    keys: &'a [Vec<u8>],
    out: &'a mut [u64; BATCH],
}

impl Work for Hash<'_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernels>(self) {
        for (out, key) in self.out.iter_mut().zip(self.keys) {
            *out = K::hash(self.seed, key);
        }
    }
}

struct Bucket {
    tags: Vec<u16>,
    len: usize,
    tag: u16,
}

struct Match<'a> {
    buckets: &'a [Bucket],
    out: &'a mut [u64; BATCH],
}

impl Work for Match<'_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernels>(self) {
        for (out, bucket) in self.out.iter_mut().zip(self.buckets) {
            *out = K::match_tags(&bucket.tags, bucket.len, bucket.tag);
        }
    }
}

struct Equal<'a>(&'a [(Vec<u8>, Vec<u8>)]);

impl Work for Equal<'_> {
    type Output = usize;

    #[inline(always)]
    fn run<K: Kernels>(self) -> usize {
        self.0.iter().filter(|(a, b)| K::equal(a, b)).count()
    }
}

fn bytes(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| random.bits() as u8).collect()
}

/// From one number to another, both among them.
fn within(random: &mut Random, least: usize, most: usize) -> usize {
    least + random.below((most - least + 1) as u32) as usize
}

/// Poisson, by Knuth's product of uniforms.
fn poisson(random: &mut Random, mean: f64) -> usize {
    let mut product = 1.0;
    let mut count = 0;
    loop {
        product *= random.unit();
        if product < (-mean).exp() {
            return count;
        }
        count += 1;
    }
}

/// How many keys of a length, in whole batches.
fn count(len: usize) -> usize {
    (BYTES_MAX / len / BATCH).clamp(1, BATCHES) * BATCH
}

fn kernels(c: &mut Criterion) {
    let mut random = Random::new(42);
    let seed = Seed::new([1, 2, 3, 4]);

    let mut hash = c.benchmark_group("hash");
    hash.throughput(Throughput::Elements(BATCH as u64));
    for (name, shortest, longest) in [
        ("8", 8, 8),
        ("11", 11, 11),
        ("16", 16, 16),
        ("32", 32, 32),
        ("64", 64, 64),
        ("250", 250, 250),
        ("1024", 1024, 1024),
        ("mixed 1..=40", 1, 40),
    ] {
        let keys: Vec<_> = (0..count(longest))
            .map(|_| {
                let len = within(&mut random, shortest, longest);
                bytes(&mut random, len)
            })
            .collect();
        for level in Level::supported() {
            let mut batches = keys.chunks(BATCH).cycle();
            hash.bench_function(BenchmarkId::new(name, level.name()), |b| {
                b.iter(|| {
                    let mut out = [0; BATCH];
                    level.dispatch(Hash { seed: &seed, keys: batches.next().unwrap(), out: &mut out });
                    black_box(out)
                });
            });
        }
    }
    hash.finish();

    let mut tags = c.benchmark_group("match_tags");
    tags.throughput(Throughput::Elements(BATCH as u64));
    for (name, mean) in [("mean 6", 6.0), ("mean 12", 12.0), ("mean 40", 40.0)] {
        let buckets: Vec<_> = (0..BATCHES * BATCH)
            .map(|_| {
                let len = poisson(&mut random, mean).clamp(1, 63);
                let tags: Vec<_> = (0..len.next_multiple_of(4)).map(|_| random.bits() as u16).collect();
                let tag = tags[within(&mut random, 0, len - 1)];
                Bucket { tags, len, tag }
            })
            .collect();
        for level in Level::supported() {
            let mut batches = buckets.chunks(BATCH).cycle();
            tags.bench_function(BenchmarkId::new(name, level.name()), |b| {
                b.iter(|| {
                    let mut out = [0; BATCH];
                    level.dispatch(Match { buckets: batches.next().unwrap(), out: &mut out });
                    black_box(out)
                });
            });
        }
    }
    tags.finish();

    let mut equal = c.benchmark_group("equal");
    equal.throughput(Throughput::Elements(BATCH as u64));
    for (name, shortest, longest) in
        [("11", 11, 11), ("32", 32, 32), ("250", 250, 250), ("1024", 1024, 1024), ("mixed 1..=40", 1, 40)]
    {
        let pairs: Vec<_> = (0..count(2 * longest))
            .map(|_| {
                let len = within(&mut random, shortest, longest);
                let key = bytes(&mut random, len);
                (key.clone(), key)
            })
            .collect();
        for level in Level::supported() {
            let mut batches = pairs.chunks(BATCH).cycle();
            equal.bench_function(BenchmarkId::new(name, level.name()), |b| {
                b.iter(|| level.dispatch(Equal(black_box(batches.next().unwrap()))));
            });
        }
    }
    equal.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = kernels
}
criterion_main!(benches);

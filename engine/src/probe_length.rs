//! How long the probes are, counted, not timed: a lookup compares the tags of one bucket, so what a bucket holds is what
//! it costs. No choice of keys by somebody who lacks the seed may make buckets longer than random keys make them.
//!
//! Compared are the mean over the keys of their buckets' length (what a lookup of a key that is there has to look
//! through: it grows with the variance), and the longest bucket.

use crate::{Cache, Config, Millis};
use core::mem::MaybeUninit;
use std::format;
use std::vec;
use std::vec::Vec;

/// Keys of a set. A few seconds without optimisation; `CRABCACHE_PROBE_KEYS=1000000` with `--release` for more.
fn count() -> usize {
    std::env::var("CRABCACHE_PROBE_KEYS").map_or(30_000, |n| n.parse().expect("a number"))
}

/// Caches that each set is put into, so that one long bucket by chance decides nothing.
const SEEDS: [u64; 4] = [1, 2, 3, 4];
/// What the attacker took for the seed.
const GUESSED: u64 = 1000;
/// All keys of the attacker are in one of so many buckets, under the seed that he guessed.
const AIM: u64 = 16;

/// The finalizer of `SplitMix64` over a counter: keys without structure.
fn random(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn config(seed: u64) -> Config {
    Config { shards: 1, handles_max: 1, seed: [seed, 0, 0, 0], ..Config::default() }
}

/// What the buckets of a cache hold, over all seeds.
#[derive(Debug)]
struct Lengths {
    /// Items in a bucket, on average.
    mean: f64,
    /// Items in the bucket of a key, on average over the keys.
    of_a_key: f64,
    /// Items in the longest bucket, on average over the seeds.
    longest: f64,
    /// Items that had to go because their bucket was full.
    displaced: u64,
}

fn lengths(keys: &[Vec<u8>], seeds: &[u64]) -> Lengths {
    let (mut buckets, mut items, mut squares, mut longest, mut displaced) = (0, 0, 0, 0, 0);
    let mut region = vec![MaybeUninit::uninit(); (keys.len() * 192).max(4 << 20)];
    for &seed in seeds {
        let cache = Cache::new(&mut region, config(seed)).expect("a region");
        let mut handle = cache.handle().expect("a handle");
        for keys in keys.chunks(1024) {
            for key in keys {
                handle.put(Millis(0), key, b"").expect("room");
            }
            handle.quiescent(Millis(0));
        }
        let shard = cache.shared.shard(0);
        let of_seed = (0..shard.born().load(crate::sync::Relaxed)).map(|bucket| shard.load(bucket).len());
        let mut longest_of_seed = 0;
        for len in of_seed {
            (buckets, items, squares) = (buckets + 1, items + len, squares + len * len);
            longest_of_seed = longest_of_seed.max(len);
        }
        longest += longest_of_seed;
        displaced += cache.stats().evictions;
    }
    Lengths {
        mean: items as f64 / f64::from(buckets),
        of_a_key: squares as f64 / items as f64,
        longest: longest as f64 / seeds.len() as f64,
        displaced,
    }
}

/// Keys that somebody has chosen who knows everything but the seed.
fn adversarial(count: usize) -> Vec<Vec<u8>> {
    let mut region = vec![MaybeUninit::uninit(); 1 << 20];
    let guessed = Cache::new(&mut region, config(GUESSED)).expect("a region");
    let collides = |key: &Vec<u8>| guessed.shared.hash(key).bucket(40).is_multiple_of(AIM);
    (0..).map(|i| random(i).to_le_bytes().to_vec()).filter(collides).take(count).collect()
}

/// A base key of 64 bytes and all keys that differ from it in three bits.
fn few_bits_apart(count: usize) -> Vec<Vec<u8>> {
    let bits = 64 * 8;
    let flipped = |at: [usize; 3]| {
        let mut key = vec![0x55_u8; 64];
        for bit in at {
            key[bit / 8] ^= 1 << (bit % 8);
        }
        key
    };
    (0..bits)
        .flat_map(|a| (a + 1..bits).flat_map(move |b| (b + 1..bits).map(move |c| flipped([a, b, c]))))
        .take(count)
        .collect()
}

#[test]
fn no_keys_make_longer_buckets_than_random_ones() {
    let count = count();
    let numbered = |prefix: &str| (0..count).map(|i| format!("{prefix}{i:07}").into_bytes()).collect();
    let sets: [(&str, Vec<Vec<u8>>); 4] = [
        ("sequential", numbered("key:")),
        ("60 bytes in common", numbered(&"prefix".repeat(10))),
        ("three bits apart", few_bits_apart(count)),
        ("chosen under another seed", adversarial(count)),
    ];
    let random: Vec<_> = (0..count as u64).map(|i| random(!i).to_le_bytes().to_vec()).collect();
    let usual = lengths(&random, &SEEDS);
    std::println!("{count} keys: random: {usual:.3?}");
    assert_eq!(usual.displaced, 0, "everything fits");
    for (name, keys) in &sets {
        let found = lengths(keys, &SEEDS);
        std::println!("{count} keys: {name}: {found:.3?}");
        assert_eq!(found.displaced, 0, "{name}");
        assert!(found.mean <= 1.1 * usual.mean, "{name}: {found:?}, random: {usual:?}");
        assert!(found.of_a_key <= 1.1 * usual.of_a_key, "{name}: {found:?}, random: {usual:?}");
        assert!(found.longest <= 1.1 * usual.longest, "{name}: {found:?}, random: {usual:?}");
    }
    // The same keys do harm where the guess was right: so the test would see it.
    let guessed = lengths(&sets[3].1, &[GUESSED]);
    std::println!("{count} keys: chosen under this seed: {guessed:.3?}");
    assert!(guessed.of_a_key > 2.0 * usual.of_a_key, "{guessed:?}, random: {usual:?}");
}

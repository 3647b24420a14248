//! How much work a write may cause, counted rather than timed.
//!
//! A put looks at blocks to make room only if nobody has made it ahead. Then it looks, in each of its few rounds, at 64 blocks
//! that it may spare, and at those that make up the size asked for; or at up to 256 that leave the nursery. Being quiescent
//! looks at 96 blocks of main and 256 of the nursery at most, for each shard.

use core::mem::MaybeUninit;
use std::vec::Vec;
use std::{println, vec};

use crate::random::Random;
use crate::{Cache, Config, Handle, Millis, StoreError};

/// Rounds of making room in one write, for what is not larger than a limbo ring.
const ROUNDS: u64 = 4;
/// Blocks that the hand may spare in a round.
const SPARED: u64 = 64;
/// Blocks that leave the nursery in a round.
const LEAVING: u64 = 256;
/// Blocks of main that are looked at ahead of need.
const AHEAD: u64 = 96;
/// Bytes of the smallest block.
const BLOCK_MIN: u64 = 16;

/// From `2^low` to `2^high`, small ones as often as large ones.
fn size(random: &mut Random, low: u64, high: u64) -> usize {
    let magnitude = low + random.below(high - low);
    ((1 << magnitude) + random.below(1 << magnitude)) as usize
}

/// What the writes and the quiescent states of a run looked at, in blocks.
#[derive(Default)]
struct Walked {
    writes: Vec<u64>,
    quiescent: Vec<u64>,
}

impl Walked {
    fn most_of_a_thousand(mut counts: Vec<u64>) -> u64 {
        counts.sort_unstable();
        counts[counts.len() - 1 - counts.len() / 1000]
    }
}

/// Puts items of random sizes, gets others, and checks each put against what its size allows.
fn run(
    seed: u64,
    region: usize,
    keys: u64,
    sizes: (u64, u64),
    gets: u64,
    turn: usize,
) -> Result<Walked, StoreError> {
    let mut memory = vec![MaybeUninit::uninit(); region];
    let cache =
        Cache::new(&mut memory, Config { shards: 1, handles_max: 1, seed: [seed; 4], ..Config::default() })
            .expect("large enough");
    let mut handle = cache.handle().expect("the first");
    let (mut random, mut walked) = (Random(seed), Walked::default());
    let value = vec![7; 2 << sizes.1];
    let count = |handle: &mut Handle<'_>, act: &mut dyn FnMut(&mut Handle<'_>)| {
        let before = cache.stats().walked;
        act(handle);
        cache.stats().walked - before
    };
    for step in 0..60_000 {
        for _ in 0..gets {
            // Half of the keys are asked for much more often.
            let key = random.below(keys).min(random.below(keys)).to_le_bytes();
            handle.get(Millis(0), &key);
        }
        let (key, len) = (random.below(keys).to_le_bytes(), size(&mut random, sizes.0, sizes.1));
        let mut stored = Ok(());
        let looked = count(&mut handle, &mut |handle| stored = handle.put(Millis(0), &key, &value[..len]));
        stored?;
        let needed = (len as u64 + 32) / BLOCK_MIN;
        let most = ROUNDS * (SPARED + LEAVING + 2 * needed);
        assert!(looked <= most, "seed {seed}: a put of {len} bytes looked at {looked} blocks, not {most}");
        walked.writes.push(looked);
        if step % turn == 0 {
            walked.quiescent.push(count(&mut handle, &mut |handle| handle.quiescent(Millis(0))));
        }
    }
    Ok(walked)
}

#[test]
fn a_write_looks_at_few_blocks() -> Result<(), StoreError> {
    for (seed, region, keys, sizes, gets, turn) in [
        // Like the traces: small and large, some gets, a turn for each operation.
        (1, 4 << 20, 100_000, (5, 13), 3, 1),
        // All of one size, in batches.
        (2, 4 << 20, 100_000, (6, 7), 1, 32),
        // Everything is in use all the time.
        (3, 1 << 20, 30_000, (5, 7), 20, 8),
        // Large among small.
        (4, 8 << 20, 100_000, (4, 17), 2, 4),
    ] {
        let walked = run(seed, region, keys, sizes, gets, turn)?;
        let (most, often) = (walked.writes.iter().max().copied(), Walked::most_of_a_thousand(walked.writes));
        let ahead = walked.quiescent.iter().max().copied().unwrap_or(0);
        println!("seed {seed}: writes {often} in 99.9 %, {most:?} at most; quiescent {ahead} at most");
        assert!(often <= 200, "seed {seed}: {often} blocks");
        assert!(ahead <= AHEAD + LEAVING, "seed {seed}: {ahead} blocks in a quiescent state");
    }
    Ok(())
}

#[test]
fn growth_is_two_buckets_at_a_time() {
    let mut memory = vec![MaybeUninit::uninit(); 16 << 20];
    let cache =
        Cache::new(&mut memory, Config { shards: 1, handles_max: 1, seed: [5; 4], ..Config::default() })
            .expect("large enough");
    let mut handle = cache.handle().expect("the first");
    let mut buckets = cache.stats().buckets;
    for key in 0..200_000_u32 {
        assert_eq!(handle.put(Millis(0), &key.to_le_bytes(), b"x"), Ok(()));
        let now = cache.stats().buckets;
        assert!(now - buckets <= 2, "{} splits in one insert", now - buckets);
        buckets = now;
        handle.quiescent(Millis(0));
    }
    assert!(buckets > 10_000, "it grew: {buckets}");
}

//! What large items cost the others, and what stands in their way.

mod support;

use std::mem::MaybeUninit;

use crabcache_engine::{Cache, Config, Handle, Millis, StoreError};
use support::Random;

const NOW: Millis = Millis(1);

/// Turns it takes until the put succeeds, if it does.
fn insist(handle: &mut Handle<'_>, key: &[u8], value: &[u8], turns: u32) -> Option<u32> {
    (0..turns).find(|_| {
        let stored = handle.put(NOW, key, value).is_ok();
        handle.quiescent(NOW);
        stored
    })
}

/// Three times as many bytes as fit.
fn fill(handle: &mut Handle<'_>, random: &mut Random, region: usize, value_max: usize) {
    let value = vec![7; value_max];
    let puts = (3 * region / (value_max / 2 + 20)) as u64;
    for _ in 0..puts {
        let (key, len) = (random.below(puts / 2).to_le_bytes(), random.below(value_max as u64 + 1) as usize);
        assert!(insist(handle, &key, &value[..len], 50).is_some(), "{len} bytes are refused");
    }
}

/// The same through several handles in turn, ten puts a turn, each after a look for another key.
fn fill_in_turns(handles: &mut [Handle<'_>], random: &mut Random, region: usize, value_max: usize) {
    let value = vec![7; value_max];
    let puts = 3 * region / (value_max / 2 + 20);
    for turn in 0..puts / 10 {
        let number = turn % handles.len();
        for _ in 0..10 {
            let key = random.below(puts as u64 / 2).to_le_bytes();
            let wanted = random.below(puts as u64 / 2).min(random.below(puts as u64 / 2)).to_le_bytes();
            let _ = handles[number].get(NOW, &wanted);
            let len = random.below(value_max as u64 + 1) as usize;
            let stored = (0..50).any(|_| {
                let stored = handles[number].put(NOW, &key, &value[..len]).is_ok();
                if !stored {
                    for handle in &mut *handles {
                        handle.quiescent(NOW);
                    }
                }
                stored
            });
            assert!(stored, "{len} bytes are refused");
        }
        handles[number].quiescent(NOW);
    }
}

#[test]
fn a_large_item_costs_the_others_its_room_and_no_more() {
    const REGION: usize = 8 << 20;
    let mut region = vec![MaybeUninit::uninit(); REGION];
    let config = Config { shards: 1, handles_max: 1, seed: [1, 2, 3, 4], ..Config::default() };
    let cache = Cache::new(&mut region, config).expect("large enough");
    let (mut handle, mut random) = (cache.handle().expect("the first"), Random(88_172_645_463_325_252));
    fill(&mut handle, &mut random, REGION, 2000);
    fill(&mut handle, &mut random, REGION, 100);
    let max = cache.item_len_max();
    let big = vec![1; max];
    for part in [64, 32, 16, 8, 4, 2, 1] {
        let (len, before) = (max / part - 8, cache.stats());
        assert!(insist(&mut handle, b"big", &big[..len], 20).is_some(), "{len} bytes of {max} are refused");
        let lost = before.items - cache.stats().items;
        // As many of the others as lie in its place, and what makes room ahead in twenty turns.
        let its_room = len as u64 * before.items / before.used_bytes;
        assert!(lost <= 3 * its_room + 4000, "{len} bytes cost {lost} items");
    }
}

/// Where small items come after large ones the index grows in a full cache, and its pieces can never move.
#[test]
fn the_largest_item_has_a_place_whatever_came_before() {
    const REGION: usize = 8 << 20;
    for (shards, handles, sizes) in [(1, 1, &[20_000, 60][..]), (8, 2, &[100, 20_000, 50])] {
        let mut memory = vec![MaybeUninit::uninit(); REGION];
        let config = Config { shards, handles_max: 2, seed: [1, 2, 3, 4], ..Config::default() };
        let cache = Cache::new(&mut memory, config).expect("large enough");
        let mut handles: Vec<_> = (0..handles).map(|_| cache.handle().expect("one of two")).collect();
        let mut random = Random(88_172_645_463_325_252);
        for &size in sizes {
            fill_in_turns(&mut handles, &mut random, REGION, size);
        }
        let big = vec![1; cache.item_len_max() - 8];
        // A key in each shard, as likely as not.
        for key in 0..4 * shards {
            let stored = (0..300).find(|_| {
                let stored = handles[0].put(NOW, &key.to_le_bytes(), &big).is_ok();
                for handle in &mut *handles {
                    handle.quiescent(NOW);
                }
                stored
            });
            assert!(
                stored.is_some(),
                "{shards} shards, {} handles, after {sizes:?}: the largest is refused",
                handles.len()
            );
        }
    }
}

/// Blocks that a handle keeps for its next writes lie scattered among the items.
#[test]
fn what_another_handle_keeps_is_given_back_when_it_is_quiescent_or_rests() {
    const REGION: usize = 8 << 20;
    for rests in [false, true] {
        let mut region = vec![MaybeUninit::uninit(); REGION];
        let config = Config { shards: 1, handles_max: 2, seed: [1, 2, 3, 4], ..Config::default() };
        let cache = Cache::new(&mut region, config).expect("large enough");
        let [mut keeper, mut other] = [0, 1].map(|_| cache.handle().expect("one of two"));
        other.offline();
        let mut random = Random(88_172_645_463_325_252);
        for key in 0..70_000_u32 {
            assert!(insist(&mut keeper, &key.to_le_bytes(), &[7; 90], 50).is_some());
        }
        for _ in 0..10_000 {
            let (key, len) = (random.below(70_000) as u32, 60 + random.below(60) as usize);
            assert!(insist(&mut keeper, &key.to_le_bytes(), &[7; 120][..len], 50).is_some());
        }
        let big = vec![1; cache.item_len_max() - 8];
        let stored = if rests {
            assert!(keeper.rest(), "nobody else is online");
            insist(&mut other, b"big", &big, 20)
        } else {
            keeper.offline();
            assert_eq!(insist(&mut other, b"big", &big, 3), None, "nothing stood in its way");
            // In turn, as two threads at work would.
            (0..200).find(|_| {
                keeper.online();
                keeper.quiescent(NOW);
                insist(&mut other, b"big", &big, 1).is_some()
            })
        };
        assert!(stored.is_some(), "it is refused, whether the keeper rests ({rests}) or not");
        assert_eq!(other.get(NOW, b"big").map(|value| value.bytes().len()), Some(big.len()));
    }
}

/// Who could only wait in vain is told so, and nobody goes for it.
#[test]
fn what_can_have_no_place_is_told_so_and_costs_nobody_theirs() {
    const REGION: usize = 8 << 20;
    let mut region = vec![MaybeUninit::uninit(); REGION];
    let config = Config { shards: 1, handles_max: 2, seed: [1, 2, 3, 4], ..Config::default() };
    let cache = Cache::new(&mut region, config).expect("large enough");
    let [mut handle, mut other] = [0, 1].map(|_| cache.handle().expect("one of two"));
    let max = cache.item_len_max();
    let (big, mut arriving) = (vec![1; max - 8], Vec::new());
    // Values that are still on their way lie among the others, nearer to each other than the large one is long.
    for key in 0..20_000_u32 {
        assert_eq!(handle.put(NOW, &key.to_le_bytes(), &[7; 1000]), Ok(()));
        if key < 8000 && key.is_multiple_of(400) {
            arriving.push(handle.reserve(NOW, &key.to_le_bytes(), 10_000, 0, None).expect("room"));
        }
        handle.quiescent(NOW);
        other.quiescent(NOW);
    }
    let before = cache.stats().items;
    // The other one, for all that is known, may keep blocks that are in the way.
    assert_eq!(handle.put(NOW, b"big", &big), Err(StoreError::Pressure));
    let mut turns = 0;
    let refused = loop {
        turns += 1;
        assert!(turns < 20, "it never learns of it");
        other.quiescent(NOW);
        handle.quiescent(NOW);
        match handle.put(NOW, b"big", &big) {
            Err(StoreError::Pressure) => {}
            done => break done,
        }
    };
    assert_eq!(refused, Err(StoreError::NoPlace));
    assert!(before - cache.stats().items < 200, "{before} items before, {} after", cache.stats().items);
    // As soon as they are gone there is one.
    drop(arriving);
    other.offline();
    assert!(insist(&mut handle, b"big", &big, 3).is_some());
}

/// What a handle has removed comes back through itself alone.
#[test]
fn a_handle_that_rests_leaves_nothing_in_limbo() {
    let mut region = vec![MaybeUninit::uninit(); 1 << 20];
    let config = Config { shards: 1, handles_max: 2, seed: [1, 2, 3, 4], ..Config::default() };
    let cache = Cache::new(&mut region, config).expect("large enough");
    let [mut sleeper, mut other] = [0, 1].map(|_| cache.handle().expect("one of two"));
    for key in 0..4_u8 {
        sleeper.put(NOW, &[key], &vec![1; 200_000]).expect("room");
    }
    for key in 0..4_u8 {
        assert_eq!(sleeper.delete(NOW, &[key]), Ok(true));
    }
    // The other one may still look at them, until it has been quiescent.
    let mut turns = 0;
    while !sleeper.rest() {
        turns += 1;
        assert!(turns < 10, "it never comes to rest");
        other.quiescent(NOW);
    }
    assert_eq!(cache.stats().limbo_bytes, 0);
    assert_eq!(other.put(NOW, b"big", &vec![1; 200_000]), Ok(()));
}

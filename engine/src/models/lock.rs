//! Stories of the words that the allocator shares with others.

use super::*;
use crate::arena::block::{PREV_FREE, USES_MAX};
use crate::arena::free_list::lists_bytes;
use crate::config::{
    SHARD_ABANDONED, SHARD_CLEARED_FROM, SHARD_CLEARING, SHARD_FREE, SHARD_HAND, SHARD_ITEMS, SHARD_LOCK,
    SHARD_SWEEP,
};
use crate::reservation::Reservation;
use crate::sync::Witness;
use loom::thread;

/// Two threads try for the lock; whoever has it is alone.
#[test]
fn try_lock_excludes() {
    explore("try_lock || try_lock", None, || {
        let geometry = geometry(1);
        let mut region = Region::empty(geometry.len);
        region.add32(SHARD + SHARD_LOCK, 0);
        let (seed, level) = (Seed::new([1, 2, 3, 4]), Level::detect());
        let shared =
            Arc::new(Shared { number: 0, region, geometry, seed, level, fences: FenceOrder::default() });
        let guarded = Arc::new(Witness::new());
        let enter = |shared: &Shared, guarded: &Witness| {
            shared.shard(0).try_lock().map(|_locked| guarded.write()).is_some()
        };
        let (other, theirs) = (Arc::clone(&shared), Arc::clone(&guarded));
        let join = thread::spawn(move || enter(&other, &theirs));
        let ours = enter(&shared, &guarded);
        assert!(ours | join.join().unwrap(), "nobody had the lock");
        assert!(enter(&shared, &guarded), "the lock was not given back");
    });
}

/// A reader counts a use while the allocator changes the neighbour bit of the same header.
#[test]
fn mark_keeps_the_neighbour_bit() {
    explore("mark used || neighbour bit", None, || {
        let geometry = geometry(1);
        let mut region = Region::empty(geometry.len);
        let shape = Shape { key_len: 1, value_len: 0, flags: false, expiry: false, mark: false };
        let at = SHARD + item_at(4) as usize * GRANULE;
        region.add32(at, Header::item(shape, ITEM_STRIDE).0);
        let (seed, level) = (Seed::new([1, 2, 3, 4]), Level::detect());
        let shared =
            Arc::new(Shared { number: 0, region, geometry, seed, level, fences: FenceOrder::default() });
        let other = Arc::clone(&shared);
        let join = thread::spawn(move || {
            for _ in 0..2 {
                Item::load(other.shard(0), item_at(4)).mark_used();
            }
        });
        shared.root().word32(at).fetch_or(PREV_FREE, Ordering::Relaxed);
        Item::load(shared.shard(0), item_at(4)).mark_used();
        join.join().unwrap();
        let header = Header(shared.root().word32(at).load(Ordering::Relaxed));
        assert!(header.is_prev_free(), "the neighbour bit was lost");
        assert!(header.uses() >= 1 && header.uses() <= USES_MAX);
        assert_eq!(header.with_uses(0).0 & !PREV_FREE, Header::item(shape, ITEM_STRIDE).0);
    });
}

/// A writer turns its block into an item while the allocator changes the neighbour bit of the same header, and the hand comes by.
#[test]
fn finish_keeps_the_neighbour_bit() {
    explore("finish || neighbour bit, hand", None, || {
        let geometry = geometry(1);
        let mut region = Region::empty(geometry.len);
        let (raw, shape) = (
            Header::raw(ITEM_STRIDE),
            Shape { key_len: 1, value_len: 9, flags: false, expiry: false, mark: false },
        );
        let at = SHARD + offset_of(item_at(4));
        region.add32(at, raw.0);
        region.add_bytes(at + GRANULE);
        let (seed, level) = (Seed::new([1, 2, 3, 4]), Level::detect());
        let shared =
            Arc::new(Shared { number: 0, region, geometry, seed, level, fences: FenceOrder::default() });
        let other = Arc::clone(&shared);
        let join = thread::spawn(move || {
            let shard = other.shard(0);
            shard.part.write(offset_of(item_at(4)) + GRANULE, b"k");
            Item::finish(shard, item_at(4), raw, Header::fitting(shape));
        });
        shared.root().word32(at).fetch_or(PREV_FREE, Ordering::Relaxed);
        match Item::meet(shared.shard(0), item_at(4)) {
            Ok(item) => assert_eq!(item.key(), b"k"),
            Err(header) => assert_eq!(header.granules(), ITEM_STRIDE),
        }
        join.join().unwrap();
        let header = shared.root().word32(at).load(Ordering::Relaxed);
        assert_eq!(header, Header::fitting(shape).0 | PREV_FREE, "the neighbour bit was lost");
    });
}

/// An arena with two blocks in it, side by side, each reserved for an item that is still to come.
fn two_reserved() -> Shared {
    let mut geometry = geometry(1);
    let lists = offset_of(ITEMS);
    (geometry.item_lists_at, geometry.first_block) = (lists, RESERVED[0]);
    let mut region = Region::empty(geometry.len);
    [SHARD_LOCK, SHARD_ABANDONED].iter().for_each(|at| region.add32(SHARD + at, 0));
    // Written under the lock alone.
    [SHARD_FREE, SHARD_HAND, SHARD_SWEEP, SHARD_CLEARING, SHARD_CLEARED_FROM]
        .iter()
        .for_each(|at| region.add_settled32(SHARD + at, 0));
    region.add_settled32(SHARD + SHARD_ITEMS, RESERVED.len() as u32);
    let lists = lists..lists + lists_bytes(geometry.shard_stride) + GRANULE;
    lists.step_by(GRANULE).for_each(|at| region.add_settled32(SHARD + at, 0));
    for at in RESERVED.map(offset_of) {
        region.add_settled32(SHARD + at, Header::raw(ITEM_STRIDE).0);
        region.add_bytes(SHARD + at + GRANULE);
        // Links, and in the last granule what leads to the next one that was left.
        (1..3).for_each(|i| region.add_settled32(SHARD + at + i * GRANULE, 0));
        region.add32(SHARD + at + 3 * GRANULE, 0);
    }
    region.add_settled32(SHARD + offset_of(RESERVED[1] + ITEM_STRIDE), Header::raw(1).0);
    let (seed, level) = (Seed::new([1, 2, 3, 4]), Level::detect());
    Shared { number: 0, region, geometry, seed, level, fences: FenceOrder::default() }
}

const RESERVED: [u32; 2] = [ITEMS + 400, ITEMS + 400 + ITEM_STRIDE];

/// Two drop what they reserved, beside one that has the lock and gives back what was left to it.
#[test]
fn abandon_release() {
    explore("drop a reservation || drop a reservation || release what was left, allocate", Some(3), || {
        let shared = Arc::new(two_reserved());
        let shape = Shape { key_len: 1, value_len: 8, flags: false, expiry: false, mark: false };
        let joins = RESERVED.map(|at| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let header = Header::fitting(shape);
                let mut reservation = Reservation::new(&shared, KeyHash(0), at, ITEM_STRIDE, header);
                reservation.value().fill(0xff);
            })
        });
        // What is free is somebody's at once.
        let use_again = || {
            let Some(locked) = shared.shard(0).try_lock() else { return };
            locked.release_abandoned();
            if let Some((at, _)) = locked.allocate(ITEM_STRIDE) {
                shared.shard(0).part.write(offset_of(at) + GRANULE, &[0]);
                locked.release(at);
            }
        };
        use_again();
        joins.into_iter().for_each(|join| join.join().unwrap());
        use_again();
        let locked = shared.shard(0).try_lock().expect("nobody has it");
        assert_eq!(locked.items().audit(), (1, 2 * ITEM_STRIDE), "a block was lost");
        assert_eq!(shared.shard(0).word(SHARD_ITEMS).load(Ordering::Relaxed), 0);
    });
}

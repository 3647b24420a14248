//! Stories of the words that the allocator shares with others.

use super::*;
use crate::arena::block::{PREV_FREE, USES_MAX};
use crate::config::SHARD_LOCK;
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

//! Room for a value that is still to come.

use crabcache_engine::{Action, Cache, Condition, Config, Handle, Millis, Op, Outcome};

const NOW: Millis = Millis(1000);

fn config() -> Config {
    Config { shards: 1, handles_max: 1, ..Config::default() }
}

fn store(handle: &mut Handle<'_>, key: &[u8], value: &[u8]) {
    let mut room = handle.reserve(NOW, key, value.len(), 0, None).expect("room");
    room.value().copy_from_slice(value);
    assert!(matches!(handle.commit(NOW, room, Condition::Always), Ok(Outcome::Stored { .. })));
}

#[test]
fn a_filled_region_is_as_good_as_any_other() {
    let mut region = vec![0xAB; 1 << 20];
    let cache = Cache::in_filled(&mut region, config()).expect("large enough");
    let mut handle = cache.handle().expect("the first");
    for round in 0..3000_u32 {
        let value = vec![round as u8; 1 + round as usize % 5000];
        store(&mut handle, format!("k{}", round % 100).as_bytes(), &value);
        let found = handle.get(NOW, format!("k{}", round % 100).as_bytes()).expect("it was just stored");
        assert!(found.bytes() == value);
        handle.quiescent(NOW);
    }
}

#[test]
fn when_it_expires_may_be_said_last() {
    let mut region = vec![0; 1 << 20];
    let cache = Cache::in_filled(&mut region, config()).expect("large enough");
    let mut handle = cache.handle().expect("the first");
    for (flags, len) in [(0, 10), (7, 10), (0, 5000), (7, 5000)] {
        let mut room = handle.reserve(NOW, b"k", len, flags, Some(Millis(0))).expect("room");
        room.value().fill(b'v');
        assert!(room.set_expires(Millis(2000)));
        assert!(matches!(handle.commit(NOW, room, Condition::Always), Ok(Outcome::Stored { .. })));
        let found = handle.get(NOW, b"k").expect("it has not expired");
        assert_eq!((found.expires(), found.flags(), found.bytes().len()), (Some(Millis(2000)), flags, len));
        assert!(handle.get(Millis(2000), b"k").is_none());
    }
    let mut room = handle.reserve(NOW, b"k", 10, 0, None).expect("room");
    assert!(!room.set_expires(Millis(2000)));
}

#[test]
fn what_expired_while_it_arrived_takes_what_was_there_with_it() {
    let mut region = vec![0; 1 << 20];
    let cache = Cache::in_filled(&mut region, config()).expect("large enough");
    let mut handle = cache.handle().expect("the first");
    let free = cache.stats().free_bytes;
    store(&mut handle, b"k", b"old");
    let room = handle.reserve(NOW, b"k", 5000, 0, Some(Millis(1500))).expect("room");
    assert!(matches!(handle.commit(Millis(1500), room, Condition::Absent), Ok(Outcome::NotStored { .. })));
    assert!(handle.get(NOW, b"k").is_some());
    let room = handle.reserve(NOW, b"k", 5000, 0, Some(Millis(1500))).expect("room");
    assert!(matches!(handle.commit(Millis(1500), room, Condition::Always), Ok(Outcome::Stored { .. })));
    assert!(handle.get(NOW, b"k").is_none());
    handle.quiescent(NOW);
    assert_eq!((cache.stats().items, cache.stats().free_bytes > free - 4096), (0, true));
}

#[test]
fn newcomers_of_a_full_cache_are_not_admitted_and_overwrites_of_main_are() {
    let mut region = vec![0; 1 << 20];
    let cache = Cache::in_filled(&mut region, config()).expect("large enough");
    let mut handle = cache.handle().expect("the first");
    let value = vec![b'v'; 10_000];
    assert!(handle.admits(NOW, b"k0", value.len()), "there is room");
    assert!(!handle.admits(NOW, b"k0", 2 << 20), "it is too large");
    let mut stored = 0;
    while handle.admits(NOW, format!("k{stored}").as_bytes(), value.len()) {
        store(&mut handle, format!("k{stored}").as_bytes(), &value);
        handle.quiescent(NOW);
        stored += 1;
        assert!(stored < 200, "it never fills");
    }
    assert!(stored > 50, "{stored}");
    assert!(handle.admits(NOW, b"k1", value.len()), "it lies in main");
    assert!(!handle.admits(NOW, b"other", value.len()));
    handle.put(NOW, b"other", &value).expect("room in the nursery");
    assert!(!handle.admits(NOW, b"other", value.len()), "it has proved nothing yet");
}

#[test]
fn what_replaces_an_item_of_main_is_as_popular_as_that() {
    let mut region = vec![0; 1 << 20];
    let cache = Cache::in_filled(&mut region, config()).expect("large enough");
    let mut handle = cache.handle().expect("the first");
    for used in [false, true] {
        store(&mut handle, b"k", b"value");
        if used {
            handle.get(NOW, b"k").expect("it is there");
        }
        store(&mut handle, b"k", b"other");
        let found = handle.apply(NOW, &Op { key: b"k", action: Action::Peek });
        assert!(matches!(found, Outcome::Hit(value) if value.is_used() == used));
    }
}

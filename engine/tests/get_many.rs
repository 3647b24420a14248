//! Many keys at once: each is answered once, in order, whatever stands in the way.

use crabcache_engine::{
    Action, BATCH, Cache, Config, Expiry, Handle, KEY_LEN_MAX, Millis, Op, Outcome, Put, Value,
};
use std::mem::MaybeUninit;

const NOW: Millis = Millis(10);

fn region() -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); 1 << 20]
}

/// What was reported, after checking that each key was, in order.
fn read(handle: &mut Handle<'_>, now: Millis, keys: &[impl AsRef<[u8]>]) -> Vec<Option<Vec<u8>>> {
    let mut answers = Vec::new();
    handle.get_many(now, keys, |i, value: Option<Value<'_>>| {
        assert_eq!(i, answers.len(), "out of order");
        answers.push(value.map(|value| value.bytes().to_vec()));
    });
    assert_eq!(answers.len(), keys.len(), "not all were answered");
    answers
}

/// Around each multiple of a batch, with every third key absent.
#[test]
fn all_keys_are_answered_in_order() {
    let mut memory = region();
    let cache = Cache::new(&mut memory, Config::default()).expect("a region");
    let mut handle = cache.handle().expect("a handle");
    let keys: Vec<String> = (0..=3 * BATCH).map(|i| format!("key {i}")).collect();
    let expected: Vec<_> =
        (0..keys.len()).map(|i| (i % 3 != 0).then(|| format!("value {i}").into_bytes())).collect();
    for (key, value) in keys.iter().zip(&expected) {
        if let Some(value) = value {
            handle.put(NOW, key.as_bytes(), value).expect("room");
        }
    }
    for len in [0, 1, 2, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 3 * BATCH + 1] {
        let before = cache.stats();
        assert_eq!(read(&mut handle, NOW, &keys[..len]), expected[..len]);
        let (hits, stats) = (expected[..len].iter().flatten().count() as u64, cache.stats());
        assert_eq!((stats.hits - before.hits, stats.misses - before.misses), (hits, len as u64 - hits));
    }
}

#[test]
fn what_no_item_can_have_is_a_miss() {
    let mut memory = region();
    let cache = Cache::new(&mut memory, Config::default()).expect("a region");
    let mut handle = cache.handle().expect("a handle");
    let (longest, too_long) = (vec![b'k'; KEY_LEN_MAX], vec![b'k'; KEY_LEN_MAX + 1]);
    handle.put(NOW, &longest, b"longest").expect("room");
    handle.put(NOW, b"", b"empty").expect("room");
    let put = Put { value: b"soon gone", expiry: Expiry::At(Millis(20)), ..Put::default() };
    let stored = handle.apply(NOW, &Op { key: b"mayfly", action: Action::Put(put) });
    assert!(matches!(stored, Outcome::Stored { old: None }));

    let keys: [&[u8]; 6] = [&too_long, b"mayfly", &longest, b"", &too_long, b"mayfly"];
    let (longest, empty) = (Some(b"longest".to_vec()), Some(b"empty".to_vec()));
    let (mayfly, none) = (Some(b"soon gone".to_vec()), None);
    let expected = [&none, &mayfly, &longest, &empty, &none, &mayfly];
    assert!(read(&mut handle, Millis(19), &keys).iter().eq(expected));
    let expected = [&none, &none, &longest, &empty, &none, &none];
    assert!(read(&mut handle, Millis(20), &keys).iter().eq(expected));
    // Alone in its batch it takes another way.
    assert_eq!(read(&mut handle, NOW, &keys[..1]), [None]);
}

/// A handle that sleeps is woken, and what it found stays until it is quiescent.
#[test]
fn references_hold_until_the_handle_is_quiescent() {
    let mut memory = region();
    let cache = Cache::new(&mut memory, Config::default()).expect("a region");
    let mut handle = cache.handle().expect("a handle");
    let keys: Vec<String> = (0..2 * BATCH).map(|i| i.to_string()).collect();
    for key in &keys {
        handle.put(NOW, key.as_bytes(), key.as_bytes()).expect("room");
    }
    handle.offline();
    let mut references = Vec::new();
    handle.get_many(NOW, &keys, |_, value| references.extend(value.map(|value| value.arena_ref())));
    for (key, &reference) in keys.iter().zip(&references) {
        handle.put(NOW, key.as_bytes(), b"other").expect("room");
        assert_eq!(handle.bytes(reference), Some(key.as_bytes()));
    }
    for _ in 0..4 {
        handle.quiescent(NOW);
    }
    assert!(references.iter().all(|&reference| handle.bytes(reference).is_none()));
}

/// Nothing can be stored, since another handle holds back what was given up; reading goes on.
#[test]
fn reads_do_not_meet_pressure() {
    let mut memory = vec![MaybeUninit::uninit(); 128 << 10];
    let config = Config { shards: 1, handles_max: 2, ..Config::default() };
    let cache = Cache::new(&mut memory, config).expect("a region");
    let (mut sleeper, mut handle) = (cache.handle().expect("a handle"), cache.handle().expect("a handle"));
    assert!(sleeper.get(NOW, b"none").is_none());
    let value = [7; 100];
    let mut stored = 0;
    while handle.put(NOW, format!("key {stored}").as_bytes(), &value).is_ok() {
        stored += 1;
        assert!(stored < 10_000, "Pressure was to be met");
    }
    let keys: Vec<String> = (0..stored).map(|i| format!("key {i}")).collect();
    let found = read(&mut handle, NOW, &keys).into_iter().flatten().collect::<Vec<_>>();
    assert!(!found.is_empty() && found.iter().all(|bytes| bytes == &value), "{} found", found.len());
}

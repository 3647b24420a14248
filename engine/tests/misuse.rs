//! What safe code may do wrong must stay harmless.

use crabcache_engine::{Cache, Condition, Config, Millis, Op, Outcome, StoreError};
use std::mem::MaybeUninit;

const NOW: Millis = Millis(1);

fn region(bytes: usize) -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); bytes]
}

/// A value stays what it is while it is borrowed, although its handle had said that it sleeps.
#[test]
fn an_operation_brings_its_handle_online() {
    let mut memory = region(1 << 20);
    let cache = Cache::new(&mut memory, Config::default()).expect("a region");
    let (mut reader, mut writer) = (cache.handle().expect("a handle"), cache.handle().expect("a handle"));
    writer.put(NOW, b"key", b"value before").expect("room");
    reader.offline();
    let value = reader.get(NOW, b"key").expect("present");
    for _ in 0..200 {
        writer.put(NOW, b"key", b"value after!").expect("room");
        writer.quiescent(NOW);
    }
    assert_eq!(value.bytes(), b"value before");
}

/// A reservation of one cache is no reservation of another.
#[test]
fn a_foreign_reservation_is_given_back() {
    let (mut one, mut two) = (region(1 << 20), region(1 << 20));
    let one = Cache::new(&mut one, Config::default()).expect("a region");
    let two = Cache::new(&mut two, Config::default()).expect("a region");
    let (mut ours, mut theirs) = (one.handle().expect("a handle"), two.handle().expect("a handle"));
    let room = ours.reserve(NOW, b"key", 5, 0, None).expect("room");
    let room = theirs.commit(NOW, room, Condition::Always).expect_err("another cache's");
    assert!(theirs.get(NOW, b"key").is_none());
    assert!(ours.commit(NOW, room, Condition::Always).is_ok());
    assert_eq!(ours.get(NOW, b"key").map(|value| value.bytes().len()), Some(5));
}

/// A reference outlives neither its handle's quiescent state nor its cache.
#[test]
fn a_stale_or_foreign_reference_is_refused() {
    let (mut one, mut two) = (region(1 << 20), region(1 << 16));
    let one = Cache::new(&mut one, Config::default()).expect("a region");
    let two = Cache::new(&mut two, Config::default()).expect("a region");
    let (mut ours, theirs) = (one.handle().expect("a handle"), two.handle().expect("a handle"));
    ours.put(NOW, b"key", b"value").expect("room");
    let reference = ours.get(NOW, b"key").expect("present").arena_ref();
    assert_eq!(ours.bytes(reference), Some(&b"value"[..]));
    assert_eq!(theirs.bytes(reference), None);
    ours.put(NOW, b"key", b"other").expect("room");
    for _ in 0..4 {
        ours.quiescent(NOW);
    }
    assert_eq!(ours.bytes(reference), None);
}

/// Zeros that take no memory, since nobody looks at them.
#[cfg(unix)]
#[allow(unsafe_code)] // nothing safe gives address space without memory
fn untouched(len: usize) -> &'static [u8] {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping of `len` readable bytes, which stays for ever.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, flags, -1, 0);
        assert_ne!(start, libc::MAP_FAILED);
        std::slice::from_raw_parts(start.cast(), len)
    }
}

/// Lengths in the arena have 32 bits.
#[test]
#[cfg(unix)]
fn a_value_of_more_than_4_gib_is_refused_where_a_short_one_is_replaced() {
    let mut memory = region(1 << 20);
    let cache = Cache::new(&mut memory, Config { shards: 1, ..Config::default() }).expect("a region");
    let mut handle = cache.handle().expect("a handle");
    for _ in 0..20 {
        handle.put(NOW, b"j", &[1; 30]).expect("room");
        handle.put(NOW, b"k", &[1; 30]).expect("room");
        handle.quiescent(NOW);
    }
    let value = untouched((1 << 32) + 30);
    let mut outcomes = Vec::new();
    let done = handle.execute(NOW, &[Op::get(b"j"), Op::put(b"k", value)], |_, outcome| {
        outcomes.push(matches!(outcome, Outcome::Refused(StoreError::TooLarge { .. })));
    });
    assert_eq!((done, outcomes), (2, vec![false, true]));
    assert_eq!(handle.get(NOW, b"k").map(|value| value.bytes().len()), Some(30));
}

#[test]
fn what_cannot_be_stored_is_refused() {
    let mut memory = region(1 << 18);
    let cache = Cache::new(&mut memory, Config { shards: 1, ..Config::default() }).expect("a region");
    let mut handle = cache.handle().expect("a handle");
    let max = cache.item_len_max();
    let long = vec![b'k'; 65_536];
    assert!(matches!(handle.put(NOW, &long, b""), Err(StoreError::KeyTooLong { .. })));
    assert!(matches!(handle.reserve(NOW, &long, 0, 0, None), Err(StoreError::KeyTooLong { .. })));
    assert!(matches!(handle.put(NOW, b"", &vec![0; max + 1]), Err(StoreError::TooLarge { .. })));
    assert!(matches!(
        handle.reserve(NOW, &vec![b'k'; max + 1], 0, 0, None),
        Err(StoreError::TooLarge { .. })
    ));
    assert!(matches!(handle.reserve(NOW, b"k", usize::MAX, 0, None), Err(StoreError::TooLarge { .. })));
    handle.put(NOW, b"", &vec![7; max]).expect("the largest item fits");
    assert_eq!(handle.get(NOW, b"").map(|value| value.bytes().len()), Some(max));
}

//! A cache in a static array is filled, read, written over and overfilled, and its answers are checked.

use core::cell::UnsafeCell;
use core::fmt::Write;
use core::mem::MaybeUninit;

use crabcache_engine::{Action, BATCH, Cache, Config, Expiry, Handle, Millis, Op, Outcome, Put};

use crate::system::Output;

const REGION_BYTES: usize = 1 << 20;
/// Keys that fit easily.
const FEW: u32 = 500;
/// Keys that do not fit.
const MANY: u32 = 50_000;
/// So often a put that finds no room is tried again.
const TRIES: u32 = 1000;

#[repr(align(256))]
struct Region(UnsafeCell<[MaybeUninit<u8>; REGION_BYTES]>);

// SAFETY: there is one thread.
unsafe impl Sync for Region {}

static REGION: Region = Region(UnsafeCell::new([MaybeUninit::uninit(); REGION_BYTES]));

/// Panics if anything is not as it should be.
pub fn run() {
    // SAFETY: `run` is called once, and nothing else touches the region.
    let region = unsafe { &mut *REGION.0.get() };
    let cache = Cache::new(region, Config { shards: 1, handles_max: 1, ..Config::default() });
    let cache = cache.expect("the region is large enough");
    let mut handle = cache.handle().expect("the first handle");
    assert!(cache.handle().is_err(), "there is one handle");

    store_and_read(&mut handle);
    overwrite_and_delete(&mut handle);
    expire(&mut handle);
    assert_eq!(cache.stats().evictions, 0, "all of this fits");
    overfill(&mut handle);

    let stats = cache.stats();
    assert!(stats.evictions > 0 && stats.items > 0 && stats.items < u64::from(MANY), "{stats:?}");
    assert_eq!(stats.region_bytes, REGION_BYTES as u64);
    let _ = writeln!(
        Output,
        "no std, no alloc, no libc: {} in {REGION_BYTES} bytes, {} items, {} evicted: ok",
        cache.simd_level(),
        stats.items,
        stats.evictions
    );
}

fn store_and_read(handle: &mut Handle<'_>) {
    (0..FEW).for_each(|number| put(handle, number, 1));
    assert_eq!(hits(handle, FEW, 1), FEW);
    assert_eq!(hits(handle, FEW + 100, 1), FEW, "what was not stored is not there");
}

fn overwrite_and_delete(handle: &mut Handle<'_>) {
    (0..FEW).for_each(|number| put(handle, number, 2));
    assert_eq!(hits(handle, FEW, 2), FEW);
    for number in 0..FEW / 2 {
        write(handle, &Op::delete(&key(number)), |outcome| matches!(outcome, Outcome::Removed(_)));
    }
    assert_eq!(hits(handle, FEW, 2), FEW - FEW / 2);
}

fn expire(handle: &mut Handle<'_>) {
    let put = Put { value: b"soon gone", expiry: Expiry::At(Millis(100)), ..Put::default() };
    let op = Op { key: b"mayfly", action: Action::Put(put) };
    write(handle, &op, |outcome| matches!(outcome, Outcome::Stored { old: None }));
    for (now, there) in [(99, true), (100, false)] {
        let done = handle.execute(Millis(now), &[Op::get(b"mayfly")], |_, outcome| {
            assert_eq!(matches!(outcome, Outcome::Hit(_)), there, "at {now}");
        });
        assert_eq!(done, 1);
    }
}

/// Everything is taken, something has to go, and what is there is right.
fn overfill(handle: &mut Handle<'_>) {
    (0..MANY).for_each(|number| put(handle, number, 3));
    let hits = hits(handle, MANY, 3);
    assert!((1000..MANY).contains(&hits), "{hits} of {MANY} are there");
}

fn put(handle: &mut Handle<'_>, number: u32, round: u8) {
    let (key, value) = (key(number), value(number, round));
    write(handle, &Op::put(&key, &value), |outcome| matches!(outcome, Outcome::Stored { .. }));
}

/// Executes an operation as soon as there is room for it.
fn write(handle: &mut Handle<'_>, op: &Op<'_>, good: fn(&Outcome<'_>) -> bool) {
    for _ in 0..TRIES {
        let done = handle.execute(Millis(0), &[*op], |_, outcome| assert!(good(&outcome), "{outcome:?}"));
        handle.quiescent(Millis(0));
        if done == 1 {
            return;
        }
    }
    panic!("no room for key {:?}", op.key);
}

/// How many of the keys below `count` are there, in batches; each with the value of this round.
fn hits(handle: &mut Handle<'_>, count: u32, round: u8) -> u32 {
    let mut hits = 0;
    for first in (0..count).step_by(BATCH) {
        let keys: [_; BATCH] = core::array::from_fn(|i| key(first + i as u32));
        let ops: [_; BATCH] = core::array::from_fn(|i| Op::get(&keys[i]));
        let ops = &ops[..BATCH.min((count - first) as usize)];
        let done = handle.execute(Millis(0), ops, |i, outcome| match outcome {
            Outcome::Hit(found) => {
                assert_eq!(found.bytes(), value(first + i as u32, round));
                hits += 1;
            }
            Outcome::Miss => {}
            other => panic!("{other:?}"),
        });
        assert_eq!(done, ops.len(), "reads find room");
        handle.quiescent(Millis(0));
    }
    hits
}

fn key(number: u32) -> [u8; 8] {
    u64::from(number).to_be_bytes()
}

/// 64 bytes that depend on key and round.
fn value(number: u32, round: u8) -> [u8; 64] {
    core::array::from_fn(|i| (number as u8).wrapping_mul(31).wrapping_add(i as u8) ^ round)
}

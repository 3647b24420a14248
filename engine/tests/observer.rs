//! Each item that goes without being asked to is told of, once, and no other.

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;

use crabcache_engine::{Cache, Config, Expiry, Millis, Observer, Op, Put};

#[derive(Debug, Default)]
struct Gone(Mutex<Vec<Vec<u8>>>);

impl Observer for Gone {
    fn gone(&self, key: &[u8]) {
        self.0.lock().unwrap().push(key.to_vec());
    }
}

impl Gone {
    fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[test]
fn what_is_evicted_or_has_expired_is_told_once() {
    let gone = Gone::default();
    let mut region = vec![MaybeUninit::uninit(); 1 << 20];
    let cache = Cache::new(&mut region, Config { shards: 1, handles_max: 1, ..Config::default() }).unwrap();
    let mut handle = cache.handle().unwrap();
    handle.observe(Some(&gone));
    let value = [b'v'; 300];
    let mut there = HashSet::new();
    for number in 0..20_000_u32 {
        let key = number.to_string().into_bytes();
        while handle.put(Millis(0), &key, &value).is_err() {
            handle.quiescent(Millis(0));
        }
        there.insert(key);
        if number % 32 == 0 {
            handle.quiescent(Millis(0));
        }
        if number % 7 == 0 {
            // What is deleted is not told of; it may have gone before.
            let key = (number / 2).to_string();
            if handle.delete(Millis(0), key.as_bytes()).unwrap() {
                assert!(there.remove(key.as_bytes()));
            }
        }
        for key in gone.take() {
            assert!(there.remove(&key), "{} is told of twice, or was deleted", key.escape_ascii());
        }
    }
    assert!(there.len() < 10_000, "many were evicted");
    for key in &there {
        assert!(handle.get(Millis(0), key).is_some(), "{} has gone untold", key.escape_ascii());
    }
    handle.quiescent(Millis(0));

    let put = Put { value: b"v", expiry: Expiry::At(Millis(10)), ..Put::default() };
    for key in [b"swept", b"asked"] {
        let op = Op { key, action: crabcache_engine::Action::Put(put) };
        handle.apply(Millis(1), &op);
    }
    gone.take();
    handle.apply(Millis(20), &Op::delete(b"asked"));
    assert_eq!(gone.take(), [b"asked"]);
    for _ in 0..100 {
        handle.sweep(Millis(20), 1000);
    }
    assert_eq!(gone.take(), [b"swept"]);
    handle.observe(None);
    for number in 0..5000_u32 {
        while handle.put(Millis(30), &number.to_le_bytes(), &value).is_err() {
            handle.quiescent(Millis(30));
        }
        handle.quiescent(Millis(30));
    }
    assert!(gone.take().is_empty());
}

#[derive(Debug)]
struct Unwinds;

impl Observer for Unwinds {
    fn gone(&self, _key: &[u8]) {
        resume_unwind(Box::new("told"));
    }
}

/// An observer that panics ends the call in which it is told, and harms nothing else.
#[test]
fn a_panic_leaves_the_cache_whole() {
    let mut region = vec![MaybeUninit::uninit(); 1 << 20];
    let cache = Cache::new(&mut region, Config { shards: 1, handles_max: 1, ..Config::default() }).unwrap();
    let mut handle = cache.handle().unwrap();
    handle.observe(Some(&Unwinds));
    let mut panics = 0;
    for number in 0..20_000_u32 {
        let (now, key) = (Millis(u64::from(number)), number.to_le_bytes());
        // Some are evicted, some swept, some met when their time has come.
        let (expiry, met) = (Expiry::At(now.after(u64::from(number % 7) * 1000)), (number / 2).to_le_bytes());
        let put = Put { value: &[b'v'; 300][..number as usize % 300], expiry, ..Put::default() };
        panics += catch_unwind(AssertUnwindSafe(|| {
            handle.apply(now, &Op { key: &key, action: crabcache_engine::Action::Put(put) });
            handle.apply(now, &Op::delete(&met));
            handle.quiescent(now);
        }))
        .is_err() as u32;
    }
    assert!(panics > 1000, "{panics}");
    handle.observe(None);
    handle.quiescent(Millis(0));
    let mut there = 0;
    handle.scan(Millis(0), 0, usize::MAX, |_, _| there += 1);
    assert_eq!(cache.stats().items, there);
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        cursor = handle.flush(Millis(0), at, 1000);
    }
    assert_eq!(cache.stats().items, 0);
    assert_eq!(handle.put(Millis(0), b"large", &vec![1; cache.item_len_max() / 4]), Ok(()));
}

//! A crowd that misses one key computes its value once, whoever dies meanwhile. Against the real server.

mod support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crabcache_client::{Client, Error, Leased};
use support::cache::Cache;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_crowd_computes_once() {
    let cache = Cache::start();
    let clients: Vec<Client> = (0..4)
        .map(|_| cache.builder().connections_max(16).lease_time(Duration::from_mins(1)).connect().unwrap())
        .collect();
    let (computed, barrier) = (AtomicUsize::new(0), Barrier::new(64));
    thread::scope(|scope| {
        for t in 0..64 {
            let (client, computed, barrier) = (&clients[t % 4], &computed, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let value = client
                    .get_or_put_with("key", Some(Duration::from_mins(1)), || {
                        computed.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(100 * MS);
                        "value"
                    })
                    .unwrap();
                assert_eq!(value, b"value");
            });
        }
    });
    assert_eq!(computed.load(Ordering::SeqCst), 1);
    let item = clients[0].get_item("key").unwrap().unwrap();
    assert_eq!(item.value, b"value");
    assert!(item.ttl.unwrap() <= Duration::from_mins(1));
    assert!(clients.iter().all(|client| client.pool_stats().unstored == 0));
}

#[test]
fn a_timeout_beyond_all_moments_is_none() {
    let cache = Cache::start();
    let client = cache.builder().request_timeout(Some(Duration::MAX)).connect().unwrap();
    assert_eq!(client.get_or_put_with("key", None, || "value").unwrap(), b"value");
}

#[test]
fn a_winner_that_never_stores_is_succeeded_when_its_lease_ends() {
    let cache = Cache::start();
    let (dead, client) = (cache.client(), cache.client());
    let start = Instant::now();
    assert!(matches!(dead.lease("key", 300 * MS).unwrap(), Leased::Won { old: None, .. }));
    drop(dead);
    let mut computed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let compute = || {
                    computed.fetch_add(1, Ordering::SeqCst);
                    "value"
                };
                assert_eq!(client.get_or_put_with("key", None, compute).unwrap(), b"value");
            });
        }
    });
    assert_eq!(*computed.get_mut(), 1);
    assert!(start.elapsed() >= 290 * MS, "{:?}: not before the lease ended", start.elapsed());
}

#[test]
fn a_winner_that_fails_or_panics_ends_its_lease() {
    let cache = Cache::start();
    let client = cache.builder().lease_time(Duration::from_mins(1)).connect().unwrap();
    let failed = client.try_get_or_put_with("key", None, || Err::<Vec<u8>, _>(Error::Closed));
    assert_eq!(failed, Err(Error::Closed));
    let panicking = client.clone();
    let panicked =
        thread::spawn(move || panicking.get_or_put_with("key", None, || -> Vec<u8> { panic!("on purpose") }));
    assert!(panicked.join().is_err());
    assert_eq!(client.get_or_put_with("key", None, || "value").unwrap(), b"value");
}

#[test]
fn a_stale_value_does_for_all_but_the_winner() {
    let cache = Cache::start();
    let client = cache.client();
    assert!(!client.stale("key", None).unwrap());
    client.put("key", "old").unwrap();
    assert!(client.stale("key", Some(Duration::from_mins(1))).unwrap());
    let value = client
        .get_or_put_with("key", None, || {
            assert_eq!(client.get_or_put_with("key", None, || "another").unwrap(), b"old");
            assert_eq!(client.get("key").unwrap().unwrap(), b"old");
            "new"
        })
        .unwrap();
    assert_eq!(value, b"new");
    assert_eq!(client.get("key").unwrap().unwrap(), b"new");

    // Whoever fails to compute leaves the old value, and the lease to the next one.
    client.stale("key", None).unwrap();
    let failed = client.try_get_or_put_with("key", None, || Err::<Vec<u8>, _>(Error::Closed));
    assert_eq!(failed, Err(Error::Closed));
    assert_eq!(client.get("key").unwrap().unwrap(), b"new");
    assert_eq!(client.get_or_put_with("key", None, || "newest").unwrap(), b"newest");
}

#[test]
fn waiting_ends_at_the_deadline() {
    let cache = Cache::start();
    let client = cache.client();
    assert!(matches!(client.lease("key", Duration::from_mins(1)).unwrap(), Leased::Won { .. }));
    let start = Instant::now();
    let hasty = client.with_timeout(Some(200 * MS));
    let error = hasty.get_or_put_with("key", None, || -> Vec<u8> { unreachable!() }).unwrap_err();
    assert_eq!(error, Error::Leased { waited: 200 * MS });
    assert!(error.is_retryable() && !error.may_have_executed());
    assert!(error.keeps_connection() && client.pool_stats().idle == 1);
    assert!(start.elapsed() >= 200 * MS && start.elapsed() < 2000 * MS, "{:?}", start.elapsed());
}

/// What was computed from data that changed meanwhile must not be stored.
#[test]
fn a_lease_that_was_lost_stores_nothing() {
    let cache = Cache::start();
    let client = cache.client();
    let computed = client.get_or_put_with("key", None, || {
        client.del("key").unwrap();
        "outdated"
    });
    assert_eq!(computed.unwrap(), b"outdated");
    assert_eq!(client.get("key").unwrap(), None);
    assert_eq!(client.pool_stats().unstored, 1);
}

#[test]
fn json_is_stored_once_and_read_back() {
    let cache = Cache::start();
    let client = cache.client();
    let primes = vec![2_u32, 3, 5];
    let computed = client.get_or_put_json_with("primes", None, || primes.clone()).unwrap();
    assert_eq!(computed, primes);
    assert_eq!(client.get("primes").unwrap().unwrap(), b"[2,3,5]");
    let cached = client.get_or_put_json_with("primes", None, || -> Vec<u32> { unreachable!() }).unwrap();
    assert_eq!(cached, primes);
    assert_eq!(client.get_json::<Vec<u32>>("absent").unwrap(), None);
    let wrong = client.get_json::<String>("primes").unwrap_err();
    assert!(matches!(&wrong, Error::Json(text) if text.contains("expected a string")), "{wrong}");
    assert!(wrong.keeps_connection() && client.pool_stats().idle == 1);
    assert!(!wrong.is_retryable());
}

//! The real server behind a network that cuts, garbles, delays and closes by halves. Every command has exactly one
//! result, what was answered before the fault is right, and the next call is answered rightly.

mod support;

use std::time::{Duration, Instant};

use crabcache_client::{Builder, Client, Command, CommandError, Pairs, Reply};
use support::cache::Cache;
use support::proxy::{self, Fault};

const MS: Duration = Duration::from_millis(1);

type Results = Vec<Result<Reply, CommandError>>;

/// One of everything that has an answer of a form of its own.
fn session(client: &Client) -> Result<Results, crabcache_client::Error> {
    let pairs: &[(&[u8], &[u8])] = &[(b"a", b"1"), (b"b", b"22")];
    let keys: &[&[u8]] = &[b"a", b"absent", b"b"];
    client
        .pipeline()
        .put("key", "value")
        .get("key")
        .command(Command::MultiPut { pairs: Pairs::from_slice(pairs), ttl: crabcache_client::Ttl::Never })
        .mget(keys)
        .del("absent")
        .append("list", "x")
        .command(Command::Lease { key: b"key", lease_ms: 1000, early_ms: 0, meta: false })
        .incr("key", 1)
        .command(Command::Scan { prefix: b"ke", cursor: 0, count: 4096 })
        .command(Command::Ping { payload: b"the end" })
        .execute()
}

fn builder(addr: std::net::SocketAddr) -> Builder {
    Client::builder().addr(addr.to_string()).backoff(MS, MS)
}

/// What the session answers, with the bytes of all answers, HELLO's included.
fn faultless(cache: &Cache) -> (Results, usize) {
    let client = builder(cache.addr).build().unwrap();
    let results = session(&client).unwrap();
    client.del("list").unwrap();
    let client = builder(cache.addr).build().unwrap();
    assert_eq!(session(&client).unwrap(), results);
    client.maintain().unwrap();
    (results, client.pool_stats().bytes_in as usize)
}

/// The next call may still find the server down for a moment.
fn get_again(client: &Client) -> Vec<u8> {
    let start = Instant::now();
    loop {
        match client.get("key") {
            Ok(value) => return value.unwrap(),
            Err(error) => assert!(start.elapsed() < Duration::from_secs(5), "{error}"),
        }
    }
}

/// Runs the session through the fault; the results, if there was a connection.
fn through(cache: &Cache, fault: Fault, timeout: Duration) -> Option<Results> {
    let direct = cache.client();
    direct.put("key", "value").unwrap();
    direct.del("list").unwrap();
    let proxy = proxy::start(cache.addr, fault);
    let client = builder(proxy.addr).request_timeout(Some(timeout)).build().unwrap();
    let start = Instant::now();
    let results = session(&client).ok();
    assert!(start.elapsed() < timeout * 10 + Duration::from_secs(2), "{fault:?}: {:?}", start.elapsed());
    assert_eq!(get_again(&client), b"value", "{fault:?}");
    assert!(results.as_ref().is_none_or(|results| results.len() == 10), "{fault:?}");
    results
}

#[test]
fn cut_or_half_closed_at_every_byte() {
    let cache = Cache::start();
    let (expected, len) = faultless(&cache);
    assert!(len > 150, "{len}");
    for at in 0..=len {
        for fault in [Fault::Cut(at), Fault::HalfClose(at)] {
            let Some(results) = through(&cache, fault, Duration::from_secs(5)) else { continue };
            let answered =
                results.iter().zip(&expected).take_while(|(result, expected)| result == expected).count();
            let lost = |result: &Result<Reply, CommandError>| {
                matches!(result, Err(CommandError::Unanswered(_) | CommandError::NotSent(_)))
            };
            assert!(results[answered..].iter().all(lost), "{fault:?}: {results:?}");
            assert_eq!(answered == 10, at == len, "{fault:?}: {answered}");
        }
    }
}

/// A byte that was changed in a value cannot be seen; in a header it must not reach into other answers.
#[test]
fn garbled_at_every_byte() {
    let cache = Cache::start();
    let (expected, len) = faultless(&cache);
    for at in 0..len {
        for mask in [0x01, 0xFF] {
            let Some(results) = through(&cache, Fault::Garble(at, mask), 50 * MS) else { continue };
            let wrong = |(result, expected): &(&Result<Reply, _>, &Result<Reply, _>)| {
                result != expected
                    && !matches!(result, Err(CommandError::Unanswered(_) | CommandError::NotSent(_)))
            };
            let wrong = results.iter().zip(&expected).filter(wrong).count();
            assert!(wrong <= 1, "byte {at}: {results:?}");
        }
    }
}

#[test]
fn delays_change_nothing_but_the_time() {
    let cache = Cache::start();
    let (expected, _) = faultless(&cache);
    for fault in
        [Fault::Delay(4096, 30 * MS), Fault::Delay(7, MS), Fault::Delay(1, Duration::from_micros(100))]
    {
        assert_eq!(through(&cache, fault, Duration::from_secs(5)).as_ref(), Some(&expected), "{fault:?}");
    }
}

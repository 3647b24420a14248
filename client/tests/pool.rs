//! What the pool promises: reuse, bounds, health, failing fast, coming back.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crabcache_client::{Broken, Client, Error, PoolStats, Reply};
use crabcache_protocol::native::reply::{self, Hello};
use support::cache::own_address;
use support::{Server, read_requests, serve_client};

const MS: Duration = Duration::from_millis(1);

#[test]
fn connections_are_reused() {
    let server = Server::start();
    let client = server.client();
    for _ in 0..100 {
        client.ping().unwrap();
    }
    let stats = client.pool_stats();
    assert_eq!((server.accepted(), stats.hits, stats.misses), (1, 100, 1));
    assert_eq!((stats.active, stats.idle, stats.broken, stats.waits), (0, 1, 0, 0));
    assert!(stats.bytes_out >= 1200 && stats.bytes_in >= 800);
}

/// Programs write what holds a client into logs.
#[test]
fn what_was_stored_is_not_shown() {
    let server = Server::start();
    let client = server.client();
    client.put("key", "secret").unwrap();
    client.get("key").unwrap();
    let shown = format!("{client:?}");
    assert!(shown.contains(&server.addr.to_string()) && shown.len() < 200, "{shown}");
}

#[test]
fn exhausted_pool_waits_then_fails() {
    let (tell, told) = mpsc::channel();
    let told = Mutex::new(told);
    let server = Server::script(move |stream, _| answer_when_told(&stream, &told));
    let builder = server.builder().connections_max(1).request_timeout(None);
    let client = builder.clone().checkout_timeout(50 * MS).connect().unwrap();
    let patient = builder.checkout_timeout(Duration::from_mins(1)).connect().unwrap();
    for (client, outcome) in [(client, false), (patient, true)] {
        let (started, wait) = mpsc::channel();
        let busy = client.clone();
        let user = thread::spawn(move || {
            started.send(()).unwrap();
            busy.ping()
        });
        wait.recv().unwrap();
        while client.pool_stats().active == 0 {
            thread::yield_now();
        }
        let (waiting, answer) = (client.clone(), tell.clone());
        let answers = thread::spawn(move || {
            while outcome && waiting.pool_stats().waits == 0 {
                thread::yield_now();
            }
            for _ in 0..if outcome { 2 } else { 0 } {
                answer.send(()).unwrap();
            }
        });
        let start = Instant::now();
        match client.ping() {
            Ok(()) => assert!(outcome),
            Err(error) => {
                assert_eq!(error, Error::PoolExhausted { waited: 50 * MS });
                assert!(error.is_retryable() && !error.may_have_executed());
                assert!(!outcome && start.elapsed() >= 50 * MS);
                tell.send(()).unwrap();
            }
        }
        answers.join().unwrap();
        user.join().unwrap().unwrap();
        let stats = client.pool_stats();
        assert_eq!((stats.waits, stats.exhausted), (1, u64::from(!outcome)));
        assert_eq!((stats.active, stats.idle), (0, 1));
    }
}

#[test]
fn dead_idle_connections_are_found_before_use() {
    let server = Server::start();
    for check_after in [Duration::ZERO, Duration::from_mins(1)] {
        let client = server.builder().health_check_after(check_after).connect().unwrap();
        client.put("n", "1").unwrap();
        server.hang_up();
        thread::sleep(20 * MS);
        // Not idempotent: if the dead connection were used, this could not be repeated.
        assert_eq!(client.incr("n", 1).unwrap(), 2);
        let stats = client.pool_stats();
        assert_eq!((stats.health_check_failures, stats.retries, stats.misses), (1, 0, 2));
    }
}

/// A firewall forgets idle connections without a word: one of them takes a part of the call's time to be found out, and the
/// others none.
#[test]
fn silent_idle_connections_leave_time_for_a_new_one() {
    let server = Server::script(|mut stream, number| {
        if number < 4 {
            let _ = stream.read_to_end(&mut Vec::new());
        } else {
            serve_client(&stream, &Mutex::default());
        }
    });
    let builder = server.builder().hello(false).idle_min(4).health_check_after(Duration::ZERO);
    let client = builder.request_timeout(Some(1000 * MS)).connect().unwrap();
    client.ping().unwrap();
    let stats = client.pool_stats();
    assert_eq!((server.accepted(), stats.health_check_failures, stats.broken), (5, 1, 3));
}

#[test]
fn health_check_of_a_living_connection_keeps_it() {
    let server = Server::start();
    let client = server.builder().health_check_after(Duration::ZERO).connect().unwrap();
    for _ in 0..5 {
        client.ping().unwrap();
    }
    assert_eq!((server.accepted(), client.pool_stats().health_check_failures), (1, 0));
}

#[test]
fn limits_close_and_minimum_opens() {
    let server = Server::start();
    let client = server.builder().idle_min(2).idle_limit(Duration::ZERO).connect().unwrap();
    assert_eq!((server.accepted(), client.pool_stats().idle), (2, 2));
    for _ in 0..3 {
        client.ping().unwrap();
    }
    assert_eq!(server.accepted(), 2, "the minimum is spared by the idle limit");

    let client = server.builder().idle_limit(100 * MS).connect().unwrap();
    thread::sleep(110 * MS);
    client.maintain().unwrap();
    let stats = client.pool_stats();
    assert_eq!((stats.idle, stats.retired), (0, 1));
    client.ping().unwrap();
    assert_eq!(client.pool_stats().misses, 2);
}

#[test]
fn old_connections_are_replaced() {
    let server = Server::start();
    let client = server.builder().age_limit(1000 * MS).idle_min(1).connect().unwrap();
    client.ping().unwrap();
    thread::sleep(1010 * MS);
    client.ping().unwrap();
    assert_eq!(client.pool_stats().retired, 1);
    thread::sleep(1010 * MS);
    client.maintain().unwrap();
    let stats = client.pool_stats();
    assert_eq!((stats.retired, stats.idle), (2, 1), "too old, and replaced to the minimum");
}

#[test]
fn down_fails_fast_and_comes_back() {
    let mut server = Server::start_at(own_address());
    let addr = server.addr;
    let client = server.client();
    client.ping().unwrap();
    server.stop();
    drop(server);
    // It goes on trying, and most calls fail without that.
    let (begun, mut quickest, mut stats) = (Instant::now(), Duration::MAX, client.pool_stats());
    while stats.connect_failures < 2 || stats.failed_fast <= stats.connect_failures {
        assert!(begun.elapsed() < Duration::from_secs(20), "{stats:?}");
        let start = Instant::now();
        match client.ping() {
            Err(Error::Down { retry_in }) => {
                quickest = quickest.min(start.elapsed());
                assert!(retry_in <= 80 * MS);
            }
            Err(Error::Connect(_) | Error::Closed | Error::Io(_)) => {}
            other => panic!("{other:?}"),
        }
        thread::sleep(3 * MS);
        stats = client.pool_stats();
    }
    assert!(quickest < 20 * MS, "{quickest:?}");
    assert_eq!((stats.active, stats.idle), (0, 0));

    let server = Server::start_at(addr);
    let start = Instant::now();
    while client.ping().is_err() {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(5 * MS);
    }
    assert_eq!(client.pool_stats().reconnects, 1);
    assert_eq!(server.accepted(), 1);
}

/// While one connection is in use, others can only be opened once the server is back: those who wait open theirs then, and
/// do not wait for the one in use, nor for an answer to the first of them.
#[test]
fn those_who_wait_connect_when_the_server_is_back() {
    let listener = TcpListener::bind(own_address()).unwrap();
    let addr = listener.local_addr().unwrap();
    // Those who wait have begun, and the server is back, before it is tried again.
    let builder = Client::builder().addr(addr.to_string()).backoff(4000 * MS, 4000 * MS).connections_max(3);
    let client = builder.checkout_timeout(Duration::from_mins(1)).request_timeout(None).build().unwrap();
    let ping = |client: &Client| {
        let client = client.clone();
        thread::spawn(move || client.ping())
    };
    let busy = ping(&client);
    let (slow, _) = listener.accept().unwrap();
    answer_hello(&slow);
    let unanswered = read_requests(&slow, 1);
    drop(listener);
    assert!(matches!(client.ping(), Err(Error::Connect(_))));
    let waiting = [ping(&client), ping(&client)];
    while client.pool_stats().waits < 2 {
        thread::yield_now();
    }

    let listener = TcpListener::bind(addr).unwrap();
    let (back, _) = listener.accept().unwrap();
    thread::sleep(50 * MS); // the other one is due, too, and finds that one of them is trying
    answer_hello(&back);
    let also_unanswered = read_requests(&back, 1);
    let (third, accepted) = mpsc::channel();
    thread::spawn(move || third.send(listener.accept().unwrap().0));
    let third = accepted.recv_timeout(Duration::from_secs(20)).expect("the second opens one, too");
    answer_hello(&third);
    answer_empty(&third, &read_requests(&third, 1));
    answer_empty(&back, &also_unanswered);
    for waiting in waiting {
        waiting.join().unwrap().unwrap();
    }
    answer_empty(&slow, &unanswered);
    busy.join().unwrap().unwrap();
    let stats = client.pool_stats();
    assert_eq!((stats.reconnects, stats.opened, stats.exhausted), (1, 3, 0));
}

#[test]
fn nobody_there_is_an_error_at_once() {
    let mut server = Server::start();
    server.stop();
    let error = server.builder().connect().unwrap_err();
    assert_eq!(error, Error::Connect(std::io::ErrorKind::ConnectionRefused));
    assert!(error.is_retryable());
    assert_eq!(Client::connect("nonsense").unwrap_err(), Error::Address("nonsense".into()));
}

/// The first connection dies with the request in it; what is harmless is sent again on a new one, once.
#[test]
fn dead_connections_are_retried_only_where_that_is_harmless() {
    let dying = || {
        Server::script(|stream, number| {
            answer_some(&stream, if number == 0 { 1 } else { usize::MAX });
        })
    };
    let server = dying();
    let client = server.client();
    client.ping().unwrap();
    assert_eq!(client.get("k").unwrap(), Some(Vec::new()));
    assert_eq!((server.accepted(), client.pool_stats().retries), (2, 1));

    let server = dying();
    let client = server.client();
    client.ping().unwrap();
    let error = client.incr("k", 1).unwrap_err();
    assert!(matches!(error, Error::Closed | Error::Io(_)), "{error:?}");
    assert!(error.may_have_executed() && !error.keeps_connection());
    assert_eq!((server.accepted(), client.pool_stats().retries), (1, 0));

    let server = dying();
    let client = server.client();
    client.ping().unwrap();
    let results = client.pipeline().get("a").ping().get("b").execute().unwrap();
    assert_eq!(results, [Ok(Reply::Value(vec![])), Ok(Reply::Pong(vec![])), Ok(Reply::Value(vec![]))]);
    let results = client.pipeline().get("a").execute().unwrap();
    assert_eq!(results.len(), 1);
    assert_eq!(client.pool_stats().retries, 1);
}

#[test]
fn a_server_that_dies_again_is_not_asked_for_ever() {
    let server = Server::script(|stream, number| answer_some(&stream, usize::from(number == 0)));
    let client = server.client();
    client.ping().unwrap();
    assert!(matches!(client.get("k"), Err(Error::Closed | Error::Io(_))));
    assert_eq!((server.accepted(), client.pool_stats().retries), (2, 1));
}

/// HELLO at once, then every request with an empty Ok after `delay`.
fn answer_slowly(stream: &TcpStream, delay: Duration) {
    answer_hello(stream);
    loop {
        let opaques = read_requests(stream, 1);
        if opaques.is_empty() {
            return;
        }
        thread::sleep(delay);
        answer_empty(stream, &opaques);
    }
}

/// HELLO at once, then each request with an empty Ok, once that is told.
fn answer_when_told(stream: &TcpStream, told: &Mutex<mpsc::Receiver<()>>) {
    answer_hello(stream);
    loop {
        let opaques = read_requests(stream, 1);
        if opaques.is_empty() || told.lock().unwrap().recv().is_err() {
            return;
        }
        answer_empty(stream, &opaques);
    }
}

/// HELLO, then so many reads are answered; the next request is the end.
fn answer_some(stream: &TcpStream, count: usize) {
    answer_hello(stream);
    for _ in 0..count {
        let opaques = read_requests(stream, 1);
        if opaques.is_empty() {
            return;
        }
        answer_empty(stream, &opaques);
    }
    read_requests(stream, 1);
}

fn answer_hello(mut stream: &TcpStream) {
    let opaque = read_requests(stream, 1)[0];
    let mut out = Vec::new();
    let info = Hello { version: 1, key_len_max: 250, value_len_max: 1000, features: 0, server: b"script" };
    reply::hello(&mut out, opaque, &info);
    stream.write_all(&out).unwrap();
}

fn answer_empty(mut stream: &TcpStream, opaques: &[u16]) {
    let mut out = Vec::new();
    for &opaque in opaques {
        reply::value(&mut out, opaque, b"");
    }
    let _ = stream.write_all(&out);
}

/// A connection that is not used is asked from time to time, so that a dead one is not found by a call.
#[test]
fn maintenance_asks_idle_connections_and_exports() {
    let server = Server::start();
    let builder = server.builder().idle_min(3).hello(false);
    let client = builder.clone().health_check_after(Duration::from_hours(1)).connect().unwrap();
    client.maintain().unwrap();
    assert_eq!(client.pool_stats().bytes_in, 0, "not due yet");
    let client = builder.health_check_after(50 * MS).connect().unwrap();
    thread::sleep(60 * MS);
    client.maintain().unwrap();
    let stats = client.pool_stats();
    assert_eq!((stats.bytes_in, stats.idle, stats.active), (24, 3, 0), "a PONG for each");
    assert_eq!((stats.health_check_failures, stats.latency.count), (0, 0), "{stats:?}");

    server.hang_up();
    let (figures, exported) = mpsc::channel();
    let maintenance = client.maintain_every(20 * MS, move |stats| {
        let _ = figures.send(*stats);
    });
    let whole_again = |stats: &PoolStats| (stats.health_check_failures, stats.idle) == (3, 3);
    let patience = Instant::now() + Duration::from_secs(20);
    while !whole_again(&exported.recv_timeout(Duration::from_secs(20)).unwrap()) {
        assert!(Instant::now() < patience, "{:?}", client.pool_stats());
    }
    let stats = client.pool_stats();
    assert_eq!((stats.opened, stats.hits, stats.misses), (6, 0, 3), "no call was needed");
    drop(maintenance);
    exported.iter().for_each(drop); // comes to an end, since the thread does
}

/// The time that waiting for a connection takes is part of the time that a call may take.
#[test]
fn waiting_counts_against_the_deadline() {
    let (tell, told) = mpsc::channel();
    let told = Mutex::new(told);
    let server = Server::script(move |stream, _| answer_when_told(&stream, &told));
    let builder = server.builder().connections_max(1).request_timeout(Some(3000 * MS));
    let client = builder.checkout_timeout(Duration::from_mins(1)).connect().unwrap();
    let busy = client.with_timeout(None);
    let user = thread::spawn(move || busy.ping());
    while client.pool_stats().active == 0 {
        thread::yield_now();
    }
    let waited = client.with_timeout(Some(100 * MS)).ping().unwrap_err();
    assert_eq!(waited, Error::PoolExhausted { waited: 100 * MS });
    // The next one gets the connection when half of its time is over, and no answer.
    let start = Instant::now();
    let answer = tell.clone(); // if the last one went, the server would hang up
    let answered = thread::spawn(move || {
        thread::sleep(1500 * MS);
        answer.send(()).unwrap();
    });
    assert_eq!(client.ping(), Err(Error::Timeout));
    assert!(start.elapsed() < 4300 * MS, "{:?}: its time began anew", start.elapsed());
    answered.join().unwrap();
    user.join().unwrap().unwrap();
}

#[test]
fn latencies_are_those_of_the_calls() {
    let server = Server::script(|stream, _| answer_slowly(&stream, 20 * MS));
    let client = server.client();
    for _ in 0..5 {
        client.ping().unwrap();
    }
    let latency = client.pool_stats().latency;
    assert_eq!(latency.count, 5);
    assert!(
        latency.p50 >= 19 * MS && latency.p50 <= latency.p999 && latency.p999 <= latency.max,
        "{latency:?}"
    );
}

/// A server that is silent for a while: calls fail at once after a few timeouts, and succeed again once it answers.
#[test]
fn a_silent_server_counts_as_down_until_it_answers() {
    let silent = Arc::new(AtomicBool::new(false));
    let muted = Arc::clone(&silent);
    let server = Server::script(move |stream, _| {
        loop {
            let opaques = read_requests(&stream, 1);
            if opaques.is_empty() {
                return;
            }
            while muted.load(Ordering::SeqCst) {
                thread::sleep(MS);
            }
            answer_empty(&stream, &opaques);
        }
    });
    let builder = server.builder().hello(false).request_timeout(Some(500 * MS)).timeouts_max(2);
    let client = builder.backoff(4000 * MS, 4000 * MS).connections_max(1).connect().unwrap();
    client.ping().unwrap();
    silent.store(true, Ordering::SeqCst);
    assert_eq!(client.ping(), Err(Error::Timeout));
    // One that waits for the only connection fails as soon as the server is found to be down.
    let patient = client.with_timeout(Some(Duration::from_mins(1)));
    let waiting = thread::spawn(move || {
        while patient.pool_stats().active == 0 {
            thread::yield_now();
        }
        patient.ping()
    });
    assert_eq!(client.ping(), Err(Error::Timeout));
    let start = Instant::now();
    assert!(matches!(waiting.join().unwrap(), Err(Error::Down { .. })));
    assert!(matches!(client.ping(), Err(Error::Down { retry_in }) if retry_in <= 4000 * MS));
    assert!(start.elapsed() < 2000 * MS, "not before it may be tried again");
    assert_eq!((client.pool_stats().failed_fast, client.pool_stats().broken), (2, 2));

    silent.store(false, Ordering::SeqCst);
    let start = Instant::now();
    while client.ping().is_err() {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(MS);
    }
    assert_eq!(client.pool_stats().reconnects, 1);
}

/// That a call had no time left says little about the server.
#[test]
fn one_impatient_call_does_not_make_the_server_count_as_down() {
    let server = Server::script(|stream, _| {
        thread::sleep(300 * MS);
        answer_slowly(&stream, Duration::ZERO);
    });
    let builder = server.builder().connect_timeout(Duration::from_secs(10));
    let client =
        builder.backoff(Duration::from_mins(1), Duration::from_mins(1)).timeouts_max(3).build().unwrap();
    let impatient = client.with_timeout(Some(30 * MS));
    assert_eq!(impatient.ping(), Err(Error::Handshake(Broken::Timeout)));
    client.ping().unwrap();
    assert_eq!((client.pool_stats().connect_failures, client.pool_stats().failed_fast), (1, 0));
}

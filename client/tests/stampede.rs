//! A thousand threads of ten processes miss one key at once: one of them computes the value. If its process is killed
//! meanwhile, another one does when the lease ends.

mod support;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crabcache_client::Client;
use support::cache::Cache;
use support::process::Killable;

const PROCESSES: usize = 10;
const THREADS: usize = 100;
/// What a process is told: the server's address, the lease's milliseconds, whether the first winner is to die.
const ROLE: &str = "CRABCACHE_TEST_STAMPEDE";
/// For everything that takes no time on a machine that is not busy.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
#[ignore = "it is what the other tests start in processes of their own"]
fn crowd() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let [addr, lease_ms, dies] = role.split(' ').collect::<Vec<_>>()[..] else { panic!("{role}") };
    let client = Client::builder()
        .addr(addr)
        .connections_max(16)
        .connect_timeout(PATIENCE)
        .checkout_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .lease_time(Duration::from_millis(lease_ms.parse().unwrap()))
        .connect()
        .unwrap();
    let begin = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                begin.wait();
                let value = client.get_or_put_with("key", None, || compute(&client, dies == "true")).unwrap();
                // What is computed differs each time.
                assert_eq!(value, client.get("key").unwrap().unwrap());
            });
        }
        client.incr("ready", 1).unwrap();
        await_number(&client, "begin", 1);
        begin.wait();
    });
    assert_eq!(client.pool_stats().unstored, 0);
}

fn compute(client: &Client, dies: bool) -> String {
    let nth = client.incr("computed", 1).unwrap();
    let id = std::process::id();
    client.put("winner", id.to_string()).unwrap();
    if dies && nth == 1 {
        thread::sleep(2 * PATIENCE);
    }
    thread::sleep(Duration::from_millis(100)); // so that the others find the lease taken
    format!("{nth} by {id}")
}

/// Waits until a counter has got so far.
fn await_number(client: &Client, key: &str, wanted: usize) {
    let start = Instant::now();
    while client.get(key).unwrap().is_none_or(|value| value != wanted.to_string().as_bytes()) {
        assert!(start.elapsed() < PATIENCE, "{key} does not reach {wanted}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Lets the crowd begin once everybody is there.
fn stampede(client: &Client, cache: &Cache, lease_ms: u64, dies: bool) -> Vec<Killable> {
    let role = format!("{} {lease_ms} {dies}", cache.addr);
    let processes = (0..PROCESSES).map(|_| Killable::start("crowd", ROLE, &role)).collect();
    await_number(client, "ready", PROCESSES);
    client.incr("begin", 1).unwrap();
    processes
}

#[test]
fn one_of_a_thousand_computes() {
    let cache = Cache::start();
    let client = cache.client();
    for process in stampede(&client, &cache, 60_000, false) {
        assert!(process.join().success());
    }
    assert_eq!(client.get("computed").unwrap().unwrap(), b"1");
}

#[test]
fn the_next_one_computes_when_the_lease_of_a_killed_one_ends() {
    const LEASE_MS: u64 = 3000;
    let cache = Cache::start();
    let client = cache.client();
    let begin = Instant::now();
    let mut processes = stampede(&client, &cache, LEASE_MS, true);
    await_number(&client, "computed", 1);
    let winner = loop {
        if let Some(id) = client.get("winner").unwrap() {
            break String::from_utf8(id).unwrap();
        }
    };
    let at = processes.iter().position(|process| process.id().to_string() == winner).unwrap();
    processes[at].kill();
    assert!(!processes.swap_remove(at).join().success());
    for process in processes {
        assert!(process.join().success());
    }
    assert!(begin.elapsed() >= Duration::from_millis(LEASE_MS), "not before the lease ended");
    assert_eq!(client.get("computed").unwrap().unwrap(), b"2");
    let value = String::from_utf8(client.get("key").unwrap().unwrap()).unwrap();
    assert!(value.starts_with("2 by ") && !value.ends_with(&winner), "{value}");
}

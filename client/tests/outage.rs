//! Many threads over a small pool while the server is killed and comes back: no wrong answer, no call beyond its deadline,
//! the pool is whole again at once, and the figures add up.

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crabcache_client::{Client, Command, ReplyRef};
use crabcache_server::{Config, Server};
use support::cache::own_address;
use support::process::Killable;

const MS: Duration = Duration::from_millis(1);
const THREADS: u64 = 64;
const CONNECTIONS: usize = 8;
const DEADLINE: Duration = Duration::from_secs(1);
const ADDR: &str = "CRABCACHE_TEST_SERVER";

/// What depends on how busy the machine is.
struct Figures {
    longest_call: Duration,
    /// From each return of the server to the moment when all connections were open again.
    whole_after: Vec<Duration>,
}

#[test]
#[ignore = "it is the server that the other tests start in a process of its own"]
fn server_process() {
    let Ok(addr) = std::env::var(ADDR) else { return };
    let listen = vec![addr.parse().unwrap()];
    let config = Config { listen, memory_bytes: 16 << 20, workers: 2, ..Config::default() };
    Server::start(config).unwrap().join().unwrap();
}

/// What a thread has stored under its key.
#[derive(Default)]
struct Stored {
    last: Option<u64>,
    /// May have been stored, or be stored yet.
    unanswered: Vec<u64>,
}

/// One call, which is answered rightly or not at all; whether it was, and how long it took.
fn call(client: &Client, thread: u64, n: u64, stored: &mut Stored) -> (bool, Duration) {
    let (key, text) = (format!("key{thread}"), format!("{thread}:{n}"));
    let start = Instant::now();
    let answered = match n % 3 {
        0 => {
            let answered = client.put(&key, &text).is_ok();
            if answered {
                stored.last = Some(n);
            } else {
                stored.unanswered.push(n);
            }
            answered
        }
        // A new server has nothing.
        1 => client.get(&key).is_ok_and(|value| {
            let mut known = stored.last.iter().chain(&stored.unanswered);
            let is_known = |value: Vec<u8>| known.any(|n| format!("{thread}:{n}").as_bytes() == value);
            assert!(value.is_none_or(is_known), "thread {thread}, call {n}");
            true
        }),
        _ => {
            let mut right = false;
            let ping = std::iter::once(Command::Ping { payload: text.as_bytes() });
            let run = client.run(ping, |_, reply| match reply {
                Ok(ReplyRef::Pong(payload)) => {
                    assert_eq!(payload, text.as_bytes(), "an answer to somebody else");
                    right = true;
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => {}
            });
            run.is_ok() && right
        }
    };
    (answered, start.elapsed())
}

/// Runs the threads, each of which pauses between its calls; kills the server so often, and starts it again after a while.
fn outages(count: usize, up: Duration, down: Duration, pause: Duration) -> Figures {
    let addr = TcpListener::bind(own_address()).unwrap().local_addr().unwrap();
    let builder = Client::builder().addr(addr.to_string()).connections_max(CONNECTIONS).idle_min(CONNECTIONS);
    let client = builder.request_timeout(Some(DEADLINE)).build().unwrap();
    let (calls, answered, longest_us) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (done, mut whole_after) = (AtomicBool::new(false), Vec::new());
    thread::scope(|scope| {
        let _done = SetOnDrop(&done); // also if this panics: the threads must end
        let mut server = start_server(addr);
        for t in 0..THREADS {
            let (client, calls, answered, longest_us) = (client.clone(), &calls, &answered, &longest_us);
            let done = &done;
            scope.spawn(move || {
                let mut stored = Stored::default();
                for n in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    calls.fetch_add(1, Ordering::Relaxed);
                    let (right, took) = call(&client, t, n, &mut stored);
                    answered.fetch_add(u64::from(right), Ordering::Relaxed);
                    longest_us.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
                    thread::sleep(pause);
                }
            });
        }
        for _ in 0..count {
            thread::sleep(up);
            drop(server);
            thread::sleep(down);
            let before = client.pool_stats();
            server = start_server(addr);
            let returned = Instant::now();
            // All connections of before are dead.
            while client.pool_stats().opened < before.opened + CONNECTIONS as u64 {
                assert!(returned.elapsed() < Duration::from_secs(30), "{:?}", client.pool_stats());
                thread::sleep(MS);
            }
            whole_after.push(returned.elapsed());
        }
        thread::sleep(up);
        done.store(true, Ordering::Relaxed);
        drop(server);
    });
    let (stats, calls) = (client.pool_stats(), calls.into_inner());
    println!("{calls} calls, {} answered, {stats:?}", answered.into_inner());
    assert_eq!(stats.hits + stats.misses + stats.exhausted + stats.failed_fast, calls + stats.retries);
    assert_eq!(stats.latency.count, stats.hits + stats.misses - stats.connect_failures);
    let closed = stats.retired + stats.broken + stats.health_check_failures;
    assert_eq!(stats.opened, closed + stats.idle as u64);
    assert!(stats.active == 0 && stats.idle <= CONNECTIONS);
    assert!(stats.reconnects >= count as u64 && stats.failed_fast > 0 && stats.waits > 0);
    Figures { longest_call: Duration::from_micros(longest_us.into_inner()), whole_after }
}

#[test]
fn killed_and_restarted() {
    outages(3, 700 * MS, 300 * MS, 2 * MS);
}

/// `cargo test --release -p crabcache-client --test outage -- --ignored --nocapture ten_minutes`
#[test]
#[ignore = "takes ten minutes: cargo test -p crabcache-client --test outage ten_minutes -- --ignored"]
fn killed_and_restarted_for_ten_minutes() {
    let figures = outages(30, Duration::from_secs(19), Duration::from_secs(1), 5 * MS);
    let Figures { longest_call, mut whole_after } = figures;
    whole_after.sort_unstable();
    println!("the longest call took {longest_call:?}; whole again after {whole_after:?}");
    // A thread that is due may have to wait for a processor.
    assert!(longest_call < DEADLINE + 100 * MS);
    assert!(whole_after[whole_after.len() - 1] < Duration::from_secs(1));
}

fn start_server(addr: SocketAddr) -> Killable {
    let server = Killable::start("server_process", ADDR, &addr.to_string());
    let start = Instant::now();
    while TcpStream::connect(addr).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "the server does not start");
        thread::sleep(MS);
    }
    server
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

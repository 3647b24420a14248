//! Signals that come all the time, as those of a profiler do: each ends a wait in the kernel, and no call waits longer for it, or
//! fails before its time.

mod support;

use std::io::{ErrorKind, Read};
use std::thread;
use std::time::{Duration, Instant};

use crabcache_client::{Client, Error};
use rustix::process::{Pid, Signal, kill_process};
use support::process::Killable;
use support::{FullQueue, Server};

const MS: Duration = Duration::from_millis(1);
const ADDR: &str = "CRABCACHE_TEST_SIGNALS";

#[test]
#[ignore = "it is what the other tests start in a process of its own"]
fn caller() {
    let Ok(addr) = std::env::var(ADDR) else { return };
    let expected =
        if addr.starts_with("unix:") { Error::Connect(ErrorKind::TimedOut) } else { Error::Timeout };
    let builder = Client::builder().addr(addr).hello(false).connect_timeout(500 * MS);
    let client = builder.request_timeout(Some(500 * MS)).build().unwrap();
    let start = Instant::now();
    assert_eq!(client.get("k"), Err(expected));
    assert!(start.elapsed() >= 495 * MS);
}

/// The caller of this address ends by itself, although it is stopped again and again.
fn is_in_time(addr: &str) {
    let mut process = Killable::start("caller", ADDR, addr);
    let id = Pid::from_raw(process.id() as i32).unwrap();
    let start = Instant::now();
    while process.is_running() {
        assert!(start.elapsed() < Duration::from_secs(20), "it still waits");
        for signal in [Signal::STOP, Signal::CONT] {
            kill_process(id, signal).unwrap();
            thread::sleep(10 * MS); // one that is not delivered yet would be undone by the other
        }
    }
    assert!(process.join().success());
}

#[test]
fn answers_are_waited_for_until_the_deadline() {
    let server = Server::script(|mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    is_in_time(&server.addr.to_string());
}

#[test]
fn connections_are_waited_for_until_the_deadline() {
    is_in_time(&FullQueue::new("signals").addr());
}

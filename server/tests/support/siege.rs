//! A server under attack, and a well-behaved client that must not notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::program::Program;
use super::{Client, resp};

/// Memory may grow by so much while clients misbehave. Bounds what the server holds for them, not what the cache does:
/// its memory is touched before.
const GROWTH_MAX: usize = 64 << 20;
/// An answer takes no longer, even on a machine that has other things to do.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// What has to come to rest may take so long.
const REST_MAX: Duration = Duration::from_secs(20);

/// Starts a server with so much memory for items, lets `attack` have its way, and looks at what must hold whatever it does: a well-behaved client is
/// answered all the while, memory is bounded, afterwards no file is left open, and nobody is busy.
pub fn besiege(memory_mib: usize, arguments: &[&str], attack: impl FnOnce(&Program)) {
    let memory = format!("{memory_mib}mb");
    let program = Program::start(&[&["--memory", &memory, "--workers", "2"], arguments].concat());
    fill(&program, memory_mib);
    let mut client = Client::to(program.address);
    // Whoever filled it may not be forgotten yet.
    let alone = |client: &mut Client| {
        client.send(resp(&[b"INFO", b"clients"]));
        String::from_utf8_lossy(&client.bulk()).contains("connected_clients:1\r\n")
    };
    while !alone(&mut client) {
        thread::sleep(Duration::from_millis(5));
    }
    // Without its own.
    let (files, memory) = (program.files() - 1, program.resident_max());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let bystander = scope.spawn(|| bystander(client, &over));
        // Whatever comes of it, the bystander has to be told.
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attack(&program)));
        over.store(true, Ordering::Relaxed);
        let slowest = bystander.join().expect("the bystander is served");
        assert!(slowest < ANSWER_MAX, "an answer took {slowest:?}");
        if let Err(panic) = attacked {
            std::panic::resume_unwind(panic);
        }
    });
    let grown = program.resident_max().saturating_sub(memory);
    assert!(grown < GROWTH_MAX, "memory grew by {} MiB", grown >> 20);
    wait_until("its files are closed", || program.files() <= files);
    // Half a second in which it hardly does anything.
    wait_until("it is idle", || {
        let before = program.ticks();
        thread::sleep(Duration::from_millis(500));
        program.ticks() - before <= 5
    });
    Client::to(program.address).resp("PING", "+PONG\r\n");
}

/// Waits for something that must become true.
pub fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < REST_MAX, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Touches the memory of the cache.
fn fill(program: &Program, memory_mib: usize) {
    let mut client = Client::to(program.address);
    for round in 0..memory_mib + memory_mib / 4 {
        let sets: Vec<u8> = (0..20)
            .flat_map(|at| resp(&[b"SET", format!("fill{round}:{at}").as_bytes(), &vec![b'v'; 50_000]]))
            .collect();
        client.check(sets, "+OK\r\n".repeat(20));
    }
    client.resp("FLUSHALL", "+OK\r\n");
    client.check("QUIT\r\n", "+OK\r\n");
    assert!(client.rest().is_empty());
}

/// Asks one thing after the other; gives how long the slowest answer took.
fn bystander(mut client: Client, over: &AtomicBool) -> Duration {
    let mut slowest = Duration::ZERO;
    for number in 0.. {
        let begun = Instant::now();
        client.check(
            [resp(&[b"SET", b"bystander", format!("{number:08}").as_bytes()]), resp(&[b"GET", b"bystander"])]
                .concat(),
            format!("+OK\r\n$8\r\n{number:08}\r\n"),
        );
        slowest = slowest.max(begun.elapsed());
        if over.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    slowest
}

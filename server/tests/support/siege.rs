//! A server under attack, and a well-behaved client that must not notice.
//!
//! With `CRABCACHE_SIEGE=SECONDS` an attack is repeated for so long, a server that nobody attacks is asked beside the other, and what
//! their clients saw is printed: the second one's latencies are those of the machine (`benches/README.md`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
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

/// Whoever stops a server holds this meanwhile, so that nobody's wait for a stopped one is measured.
pub static STOPPED: RwLock<()> = RwLock::new(());

/// Starts a server with so much memory for items, lets `attack` have its way, and looks at what must hold whatever it does: a well-behaved client is
/// answered all the while, memory is bounded, afterwards no file is left open, and nobody is busy.
pub fn besiege(memory_mib: usize, arguments: &[&str], attack: impl Fn(&Program)) {
    let seconds = std::env::var("CRABCACHE_SIEGE").ok().map(|seconds| seconds.parse().expect("seconds"));
    let measured = seconds.map(Duration::from_secs_f64);
    besiege_for(measured, memory_mib, arguments, attack);
}

/// The same for an attack that is not to be repeated; nothing is measured.
pub fn besiege_once(memory_mib: usize, arguments: &[&str], attack: impl Fn(&Program)) {
    besiege_for(None, memory_mib, arguments, attack);
}

fn besiege_for(measured: Option<Duration>, memory_mib: usize, arguments: &[&str], attack: impl Fn(&Program)) {
    let memory = format!("{memory_mib}mb");
    let program = Program::start(&[&["--memory", &memory, "--workers", "2"], arguments].concat());
    fill(&program, memory_mib);
    let quiet = measured.map(|_| Program::start(&["--memory", "16mb", "--workers", "2"]));
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
    let pause = Duration::from_millis(if measured.is_some() { 1 } else { 5 });
    let over = AtomicBool::new(false);
    let (times, quiet_times) = thread::scope(|scope| {
        let bystander = scope.spawn(|| bystander(client, pause, &over));
        let beside = quiet
            .as_ref()
            .map(|quiet| scope.spawn(|| self::bystander(Client::to(quiet.address), pause, &over)));
        let begun = Instant::now();
        // Whatever comes of it, the bystander has to be told.
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            attack(&program);
            while measured.is_some_and(|time| begun.elapsed() < time) {
                attack(&program);
            }
        }));
        over.store(true, Ordering::Relaxed);
        let times = bystander.join().expect("the bystander is served");
        let beside = beside.map(|beside| beside.join().expect("the other one, too"));
        if let Err(panic) = attacked {
            std::panic::resume_unwind(panic);
        }
        (times, beside)
    });
    let slowest = *times.last().expect("one at least");
    assert!(slowest < ANSWER_MAX, "an answer took {slowest:?}");
    let grown = program.resident_max().saturating_sub(memory);
    assert!(grown < GROWTH_MAX, "memory grew by {} MiB", grown >> 20);
    wait_until("its files are closed", || program.files() <= files);
    // Half a second in which it hardly does anything.
    let mut busy = 0;
    wait_until("it is idle", || {
        let before = program.ticks();
        thread::sleep(Duration::from_millis(500));
        busy = program.ticks() - before;
        busy <= 5
    });
    let left = program.files() as i64 - files as i64;
    Client::to(program.address).resp("PING", "+PONG\r\n");
    if let Some(quiet_times) = quiet_times {
        let name = thread::current().name().unwrap_or_default().replace('_', " ");
        eprintln!(
            "| {name} | {} | {} | {} | {} | {:.1} | {left} | {} |",
            times.len(),
            figures(&times),
            figures(&quiet_times),
            program.ticks(),
            grown as f64 / f64::from(1 << 20),
            busy * 20,
        );
    }
}

/// Milliseconds of the median, of one in a hundred, and of the longest.
fn figures(times: &[Duration]) -> String {
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    format!("{:.2} / {:.2} / {:.1}", at(0.5), at(0.99), at(1.0))
}

/// Waits for something that must become true.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
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

/// Asks one thing after the other, a pause between two; gives how long each pair of answers took, sorted. One that is late makes
/// those late that were due meanwhile: they count, too.
fn bystander(mut client: Client, pause: Duration, over: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0.. {
        let stopped = STOPPED.read().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        client.check(
            [resp(&[b"SET", b"bystander", format!("{number:08}").as_bytes()]), resp(&[b"GET", b"bystander"])]
                .concat(),
            format!("+OK\r\n$8\r\n{number:08}\r\n"),
        );
        let mut late = begun.elapsed();
        drop(stopped);
        times.push(late);
        while late > pause {
            late -= pause;
            times.push(late);
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(pause);
    }
    times.sort_unstable();
    times
}

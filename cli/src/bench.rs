//! `bench`: how many PUTs and GETs the server takes from here, through the client, and how long they take.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use crabcache_client::{Client, Command, CommandError, Condition, Put, Ttl};
use hdrhistogram::Histogram;
use serde_json::json;

use crate::args::BenchArguments;
use crate::console::Console;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::units::count;

/// What the keys begin with.
const PREFIX: &str = "crabcache-cli-bench:";

/// What a thread counted.
struct Tally {
    requests: u64,
    took: Duration,
    /// Round trips of `depth` requests, in nanoseconds.
    trips: Histogram<u64>,
}

/// Puts, then gets, then removes what it has put.
pub(crate) fn bench(
    client: &Client,
    console: &mut Console,
    arguments: &BenchArguments,
) -> Result<bool, Failure> {
    let keys: Vec<String> = (0..arguments.keys).map(|number| format!("{PREFIX}{number:08}")).collect();
    let value = vec![b'x'; arguments.value_len as usize];
    let put = |key| {
        Command::Put(Put { key, value: &value, flags: 0, ttl: Ttl::Never, condition: Condition::Always })
    };
    let get = |key| Command::Get { key, meta: false };
    let mut outcome = measure(client, console, arguments, "PUT", &keys, put);
    if outcome.is_ok() {
        outcome = measure(client, console, arguments, "GET", &keys, get);
    }
    let mut failed = None;
    let remove = keys.iter().map(|key| Command::Delete { key: key.as_bytes(), version: None });
    client.run(remove, |_, reply| failed = failed.or(reply.err()))?;
    outcome?;
    failed.map_or(Ok(true), |error| Err(error.into()))
}

fn measure<'k>(
    client: &Client,
    console: &mut Console,
    arguments: &BenchArguments,
    name: &str,
    keys: &'k [String],
    command: impl Fn(&'k [u8]) -> Command<'k> + Copy + Send,
) -> Result<(), Failure> {
    let interrupt = &console.interrupt;
    let tallies: Vec<Result<Tally, Failure>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..usize::from(arguments.connections))
            .map(|thread| {
                let first = keys.len() * thread / usize::from(arguments.connections);
                scope.spawn(move || one_connection(client, arguments, interrupt, keys, first, command))
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let (mut requests, mut took, mut trips) = (0, Duration::ZERO, histogram()?);
    for tally in tallies {
        let tally = tally?;
        requests += tally.requests;
        took = took.max(tally.took);
        trips.add(tally.trips).map_err(|error| Failure::Wrong(error.to_string()))?;
    }
    let rate = requests as f64 / took.as_secs_f64().max(1e-6);
    let us = |quantile| trips.value_at_quantile(quantile) as f64 / 1e3;
    let (p50, p99) = (us(0.5), us(0.99));
    let json =
        || json!({ "command": name, "per_second": rate, "p50_us": p50, "p99_us": p99, "requests": requests });
    let text = format!(
        "{name} {:>12}/s   round trips: half within {p50:.0} µs, 99 % within {p99:.0} µs",
        count(rate)
    );
    console.answer(json, text.as_bytes())?;
    Ok(console.out.flush()?)
}

/// One round trip after the other, until the time is up.
fn one_connection<'k>(
    client: &Client,
    arguments: &BenchArguments,
    interrupt: &Interrupt,
    keys: &'k [String],
    first: usize,
    command: impl Fn(&'k [u8]) -> Command<'k>,
) -> Result<Tally, Failure> {
    client.ping()?; // connects
    let (begun, mut tally) =
        (Instant::now(), Tally { requests: 0, took: Duration::ZERO, trips: histogram()? });
    let mut keys = keys.iter().cycle().skip(first).map(|key| command(key.as_bytes()));
    let mut commands = Vec::with_capacity(arguments.depth as usize);
    while tally.took < arguments.time && !interrupt.is_set() {
        commands.clear();
        commands.extend(keys.by_ref().take(arguments.depth as usize));
        let sent = Instant::now();
        let mut failed: Option<CommandError> = None;
        client.run(commands.iter().copied(), |_, reply| failed = failed.or(reply.err()))?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        tally.trips.saturating_record(sent.elapsed().as_nanos() as u64);
        tally.requests += u64::from(arguments.depth);
        tally.took = begun.elapsed();
    }
    Ok(tally)
}

/// Longer trips count as this, in nanoseconds.
const TRIP_MAX: u64 = 60_000_000_000;

fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_max(TRIP_MAX, 3).map_err(|error| Failure::Wrong(error.to_string()))
}

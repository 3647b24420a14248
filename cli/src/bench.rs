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

/// What is asked of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation<'v> {
    Put(&'v [u8]),
    Get,
    Delete,
}

/// A connection under load.
pub(crate) trait Loaded {
    /// One round trip: the same of each key. Fails if one request did.
    fn ask(&mut self, operation: Operation<'_>, keys: &[&str]) -> Result<(), Failure>;
}

/// What a thread counted.
struct Tally {
    requests: u64,
    took: Duration,
    /// Round trips of `depth` requests, in nanoseconds.
    trips: Histogram<u64>,
}

/// Keys that are removed at a time.
const REMOVED: usize = 1000;

/// Puts, then gets, then removes what it has put.
pub(crate) fn bench<L: Loaded>(
    connect: impl Fn() -> Result<L, Failure> + Sync,
    console: &mut Console,
    arguments: &BenchArguments,
) -> Result<bool, Failure> {
    let keys: Vec<String> = (0..arguments.keys).map(|number| format!("{PREFIX}{number:08}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let value = vec![b'x'; arguments.value_len as usize];
    if !console.session {
        // Also who is interrupted removes what was put.
        console.interrupt = Interrupt::listen()?;
    }
    let mut outcome = measure(&connect, console, arguments, "PUT", &keys, Operation::Put(&value));
    if outcome.is_ok() {
        outcome = measure(&connect, console, arguments, "GET", &keys, Operation::Get);
    }
    let removed = connect().and_then(|mut connection| {
        keys.chunks(REMOVED).try_for_each(|keys| connection.ask(Operation::Delete, keys))
    });
    outcome.and(removed)?;
    Ok(true)
}

fn measure<L: Loaded>(
    connect: &(impl Fn() -> Result<L, Failure> + Sync),
    console: &mut Console,
    arguments: &BenchArguments,
    name: &str,
    keys: &[&str],
    operation: Operation<'_>,
) -> Result<(), Failure> {
    let interrupt = &console.interrupt;
    let tallies: Vec<Result<Tally, Failure>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..usize::from(arguments.connections))
            .map(|thread| {
                let first = keys.len() * thread / usize::from(arguments.connections);
                scope.spawn(move || {
                    one_connection(&mut connect()?, arguments, interrupt, keys, first, operation)
                })
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
    if requests == 0 {
        return Ok(()); // Ctrl-C came before
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
fn one_connection(
    connection: &mut impl Loaded,
    arguments: &BenchArguments,
    interrupt: &Interrupt,
    keys: &[&str],
    first: usize,
    operation: Operation<'_>,
) -> Result<Tally, Failure> {
    let (begun, mut tally) =
        (Instant::now(), Tally { requests: 0, took: Duration::ZERO, trips: histogram()? });
    let mut keys = keys.iter().copied().cycle().skip(first);
    let mut asked = Vec::with_capacity(arguments.depth as usize);
    while tally.took < arguments.time && !interrupt.is_set() {
        asked.clear();
        asked.extend(keys.by_ref().take(arguments.depth as usize));
        let sent = Instant::now();
        connection.ask(operation, &asked)?;
        tally.trips.saturating_record(sent.elapsed().as_nanos() as u64);
        tally.requests += u64::from(arguments.depth);
        tally.took = begun.elapsed();
    }
    Ok(tally)
}

impl Loaded for Client {
    fn ask(&mut self, operation: Operation<'_>, keys: &[&str]) -> Result<(), Failure> {
        let mut failed: Option<CommandError> = None;
        self.run(keys.iter().map(|key| command(operation, key)), |_, reply| failed = failed.or(reply.err()))?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

fn command<'k>(operation: Operation<'k>, key: &'k str) -> Command<'k> {
    let key = key.as_bytes();
    match operation {
        Operation::Put(value) => {
            let (ttl, condition) = (Ttl::Never, Condition::Always);
            Command::Put(Put { key, value, flags: 0, ttl, condition })
        }
        Operation::Get => Command::Get { key, meta: false },
        Operation::Delete => Command::Delete { key, version: None },
    }
}

/// Connected, so that this is not measured.
pub(crate) fn connected(client: &Client) -> Result<Client, Failure> {
    client.ping()?;
    Ok(client.clone())
}

/// Longer trips count as this, in nanoseconds.
const TRIP_MAX: u64 = 60_000_000_000;

fn histogram() -> Result<Histogram<u64>, Failure> {
    Histogram::new_with_max(TRIP_MAX, 3).map_err(|error| Failure::Wrong(error.to_string()))
}

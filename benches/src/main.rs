//! `crabcache-bench`: replays traces, measures items, puts the engine beside other caches. Exit codes: 0 done, 1 it did not work or the cache was wrong,
//! 2 the arguments make no sense.
#![forbid(unsafe_code)]

mod cli;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use crabcache_bench::bytes::{Filler, Keys, Region};
use crabcache_bench::embed;
use crabcache_bench::items;
use crabcache_bench::replay::{EngineTarget, Options, ReplayError, ServerTarget, Tally, Target, replay};
use crabcache_bench::report::{Report, TargetReport};
use crabcache_bench::trace::Trace;
use indicatif::{ProgressBar, ProgressStyle};

use cli::{Arguments, Command, Embed, Items, Replay};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Replay(arguments) => run_replay(&arguments),
        Command::Items(arguments) => run_items(&arguments),
        Command::Embed(arguments) => run_embed(arguments),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("crabcache-bench: {failure}");
        ExitCode::from(1)
    })
}

fn run_items(arguments: &Items) -> Result<ExitCode, Failure> {
    let &Items { count, key, value, shards, json } = arguments;
    let footprint = items::measure(items::Options { items: count, key_len: key, value_len: value, shards })?;
    print(if json { footprint.to_json().to_string() } else { footprint.to_string() })?;
    Ok(ExitCode::SUCCESS)
}

fn run_embed(arguments: Embed) -> Result<ExitCode, Failure> {
    let Embed { items, key, value, threads, distribution, rounds, ops, .. } = arguments;
    let Embed { shards, operations, only, json, .. } = arguments;
    let options = embed::Options {
        items,
        key_len: key,
        value_len: value,
        threads,
        distributions: distribution,
        rounds,
        ops,
        shards,
        questions: operations,
        peers: only,
    };
    // It takes minutes: whoever waits for it may see where it is.
    let report = embed::measure(&options, &mut |step| {
        if std::io::stderr().is_terminal() {
            eprintln!("{step} ...");
        }
    })?;
    print(if json { report.to_json().to_string() } else { report.to_string() })?;
    Ok(ExitCode::SUCCESS)
}

fn run_replay(arguments: &Replay) -> Result<ExitCode, Failure> {
    let trace = Trace::load(&arguments.trace)?;
    let name = arguments.trace_name();
    let keys = Keys::new(trace.key_len as usize, u64::from(trace.keys));
    let filler = Filler::new(trace.value_len_max());
    let report = match &arguments.connect {
        Some(addr) => on_server(arguments, &trace, &name, addr, keys, &filler)?,
        None => on_engine(arguments, &trace, &name, keys, &filler)?,
    };
    print(if arguments.json { report.to_json().to_string() } else { report.to_string() })?;
    Ok(ExitCode::from(u8::from(report.tally.wrong > 0)))
}

fn on_server(
    arguments: &Replay,
    trace: &Trace,
    name: &str,
    addr: &str,
    keys: Keys,
    filler: &Filler,
) -> Result<Report, Failure> {
    let mut target = ServerTarget::connect(addr, keys, filler)?;
    let server = target.hello()?.server;
    let timed = time(arguments, trace, &mut target)?;
    let stats = target.stats()?;
    let target = TargetReport::Server { addr: addr.to_owned(), name: server, stats };
    Ok(timed.report(trace, name, keys, target))
}

fn on_engine(
    arguments: &Replay,
    trace: &Trace,
    name: &str,
    keys: Keys,
    filler: &Filler,
) -> Result<Report, Failure> {
    let capacity = arguments.capacity.expect("clap requires it").bytes(trace.working_set());
    let shards = arguments.shards;
    let mut region = Region::new(usize::try_from(capacity)?);
    let cache = EngineTarget::open(region.bytes(), shards)?;
    let mut target = EngineTarget::new(&cache, keys, filler);
    let timed = time(arguments, trace, &mut target)?;
    let (simd, stats) = (cache.simd_level(), Box::new(cache.stats()));
    Ok(timed.report(trace, name, keys, TargetReport::Engine { capacity, shards, simd, stats }))
}

/// A replay that is done, and how long it took.
struct Timed {
    options: Options,
    tally: Tally,
    elapsed: std::time::Duration,
}

impl Timed {
    fn report(&self, trace: &Trace, name: &str, keys: Keys, target: TargetReport) -> Report {
        let Options { batch, ttl } = self.options;
        let Self { tally, elapsed, .. } = *self;
        Report { batch, ttl, tally, elapsed, ..Report::new(trace, name, keys.len(), target) }
    }
}

fn time(arguments: &Replay, trace: &Trace, target: &mut dyn Target) -> Result<Timed, ReplayError> {
    let options = Options { batch: arguments.batch(), ttl: arguments.ttl };
    let bar = progress_bar(trace.requests.len() as u64);
    let start = Instant::now();
    let tally = replay(trace, target, options, &mut |done| bar.set_position(done));
    let elapsed = start.elapsed();
    bar.finish_and_clear();
    tally.map(|tally| Timed { options, tally, elapsed })
}

/// On a terminal; hidden if what is printed goes anywhere else.
fn progress_bar(requests: u64) -> ProgressBar {
    if !(std::io::stdout().is_terminal() && std::io::stderr().is_terminal()) {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left")
        .expect("the template is one");
    ProgressBar::new(requests).with_style(style)
}

/// A closed pipe is the reader's wish.
fn print(text: impl std::fmt::Display) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{}", text.to_string().trim_end()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

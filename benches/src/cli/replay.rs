//! `replay`: a trace, on an engine or through a server.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{ArgGroup, Args};
use crabcache_bench::bytes::{Filler, Keys, Region};
use crabcache_bench::capacity::Capacity;
#[cfg(feature = "embed")]
use crabcache_bench::embed::peers::PeerKind;
use crabcache_bench::process::rss;
#[cfg(feature = "embed")]
use crabcache_bench::replay::CacheTarget;
use crabcache_bench::replay::{EngineTarget, Options, ReplayError, ServerTarget, Tally, Target, replay};
use crabcache_bench::report::{Report, TargetReport};
use crabcache_bench::trace::Trace;

use super::{Failure, print, progress_bar};

const REPLAY_EXAMPLES: &str = "\
Examples:
  crabcache-bench replay oltp.cct.zst --engine --capacity 10%
  crabcache-bench replay oltp.cct.zst --engine --capacity 64m --shards 4 --batch 32 --json
  crabcache-bench replay oltp.cct.zst --cache moka --capacity 64m
  crabcache-bench replay oltp.cct.zst --connect 127.0.0.1:7001";

#[derive(Debug, Args)]
#[command(after_help = REPLAY_EXAMPLES, group = ArgGroup::new("target").args(["connect", "engine", "cache"]).required(true))]
pub(crate) struct Replay {
    /// Trace file (CCTRACE1, one zstd frame).
    pub(crate) trace: PathBuf,

    /// Replay on the server at this address, through the client's pipeline.
    #[arg(
        long,
        value_name = "ADDR",
        conflicts_with_all = ["capacity", "shards", "ttl"]
    )]
    pub(crate) connect: Option<String>,

    /// Replay on an engine in this process, in a region of exactly --capacity bytes, index included.
    #[arg(long, requires = "capacity", conflicts_with = "connect")]
    pub(crate) engine: bool,

    /// Replay on a cache of another crate in this process, which may hold --capacity bytes of keys and values: one of
    /// those of `embed` that evict.
    #[cfg(feature = "embed")]
    #[arg(long, value_name = "NAME", requires = "capacity", conflicts_with_all = ["connect", "engine", "shards", "ttl"])]
    pub(crate) cache: Option<PeerKind>,

    /// Replay on a cache of another crate in this process; in a build with `--features crabcache-bench/full` only.
    #[cfg(not(feature = "embed"))]
    #[arg(long, value_name = "NAME", requires = "capacity")]
    cache: Option<String>,

    /// Bytes (k, m, g for units of 1024), or a part of the trace's working set such as 10%.
    #[arg(long, value_name = "BYTES|PERCENT")]
    pub(crate) capacity: Option<Capacity>,

    /// Number of shards, a power of two.
    #[arg(long, default_value_t = 1, requires = "engine")]
    pub(crate) shards: u32,

    /// Let items expire by the trace's clock. Without it the clock stands still. Not with --connect: a server's clock
    /// runs in real time, and a trace of a week is replayed in seconds.
    #[arg(long)]
    pub(crate) ttl: bool,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,

    /// Most requests in a pipeline or a batch; 1 is exactly one by one [default: 64 with --connect, else 1].
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
}

impl Replay {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let trace = Trace::load(&self.trace).map_err(|error| format!("{}: {error}", self.trace.display()))?;
        let name = self.trace_name();
        let keys = Keys::new(trace.key_len as usize, u64::from(trace.keys));
        let filler = Filler::new(trace.value_len_max());
        let report = if let Some(addr) = &self.connect {
            let report = on_server(self, &trace, &name, addr, keys, &filler);
            report.map_err(|error| format!("{addr}: {error}"))?
        } else if self.engine {
            on_engine(self, &trace, &name, keys, &filler)?
        } else {
            on_cache(self, &trace, &name, keys, &filler)?
        };
        print(if self.json { report.to_json().to_string() } else { report.to_string() })?;
        Ok(ExitCode::from(u8::from(report.tally.wrong > 0)))
    }

    fn capacity(&self, trace: &Trace) -> u64 {
        self.capacity.expect("clap requires it").bytes(trace.working_set())
    }

    fn batch(&self) -> usize {
        self.batch.map_or(if self.connect.is_none() { 1 } else { 64 }, NonZeroUsize::get)
    }

    /// The file's name up to the first dot.
    fn trace_name(&self) -> String {
        let name = self.trace.file_name().unwrap_or(self.trace.as_os_str()).to_string_lossy();
        name.split('.').next().unwrap_or_default().to_owned()
    }
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
    let capacity = arguments.capacity(trace);
    let before = rss();
    let shards = arguments.shards;
    let mut region = Region::new(usize::try_from(capacity)?);
    let cache = EngineTarget::open(region.bytes(), shards)?;
    let mut target = EngineTarget::new(&cache, keys, filler);
    let timed = time(arguments, trace, &mut target)?;
    let grown = grown_since(before);
    let (simd, stats) = (cache.simd_level(), Box::new(cache.stats()));
    let making_room = Box::new(target.into_making_room());
    let target = TargetReport::Engine { capacity, shards, simd, stats, making_room };
    Ok(Report { grown, ..timed.report(trace, name, keys, target) })
}

#[cfg(feature = "embed")]
fn on_cache(
    arguments: &Replay,
    trace: &Trace,
    name: &str,
    keys: Keys,
    filler: &Filler,
) -> Result<Report, Failure> {
    let capacity = arguments.capacity(trace);
    let kind = arguments.cache.expect("clap requires one of the three");
    let before = rss();
    let target = CacheTarget::new(kind, capacity, keys, filler);
    let Some(mut target) = target else { return Err(format!("{} evicts nothing", kind.name()).into()) };
    let timed = time(arguments, trace, &mut target)?;
    let grown = grown_since(before);
    let target = TargetReport::Cache { name: kind.name(), capacity };
    Ok(Report { grown, ..timed.report(trace, name, keys, target) })
}

#[cfg(not(feature = "embed"))]
fn on_cache(_: &Replay, _: &Trace, _: &str, _: Keys, _: &Filler) -> Result<Report, Failure> {
    Err(super::left_out())
}

fn grown_since(before: Option<u64>) -> Option<u64> {
    Some(rss()?.saturating_sub(before?))
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
    let bar = progress_bar(Some(trace.requests.len() as u64));
    let start = Instant::now();
    let tally = replay(trace, target, options, &mut |done| bar.set_position(done));
    let elapsed = start.elapsed();
    bar.finish_and_clear();
    tally.map(|tally| Timed { options, tally, elapsed })
}

#[cfg(test)]
mod tests {
    use super::super::{Arguments, Command};
    use clap::Parser;

    #[test]
    fn traces_are_named_by_their_file() {
        let Command::Replay(replay) =
            Arguments::parse_from(["b", "replay", "/a/oltp.cct.zst", "--connect", "a:1"]).command
        else {
            panic!("a replay")
        };
        assert_eq!((replay.trace_name(), replay.batch()), ("oltp".to_owned(), 64));
    }
}

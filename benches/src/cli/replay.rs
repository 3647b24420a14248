//! `replay`: a trace, on an engine or through a server.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use crabcache_bench::bytes::{Filler, Keys, Region};
use crabcache_bench::capacity::Capacity;
use crabcache_bench::replay::{EngineTarget, Options, ReplayError, ServerTarget, Tally, Target, replay};
use crabcache_bench::report::{Report, TargetReport};
use crabcache_bench::trace::Trace;

use super::{Failure, print, progress_bar};

const REPLAY_EXAMPLES: &str = "\
Examples:
  crabcache-bench replay oltp.cct.zst --engine --capacity 10%
  crabcache-bench replay oltp.cct.zst --engine --capacity 64m --shards 4 --batch 32 --json
  crabcache-bench replay oltp.cct.zst --connect 127.0.0.1:7001";

#[derive(Debug, Args)]
#[command(after_help = REPLAY_EXAMPLES)]
pub(crate) struct Replay {
    /// Trace file (CCTRACE1, one zstd frame).
    pub(crate) trace: PathBuf,

    /// Replay on the server at this address, through the client's pipeline.
    #[arg(
        long,
        value_name = "ADDR",
        required_unless_present = "engine",
        conflicts_with_all = ["engine", "capacity", "shards", "ttl"]
    )]
    pub(crate) connect: Option<String>,

    /// Replay on an engine in this process, in a region of exactly --capacity bytes, index included.
    #[arg(long, requires = "capacity")]
    pub(crate) engine: bool,

    /// Bytes (k, m, g for units of 1024), or a part of the trace's working set such as 10%.
    #[arg(long, value_name = "BYTES|PERCENT", requires = "engine")]
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

    /// Most requests in a pipeline or a batch; 1 is exactly one by one [default: 1 with --engine, 64 with --connect].
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
}

impl Replay {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let trace = Trace::load(&self.trace)?;
        let name = self.trace_name();
        let keys = Keys::new(trace.key_len as usize, u64::from(trace.keys));
        let filler = Filler::new(trace.value_len_max());
        let report = match &self.connect {
            Some(addr) => on_server(self, &trace, &name, addr, keys, &filler)?,
            None => on_engine(self, &trace, &name, keys, &filler)?,
        };
        print(if self.json { report.to_json().to_string() } else { report.to_string() })?;
        Ok(ExitCode::from(u8::from(report.tally.wrong > 0)))
    }

    fn batch(&self) -> usize {
        self.batch.map_or(if self.engine { 1 } else { 64 }, NonZeroUsize::get)
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

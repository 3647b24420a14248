//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use crabcache_bench::capacity::Capacity;
use crabcache_bench::embed::Question;
use crabcache_bench::embed::keys::Distribution;
use crabcache_bench::embed::peers::PeerKind;

const REPLAY_EXAMPLES: &str = "\
Examples:
  crabcache-bench replay oltp.cct.zst --engine --capacity 10%
  crabcache-bench replay oltp.cct.zst --engine --capacity 64m --shards 4 --batch 32 --json
  crabcache-bench replay oltp.cct.zst --connect 127.0.0.1:7001";

/// The command line of `crabcache-bench`.
#[derive(Debug, Parser)]
#[command(
    name = "crabcache-bench",
    version,
    about = "Measures CrabCache: miss ratios on traces, bytes per item, the engine beside other caches"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Replay a trace as a look-aside cache: get; on a miss, put.
    Replay(Replay),
    /// Fill an engine and print what an item costs beyond key and value.
    Items(Items),
    /// Put the engine beside other caches and maps of Rust programs: CPU time of get, overwrite and new key.
    Embed(Embed),
}

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

#[derive(Debug, Args)]
pub(crate) struct Items {
    /// Number of items.
    #[arg(long = "items", value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,

    /// Bytes of each key.
    #[arg(long, value_name = "BYTES", default_value_t = 11)]
    pub(crate) key: usize,

    /// Bytes of each value.
    #[arg(long, value_name = "BYTES", default_value_t = 32)]
    pub(crate) value: u32,

    /// Number of shards, a power of two; 0: as the engine chooses.
    #[arg(long, default_value_t = 0)]
    pub(crate) shards: u32,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

const EMBED_EXAMPLES: &str = "\
Examples:
  crabcache-bench embed
  crabcache-bench embed --threads 1 --distribution zipf:0.99 --operations get --only quick_cache,moka
  crabcache-bench embed --items 100000 --value 200 --rounds 9 --json";

#[derive(Debug, Args)]
#[command(after_help = EMBED_EXAMPLES)]
pub(crate) struct Embed {
    /// Number of items.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1 << 30))]
    pub(crate) items: u32,

    /// Bytes of each key.
    #[arg(long, value_name = "BYTES", default_value_t = 11)]
    pub(crate) key: usize,

    /// Bytes of each value.
    #[arg(long, value_name = "BYTES", default_value_t = 32)]
    pub(crate) value: u32,

    /// Numbers of threads; each is measured for itself.
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,2", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: Vec<u32>,

    /// How often each item is asked for: uniform, or zipf: and an exponent. Each is measured for itself.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "zipf:0.99,uniform")]
    pub(crate) distribution: Vec<Distribution>,

    /// Rounds; one more is made before them and not counted.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Operations of each thread in a round.
    #[arg(long, value_name = "N", default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) ops: u32,

    /// Shards of the engine, a power of two; 0: as the engine chooses.
    #[arg(long, default_value_t = 0)]
    pub(crate) shards: u32,

    /// What to measure: get and overwrite in caches with room for all items, new-key in caches that are full.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "get,overwrite,new-key")]
    pub(crate) operations: Vec<Question>,

    /// Who takes part beside the engine.
    #[arg(
        long,
        value_name = "NAME,...",
        value_delimiter = ',',
        default_value = "quick_cache,foyer,moka,lru,dashmap,papaya,scc"
    )]
    pub(crate) only: Vec<PeerKind>,

    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Replay {
    pub(crate) fn batch(&self) -> usize {
        self.batch.map_or(if self.engine { 1 } else { 64 }, NonZeroUsize::get)
    }

    /// The file's name up to the first dot.
    pub(crate) fn trace_name(&self) -> String {
        let name = self.trace.file_name().unwrap_or(self.trace.as_os_str()).to_string_lossy();
        name.split('.').next().unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn replays_need_one_target() {
        for good in [
            "b replay t --engine --capacity 10%",
            "b replay t --engine --capacity 64m --shards 4 --ttl --json --batch 32",
            "b replay t --connect 127.0.0.1:7001 --batch 1",
            "b items",
            "b embed",
            "b embed --threads 1,2,4 --distribution uniform,zipf:1.1 --only moka,lru --rounds 3 --ops 1000 --json",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "b replay t",
            "b replay t --engine",
            "b replay t --capacity 10%",
            "b replay t --connect a:1 --engine --capacity 1m",
            "b replay t --connect a:1 --capacity 1m",
            "b replay t --connect a:1 --shards 2",
            "b replay t --connect a:1 --ttl",
            "b replay t --engine --capacity 1m --batch 0",
            "b items --items 0",
            "b embed --threads 0",
            "b embed --distribution normal",
            "b embed --only redis",
            "b embed --rounds 0",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn traces_are_named_by_their_file() {
        let Command::Replay(replay) = parse("b replay /a/oltp.cct.zst --connect a:1").unwrap().command else {
            panic!("a replay")
        };
        assert_eq!((replay.trace_name(), replay.batch()), ("oltp".to_owned(), 64));
    }
}

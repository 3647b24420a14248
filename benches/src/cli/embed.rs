//! `embed`: the engine beside other caches of Rust programs.

use std::process::ExitCode;

use clap::Args;
use crabcache_bench::draw::Distribution;
use crabcache_bench::embed::pages::Pages;
use crabcache_bench::embed::{self, Question, peers::PeerKind};

use super::{Failure, announce, print};

const EMBED_EXAMPLES: &str = "\
Examples:
  crabcache-bench embed
  crabcache-bench embed --threads 1 --distribution zipf:0.99 --only quick_cache,moka
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

    /// Pages of the engine's memory: huge, as its README advises, or small. The others take theirs from malloc, which asks for
    /// huge pages, too, where the environment has `GLIBC_TUNABLES=glibc.malloc.hugetlb=1`.
    #[arg(long, value_name = "SIZE", default_value = "huge")]
    pub(crate) pages: Pages,

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

impl Embed {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Embed { items, key, value, threads, distribution, rounds, ops, .. } = self;
        let Embed { shards, pages, operations, only, json, .. } = self;
        let options = embed::Options {
            items,
            key_len: key,
            value_len: value,
            threads,
            distributions: distribution,
            rounds,
            ops,
            shards,
            pages,
            questions: operations,
            peers: only,
        };
        let report = embed::measure(&options, &mut announce)?;
        print(if json { report.to_json().to_string() } else { report.to_string() })?;
        Ok(ExitCode::SUCCESS)
    }
}

//! `peers`: this server beside others.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use crabcache_bench::draw::Distribution;
use crabcache_bench::load::script::Items;
use crabcache_bench::load::sizes::Sizes;
use crabcache_bench::peers::machine::Machine;
use crabcache_bench::peers::peer::{self, Given};
use crabcache_bench::peers::report::Report;
use crabcache_bench::peers::workload::{Shape, Workload};
use crabcache_bench::peers::{self, Options};

use super::{Failure, announce, print, tell};

const EXAMPLES: &str = "\
Examples:
  crabcache-bench peers                               whoever is found on PATH, about 5 minutes
  crabcache-bench peers --rounds 3 --requests 200000  a quick look
  crabcache-bench peers --peer valkey=/opt/valkey/bin/valkey-server --workloads G1,G64,M64
  crabcache-bench peers --peer 'mine:memcache=/opt/mine -p {port}'";

/// When everything is ended at the latest if nobody says otherwise, in seconds.
pub(crate) const LIMIT: u64 = 900;

/// Who runs where.
#[derive(Debug, Args)]
pub(crate) struct Pinning {
    /// The CPU for all servers.
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    server_cpu: usize,

    /// The CPU for the load.
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    client_cpu: usize,

    /// Let all run wherever the system wants.
    #[arg(long = "no-pinning", conflicts_with_all = ["server_cpu", "client_cpu"])]
    unpinned: bool,

    /// End everything after so many seconds [default: 900; of churn what it should take, three times over].
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl Pinning {
    pub(crate) fn server(&self) -> Option<usize> {
        (!self.unpinned).then_some(self.server_cpu)
    }

    pub(crate) fn client(&self) -> Option<usize> {
        (!self.unpinned).then_some(self.client_cpu)
    }

    pub(crate) fn limit(&self, usual: u64) -> Duration {
        Duration::from_secs(self.limit.unwrap_or(usual))
    }
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Peers {
    /// A server that is not on PATH: NAME=PATH with NAME one of crabcache, redis, valkey, memcached, pogocache; or any other as
    /// NAME[:PROTOCOL]=COMMAND with {port} in it. May be given several times.
    #[arg(long = "peer", value_name = "NAME=PATH")]
    given: Vec<Given>,

    /// What to ask: G (GET), S (SET) or M (1 SET to 9 GETs), and the depth of the pipeline.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "G1,G16,G64,S1,S16,S64")]
    workloads: Vec<Shape>,

    /// Rounds.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Requests of each workload in a round; without pipelining a fifth of them.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(5..))]
    requests: u64,

    /// Connections.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,

    /// Number of items.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    items: u32,

    /// Bytes of each key.
    #[arg(long, value_name = "BYTES", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=250))]
    key: u32,

    /// Bytes of each value.
    #[arg(long, value_name = "BYTES", default_value_t = 32, value_parser = clap::value_parser!(u32).range(..=1 << 19))]
    value: u32,

    /// How often each item is asked for: uniform, or zipf: and an exponent.
    #[arg(long, value_name = "NAME", default_value = "uniform")]
    distribution: Distribution,

    #[command(flatten)]
    pinning: Pinning,

    /// Where to write tables, plots and the figures of each round.
    #[arg(long, value_name = "DIR", default_value = "benches/results")]
    out: PathBuf,
}

impl Peers {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let this = std::env::current_exe()?;
        let (mut found, absent) = peer::find(&self.given, &this);
        found.push(peer::floor(&this));
        let machine = Machine::this();
        let workload = |shape: &Shape| Workload {
            name: shape.name(),
            mix: shape.mix,
            depth: shape.depth,
            connections: self.connections,
            requests: if shape.depth == 1 { self.requests / 5 } else { self.requests },
        };
        let options = Options {
            peers: found,
            workloads: self.workloads.iter().map(workload).collect(),
            rounds: self.rounds,
            items: Items::new(self.items, Sizes::fixed(self.key), Sizes::fixed(self.value))?,
            distribution: self.distribution,
            server_cpu: self.pinning.server(),
            client_cpu: self.pinning.client(),
            limit: self.pinning.limit(LIMIT),
        };
        if !absent.is_empty() {
            tell(format_args!("not found: {}", absent.join(", ")));
        }
        // Before minutes of measuring, not after them; if nothing is measured, nothing is left behind.
        let is_new = !self.out.exists();
        fs::create_dir_all(&self.out).map_err(|error| format!("{}: {error}", self.out.display()))?;
        let measured = peers::measure(&options, &mut announce);
        if measured.is_err() && is_new {
            let _ = fs::remove_dir(&self.out);
        }
        let outcomes = measured?;
        let report = Report { options, machine, outcomes, absent };
        print(report.tables())?;
        for warning in report.warnings() {
            tell(warning);
        }
        for path in report.write(&self.out)? {
            tell(format_args!("wrote {}", path.display()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

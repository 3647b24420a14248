//! `seed`: the table that the project began with.

use std::process::ExitCode;

use clap::Args;
use crabcache_bench::draw::Distribution;
use crabcache_bench::load::request::Protocol;
use crabcache_bench::load::script::Items;
use crabcache_bench::load::sizes::Sizes;
use crabcache_bench::peers::peer::{self, Given, OURS};
use crabcache_bench::peers::{self, Options};
use crabcache_bench::seed::{Report, workloads};

use super::peers::{LIMIT, Pinning};
use super::{Failure, announce, print};

/// Who the others are compared with.
const REDIS: &str = "redis";
const REQUESTS: u64 = 5000;
const REQUESTS_LONG: u64 = 100_000;
const ITEMS: u32 = 10_000;

#[derive(Debug, Args)]
pub(crate) struct Seed {
    /// 100,000 requests a row instead of 5,000.
    #[arg(long)]
    long: bool,

    /// Rounds.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// A server that is not on PATH: crabcache=PATH or redis=PATH.
    #[arg(long = "peer", value_name = "NAME=PATH")]
    given: Vec<Given>,

    #[command(flatten)]
    pinning: Pinning,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Seed {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let (found, _) = peer::find(&self.given, &std::env::current_exe()?);
        let named = |name: &str| {
            let peer = found.iter().find(|peer| peer.name == name).cloned();
            peer.ok_or_else(|| format!("there is no {name} here: say where with --peer {name}=PATH"))
        };
        let (ours, redis) = (named(OURS)?, named(REDIS)?);
        let mut native = ours.clone();
        native.protocol = Protocol::Native;
        native.name += ", native";
        let options = Options {
            peers: vec![ours, native, redis],
            workloads: workloads(if self.long { REQUESTS_LONG } else { REQUESTS }),
            rounds: self.rounds,
            items: Items::new(ITEMS, Sizes::fixed(11), Sizes::fixed(32))?,
            distribution: Distribution::Uniform,
            server_cpu: self.pinning.server(),
            client_cpu: self.pinning.client(),
            limit: self.pinning.limit(LIMIT),
        };
        let outcomes = peers::measure(&options, &mut announce)?;
        let report = Report { workloads: options.workloads, outcomes };
        print(if self.json { report.to_json().to_string() } else { report.to_string() })?;
        Ok(ExitCode::SUCCESS)
    }
}

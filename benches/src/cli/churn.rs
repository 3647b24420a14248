//! `churn`: a full cache under churn, and what has to hold then.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use crabcache_bench::churn;
use crabcache_bench::peers::peer::{self, Given, OURS};
use crabcache_bench::peers::with_servers;

use super::peers::Pinning;
use super::{Failure, announce, print};

const EXAMPLES: &str = "\
Examples:
  crabcache-bench churn                          ten minutes of load on each, about half an hour
  crabcache-bench churn --memory 16 --seconds 5  a quick look

Exit status: 0 all of what has to hold does, 1 something does not, or it did not work, 2 bad usage.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Churn {
    /// The server, if it is neither beside this program nor on PATH: crabcache=PATH.
    #[arg(long = "peer", value_name = "NAME=PATH")]
    given: Vec<Given>,

    /// Memory of the full server, in MiB. The items have four times as many bytes; where they fit there is eight times as much.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(4..=1 << 16))]
    memory: u64,

    /// For how long each is under load.
    #[arg(long, value_name = "S", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seconds: u64,

    #[command(flatten)]
    pinning: Pinning,
}

impl Churn {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let this = std::env::current_exe()?;
        let (found, _) = peer::find(&self.given, &this);
        let ours = found.iter().find(|peer| peer.name == OURS);
        let ours =
            ours.ok_or_else(|| format!("there is no {OURS} here: say where with --peer {OURS}=PATH"))?;
        let limit = self.pinning.limit(10 * self.seconds + 300);
        let report = with_servers(limit, self.pinning.client(), |servers| {
            let sides = churn::start(servers, ours, &this, self.memory, self.pinning.server())?;
            let time = Duration::from_secs(self.seconds);
            churn::measure(&sides, self.memory << 20, time, &mut announce)
        })?;
        print(&report)?;
        Ok(ExitCode::from(u8::from(report.is_bad())))
    }
}

//! `client`: our client beside others.

use std::process::ExitCode;

use clap::Args;
use crabcache_bench::clients::{Options, measure};

use super::{Failure, print};

#[derive(Debug, Args)]
pub(crate) struct Client {
    /// A server that speaks the native protocol, RESP and memcached text on one port.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7001")]
    connect: String,

    /// Rounds.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Requests of each client, operation and depth in a round.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1000..))]
    requests: u32,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Client {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let options = Options { addr: self.connect, rounds: self.rounds, requests: self.requests };
        let report = measure(&options)?;
        print(if self.json { report.to_json().to_string() } else { report.to_string() })?;
        Ok(ExitCode::SUCCESS)
    }
}

//! `client`: our client beside others.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use crabcache_bench::clients::{self, Operation, Options, instructions};

use super::{Failure, print};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Asked {
    Get,
    Set,
}

#[derive(Debug, Args)]
pub(crate) struct Client {
    /// A server that speaks the native protocol, RESP and memcached text on one port.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7001")]
    connect: String,

    /// Rounds.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Requests of each client, operation and depth in a round.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1024..))]
    requests: u32,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    /// Count instructions instead of time, with valgrind: at depths 1 and 64.
    #[arg(long, conflicts_with_all = ["rounds", "json"])]
    instructions: bool,

    /// Only let this client ask, for whoever watches.
    #[arg(long, value_name = "CLIENT", conflicts_with_all = ["rounds", "json", "instructions"])]
    only: Option<String>,

    /// What it asks.
    #[arg(long, requires = "only", default_value = "get")]
    operation: Asked,

    /// How many requests at a time.
    #[arg(long, requires = "only", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    depth: u32,
}

impl Client {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Self { connect: addr, rounds, requests, .. } = self;
        if let Some(name) = self.only {
            let operation = match self.operation {
                Asked::Get => Operation::Get,
                Asked::Set => Operation::Set,
            };
            clients::play(&addr, &name, operation, self.depth as usize, requests)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.instructions {
            print(instructions::measure(&std::env::current_exe()?, &addr, requests)?.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        let report = clients::measure(&Options { addr, rounds, requests })?;
        print(if self.json { report.to_json().to_string() } else { report.to_string() })?;
        Ok(ExitCode::SUCCESS)
    }
}

//! `instructions`: what a request takes in the server, and whether that is still within a limit.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use crabcache_bench::instructions::measure;
use crabcache_bench::load::request::Protocol;

use super::{Failure, print};

#[derive(Debug, Args)]
pub(crate) struct Instructions {
    /// The server [default: crabcache-server beside this program].
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,

    /// What to speak: resp, memcache or native.
    #[arg(long, value_name = "NAME", default_value = "resp")]
    protocol: Protocol,

    /// Most instructions that a GET may take: with more the exit code is 1.
    #[arg(long, value_name = "N")]
    get_max: Option<f64>,

    /// The same for a SET.
    #[arg(long, value_name = "N")]
    set_max: Option<f64>,

    /// Requests of each kind.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=4_000_000))]
    requests: u64,

    /// End everything after so many seconds.
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

impl Instructions {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let beside = std::env::current_exe()?.with_file_name("crabcache-server");
        let server = self.server.unwrap_or(beside);
        let counted = measure(&server, self.protocol, self.requests, Duration::from_secs(self.limit))?;
        let mut exceeded = false;
        for (name, count, max) in [("GET", counted.get, self.get_max), ("SET", counted.set, self.set_max)] {
            let limit = max.map(|max| format!(", at most {max} allowed")).unwrap_or_default();
            print(format_args!(
                "{}: {name} at depth 64: {count:.1} instructions{limit}",
                self.protocol.name()
            ))?;
            exceeded |= max.is_some_and(|max| count > max);
        }
        Ok(ExitCode::from(u8::from(exceeded)))
    }
}

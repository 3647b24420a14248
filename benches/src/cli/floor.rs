//! `floor`: the server that stores nothing.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, tell};

#[derive(Debug, Args)]
pub(crate) struct Floor {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7002")]
    listen: SocketAddr,

    /// Bytes of each key.
    #[arg(long, value_name = "BYTES", default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    key: u32,

    /// Bytes of each value.
    #[arg(long, value_name = "BYTES", default_value_t = 32, value_parser = clap::value_parser!(u32).range(..=1 << 19))]
    value: u32,
}

impl Floor {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut floor =
            crabcache_bench::floor::Floor::bind(self.listen, self.key as usize, self.value as usize)
                .map_err(|error| format!("--listen {}: {error}", self.listen))?;
        tell(format_args!("floor ready on {}", floor.address()?));
        floor.serve()?;
        Ok(ExitCode::SUCCESS)
    }
}

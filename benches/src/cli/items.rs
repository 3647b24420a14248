//! `items`: what an item costs beyond key and value.

use std::process::ExitCode;

use clap::Args;
use crabcache_bench::items;

use super::{Failure, print};

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

impl Items {
    pub(crate) fn run(&self) -> Result<ExitCode, Failure> {
        let &Items { count, key, value, shards, json } = self;
        let footprint =
            items::measure(items::Options { items: count, key_len: key, value_len: value, shards })?;
        print(if json { footprint.to_json().to_string() } else { footprint.to_string() })?;
        Ok(ExitCode::SUCCESS)
    }
}

//! `crabcache-bench`: replays traces, measures items, puts the engine beside other caches. Exit codes: 0 done, 1 it did not work or the cache was wrong,
//! 2 the arguments make no sense.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use clap::Parser;

use cli::Arguments;

fn main() -> ExitCode {
    Arguments::parse().command.run().unwrap_or_else(|failure| {
        cli::tell(format_args!("crabcache-bench: {failure}"));
        ExitCode::from(1)
    })
}

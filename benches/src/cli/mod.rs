//! The command line.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

mod embed;
mod items;
mod replay;

use embed::Embed;
use items::Items;
use replay::Replay;

/// Whatever kept a command from being carried out.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The command line of `crabcache-bench`.
#[derive(Debug, Parser)]
#[command(
    name = "crabcache-bench",
    version,
    about = "Measures CrabCache: miss ratios on traces, bytes per item, the engine beside other caches"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Replay a trace as a look-aside cache: get; on a miss, put.
    Replay(Replay),
    /// Fill an engine and print what an item costs beyond key and value.
    Items(Items),
    /// Put the engine beside other caches and maps of Rust programs: CPU time of get, overwrite and new key.
    Embed(Embed),
}

impl Command {
    /// Carries it out; the exit code is 1 if what was measured was wrong.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Replay(replay) => replay.run(),
            Self::Items(items) => items.run(),
            Self::Embed(embed) => embed.run(),
        }
    }
}

/// On a terminal; hidden if what is printed goes anywhere else.
fn progress_bar(requests: u64) -> ProgressBar {
    if !(std::io::stdout().is_terminal() && std::io::stderr().is_terminal()) {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left")
        .expect("the template is one");
    ProgressBar::new(requests).with_style(style)
}

/// A closed pipe is the reader's wish.
fn print(text: impl std::fmt::Display) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{}", text.to_string().trim_end()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn replays_need_one_target() {
        for good in [
            "b replay t --engine --capacity 10%",
            "b replay t --engine --capacity 64m --shards 4 --ttl --json --batch 32",
            "b replay t --connect 127.0.0.1:7001 --batch 1",
            "b items",
            "b embed",
            "b embed --threads 1,2,4 --distribution uniform,zipf:1.1 --only moka,lru --rounds 3 --ops 1000 --json",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "b replay t",
            "b replay t --engine",
            "b replay t --capacity 10%",
            "b replay t --connect a:1 --engine --capacity 1m",
            "b replay t --connect a:1 --capacity 1m",
            "b replay t --connect a:1 --shards 2",
            "b replay t --connect a:1 --ttl",
            "b replay t --engine --capacity 1m --batch 0",
            "b items --items 0",
            "b embed --threads 0",
            "b embed --distribution normal",
            "b embed --only redis",
            "b embed --rounds 0",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

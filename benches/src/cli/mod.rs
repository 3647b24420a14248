//! The command line.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

mod churn;
#[cfg(feature = "clients")]
mod client;
#[cfg(feature = "embed")]
mod embed;
mod floor;
mod instructions;
mod items;
mod load;
mod peers;
mod replay;
mod seed;

use churn::Churn;
#[cfg(feature = "clients")]
use client::Client;
#[cfg(feature = "embed")]
use embed::Embed;
use floor::Floor;
use instructions::Instructions;
use items::Items;
use load::Load;
use peers::Peers;
use replay::Replay;
use seed::Seed;

/// Whatever kept a command from being carried out.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The command line of `crabcache-bench`.
#[derive(Debug, Parser)]
#[command(
    name = "crabcache-bench",
    version,
    max_term_width = 100,
    about = "Measures CrabCache: load on any server, peers beside it, miss ratios of traces, bytes per item, the engine in a program"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Replay a trace as a look-aside cache: get; on a miss, put.
    Replay(Replay),
    /// Send requests to a server: how many it answers, and how long that takes.
    Load(Load),
    /// Put servers side by side, all alive at once, in interleaved rounds: CPU time per request, latencies, memory.
    Peers(Peers),
    /// Load on a full cache, beside the same where everything fits, and the floor: memory, p99.9, the longest wait.
    Churn(Churn),
    /// The table that the project began with: requests per second of small operations at few connections, beside Redis.
    Seed(Seed),
    /// Count the instructions of a GET and a SET in the server, under valgrind.
    Instructions(Instructions),
    /// Serve canned answers and store nothing: what any server on a reactor costs.
    Floor(Floor),
    /// Fill an engine and print what an item costs beyond key and value.
    Items(Items),
    /// Put the client beside other clients, all of one server: their own CPU time per request.
    #[cfg(feature = "clients")]
    Client(Client),
    /// Put the client beside other clients, all of one server; in a build with `--features crabcache-bench/full` only.
    #[cfg(not(feature = "clients"))]
    Client(LeftOut),
    /// Put the engine beside other caches and maps of Rust programs: CPU time of get, overwrite and new key.
    #[cfg(feature = "embed")]
    Embed(Embed),
    /// Put the engine beside other caches and maps of Rust programs; in a build with `--features crabcache-bench/full` only.
    #[cfg(not(feature = "embed"))]
    Embed(LeftOut),
}

/// A command that this build does not have, whatever its arguments.
#[cfg(not(all(feature = "clients", feature = "embed")))]
#[derive(Debug, clap::Args)]
pub(crate) struct LeftOut {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

/// A build takes longer with the other crates that this is measured beside, so they are left out by default.
#[cfg(not(all(feature = "clients", feature = "embed")))]
fn left_out() -> Failure {
    "not in this build: build it with `cargo build --release --features crabcache-bench/full`".into()
}

impl Command {
    /// Carries it out; the exit code is 1 if what was measured was wrong.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Replay(replay) => replay.run(),
            Self::Load(load) => load.run(),
            Self::Peers(peers) => peers.run(),
            Self::Churn(churn) => churn.run(),
            Self::Seed(seed) => seed.run(),
            Self::Instructions(instructions) => instructions.run(),
            Self::Floor(floor) => floor.run(),
            Self::Items(items) => items.run(),
            #[cfg(feature = "clients")]
            Self::Client(client) => client.run(),
            #[cfg(not(feature = "clients"))]
            Self::Client(_) => Err(left_out()),
            #[cfg(feature = "embed")]
            Self::Embed(embed) => embed.run(),
            #[cfg(not(feature = "embed"))]
            Self::Embed(_) => Err(left_out()),
        }
    }
}

/// A number of seconds, or of other units, as in `1m 30s`.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .or_else(|| humantime::parse_duration(text).ok())
        .filter(|time| *time <= Duration::from_secs(1_000_000))
        .ok_or_else(|| "expected a number of seconds, or a time such as 30s, 5m or 500ms".to_owned())
}

/// On a terminal; hidden if what is printed goes anywhere else. Where the number of requests is not known beforehand, it only
/// counts.
fn progress_bar(requests: Option<u64>) -> ProgressBar {
    if !(std::io::stdout().is_terminal() && std::io::stderr().is_terminal()) {
        return ProgressBar::hidden();
    }
    let (bar, template) = match requests {
        Some(requests) => {
            let template = "{prefix} {wide_bar} {human_pos}/{human_len} {rate}, {eta} left";
            (ProgressBar::new(requests), template)
        }
        None => (ProgressBar::new_spinner(), "{prefix} {spinner} {answered}{elapsed}"),
    };
    let style = ProgressStyle::with_template(template).expect("the template is one");
    // A line that cannot be written is not shown.
    let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
        let _ = write!(text, "{:.0}/s", state.per_sec());
    };
    let answered = |state: &ProgressState, text: &mut dyn fmt::Write| {
        if state.pos() > 0 {
            let _ = write!(text, "{} requests, {:.0}/s, ", HumanCount(state.pos()), state.per_sec());
        }
    };
    bar.with_style(style.with_key("rate", rate).with_key("answered", answered))
}

/// It takes minutes: whoever waits for it may see where it is.
fn announce(step: &str) {
    if std::io::stderr().is_terminal() {
        tell(format_args!("{step} ..."));
    }
}

/// A line on standard error. If that cannot be written to, the exit code has to do.
pub(crate) fn tell(text: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A closed pipe is the reader's wish.
fn print(text: impl fmt::Display) -> std::io::Result<()> {
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
    fn help_is_as_wide_as_people_read() {
        let mut command = Arguments::command();
        command.build();
        for command in [&command].into_iter().chain(command.get_subcommands()) {
            let help = command.clone().render_help().to_string();
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_short = |line: &str| line.chars().count() <= 100;
            assert!(help.lines().chain(examples.lines()).all(is_short), "{help}");
        }
    }

    #[test]
    fn arguments_that_make_sense_and_others() {
        for good in [
            "b replay t --engine --capacity 10%",
            "b replay t --engine --capacity 64m --shards 4 --ttl --json --batch 32",
            "b replay t --connect 127.0.0.1:7001 --batch 1",
            "b items",
            "b load",
            "b peers --workloads G1,S64 --peer redis=/x/redis-server --no-pinning --limit 5",
            "b churn --memory 64 --seconds 3 --peer crabcache=/x --limit 9",
            "b seed --long --peer redis=/x",
            "b floor --listen 127.0.0.1:0 --key 11 --value 0",
            "b instructions --server x --get-max 530.5",
            "b load --protocol native --connections 1 --depth 64 --rate 1000.5 --requests 10 --verify --json",
            "b load --ttl 0:80,5-60:20 --key 11-20:3,40:1 --value 0-100 --ratio 1:0 --distribution zipf:1.1 --seconds 0.5",
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
            "b load --ratio 0:0",
            "b load --ttl never",
            "b load --depth 0",
            "b load --ping --ratio 1:1",
            "b load --seconds 1 --requests 1",
            "b load --rate 0",
            "b peers --workloads X1",
            "b peers --peer redis",
            "b peers --no-pinning --server-cpu 1",
            "b churn --memory 0",
            "b floor --listen 7",
            "b instructions --requests 0",
            "b load --connect 7001",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[cfg(feature = "clients")]
    #[test]
    fn arguments_of_client() {
        assert!(parse("b client --connect 127.0.0.1:7001 --rounds 3 --requests 1024 --json").is_ok());
        for bad in ["b client --rounds 0", "b client --requests 1023"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[cfg(feature = "embed")]
    #[test]
    fn arguments_of_embed() {
        for good in [
            "b embed",
            "b embed --threads 1,2,4 --distribution uniform,zipf:1.1 --only moka,lru --rounds 3 --ops 1000 --json",
            "b replay t --cache lru --capacity 1m --json",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "b embed --threads 0",
            "b embed --distribution normal",
            "b embed --only redis",
            "b embed --rounds 0",
            "b replay t --cache lru",
            "b replay t --cache lru --capacity 1m --engine",
            "b replay t --cache lru --capacity 1m --connect a:1",
            "b replay t --cache redis --capacity 1m",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

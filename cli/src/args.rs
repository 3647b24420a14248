//! What can be asked for on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  crabcache-cli ping
  crabcache-cli put greeting hello --ttl 10s
  crabcache-cli get greeting
  crabcache-cli put photo < photo.jpg && crabcache-cli get photo > copy.jpg
  crabcache-cli put lock me --if-absent --ttl 30s || echo taken
  crabcache-cli incr visits 1
  crabcache-cli scan --prefix user: | wc -l
  crabcache-cli stats --watch
  crabcache-cli --json get greeting | jq .ttl_ms
  crabcache-cli --addr unix:///run/crabcache.sock stats
  crabcache-cli completions bash > /etc/bash_completion.d/crabcache-cli

Exit codes:
  0  done
  1  key absent, or condition not met
  2  usage
  3  no connection, or no answer in time
  4  refused by the server, or anything else

With --json each answer is an object on a line of its own. Keys and values that are not UTF-8 are then called
key_hex and value_hex, and are hexadecimal.";

/// Talk to a `CrabCache` server.
#[derive(Parser)]
#[command(version, about = "Talk to a CrabCache server", after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[arg(
        long,
        help = "Server: host:port or unix:///path",
        env = "CRABCACHE_ADDR",
        default_value = "127.0.0.1:7001",
        global = true
    )]
    pub(crate) addr: String,
    /// How long to wait for the connection and for an answer
    #[arg(long, default_value = "2s", value_parser = parse_duration, value_name = "TIME", global = true)]
    pub(crate) timeout: Duration,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Action,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Ask whether the server is there; prints PONG and the time it took
    Ping,
    /// Print a value, byte for byte
    Get {
        /// The key
        key: OsString,
    },
    /// Print several keys and their values, a line each; absent ones are left out
    Mget {
        /// The keys
        #[arg(required = true)]
        keys: Vec<OsString>,
    },
    /// Store a value
    Put(PutArguments),
    /// Remove keys; prints how many were there
    Del {
        /// The keys
        #[arg(required = true)]
        keys: Vec<OsString>,
    },
    /// Add to a counter and print it; an absent key counts as 0
    Incr {
        /// The key
        key: OsString,
        /// What to add; may be negative
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        delta: i64,
    },
    /// Add bytes at the end of a value and print its length
    Append {
        /// The key
        key: OsString,
        /// The bytes; from standard input if absent or -
        value: Option<OsString>,
    },
    /// Change when a key expires
    Touch {
        /// The key
        key: OsString,
        /// Time left to live; without it the key does not expire
        #[arg(long, value_parser = parse_duration, value_name = "TIME")]
        ttl: Option<Duration>,
    },
    /// Print the time that a key has left to live, such as 9500ms, or never
    Ttl {
        /// The key
        key: OsString,
    },
    /// Print keys, a line each; some may come twice while the server grows
    Scan {
        /// Only those that begin so
        #[arg(long, default_value = "")]
        prefix: OsString,
    },
    /// Print the server's statistics
    Stats {
        /// Again and again, with what each figure grows by in a second
        #[arg(long)]
        watch: bool,
        /// Time between two looks
        #[arg(long, default_value = "1s", value_parser = parse_duration, value_name = "TIME", requires = "watch")]
        interval: Duration,
        /// Looks to take; without it until Ctrl-C
        #[arg(long, value_name = "N", requires = "watch")]
        count: Option<u64>,
    },
    /// Remove everything
    Flush,
    /// Print a script that completes this program's arguments in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Args)]
pub(crate) struct PutArguments {
    /// The key
    pub(crate) key: OsString,
    /// The value; from standard input if absent or -
    pub(crate) value: Option<OsString>,
    /// Take the value from this file
    #[arg(long, conflicts_with = "value", value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Let it expire after this time: 500ms, 10s, 5m, 2h, 7d
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    pub(crate) ttl: Option<Duration>,
    /// Only if the key is absent
    #[arg(long, conflicts_with = "if_present")]
    pub(crate) if_absent: bool,
    /// Only if the key is present
    #[arg(long)]
    pub(crate) if_present: bool,
}

/// A whole number and a unit: ms, s, m, h or d.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let ms_per_unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("expected a number with ms, s, m, h or d, such as 10s".to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(ms_per_unit))
        .map(Duration::from_millis)
        .ok_or_else(|| "not a number, or too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_hours(2)));
        for bad in ["", "10", "s", "-1s", "1.5s", "10 s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
        let args = Arguments::try_parse_from(["cli", "incr", "k", "-5"]).ok();
        assert!(matches!(args, Some(Arguments { command: Action::Incr { delta: -5, .. }, .. })));
        assert!(Arguments::try_parse_from(["cli", "stats", "--count", "3"]).is_err());
    }
}

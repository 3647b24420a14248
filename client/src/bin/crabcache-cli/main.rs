//! `crabcache-cli`: one command to a server, for people and shell scripts.
//!
//! Exit codes: 0 done, 1 the key is absent or the condition did not hold, 2 anything else.
#![forbid(unsafe_code)]

mod print;

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use crabcache_client::{Client, Condition, Error, PutOptions};

use crate::print::Printer;

const EXAMPLES: &str = "\
Examples:
  crabcache-cli ping
  crabcache-cli put greeting hello --ttl 10s
  crabcache-cli get greeting
  crabcache-cli put photo < photo.jpg && crabcache-cli get photo > copy.jpg
  crabcache-cli put lock me --if-absent --ttl 30s || echo taken
  crabcache-cli incr visits 1
  crabcache-cli --addr unix:///run/crabcache.sock stats

Exit codes: 0 done, 1 key absent or condition not met, 2 anything else.";

/// Talk to a `CrabCache` server.
#[derive(Parser)]
#[command(version, about = "Talk to a CrabCache server", after_help = EXAMPLES, max_term_width = 100)]
struct Args {
    #[arg(
        long,
        help = "Server: host:port or unix:///path",
        env = "CRABCACHE_ADDR",
        default_value = "127.0.0.1:7001",
        global = true
    )]
    addr: String,
    /// How long to wait for the connection and for an answer
    #[arg(long, default_value = "2s", value_parser = parse_duration, value_name = "TIME", global = true)]
    timeout: Duration,
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
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
    Put {
        /// The key
        key: OsString,
        /// The value; from standard input if absent or -
        value: Option<OsString>,
        /// Let it expire after this time: 500ms, 10s, 5m, 2h, 7d
        #[arg(long, value_parser = parse_duration, value_name = "TIME")]
        ttl: Option<Duration>,
        /// Only if the key is absent
        #[arg(long, conflicts_with = "if_present")]
        if_absent: bool,
        /// Only if the key is present
        #[arg(long)]
        if_present: bool,
    },
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
    /// Print the server's statistics
    Stats,
    /// Remove everything
    Flush,
}

/// Why the program ends with 2.
enum Failure {
    Client(Error),
    Io(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn main() -> ExitCode {
    let args = Args::parse(); // usage errors exit with 2
    let addr = args.addr.clone();
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        // Whoever reads our output has seen enough.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(2),
        Err(Failure::Io(error)) => fail(&error.to_string()),
        Err(Failure::Client(error)) => fail(&format!("{addr}: {error}")),
    }
}

fn fail(text: &str) -> ExitCode {
    eprintln!("crabcache-cli: {text}");
    ExitCode::from(2)
}

/// True if the key was there, or the condition held.
fn run(args: Args) -> Result<bool, Failure> {
    let client = Client::builder()
        .addr(args.addr)
        .connections_max(1)
        .connect_timeout(args.timeout)
        .request_timeout(Some(args.timeout))
        .build()?;
    let mut printer = Printer::new();
    let yes = match args.command {
        Action::Ping => {
            client.ping()?; // connects
            let start = Instant::now();
            client.ping()?;
            printer.line(&format!("PONG {:.3} ms", start.elapsed().as_secs_f64() * 1e3))?;
            true
        }
        Action::Get { key } => match client.get(key.into_vec())? {
            Some(value) => {
                printer.value(&value)?;
                true
            }
            None => false,
        },
        Action::Mget { keys } => {
            let keys: Vec<Vec<u8>> = keys.into_iter().map(OsString::into_vec).collect();
            let values = client.get_many(&keys)?;
            for (key, value) in keys.iter().zip(&values) {
                if let Some(value) = value {
                    printer.pair(key, b"\t", value)?;
                }
            }
            values.iter().all(Option::is_some)
        }
        Action::Put { key, value, ttl, if_absent, if_present } => {
            let mut options = PutOptions::new();
            if let Some(ttl) = ttl {
                options = options.ttl(ttl);
            }
            if if_absent {
                options = options.condition(Condition::Absent);
            } else if if_present {
                options = options.condition(Condition::Present);
            }
            client.put_with(key.into_vec(), value_or_stdin(value)?, options)?
        }
        Action::Del { keys } => {
            let total = keys.len();
            let mut removed = 0;
            for key in keys {
                removed += usize::from(client.del(key.into_vec())?);
            }
            printer.line(&removed.to_string())?;
            removed == total
        }
        Action::Incr { key, delta } => {
            let number = client.incr(key.into_vec(), delta)?;
            printer.line(&number.to_string())?;
            true
        }
        Action::Append { key, value } => {
            let len = client.append(key.into_vec(), value_or_stdin(value)?)?;
            printer.line(&len.to_string())?;
            true
        }
        Action::Touch { key, ttl } => client.touch(key.into_vec(), ttl)?,
        Action::Stats => {
            for (name, value) in client.stats()? {
                printer.pair(name.as_bytes(), b"=", value.as_bytes())?;
            }
            true
        }
        Action::Flush => {
            client.flush()?;
            true
        }
    };
    printer.finish()?;
    Ok(yes)
}

fn value_or_stdin(value: Option<OsString>) -> io::Result<Vec<u8>> {
    match value {
        Some(value) if value != "-" => Ok(value.into_vec()),
        _ => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
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
        Args::command().debug_assert();
        let args = Args::try_parse_from(["cli", "incr", "k", "-5"]).ok();
        assert!(matches!(args, Some(Args { command: Action::Incr { delta: -5, .. }, .. })));
    }
}

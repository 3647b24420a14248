//! What can be asked for on the command line.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Resettable;
use clap::{Arg, Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  crabcache-cli                            a session, with history and completion
  crabcache-cli < commands.txt             a command on each line
  crabcache-cli put greeting hello --ttl 10s
  crabcache-cli get greeting
  crabcache-cli put photo < photo.jpg && crabcache-cli get photo > copy.jpg
  crabcache-cli --json get greeting | jq .ttl_ms
  crabcache-cli stats --watch
  crabcache-cli --addr unix:///run/crabcache.sock ping
  crabcache-cli --addr redis://127.0.0.1:6379 set greeting hello

An address that begins with redis:// is spoken to in RESP: then commands are the server's own, sent as they are, \
but for stats, top, bench and completions. `crabcache-cli help COMMAND` has examples for each command.

What is typed in a session is kept in ~/.local/state/crabcache/history, or in crabcache/history in $XDG_STATE_HOME, \
but for passwords and lines that begin with a blank.

Exit codes (for commands from standard input, the highest of all):
  0    done
  1    key absent, or condition not met
  2    usage
  3    no connection, or no answer in time
  4    refused by the server, or anything else
  130  a bench that Ctrl-C ended

With --json each answer is an object on a line of its own, and each failure one on standard error, with error, code, \
addr if it is about the server, and, for commands from standard input, line. Keys and values that are not UTF-8 are \
then called key_hex and value_hex, and are hexadecimal.";

/// The whole command line.
#[derive(Parser)]
#[command(name = "crabcache-cli", version, about = "Talk to a CrabCache server", after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Option<Action>,
}

/// What stands before a command that is the server's own.
#[derive(Parser)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Raw {
    #[command(flatten)]
    pub(crate) options: Options,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
}

/// Variables without anything in them count as none, as the server's do.
pub(crate) fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty());
    command.mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg })
}

/// A line of a session.
#[derive(Parser)]
#[command(
    multicall = true,
    about = "Commands of a session",
    override_usage = "COMMAND [ARGUMENTS]; help lists the commands",
    after_help = "Words with blanks or any bytes: \"two words\", \"\\x00\\n\", 'as it is'. Tab completes; Ctrl-C ends what runs; quit ends."
)]
pub(crate) struct Typed {
    #[command(subcommand)]
    pub(crate) command: Action,
}

/// Names of commands are known in any case, and by those of Redis that mean the same: these are aliases. `words` begin with
/// the name.
pub(crate) fn lower_name(words: &mut [OsString]) {
    let asks_help = words.first().is_some_and(|name| name.eq_ignore_ascii_case("help"));
    for name in words.iter_mut().take(if asks_help { 2 } else { 1 }) {
        if !name.as_encoded_bytes().starts_with(b"-") {
            name.make_ascii_lowercase();
        }
    }
}

/// A line of a session, whose help knows `quit`, too, and neither a shell nor standard input.
pub(crate) fn session_command() -> clap::Command {
    let with_value = |command: clap::Command| command.mut_arg("value", |value| value.help("The value"));
    Typed::command()
        .mut_subcommands(|command| {
            let examples = command.get_after_help().map(|text| in_session(&text.to_string()));
            command.after_help(examples.unwrap_or_default())
        })
        .mut_subcommand("put", with_value)
        .mut_subcommand("append", with_value)
        .subcommand(clap::Command::new("quit").about("End the session").alias("exit"))
}

/// Of examples those that can be typed in a session, as they are typed there.
fn in_session(text: &str) -> String {
    let typed = |line: &str| {
        if !line.contains("crabcache-cli") {
            return Some(line.to_owned());
        }
        let line = line.strip_prefix("  crabcache-cli ")?;
        (!line.starts_with("--") && !line.contains(['|', '<', '>'])).then(|| format!("  {line}"))
    };
    let lines: Vec<String> = text.lines().filter_map(typed).collect();
    lines.join("\n")
}

/// Options of all commands stand in help below those of the command.
const BEHIND_OTHERS: usize = 900;

#[derive(Args)]
pub(crate) struct Options {
    #[arg(
        help = "Server: [crab://]host:port, unix:///path, or redis://[user:password@]host[:port][/db] (also valkey://, resp:// and redis+unix:///path)",
        long,
        env = "CRABCACHE_ADDR",
        hide_env_values = true,
        default_value = "127.0.0.1:7001",
        global = true,
        display_order = BEHIND_OTHERS
    )]
    pub(crate) addr: String,
    /// How long to wait for the connection and for an answer: 500ms, 10s, 5m; a bare number is seconds
    #[arg(
        long,
        default_value = "2s",
        value_parser = parse_time,
        value_name = "TIME",
        global = true,
        display_order = BEHIND_OTHERS
    )]
    pub(crate) timeout: Duration,
    /// Answer in JSON
    #[arg(long, global = true, display_order = BEHIND_OTHERS)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Ask whether the server is there; prints PONG and the time it took
    #[command(after_help = "Examples:\n  crabcache-cli ping\n  until crabcache-cli ping; do sleep 1; done")]
    Ping,
    /// Print a value, byte for byte
    #[command(after_help = "Examples:\n  crabcache-cli get greeting\n  crabcache-cli get photo > photo.jpg")]
    Get {
        /// The key
        key: OsString,
    },
    /// Print several keys and their values, a line each; absent ones are left out
    #[command(
        after_help = "Examples:\n  crabcache-cli mget user:1 user:2\n  crabcache-cli --json mget user:1 user:2"
    )]
    Mget {
        /// The keys
        #[arg(required = true)]
        keys: Vec<OsString>,
    },
    /// Store a value
    #[command(visible_alias = "set", after_help = PUT_EXAMPLES)]
    Put(PutArguments),
    /// Remove keys; prints how many were there
    #[command(
        alias = "unlink",
        after_help = DEL_EXAMPLES
    )]
    Del {
        /// The keys
        #[arg(required = true)]
        keys: Vec<OsString>,
    },
    /// Add to a counter and print it; an absent key counts as 0
    #[command(
        alias = "incrby",
        after_help = "Examples:\n  crabcache-cli incr visits\n  crabcache-cli incr stock -3"
    )]
    Incr {
        /// The key
        key: OsString,
        /// What to add; may be negative
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        delta: i64,
    },
    /// Add bytes at the end of a value and print its length
    #[command(
        after_help = "Examples:\n  crabcache-cli append log \"one more line\"\n  date | crabcache-cli append log"
    )]
    Append {
        /// The key
        key: OsString,
        /// The bytes; from standard input if absent or -
        value: Option<OsString>,
    },
    /// Change when a key expires
    #[command(
        after_help = "Examples:\n  crabcache-cli touch session --ttl 30m\n  crabcache-cli touch session    # never"
    )]
    Touch {
        /// The key
        key: OsString,
        /// Time left to live: 500ms, 10s, 5m, 2h, 7d; a bare number is seconds. Without it the key does not expire
        #[arg(long, value_parser = parse_time, value_name = "TIME", allow_negative_numbers = true)]
        ttl: Option<Duration>,
    },
    /// Print the time that a key has left to live, such as 9500ms, or never
    #[command(after_help = "Example:\n  crabcache-cli ttl session")]
    Ttl {
        /// The key
        key: OsString,
    },
    /// Print keys, a line each; some may come twice while the server grows
    #[command(
        after_help = "Examples:\n  crabcache-cli scan --prefix user:\n  crabcache-cli scan --prefix user: | wc -l\n  crabcache-cli --json scan | jq -r .key"
    )]
    Scan {
        /// Only those that begin so
        #[arg(long, default_value = "")]
        prefix: OsString,
    },
    /// Print the server's statistics
    #[command(visible_alias = "info", after_help = STATS_EXAMPLES)]
    Stats {
        /// Again and again: on a terminal a live table, else a line each time
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        pace: Pace,
    },
    /// Print the keys that most requests are about
    #[command(after_help = TOP_EXAMPLES)]
    Top(TopArguments),
    /// Measure how many PUTs and GETs the server takes from here, on keys that begin with crabcache-cli-bench:
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(BenchArguments),
    /// Remove everything
    #[command(aliases = ["flushall", "flushdb"], after_help = "Example:\n  crabcache-cli flush")]
    Flush,
    /// Print a script that completes this program's arguments in a shell
    #[command(
        after_help = "Examples:\n  crabcache-cli completions bash\n  crabcache-cli completions bash > /etc/bash_completion.d/crabcache-cli\n  crabcache-cli completions fish > ~/.config/fish/completions/crabcache-cli.fish"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

const DEL_EXAMPLES: &str = "\
Examples:
  crabcache-cli del greeting
  crabcache-cli scan --prefix tmp: | xargs -r -d '\\n' crabcache-cli del --

Keys that have a newline in them are only told apart with scan --json.";

const PUT_EXAMPLES: &str = "\
Examples:
  crabcache-cli put greeting hello --ttl 10s
  crabcache-cli put photo < photo.jpg
  crabcache-cli put photo --file photo.jpg
  crabcache-cli put lock me --if-absent --ttl 30s || echo taken
  crabcache-cli put number -- -5";

const STATS_EXAMPLES: &str = "\
Examples:
  crabcache-cli stats
  crabcache-cli stats --watch
  crabcache-cli stats --watch --interval 10s | tee stats.txt
  crabcache-cli --json stats | jq .hits

With --watch, p99 (p99 us*) is the server's own time for a request, since its start; network and waiting are not in it; \
answer took is how long the server took to answer this look, with both.

Figures; those that count do so since the server's start:
  version, workers    of the server, and its threads
  uptime_s            seconds since its start
  simd                instructions by which it looks keys up
  items               present; one that has expired counts until it is collected
  region_bytes        memory for items and index
  used_bytes          of that, in items, headers and padding included
  free_bytes          free for items
  largest_free_bytes  in the largest piece of it
  limbo_bytes         of removed items, until nobody reads them, or kept for the next writes
  index_bytes         in the index
  buckets             of the index
  hits, misses        reads that found their key, and that did not
  stores              writes that stored a value
  deletes             items removed on request
  evictions           items removed to make room
  expirations         items removed because their time had come
  pressure            writes refused because no room could be made in time
  connections         clients now
  commands, errors    requests, and those of them that were answered with an error
  timeouts            clients closed because they were idle, or too slow
  bytes_in, bytes_out received and sent
  latency_p50_ns, latency_p99_ns, latency_p99.9_ns
                      the server's own time for a request on one key, in nanoseconds, that half,
                      99 % and 99.9 % of them take at most; absent until one was timed

Over redis:// they are those of INFO.";

const TOP_EXAMPLES: &str = "\
Examples:
  crabcache-cli top
  crabcache-cli top --watch --keys 20
  crabcache-cli --addr redis://127.0.0.1:6379 top

It is a sample of a tenth of a second, and of a few thousand requests at most. Over redis:// it is taken with MONITOR, \
of 100,000 requests at most: the server has more to do meanwhile, and a CrabCache shows there what clients of RESP ask \
for. With --json, key is null where no key was asked for.";

const BENCH_EXAMPLES: &str = "\
Examples:
  crabcache-cli bench
  crabcache-cli bench --connections 10 --depth 1 --time 10s
  crabcache-cli --addr redis://127.0.0.1:6379 bench

For other protocols, key distributions and open loops there is crabcache-bench load.";

/// What to look at for hot keys.
#[derive(Args)]
pub(crate) struct TopArguments {
    /// Keys to print
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) keys: usize,
    /// Again and again
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// Most connections of a bench; all else takes one.
pub(crate) const CONNECTIONS_MAX: u16 = 1000;

/// The load to measure with.
#[derive(Args)]
pub(crate) struct BenchArguments {
    /// Connections, each with a thread of its own
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(CONNECTIONS_MAX)))]
    pub(crate) connections: u16,
    /// Requests that are sent before their answers are awaited
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) depth: u32,
    /// How long each of the two may take
    #[arg(long, default_value = "3s", value_parser = parse_time, value_name = "TIME")]
    pub(crate) time: Duration,
    /// Bytes in a value
    #[arg(long, default_value_t = 32, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=1 << 20))]
    pub(crate) value_len: u32,
    /// Keys to choose from
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) keys: u32,
}

/// How often to look, and for how long.
#[derive(Args)]
pub(crate) struct Pace {
    /// Time between two looks
    #[arg(long, default_value = "1s", value_parser = parse_interval, value_name = "TIME", requires = "watch")]
    pub(crate) interval: Duration,
    /// Looks to take; without it until Ctrl-C
    #[arg(long, value_name = "N", requires = "watch")]
    pub(crate) count: Option<u64>,
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
    /// Let it expire after this time: 500ms, 10s, 5m, 2h, 7d; a bare number is seconds
    #[arg(long, value_parser = parse_time, value_name = "TIME", allow_negative_numbers = true)]
    pub(crate) ttl: Option<Duration>,
    /// Only if the key is absent
    #[arg(long, conflicts_with = "if_present")]
    pub(crate) if_absent: bool,
    /// Only if the key is present
    #[arg(long)]
    pub(crate) if_present: bool,
}

/// A hundred years: no moment that far off is beyond what clocks can tell.
const TIME_MAX: Duration = Duration::from_hours(100 * 365 * 24);

/// A number of seconds, or of other units, as in `1m 30s`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let time = match text.parse() {
        // What no Duration can hold is too long, too.
        Ok(seconds) if seconds >= 0.0 => Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        _ => match humantime::parse_duration(text) {
            Ok(time) => time,
            Err(error @ humantime::DurationError::NumberOverflow) => return Err(error.to_string()),
            Err(_) => {
                return Err(
                    "expected a number of seconds, or a time such as 500ms, 10s, 5m, 2h or 7d".to_owned()
                );
            }
        },
    };
    if time > TIME_MAX { Err("too long: at most 36500d".to_owned()) } else { Ok(time) }
}

/// A time for something to happen in: the server counts in milliseconds, and so do sockets.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time < Duration::from_millis(1) { Err("at least a millisecond".to_owned()) } else { Ok(time) }
}

/// A time between two looks, which are not to be the server's whole work.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < Duration::from_millis(100) { Err("at least 100ms".to_owned()) } else { Ok(interval) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("0.5"), Ok(Duration::from_millis(500)));
        assert!(parse_time("1ms").is_ok() && parse_time("0").is_err() && parse_time("100us").is_err());
        assert!(
            parse_interval("100ms").is_ok()
                && parse_interval("0s").is_err()
                && parse_interval("99ms").is_err()
        );
        assert!(parse_duration("36500d").is_ok());
        for bad in ["", "s", "-1", "-1s", "nan"] {
            assert!(parse_duration(bad).unwrap_err().contains("expected"), "{bad}");
        }
        for (long, why) in [
            ("36501d", "too long"),
            ("999999999999d", "too long"),
            ("1e19", "too long"),
            ("inf", "too long"),
            ("99999999999999999999s", "too large"),
            ("18446744073709551615d", "too large"),
        ] {
            assert!(parse_duration(long).unwrap_err().contains(why), "{long}");
        }
    }

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
        Raw::command().debug_assert();
        session_command().debug_assert();
        let args = Arguments::try_parse_from(["cli", "incr", "k", "-5"]).ok();
        assert!(matches!(args, Some(Arguments { command: Some(Action::Incr { delta: -5, .. }), .. })));
        assert!(Arguments::try_parse_from(["cli", "stats", "--count", "3"]).is_err());
    }
}

//! The command line. A flag wins over its `CRABCACHE_*` variable, and that over the default.

use std::env;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::builder::{BoolishValueParser, Resettable, UnknownArgumentValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, CommandFactory, FromArgMatches, Parser};

use super::size::{self, SizeError};
use super::{Config, Listen};

const EXAMPLES: &str = "\
Examples:
  crabcache-server                                   all protocols on 127.0.0.1:7001, 512 MiB
  crabcache-server --memory 4gb --listen 127.0.0.1:7001
  crabcache-server --listen resp://127.0.0.1:6379 --listen memcache://127.0.0.1:11211
  crabcache-server --listen unix:///run/crabcache.sock --workers 2
  CRABCACHE_MEMORY=64mb crabcache-server

Try it:
  redis-cli -p 7001 set greeting hello
  printf 'get greeting\\r\\n' | nc -q1 127.0.0.1 7001

Exit status: 0 stopped by a signal, 1 failed while running, 2 bad usage, 78 bad configuration.";

const LISTEN: &str = "--listen 127.0.0.1:PORT tells where to listen";
const MEMORY: &str = "it is called --memory here";
const CONNECTIONS: &str = "it is called --max-connections here";
const WORKERS: &str = "they are called --workers here";

/// What Redis and memcached call what has another name here, or is not to be had: told to whoever types it.
const OF_OTHERS: [(&str, &str); 15] = [
    ("--port", LISTEN),
    ("-p", LISTEN),
    ("--bind", LISTEN),
    ("-l", LISTEN),
    ("--unixsocket", "--listen unix:///PATH tells where to listen"),
    ("--maxmemory", MEMORY),
    ("--maxmemory-policy", "the policy is fixed: S3-FIFO"),
    ("--maxclients", CONNECTIONS),
    ("-c", CONNECTIONS),
    ("--threads", WORKERS),
    ("-t", WORKERS),
    ("--config", "there is no file of settings: each flag is also an environment variable"),
    ("--requirepass", "there is no password: listen where only those who may use it can connect"),
    ("--daemonize", "it stays in the foreground: a service manager, or `&`, puts it into the background"),
    ("--save", "nothing is kept on disk"),
];

fn flags_of_others() -> impl Iterator<Item = Arg> {
    OF_OTHERS.into_iter().map(|(name, tip)| {
        // Without a value there would be nothing to parse, and nobody to tell.
        let flag = Arg::new(name).num_args(0..).default_missing_value("").hide(true);
        let flag = match name.strip_prefix("--") {
            Some(long) => flag.long(long),
            None => flag.short(name.chars().next_back()),
        };
        flag.value_parser(UnknownArgumentValueParser::suggest(tip))
    })
}

/// A cache server for Redis, memcached and native clients.
#[derive(Debug, Parser)]
#[command(name = "crabcache-server", version, after_help = EXAMPLES, max_term_width = 100, args = flags_of_others())]
pub struct Arguments {
    /// Where to listen; may be given several times, or with commas. HOST:PORT, or tcp:// before it, speaks every
    /// protocol, told apart by a client's first bytes; crab://, resp:// (or redis://) and memcache:// (or memcached://)
    /// allow one; unix:// before an absolute path is a Unix socket.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "CRABCACHE_LISTEN",
        value_delimiter = ',',
        default_value = "127.0.0.1:7001"
    )]
    listen: Vec<Listen>,

    /// Memory for items, index included: bytes, or with a unit (k, m, g or t, also as in mb or MiB; powers of 1024).
    #[arg(long, short, value_name = "SIZE", env = "CRABCACHE_MEMORY", value_parser = memory, default_value = "512mb")]
    memory: Memory,

    /// Memory for what clients hold: unfinished requests and answers that they have not taken. When it runs short,
    /// clients with large ones wait for each other. Each worker has its share, at least 4 MiB.
    #[arg(long, value_name = "SIZE", env = "CRABCACHE_CLIENT_MEMORY", value_parser = size::parse, default_value = "16mb")]
    client_memory: usize,

    /// Worker threads [default: the cores this process may use, by affinity and cgroup].
    #[arg(long, short, value_name = "N", env = "CRABCACHE_WORKERS", value_parser = whole(1..=Config::WORKERS_MAX))]
    workers: Option<usize>,

    /// Most clients at once; further ones are refused with a message.
    #[arg(long, value_name = "N", env = "CRABCACHE_MAX_CONNECTIONS", value_parser = whole(1..=u32::MAX as usize), default_value_t = Config::CONNECTIONS_DEFAULT)]
    max_connections: usize,

    /// Let clients stop the server with the command SHUTDOWN.
    #[arg(long, env = "CRABCACHE_ALLOW_SHUTDOWN", value_parser = BoolishValueParser::new())]
    allow_shutdown: bool,

    /// How long a client may neither send nor take anything: seconds, or with a unit, as in 5m; 0: for ever. What is left of
    /// a second counts as a whole one.
    #[arg(long, value_name = "TIME", env = "CRABCACHE_IDLE_TIMEOUT", value_parser = time, default_value = "0")]
    idle_timeout: Duration,

    /// How long the rest of a request may take to arrive, or each 64 KiB of a large one: seconds, or with a unit; 0: any
    /// time.
    #[arg(long, value_name = "TIME", env = "CRABCACHE_REQUEST_TIMEOUT", value_parser = time, default_value = "30s")]
    request_timeout: Duration,
}

/// What --memory says.
#[derive(Clone, Copy, Debug)]
struct Memory {
    bytes: usize,
    has_unit: bool,
}

fn memory(text: &str) -> Result<Memory, SizeError> {
    let has_unit = text.trim().ends_with(|last: char| !last.is_ascii_digit());
    Ok(Memory { bytes: size::parse(text)?, has_unit })
}

/// A whole number in a range.
fn whole(range: RangeInclusive<usize>) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
    }
}

/// A hundred years.
const TIME_MAX: Duration = Duration::from_hours(100 * 365 * 24);

/// A number of seconds, or of other units, as in `1m 30s`.
fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = seconds.or_else(|| humantime::parse_duration(text).ok());
    time.filter(|time| *time <= TIME_MAX)
        .ok_or_else(|| "expected a number of seconds, or a time such as 500ms, 30s or 5m".to_owned())
}

/// Arguments from a command line and the environment. A variable without anything in it counts as none.
fn parse(line: &[OsString]) -> Result<Arguments, clap::Error> {
    let is_empty = |arg: &Arg| arg.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty());
    let without = |arg: Arg| arg.env(Resettable::Reset);
    let command = Arguments::command().mut_args(|arg| if is_empty(&arg) { without(arg) } else { arg });
    let parsed = command.clone().try_get_matches_from(line);
    parsed.and_then(|matches| Arguments::from_arg_matches(&matches)).map_err(|mut error| {
        // Right without the environment: then a variable is wrong, not the flag that was never given.
        let of_line = command.clone().mut_args(without).try_get_matches_from(line).is_err();
        name_by_origin(&mut error, &command, of_line);
        error
    })
}

/// Lets an error name what was written: the variable, or a flag without the values that clap thinks of.
fn name_by_origin(error: &mut clap::Error, command: &Command, of_line: bool) {
    if let Some(ContextValue::String(similar)) = error.get(ContextKind::SuggestedArg)
        && OF_OTHERS.iter().any(|(name, _)| name == similar)
    {
        error.remove(ContextKind::SuggestedArg);
    }
    // As in `--memory <SIZE>`.
    let Some(ContextValue::String(called)) = error.get(ContextKind::InvalidArg) else { return };
    let flag = called.split(' ').next().unwrap_or_default();
    let of_others = || OF_OTHERS.iter().find(|(name, _)| *name == flag).map(|(name, _)| (*name).to_owned());
    let variable = || {
        let arg = command.get_arguments().find(|arg| arg.get_long() == flag.strip_prefix("--"))?;
        Some(arg.get_env()?.to_string_lossy().into_owned())
    };
    if let Some(name) = if of_line { of_others() } else { variable() } {
        error.insert(ContextKind::InvalidArg, ContextValue::String(name));
    }
}

impl Arguments {
    /// Those of this process, which ends here if they make no sense, or only ask for help.
    #[must_use]
    pub fn of_process() -> Self {
        parse(&env::args_os().collect::<Vec<_>>()).unwrap_or_else(|error| error.exit())
    }

    /// What to tell whoever takes --memory for memcached's `-m`, which counts MiB.
    #[must_use]
    pub fn memory_hint(&self) -> Option<String> {
        let Memory { bytes, has_unit } = self.memory;
        let hint = || {
            format!("--memory {bytes} is {}; memcached's -m {bytes} is {bytes}mb here", size::Human(bytes))
        };
        (!has_unit && (1..1 << 20).contains(&bytes)).then(hint)
    }

    /// The configuration that these arguments ask for.
    #[must_use]
    pub fn into_config(self) -> Config {
        Config {
            listen: self.listen,
            memory_bytes: self.memory.bytes,
            client_memory_bytes: self.client_memory,
            workers: self.workers.unwrap_or(0),
            connections_max: self.max_connections,
            // Less than one is not none: 0 is for ever.
            idle_seconds_max: self.idle_timeout.as_nanos().div_ceil(1_000_000_000) as u64,
            request_ms_max: self.request_timeout.as_nanos().div_ceil(1_000_000) as u64,
            signals: true,
            shutdown_command: self.allow_shutdown,
            ..Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = ["crabcache-server"].into_iter().chain(line.split_whitespace());
        super::parse(&words.map(OsString::from).collect::<Vec<_>>()).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_reach_the_configuration() {
        let line = "--memory 64MB --workers 2 --listen resp://127.0.0.1:0,127.0.0.1:0 --listen unix:///tmp/a.sock \
                    --max-connections 7 --idle-timeout 5m";
        let config = parse(line).unwrap().into_config();
        assert_eq!(config.memory_bytes, 64 << 20);
        assert_eq!(config.workers, 2);
        assert_eq!(config.connections_max, 7);
        assert_eq!((config.idle_seconds_max, config.request_ms_max), (300, 30_000));
        assert_eq!(config.listen.len(), 3);
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn times_have_units_or_are_seconds() {
        for (text, idle, request) in
            [("0", 0, 0), ("5", 5, 5000), ("5s", 5, 5000), ("1.5", 2, 1500), ("1ms", 1, 1), ("100us", 1, 1)]
        {
            let line = format!("--idle-timeout {text} --request-timeout {text}");
            let config = parse(&line).unwrap().into_config();
            assert_eq!((config.idle_seconds_max, config.request_ms_max), (idle, request), "{text}");
        }
    }

    #[test]
    fn what_memcached_means_by_its_m_is_told() {
        let hint = |line: &str| parse(line).unwrap().memory_hint();
        let told = "--memory 65536 is 64 KiB; memcached's -m 65536 is 65536mb here";
        assert_eq!(hint("-m 65536").as_deref(), Some(told));
        for meant in ["-m 64kb", "-m 65536b", "-m 1048576", "-m 0", ""] {
            assert_eq!(hint(meant), None, "{meant}");
        }
    }

    #[test]
    fn flags_of_redis_and_memcached_are_told_their_names_here() {
        for (line, tip) in [
            ("--port 6379", "--listen 127.0.0.1:PORT"),
            ("--port", "--listen 127.0.0.1:PORT"),
            ("-p 11211", "--listen 127.0.0.1:PORT"),
            ("-l 0.0.0.0", "--listen 127.0.0.1:PORT"),
            ("--maxmemory 1gb", "--memory"),
            ("--maxmemory-policy allkeys-lru", "S3-FIFO"),
            ("--threads 4", "--workers"),
            ("-t 4", "--workers"),
            ("-c 4", "--max-connections"),
            ("--requirepass x", "no password"),
            ("--daemonize yes", "foreground"),
            ("--save", "disk"),
        ] {
            let text = parse(line).unwrap_err();
            let flag = line.split(' ').next().unwrap();
            assert!(text.contains(tip) && text.contains(&format!("unexpected argument '{flag}'")), "{text}");
        }
        assert!(!Arguments::command().render_long_help().to_string().contains("--port"));
        let text = parse("--maxmemory-samples 5").unwrap_err();
        assert!(!text.contains("a similar argument"), "{text}");
        assert!(parse("--worker 5").unwrap_err().contains("a similar argument exists: '--workers'"));
    }

    #[test]
    fn a_refusal_names_the_flag_and_what_was_expected() {
        for (line, expected) in [
            ("--memory much", "a size is a number"),
            ("--workers 0", "a whole number from 1 to 256"),
            ("--workers x", "a whole number from 1 to 256"),
            ("--max-connections 0", "a whole number from 1"),
            ("--listen nowhere", "HOST:PORT"),
            ("--request-timeout soon", "a number of seconds"),
            ("--idle-timeout 5x", "a number of seconds"),
            ("--idle-timeout 999999999999d", "a number of seconds"),
        ] {
            let text = parse(line).unwrap_err();
            assert!(text.contains(line.split(' ').next().unwrap()) && text.contains(expected), "{text}");
        }
    }

    #[test]
    fn help_is_as_wide_as_people_read() {
        let help = Arguments::command().render_help().to_string();
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}

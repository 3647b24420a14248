//! The command line. A flag wins over its `CRABCACHE_*` variable, and that over the default.

use clap::builder::{BoolishValueParser, UnknownArgumentValueParser};
use clap::{Arg, Parser};

use super::{Config, Listen, size};

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

/// What Redis and memcached call what has another name here: told to whoever types it.
fn flags_of_others() -> impl Iterator<Item = Arg> {
    [
        ("port", "--listen 127.0.0.1:PORT tells where to listen"),
        ("bind", "--listen HOST:PORT tells where to listen"),
        ("unixsocket", "--listen unix:///PATH tells where to listen"),
        ("maxmemory", "it is called --memory here"),
        ("maxclients", "it is called --max-connections here"),
        ("threads", "they are called --workers here"),
        ("config", "there is no file of settings: each flag is also an environment variable"),
    ]
    .into_iter()
    .map(|(name, tip)| {
        let known = UnknownArgumentValueParser::suggest(tip);
        let flag = Arg::new(name).long(name).num_args(0..).hide(true).value_parser(known);
        if name == "port" { flag.short('p') } else { flag }
    })
}

/// A cache server for Redis, memcached and native clients.
#[derive(Debug, Parser)]
#[command(name = "crabcache-server", version, after_help = EXAMPLES, args = flags_of_others())]
pub struct Arguments {
    /// Where to listen; may be given several times. HOST:PORT speaks every protocol, told apart by a client's first
    /// bytes; crab://, resp:// and memcache:// allow one; unix:// before an absolute path is a Unix socket.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "CRABCACHE_LISTEN",
        value_delimiter = ',',
        default_value = "127.0.0.1:7001"
    )]
    listen: Vec<Listen>,

    /// Memory for items, index included: bytes, or with a unit (k, m, g, kb, mb, gb; powers of 1024).
    #[arg(long, short, value_name = "SIZE", env = "CRABCACHE_MEMORY", value_parser = size::parse, default_value = "512mb")]
    memory: usize,

    /// Memory for what clients hold: unfinished requests and answers that they have not taken. When it runs short,
    /// clients with large ones wait for each other. Each worker has its share, at least 4 MiB.
    #[arg(long, value_name = "SIZE", env = "CRABCACHE_CLIENT_MEMORY", value_parser = size::parse, default_value = "16mb")]
    client_memory: usize,

    /// Worker threads [default: the cores this process may use, by affinity and cgroup].
    #[arg(long, short, value_name = "N", env = "CRABCACHE_WORKERS", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,

    /// Most clients at once; further ones are refused with a message.
    #[arg(long, value_name = "N", env = "CRABCACHE_MAX_CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..), default_value_t = 10_000)]
    max_connections: u32,

    /// Let clients stop the server with the command SHUTDOWN.
    #[arg(long, env = "CRABCACHE_ALLOW_SHUTDOWN", value_parser = BoolishValueParser::new())]
    allow_shutdown: bool,

    /// Seconds after which a client that neither sends nor takes anything is closed; 0: never.
    #[arg(long, value_name = "SECONDS", env = "CRABCACHE_IDLE_TIMEOUT", default_value_t = 0)]
    idle_timeout: u32,

    /// Seconds that the rest of a request may take to arrive, or each 64 KiB of a large one; 0: any time.
    #[arg(long, value_name = "SECONDS", env = "CRABCACHE_REQUEST_TIMEOUT", default_value_t = 30)]
    request_timeout: u32,
}

impl Arguments {
    /// The configuration that these arguments ask for.
    #[must_use]
    pub fn into_config(self) -> Config {
        Config {
            listen: self.listen,
            memory_bytes: self.memory,
            client_memory_bytes: self.client_memory,
            workers: self.workers.map_or(0, usize::from),
            connections_max: self.max_connections as usize,
            idle_seconds_max: u64::from(self.idle_timeout),
            request_ms_max: u64::from(self.request_timeout) * 1000,
            signals: true,
            shutdown_command: self.allow_shutdown,
            ..Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_reach_the_configuration() {
        let arguments = Arguments::try_parse_from([
            "crabcache-server",
            "--memory",
            "64MB",
            "--workers",
            "2",
            "--listen",
            "resp://127.0.0.1:0",
            "--listen",
            "unix:///tmp/a.sock",
            "--max-connections",
            "7",
            "--idle-timeout",
            "300",
        ]);
        let config = arguments.unwrap().into_config();
        assert_eq!(config.memory_bytes, 64 << 20);
        assert_eq!(config.workers, 2);
        assert_eq!(config.connections_max, 7);
        assert_eq!((config.idle_seconds_max, config.request_ms_max), (300, 30_000));
        assert_eq!(config.listen.len(), 2);
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn flags_of_redis_and_memcached_are_told_their_names_here() {
        for (flag, name) in [
            (["--port", "6379"], "--listen 127.0.0.1:PORT"),
            (["-p", "11211"], "--listen 127.0.0.1:PORT"),
            (["--maxmemory", "1gb"], "--memory"),
            (["--threads", "4"], "--workers"),
        ] {
            let error = Arguments::try_parse_from(["crabcache-server", flag[0], flag[1]]).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(name) && text.contains(flag[0]), "{text}");
        }
        assert!(!Arguments::command().render_long_help().to_string().contains("--port"));
    }

    #[test]
    fn a_refusal_names_the_flag() {
        for (flag, value) in
            [("--memory", "much"), ("--workers", "0"), ("--max-connections", "0"), ("--listen", "nowhere")]
        {
            let error = Arguments::try_parse_from(["crabcache-server", flag, value]).unwrap_err().to_string();
            assert!(error.contains(flag), "{error}");
        }
    }
}

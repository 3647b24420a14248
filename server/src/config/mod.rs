//! What users set: a plain struct with documented defaults, checked once before anything is started.

pub mod cli;
pub mod listen;
pub mod size;
mod warnings;

use std::fmt;

pub use listen::{Endpoint, Listen, Pin};

/// How a server is to run. `Config::default()` is what `crabcache-server` runs without arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen. Default: `127.0.0.1:7001`, all protocols. Port 0 lets the system choose.
    pub listen: Vec<Listen>,
    /// Bytes for items, index included; everything else that the server needs comes on top. Default 512 MiB.
    pub memory_bytes: usize,
    /// Bytes that clients may hold, all together: requests that are not all here, answers that are not taken. When
    /// they hold three quarters of it, those with large requests or answers wait for each other; beyond it, the one
    /// that holds most is closed. A single request may be larger than all of it. Default 16 MiB; a worker has its
    /// share, at least 4 MiB.
    pub client_memory_bytes: usize,
    /// Worker threads. Default 0: as many as the cores that this process may use.
    pub workers: usize,
    /// Most clients at once. Default 10000.
    pub connections_max: usize,
    /// Longest time that a client may neither send nor take anything, in seconds. Default 0: no limit, as in Redis.
    pub idle_seconds_max: u64,
    /// Longest time that the rest of a request may take to arrive, in milliseconds; of a large one, each 64 KiB. 0 means no
    /// limit. Default 30000: what has arrived of it holds memory.
    pub request_ms_max: u64,
    /// Longest time that stopping may take while answers are still being sent, in milliseconds. Default 5000.
    pub drain_ms_max: u64,
    /// Whether SIGTERM and SIGINT stop the server. Default no: a program that embeds a server keeps its signals.
    pub signals: bool,
    /// Whether the command SHUTDOWN stops the server. Default no: whoever can connect could.
    pub shutdown_command: bool,
}

impl Config {
    /// Most workers.
    pub const WORKERS_MAX: usize = 256;
    /// Default of [`Config::memory_bytes`].
    pub const MEMORY_DEFAULT: usize = 512 << 20;
    /// Default of [`Config::client_memory_bytes`].
    pub const CLIENT_MEMORY_DEFAULT: usize = 16 << 20;
    /// Default of [`Config::connections_max`].
    pub const CONNECTIONS_DEFAULT: usize = 10_000;
    /// Default port.
    pub const PORT: u16 = 7001;

    /// Refuses what cannot be meant.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.listen.is_empty() {
            return Err(ConfigError::NoListener);
        }
        for (at, listen) in self.listen.iter().enumerate() {
            let same = |other: &Listen| other.endpoint == listen.endpoint;
            if !listen.endpoint.is_chosen_by_system() && self.listen[..at].iter().any(same) {
                return Err(ConfigError::ListenTwice { listen: listen.clone() });
            }
        }
        if self.workers > Self::WORKERS_MAX {
            return Err(ConfigError::TooManyWorkers { workers: self.workers });
        }
        if self.connections_max == 0 {
            return Err(ConfigError::NoConnections);
        }
        if self.memory_bytes == 0 {
            return Err(ConfigError::NoMemory);
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![Listen::default()],
            memory_bytes: Self::MEMORY_DEFAULT,
            client_memory_bytes: Self::CLIENT_MEMORY_DEFAULT,
            workers: 0,
            connections_max: Self::CONNECTIONS_DEFAULT,
            idle_seconds_max: 0,
            request_ms_max: 30_000,
            drain_ms_max: 5000,
            signals: false,
            shutdown_command: false,
        }
    }
}

/// A setting that no server can run with. Each names the flag that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Nothing to listen on.
    NoListener,
    /// Two times the same address.
    ListenTwice {
        /// The second one.
        listen: Listen,
    },
    /// `--workers` beyond [`Config::WORKERS_MAX`].
    TooManyWorkers {
        /// The number asked for.
        workers: usize,
    },
    /// `--max-connections 0`.
    NoConnections,
    /// `--memory 0`.
    NoMemory,
    /// `--memory` is less than the engine can work with.
    MemoryTooSmall {
        /// Bytes asked for.
        len: usize,
        /// The smallest accepted number of bytes.
        min: usize,
    },
    /// `--memory` is more than the engine can address.
    MemoryTooLarge {
        /// Bytes asked for.
        len: usize,
        /// The largest accepted number of bytes.
        max: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoListener => write!(f, "--listen: at least one address is needed"),
            Self::ListenTwice { ref listen } => write!(f, "--listen {listen}: this address is given twice"),
            Self::TooManyWorkers { workers } => {
                write!(f, "--workers {workers}: at most {} are possible", Config::WORKERS_MAX)
            }
            Self::NoConnections => write!(f, "--max-connections 0: nobody could connect"),
            Self::NoMemory => write!(f, "--memory 0: a cache needs memory"),
            Self::MemoryTooSmall { len, min } => write!(
                f,
                "--memory {}: too small, the smallest accepted is {} ({min} bytes)",
                size::Human(len),
                size::Human(min)
            ),
            Self::MemoryTooLarge { len, max } => write!(
                f,
                "--memory {}: too large, the largest accepted is {} ({max} bytes)",
                size::Human(len),
                size::Human(max)
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_listened_on_once() {
        let check = |addresses: &[&str]| {
            let listen = addresses.iter().map(|address| address.parse().expect("an address")).collect();
            Config { listen, ..Config::default() }.check().map_err(|error| error.to_string())
        };
        for good in [["127.0.0.1:7", "127.0.0.1:8"], ["127.0.0.1:0", "127.0.0.1:0"], ["[::]:7", "0.0.0.0:7"]]
        {
            assert_eq!(check(&good), Ok(()), "{good:?}");
        }
        for bad in [["127.0.0.1:7", "resp://127.0.0.1:7"], ["unix:///a", "unix:///a"]] {
            let listen = bad[1];
            assert_eq!(check(&bad), Err(format!("--listen {listen}: this address is given twice")));
        }
    }
}

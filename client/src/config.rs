//! What users can set, each with its default: [`Builder`] -> `Config`, which is checked and does not change.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::lookup::Lookup;
use crate::pool::Pool;
use crate::{Client, Error, Result};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addr {
    /// `host:port`; the name is looked up at each connect, and its addresses are tried in turn.
    Tcp(String),
    /// Path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for Addr {
    type Err = Error;

    /// Reads `host:port`, `tcp://host:port`, `crab://host:port` or `unix:///path`.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::Address(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.is_empty() { Err(bad()) } else { Ok(Self::Unix(path.into())) };
        }
        let host_port = text.strip_prefix("crab://").or_else(|| text.strip_prefix("tcp://")).unwrap_or(text);
        match host_port.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok() => {
                Ok(Self::Tcp(host_port.to_owned()))
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host_port) => f.write_str(host_port),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Checked settings.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) addr: Addr,
    /// Of that address alone.
    pub(crate) lookup: Arc<Lookup>,
    pub(crate) connections_max: usize,
    pub(crate) idle_min: usize,
    pub(crate) checkout_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Option<Duration>,
    pub(crate) timeouts_max: u32,
    pub(crate) lease_time: Duration,
    pub(crate) idle_limit: Duration,
    pub(crate) age_limit: Duration,
    pub(crate) health_check_after: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) socket_buffer_bytes: Option<usize>,
    pub(crate) window_bytes: usize,
    pub(crate) reply_len_max: usize,
    pub(crate) hello: bool,
}

/// Settings of a [`Client`].
#[derive(Clone, Debug)]
#[must_use = "nothing is connected before connect or build"]
pub struct Builder {
    addr: String,
    config: Config,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let config = Config {
            addr: Addr::Tcp(String::new()),
            lookup: Lookup::by_system(),
            connections_max: 16,
            idle_min: 0,
            checkout_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            request_timeout: Some(Duration::from_secs(2)),
            timeouts_max: 5,
            lease_time: Duration::from_secs(1),
            idle_limit: Duration::from_mins(1),
            age_limit: Duration::from_hours(1),
            health_check_after: Duration::from_secs(5),
            backoff: Backoff { min: Duration::from_millis(50), max: Duration::from_millis(500) },
            socket_buffer_bytes: None,
            window_bytes: 64 * 1024,
            reply_len_max: 1 << 30,
            hello: true,
        };
        Self { addr: "127.0.0.1:7001".to_owned(), config }
    }

    /// Where the server is: `host:port` or `unix:///path`. Default 127.0.0.1:7001.
    pub fn addr(mut self, addr: impl Into<String>) -> Self {
        self.addr = addr.into();
        self
    }

    /// Most connections at a time, in use and idle. Default 16; at least 1.
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.config.connections_max = connections.max(1);
        self
    }

    /// Connections that are opened at the start and spared by the idle limit. Default 0.
    pub fn idle_min(mut self, connections: usize) -> Self {
        self.config.idle_min = connections;
        self
    }

    /// How long a call waits for a connection when all are in use. Default 1 s.
    pub fn checkout_timeout(mut self, timeout: Duration) -> Self {
        self.config.checkout_timeout = timeout;
        self
    }

    /// How long connecting may take, the look-up of a host's name and HELLO included. Default 1 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.connect_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// How long an answer may take; none means for ever. Default 2 s. Waiting for a connection and connecting are part
    /// of that time.
    ///
    /// The clock starts again with each answer of a pipeline and with every 64 KiB that are sent or received, so
    /// that long pipelines and large values do not need a longer timeout.
    pub fn request_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.request_timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        self
    }

    /// After so many calls in a row without an answer in time the server counts as down: calls fail at once while the
    /// backoff lasts. Default 5; `u32::MAX` to go on trying.
    pub fn timeouts_max(mut self, timeouts: u32) -> Self {
        self.config.timeouts_max = timeouts.max(1);
        self
    }

    /// How long [`Client::get_or_put_with`] may compute before another client takes over. Default 1 s; shorter than the
    /// request timeout, so that those who wait live to see it.
    pub fn lease_time(mut self, time: Duration) -> Self {
        self.config.lease_time = time.max(Duration::from_millis(1));
        self
    }

    /// Connections that nobody used for so long are closed. Default 60 s.
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.config.idle_limit = limit;
        self
    }

    /// Connections older than this are closed instead of lent again. Default 1 h.
    pub fn age_limit(mut self, limit: Duration) -> Self {
        self.config.age_limit = limit;
        self
    }

    /// A connection that was idle for so long has to answer a PING before it is lent, within half of what is left of the
    /// call's time and a second at most. Default 5 s.
    pub fn health_check_after(mut self, idle: Duration) -> Self {
        self.config.health_check_after = idle;
        self
    }

    /// First and longest time for which nothing is tried after a failure to connect. Default 50 to 500 ms.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.config.backoff = Backoff { min, max: max.max(min) };
        self
    }

    /// How many bytes the system is to keep for a connection, in each direction (`SO_SNDBUF`, `SO_RCVBUF`); it has a
    /// minimum, and counts its own part as well. Default: the system decides.
    pub fn socket_buffer_bytes(mut self, bytes: usize) -> Self {
        self.config.socket_buffer_bytes = Some(bytes);
        self
    }

    /// Pipelines are encoded and sent in pieces of about so many bytes. Default 64 KiB; at least 512 bytes.
    pub fn window_bytes(mut self, bytes: usize) -> Self {
        self.config.window_bytes = bytes.max(512);
        self
    }

    /// Longest answer that is accepted, in bytes; a longer one breaks the connection. Default 1 GiB.
    pub fn reply_len_max(mut self, bytes: usize) -> Self {
        self.config.reply_len_max = bytes;
        self
    }

    /// Whether new connections begin with HELLO. Default true: something that is no `CrabCache` server is found out
    /// while connecting.
    pub fn hello(mut self, hello: bool) -> Self {
        self.config.hello = hello;
        self
    }

    /// The client, not connected yet: it connects as it is used.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn build(mut self) -> Result<Client> {
        self.config.addr = self.addr.parse()?;
        self.config.lookup = Lookup::by_system(); // a clone of this builder may have another address
        self.config.idle_min = self.config.idle_min.min(self.config.connections_max);
        Ok(Client::new(Pool::new(self.config)))
    }

    /// The client, with one connection open, or as many as [`Builder::idle_min`] says.
    ///
    /// # Errors
    /// Those of [`Builder::build`] and of connecting.
    pub fn connect(self) -> Result<Client> {
        let client = self.build()?;
        client.pool().open_at_least_one()?;
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print() {
        for (text, addr) in [
            ("127.0.0.1:7001", Addr::Tcp("127.0.0.1:7001".into())),
            ("crab://localhost:1", Addr::Tcp("localhost:1".into())),
            ("tcp://[::1]:80", Addr::Tcp("[::1]:80".into())),
            ("unix:///run/c.sock", Addr::Unix("/run/c.sock".into())),
        ] {
            assert_eq!(text.parse::<Addr>(), Ok(addr.clone()));
            assert_eq!(addr.to_string().parse::<Addr>(), Ok(addr));
        }
        for bad in ["", "host", ":7001", "host:", "host:70000", "redis://h:1/0", "unix://", "http://x:1"] {
            assert_eq!(bad.parse::<Addr>(), Err(Error::Address(bad.to_owned())), "{bad}");
        }
    }
}

//! Where to listen, and for which protocol: `127.0.0.1:7001`, `resp://0.0.0.0:6379`, `unix:///run/crabcache.sock`.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use super::Config;

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub endpoint: Endpoint,
    /// Which protocol its clients speak.
    pub pin: Pin,
}

/// A place where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix domain socket.
    Unix(PathBuf),
}

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// Told from a client's first bytes.
    #[default]
    Any,
    /// The native protocol only (`crab://`).
    Native,
    /// RESP only (`resp://`).
    Resp,
    /// memcached text only (`memcache://`).
    Memcache,
}

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenError {
    /// A scheme other than `crab`, `resp`, `memcache`, `tcp` and `unix`.
    UnknownScheme(String),
    /// `unix://` without an absolute path.
    NoPath,
    /// Not `HOST:PORT`.
    NoPort,
    /// The host has no address.
    UnknownHost(String),
}

impl Default for Listen {
    fn default() -> Self {
        Self { endpoint: Endpoint::Tcp(([127, 0, 0, 1], Config::PORT).into()), pin: Pin::Any }
    }
}

impl Endpoint {
    /// Whether its port is any that is free.
    pub(super) fn is_chosen_by_system(&self) -> bool {
        matches!(self, Self::Tcp(address) if address.port() == 0)
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        let pin = match scheme.to_ascii_lowercase().as_str() {
            "tcp" | "unix" => Pin::Any,
            "crab" => Pin::Native,
            "resp" | "redis" => Pin::Resp,
            "memcache" | "memcached" => Pin::Memcache,
            _ => return Err(ListenError::UnknownScheme(scheme.to_owned())),
        };
        if scheme.eq_ignore_ascii_case("unix") {
            if !rest.starts_with('/') || rest.len() < 2 {
                return Err(ListenError::NoPath);
            }
            return Ok(Self { endpoint: Endpoint::Unix(PathBuf::from(rest)), pin });
        }
        Ok(Self { endpoint: Endpoint::Tcp(resolve(rest.trim_end_matches('/'))?), pin })
    }
}

/// `HOST:PORT`, where no host (`:6379`) or `*` means every IPv4 address.
fn resolve(text: &str) -> Result<SocketAddr, ListenError> {
    let (host, port) = text.rsplit_once(':').ok_or(ListenError::NoPort)?;
    let port: u16 = port.parse().map_err(|_| ListenError::NoPort)?;
    if host.is_empty() || host == "*" {
        return Ok(([0, 0, 0, 0], port).into());
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (bare, port)
        .to_socket_addrs()
        .ok()
        .and_then(|mut all| all.next())
        .ok_or_else(|| ListenError::UnknownHost(host.to_owned()))
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pin, &self.endpoint) {
            (_, Endpoint::Unix(path)) => write!(f, "unix://{}", path.display()),
            (Pin::Any, Endpoint::Tcp(address)) => write!(f, "{address}"),
            (Pin::Native, Endpoint::Tcp(address)) => write!(f, "crab://{address}"),
            (Pin::Resp, Endpoint::Tcp(address)) => write!(f, "resp://{address}"),
            (Pin::Memcache, Endpoint::Tcp(address)) => write!(f, "memcache://{address}"),
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownScheme(scheme) => {
                write!(f, "unknown scheme {scheme}://: use crab, resp, memcache, tcp or unix")
            }
            Self::NoPath => {
                write!(f, "a Unix socket needs an absolute path, as in unix:///run/crabcache.sock")
            }
            Self::NoPort => write!(f, "an address is HOST:PORT, with a port from 0 to 65535"),
            Self::UnknownHost(host) => write!(f, "the host {host} has no address"),
        }
    }
}

impl std::error::Error for ListenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for text in [
            "127.0.0.1:7001",
            "resp://127.0.0.1:6379",
            "memcache://0.0.0.0:11211",
            "crab://[::1]:7001",
            "unix:///run/crabcache.sock",
        ] {
            assert_eq!(text.parse::<Listen>().map(|listen| listen.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("resp://:6379".parse::<Listen>().unwrap().to_string(), "resp://0.0.0.0:6379");
    }

    #[test]
    fn nonsense_is_no_address() {
        assert!(matches!("http://a:1".parse::<Listen>(), Err(ListenError::UnknownScheme(_))));
        assert_eq!("127.0.0.1".parse::<Listen>(), Err(ListenError::NoPort));
        assert_eq!("127.0.0.1:70000".parse::<Listen>(), Err(ListenError::NoPort));
        assert_eq!("unix://relative".parse::<Listen>(), Err(ListenError::NoPath));
    }
}

//! The real server, in this process.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crabcache_client::{Builder, Client};
use crabcache_server::{Config, Endpoint, Running, Server};

/// An address of loopback that no other process of the tests listens on, so that a port which a server leaves is still free
/// when it comes back.
pub(crate) fn own_address() -> SocketAddr {
    let own = Ipv4Addr::from_bits(0x7f40_0000 | std::process::id() & 0x3f_ffff);
    (if cfg!(target_os = "linux") { own } else { Ipv4Addr::LOCALHOST }, 0).into()
}

/// A server that stops when the test ends.
pub(crate) struct Cache {
    running: Option<Running>,
    pub(crate) addr: SocketAddr,
}

impl Cache {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(crate) fn start_at(addr: SocketAddr) -> Self {
        Self::listening(&addr.to_string())
    }

    /// As the server's `--listen` says, on TCP.
    pub(crate) fn listening(listen: &str) -> Self {
        let config = Config {
            listen: vec![listen.parse().unwrap()],
            memory_bytes: 16 << 20,
            workers: 2,
            ..Config::default()
        };
        let running = Server::start(config).unwrap();
        let Endpoint::Tcp(addr) = running.addresses()[0].endpoint else { panic!("no TCP address") };
        Self { running: Some(running), addr }
    }

    pub(crate) fn builder(&self) -> Builder {
        Client::builder().addr(self.addr.to_string()).request_timeout(Some(Duration::from_secs(10)))
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().connect().unwrap()
    }

    /// Stops; the address is free afterwards.
    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
            running.join().unwrap();
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.stop();
    }
}

//! Bound sockets. One thread accepts for all workers (`acceptor.rs`), which balances clients by load instead of by the
//! luck of a hash, and leaves one place to refuse clients and to back off.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::stream::Stream;
use crate::config::{Endpoint, Listen, Pin};

/// A bound socket that clients connect to.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Bound,
    pin: Pin,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// A client that has said nothing for so long is asked by the kernel whether it is still there.
pub(crate) const KEEPALIVE: Duration = Duration::from_mins(5);
/// Clients that the kernel keeps waiting until they are accepted.
const BACKLOG: i32 = 1024;

impl Listener {
    /// Binds and listens.
    pub(crate) fn bind(listen: &Listen) -> io::Result<Self> {
        let socket = match &listen.endpoint {
            Endpoint::Tcp(address) => Bound::Tcp(bind_tcp(*address)?),
            Endpoint::Unix(path) => {
                remove_stale(path)?;
                Bound::Unix(UnixListener::bind(path)?, path.clone())
            }
        };
        Ok(Self { socket, pin: listen.pin })
    }

    /// What it really listens on: the port that the system chose, where 0 was asked for.
    pub(crate) fn listen(&self) -> io::Result<Listen> {
        let endpoint = match &self.socket {
            Bound::Tcp(listener) => Endpoint::Tcp(listener.local_addr()?),
            Bound::Unix(_, path) => Endpoint::Unix(path.clone()),
        };
        Ok(Listen { endpoint, pin: self.pin })
    }

    /// The protocol of its clients.
    #[must_use]
    pub(crate) fn pin(&self) -> Pin {
        self.pin
    }

    /// The next client that waits.
    pub(crate) fn accept(&self) -> io::Result<Stream> {
        match &self.socket {
            Bound::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // Answers are sent whole, once per turn: there is nothing for Nagle to gather. A client that is
                // gone already shows itself at the first read.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            Bound::Unix(listener, _) => Ok(Stream::Unix(listener.accept()?.0)),
        }
    }

    /// Has `registry` report clients that wait.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match &mut self.socket {
            Bound::Tcp(listener) => listener.register(registry, token, Interest::READABLE),
            Bound::Unix(listener, _) => listener.register(registry, token, Interest::READABLE),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Bound::Unix(_, path) = &self.socket {
            // Gone already is as good.
            let _ = fs::remove_file(path);
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Otherwise a restart would have to wait for the connections of the last run to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // Clients inherit it. One whose machine has gone without a word would otherwise keep its place for ever.
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// A socket file that a killed server left behind is removed; one that somebody still answers on is not.
fn remove_stale(path: &PathBuf) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path exists and is no socket"));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
        Err(_) => fs::remove_file(path),
    }
}

//! TCP and Unix sockets as one stream, so that everything above knows only bytes; and where it is simulated, what stands
//! for them.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::net::{RecvFlags, SendFlags};

use crate::connection::client::UNIX;

/// A client's socket. Nonblocking.
#[derive(Debug)]
pub(crate) enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// Unix domain socket.
    Unix(UnixStream),
    /// One in memory.
    #[cfg(any(test, fuzzing))]
    Simulated(crate::simulation::wire::Socket),
}

impl Stream {
    /// Receives once.
    #[inline]
    pub(crate) fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => recv(stream, into),
            Self::Unix(stream) => recv(stream, into),
            #[cfg(any(test, fuzzing))]
            Self::Simulated(socket) => socket.recv(into),
        }
    }

    /// Receives once, into one part after the other.
    pub(crate) fn recv_parts(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_vectored(parts),
            Self::Unix(stream) => stream.read_vectored(parts),
            #[cfg(any(test, fuzzing))]
            Self::Simulated(socket) => socket.recv_parts(parts),
        }
    }

    /// Sends once.
    #[inline]
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => send(stream, bytes),
            Self::Unix(stream) => send(stream, bytes),
            #[cfg(any(test, fuzzing))]
            Self::Simulated(socket) => socket.send(bytes),
        }
    }

    /// Sends several parts at once, one behind the other.
    pub(crate) fn send_parts(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(parts),
            Self::Unix(stream) => stream.write_vectored(parts),
            #[cfg(any(test, fuzzing))]
            Self::Simulated(socket) => {
                let whole: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
                socket.send(&whole)
            }
        }
    }

    /// Says that nothing more will be sent. An error means that the client is gone already.
    pub(crate) fn end_sending(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(any(test, fuzzing))]
            Self::Simulated(socket) => {
                socket.end_sending();
                Ok(())
            }
        };
    }

    /// Who is there, as the reports name it.
    #[must_use]
    pub(crate) fn peer(&self) -> String {
        match self {
            Self::Tcp(stream) => {
                stream.peer_addr().map_or_else(|_| "?:0".to_owned(), |peer| peer.to_string())
            }
            Self::Unix(_) => UNIX.to_owned(),
            #[cfg(any(test, fuzzing))]
            Self::Simulated(_) => "simulated:0".to_owned(),
        }
    }

    /// Where it connects to, as the reports name it.
    #[must_use]
    pub(crate) fn local(&self) -> String {
        match self {
            Self::Tcp(stream) => {
                stream.local_addr().map_or_else(|_| "?:0".to_owned(), |local| local.to_string())
            }
            Self::Unix(_) => UNIX.to_owned(),
            #[cfg(any(test, fuzzing))]
            Self::Simulated(_) => "simulated:0".to_owned(),
        }
    }
}

/// The system call itself. The C library's lets a thread be cancelled meanwhile, by a locked instruction before and after
/// it: with `send`, a hundred instructions of a request without pipelining.
#[inline]
fn recv(socket: &impl AsFd, into: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(socket, into, RecvFlags::empty())?.1)
}

#[inline]
fn send(socket: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, SendFlags::NOSIGNAL)?)
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(registry, token, interests),
            Self::Unix(stream) => stream.register(registry, token, interests),
            #[cfg(any(test, fuzzing))]
            Self::Simulated(_) => Ok(()),
        }
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(registry, token, interests),
            Self::Unix(stream) => stream.reregister(registry, token, interests),
            #[cfg(any(test, fuzzing))]
            Self::Simulated(_) => Ok(()),
        }
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(registry),
            Self::Unix(stream) => stream.deregister(registry),
            #[cfg(any(test, fuzzing))]
            Self::Simulated(_) => Ok(()),
        }
    }
}

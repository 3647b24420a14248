//! A connection in memory, with a kernel's habits: buffers of limited size, readiness that is told once when it changes,
//! calls that a signal interrupts, resets that take with them what was not read yet.
//!
//! ```text
//! Peer::deliver -> | on the way | arrived | -> Socket::recv          Socket::send -> | sent | -> Peer::take
//! ```

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::random::Random;
use crate::reactor::service::Readiness;

/// The server's end: what [`Stream`](crate::net::stream::Stream) holds. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Socket(Arc<Mutex<Wire>>);

/// The client's end, with the network and both kernels.
#[derive(Debug)]
pub(crate) struct Peer(Arc<Mutex<Wire>>);

/// How a connection ended, seen from one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing more comes, all that was sent does.
    Finished,
    /// At once: what was on its way is lost.
    Reset,
}

#[derive(Debug)]
struct Wire {
    random: Random,
    /// What has not arrived yet: it may, while the server reads.
    on_the_way: VecDeque<u8>,
    /// What the server can read.
    arrived: VecDeque<u8>,
    client_end: Option<End>,
    /// The client has closed its socket: whatever reaches it is answered with a reset.
    gone: bool,
    /// What the client can take.
    sent: VecDeque<u8>,
    room: usize,
    server_end: Option<End>,
    /// The server has closed its socket.
    closed: bool,
    /// Something has changed since readiness was last told.
    changed: bool,
    /// The server could not send all that it wanted.
    short: bool,
    /// Calls are interrupted once in so many times.
    interrupts: usize,
}

/// A connection on which at most `room` bytes wait for the client.
pub(crate) fn connect(random: Random, room: usize, interrupts: usize) -> (Socket, Peer) {
    let wire = Wire {
        random,
        on_the_way: VecDeque::new(),
        arrived: VecDeque::new(),
        client_end: None,
        gone: false,
        sent: VecDeque::new(),
        room,
        server_end: None,
        closed: false,
        changed: true,
        short: false,
        interrupts,
    };
    let wire = Arc::new(Mutex::new(wire));
    (Socket(Arc::clone(&wire)), Peer(wire))
}

fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    /// Up to `max` bytes more arrive.
    fn arrive(&mut self, max: usize) {
        let len = self.on_the_way.len().min(max);
        if len > 0 {
            let rest = self.on_the_way.split_off(len);
            self.arrived.append(&mut std::mem::replace(&mut self.on_the_way, rest));
            self.changed = true;
        }
    }

    fn unread_len(&self) -> usize {
        self.on_the_way.len() + self.arrived.len()
    }

    fn interrupted(&mut self) -> io::Result<()> {
        if self.random.one_in(self.interrupts) { Err(ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

impl Socket {
    pub(crate) fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut wire = lock(&self.0);
        wire.interrupted()?;
        assert!(!into.is_empty(), "a read of nothing looks like an end");
        if wire.arrived.is_empty() {
            return match wire.client_end {
                None => Err(ErrorKind::WouldBlock.into()),
                Some(End::Finished) => Ok(0),
                Some(End::Reset) => Err(ErrorKind::ConnectionReset.into()),
            };
        }
        let len = wire.arrived.len().min(into.len());
        io::Read::read_exact(&mut wire.arrived, &mut into[..len])?;
        if wire.random.one_in(3) {
            let more = wire.random.below(5000);
            wire.arrive(more);
        }
        Ok(len)
    }

    pub(crate) fn recv_parts(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let room: usize = parts.iter().map(|part| part.len()).sum();
        let mut whole = vec![0; room];
        let received = self.recv(&mut whole)?;
        let mut rest = &whole[..received];
        for part in parts {
            let here;
            (here, rest) = rest.split_at(rest.len().min(part.len()));
            part[..here.len()].copy_from_slice(here);
        }
        Ok(received)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = lock(&self.0);
        wire.interrupted()?;
        assert!(wire.server_end.is_none(), "sends after the end of sending");
        if wire.client_end == Some(End::Reset) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if wire.gone {
            wire.client_end = Some(End::Reset);
            wire.changed = true;
            return Ok(bytes.len());
        }
        let len = bytes.len().min(wire.room - wire.sent.len());
        wire.sent.extend(&bytes[..len]);
        wire.short |= len < bytes.len();
        if len == 0 && !bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(len) }
    }

    pub(crate) fn end_sending(&self) {
        lock(&self.0).server_end.get_or_insert(End::Finished);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut wire = lock(&self.0);
        wire.closed = true;
        if wire.unread_len() > 0 || wire.client_end == Some(End::Reset) {
            // As a kernel does that has bytes which nobody will read: the other side may lose what it has not taken.
            wire.server_end = Some(End::Reset);
            wire.sent.clear();
        }
        wire.server_end.get_or_insert(End::Finished);
    }
}

impl Peer {
    /// Bytes reach the server's kernel. One that has closed the socket answers with a reset.
    pub(crate) fn deliver(&self, bytes: &[u8]) {
        let mut wire = lock(&self.0);
        if wire.closed {
            wire.server_end = Some(End::Reset);
            wire.sent.clear();
            return;
        }
        wire.arrive(usize::MAX);
        wire.on_the_way.extend(bytes);
        let now = wire.random.below(bytes.len() + 1);
        wire.arrive(now);
    }

    /// Bytes that the server has not read.
    #[cfg(test)]
    pub(crate) fn unread(&self) -> usize {
        lock(&self.0).unread_len()
    }

    /// What is on its way arrives.
    pub(crate) fn settle(&self) {
        lock(&self.0).arrive(usize::MAX);
    }

    /// The client says that it sends nothing more, or that it is gone.
    pub(crate) fn end(&self, end: End) {
        let mut wire = lock(&self.0);
        wire.arrive(usize::MAX);
        wire.client_end = Some(end);
        wire.changed = true;
        if end == End::Reset {
            wire.sent.clear();
            if wire.random.one_in(2) {
                wire.arrived.clear();
            }
        }
    }

    /// The client closes its socket. If it is in a hurry, or leaves something unread, by a reset.
    pub(crate) fn vanish(&self, in_a_hurry: bool) {
        let unread = {
            let mut wire = lock(&self.0);
            wire.gone = true;
            !wire.sent.is_empty()
        };
        self.end(if in_a_hurry || unread { End::Reset } else { End::Finished });
    }

    /// Takes up to `max` bytes.
    pub(crate) fn take(&self, max: usize) -> Vec<u8> {
        let mut wire = lock(&self.0);
        let len = wire.sent.len().min(max);
        let taken = wire.sent.drain(..len).collect();
        if wire.short && wire.sent.len() <= wire.room - wire.room / 3 {
            wire.short = false;
            wire.changed = true;
        }
        taken
    }

    /// How the server has ended the connection, once all of it was taken.
    #[cfg(test)]
    pub(crate) fn server_end(&self) -> Option<End> {
        let wire = lock(&self.0);
        if wire.sent.is_empty() { wire.server_end } else { None }
    }

    /// Whether the server has closed its socket.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.0).closed
    }

    /// What a poll would tell now, if something has changed since the last time.
    pub(crate) fn poll(&self) -> Option<Readiness> {
        let mut wire = lock(&self.0);
        if wire.closed || !std::mem::take(&mut wire.changed) {
            return None;
        }
        Some(Readiness {
            readable: !wire.arrived.is_empty() || wire.client_end.is_some(),
            writable: wire.sent.len() < wire.room,
            read_closed: wire.client_end.is_some(),
            error: wire.client_end == Some(End::Reset),
        })
    }

    /// Whether a poll would tell anything.
    #[cfg(test)]
    pub(crate) fn is_changed(&self) -> bool {
        let wire = lock(&self.0);
        wire.changed && !wire.closed
    }
}

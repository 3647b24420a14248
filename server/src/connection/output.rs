//! Bytes out. Answers are sent straight from the worker's buffer, once per turn; what the socket does not take is
//! kept here, and while anything is kept the client is not read: it has to take its answers first.
//!
//! Messages that must not overtake the answer at hand wait until that is given ([`Output::put_behind`]).

use std::io;

use crate::net::stream::Stream;

/// Answers that the socket has not taken.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    sent: usize,
    /// What comes behind the answer at hand.
    behind: Vec<u8>,
}

impl Output {
    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of memory that they take.
    #[inline]
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity() + self.behind.capacity()
    }

    /// Bytes that wait.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent + self.behind.len()
    }

    /// Keeps these until the answer at hand is given.
    pub(crate) fn put_behind<'p>(&mut self, parts: impl IntoIterator<Item = &'p [u8]>) {
        parts.into_iter().for_each(|part| self.behind.extend_from_slice(part));
    }

    /// Takes what was to come behind the answer at hand.
    pub(crate) fn take_behind(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.behind)
    }

    /// Drops what waits.
    pub(crate) fn take(&mut self) {
        *self = Self::default();
    }

    /// Keeps these until the socket takes them.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.keep_parts(std::iter::once(rest), rest.len());
    }

    /// Keeps these, `len` bytes all together.
    pub(crate) fn keep_parts<'p>(&mut self, parts: impl Iterator<Item = &'p [u8]>, len: usize) {
        self.bytes.reserve_exact(len);
        parts.for_each(|part| self.bytes.extend_from_slice(part));
    }

    /// Adds a message, of which many may follow.
    pub(crate) fn push(&mut self, message: &[u8]) {
        // Who is always a little behind never takes all. Less is moved than was sent since the last time.
        if self.sent > self.bytes.len() - self.sent {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(message);
    }

    /// Keeps these from `sent` on until the socket takes them. Nothing else waits.
    pub(crate) fn adopt(&mut self, bytes: Vec<u8>, sent: usize) {
        debug_assert!(self.is_empty());
        (self.bytes, self.sent) = (bytes, sent);
    }

    /// Sends as much as the socket takes.
    pub(crate) fn flush(&mut self, stream: &mut Stream) -> io::Result<()> {
        while self.sent < self.bytes.len() {
            match stream.send(&self.bytes[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => self.sent += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        (self.bytes, self.sent) = (Vec::new(), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::random::Random;
    use crate::simulation::wire;

    #[test]
    fn who_is_always_a_little_behind_holds_no_more_than_that() {
        const MESSAGE: [u8; 1000] = [b'm'; 1000];
        let (socket, peer) = wire::connect(Random::new(1), 4000, usize::MAX);
        let (mut stream, mut output, mut taken) = (Stream::Simulated(socket), Output::default(), 0);
        for _ in 0..20 {
            output.push(&MESSAGE);
        }
        for _ in 0..1000 {
            output.push(&MESSAGE);
            output.flush(&mut stream).expect("nobody has gone");
            taken += peer.take(MESSAGE.len()).len();
            assert!(!output.is_empty() && output.len() <= 21 * MESSAGE.len());
        }
        assert_eq!(taken, 1000 * MESSAGE.len());
        assert!(output.held() < 100 * MESSAGE.len(), "{}", output.held());
    }
}

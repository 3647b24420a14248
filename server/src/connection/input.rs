//! Bytes in. Most requests are read and answered within one turn, out of the worker's buffer; only what is not all
//! here is kept, so that an idle connection holds no memory and a busy one as much as it has sent.
//!
//! ```text
//! kept | fresh bytes        kept is copied before the fresh bytes in the worker's buffer
//! kept + fresh bytes        a large request is gathered here and parsed in place
//! ```
//!
//! Invariant: `skip > 0` only while nothing is kept.

use std::io;

use crabcache_engine::Millis;
use crabcache_protocol::resp;

use crate::net::stream::Stream;
use crate::reactor::sized;

/// Requests that need more than this are gathered in the connection, so that their bytes are not copied again at
/// every turn.
pub(crate) const LARGE: usize = sized(64 << 10);
/// What one `recv` of a large request asks for, at least and at most.
const FILL_MIN: usize = sized(64 << 10);
const FILL_MAX: usize = sized(256 << 10);
/// With each so many bytes that arrive the time for a request begins anew.
const PIECE: usize = sized(64 << 10);

/// What has arrived and is not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    filled: usize,
    need: usize,
    reserved: bool,
    skip: u64,
    /// So many arguments of a RESP request are to be left out behind that.
    pub(crate) args_left: usize,
    whole: bool,
    /// Since when the unfinished request has been on its way, or the last large piece of it; and how much was here then.
    began: Millis,
    had: usize,
    /// So many bytes of what is kept are the beginning of a long line of memcached, and hold no end of it.
    pub(crate) line_len: usize,
    /// How far the RESP parser has come in the unfinished request.
    pub(crate) progress: resp::Progress,
}

impl Input {
    /// Bytes kept.
    #[must_use]
    pub(crate) fn kept(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Whether what is kept may hold whole requests, to be answered before more is read.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether what is kept begins with a request of which some arguments are yet to be checked.
    pub(crate) fn is_partly_checked(&self) -> bool {
        self.whole && self.progress.unread().is_some()
    }

    /// Whether the unfinished request is gathered here.
    #[must_use]
    pub(crate) fn is_large(&self) -> bool {
        self.need > LARGE
    }

    /// The memory that a large request takes until it is answered.
    #[must_use]
    pub(crate) fn needed(&self) -> usize {
        self.need + FILL_MIN
    }

    /// Says that the memory of a large request is set apart.
    pub(crate) fn reserve(&mut self) {
        self.reserved = true;
    }

    /// Whether memory is set apart.
    #[inline]
    #[must_use]
    pub(crate) fn is_reserved(&self) -> bool {
        self.reserved
    }

    /// Bytes of memory that are kept or set apart.
    #[inline]
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        if self.reserved { self.needed().max(self.bytes.capacity()) } else { self.bytes.capacity() }
    }

    /// Gives the kept bytes away, and is empty.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.truncate(self.filled);
        self.filled = 0;
        self.need = 0;
        self.reserved = false;
        self.whole = false;
        bytes
    }

    /// Forgets the kept bytes and their memory.
    pub(crate) fn clear(&mut self) {
        if self.filled > 0 {
            self.take();
        }
    }

    /// Says what the parser found about the bytes that will be kept: the request has at least `need`.
    pub(crate) fn expect(&mut self, need: usize) {
        self.need = need;
    }

    /// Says that the bytes that will be kept were not looked at yet.
    pub(crate) fn postpone(&mut self) {
        self.whole = true;
    }

    /// Leaves out the next `len` bytes of the stream.
    pub(crate) fn skip(&mut self, len: u64) {
        self.skip += len;
    }

    /// How many of `fresh` bytes are to be left out.
    #[inline]
    pub(crate) fn skipped(&mut self, fresh: usize) -> usize {
        if self.skip == 0 {
            return 0;
        }
        let drop = usize::try_from(self.skip).map_or(fresh, |skip| skip.min(fresh));
        self.skip -= drop as u64;
        drop
    }

    /// Keeps a copy of these.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        debug_assert!(self.filled == 0);
        self.bytes.clear();
        self.bytes.extend_from_slice(rest);
        self.filled = rest.len();
    }

    /// Keeps what [`Input::take`] gave, without its first `consumed` bytes.
    pub(crate) fn give_back(&mut self, mut bytes: Vec<u8>, consumed: usize) {
        debug_assert!(self.filled == 0);
        if consumed > 0 && bytes.capacity() > LARGE {
            // The memory of a large request is not kept for the beginning of the next one.
            self.bytes = bytes[consumed..].to_vec();
        } else {
            bytes.drain(..consumed);
            self.bytes = bytes;
        }
        self.filled = self.bytes.len();
    }

    /// Whether a part of a request is here, and the rest is to be read.
    #[must_use]
    pub(crate) fn is_unfinished(&self) -> bool {
        self.filled > 0 && !self.whole
    }

    /// Since when the unfinished request has been on its way, by the steady clock; a large one, its last piece of 64 KiB.
    #[must_use]
    pub(crate) fn began(&self) -> Millis {
        self.began
    }

    /// Nothing is kept: what was here of the request has found another place. The rest of it has been on its way since `now`.
    pub(crate) fn begin_again(&mut self, now: Millis) {
        self.progress = resp::Progress::default();
        self.began = now;
    }

    /// Says that the time before now does not count.
    pub(crate) fn restart_clock(&mut self, now: Millis) {
        self.began = now;
    }

    /// Notes when what is kept has grown; `anew`: it is another request than before.
    pub(crate) fn note_progress(&mut self, anew: bool, now: Millis) {
        if anew || self.filled - self.had.min(self.filled) >= PIECE {
            self.began = now;
            self.had = self.filled;
        }
    }

    /// Receives once, behind what is kept. Gives the bytes received, and whether the socket held no more.
    pub(crate) fn fill(&mut self, stream: &mut Stream) -> io::Result<(usize, bool)> {
        let room = self.need.saturating_sub(self.filled).clamp(FILL_MIN, FILL_MAX);
        let end = self.filled + room;
        // Memory follows what has arrived, not what was announced: only when a quarter is here is room made for all. It is
        // never more than was set apart.
        if self.bytes.capacity() < end {
            let enough = if self.filled >= self.need / 4 { usize::MAX } else { 2 * self.bytes.capacity() };
            self.bytes.reserve_exact(enough.min(self.needed()).max(end) - self.bytes.len());
        }
        // Each byte is zeroed once, when it first belongs to the buffer.
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let received = stream.recv(&mut self.bytes[self.filled..self.filled + room])?;
        self.filled += received;
        Ok((received, received < room))
    }

    /// Whether as many bytes are here as the request needs, as far as is known.
    #[must_use]
    pub(crate) fn is_enough(&self) -> bool {
        self.filled >= self.need
    }
}

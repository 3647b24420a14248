//! A large value on its way into the arena (`connection/arriving.rs`): received where it will stay, and in the same call
//! what comes behind it, into the worker's buffer.

use std::io::{ErrorKind, IoSliceMut};

use super::gather::{KEPT_FOR_LAST, READ_MAX, READ_MIN};
use super::{GATHER_LEN, Segment, Source, Turn};

impl Turn<'_> {
    /// Receives more of a value that is not all here; it becomes a segment when all of it is here: of what came behind it, which goes into the
    /// buffer from `start` on. Gives the bytes received, and how far the buffer is filled then.
    pub(super) fn gather_value(&mut self, key: usize, start: usize) -> (usize, usize) {
        let connection = &mut self.connections[key];
        let Some(arriving) = &mut connection.arriving else { return (0, start) };
        let left = arriving.left();
        let here = left.min(READ_MAX);
        let behind = if self.budget.is_tight() { READ_MIN } else { READ_MAX };
        let behind = behind.saturating_sub(left).min((GATHER_LEN - KEPT_FOR_LAST).saturating_sub(start));
        let mut parts = [
            IoSliceMut::new(&mut arriving.rest()[..here]),
            IoSliceMut::new(&mut self.buffer[start..start + behind]),
        ];
        match connection.stream.recv_parts(&mut parts) {
            Ok(0) => self.gone.push(key),
            Ok(len) => {
                connection.moved = self.now;
                connection.readable = len == here + behind || connection.half_closed;
                if arriving.advance(len.min(here)) {
                    connection.input.restart_clock(self.now);
                }
                let end = start + len.saturating_sub(here);
                if len >= left {
                    let source = Source::Buffer { start, end };
                    self.segments.push(Segment { key, source, carries: true, consumed: 0 });
                } else if connection.readable {
                    self.enqueue_last(key);
                }
                return (len, end);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => self.enqueue(key),
            Err(_) => self.gone.push(key),
        }
        (0, start)
    }
}

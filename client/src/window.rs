//! The piece of a pipeline that is being sent: small requests copied one after the other into one buffer, large
//! values left where they are.
//!
//! ```text
//! buf    | req | req | head of a large one | req | req |
//! large                                    ^ (position, value)
//! ```

use std::collections::VecDeque;
use std::io::IoSlice;

use crabcache_protocol::native::{Command, EncodeError, Request};

/// From this length on a value is not copied.
const LARGE: usize = 16 * 1024;
/// Parts of one send.
const PARTS_MAX: usize = 32;

/// Encoded requests, and how far they are sent.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    buf: Vec<u8>,
    /// Values to be sent when `buf` is sent up to the position; positions never fall.
    large: VecDeque<(usize, &'a [u8])>,
    /// Bytes of `buf` that are sent.
    buf_sent: usize,
    /// Bytes of the first large value that are sent. Not 0 only if `buf_sent` is its position.
    large_sent: usize,
    /// Bytes that are not sent yet, of both kinds.
    unsent: usize,
}

impl<'a> Window<'a> {
    /// A window that uses this buffer.
    pub(crate) fn new(mut buf: Vec<u8>) -> Self {
        buf.clear();
        Self { buf, large: VecDeque::new(), buf_sent: 0, large_sent: 0, unsent: 0 }
    }

    /// The buffer, to be used again.
    pub(crate) fn into_buf(self) -> Vec<u8> {
        self.buf
    }

    /// Bytes that are not sent yet.
    pub(crate) const fn unsent(&self) -> usize {
        self.unsent
    }

    /// Adds a request; how many bytes it has.
    #[inline]
    pub(crate) fn push(&mut self, opaque: u16, command: &Command<'a>) -> Result<usize, EncodeError> {
        if self.unsent == 0 {
            self.buf.clear();
            self.buf_sent = 0;
        }
        let before = self.buf.len();
        let large = if command.value().len() < LARGE && command.encode_plain(opaque, &mut self.buf)? {
            0
        } else {
            self.push_any(&Request { opaque, quiet: false, command: *command })?
        };
        let len = self.buf.len() - before + large;
        self.unsent += len;
        Ok(len)
    }

    /// Adds a request of any kind; how many of its bytes are not in the buffer.
    fn push_any(&mut self, request: &Request<'a>) -> Result<usize, EncodeError> {
        let value = request.value();
        if value.len() < LARGE {
            request.encode(&mut self.buf)?;
            return Ok(0);
        }
        request.encode_before_value(&mut self.buf)?;
        self.large.push_back((self.buf.len(), value));
        Ok(value.len())
    }

    /// Hands the next parts to `send`.
    pub(crate) fn with_parts<R>(&self, send: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        if self.large.is_empty() {
            return send(&[IoSlice::new(&self.buf[self.buf_sent..])]);
        }
        let mut parts = [IoSlice::new(&[]); PARTS_MAX];
        let (mut count, mut at, mut skip) = (0, self.buf_sent, self.large_sent);
        for &(position, value) in self.large.iter().take(PARTS_MAX / 2 - 1) {
            for part in [&self.buf[at..position], &value[skip..]] {
                if !part.is_empty() {
                    parts[count] = IoSlice::new(part);
                    count += 1;
                }
            }
            (at, skip) = (position, 0);
        }
        // What follows the last value that is in, up to the next one.
        let end = self.large.get(PARTS_MAX / 2 - 1).map_or(self.buf.len(), |&(position, _)| position);
        if at < end {
            parts[count] = IoSlice::new(&self.buf[at..end]);
            count += 1;
        }
        send(&parts[..count])
    }

    /// Notes that the next `len` bytes are sent.
    pub(crate) fn advance(&mut self, mut len: usize) {
        self.unsent -= len;
        while len > 0 {
            let Some(&(position, value)) = self.large.front() else {
                self.buf_sent += len;
                return;
            };
            let of_buf = len.min(position - self.buf_sent);
            self.buf_sent += of_buf;
            len -= of_buf;
            let of_value = len.min(value.len() - self.large_sent);
            self.large_sent += of_value;
            len -= of_value;
            if self.large_sent == value.len() {
                self.large.pop_front();
                self.large_sent = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crabcache_protocol::native::Put;

    use super::*;

    /// However a window is sent in pieces, the bytes are those of the requests one after the other.
    #[test]
    fn window_sends_the_encoded_bytes() {
        let big: Vec<u8> = (0..LARGE * 2).map(|i| i as u8).collect();
        let commands = |i: usize| match i % 4 {
            0 => Command::Put(Put { key: b"big", value: &big[i..], ..Put::default() }),
            1 | 2 => Command::Put(Put { key: b"key", value: &big[..i], ..Put::default() }),
            _ => Command::Put(Put { key: b"edge", value: &big[..LARGE - 1 + i % 3], ..Put::default() }),
        };
        for step in [1000, 4096, 20_000, usize::MAX] {
            let mut window = Window::new(vec![1, 2, 3]);
            let (mut expected, mut sent) = (Vec::new(), Vec::new());
            for i in 0..100 {
                let (opaque, command) = (i as u16, commands(i));
                Request { opaque, quiet: false, command }.encode(&mut expected).unwrap();
                let before = window.unsent();
                assert_eq!(window.push(opaque, &command), Ok(window.unsent() - before));
                if i % 40 != 39 {
                    continue;
                }
                while window.unsent() > 1000 {
                    let bytes = window.with_parts(|parts| {
                        assert!(parts.len() <= PARTS_MAX && parts.iter().all(|part| !part.is_empty()));
                        let whole = parts.iter().map(|part| &part[..]).collect::<Vec<_>>().concat();
                        whole[..whole.len().min(step)].to_vec()
                    });
                    window.advance(bytes.len());
                    sent.extend(bytes);
                }
            }
            while window.unsent() > 0 {
                let bytes = window.with_parts(|parts| parts[0].to_vec());
                window.advance(bytes.len());
                sent.extend(bytes);
            }
            assert!(sent == expected, "step {step}");
        }
    }
}

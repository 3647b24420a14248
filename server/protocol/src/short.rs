//! Short answers, composed by stores of fixed size in a place that has room for the longest of them.
//!
//! ```text
//! $32\r\n                  eight bytes are stored, five of them stay
//!      value ...           the first 16 bytes and the last 16, which may overlap
//!                \r\n
//! ```
//! To append the same pieces to a `Vec` takes a comparison of its capacity and a call of `memcpy` for each.

use crate::number::LINES;

/// Longest key or value that a short answer has, in bytes.
pub const SHORT_LEN_MAX: usize = 64;

/// Room for any short answer: memcached's has a key, a value and 21 bytes beside them, of which the last ones are stored
/// as eight.
pub const ROOM_LEN: usize = 2 * SHORT_LEN_MAX + 24;

/// A place for an answer.
pub type Room = [u8; ROOM_LEN];

/// Stores up to [`SHORT_LEN_MAX`] bytes at `at`, and gives where they end; none if there are more.
#[inline(always)]
pub(crate) fn put(room: &mut Room, at: usize, bytes: &[u8]) -> Option<usize> {
    let len = bytes.len();
    if len > SHORT_LEN_MAX {
        return None;
    }
    // One comparison for all the stores.
    let to = room[at..].first_chunk_mut()?;
    if len >= 16 {
        if len <= 32 { overlapping::<16>(to, bytes) } else { overlapping::<32>(to, bytes) }
    } else if len >= 8 {
        overlapping::<8>(to, bytes);
    } else if len >= 4 {
        overlapping::<4>(to, bytes);
    } else {
        to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
    }
    Some(at + len)
}

/// Copies N to 2 N bytes.
#[inline(always)]
fn overlapping<const N: usize>(to: &mut [u8; SHORT_LEN_MAX], bytes: &[u8]) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) {
        to[..N].copy_from_slice(first);
        to[bytes.len() - N..][..N].copy_from_slice(last);
    }
}

/// Stores eight bytes at `at`, of which the first `len` matter, and gives where those end.
#[inline(always)]
pub(crate) fn put_word(room: &mut Room, at: usize, word: u64, len: usize) -> usize {
    room[at..at + 8].copy_from_slice(&word.to_le_bytes());
    at + len
}

/// Stores a text of at most eight bytes at `at`, and gives where it ends.
#[inline(always)]
pub(crate) fn put_text<const N: usize>(room: &mut Room, at: usize, text: &[u8; N]) -> usize {
    let mut word = [0; 8];
    word[..N].copy_from_slice(text);
    put_word(room, at, u64::from_le_bytes(word), N)
}

/// Stores a whole answer, a text of at most eight bytes, and gives its length.
#[inline(always)]
#[must_use]
pub fn text<const N: usize>(room: &mut Room, text: &[u8; N]) -> usize {
    put_text(room, 0, text)
}

/// A length below 100 in decimal and the end of the line, as the low bytes of a word; and how many.
#[inline(always)]
pub(crate) fn line(len: usize) -> (u64, usize) {
    (u64::from(LINES[len % LINES.len()]), 3 + usize::from(len >= 10))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{memcache, native, resp};
    use alloc::vec::Vec;

    /// What a writer appends if `short` says so, else nothing.
    fn appended(short: bool, write: impl Fn(&mut Vec<u8>)) -> Option<Vec<u8>> {
        short.then(|| {
            let mut out = Vec::new();
            write(&mut out);
            out
        })
    }

    /// Whatever lies in the room before, a short answer is what the usual writer appends, and what is too long for it is
    /// refused.
    #[test]
    fn short_answers_are_what_the_writers_append() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut room = [b'x'; ROOM_LEN];
        for key_len in [0, 1, 3, 4, 7, 8, 15, 16, 17, 32, 33, SHORT_LEN_MAX, SHORT_LEN_MAX + 1, 250] {
            for value_len in 0..120 {
                let (key, value) = (&bytes[..key_len], &bytes[256 - value_len..]);
                let short = value_len <= SHORT_LEN_MAX;
                let len = resp::write::short_bulk(&mut room, value);
                let expected = appended(short, |out| resp::write::bulk(out, value));
                assert_eq!(len.map(|len| room[..len].to_vec()), expected);
                let len = native::reply::short_value(&mut room, 7, value);
                let expected = appended(short, |out| native::reply::value(out, 7, value));
                assert_eq!(len.map(|len| room[..len].to_vec()), expected);
                for (last, end) in [(false, &b""[..]), (true, memcache::write::END)] {
                    let len = memcache::write::short_value(&mut room, key, value, last);
                    let expected = appended(short && key_len <= SHORT_LEN_MAX, |out| {
                        memcache::write::value(out, key, 0, None, value);
                        out.extend_from_slice(end);
                    });
                    assert_eq!(len.map(|len| room[..len].to_vec()), expected);
                }
            }
        }
        assert_eq!(text(&mut room, b"+OK\r\n"), 5);
        assert_eq!(&room[..5], resp::write::OK);
    }
}

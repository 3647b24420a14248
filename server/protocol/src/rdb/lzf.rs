//! LZF, as Redis compresses strings with it: reading only.
//!
//! ```text
//! 000nnnnn                     n + 1 bytes follow, as they are
//! nnnddddd dddddddd            n + 2 bytes (n from 1 to 6) that were there d + 1 bytes before
//! 111ddddd nnnnnnnn dddddddd   the same with n + 7
//! ```

use alloc::vec::Vec;

/// At most so many bytes come out for each that goes in: 264 for the three of the longest copy.
pub(super) const RATIO_MAX: usize = 88;

/// What was compressed, if it is `len` bytes. Memory follows what comes out, not what `len` says.
pub(super) fn decompress(mut input: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(len.min(input.len().saturating_mul(RATIO_MAX)));
    while let [control, rest @ ..] = input {
        input = rest;
        let control = usize::from(*control);
        if control < 32 {
            let (bytes, rest) = input.split_at_checked(control + 1)?;
            input = rest;
            out.extend_from_slice(bytes);
        } else {
            let mut copied = (control >> 5) + 2;
            if control >> 5 == 7 {
                copied += usize::from(*input.split_off_first()?);
            }
            let distance = ((control & 31) << 8) + usize::from(*input.split_off_first()?) + 1;
            let from = out.len().checked_sub(distance)?;
            // What is copied may be what has just been written: all of it from there on repeats.
            while copied > 0 {
                let part = copied.min(out.len() - from);
                out.extend_from_within(from..from + part);
                copied -= part;
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn copies_and_bytes_as_they_are() {
        assert_eq!(decompress(b"\x01aa\xE0\x0A\x00", 21), Some(vec![b'a'; 21]));
        assert_eq!(decompress(b"\x02abc\x20\x02", 6).as_deref(), Some(&b"abcabc"[..]));
        assert_eq!(decompress(b"\x02abc\xE0\x01\x01", 13).as_deref(), Some(&b"abcbcbcbcbcbc"[..]));
        assert_eq!(decompress(b"", 0), Some(vec![]));
    }

    #[test]
    fn what_is_broken_is_refused() {
        let whole = b"\x02abc\x20\x02";
        for len in 1..whole.len() {
            assert_eq!(decompress(&whole[..len], 6), None, "{len}");
        }
        for len in [0, 5, 7, usize::MAX] {
            assert_eq!(decompress(whole, len), None, "{len}");
        }
        assert_eq!(decompress(b"\x02abc\x20\x03", 6), None, "before the beginning");
        assert_eq!(decompress(b"\x20\x00", 3), None, "of nothing");
    }

    #[test]
    fn nothing_comes_out_larger_than_the_ratio() {
        let longest = [&b"\x00a"[..], &b"\xE0\xFF\x00".repeat(100)].concat();
        let out = decompress(&longest, 1 + 264 * 100).unwrap();
        assert!(out.len() <= longest.len() * RATIO_MAX);
    }
}

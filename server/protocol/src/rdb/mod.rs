//! Values as DUMP writes them and RESTORE reads them: what an RDB file has for a string, and a footer.
//!
//! ```text
//! 00 | string | version u16 | CRC-64 of all before it, u64          numbers of the footer: little-endian
//!
//! string   length, bytes
//!          C0 i8 | C1 i16 | C2 i32                                   a decimal number, little-endian
//!          C3, length, length, bytes                                 compressed by LZF: before, and uncompressed
//! length   00nnnnnn | 01nnnnnn nnnnnnnn | 80 u32 | 81 u64            big-endian
//! ```
//! As in Redis, a string is read from all of the payload, footer included, and what is behind it is not looked at.

mod crc64;
mod lzf;

use alloc::borrow::Cow;
use alloc::vec::Vec;

pub use crc64::{crc64, crc64_from};

use crate::number::{parse_i64, write_i64};

/// The version that is written: that of Redis 7.0, which later ones read.
const VERSION: u16 = 10;
/// The newest version that is read: that of Redis 7.4 and 8. Strings are the same in all of them.
const VERSION_MAX: u16 = 12;
/// At most so many bytes are written beyond those of a value.
pub const EXTRA_MAX: usize = 1 + 9 + FOOTER_LEN;
/// Bytes of version and checksum.
const FOOTER_LEN: usize = 10;
/// The type of a string.
const STRING: u8 = 0;

/// Why a payload has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is too short, its version is too new, or its checksum is not that of its bytes.
    Footer,
    /// It is no string, or a broken one.
    Format,
    /// The value would be longer than it may be.
    TooLarge,
}

/// Writes a value with its footer; not compressed, which everybody reads.
pub fn dump(out: &mut Vec<u8>, value: &[u8]) {
    let begun = out.len();
    dump_unsummed(out, value);
    let sum = crc64(&out[begun..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The same up to the checksum: for whoever makes that a part at a time.
pub fn dump_unsummed(out: &mut Vec<u8>, value: &[u8]) {
    out.push(STRING);
    match parse_i64(value).map(|number| (i8::try_from(number), i16::try_from(number), i32::try_from(number)))
    {
        Some((Ok(number), ..)) => out.extend_from_slice(&[0xC0, number as u8]),
        Some((_, Ok(number), _)) => {
            out.push(0xC1);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Some((.., Ok(number))) => {
            out.push(0xC2);
            out.extend_from_slice(&number.to_le_bytes());
        }
        _ => {
            write_length(out, value.len());
            out.extend_from_slice(value);
        }
    }
    out.extend_from_slice(&VERSION.to_le_bytes());
}

fn write_length(out: &mut Vec<u8>, len: usize) {
    match (u8::try_from(len), u16::try_from(len), u32::try_from(len)) {
        (Ok(len @ ..0x40), ..) => out.push(len),
        (_, Ok(len @ ..0x4000), _) => out.extend_from_slice(&(0x4000 | len).to_be_bytes()),
        (.., Ok(len)) => {
            out.push(0x80);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The value in a payload, which may have `len_max` bytes.
pub fn restore(payload: &[u8], len_max: usize) -> Result<Cow<'_, [u8]>, Fault> {
    let (summed, sum) = split_sum(payload)?;
    if crc64(summed) == sum { restore_summed(payload, len_max) } else { Err(Fault::Footer) }
}

/// What the checksum of a payload is of, and that, if it has a footer of a version that is read.
pub fn split_sum(payload: &[u8]) -> Result<(&[u8], u64), Fault> {
    let (summed, sum) = payload.split_last_chunk::<8>().ok_or(Fault::Footer)?;
    let (_, version) = summed.split_last_chunk().ok_or(Fault::Footer)?;
    if u16::from_le_bytes(*version) > VERSION_MAX {
        return Err(Fault::Footer);
    }
    Ok((summed, u64::from_le_bytes(*sum)))
}

/// The value in a payload whose checksum was found right.
pub fn restore_summed(payload: &[u8], len_max: usize) -> Result<Cow<'_, [u8]>, Fault> {
    let mut left = payload;
    if take(&mut left, 1) != Some(&[STRING]) {
        return Err(Fault::Format);
    }
    let value = match length(&mut left).ok_or(Fault::Format)? {
        Length::Bytes(len) => Cow::Borrowed(take(&mut left, len).ok_or(Fault::Format)?),
        Length::Encoded(3) => Cow::Owned(compressed(&mut left, len_max)?),
        Length::Encoded(encoding) => Cow::Owned(number(encoding, left).ok_or(Fault::Format)?),
    };
    if value.len() > len_max { Err(Fault::TooLarge) } else { Ok(value) }
}

/// What a length says.
enum Length {
    Bytes(usize),
    /// What follows is written in the form with this number.
    Encoded(u8),
}

impl Length {
    /// Where no form can be meant, its number is a length, as in Redis.
    fn plain(self) -> usize {
        match self {
            Self::Bytes(len) => len,
            Self::Encoded(number) => number.into(),
        }
    }
}

fn length(left: &mut &[u8]) -> Option<Length> {
    let first = *left.split_off_first()?;
    let len = match first {
        0..0x40 => first.into(),
        0x40..0x80 => u64::from(first & 0x3F) << 8 | u64::from(*left.split_off_first()?),
        0x80 => u32::from_be_bytes(*chunk(left)?).into(),
        0x81 => u64::from_be_bytes(*chunk(left)?),
        0xC0.. => return Some(Length::Encoded(first & 0x3F)),
        _ => return None,
    };
    usize::try_from(len).ok().map(Length::Bytes)
}

fn take<'a>(left: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    left.split_off(..len)
}

fn chunk<'a, const LEN: usize>(left: &mut &'a [u8]) -> Option<&'a [u8; LEN]> {
    let (chunk, rest) = left.split_first_chunk()?;
    *left = rest;
    Some(chunk)
}

fn number(encoding: u8, mut left: &[u8]) -> Option<Vec<u8>> {
    let number = match encoding {
        0 => i8::from_le_bytes(*chunk(&mut left)?).into(),
        1 => i16::from_le_bytes(*chunk(&mut left)?).into(),
        2 => i32::from_le_bytes(*chunk(&mut left)?).into(),
        _ => return None,
    };
    let mut text = Vec::new();
    write_i64(&mut text, number);
    Some(text)
}

fn compressed(left: &mut &[u8], len_max: usize) -> Result<Vec<u8>, Fault> {
    let before = length(left).ok_or(Fault::Format)?.plain();
    let len = length(left).ok_or(Fault::Format)?.plain();
    let bytes = take(left, before).ok_or(Fault::Format)?;
    if len == 0 {
        // Redis does not look at what is compressed to nothing.
        return Ok(Vec::new());
    }
    if len > bytes.len().saturating_mul(lzf::RATIO_MAX) {
        return Err(Fault::Format);
    }
    if len > len_max {
        return Err(Fault::TooLarge);
    }
    lzf::decompress(bytes, len).ok_or(Fault::Format)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// A payload with a footer that is right.
    fn sealed(string: &[u8], version: u16) -> Vec<u8> {
        let mut payload = [string, &version.to_le_bytes()].concat();
        let sum = crc64(&payload);
        payload.extend_from_slice(&sum.to_le_bytes());
        payload
    }

    /// Each as Redis 7.0.15 wrote it.
    #[test]
    fn values_are_written_as_redis_writes_them() {
        let written: [(&[u8], &[u8]); 13] = [
            (b"", b"\x00\x00\n\x00]\x9b\\@\x0f\x7f\xa2\xda"),
            (b"hello", b"\x00\x05hello\n\x00cr\xdfve4 \n"),
            (b"0", b"\x00\xc0\x00\n\x00\x98@\xa7x\xf8P\x03\x08"),
            (b"-1", b"\x00\xc0\xff\n\x00\x0c\x93~$\x85\x08\x9d\xc5"),
            (b"127", b"\x00\xc0\x7f\n\x00\r\xb5\xeb1RT\xc5\x14"),
            (b"128", b"\x00\xc1\x80\x00\n\x00\xebz\xb3\xb5\x10\xcfKe"),
            (b"-129", b"\x00\xc1\x7f\xff\n\x00\x17`\x82(T\x80\x84\x80"),
            (b"32768", b"\x00\xc2\x00\x80\x00\x00\n\x00E\xd8.\xed\xd5\xbd\xa9\x10"),
            (b"-2147483648", b"\x00\xc2\x00\x00\x00\x80\n\x00\xc7O\x87>3U\x81\x87"),
            (b"2147483648", b"\x00\n2147483648\n\x00\xe7\xb1)\xa3L\x1dv\xee"),
            (b"9223372036854775807", b"\x00\x139223372036854775807\n\x00:e~\x94\x81\xe8_\""),
            (b"007", b"\x00\x03007\n\x00rX\xe2{Li\xba\xd9"),
            (b"abcdefghijklmnopqrst", b"\x00\x14abcdefghijklmnopqrst\n\x00\x85\xf4\x1a\x84\xe2\xb5p\xf6"),
        ];
        for (value, payload) in written {
            let mut out = b"before".to_vec();
            dump(&mut out, value);
            assert_eq!(out[6..], *payload, "{}", value.escape_ascii());
            assert_eq!(restore(payload, 100).as_deref(), Ok(value));
        }
    }

    #[test]
    fn every_form_of_a_length_is_read() {
        for len in [0, 63, 64, 0x3FFF, 0x4000, 0x1_0001] {
            let value = vec![b'x'; len];
            let mut out = Vec::new();
            dump(&mut out, &value);
            assert_eq!(restore(&out, len).as_deref(), Ok(&*value));
            assert_eq!(restore(&out, len.wrapping_sub(1)).is_err(), len > 0);
        }
        let long = sealed(b"\x00\x81\0\0\0\0\0\0\0\x03abc", 12);
        assert_eq!(restore(&long, 9).as_deref(), Ok(&b"abc"[..]));
        for broken in [&b"\x00\x82\0\x80"[..], b"\x00\xC4\0", b"\x00\xFF\0", b"\x00\x3Fabc", b"\x01\x00", b""]
        {
            assert_eq!(restore(&sealed(broken, 10), 100), Err(Fault::Format), "{broken:?}");
        }
        let endless = [&b"\x00\x81"[..], &[0xFF; 8], b"abc"].concat();
        assert_eq!(restore(&sealed(&endless, 10), usize::MAX), Err(Fault::Format));
    }

    #[test]
    fn what_redis_has_compressed_is_read() {
        let payload = b"\x00\xc3\t@d\x01aa\xe0W\x00\x01aa\n\x00\xe8\xa3\xb5\x07\xb0m\xf2q";
        assert_eq!(restore(payload, 100).as_deref(), Ok(&[b'a'; 100][..]));
        assert_eq!(restore(payload, 99), Err(Fault::TooLarge));
        for (broken, why) in [
            (&b"\x00\xc3\x06\x16\x01aa\xe0\n\x00"[..], "longer than said"),
            (b"\x00\xc3\x06\x14\x01aa\xe0\n\x00", "shorter than said"),
            (b"\x00\xc3\x05\x15\x01aa\xe0\n\x00", "cut off"),
            (b"\x00\xc3\x06\x15\x01aa\xe0\n\x05", "from before its beginning"),
            (b"\x00\xc3\x02\x80\x40\0\0\0\0z", "more than can come out"),
        ] {
            assert_eq!(restore(&sealed(broken, 10), usize::MAX), Err(Fault::Format), "{why}");
        }
        assert_eq!(
            restore(&sealed(b"\x00\xc3\xc6\xd5\x01aa\xe0\n\x00", 10), 21).as_deref(),
            Ok(&[b'a'; 21][..])
        );
        assert_eq!(restore(&sealed(b"\x00\xc3\x01\x00\x00", 10), 9).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn a_footer_has_to_be_right() {
        let mut payload = Vec::new();
        dump(&mut payload, b"hello");
        for len in 0..payload.len() {
            assert_eq!(restore(&payload[..len], 100), Err(Fault::Footer), "{len}");
        }
        for at in 0..payload.len() {
            let mut broken = payload.clone();
            broken[at] ^= 0x10;
            assert_eq!(restore(&broken, 100), Err(Fault::Footer), "{at}");
        }
        for (version, expected) in
            [(1, true), (VERSION_MAX, true), (VERSION_MAX + 1, false), (u16::MAX, false)]
        {
            assert_eq!(restore(&sealed(b"\x00\x02hi", version), 100).is_ok(), expected, "{version}");
        }
    }
}

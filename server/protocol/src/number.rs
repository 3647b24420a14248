//! Decimal numbers on the wire: exact, over the whole slice, without formatting machinery.
//!
//! Two dialects. The strict one is Redis' `string2ll`: no `+`, no leading zeros, no `-0`, no blanks. It reads lengths
//! and integer arguments. The lenient one is what memcached gets from `strtoull`: a `+` and leading zeros pass. Both
//! refuse an empty slice, any foreign byte, and every value that does not fit.

use alloc::vec::Vec;

/// The numbers below 100 in decimal, each with the end of its line, as they lie in memory: `7\r\n`, `42\r\n`. Behind them,
/// where [`two_digits`] may look, stands what is none.
pub(crate) static LINES: [u32; 256] = {
    let mut lines = [1; 256];
    let mut number = 0;
    while number < 100 {
        let (tens, ones) = (b'0' + number / 10, b'0' + number % 10);
        lines[number as usize] = u32::from_le_bytes(match number {
            0..10 => [ones, b'\r', b'\n', 0],
            _ => [tens, ones, b'\r', b'\n'],
        });
        number += 1;
    }
    lines
};

/// The number whose two digits and line end are these bytes.
#[inline(always)]
pub(crate) fn two_digits(bytes: [u8; 4]) -> Option<usize> {
    let word = u32::from_le_bytes(bytes);
    // The digits' values, tens times ten in the byte above them: the second byte of the product is the sum of both.
    let number = ((word & 0x0f0f) * (10 << 8 | 1)) >> 8 & 0xff;
    (word == LINES[number as usize]).then_some(number as usize)
}

/// The number whose only digit and line end are the first three of these bytes.
#[inline(always)]
pub(crate) fn one_digit(bytes: [u8; 4]) -> Option<usize> {
    let digit = (u32::from_le_bytes(bytes) & 0x00ff_ffff).wrapping_sub(LINES[0]);
    (digit <= 9).then_some(digit as usize)
}

/// Reads an unsigned number, strictly: `0`, or digits that do not start with `0`.
#[inline]
#[must_use]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] => magnitude(text),
        _ => None,
    }
}

/// Reads a signed number as strictly as [`parse_u64`]; `-0` is refused.
#[inline]
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => match parse_u64(digits)? {
            0 => None,
            value => 0_i64.checked_sub_unsigned(value),
        },
        digits => i64::try_from(parse_u64(digits)?).ok(),
    }
}

/// Reads an unsigned number as memcached does: a leading `+` and leading zeros pass.
#[inline]
#[must_use]
pub fn parse_u64_lenient(text: &[u8]) -> Option<u64> {
    magnitude(text.strip_prefix(b"+").unwrap_or(text))
}

/// Reads a signed number as memcached does: a sign and leading zeros pass.
#[inline]
#[must_use]
pub fn parse_i64_lenient(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => 0_i64.checked_sub_unsigned(magnitude(digits)?),
        _ => i64::try_from(parse_u64_lenient(text)?).ok(),
    }
}

/// Appends `value` in decimal.
#[inline]
pub fn write_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value` in decimal, with a `-` if it is negative.
#[inline]
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// One or more digits, leading zeros included.
#[inline]
fn magnitude(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    // Nineteen digits always fit; only beyond them must each step be checked.
    let (head, tail) = digits.split_at(digits.len().min(19));
    let head = head.iter().try_fold(0_u64, |value, &byte| Some(value * 10 + digit(byte)?))?;
    tail.iter().try_fold(head, |value, &byte| value.checked_mul(10)?.checked_add(digit(byte)?))
}

#[inline]
fn digit(byte: u8) -> Option<u64> {
    let digit = byte.wrapping_sub(b'0');
    (digit <= 9).then_some(u64::from(digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn strict_numbers_table() {
        let table: [(&[u8], Option<i64>); 17] = [
            (b"0", Some(0)),
            (b"7", Some(7)),
            (b"-7", Some(-7)),
            (b"9223372036854775807", Some(i64::MAX)),
            (b"-9223372036854775808", Some(i64::MIN)),
            (b"9223372036854775808", None),
            (b"-9223372036854775809", None),
            (b"99999999999999999999999", None),
            (b"", None),
            (b"-", None),
            (b"-0", None),
            (b"00", None),
            (b"01", None),
            (b"+1", None),
            (b" 1", None),
            (b"1 ", None),
            (b"1a", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_i64(text), expected, "{text:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    #[test]
    fn lenient_numbers_table() {
        let table: [(&[u8], Option<i64>); 10] = [
            (b"+1", Some(1)),
            (b"007", Some(7)),
            (b"-007", Some(-7)),
            (b"-0", Some(0)),
            (b"-9223372036854775808", Some(i64::MIN)),
            (b"9223372036854775808", None),
            (b"+", None),
            (b"-+1", None),
            (b"+-1", None),
            (b"1x", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse_i64_lenient(text), expected, "{text:?}");
        }
        assert_eq!(parse_u64_lenient(b"018446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64_lenient(b"-1"), None);
    }

    #[test]
    fn digits_and_a_line_end_are_what_the_strict_reader_takes() {
        for first in 0..=255 {
            for second in 0..=255 {
                for (third, fourth) in [(b'\r', b'\n'), (b'\n', b'x'), (b'\n', 0), (0, 0), (b'\r', b'1')] {
                    let bytes = [first, second, third, fourth];
                    let line = bytes.windows(2).position(|end| end == b"\r\n");
                    let expected = line.and_then(|len| Some((parse_u64(&bytes[..len])? as usize, len + 2)));
                    let two = two_digits(bytes).map(|number| (number, 4));
                    let one = one_digit(bytes).map(|number| (number, 3));
                    assert!(two.is_none() || one.is_none());
                    assert_eq!(two.or(one), expected, "{}", bytes.escape_ascii());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn numbers_round_trip(value: i64) {
            let mut out = Vec::new();
            write_i64(&mut out, value);
            let text = value.to_string();
            prop_assert_eq!(out.as_slice(), text.as_bytes());
            prop_assert_eq!(parse_i64(&out), Some(value));
            prop_assert_eq!(parse_i64_lenient(&out), Some(value));

            let value = value as u64;
            out.clear();
            write_u64(&mut out, value);
            prop_assert_eq!(parse_u64(&out), Some(value));
            prop_assert_eq!(parse_u64_lenient(&out), Some(value));
        }

        /// The strict reader accepts exactly what std prints.
        #[test]
        fn strict_accepts_only_canonical_text(text in "[-+0-9]{0,21}") {
            let canonical = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), canonical);
        }

        #[test]
        fn lenient_agrees_with_std(text in "[-+0-9]{0,21}") {
            prop_assert_eq!(parse_i64_lenient(text.as_bytes()), text.parse::<i64>().ok());
            prop_assert_eq!(parse_u64_lenient(text.as_bytes()), text.parse::<u64>().ok());
        }
    }
}

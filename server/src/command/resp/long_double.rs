//! The floating-point numbers of INCRBYFLOAT: x87's `long double`, since those are Redis' on most machines, and 0.1 added
//! ten times has to be 1 here, too.
//!
//! ```text
//! value = mantissa x 2^exponent       64 bits of mantissa, the highest of which is 1, unless the number is 0
//! text --exact integers, one rounding--> number + number --one rounding--> number --17 decimals, one rounding--> text
//! ```
//! Every step is exact, and then rounded once, to the nearest, ties to even. What is read is what C's `strtold` reads, and
//! what is written is what `printf` writes for `%.17Lf`, without the zeros at its end. Only numbers below 2^-16382 are more
//! exact than x87's; they show in no result.

use super::big::Big;

/// A finite number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LongDouble {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// Redis reads no longer text.
const TEXT_LEN_MAX: usize = 5 * 1024 - 1;
/// Numbers of 2^16384 and more are infinite.
const BITS_MAX: i64 = 16384;
/// Numbers of 2^-16446 and less are 0, and so not read.
const BITS_MIN: i64 = -16445;
/// No number of so many decimal digits before or behind the point is within these limits.
const DECIMALS: i64 = 5000;
/// Digits behind the point.
const SHOWN: usize = 17;

/// A number as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Finite(LongDouble),
    /// `inf`, which Redis reads, but adds to nothing.
    Infinite,
}

/// Reads a number: decimal, hexadecimal with `0x`, or infinite; nothing before or behind it. None if it is none, or so
/// large or small that there is no such number.
pub(super) fn read(text: &[u8]) -> Option<Read> {
    if text.len() > TEXT_LEN_MAX {
        return None;
    }
    let (negative, digits) = signed(text);
    if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
        return Some(Read::Infinite);
    }
    let number = match digits {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(Split::new(digits, 16)?),
        digits => decimal(Split::new(digits, 10)?),
    }?;
    Some(Read::Finite(LongDouble { negative, ..number }))
}

/// What it takes to read a number of so many digits, in nanoseconds or so.
pub(super) fn work_of_text(text: &[u8]) -> usize {
    work_of_bits(3 * text.len().min(TEXT_LEN_MAX))
}

fn work_of_bits(bits: usize) -> usize {
    bits * bits / 400
}

/// Whether there is a minus, and what follows the sign.
fn signed(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text.strip_prefix(b"+").unwrap_or(text)),
    }
}

/// `digits[.digits][mark[sign]digits]`, taken apart.
struct Split {
    /// The digits before and behind the point as one number.
    digits: Big,
    /// How many of them are behind it.
    behind: i64,
    /// What follows `e` or, where the digits are hexadecimal, `p`.
    exponent: i64,
}

impl Split {
    fn new(text: &[u8], radix: u32) -> Option<Self> {
        let mark = if radix == 16 { b'p' } else { b'e' };
        let end = text.iter().position(|byte| byte.to_ascii_lowercase() == mark);
        let (number, exponent) = match end {
            Some(end) => (&text[..end], exponent(&text[end + 1..])?),
            None => (text, 0),
        };
        let point = number.iter().position(|&byte| byte == b'.');
        let behind = point.map_or(0, |point| number.len() - point - 1);
        if number.len() == usize::from(point.is_some()) {
            return None;
        }
        let mut digits = Big::default();
        // Some digits at a time, as many as their power of the radix fits a limb.
        let (mut part, mut power) = (0, 1_u32);
        for &byte in number.iter().enumerate().filter(|(at, _)| Some(*at) != point).map(|(_, byte)| byte) {
            if power > u32::MAX / radix {
                digits.multiply_add(power, part);
                (part, power) = (0, 1);
            }
            (part, power) = (part * radix + char::from(byte).to_digit(radix)?, power * radix);
        }
        digits.multiply_add(power, part);
        Some(Self { digits, behind: behind as i64, exponent })
    }
}

/// A decimal number with a sign; one that is too large for any use stands for itself.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = signed(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number =
        digits.iter().fold(0_i64, |number, digit| (number * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if negative { -number } else { number })
}

fn decimal(Split { digits, behind, exponent }: Split) -> Option<LongDouble> {
    if digits.is_zero() {
        return Some(LongDouble::ZERO);
    }
    let power = exponent - behind;
    // As a power of ten, not more than one off.
    let size = power + (digits.bits() as i64 * 30103) / 100_000;
    if !(-DECIMALS..=DECIMALS).contains(&size) {
        return None;
    }
    if power >= 0 {
        return round(&digits.times_power_of_ten(power as usize), 0, false);
    }
    let ten = Big::power_of_ten(power.unsigned_abs() as usize);
    // A quotient of 66 or 67 bits: 64, one to round by, and the sticky one.
    let up = 66 + ten.bits() as i64 - digits.bits() as i64;
    let (numerator, lost) = if up >= 0 {
        (digits.shifted_up(up as usize), false)
    } else {
        digits.shifted_down(up.unsigned_abs() as usize)
    };
    let (quotient, rest) = numerator.divided_by(&ten);
    let quotient = Big::from((quotient >> 64) as u64).shifted_up(64).plus(&Big::from(quotient as u64));
    round(&quotient, -up, lost || rest)
}

fn hexadecimal(Split { digits, behind, exponent }: Split) -> Option<LongDouble> {
    round(&digits, exponent - 4 * behind, false)
}

/// `number` x 2^`exponent`, and `more` than that by less than its lowest bit, rounded. None if it is too large or small.
fn round(number: &Big, exponent: i64, more: bool) -> Option<LongDouble> {
    let bits = number.bits() as i64;
    if bits == 0 {
        return Some(LongDouble::ZERO);
    }
    let drop = bits - 64;
    let (mut mantissa, mut exponent) = if drop <= 0 {
        (number.low() << -drop, exponent + drop)
    } else {
        let (half, rest) = number.shifted_down(drop as usize - 1);
        let (kept, tie) = half.shifted_down(1);
        let kept = kept.low();
        let up = tie && (rest || more || kept & 1 == 1);
        (kept.wrapping_add(up.into()), exponent + drop)
    };
    if mantissa == 0 {
        // Rounded up to the next power of two.
        (mantissa, exponent) = (1 << 63, exponent + 1);
    }
    let size = exponent + 64;
    let within = (BITS_MIN..=BITS_MAX).contains(&size) && (size > BITS_MIN || mantissa > 1 << 63);
    within.then_some(LongDouble { negative: false, mantissa, exponent: exponent as i32 })
}

impl LongDouble {
    const ZERO: Self = Self { negative: false, mantissa: 0, exponent: 0 };

    /// The sum; none if it is infinite.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let (large, small) = if self.size() >= other.size() { (self, other) } else { (other, self) };
        let apart = large.size() - small.size();
        if small.mantissa == 0 || apart > 256 {
            return Some(large);
        }
        // With the lowest bit of both in common.
        let low = large.exponent.min(small.exponent);
        let aligned = |number: Self| Big::from(number.mantissa).shifted_up((number.exponent - low) as usize);
        let (mut larger, mut smaller) = (aligned(large), aligned(small));
        let mut negative = large.negative;
        let sum = if large.negative == small.negative {
            larger.plus(&smaller)
        } else {
            if larger < smaller {
                std::mem::swap(&mut larger, &mut smaller);
                negative = small.negative;
            }
            larger.subtract(&smaller);
            larger
        };
        let exponent = i64::from(low);
        if sum.bits() as i64 + exponent > BITS_MAX {
            return None;
        }
        // What is too small for a number is shown as 0, too.
        round(&sum, exponent, false).map_or(Some(Self::ZERO), |sum| {
            (i64::from(sum.exponent) + 64 <= BITS_MAX).then_some(Self { negative, ..sum })
        })
    }

    /// Above how many bits the number is 0; as good as the least for 0 itself.
    fn size(self) -> i64 {
        if self.mantissa == 0 { i64::from(i32::MIN) } else { i64::from(self.exponent) + 64 }
    }

    /// What it takes to read or to show it, in nanoseconds or so: each of its digits is made from all of them.
    pub(super) fn work(self) -> usize {
        work_of_bits(self.exponent.unsigned_abs() as usize)
    }

    /// As Redis shows it.
    pub(super) fn show(self) -> Vec<u8> {
        let mut digits = if self.exponent >= 0 {
            let mut digits = Big::from(self.mantissa).shifted_up(self.exponent as usize).digits();
            if self.mantissa != 0 {
                digits.extend_from_slice(&[b'0'; SHOWN]);
            }
            digits
        } else {
            rounded_down(u128::from(self.mantissa) * 10_u128.pow(SHOWN as u32), self.exponent.unsigned_abs())
                .to_string()
                .into_bytes()
        };
        if digits.len() <= SHOWN {
            digits.splice(..0, std::iter::repeat_n(b'0', SHOWN + 1 - digits.len()));
        }
        let point = digits.len() - SHOWN;
        let shown = digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1).max(point);
        digits.truncate(shown);
        if shown > point {
            digits.insert(point, b'.');
        }
        if self.negative && digits != b"0" {
            digits.insert(0, b'-');
        }
        digits
    }
}

/// `number` / 2^`bits`, to the nearest, ties to even.
fn rounded_down(number: u128, bits: u32) -> u128 {
    // It is below 2^121.
    if bits > 127 {
        return 0;
    }
    let quotient = number >> bits;
    let (rest, half) = (number & ((1 << bits) - 1), 1_u128 << (bits - 1));
    quotient + u128::from(rest > half || (rest == half && quotient & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finite(text: &str) -> Option<LongDouble> {
        match read(text.as_bytes())? {
            Read::Finite(number) => Some(number),
            Read::Infinite => None,
        }
    }

    /// What a Redis 7.0.15 on x86-64 answers.
    #[test]
    fn sums_are_those_of_redis() {
        for (old, delta, sum) in [
            ("0", "0.1", Some("0.1")),
            ("0.1", "0.2", Some("0.3")),
            ("3.0", "1.1", Some("4.1")),
            ("5.0e3", "200", Some("5200")),
            ("10.50", "0.1", Some("10.6")),
            ("10.6", "-5", Some("5.6")),
            ("1", "1e-17", Some("1.00000000000000001")),
            ("0", "1e-18", Some("0")),
            ("0", "5e-18", Some("0")),
            ("0", "1.5e-17", Some("0.00000000000000002")),
            ("0", "2.5e-17", Some("0.00000000000000002")),
            ("1e20", "1", Some("100000000000000000000")),
            ("1e19", "0.5", Some("10000000000000000000")),
            ("18446744073709551615", "1", Some("18446744073709551616")),
            ("9007199254740993", "0.5", Some("9007199254740993.5")),
            ("0x1.8p1", "0", Some("3")),
            ("0xA", "0X.8", Some("10.5")),
            ("-0", "0", Some("0")),
            ("-0.0", "-0", Some("0")),
            ("1", "-1", Some("0")),
            ("0.1", "-0.1", Some("0")),
            ("-1e-20", "0", Some("0")),
            ("1e4932", "1e4932", None),
            ("1.18e4932", "1.18e4932", None),
            ("1", "1e-4940", Some("1")),
            (".5", "5.", Some("5.5")),
            ("+1", "+1", Some("2")),
            ("00012", "1E2", Some("112")),
            ("123456789012345678901234567890", "0.1", Some("123456789012345678899921813504")),
            ("0.3", "0", Some("0.3")),
            ("3.14159265358979323846", "0", Some("3.14159265358979324")),
            ("2.7182818284590452353", "1e1", Some("12.71828182845904523")),
            ("99999999999999999.99999999999999999", "0", Some("100000000000000000")),
            ("0.00000000000000001", "0", Some("0.00000000000000001")),
            ("0.000000000000000005", "0", Some("0")),
            ("1e-5000", "0", None),
            ("1e-4950", "0", Some("0")),
            ("4e-4951", "0", Some("0")),
            ("1e-4951", "0", None),
            ("2e-4951", "0", Some("0")),
            ("1.8e-4951", "0", None),
            ("0x1p-16445", "0", Some("0")),
            ("0x1p-16446", "0", None),
            ("0x1.8p-16446", "0", Some("0")),
            ("1.18973149535723176506e4932", "0", None),
            ("1.18973149535723176509e4932", "0", None),
            ("1e4933", "0", None),
            ("0x1.ffffffffffffffffp16383", "0", None),
        ] {
            let shown = finite(old).and_then(|old| old.plus(finite(delta)?)).map(LongDouble::show);
            assert_eq!(shown.map(|text| String::from_utf8(text).unwrap()).as_deref(), sum, "{old} {delta}");
        }
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        for text in [
            "",
            " 1",
            "1 ",
            "abc",
            "1e",
            "1e+",
            "e5",
            ".",
            "+",
            "-",
            "--1",
            "1.2.3",
            "nan",
            "-nan",
            "0x",
            "0xg",
            "1_0",
            "1e5000",
            "-1e5000",
            "1e-5000",
            "1e999999999999",
            "1e-999999999999",
            "0x1p16384",
            "infinit",
            "1\0",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(b"-InF"), Some(Read::Infinite));
        assert_eq!(read("1".repeat(5120).as_bytes()), None);
        assert!(read("0".repeat(5119).as_bytes()).is_some());
    }
}

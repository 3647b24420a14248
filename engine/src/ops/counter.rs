//! Counters: values that are decimal numbers.

use super::Target;
use super::write::{Did, Plan, Step, write};
use crate::arch::Kernels;
use crate::error::StoreError;
use crate::item::{Item, NewItem};
use crate::local::Local;
use crate::op::{Count, Delta, Outcome};
use crate::time::Millis;

/// Digits of the longest number, with its sign.
const DIGITS: usize = 20;

struct CountPlan<'p> {
    key: &'p [u8],
    count: &'p Count,
    now: Millis,
    result: i128,
    digits: [u8; DIGITS],
}

/// An exact decimal integer of the range given: no sign but one minus, no leading zeros, nothing around it.
fn exact(text: &[u8], min: i128, max: i128) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > DIGITS || (digits[0] == b'0' && (negative || digits.len() > 1)) {
        return None;
    }
    let mut number = 0_i128;
    for &digit in digits {
        number = number * 10 + i128::from(digit.checked_sub(b'0').filter(|&d| d < 10)?);
    }
    let number = if negative { -number } else { number };
    (min..=max).contains(&number).then_some(number)
}

/// Digits, and white space before them, that are looked at: nobody adds to a number with more, and megabytes would take their
/// time.
const SEEN_MAX: usize = 256;

/// A decimal number as memcached reads it, by `strtoull`: digits, of which any number are zeros in front, perhaps behind white
/// space and a plus. What follows white space or a NUL behind them is not looked at: its `decr` leaves spaces. It takes `-0`,
/// too, and what is below 2^63 once it has wrapped around; here nothing with a minus is a number.
fn lenient(text: &[u8]) -> Option<i128> {
    let is_space = |byte: u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().take(SEEN_MAX).position(|&byte| !is_space(byte))?;
    let text = text[start..].strip_prefix(b"+").unwrap_or(&text[start..]);
    let (digits, rest) =
        text.split_at(text.iter().take(SEEN_MAX).take_while(|byte| byte.is_ascii_digit()).count());
    if digits.is_empty() || rest.first().is_some_and(|&byte| byte != 0 && !is_space(byte)) {
        return None;
    }
    let add = |number: u64, &digit: &u8| number.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    digits.iter().try_fold(0, add).map(i128::from)
}

impl Delta {
    /// The number that a counter of this value becomes.
    ///
    /// # Errors
    /// If the value is no number, or the number would be too large or small.
    pub fn apply(self, old: &[u8]) -> Result<i128, StoreError> {
        let (min, max) = (i128::from(i64::MIN), i128::from(i64::MAX));
        match self {
            Self::Signed(delta) => {
                let new = exact(old, min, max).ok_or(StoreError::NotANumber)? + i128::from(delta);
                if (min..=max).contains(&new) { Ok(new) } else { Err(StoreError::Overflow) }
            }
            Self::Up(delta) => {
                let old = lenient(old).ok_or(StoreError::NotANumber)?;
                Ok((old + i128::from(delta)) & i128::from(u64::MAX))
            }
            Self::Down(delta) => {
                let old = lenient(old).ok_or(StoreError::NotANumber)?;
                Ok((old - i128::from(delta)).max(0))
            }
        }
    }
}

/// Writes a number into the end of the buffer; answers where it begins.
fn write_digits(number: i128, digits: &mut [u8; DIGITS]) -> usize {
    let mut at = DIGITS;
    let mut rest = number.unsigned_abs() as u64;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    at
}

impl Plan for CountPlan<'_> {
    fn decide<'s>(&'s mut self, before: Option<&Item<'s>>) -> Result<Step<'s>, StoreError> {
        self.result = match (before, self.count.initial) {
            (Some(item), _) => self.count.delta.apply(item.value())?,
            (None, Some(initial)) => initial.clamp(i128::from(i64::MIN), i128::from(u64::MAX)),
            (None, None) => return Ok(Step::Keep),
        };
        let start = write_digits(self.result, &mut self.digits);
        let expires = self.count.expiry.resolve(before.and_then(Item::expires));
        if expires.is_some_and(|at| at <= self.now) {
            return Ok(Step::Remove);
        }
        let flags = before.map_or(0, Item::flags);
        Ok(Step::Put(NewItem {
            key: self.key,
            value: [&self.digits[start..], &[]],
            flags,
            expires,
            mark: None,
        }))
    }
}

#[inline(always)]
pub(super) fn count<'c, K: Kernels>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    count: &Count,
) -> Outcome<'c> {
    let mut plan = CountPlan { key: target.key, count, now: target.now, result: 0, digits: [0; DIGITS] };
    match write::<K>(local, target, &mut plan) {
        Ok((None, Did::Kept)) => Outcome::Miss,
        Ok(_) => Outcome::Number(plan.result),
        Err(error) => Outcome::Refused(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact() {
        let (min, max) = (i128::from(i64::MIN), i128::from(i64::MAX));
        for good in ["0", "1", "-1", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(exact(good.as_bytes(), min, max), Some(good.parse().unwrap()), "{good}");
        }
        for bad in ["", "-", "+1", " 1", "1 ", "01", "-0", "00", "9223372036854775808", "1.0", "1e3", "0x1"] {
            assert_eq!(exact(bad.as_bytes(), min, max), None, "{bad}");
        }
    }

    /// But for the last four each was put to memcached 1.6.18.
    #[test]
    fn numbers_of_memcached_are_not_exact() {
        for (text, number) in [
            ("5", Some(5)),
            ("18446744073709551615  ", Some(i128::from(u64::MAX))),
            (" 5", Some(5)),
            ("\t\n\x0b\x0c\r +5", Some(5)),
            ("0000000000000000000000000000005", Some(5)),
            ("5 x", Some(5)),
            ("5\0x", Some(5)),
            ("5\n7", Some(5)),
            ("18446744073709551616", None),
            ("", None),
            (" ", None),
            ("+", None),
            ("+ 5", None),
            ("++5", None),
            ("-5", None),
            ("5x", None),
            ("5.0", None),
            ("0x5", None),
            ("5-", None),
            ("-0", None),
            ("-18446744073709551615", None),
            ("+-0", None),
        ] {
            assert_eq!(lenient(text.as_bytes()), number, "{text:?}");
        }
        for (zeros, rest, number) in
            [(255, "5", Some(5)), (255, "5 ", Some(5)), (255, "55", None), (256, "5", None)]
        {
            assert_eq!(lenient([&"0".repeat(zeros), rest].concat().as_bytes()), number, "{zeros} {rest:?}");
        }
    }

    #[test]
    fn changes_respect_their_kind() {
        assert_eq!(Delta::Signed(1).apply(b"9223372036854775807"), Err(StoreError::Overflow));
        assert_eq!(Delta::Signed(-1).apply(b"-9223372036854775808"), Err(StoreError::Overflow));
        assert_eq!(Delta::Up(2).apply(b"18446744073709551615"), Ok(1));
        assert_eq!(Delta::Down(5).apply(b"3"), Ok(0));
        assert_eq!(Delta::Down(5).apply(b"x"), Err(StoreError::NotANumber));
    }

    #[test]
    fn digits_round_trip() {
        for number in [0, 7, -7, 10, i128::from(i64::MIN), i128::from(u64::MAX)] {
            let mut digits = [0; DIGITS];
            let start = write_digits(number, &mut digits);
            assert_eq!(core::str::from_utf8(&digits[start..]).unwrap().parse::<i128>().unwrap(), number);
        }
    }
}

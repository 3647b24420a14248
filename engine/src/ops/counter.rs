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

/// A decimal number as memcached reads it: digits, then perhaps spaces (its `decr` used to leave them).
fn lenient(text: &[u8]) -> Option<i128> {
    let text = text.trim_ascii_end();
    if text.is_empty() || text.len() > DIGITS {
        return None;
    }
    let mut number = 0_i128;
    for &digit in text {
        number = number * 10 + i128::from(digit.checked_sub(b'0').filter(|&d| d < 10)?);
    }
    (number <= i128::from(u64::MAX)).then_some(number)
}

/// The number after the change.
fn change(delta: Delta, old: &[u8]) -> Result<i128, StoreError> {
    let (min, max) = (i128::from(i64::MIN), i128::from(i64::MAX));
    match delta {
        Delta::Signed(delta) => {
            let new = exact(old, min, max).ok_or(StoreError::NotANumber)? + i128::from(delta);
            if (min..=max).contains(&new) { Ok(new) } else { Err(StoreError::Overflow) }
        }
        Delta::Up(delta) => {
            let old = lenient(old).ok_or(StoreError::NotANumber)?;
            Ok((old + i128::from(delta)) & i128::from(u64::MAX))
        }
        Delta::Down(delta) => {
            let old = lenient(old).ok_or(StoreError::NotANumber)?;
            Ok((old - i128::from(delta)).max(0))
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
            (Some(item), _) => change(self.count.delta, item.value())?,
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
        assert_eq!(lenient(b"18446744073709551615  "), Some(i128::from(u64::MAX)));
        assert_eq!(lenient(b"18446744073709551616"), None);
        assert_eq!(lenient(b"-1"), None);
    }

    #[test]
    fn changes_respect_their_kind() {
        assert_eq!(change(Delta::Signed(1), b"9223372036854775807"), Err(StoreError::Overflow));
        assert_eq!(change(Delta::Signed(-1), b"-9223372036854775808"), Err(StoreError::Overflow));
        assert_eq!(change(Delta::Up(2), b"18446744073709551615"), Ok(1));
        assert_eq!(change(Delta::Down(5), b"3"), Ok(0));
        assert_eq!(change(Delta::Down(5), b"x"), Err(StoreError::NotANumber));
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

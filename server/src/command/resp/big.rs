//! Whole numbers of any length, as far as `long_double` needs them.

use std::cmp::Ordering;

/// A whole number; the lowest 32 bits first, and no zeros at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Big(Vec<u32>);

/// 10^9: as many decimal digits as one limb holds.
const BILLION: u32 = 1_000_000_000;

impl From<u64> for Big {
    fn from(number: u64) -> Self {
        let mut big = Self(vec![number as u32, (number >> 32) as u32]);
        big.trim();
        big
    }
}

impl Big {
    /// 10 to the power of `exponent`.
    pub(super) fn power_of_ten(exponent: usize) -> Self {
        Self::from(1).times_power_of_ten(exponent)
    }

    pub(super) fn times_power_of_ten(mut self, exponent: usize) -> Self {
        for _ in 0..exponent / 9 {
            self.multiply_add(BILLION, 0);
        }
        self.multiply_add(10_u32.pow((exponent % 9) as u32), 0);
        self
    }

    /// Multiplies and adds.
    pub(super) fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// How many bits it has, from the highest 1 on.
    pub(super) fn bits(&self) -> usize {
        self.0.last().map_or(0, |high| self.0.len() * 32 - high.leading_zeros() as usize)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// The number times 2^`bits`.
    pub(super) fn shifted_up(&self, bits: usize) -> Self {
        let mut limbs = vec![0; bits / 32];
        let shift = bits % 32;
        let mut carry = 0_u64;
        for &limb in &self.0 {
            carry |= u64::from(limb) << shift;
            limbs.push(carry as u32);
            carry >>= 32;
        }
        limbs.push(carry as u32);
        let mut big = Self(limbs);
        big.trim();
        big
    }

    /// The number over 2^`bits`, without what is behind the point; and whether that is anything.
    pub(super) fn shifted_down(&self, bits: usize) -> (Self, bool) {
        let (limbs, shift) = (bits / 32, bits % 32);
        if limbs >= self.0.len() {
            return (Self::default(), !self.is_zero());
        }
        let lost = self.0[..limbs].iter().any(|&limb| limb != 0) || self.0[limbs] & ((1 << shift) - 1) != 0;
        let kept = &self.0[limbs..];
        let above = kept.iter().skip(1).chain([&0]);
        let limbs = kept
            .iter()
            .zip(above)
            .map(|(&low, &high)| ((u64::from(high) << 32 | u64::from(low)) >> shift) as u32);
        let mut big = Self(limbs.collect());
        big.trim();
        (big, lost)
    }

    /// The lowest 64 bits.
    pub(super) fn low(&self) -> u64 {
        let limb = |at: usize| u64::from(self.0.get(at).copied().unwrap_or(0));
        limb(1) << 32 | limb(0)
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let len = self.0.len().max(other.0.len());
        let mut carry = 0_u64;
        let mut limbs = Vec::with_capacity(len + 1);
        for at in 0..len {
            let limb = |of: &Self| u64::from(of.0.get(at).copied().unwrap_or(0));
            carry += limb(self) + limb(other);
            limbs.push(carry as u32);
            carry >>= 32;
        }
        limbs.push(carry as u32);
        let mut big = Self(limbs);
        big.trim();
        big
    }

    /// Subtracts one that is not larger.
    pub(super) fn subtract(&mut self, other: &Self) {
        let mut borrow = 0_i64;
        for (at, limb) in self.0.iter_mut().enumerate() {
            let difference = i64::from(*limb) - i64::from(other.0.get(at).copied().unwrap_or(0)) + borrow;
            *limb = difference as u32;
            borrow = difference >> 32;
        }
        debug_assert_eq!(borrow, 0);
        self.trim();
    }

    /// The quotient, which has to be below 2^128, and whether there is a remainder.
    pub(super) fn divided_by(mut self, divisor: &Self) -> (u128, bool) {
        let mut quotient = 0;
        for bit in (0..=self.bits().saturating_sub(divisor.bits())).rev() {
            quotient <<= 1;
            let part = divisor.shifted_up(bit);
            if self >= part {
                self.subtract(&part);
                quotient |= 1;
            }
        }
        (quotient, !self.is_zero())
    }

    /// Decimal digits.
    pub(super) fn digits(mut self) -> Vec<u8> {
        let mut digits = Vec::new();
        while !self.is_zero() {
            let mut rest = 0_u64;
            for limb in self.0.iter_mut().rev() {
                rest = rest << 32 | u64::from(*limb);
                *limb = (rest / u64::from(BILLION)) as u32;
                rest %= u64::from(BILLION);
            }
            self.trim();
            for _ in 0..9 {
                digits.push(b'0' + (rest % 10) as u8);
                rest /= 10;
            }
        }
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        digits.reverse();
        if digits.is_empty() { b"0".to_vec() } else { digits }
    }
}

impl PartialOrd for Big {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Big {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_fit_128_bits_are_what_they_are_there() {
        let numbers: [u64; 7] = [0, 1, 9, 1 << 32, u64::MAX, 0x1234_5678_9ABC_DEF0, 999_999_999_999_999_999];
        for a in numbers {
            assert_eq!(Big::from(a).digits(), a.to_string().as_bytes());
            assert_eq!(Big::from(a).bits(), 64 - a.leading_zeros() as usize);
            for b in numbers {
                let (wide_a, wide_b) = (u128::from(a), u128::from(b));
                assert_eq!(
                    Big::from(a).plus(&Big::from(b)).digits(),
                    (wide_a + wide_b).to_string().as_bytes()
                );
                assert_eq!(Big::from(a).cmp(&Big::from(b)), a.cmp(&b));
                if a >= b {
                    let mut difference = Big::from(a);
                    difference.subtract(&Big::from(b));
                    assert_eq!(difference.low(), a - b);
                }
                if b > 0 {
                    assert_eq!(Big::from(a).divided_by(&Big::from(b)), (wide_a / wide_b, a % b != 0));
                }
            }
            for shift in [0, 1, 31, 32, 33, 63] {
                assert_eq!(
                    Big::from(a).shifted_up(shift).digits(),
                    (u128::from(a) << shift).to_string().as_bytes()
                );
                let (down, lost) = Big::from(a).shifted_down(shift);
                assert_eq!((down.low(), lost), (a >> shift, (a >> shift) << shift != a));
            }
        }
        assert_eq!(Big::power_of_ten(30).digits(), format!("1{}", "0".repeat(30)).as_bytes());
    }
}

//! Keys and values made from numbers, and memory to cache them in.

use std::mem::MaybeUninit;

/// Values of different keys begin at different places of the filler, so many bytes apart at most.
const SHIFT_MAX: u32 = 4096;
/// An engine's region begins at a multiple of this.
const REGION_ALIGN: usize = 256;

/// Makes keys of one length, a different one for each number below a bound.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    len: usize,
    base: u64,
}

impl Keys {
    /// Keys of `len` bytes for the numbers below `count`: decimal, padded with zeros on the left. Where so many decimal
    /// digits do not tell all numbers apart, digits are bytes; where those do not either, keys are longer than asked for.
    #[must_use]
    pub fn new(len: usize, count: u64) -> Self {
        let last = count.saturating_sub(1);
        let digits = |base: u64| last.checked_ilog(base).map_or(1, |log| log as usize + 1);
        if digits(10) <= len { Self { len, base: 10 } } else { Self { len: len.max(digits(256)), base: 256 } }
    }

    /// Bytes of each key.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether keys have no bytes; they always have some.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the key of a number into `out`, which has the length of a key.
    pub fn write(&self, mut number: u64, out: &mut [u8]) {
        debug_assert_eq!(out.len(), self.len);
        let zero = if self.base == 10 { b'0' } else { 0 };
        for byte in out.iter_mut().rev() {
            *byte = zero + (number % self.base) as u8;
            number /= self.base;
        }
    }
}

/// Bytes that do not compress, to take values from.
#[derive(Clone, Debug)]
pub struct Filler(Vec<u8>);

impl Filler {
    /// A filler for values of up to so many bytes.
    #[must_use]
    pub fn new(value_len_max: u32) -> Self {
        let len = value_len_max as usize + SHIFT_MAX as usize;
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            // xorshift64 (Marsaglia 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        Self(bytes)
    }

    /// The value of a key, at this length.
    #[must_use]
    pub fn value(&self, key: u32, len: u32) -> &[u8] {
        &self.0[shift(key)..][..len as usize]
    }

    /// Whether these bytes are the value of a key, at any length.
    #[must_use]
    pub fn is_value(&self, key: u32, bytes: &[u8]) -> bool {
        self.0[shift(key)..].starts_with(bytes)
    }
}

fn shift(key: u32) -> usize {
    (key.wrapping_mul(0x9e37_79b1) % SHIFT_MAX) as usize
}

/// Memory of which a part of exactly the wanted length is aligned as an engine likes it, so that none of it is lost.
#[derive(Debug)]
pub struct Region {
    memory: Box<[MaybeUninit<u8>]>,
    len: usize,
}

impl Region {
    /// Fresh memory; pages are touched when they are used.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Self { memory: Box::new_uninit_slice(len + REGION_ALIGN), len }
    }

    /// Exactly the wanted bytes.
    pub fn bytes(&mut self) -> &mut [MaybeUninit<u8>] {
        let skip = self.memory.as_ptr().align_offset(REGION_ALIGN);
        &mut self.memory[skip..skip + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn key(keys: Keys, number: u64) -> Vec<u8> {
        let mut out = vec![0xee; keys.len()];
        keys.write(number, &mut out);
        out
    }

    #[test]
    fn keys_are_decimal_where_that_fits() {
        assert_eq!(key(Keys::new(5, 100_000), 4321), b"04321");
        assert_eq!(key(Keys::new(5, 100_000), 99_999), b"99999");
        assert_eq!(key(Keys::new(1, 0), 0), b"0");
        assert_eq!(key(Keys::new(1, 1), 0), b"0");
    }

    #[test]
    fn keys_are_unique_whatever_their_length() {
        for (len, count) in [(0, 300), (1, 10), (1, 11), (2, 65_536), (2, 65_537), (4, 10_001)] {
            let keys = Keys::new(len, count);
            assert!(keys.len() >= len);
            let all: HashSet<_> = (0..count).map(|number| key(keys, number)).collect();
            assert_eq!(all.len() as u64, count, "{len}");
        }
    }

    #[test]
    fn values_have_their_length_and_differ() {
        let filler = Filler::new(1000);
        for key in 0..5000 {
            assert_eq!(filler.value(key, 1000).len(), 1000);
            assert!(filler.is_value(key, filler.value(key, 77)));
        }
        assert!(!filler.is_value(1, filler.value(2, 100)));
        assert!(!filler.is_value(1, &[0; 10_000]));
    }

    #[test]
    fn region_is_exact_and_aligned() {
        for len in [0, 1, 255, 70_000] {
            let mut region = Region::new(len);
            assert_eq!(region.bytes().len(), len);
            assert_eq!(region.bytes().as_ptr().align_offset(REGION_ALIGN), 0);
        }
    }
}

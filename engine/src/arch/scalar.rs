//! The kernels without special instructions: the truth that the other levels are tested against, and what runs on CPUs
//! without AES and on targets built without SSE.
//!
//! The AES round looks its S-box and column mix up in one table of 1 KiB (Daemen and Rijmen, "AES Proposal: Rijndael",
//! 1999, section 5.2). Table look-ups can be timed by whoever shares the CPU's caches; that is accepted here.

use core::mem::MaybeUninit;

use super::Kernels;
use super::aes_hash::{self, Block, Seed};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar;

impl Kernels for Scalar {
    #[inline(always)]
    fn hash(seed: &Seed, key: &[u8]) -> u64 {
        // A call: sixteen look-ups a round are much code to repeat in every caller, and no feature is lost by it.
        #[inline(never)]
        fn call(seed: &Seed, key: &[u8]) -> u64 {
            aes_hash::hash::<Columns>(seed, key)
        }
        call(seed, key)
    }

    #[inline(always)]
    fn match_tags(tags: &[u16], len: usize, tag: u16) -> u64 {
        let fours = tags.as_chunks::<4>().0;
        let Some(last) = fours.len().checked_sub(1) else { return 0 };
        // Sixteen entries whatever their number, which no predictor could guess; the last four stand in for all
        // behind them, and those bits lie beyond `len`.
        let mut found = 0;
        for i in 0..4 {
            found |= match_four(fours[i.min(last)], tag) << (4 * i);
        }
        for (i, four) in fours.iter().enumerate().skip(4) {
            found |= match_four(*four, tag) << (4 * i);
        }
        found & below(len)
    }

    #[inline(always)]
    fn equal(a: &[u8], b: &[u8]) -> bool {
        if a.len() <= 16 { equal_short(a, b) } else { equal_long(a, b) }
    }

    #[inline(always)]
    fn copy(to: &mut [MaybeUninit<u8>], from: &[u8]) {
        if !copy_short(to, from) {
            to.write_copy_of_slice(from);
        }
    }
}

/// From 8 to 64 bytes by steps that overlap: a call to `memcpy` costs more than they do. False: it is another length.
#[inline(always)]
pub(super) fn copy_short(to: &mut [MaybeUninit<u8>], from: &[u8]) -> bool {
    debug_assert_eq!(to.len(), from.len());
    match from.len() {
        8..=16 => copy_ends(to, from, |bytes: &[u8; 8]| bytes.map(MaybeUninit::new)),
        17..=32 => copy_ends(to, from, |bytes: &[u8; 16]| bytes.map(MaybeUninit::new)),
        33..=64 => copy_ends(to, from, |bytes: &[u8; 32]| bytes.map(MaybeUninit::new)),
        _ => return false,
    }
    true
}

/// The first `N` bytes and the last, between `N` and twice as many.
#[inline(always)]
fn copy_ends<const N: usize>(
    to: &mut [MaybeUninit<u8>],
    from: &[u8],
    step: impl Fn(&[u8; N]) -> [MaybeUninit<u8>; N],
) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut(), from.first_chunk()) {
        *to = step(from);
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut(), from.last_chunk()) {
        *to = step(from);
    }
}

/// The lowest `len` bits, for `len <= 64`.
#[inline(always)]
pub(super) const fn below(len: usize) -> u64 {
    if len < 64 { (1 << len) - 1 } else { u64::MAX }
}

/// Four tags at once, without branches.
#[inline(always)]
fn match_four(four: [u16; 4], tag: u16) -> u64 {
    const LOW_15: u64 = 0x7fff_7fff_7fff_7fff;
    let [a, b, c, d] = four.map(u64::from);
    let differ = (a | b << 16 | c << 32 | d << 48) ^ (tag as u64 * 0x0001_0001_0001_0001);
    // The top bit of each lane becomes 1 where the lane is 0; no carry leaves a lane.
    let same = !(((differ & LOW_15) + LOW_15) | differ | LOW_15);
    // Bits 0, 16, 32, 48 move to 48..52: the products do not overlap.
    ((same >> 15).wrapping_mul(1 << 48 | 1 << 33 | 1 << 18 | 1 << 3)) >> 48 & 0xf
}

/// At most 16 bytes, as two overlapping words.
#[inline(always)]
pub(super) fn equal_short(a: &[u8], b: &[u8]) -> bool {
    debug_assert!(a.len() == b.len() && a.len() <= 16);
    if a.len() >= 8 {
        let last = a.len() - 8;
        return word(a, 0) == word(b, 0) && word(a, last) == word(b, last);
    }
    if let (Some(a1), Some(b1), Some(a2), Some(b2)) =
        (a.first_chunk(), b.first_chunk(), a.last_chunk(), b.last_chunk())
    {
        let first = u32::from_ne_bytes(*a1) ^ u32::from_ne_bytes(*b1);
        let last = u32::from_ne_bytes(*a2) ^ u32::from_ne_bytes(*b2);
        return first | last == 0;
    }
    a.iter().zip(b).all(|(a, b)| a == b)
}

/// Not by `first_chunk` and `last_chunk`: those compare their answers with null.
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// More than 8 bytes, by words and a last word that may overlap.
#[inline(always)]
fn equal_long(a: &[u8], b: &[u8]) -> bool {
    let words = |x: &[u8; 8], y: &[u8; 8]| u64::from_ne_bytes(*x) ^ u64::from_ne_bytes(*y);
    let (Some(a_last), Some(b_last)) = (a.last_chunk(), b.last_chunk()) else { return equal_short(a, b) };
    let mut differ = words(a_last, b_last);
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        differ |= words(a, b);
    }
    differ == 0
}

/// A block as the four columns of the AES state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns([u32; 4]);

impl Columns {
    /// Both halves.
    pub(super) fn words(self) -> [u64; 2] {
        let [a, b, c, d] = self.0.map(u64::from);
        [a | b << 32, c | d << 32]
    }
}

impl Block for Columns {
    #[inline(always)]
    fn of([low, high]: [u64; 2]) -> Self {
        Self([low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32])
    }

    #[inline(always)]
    fn load(bytes: &[u8; 16]) -> Self {
        Self::load_last(bytes, 16)
    }

    #[inline(always)]
    fn load_last(bytes: &[u8; 16], keep: usize) -> Self {
        let halfway = 4 * (16 - keep); // A shift by 128 is none: two halves.
        let words = u128::from_le_bytes(*bytes) >> halfway >> halfway;
        Self::of([words as u64, (words >> 64) as u64])
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self([0, 1, 2, 3].map(|i| self.0[i] ^ other.0[i]))
    }

    #[inline(always)]
    fn round(self, key: Self) -> Self {
        // Column i takes row r from column i + r (ShiftRows); the table is for row 0, a rotation makes it row r's.
        let look_up = |i: usize, row: usize| {
            let byte = (self.0[(i + row) % 4] >> (8 * row)) as u8;
            ROUND[byte as usize].rotate_left(8 * row as u32)
        };
        Self([0, 1, 2, 3].map(|i| look_up(i, 0) ^ look_up(i, 1) ^ look_up(i, 2) ^ look_up(i, 3) ^ key.0[i]))
    }

    #[inline(always)]
    fn low(self) -> u64 {
        self.words()[0]
    }
}

/// S-box and column mix of row 0: bytes 2s, s, s, 3s for s = S-box of the index.
static ROUND: [u32; 256] = round_table();

/// Computed rather than listed: short enough to be checked by eye, and the known answers in `tests.rs` check it again.
const fn round_table() -> [u32; 256] {
    let mut table = [0; 256];
    // p runs through all non-zero bytes as powers of 3, q through their inverses as powers of 1/3 = 0xf6.
    let (mut p, mut q) = (1u8, 1u8);
    loop {
        table[p as usize] = mixed(affine(q));
        p ^= double(p);
        q ^= q << 1;
        q ^= q << 2;
        q ^= q << 4;
        q ^= if q & 0x80 == 0 { 0 } else { 0x09 };
        if p == 1 {
            break;
        }
    }
    table[0] = mixed(affine(0));
    table
}

/// Times x in the field of AES.
const fn double(x: u8) -> u8 {
    x << 1 ^ if x & 0x80 == 0 { 0 } else { 0x1b }
}

/// The affine half of the S-box.
const fn affine(q: u8) -> u8 {
    q ^ q.rotate_left(1) ^ q.rotate_left(2) ^ q.rotate_left(3) ^ q.rotate_left(4) ^ 0x63
}

/// One byte's share of its column.
const fn mixed(s: u8) -> u32 {
    u32::from_le_bytes([double(s), s, s, double(s) ^ s])
}

//! The keyed hash, written once over an AES round; each level brings its own round.
//!
//! ```text
//! key, zeros up to a multiple of 64:  | block 0 | block 1 | block 2 | block 3 |  .. |   16 bytes each; at least one step
//! every step, for lanes i = 0..4:     lane i = A(lane i ^ block i)                      lane i starts as seed key i
//! in the end:                         R(k7) R(k6) (lane 0 ^ lane 1 ^ lane 2 ^ lane 3 ^ length), the low 8 bytes
//! R(k): SubBytes, ShiftRows, MixColumns, xor k: `aesenc`.      A: R(k5) R(k4)
//! ```
//!
//! Padding with zeros lets AVX-512 read any key up to 64 bytes by one masked load and hash it without a branch on its
//! length: mispredicted ones cost 4 to 8 ns a key where lengths differ. The other levels leave out lanes that a short
//! key does not reach; what `A` makes of them is in the seed.
//!
//! Why nobody who lacks the seed can choose keys that collide:
//! - Blocks and length determine the key: nothing is lost before the mixing.
//! - A difference put into one block must be cancelled by another block, or by the length, *behind* two secretly keyed
//!   rounds. No difference passes two AES rounds to one foreseen result with a chance above 53 / 2^34 (Keliher and Sui,
//!   "Exact maximum expected differential and linear probability for two-round AES", 2007).
//! - Two more rounds end it: then every bit depends on every bit of the sum, four rounds behind every byte of the key.
//!
//! This is resistance to flooding, not a MAC: whoever sees many hashes may learn the seed. The engine shows none.

use super::scalar::Columns;

/// A key of the cipher, as two words, the lower one first.
type Words = [u64; 2];

/// The hash's key, expanded.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Seed {
    /// What the lanes start from: one cache line, one zmm register.
    pub(super) lanes: [Words; 4],
    /// Round keys k4 and k5.
    pub(super) absorb: [Words; 2],
    /// Round keys k6 and k7.
    last: [Words; 2],
    /// What lanes `i + 1 ..` add up to after a step in which they got nothing but zeros.
    idle: [Words; 3],
}

/// Hides the keys: they must not reach a log.
impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Seed").finish_non_exhaustive()
    }
}

impl Seed {
    /// Expands a seed. Any will do, zero too; it must be secret and random where keys come from strangers.
    pub(crate) fn new(seed: [u64; 4]) -> Self {
        let [k0, k1, k2, k3, k4, k5, k6, k7] = expand(seed);
        let mut new = Self { lanes: [k0, k1, k2, k3], absorb: [k4, k5], last: [k6, k7], idle: [[0; 2]; 3] };
        let mut sum = Columns::of([0; 2]);
        for lane in (1..4).rev() {
            sum = sum.xor(absorb(&new, lane_start(&new, lane)));
            new.idle[lane - 1] = sum.words();
        }
        new
    }
}

/// Counters, encrypted by ten rounds whose keys take turns between the halves of the seed.
fn expand(seed: [u64; 4]) -> [Words; 8] {
    /// Fractional digits of pi: nothing up the sleeve.
    const PI: [u64; 4] =
        [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];
    let mut keys = [[0; 2]; 8];
    for (number, key) in (0u64..).zip(&mut keys) {
        let mut block = Columns::of([number ^ PI[0], PI[1]]);
        for round in 0..5 {
            block = block.round(Columns::of([seed[0] ^ round, seed[1] ^ PI[2]]));
            block = block.round(Columns::of([seed[2] ^ round, seed[3] ^ PI[3]]));
        }
        *key = block.words();
    }
    keys
}

/// Sixteen bytes that can be put through an AES round.
pub(super) trait Block: Copy {
    /// Two words, the lower one first: the block whose bytes are theirs in little-endian order.
    fn of(words: Words) -> Self;
    /// The bytes in their order.
    fn load(bytes: &[u8; 16]) -> Self;
    /// The last `keep <= 16` of the bytes, moved to the front; zeros behind them.
    fn load_last(bytes: &[u8; 16], keep: usize) -> Self;
    /// Bitwise.
    fn xor(self, other: Self) -> Self;
    /// One AES encryption round, as `aesenc` has it.
    fn round(self, key: Self) -> Self;
    /// The first eight bytes, little-endian.
    fn low(self) -> u64;
}

/// The hash, for levels without masked loads.
#[inline(always)]
pub(super) fn hash<B: Block>(seed: &Seed, key: &[u8]) -> u64 {
    let sum = if key.len() <= 16 {
        absorb(seed, lane_start::<B>(seed, 0).xor(B::of(short(key)))).xor(B::of(seed.idle[0]))
    } else if key.len() <= 32 {
        let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) else { unreachable!() };
        let first = absorb(seed, lane_start::<B>(seed, 0).xor(B::load(first)));
        let second = absorb(seed, lane_start::<B>(seed, 1).xor(B::load_last(last, key.len() - 16)));
        first.xor(second).xor(B::of(seed.idle[1]))
    } else {
        long::<B>(seed, key)
    };
    finish(seed, key.len(), sum)
}

/// The sum of the lanes and the length become the hash.
#[inline(always)]
pub(super) fn finish<B: Block>(seed: &Seed, len: usize, sum: B) -> u64 {
    sum.xor(B::of([len as u64, 0])).round(B::of(seed.last[0])).round(B::of(seed.last[1])).low()
}

#[inline(always)]
fn lane_start<B: Block>(seed: &Seed, lane: usize) -> B {
    B::of(seed.lanes[lane])
}

/// Two rounds: what a block goes through before another one may meet it.
#[inline(always)]
fn absorb<B: Block>(seed: &Seed, block: B) -> B {
    block.round(B::of(seed.absorb[0])).round(B::of(seed.absorb[1]))
}

/// At most 16 bytes and zeros, by overlapping loads.
#[inline(always)]
fn short(key: &[u8]) -> Words {
    let len = key.len();
    if let (Some(first), Some(last)) = (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        let halfway = 4 * (16 - len); // A shift by 64 is none: two halves.
        [u64::from_le_bytes(*first), u64::from_le_bytes(*last) >> halfway >> halfway]
    } else if let (Some(first), Some(last)) = (key.first_chunk::<4>(), key.last_chunk::<4>()) {
        [u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << (8 * (len - 4)), 0]
    } else if let (Some(first), Some(last)) = (key.first(), key.last()) {
        let middle = len / 2;
        [*first as u64 | (key[middle] as u64) << (8 * middle) | (*last as u64) << (8 * (len - 1)), 0]
    } else {
        [0, 0]
    }
}

/// More than 32 bytes, up to the sum of the lanes.
#[inline(always)]
fn long<B: Block>(seed: &Seed, key: &[u8]) -> B {
    // Spelt out: the closure of an iterator would keep the rounds from being inlined (see `mod.rs`).
    let mut a = lane_start::<B>(seed, 0);
    let mut b = lane_start::<B>(seed, 1);
    let mut c = lane_start::<B>(seed, 2);
    let mut d = lane_start::<B>(seed, 3);
    let mut done = 0;
    while key.len() - done > 64
        && let Some(step) = key[done..].first_chunk::<64>()
    {
        let blocks = step.as_chunks::<16>().0;
        a = absorb(seed, a.xor(B::load(&blocks[0])));
        b = absorb(seed, b.xor(B::load(&blocks[1])));
        c = absorb(seed, c.xor(B::load(&blocks[2])));
        d = absorb(seed, d.xor(B::load(&blocks[3])));
        done += 64;
    }
    a = absorb(seed, a.xor(last_step(key, done)));
    b = absorb(seed, b.xor(last_step(key, done + 16)));
    c = absorb(seed, c.xor(last_step(key, done + 32)));
    d = absorb(seed, d.xor(last_step(key, done + 48)));
    a.xor(b).xor(c.xor(d))
}

/// The block at `at`, or what the key still has of it; the key is longer than a block. Without branches: a part is
/// loaded together with bytes before it, which are then shifted out.
#[inline(always)]
fn last_step<B: Block>(key: &[u8], at: usize) -> B {
    let keep = key.len().saturating_sub(at).min(16);
    let end = (at + 16).min(key.len());
    let Some(bytes) = key[..end].last_chunk() else { unreachable!() };
    B::load_last(bytes, keep)
}

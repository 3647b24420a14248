//! The keyed hash, written once over an AES round; each level brings its own round.
//!
//! ```text
//! finish(s)     R(k3) R(k2) R(k1 ^ len) s, low 8 bytes       R(k): SubBytes, ShiftRows, MixColumns, xor k (aesenc)
//! 0..=16        s = k0 ^ the bytes as one block               8..=16: first 8, last 8 (they may overlap);
//!                                                             4..=7: first 4, last 4; 1..=3: first, middle, last
//! 17..=32       s = A(k4 ^ first 16) ^ last 16                A: R(k9) R(k8), what a block gets before another one joins
//! 33..          lanes 0..4 start as k4..k8; every 64 bytes but the last 1..=64: lane i = A(lane i ^ block i);
//!               then the last four blocks (they may overlap the ones before) are xored in,
//!               s = A(lane 0) ^ A(lane 1) ^ A(lane 2) ^ lane 3
//! ```
//!
//! Why nobody who lacks the seed can choose keys that collide:
//! - For one length, the bytes determine the blocks and the other way round: nothing is lost before the mixing.
//! - A difference put into one block must be cancelled by one in another block *after* two secretly keyed rounds. No
//!   difference passes two AES rounds to one foreseen result with a chance above 2^-28 (Keliher and Sui, "Exact maximum
//!   expected differential and linear probability for 2-round AES", 2007).
//! - The length joins behind a keyed round, since lengths 15 and 16 can spell the same block: xored in at the front it
//!   could be undone by flipping a bit of the key. Behind the round that takes four active bytes, 2^-24.
//! - Three rounds end it: after two, every byte depends on every byte; the third breaks up what two leave regular.
//!
//! This is resistance to flooding, not a MAC: whoever sees many hashes may learn the seed. The engine shows none.

use super::scalar::Columns;

/// The hash's key, expanded: ten round keys, the four of short keys in the first cache line.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Seed {
    pub(super) keys: [[u64; 2]; 10],
}

/// Hides the keys: they must not reach a log.
impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Seed").finish_non_exhaustive()
    }
}

impl Seed {
    /// Expands a seed. Every seed will do, zero too; it must be secret if keys come from strangers.
    pub(crate) fn new(seed: [u64; 4]) -> Self {
        /// Fractional digits of pi: nothing up the sleeve.
        const PI: [u64; 4] =
            [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];
        let mut keys = [[0; 2]; 10];
        for (number, key) in (0u64..).zip(&mut keys) {
            // A counter, encrypted by ten rounds whose keys take turns between the halves of the seed.
            let mut block = Columns::of([number ^ PI[0], PI[1]]);
            for round in 0..5 {
                block = block.round(Columns::of([seed[0] ^ round, seed[1] ^ PI[2]]));
                block = block.round(Columns::of([seed[2] ^ round, seed[3] ^ PI[3]]));
            }
            *key = block.words();
        }
        Self { keys }
    }
}

/// Sixteen bytes that can be put through an AES round.
pub(super) trait Block: Copy {
    /// The bytes in their order.
    fn load(bytes: &[u8; 16]) -> Self;
    /// Two words, the lower one first: on every machine the block whose bytes are the words in little-endian order.
    fn of(words: [u64; 2]) -> Self;
    /// Bitwise.
    fn xor(self, other: Self) -> Self;
    /// One AES encryption round, as `aesenc` has it.
    fn round(self, key: Self) -> Self;
    /// The first eight bytes, little-endian.
    fn low(self) -> u64;
}

/// The hash.
#[inline(always)]
pub(super) fn hash<B: Block>(seed: &Seed, bytes: &[u8]) -> u64 {
    let state = if bytes.len() <= 16 {
        key::<B>(seed, 0).xor(B::of(short(bytes)))
    } else if bytes.len() <= 32 {
        let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else { unreachable!() };
        absorb(seed, key::<B>(seed, 4).xor(B::load(first))).xor(B::load(last))
    } else {
        long::<B>(seed, bytes)
    };
    finish(seed, bytes.len(), state)
}

/// The last three rounds, and the length.
#[inline(always)]
pub(super) fn finish<B: Block>(seed: &Seed, len: usize, state: B) -> u64 {
    let first = key::<B>(seed, 1).xor(B::of([len as u64, 0]));
    state.round(first).round(key(seed, 2)).round(key(seed, 3)).low()
}

#[inline(always)]
fn key<B: Block>(seed: &Seed, i: usize) -> B {
    B::of(seed.keys[i])
}

/// At most 16 bytes as two words.
#[inline(always)]
fn short(bytes: &[u8]) -> [u64; 2] {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        [u64::from_le_bytes(*first), u64::from_le_bytes(*last)]
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        [u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << 32, 0]
    } else if let (Some(first), Some(last)) = (bytes.first(), bytes.last()) {
        [*first as u64 | (bytes[bytes.len() / 2] as u64) << 8 | (*last as u64) << 16, 0]
    } else {
        [0, 0]
    }
}

/// Two rounds: what a block goes through before another one may meet it.
#[inline(always)]
fn absorb<B: Block>(seed: &Seed, block: B) -> B {
    block.round(key(seed, 8)).round(key(seed, 9))
}

/// More than 32 bytes, up to the point where the lanes have become one.
#[inline(always)]
fn long<B: Block>(seed: &Seed, bytes: &[u8]) -> B {
    let mut a = key::<B>(seed, 4);
    let mut b = key::<B>(seed, 5);
    let mut c = key::<B>(seed, 6);
    let mut d = key::<B>(seed, 7);
    let mut rest = bytes;
    while rest.len() > 64
        && let Some((step, after)) = rest.split_first_chunk::<64>()
    {
        let (blocks, _) = step.as_chunks::<16>();
        a = absorb(seed, a.xor(B::load(&blocks[0])));
        b = absorb(seed, b.xor(B::load(&blocks[1])));
        c = absorb(seed, c.xor(B::load(&blocks[2])));
        d = absorb(seed, d.xor(B::load(&blocks[3])));
        rest = after;
    }
    let last = last_blocks(bytes);
    a = absorb(seed, a.xor(B::load(last[0])));
    b = absorb(seed, b.xor(B::load(last[1])));
    c = absorb(seed, c.xor(B::load(last[2])));
    d = d.xor(B::load(last[3]));
    a.xor(b).xor(c.xor(d))
}

/// The last 64 bytes of a key that has as many; else its first 32 and its last 32, of a key that has as many.
#[inline(always)]
fn last_blocks(bytes: &[u8]) -> [&[u8; 16]; 4] {
    let (head, tail) = if let Some(last) = bytes.last_chunk::<64>() {
        (last.first_chunk::<32>(), last.last_chunk::<32>())
    } else {
        (bytes.first_chunk::<32>(), bytes.last_chunk::<32>())
    };
    let (Some(head), Some(tail)) = (head, tail) else { unreachable!() };
    let (head, tail) = (head.as_chunks::<16>().0, tail.as_chunks::<16>().0);
    [&head[0], &head[1], &tail[0], &tail[1]]
}

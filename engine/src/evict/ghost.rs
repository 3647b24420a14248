//! The ghost: 16-bit fingerprints of those that left the nursery unused. Who comes back soon enough to be remembered goes
//! straight to main.
//!
//! ```text
//! ghost              | ready: a bit per line | line | line | ...
//! line of 64 bytes   | at u16 | fingerprint u16 x 31 |        first in, first out; 0 = none
//! ```
//! A false match lets a newcomer skip the nursery, no more. Under the shard's lock.

use crate::arch::prefetch_read;
use crate::config::{Geometry, SHARD_ITEMS};
use crate::shared::{KeyHash, Shard};
use crate::sync::Relaxed;

const LINE: usize = 64;
const ENTRIES: u32 = 31;

const fn bits_bytes(lines: u32) -> usize {
    (lines as usize).div_ceil(8).next_multiple_of(64)
}

/// Bytes that a ghost of so many lines needs.
pub(crate) const fn ghost_bytes(lines: u32) -> usize {
    bits_bytes(lines) + lines as usize * LINE
}

/// The ghost of a shard whose lock is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ghost<'a> {
    shard: Shard<'a>,
    /// Lines in use, and entries in use of each. Together they remember about as many keys as there are items: who was gone for
    /// longer than that has proved nothing.
    lines: u32,
    depth: u32,
}

impl<'a> Ghost<'a> {
    pub(crate) fn of(shard: Shard<'a>) -> Self {
        let items = shard.word(SHARD_ITEMS).load(Relaxed);
        let lines = items.div_ceil(ENTRIES).next_power_of_two().min(shard.shared.geometry.ghost_lines);
        Self { shard, lines, depth: items.div_ceil(lines).clamp(1, ENTRIES) }
    }

    /// Forgets everybody. Only before the cache is shared.
    pub(crate) fn format(&self) {
        let Geometry { ghost_at, ghost_lines, .. } = self.shard.shared.geometry;
        self.shard.part.zero(ghost_at, bits_bytes(ghost_lines));
    }

    /// The number of the line where a key is remembered, and where that lies in the shard. Its fingerprint is made of other bits
    /// of the hash.
    #[inline]
    fn line(&self, hash: KeyHash) -> (usize, usize) {
        let Geometry { ghost_at, ghost_lines, .. } = self.shard.shared.geometry;
        let bits = hash.0 & ((1 << KeyHash::BUCKET_BITS) - 1);
        let line = ((u128::from(bits) * u128::from(self.lines)) >> KeyHash::BUCKET_BITS) as usize;
        (line, ghost_at + bits_bytes(ghost_lines) + line * LINE)
    }

    /// Asks for the line that will be looked at.
    #[inline]
    pub(crate) fn foresee(&self, hash: KeyHash) {
        prefetch_read(self.shard.part.hint(self.line(hash).1));
    }

    /// Where a key is remembered, and as what.
    #[inline]
    fn trace(&self, hash: KeyHash) -> (usize, u16) {
        let (line, at) = self.line(hash);
        self.prepare(line, at);
        (at, hash.tag().max(1))
    }

    /// Empties a line when it is first looked at, so that no memory is touched before it is needed.
    fn prepare(&self, line: usize, at: usize) {
        let ready = self.shard.word(self.shard.shared.geometry.ghost_at + line / 32 * 4);
        let (bits, bit) = (ready.load(Relaxed), 1 << (line % 32));
        if bits & bit == 0 {
            self.shard.part.zero(at, LINE);
            ready.store(bits | bit, Relaxed);
        }
    }

    /// Changes the `i`th half word of a line.
    fn set(&self, line: usize, i: u32, value: u16) {
        let (word, shift) = (self.shard.word(line + (i as usize / 2) * 4), 16 * (i % 2));
        word.store(word.load(Relaxed) & !(0xffff << shift) | u32::from(value) << shift, Relaxed);
    }

    /// Remembers a key.
    pub(crate) fn put(&self, hash: KeyHash) {
        let (at, print) = self.trace(hash);
        let next = self.shard.word(at).load(Relaxed) & 0xffff;
        let next = if next < self.depth { next } else { next % self.depth };
        self.set(at, 1 + next, print);
        self.set(at, 0, (next + 1) as u16);
    }

    /// Whether a key is remembered; forgets it.
    pub(crate) fn take(&self, hash: KeyHash) -> bool {
        let (at, print) = self.trace(hash);
        let found = self.find(at, print).filter(|&i| i <= self.depth);
        if let Some(i) = found {
            self.set(at, i, 0);
        }
        found.is_some()
    }

    /// The first half word of a line, behind its own, that is this one. Four at a time, without a branch for each: nearly
    /// all newcomers are new.
    fn find(&self, line: usize, print: u16) -> Option<u32> {
        const LOW: u64 = 0x0001_0001_0001_0001;
        const HIGH: u64 = LOW << 15;
        // What tells how far the line is filled is no fingerprint.
        let mut other = 0xffff;
        for word in 0..LINE / 8 {
            let four = self.shard.part.word64(line + word * 8).load(Relaxed);
            let differ = (four ^ (u64::from(print) * LOW)) | other;
            // A half word that is zero borrows; above the lowest such one that may be an error.
            let zero = differ.wrapping_sub(LOW) & !differ & HIGH;
            if zero != 0 {
                return Some(word as u32 * 4 + zero.trailing_zeros() / 16);
            }
            other = 0;
        }
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::config::Config;
    use core::mem::MaybeUninit;
    use std::vec;
    use std::vec::Vec;

    #[test]
    fn the_first_fingerprint_of_a_line_is_found_wherever_it_is() {
        let mut memory = vec![MaybeUninit::uninit(); 1 << 20];
        let cache =
            Cache::new(&mut memory, Config { seed: [1, 2, 3, 4], ..Config::default() }).expect("it opens");
        let shard = cache.shared.shard(0);
        let ghost = Ghost::of(shard);
        let line = ghost.trace(KeyHash(0)).0;
        // Neighbours of zero and of the highest bit are what borrows would confuse; all equal, one apart, and none.
        let prints = [1, 2, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff];
        for round in 0..20_000_u64 {
            let mut bits = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut halves = [0_u16; 32];
            for (i, half) in halves.iter_mut().enumerate() {
                bits ^= bits << 13;
                bits ^= bits >> 7;
                bits ^= bits << 17;
                *half = prints.get(bits as usize % 8).copied().unwrap_or_default();
                ghost.set(line, i as u32, *half);
            }
            for print in prints {
                let first = halves.iter().skip(1).position(|&half| half == print).map(|at| at as u32 + 1);
                assert_eq!(ghost.find(line, print), first, "{print} in {halves:?}");
            }
        }
    }

    #[test]
    fn who_is_remembered_is_found_once() {
        let mut memory = vec![MaybeUninit::uninit(); 1 << 20];
        let cache =
            Cache::new(&mut memory, Config { seed: [1, 2, 3, 4], ..Config::default() }).expect("it opens");
        let shard = cache.shared.shard(0);
        shard.word(SHARD_ITEMS).store(1000, Relaxed);
        let ghost = Ghost::of(shard);
        let hashes: Vec<KeyHash> =
            (1..200_u64).map(|i| KeyHash(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        for &hash in &hashes {
            ghost.put(hash);
        }
        let found = hashes.iter().filter(|&&hash| ghost.take(hash)).count();
        assert!(found > 190, "{found} of 199 are remembered");
        assert!(!hashes.iter().any(|&hash| ghost.take(hash)), "somebody is remembered twice");
    }
}

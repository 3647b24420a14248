//! The ghost: 16-bit fingerprints of those that left the nursery unused. Who comes back soon enough to be remembered goes
//! straight to main.
//!
//! ```text
//! ghost              | ready: a bit per line | line | line | ...
//! line of 64 bytes   | at u16 | fingerprint u16 x 31 |        first in, first out; 0 = none
//! ```
//! A false match lets a newcomer skip the nursery, no more. Under the shard's lock.

use crate::config::{Geometry, SHARD_ITEMS};
use crate::shared::{KeyHash, Shard};
use crate::sync::{AtomicU32, Relaxed};

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
}

impl<'a> Ghost<'a> {
    pub(crate) fn of(shard: Shard<'a>) -> Self {
        Self { shard }
    }

    /// Forgets everybody. Only before the cache is shared.
    pub(crate) fn format(&self) {
        let Geometry { ghost_at, ghost_lines, .. } = self.shard.shared.geometry;
        self.shard.part.zero(ghost_at, bits_bytes(ghost_lines));
    }

    /// The line of a key and its fingerprint, from different bits of the hash.
    fn line_and_print(&self, hash: KeyHash) -> (usize, u16) {
        let Geometry { ghost_at, ghost_lines, .. } = self.shard.shared.geometry;
        let bits = hash.0 & ((1 << KeyHash::BUCKET_BITS) - 1);
        let line = ((u128::from(bits) * u128::from(self.lines())) >> KeyHash::BUCKET_BITS) as usize;
        let at = ghost_at + bits_bytes(ghost_lines) + line * LINE;
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

    /// The word that holds the `i`th half word of a line, and how far it is shifted.
    fn half(&self, line: usize, i: u32) -> (&'a AtomicU32, u32) {
        (self.shard.word(line + (i as usize / 2) * 4), 16 * (i % 2))
    }

    fn get(&self, line: usize, i: u32) -> u16 {
        let (word, shift) = self.half(line, i);
        (word.load(Relaxed) >> shift) as u16
    }

    fn set(&self, line: usize, i: u32, value: u16) {
        let (word, shift) = self.half(line, i);
        word.store(word.load(Relaxed) & !(0xffff << shift) | u32::from(value) << shift, Relaxed);
    }

    /// How many lines are in use, and entries of each: together they remember about as many keys as there are items. Who
    /// was gone for longer than that has proved nothing.
    fn lines(&self) -> u32 {
        let items = self.shard.word(SHARD_ITEMS).load(Relaxed);
        items.div_ceil(ENTRIES).next_power_of_two().min(self.shard.shared.geometry.ghost_lines)
    }

    fn depth(&self) -> u32 {
        let items = self.shard.word(SHARD_ITEMS).load(Relaxed);
        items.div_ceil(self.lines()).clamp(1, ENTRIES)
    }

    /// Remembers a key.
    pub(crate) fn put(&self, hash: KeyHash) {
        let (line, print) = self.line_and_print(hash);
        let at = u32::from(self.get(line, 0)) % self.depth();
        self.set(line, 1 + at, print);
        self.set(line, 0, (at + 1) as u16);
    }

    /// Whether a key is remembered; forgets it.
    pub(crate) fn take(&self, hash: KeyHash) -> bool {
        let (line, print) = self.line_and_print(hash);
        let found = (1..=self.depth()).find(|&i| self.get(line, i) == print);
        if let Some(i) = found {
            self.set(line, i, 0);
        }
        found.is_some()
    }
}

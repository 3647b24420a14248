//! The ghost: 16-bit fingerprints of those that left the nursery unused. Who comes back soon enough to be remembered goes
//! straight to main.
//!
//! ```text
//! line of 64 bytes   | at u16 | fingerprint u16 x 31 |        first in, first out; 0 = none
//! ```
//! A false match lets a newcomer skip the nursery, no more. Under the shard's lock.

use crate::config::{Geometry, SHARD_ITEMS};
use crate::shared::{KeyHash, Shard};
use crate::sync::{AtomicU32, Relaxed};

const LINE: usize = 64;
const ENTRIES: u32 = 31;

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
        self.shard.shared.region.zero(self.shard.base + ghost_at, ghost_lines as usize * LINE);
    }

    fn line_and_print(&self, hash: KeyHash) -> (usize, u16) {
        let geometry = &self.shard.shared.geometry;
        // Other bits than those that choose the print: the bucket's, from the top down.
        let line = ((hash.0 & 0xff_ffff_ffff) * u64::from(geometry.ghost_lines)) >> KeyHash::BUCKET_BITS;
        (geometry.ghost_at + line as usize * LINE, hash.tag().max(1))
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

    /// How many entries of each line are in use: all lines together remember about as many keys as there are items. Who
    /// was gone for longer than that has proved nothing.
    fn depth(&self) -> u32 {
        let items = self.shard.word(SHARD_ITEMS).load(Relaxed);
        items.div_ceil(self.shard.shared.geometry.ghost_lines).clamp(1, ENTRIES)
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

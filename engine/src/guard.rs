//! What a reader gets: bytes in the arena, borrowed for as long as they cannot be reused.

use crate::arena::arena_ref::ArenaRef;
use crate::config::GRANULE;
use crate::item::Item;
use crate::mark::Mark;
use crate::time::Millis;
use core::fmt;

/// A value in the arena, read in place: no byte of it has been copied.
#[derive(Clone, Copy)]
pub struct Value<'v> {
    item: Item<'v>,
    announcement: u64,
}

impl<'v> Value<'v> {
    /// The value of an item found under this announcement.
    #[inline(always)]
    pub(crate) fn of(item: Item<'v>, announcement: u64) -> Self {
        Self { item, announcement }
    }

    /// The bytes of the value.
    #[inline(always)]
    #[must_use]
    pub fn bytes(&self) -> &'v [u8] {
        self.item.value()
    }

    /// The flags that were stored with it.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.item.flags()
    }

    /// When it expires; none if never.
    #[inline]
    #[must_use]
    pub fn expires(&self) -> Option<Millis> {
        self.item.expires()
    }

    /// Whether it was marked as stale ([`Invalidate`](crate::Invalidate)).
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.item.mark().is_some_and(Mark::is_stale)
    }

    /// Until when somebody holds the lease on it; none if nobody does.
    #[must_use]
    pub fn leased_until(&self, now: Millis) -> Option<Millis> {
        self.item.mark().filter(|mark| mark.is_won(now)).map(|mark| mark.until)
    }

    /// Whether it is no value, but holds the place of one that somebody is about to store ([`Lease`](crate::Lease)).
    #[must_use]
    pub fn is_placeholder(&self, now: Millis) -> bool {
        self.item.mark().is_some_and(|mark| mark.is_placeholder(now))
    }

    /// Whether it was read or written again lately, before this operation: as far as eviction has kept count.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.uses() > 0
    }

    /// How many uses eviction counts for it at the moment: from 0 to 3, and one less each time it was spared for them.
    #[must_use]
    pub fn uses(&self) -> u32 {
        self.item.uses()
    }

    /// Whether it lies in the nursery.
    pub(crate) fn in_nursery(&self) -> bool {
        self.item.in_nursery()
    }

    /// Bytes of memory that its item takes, key and all.
    #[must_use]
    pub fn item_bytes(&self) -> usize {
        self.item.granules() as usize * GRANULE
    }

    /// Where it lies: to be looked at again through [`Handle::bytes`](crate::Handle::bytes), until the handle is
    /// quiescent.
    #[inline]
    #[must_use]
    pub fn arena_ref(&self) -> ArenaRef {
        self.item.reference(self.announcement)
    }

    /// A number by which a compare-and-swap tells whether the value is still the one that was read: memcached's CAS
    /// unique.
    ///
    /// It is made from the value, its flags and the place where it lies, so that an item needs no memory for it. It
    /// differs when the bytes do, but for one chance in 2^63; against somebody who looks for bytes that have the same one it is no
    /// protection. Where a value was changed and changed back, it usually differs, too, since the
    /// same bytes then lie elsewhere, but their old place may have been used again. It may also differ when nothing but the
    /// place changed: then a compare-and-swap fails, and the client reads again.
    ///
    /// It is below 2^63 and not 0. An item that was leased, or stored with a version, has that one for ever, in memory of its own.
    #[must_use]
    pub fn version(&self) -> u64 {
        if let Some(mark) = self.item.mark() {
            return mark.version;
        }
        let (bytes, place) = (self.bytes(), self.arena_ref().offset());
        let mut hash = mix(place ^ u64::from(self.flags()) << 40 ^ (bytes.len() as u64) << 20);
        let (blocks, rest) = bytes.as_chunks::<64>();
        if !blocks.is_empty() {
            hash = blocks_mixed(blocks, hash);
        }
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            hash = mix(hash ^ u64::from_le_bytes(*word));
        }
        for &byte in rest {
            hash = mix(hash ^ u64::from(byte));
        }
        // Many clients keep it as a signed number.
        (hash >> 1).max(1)
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("bytes", &self.bytes())
            .field("flags", &self.flags())
            .field("expires", &self.expires())
            .finish_non_exhaustive()
    }
}

/// Mixes long values in eight lanes, none of which waits for another: one after the other their words take ten times as long.
fn blocks_mixed(blocks: &[[u8; 64]], hash: u64) -> u64 {
    let mut lanes = [hash; 8];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            // Each word is taken in by a bijection, so values that differ in one word differ.
            *lane = (*lane ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }
    lanes.iter().fold(hash, |hash, lane| mix(hash ^ lane))
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_differ_in_a_bit_have_another_mixture() {
        let mut blocks = [[7; 64]; 3];
        let before = blocks_mixed(&blocks, 1);
        for at in 0..192 * 8 {
            let byte = &mut blocks.as_flattened_mut()[at / 8];
            *byte ^= 1 << (at % 8);
            assert_ne!(blocks_mixed(&blocks, 1), before, "bit {at}");
            blocks.as_flattened_mut()[at / 8] ^= 1 << (at % 8);
        }
        assert_ne!(blocks_mixed(&blocks, 2), before);
        blocks.swap(0, 1);
        assert_eq!(blocks_mixed(&blocks, 1), before, "they were equal");
        blocks[0][0] = 8;
        let first = blocks_mixed(&blocks, 1);
        blocks.swap(0, 1);
        assert_ne!(blocks_mixed(&blocks, 1), first, "their order counts");
    }
}

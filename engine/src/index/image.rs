//! One image: the tags and places of a bucket's keys, in a block of the index.
//!
//! ```text
//! block header u32 | tag u16 x len, padded to a multiple of 4 | place u32 x len |
//! ```
//! Tags never change while the image is published. A place may be replaced or emptied by one compare-and-swap, until
//! it is frozen; a frozen place never changes again.
//! Invariant: the keys of a published image only become fewer. Kept by `mod.rs`; checked by `models/`.

use super::Found;
use super::word::{Place, Word};
use crate::arch::Kernels;
use crate::config::{GRANULE, offset_of};
use crate::shared::Shard;
use crate::sync::{AcqRel, Acquire, AtomicU32, Relaxed, fault, unless};

/// Most entries of an image; small in the models, so that they can be explored to the end.
pub(crate) const IMAGE_LEN_MAX: usize = if cfg!(all(test, loom)) { 3 } else { 63 };

/// Granules of the largest image, header included.
pub(crate) const IMAGE_GRANULES_MAX: u32 = granules(IMAGE_LEN_MAX);

/// The content of an image: what a copy is made from.
pub(crate) type Entries = heapless::Vec<Entry, IMAGE_LEN_MAX>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) tag: u16,
    pub(crate) item: u32,
}

const fn padded(len: usize) -> usize {
    // As `next_multiple_of`, for a length that is far from overflow.
    (len + 3) & !3
}

/// Granules of the block of an image with `len` entries.
pub(crate) const fn granules(len: usize) -> u32 {
    (1 + padded(len) / 2 + len) as u32
}

/// A published image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Image<'a> {
    shard: Shard<'a>,
    at: usize,
    len: usize,
}

impl<'a> Image<'a> {
    /// The image that `word`, loaded in this operation, names.
    #[inline(always)]
    pub(crate) fn of(shard: Shard<'a>, word: Word) -> Self {
        Self { shard, at: offset_of(word.image()) + GRANULE, len: word.len() }
    }

    #[inline(always)]
    fn tags(&self) -> &'a [u16] {
        self.shard.part.tags(self.at, padded(self.len))
    }

    /// Where the place of entry `i` lies in the shard.
    #[inline(always)]
    pub(crate) fn place_at(&self, i: usize) -> usize {
        debug_assert!(i < self.len);
        self.at + padded(self.len) * 2 + i * 4
    }

    #[inline(always)]
    fn place_word(&self, i: usize) -> &'a AtomicU32 {
        self.shard.part.word32(self.place_at(i))
    }

    #[inline(always)]
    pub(crate) fn place(&self, i: usize) -> Place {
        Place::load(self.shard.part, self.place_at(i))
    }

    /// One bit for each entry whose tag is this one.
    #[inline(always)]
    pub(crate) fn candidates<K: Kernels>(&self, tag: u16) -> u64 {
        K::match_tags(self.tags(), self.len, tag)
    }

    /// The places as they are, holes left out.
    pub(crate) fn items(self) -> impl Iterator<Item = u32> + 'a {
        (0..self.len).map(move |i| self.place(i).item()).filter(|&item| item != 0)
    }

    /// The entry whose place names this item, frozen or not.
    pub(crate) fn find(&self, item: u32) -> Option<Found> {
        (0..self.len)
            .map(|i| self.place_at(i))
            .map(|at| Found { at, place: Place::load(self.shard.part, at) })
            .find(|found| found.place.item() == item)
    }

    /// Makes the content final and adds it to `entries`, holes left out. (To return so many would copy them.)
    pub(crate) fn freeze(&self, entries: &mut Entries) {
        let tags = self.tags();
        for (i, &tag) in tags[..self.len].iter().enumerate() {
            let word = self.place_word(i);
            // Acquire: the copier passes on items that it did not write. Release: it is a copy's part of a chain.
            let item = if fault("no_freeze") {
                Place(word.load(Acquire)).item()
            } else {
                Place(word.fetch_or(Place::FROZEN, unless("freeze_relaxed", AcqRel))).item()
            };
            if item != 0 {
                // An image has no more entries than this holds.
                let _ = entries.push(Entry { tag, item });
            }
        }
    }

    /// Writes an image into a private block.
    pub(crate) fn write(shard: Shard<'a>, block: u32, entries: &[Entry]) {
        let image = Self { shard, at: offset_of(block) + GRANULE, len: entries.len() };
        for (i, entry) in entries.iter().enumerate() {
            // Relaxed: published by the compare-and-swap of the directory word.
            image.place_word(i).store(Place::of(entry.item).0, Relaxed);
        }
        // Four at a time: a store each.
        for (i, four) in entries.chunks(4).enumerate() {
            let mut tags = [0; 4];
            for (tag, entry) in tags.iter_mut().zip(four) {
                *tag = entry.tag;
            }
            shard.part.write_tags(image.at + i * 8, &tags);
        }
    }
}

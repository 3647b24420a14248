//! The lock-free map: which item of a shard has a key.
//!
//! ```text
//! directory   | word of bucket 0 | word of bucket 1 | ...        a word names the bucket's image and its length
//! image       | tag, tag, tag .. | place, place, place ..        a place names an item, or is a hole
//! ```
//! - A key that is there is replaced, moved, swapped, deleted or evicted by **one compare-and-swap of its place**. That
//!   needs no memory. A place that was emptied is a hole and is never filled again.
//! - A new key: **freeze** all places of the image, copy it without its holes and with the new entry, **one
//!   compare-and-swap of the directory word**. So a bucket's set of keys grows only by that step.
//! - Growth ([`split`]) takes one bucket at a time: mark its word, freeze, copy into two images, publish the child, then
//!   the parent. Whoever meets the mark finishes the split.
//!
//! What may become of a word:
//! ```text
//! directory   unborn         -> BORN level l+1            any helper of the parent's split
//!             BORN l, X      -> BORN l, Y or empty        a writer, after freezing all of X
//!             BORN l, X      -> the same with SPLIT       a splitter: no insert can commit any more
//!             BORN SPLIT l,X -> BORN l+1, Y               any helper, X frozen, child born: the split takes effect
//! place       item           -> other item, or hole       a writer
//!             anything       -> the same, FROZEN          anybody; final until the image's memory is reused
//! ```
//! Invariants:
//! - **I1** A directory word leaves image X only after all places of X are frozen.
//! - **I2** The keys of a published image only become fewer.
//! - **I3** Each hash has exactly one home: the born bucket b with `hash mod 2^level(b) = b` whose split took effect.
//!
//! Why there are never two entries for a key: an insert saw none in X, and by I2 none came; its compare-and-swap
//! succeeds only while the word is still the same, so the bucket is still the key's home, with the same image, and its
//! memory cannot have been reused while we are inside the operation (`reclaim`). Why no change is lost: a place
//! changes only while it is not frozen, so by I1 its image is current, and whoever copies it later copies the new
//! value. Readers are wait-free: they load the word, one more for each split since they read `born`, and probe; an old
//! image shows what was true just before it was replaced, inside the reader's interval. `models/` explores all of this.

mod image;
mod scan;
mod split;
mod word;

pub(crate) use image::{
    Entries, Entry, IMAGE_GRANULES_MAX, IMAGE_LEN_MAX, Image, granules as image_granules,
};
pub(crate) use word::{Place, Word, bucket_of, level_of};

use crate::arch::{Kernels, prefetch_read};
use crate::arena::NoBlock;
use crate::config::{SHARD_TABLE, offset_of};
use crate::item::Item;
use crate::shared::{KeyHash, Shard};
use crate::sync::{Acquire, AtomicU64, Relaxed, Release, fault, unless};

/// Where the index gets memory for images, and where it sends what it took out.
pub(crate) trait Memory {
    /// A private block of this many granules.
    fn image(&mut self, shard: Shard<'_>, granules: u32) -> Result<u32, NoBlock>;
    /// Takes back a block that was never published: it needs no grace period.
    fn discard_image(&mut self, shard: Shard<'_>, at: u32);
    /// An image that no directory word names any more.
    fn retire_image(&mut self, shard: Shard<'_>, at: u32);
    /// An item that no place names any more.
    fn retire_item(&mut self, shard: Shard<'_>, at: u32);
    /// An item that a full bucket gave up for a new one.
    fn displace_item(&mut self, shard: Shard<'_>, at: u32);
}

/// A bucket and its word, as of one load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home {
    pub(crate) bucket: u64,
    pub(crate) word: Word,
}

/// The entry of a key in the image of a word, as it was loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Where the place lies in the shard.
    pub(crate) at: usize,
    pub(crate) place: Place,
}

impl Found {
    /// The item, if the place is still what it was, in an image that is still current.
    #[inline(always)]
    pub(crate) fn still_there(self, shard: Shard<'_>) -> Option<Item<'_>> {
        let place = Place::load(shard.part, self.at);
        (place == self.place && !place.is_frozen()).then(|| Item::load(shard, place.item()))
    }
}

/// What a writer knows of a key: its home, and its entry if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lookup {
    pub(crate) home: Home,
    pub(crate) found: Option<Found>,
}

/// What a writer wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// This item, instead of what is there or as a new entry.
    Put(u32),
    /// No entry.
    Remove,
}

/// Why a change did not happen. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failed {
    /// Somebody else changed something: look the key up again.
    Conflict,
    /// There is no memory for an image at once.
    NoMemory(NoBlock),
}

impl<'a> Shard<'a> {
    /// The directory word of a bucket below the highest one whose chunk is there.
    #[inline(always)]
    pub(crate) fn directory(self, bucket: u64) -> &'a AtomicU64 {
        self.part.word64(self.directory_at(bucket))
    }

    /// Where that word lies in the shard.
    #[inline(always)]
    pub(crate) fn directory_at(self, bucket: u64) -> usize {
        let geometry = &self.shared.geometry;
        let table = SHARD_TABLE + (bucket >> geometry.chunk_shift) as usize * 4;
        // Acquire: the zeroed chunk. Pairs with the Release in `local::grow`.
        let chunk = self.word(table).load(Acquire);
        let within = bucket & geometry.chunk_mask;
        offset_of(chunk) + within as usize * 8
    }

    #[inline(always)]
    pub(crate) fn load(self, bucket: u64) -> Word {
        self.load_at(self.directory_at(bucket))
    }

    #[inline(always)]
    pub(crate) fn load_at(self, directory_at: usize) -> Word {
        // Acquire: the image. Pairs with the Release of the compare-and-swap that published it.
        Word(self.part.word64(directory_at).load(unless("word_load_relaxed", Acquire)))
    }

    /// The bucket where `hash` lives if as many buckets exist as `born` says. Prefetching starts here.
    #[inline(always)]
    pub(crate) fn first_bucket(self, hash: KeyHash) -> (u64, u32) {
        // Acquire: all words below it. Pairs with the Release in `split::bump_born`.
        let born = self.born().load(unless("born_load_relaxed", Acquire));
        let level = level_of(born, hash.0);
        (hash.bucket(level), level)
    }

    /// The home of `hash`, which was addressed at `level`, where it found `word`: follows the splits that happened since
    /// `born` was written.
    #[inline(always)]
    pub(crate) fn home_from(self, hash: KeyHash, mut level: u32, mut word: Word) -> Home {
        debug_assert!(word.is_born());
        while level < word.level() && !fault("home_without_level") {
            level += 1;
            let bucket = hash.bucket(level);
            if bucket != hash.bucket(level - 1) {
                word = self.load(bucket);
                debug_assert!(word.is_born());
            }
        }
        Home { bucket: hash.bucket(level), word }
    }

    #[inline(always)]
    pub(crate) fn home(self, hash: KeyHash) -> Home {
        // Acquire: as in `first_bucket`.
        let born = self.born().load(unless("born_load_relaxed", Acquire));
        let bucket = bucket_of(born, hash.0);
        let word = self.load(bucket);
        if hash.bucket(word.level()) == bucket {
            // Nobody has split it since, or this is the half where the hash belongs.
            debug_assert!(word.is_born());
            return Home { bucket, word };
        }
        self.home_from(hash, level_of(born, hash.0), word)
    }

    /// The entry of `key` in the image of `word`. Frozen or not makes no difference here.
    #[inline(always)]
    pub(crate) fn probe<K: Kernels>(self, word: Word, hash: KeyHash, key: &[u8]) -> Option<Found> {
        self.probe_for::<K>(word, hash, |item| item.has_key::<K>(key)).map(|(found, _)| found)
    }

    /// The first entry with the tag of this hash whose item `is_it`.
    #[inline(always)]
    pub(crate) fn probe_for<K: Kernels>(
        self,
        word: Word,
        hash: KeyHash,
        is_it: impl Fn(&Item<'a>) -> bool,
    ) -> Option<(Found, Item<'a>)> {
        // Of an empty bucket nothing is read.
        let image = Image::of(self, word);
        // The places are mostly in the next line, to be asked for after the tags have come.
        prefetch_read(self.part.hint(offset_of(word.image()) + 56));
        let mut candidates = image.candidates::<K>(hash.tag());
        while candidates != 0 {
            let at = image.place_at(candidates.trailing_zeros() as usize);
            candidates &= candidates - 1;
            let place = Place::load(self.part, at);
            if place.item() == 0 {
                continue;
            }
            let item = Item::load(self, place.item());
            if is_it(&item) {
                return Some((Found { at, place }, item));
            }
        }
        None
    }

    /// Wait-free; writes nothing.
    #[inline(always)]
    pub(crate) fn get<K: Kernels>(self, hash: KeyHash, key: &[u8]) -> Option<u32> {
        self.probe::<K>(self.home(hash).word, hash, key).map(|found| found.place.item())
    }

    /// The home of `hash` for whoever wants to change something there: finishes a split that it meets.
    #[inline(always)]
    fn home_to_change(self, memory: &mut impl Memory, hash: KeyHash) -> Result<Home, Failed> {
        loop {
            let home = self.home(hash);
            if !home.word.is_splitting() || fault("write_ignores_split") {
                return Ok(home);
            }
            self.finish_split(memory, home)?;
        }
    }

    /// Looks a key up in order to change it.
    #[inline(always)]
    pub(crate) fn look_up<K: Kernels>(
        self,
        memory: &mut impl Memory,
        hash: KeyHash,
        key: &[u8],
    ) -> Result<Lookup, Failed> {
        let home = self.home_to_change(memory, hash)?;
        Ok(Lookup { home, found: self.probe::<K>(home.word, hash, key) })
    }

    /// Looks the key of this hash up whose item lies at `item`: by that, so without looking at any item. None: it is not in the
    /// index.
    pub(crate) fn look_up_item(
        self,
        memory: &mut impl Memory,
        hash: KeyHash,
        item: u32,
    ) -> Result<Option<Lookup>, Failed> {
        let home = self.home_to_change(memory, hash)?;
        if home.word.len() == 0 {
            return Ok(None);
        }
        let found = Image::of(self, home.word).find(item);
        Ok(found.map(|found| Lookup { home, found: Some(found) }))
    }

    /// Makes the change, if what the lookup saw still holds, and retires what it took out.
    #[inline(always)]
    pub(crate) fn commit(
        self,
        memory: &mut impl Memory,
        hash: KeyHash,
        lookup: &Lookup,
        change: Change,
    ) -> Result<(), Failed> {
        match (lookup.found, change) {
            (Some(found), _) if found.place.is_frozen() && !fault("write_ignores_frozen") => {
                self.change_frozen(memory, lookup.home, found.place.item(), change)
            }
            (Some(found), _) => {
                self.change_place(found, change)?;
                memory.retire_item(self, found.place.item());
                Ok(())
            }
            (None, Change::Put(item)) => self.insert(memory, hash, lookup.home, item),
            (None, Change::Remove) => Ok(()),
        }
    }

    /// Changes what a place names, if it still names what was found and is not frozen. The caller retires that.
    #[inline(always)]
    pub(crate) fn change_place(self, found: Found, change: Change) -> Result<(), Failed> {
        let new = match change {
            Change::Put(item) => Place::of(item),
            Change::Remove => Place::HOLE,
        };
        let place = self.part.word32(found.at);
        if fault("place_store") {
            place.store(new.0, Release);
        } else {
            // Release: publishes the new item. Pairs with the Acquire in `Place::load`.
            place
                .compare_exchange(found.place.0, new.0, unless("publish_relaxed", Release), Relaxed)
                .map_err(|_| Failed::Conflict)?;
        }
        Ok(())
    }

    /// The image is about to be replaced: replaces it, with the change in it. (A mere copy would be progress for
    /// nobody: this writer and the one that froze the image could undo each other's work for ever.)
    #[cold]
    fn change_frozen(
        self,
        memory: &mut impl Memory,
        home: Home,
        old: u32,
        change: Change,
    ) -> Result<(), Failed> {
        let mut entries = Entries::new();
        self.freeze(home.word, &mut entries);
        match change {
            Change::Put(item) => entries.iter_mut().filter(|e| e.item == old).for_each(|e| e.item = item),
            Change::Remove => entries.retain(|e| e.item != old),
        }
        self.replace_image(memory, home, home.word.level(), &entries)?;
        memory.retire_item(self, old);
        Ok(())
    }

    fn insert(self, memory: &mut impl Memory, hash: KeyHash, home: Home, item: u32) -> Result<(), Failed> {
        let mut entries = Entries::new();
        self.freeze(home.word, &mut entries);
        // A full bucket gives up its oldest entry. With a good hash and growth this is not seen in a lifetime.
        let displaced = (entries.len() == IMAGE_LEN_MAX).then(|| entries.remove(0).item);
        let _ = entries.push(Entry { tag: hash.tag(), item });
        self.replace_image(memory, home, home.word.level(), &entries)?;
        if let Some(displaced) = displaced {
            memory.displace_item(self, displaced);
        }
        Ok(())
    }

    /// Makes the content of the bucket final and adds it to `entries`.
    pub(crate) fn freeze(self, word: Word, entries: &mut Entries) {
        if word.len() > 0 {
            Image::of(self, word).freeze(entries);
        }
    }

    /// A word at this level for these entries, with a fresh image if there are any.
    fn new_word(self, memory: &mut impl Memory, level: u32, entries: &[Entry]) -> Result<Word, Failed> {
        if entries.is_empty() {
            return Ok(Word::new(level, 0, 0));
        }
        let block = memory.image(self, image_granules(entries.len())).map_err(Failed::NoMemory)?;
        Image::write(self, block, entries);
        Ok(Word::new(level, entries.len(), block))
    }

    /// Replaces a frozen image by a fresh one, unless the directory word has changed. The winner retires the old image;
    /// a copy that lost was seen by nobody.
    pub(crate) fn replace_image(
        self,
        memory: &mut impl Memory,
        home: Home,
        level: u32,
        entries: &[Entry],
    ) -> Result<(), Failed> {
        let new = self.new_word(memory, level, entries)?;
        let word = self.directory(home.bucket);
        if fault("store_instead_of_cas") {
            word.store(new.0, Release);
        } else if word
            // Release: publishes the image and the items in it. Pairs with the Acquire in `load`.
            .compare_exchange(home.word.0, new.0, unless("publish_relaxed", Release), Relaxed)
            .is_err()
        {
            if new.len() > 0 {
                memory.discard_image(self, new.image());
            }
            return Err(Failed::Conflict);
        }
        if home.word.len() > 0 {
            memory.retire_image(self, home.word.image());
        }
        Ok(())
    }
}

//! The request path of every caller: a batch of operations on any keys, executed in order.
//!
//! ```text
//! hash all         prefetch each directory word
//! load the words   prefetch each image
//! probe the tags   prefetch each first candidate's item, at its header and 56 bytes on
//! execute          in order: if what the probe saw still holds, compare the key and act, else look up again
//! ```
//! One lookup waits for memory three times. In a batch these waits overlap, which is worth more than everything else
//! that a cache can do about its speed (benches/README.md).

use crate::arch::{Kernels, Work, prefetch_read};
use crate::config::GRANULE;
use crate::error::StoreError;
use crate::guard::Value;
use crate::index::{Found, Home, Image, Lookup, Place, Word, image_granules};
use crate::local::Local;
use crate::op::{Action, Op, Outcome};
use crate::ops::read::{confirm, get, hit};
use crate::ops::store::overwrite;
use crate::ops::{Target, execute, refuse_key};
use crate::shared::{KeyHash, Shard, Shared};
use crate::time::Millis;
use crate::{BATCH, KEY_LEN_MAX};

/// What is known about one operation of the batch.
#[derive(Clone, Copy)]
struct Slot {
    hash: KeyHash,
    /// Of the shard, in the region.
    base: usize,
    bucket: u64,
    /// The bucket's word; unborn while nothing is known.
    word: Word,
    /// Where the bucket's word lies in the region; then where the place of the first candidate does.
    at: usize,
    /// The first candidate; a hole while there is none.
    place: Place,
    /// At which the hash was addressed.
    level: u32,
}

impl Slot {
    const EMPTY: Self = Self {
        hash: KeyHash(0),
        base: 0,
        bucket: 0,
        word: Word::UNBORN,
        at: 0,
        place: Place::HOLE,
        level: 0,
    };

    #[inline(always)]
    fn shard<'c>(&self, shared: &'c Shared) -> Shard<'c> {
        Shard { shared, number: self.hash.shard(shared.geometry.shards), base: self.base }
    }

    #[inline(always)]
    fn found(&self) -> Option<Found> {
        (self.place != Place::HOLE).then_some(Found { at: self.at, place: self.place })
    }

    /// What the probe saw, for a write to begin with.
    #[inline(always)]
    fn hint(&self) -> Option<Lookup> {
        let home = Home { bucket: self.bucket, word: self.word };
        self.word.is_born().then_some(Lookup { home, found: self.found() })
    }
}

/// Takes the outcomes of a batch, one after the other.
///
/// Closures are sinks, by [`Handle::execute`](crate::Handle::execute). A type of your own, with `#[inline(always)]` on its
/// method, becomes part of the engine's loop: an outcome is then never built in memory.
pub trait Sink {
    /// The outcome of operation `number`. The values in it are borrowed for this call.
    fn take(&mut self, number: usize, outcome: Outcome<'_>);

    /// Operation `number` is a [`Get`](Action::Get) that found its key: the outcome that matters most, without having to
    /// be told apart from others.
    #[inline(always)]
    fn hit(&mut self, number: usize, value: Value<'_>) {
        self.take(number, Outcome::Hit(value));
    }

    /// Operation `number` has stored a value in the place of this one.
    #[inline(always)]
    fn replaced(&mut self, number: usize, old: Value<'_>) {
        self.take(number, Outcome::Stored { old: Some(old) });
    }
}

/// A closure as a sink.
pub(crate) struct Closure<F>(pub(crate) F);

impl<F: FnMut(usize, Outcome<'_>)> Sink for Closure<F> {
    #[inline(always)]
    fn take(&mut self, number: usize, outcome: Outcome<'_>) {
        (self.0)(number, outcome);
    }
}

/// Executes up to [`BATCH`] operations and reports each outcome, in order; stops before one that meets Pressure.
pub(crate) struct Execute<'l, 'c, 'o, S> {
    pub(crate) local: &'l mut Local<'c>,
    pub(crate) now: Millis,
    pub(crate) ops: &'o [Op<'o>],
    /// Number of the first of them, for the sink.
    pub(crate) first: usize,
    pub(crate) sink: &'l mut S,
}

impl<S: Sink> Work for Execute<'_, '_, '_, S> {
    /// How many were executed.
    type Output = usize;

    #[inline(always)]
    fn run<K: Kernels>(self) -> usize {
        let Self { local, now, ops, first, sink } = self;
        let shared = local.shared;
        let mut slots = [Slot::EMPTY; BATCH];
        hash::<K>(shared, ops, &mut slots);
        if ops.len() > 1 {
            probe::<K>(shared, &mut slots[..ops.len()]);
        }
        let grip = local.grip;
        for (i, (op, slot)) in ops.iter().zip(&slots).enumerate() {
            // Not if room had to be made meanwhile: what was seen before may be gone.
            let holds = grip == local.grip;
            // Reading and replacing an item that is there is done here, all the rest elsewhere.
            if let Some(found) = slot.found()
                && holds
            {
                let shard = slot.shard(shared);
                match op.action {
                    Action::Get => {
                        if let Some(item) = confirm::<K>(shard, found, op.key)
                            && !item.is_expired(now)
                        {
                            sink.hit(first + i, hit(local, item));
                            continue;
                        }
                    }
                    Action::Put(ref put) if !slot.word.is_splitting() => {
                        if let Some(old) = overwrite::<K>(local, shard, found, op.key, put, now) {
                            sink.replaced(first + i, old);
                            continue;
                        }
                    }
                    _ => {}
                }
            }
            let outcome = if op.key.len() > KEY_LEN_MAX {
                refuse_key(op)
            } else {
                let hint = if holds { slot.hint() } else { None };
                let shard = slot.shard(shared);
                execute(local, &Target { shard, hash: slot.hash, key: op.key, now, hint }, op)
            };
            if let Outcome::Refused(StoreError::Pressure) = outcome {
                return i;
            }
            sink.take(first + i, outcome);
        }
        ops.len()
    }
}

/// Executes one operation, which has nobody to share its waits with, and answers its outcome.
pub(crate) struct Alone<'l, 'c, 'o> {
    pub(crate) local: &'l mut Local<'c>,
    pub(crate) now: Millis,
    pub(crate) op: &'o Op<'o>,
}

impl<'c> Work for Alone<'_, 'c, '_> {
    type Output = Outcome<'c>;

    #[inline(always)]
    fn run<K: Kernels>(self) -> Outcome<'c> {
        let Self { local, now, op } = self;
        if op.key.len() > KEY_LEN_MAX {
            return refuse_key(op);
        }
        let hash = KeyHash(K::hash(&local.shared.seed, op.key));
        let shard = local.shared.shard(hash.shard(local.shared.geometry.shards));
        execute(local, &Target { shard, hash, key: op.key, now, hint: None }, op)
    }
}

/// Reads one key: what is done so often that it is worth a way of its own.
pub(crate) struct Find<'l, 'c, 'k> {
    pub(crate) local: &'l mut Local<'c>,
    pub(crate) now: Millis,
    pub(crate) key: &'k [u8],
}

impl<'c> Work for Find<'_, 'c, '_> {
    type Output = Option<Value<'c>>;

    #[inline(always)]
    fn run<K: Kernels>(self) -> Option<Value<'c>> {
        let Self { local, now, key } = self;
        if key.len() > KEY_LEN_MAX {
            return None;
        }
        let hash = KeyHash(K::hash(&local.shared.seed, key));
        let shard = local.shared.shard(hash.shard(local.shared.geometry.shards));
        get::<K>(local, &Target { shard, hash, key, now, hint: None })
    }
}

/// Hashes the keys, and asks for the words of their buckets.
#[inline(always)]
fn hash<K: Kernels>(shared: &Shared, ops: &[Op<'_>], slots: &mut [Slot; BATCH]) {
    for (op, slot) in ops.iter().zip(slots.iter_mut()) {
        if op.key.len() > KEY_LEN_MAX {
            // It lives nowhere; any bucket will do.
            slot.hash = KeyHash(0);
        } else {
            slot.hash = KeyHash(K::hash(&shared.seed, op.key));
        }
        let shard = shared.shard(slot.hash.shard(shared.geometry.shards));
        slot.base = shard.base;
        (slot.bucket, slot.level) = shard.first_bucket(slot.hash);
        slot.at = shard.directory_at(slot.bucket);
        prefetch_read(shared.region.hint(slot.at));
    }
}

/// Finds the image of each, then the item that has the key if any has.
#[inline(always)]
fn probe<K: Kernels>(shared: &Shared, slots: &mut [Slot]) {
    for slot in slots.iter_mut() {
        let shard = slot.shard(shared);
        let home = shard.home_from(slot.hash, slot.bucket, slot.level, shard.load_at(slot.at));
        (slot.bucket, slot.word) = (home.bucket, home.word);
        let image = shared.region.hint(shard.at(home.word.image()));
        prefetch_read(image);
        prefetch_read(image.wrapping_add(image_granules(home.word.len()) as usize * GRANULE - 1));
    }
    for slot in slots.iter_mut() {
        let shard = slot.shard(shared);
        if slot.word.len() == 0 {
            continue;
        }
        let image = Image::of(shard, slot.word);
        let candidates = image.candidates::<K>(slot.hash.tag());
        if candidates == 0 {
            continue;
        }
        slot.at = image.place_at(candidates.trailing_zeros() as usize);
        slot.place = Place::load(&shared.region, slot.at);
        if slot.place.item() == 0 {
            // A hole says nothing about the other candidates.
            (slot.word, slot.place) = (Word::UNBORN, Place::HOLE);
            continue;
        }
        let item = shared.region.hint(shard.at(slot.place.item()));
        prefetch_read(item);
        prefetch_read(item.wrapping_add(56));
    }
}

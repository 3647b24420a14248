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
use crate::config::offset_of;
use crate::error::StoreError;
use crate::guard::Value;
use crate::index::{Found, Home, Image, Lookup, Place, Word};
use crate::item::{Item, Spot};
use crate::local::Local;
use crate::op::{Action, Op, Outcome};
use crate::ops::read::{confirm_live, hit};
use crate::ops::store::{overwrite, value};
use crate::ops::{Target, execute, refuse_key};
use crate::region::Part;
use crate::shared::{KeyHash, Shard, Shared};
use crate::time::Millis;
use crate::{BATCH, KEY_LEN_MAX};

/// What is known about one operation of the batch.
#[derive(Clone, Copy)]
struct Slot<'c> {
    hash: KeyHash,
    shard: Part<'c>,
    /// The bucket's word; unborn while nothing is known.
    word: Word,
    /// Where the bucket's word lies in the shard; then where the place of the first candidate does.
    at: usize,
    /// The first candidate; a hole while there is none.
    place: Place,
    /// At which the hash was addressed.
    level: u8,
}

/// Where a handle's batches keep what they know. Stays with the handle: to clear it for each batch would cost as much as a
/// lookup.
pub(crate) struct Slots<'c>([Slot<'c>; BATCH]);

impl<'c> Slots<'c> {
    pub(crate) fn new(shared: &'c Shared) -> Self {
        let (hash, shard) = (KeyHash(0), shared.shard(0).part);
        Self([Slot { hash, shard, word: Word::UNBORN, at: 0, place: Place::HOLE, level: 0 }; BATCH])
    }
}

impl<'c> Slot<'c> {
    #[inline(always)]
    fn shard(&self, shared: &'c Shared) -> Shard<'c> {
        Shard { shared, part: self.shard }
    }

    #[inline(always)]
    fn found(&self) -> Option<Found> {
        (self.place != Place::HOLE).then_some(Found { at: self.at, place: self.place })
    }

    /// Nothing is known of the key.
    fn forget(&mut self) {
        (self.word, self.place) = (Word::UNBORN, Place::HOLE);
    }

    /// What the probe saw, for a write to begin with.
    #[inline(always)]
    fn hint(&self) -> Option<Lookup> {
        let home = Home { bucket: self.hash.bucket(self.word.level()), word: self.word };
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

    /// Operation `number` has stored a value in the place of this one, which is only put together if it is asked for.
    #[inline(always)]
    fn replaced<'v>(&mut self, number: usize, old: impl FnOnce() -> Value<'v>) {
        self.take(number, Outcome::Stored { old: Some(old()) });
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
    pub(crate) slots: &'l mut Slots<'c>,
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
        let Self { local, slots, now, ops, first, sink } = self;
        let shared = local.shared;
        let slots = hash::<K>(shared, slots, ops.iter().map(|op| op.key));
        if ops.len() > 1 {
            probe::<K>(shared, slots);
        } else {
            slots.iter_mut().for_each(Slot::forget);
        }
        let grip = local.grip;
        let mut done = 0;
        while let (Some(op), Some(slot)) = (ops.get(done), slots.get(done)) {
            // Not if room had to be made meanwhile: what was seen before may be gone.
            let holds = grip == local.grip;
            // Reading and replacing items that are there has loops of its own, all the rest is done elsewhere. No `zip`: it counts,
            // and computes both addresses.
            if holds {
                // Counted as the sink does.
                let mut number = first + done;
                match op.action {
                    Action::Get => {
                        let mut slots = slots[done..].iter();
                        for op in &ops[done..] {
                            let (Action::Get, Some(slot)) = (&op.action, slots.next()) else { break };
                            let Some(found) = slot.found() else { break };
                            let item = confirm_live::<K>(slot.shard(shared), found, op.key, now);
                            let Some(item) = item else { break };
                            sink.hit(number, hit(local, item));
                            number += 1;
                        }
                        local.counters.hits += (number - first - done) as u64;
                    }
                    Action::Put(_) if slot.found().is_some() && local.has_limbo_room_for_batch() => {
                        let (slots, ops) = (&slots[done..], &ops[done..]);
                        let first = number;
                        number = shared.level.dispatch(OverwriteAll { local, slots, now, ops, first, sink });
                    }
                    _ => {}
                }
                if number > first + done {
                    done = number - first;
                    continue;
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
                return done;
            }
            sink.take(first + done, outcome);
            done += 1;
        }
        done
    }
}

/// Replaces items that are there, up to an operation that is anything else. For itself, so that the loop over reads has the registers
/// that this needs. There is room in limbo for all of them.
struct OverwriteAll<'l, 'c, 'o, S> {
    local: &'l mut Local<'c>,
    slots: &'l [Slot<'c>],
    now: Millis,
    ops: &'o [Op<'o>],
    /// Number of the first of them, for the sink.
    first: usize,
    sink: &'l mut S,
}

impl<S: Sink> Work for OverwriteAll<'_, '_, '_, S> {
    /// The number of the operation that has to be done otherwise.
    type Output = usize;

    #[inline(always)]
    fn run<K: Kernels>(self) -> usize {
        let Self { local, slots, now, ops, first, sink } = self;
        let (shared, mut slots, mut number) = (local.shared, slots.iter(), first);
        for op in ops {
            let (Action::Put(put), Some(slot)) = (&op.action, slots.next()) else { break };
            let Some(found) = slot.found() else { break };
            if slot.word.is_splitting() {
                break;
            }
            let shard = slot.shard(shared);
            let Some(item) = confirm_live::<K>(shard, found, op.key, now) else { break };
            if !overwrite::<K>(local, shard, found, item, op.key, put, now) {
                break;
            }
            let local = &*local;
            sink.replaced(number, move || value(local, &item));
            number += 1;
        }
        local.counters.stores += (number - first) as u64;
        number
    }
}

/// Reads up to [`BATCH`] keys and reports each answer, in order.
pub(crate) struct FindAll<'l, 'c, 'k, Q, F> {
    pub(crate) local: &'l mut Local<'c>,
    pub(crate) slots: &'l mut Slots<'c>,
    pub(crate) now: Millis,
    pub(crate) keys: &'k [Q],
    /// Number of the first of them, for `report`.
    pub(crate) first: usize,
    pub(crate) report: &'l mut F,
}

impl<Q: AsRef<[u8]>, F: FnMut(usize, Option<Value<'_>>)> Work for FindAll<'_, '_, '_, Q, F> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernels>(self) {
        let Self { local, slots, now, keys, first, report } = self;
        let shared = local.shared;
        let slots = hash::<K>(shared, slots, keys.iter().map(AsRef::as_ref));
        probe::<K>(shared, slots);
        let (mut slots, mut hits) = (slots.iter(), 0);
        for (number, key) in (first..).zip(keys) {
            let Some(slot) = slots.next() else { break };
            let (key, shard) = (key.as_ref(), slot.shard(shared));
            // Not by combinators: a closure that is not inlined keeps the kernels from being inlined (`arch`).
            if let Some(found) = slot.found()
                && let Some(item) = confirm_live::<K>(shard, found, key, now)
            {
                hits += 1;
                report(number, Some(hit(local, item)));
            } else {
                seek(local, &Target { shard, hash: slot.hash, key, now, hint: slot.hint() }, number, report);
            }
        }
        local.counters.hits += hits;
    }
}

/// Reads a key that the batch did not find, or not any more.
#[inline(never)]
fn seek<'c, F: FnMut(usize, Option<Value<'_>>)>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    number: usize,
    report: &mut F,
) {
    if target.key.len() > KEY_LEN_MAX {
        return report(number, None);
    }
    match execute(local, target, &Op::get(target.key)) {
        Outcome::Hit(value) => report(number, Some(value)),
        _ => report(number, None),
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
        let shard = local.shared.shard_of(hash);
        let mut hint = None;
        if let Action::Put(ref put) = op.action {
            let home = shard.home(hash);
            let found = shard.probe::<K>(home.word, hash, op.key);
            if let Some(found) = found
                && !found.place.is_frozen()
                && !home.word.is_splitting()
            {
                let item = Item::load(shard, found.place.item());
                if !item.is_expired(now)
                    && local.has_limbo_room()
                    && overwrite::<K>(local, shard, found, item, op.key, put, now)
                {
                    local.counters.stores += 1;
                    return Outcome::Stored { old: Some(value(local, &item)) };
                }
            }
            hint = Some(Lookup { home, found });
        }
        execute(local, &Target { shard, hash, key: op.key, now, hint }, op)
    }
}

/// Reads one key and counts that: what is done so often that it is worth a way of its own. What goes in and what comes out fits into
/// registers: the fewer instructions a read has, the more reads the processor has under way at a time.
pub(crate) struct Find<'l, 'c, 'k>(pub(crate) &'l mut Local<'c>, pub(crate) Millis, pub(crate) &'k [u8]);

impl<'l, 'c, 'k> From<(&'l mut Local<'c>, Millis, &'k [u8])> for Find<'l, 'c, 'k> {
    #[inline(always)]
    fn from((local, now, key): (&'l mut Local<'c>, Millis, &'k [u8])) -> Self {
        Self(local, now, key)
    }
}

impl<'c> Work for Find<'_, 'c, '_> {
    type Output = Option<Spot<'c>>;

    #[inline(always)]
    fn run<K: Kernels>(self) -> Option<Spot<'c>> {
        let Self(local, now, key) = self;
        if key.len() > KEY_LEN_MAX {
            return None;
        }
        let hash = KeyHash(K::hash(&local.shared.seed, key));
        let shard = local.shared.shard_of(hash);
        let word = shard.home(hash).word;
        let Some((_, item)) = shard.probe_for::<K>(word, hash, |item| item.answers::<K>(key, now)) else {
            local.count_miss();
            return None;
        };
        item.mark_used();
        local.count_hit();
        Some(Spot::of(item))
    }
}

/// Hashes the keys, and asks for the words of their buckets. Answers the slots of the batch; what a probe finds is still that of
/// an earlier one.
#[inline(always)]
fn hash<'s, 'c, 'k, K: Kernels>(
    shared: &'c Shared,
    slots: &'s mut Slots<'c>,
    mut keys: impl ExactSizeIterator<Item = &'k [u8]>,
) -> &'s mut [Slot<'c>] {
    let slots = &mut slots.0[..keys.len()];
    for slot in slots.iter_mut() {
        let Some(key) = keys.next() else { break };
        let hash = KeyHash(K::hash(&shared.seed, key));
        let shard = shared.shard_of(hash);
        let (bucket, level) = shard.first_bucket(hash);
        let at = shard.directory_at(bucket);
        prefetch_read(shard.part.hint(at));
        (slot.hash, slot.shard, slot.at) = (hash, shard.part, at);
        slot.level = level as u8;
    }
    slots
}

/// Finds the image of each, then the item that has the key if any has.
#[inline(always)]
fn probe<K: Kernels>(shared: &Shared, slots: &mut [Slot<'_>]) {
    for slot in slots.iter_mut() {
        let shard = slot.shard(shared);
        slot.word = shard.home_from(slot.hash, u32::from(slot.level), shard.load_at(slot.at)).word;
        prefetch_56(slot.shard.hint(offset_of(slot.word.image())));
    }
    for slot in slots.iter_mut() {
        let image = Image::of(slot.shard(shared), slot.word);
        let candidates = image.candidates::<K>(slot.hash.tag());
        if candidates == 0 {
            slot.place = Place::HOLE;
            continue;
        }
        slot.at = image.place_at(candidates.trailing_zeros() as usize);
        slot.place = Place::load(slot.shard, slot.at);
        if slot.place.item() == 0 {
            // A hole says nothing about the other candidates.
            slot.forget();
            continue;
        }
        prefetch_56(slot.shard.hint(offset_of(slot.place.item())));
    }
}

/// Asks for the bytes at `p` and the 56 behind it: all of most images and small items, and seldom a line that is not needed.
#[inline(always)]
fn prefetch_56(p: *const u8) {
    prefetch_read(p);
    prefetch_read(p.wrapping_add(56));
}

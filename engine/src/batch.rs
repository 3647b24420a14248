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
use crate::index::{Found, Home, Image, Lookup};
use crate::local::Local;
use crate::op::{Op, Outcome};
use crate::ops::{Target, execute, refuse_key};
use crate::shared::KeyHash;
use crate::time::Millis;
use crate::{BATCH, KEY_LEN_MAX};

/// What is known about one operation of the batch.
#[derive(Clone, Copy)]
struct Slot {
    hash: KeyHash,
    bucket: u64,
    level: u32,
    lookup: Option<Lookup>,
}

/// Executes up to [`BATCH`] operations and reports each outcome, in order; stops before one that meets Pressure.
pub(crate) struct Execute<'l, 'c, 'o, F> {
    pub(crate) local: &'l mut Local<'c>,
    pub(crate) now: Millis,
    pub(crate) ops: &'o [Op<'o>],
    /// Number of the first of them, for the sink.
    pub(crate) first: usize,
    pub(crate) sink: &'l mut F,
}

impl<F: FnMut(usize, Outcome<'_>)> Work for Execute<'_, '_, '_, F> {
    /// How many were executed.
    type Output = usize;

    #[inline(always)]
    fn run<K: Kernels>(self) -> usize {
        let Self { local, now, ops, first, sink } = self;
        if let [op] = ops {
            return match alone::<K>(local, now, op) {
                Outcome::Refused(StoreError::Pressure) => 0,
                outcome => {
                    sink(first, outcome);
                    1
                }
            };
        }
        let mut slots = [const { None::<Slot> }; BATCH];
        prefetch::<K>(local, ops, &mut slots);
        let grip = local.grip;
        for (i, (op, slot)) in ops.iter().zip(&slots).enumerate() {
            let Some(slot) = slot else {
                sink(first + i, refuse_key(op));
                continue;
            };
            let shard = local.shared.shard(slot.hash.shard(local.shared.geometry.shards));
            // Room had to be made meanwhile: what was seen before may be gone.
            let hint = if grip == local.grip { slot.lookup.as_ref() } else { None };
            let target = Target { shard, hash: slot.hash, key: op.key, now, hint };
            match execute::<K>(local, &target, op) {
                Outcome::Refused(StoreError::Pressure) => return i,
                outcome => sink(first + i, outcome),
            }
        }
        ops.len()
    }
}

/// Executes one operation and answers its outcome.
pub(crate) struct Alone<'l, 'c, 'o> {
    pub(crate) local: &'l mut Local<'c>,
    pub(crate) now: Millis,
    pub(crate) op: &'o Op<'o>,
}

impl<'c> Work for Alone<'_, 'c, '_> {
    type Output = Outcome<'c>;

    #[inline(always)]
    fn run<K: Kernels>(self) -> Outcome<'c> {
        alone::<K>(self.local, self.now, self.op)
    }
}

/// One operation, which has nobody to share its waits with.
#[inline(always)]
fn alone<'c, K: Kernels>(local: &mut Local<'c>, now: Millis, op: &Op<'_>) -> Outcome<'c> {
    if op.key.len() > KEY_LEN_MAX {
        return refuse_key(op);
    }
    let hash = KeyHash(K::hash(&local.shared.seed, op.key));
    let shard = local.shared.shard(hash.shard(local.shared.geometry.shards));
    execute::<K>(local, &Target { shard, hash, key: op.key, now, hint: None }, op)
}

#[inline(always)]
fn prefetch<K: Kernels>(local: &Local<'_>, ops: &[Op<'_>], slots: &mut [Option<Slot>; BATCH]) {
    let shared = local.shared;
    let shards = shared.geometry.shards;
    for (op, slot) in ops.iter().zip(slots.iter_mut()) {
        if op.key.len() > KEY_LEN_MAX {
            continue;
        }
        let hash = KeyHash(K::hash(&shared.seed, op.key));
        let shard = shared.shard(hash.shard(shards));
        let (bucket, level) = shard.first_bucket(hash);
        prefetch_read(core::ptr::from_ref(shard.directory(bucket)).cast());
        *slot = Some(Slot { hash, bucket, level, lookup: None });
    }
    for slot in slots.iter_mut().flatten() {
        let shard = shared.shard(slot.hash.shard(shards));
        let home = shard.home_from(slot.hash, slot.bucket, slot.level);
        slot.lookup = Some(Lookup { home, found: None });
        let image = shared.region.hint(shard.at(home.word.image()));
        prefetch_read(image);
        prefetch_read(
            image.wrapping_add(crate::index::image_granules(home.word.len()) as usize * GRANULE - 1),
        );
    }
    for slot in slots.iter_mut().flatten() {
        let shard = shared.shard(slot.hash.shard(shards));
        let Some(lookup) = &mut slot.lookup else { continue };
        let home: Home = lookup.home;
        if home.word.len() == 0 {
            continue;
        }
        let image = Image::of(shard, home.word);
        let candidates = image.candidates::<K>(slot.hash.tag());
        if candidates != 0 {
            let index = candidates.trailing_zeros();
            let place = image.place(index as usize);
            if place.item() == 0 {
                // A hole says nothing about the other candidates.
                slot.lookup = None;
                continue;
            }
            lookup.found = Some(Found { index, place });
            let item = shared.region.hint(shard.at(place.item()));
            prefetch_read(item);
            prefetch_read(item.wrapping_add(56));
        }
    }
}

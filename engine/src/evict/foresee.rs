//! Prefetching for those who are about to leave the nursery.

use super::nursery::{Nursery, Oldest};
use crate::arch::{Kernels, Work, prefetch_read};
use crate::config::{GRANULE, offset_of};
use crate::index::image_granules;
use crate::item::Item;
use crate::shared::{KeyHash, Shard};

/// Items whose look-ups are foreseen at a time.
pub(super) const FORESEEN: usize = 16;

/// Asks for the memory that looking the oldest of the nursery up will wait for, those that make up so many granules. It is
/// the batch's way (`batch.rs`): one after the other they would wait for it twice each.
pub(super) fn foresee(nursery: &Nursery<'_>, granules: u32) {
    let shard = nursery.shard();
    let mut items = heapless::Vec::<Item<'_>, FORESEEN>::new();
    let (mut next, mut left) = (nursery.oldest(), granules.min(nursery.used()));
    while let Some(at) = next
        && left > 0
        && !items.is_full()
    {
        let size = match Nursery::meet(shard, at) {
            Oldest::Unsettled => break,
            Oldest::Filler(size) => size,
            Oldest::Item(item) => {
                // It is not full.
                let _ = items.push(item);
                item.granules()
            }
        };
        left = left.saturating_sub(size);
        next = Some(nursery.following(at, size));
    }
    if items.len() > 1 {
        shard.shared.level.dispatch(Foresee { shard, items: &items });
    }
}

struct Foresee<'i, 'c> {
    shard: Shard<'c>,
    items: &'i [Item<'c>],
}

impl Work for Foresee<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernels>(self) {
        let Self { shard, items } = self;
        let shared = shard.shared;
        let mut directory = [0; FORESEEN];
        for (item, directory) in items.iter().zip(&mut directory) {
            let (bucket, _) = shard.first_bucket(KeyHash(K::hash(&shared.seed, item.key())));
            *directory = shard.directory_at(bucket);
            prefetch_read(shard.part.hint(*directory));
        }
        for &directory in &directory[..items.len().min(FORESEEN)] {
            let word = shard.load_at(directory);
            let image = shard.part.hint(offset_of(word.image()));
            prefetch_read(image);
            prefetch_read(image.wrapping_add(image_granules(word.len()) as usize * GRANULE - 1));
        }
    }
}

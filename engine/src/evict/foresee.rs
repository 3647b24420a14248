//! Prefetching for those who are about to leave the nursery.

use super::ghost::Ghost;
use super::nursery::{Nursery, Oldest};
use crate::arch::{Kernels, Work, prefetch_read};
use crate::config::{GRANULE, offset_of};
use crate::index::image_granules;
use crate::item::Item;
use crate::shared::{KeyHash, Shard};

/// Items whose look-ups are foreseen at a time.
pub(super) const FORESEEN: usize = 16;

/// The oldest of the nursery, as they were met in one go, and the hashes of their keys.
#[derive(Debug, Default)]
pub(super) struct Foreseen {
    /// Oldest last.
    items: heapless::Vec<(u32, KeyHash), FORESEEN>,
}

impl Foreseen {
    /// Asks for the memory that looking the oldest of the nursery up will wait for, those that make up so many granules. It is
    /// the batch's way (`batch.rs`): one after the other they would wait for it twice each.
    pub(super) fn of(nursery: &Nursery<'_>, ghost: &Ghost<'_>, granules: u32) -> Self {
        let shard = nursery.shard();
        let mut items = heapless::Vec::<(u32, Item<'_>), FORESEEN>::new();
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
                    let _ = items.push((at, item));
                    item.granules()
                }
            };
            left = left.saturating_sub(size);
            next = Some(nursery.following(at, size));
        }
        let mut foreseen = Self::default();
        if !items.is_empty() {
            shard.shared.level.dispatch(Foresee { shard, ghost, items: &items, foreseen: &mut foreseen });
        }
        foreseen
    }

    /// The hash of the oldest, which lies at `at`, if it is the next that was foreseen.
    pub(super) fn take(&mut self, at: u32) -> Option<KeyHash> {
        self.items.pop().filter(|&(next, _)| next == at).map(|(_, hash)| hash)
    }
}

struct Foresee<'i, 'c> {
    shard: Shard<'c>,
    ghost: &'i Ghost<'c>,
    items: &'i [(u32, Item<'c>)],
    foreseen: &'i mut Foreseen,
}

impl Work for Foresee<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernels>(self) {
        let Self { shard, ghost, items, foreseen } = self;
        for &(at, item) in items.iter().rev() {
            let hash = KeyHash(K::hash(&shard.shared.seed, item.key()));
            // There are no more of them than it holds.
            let _ = foreseen.items.push((at, hash));
            prefetch_read(shard.part.hint(shard.directory_at(shard.first_bucket(hash).0)));
        }
        for &(_, hash) in &foreseen.items {
            ghost.foresee(hash);
            let word = shard.load(shard.first_bucket(hash).0);
            let image = shard.part.hint(offset_of(word.image()));
            prefetch_read(image);
            prefetch_read(image.wrapping_add(image_granules(word.len()) as usize * GRANULE - 1));
        }
    }
}

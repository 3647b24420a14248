//! The oldest leave the nursery: into main, or out of the cache.

use super::foresee::{FORESEEN, Foreseen};
use super::ghost::Ghost;
use super::nursery::{Nursery, Oldest};
use super::{Evictor, is_exempt};
use crate::arena::NoBlock;
use crate::arena::block::BLOCK_GRANULES_MIN;
use crate::index::{Change, Failed};
use crate::item::Item;
use crate::shared::KeyHash;
use crate::sync::Acquire;

/// Blocks that leave the nursery in one call at most, beyond those that make up the room asked for.
const LEAVING_MAX: u32 = 256;

impl<'c> Evictor<'_, 'c> {
    /// Lets the oldest leave the nursery until so many granules of it are free or waiting.
    pub(super) fn clear_nursery(&mut self, goal: u32, granules: u32) -> u32 {
        let shard = self.shard();
        let nursery = Nursery::of(shard);
        let mut evicted = 0;
        let goal = goal.min(nursery.len());
        let (ghost, mut foreseen) = (Ghost::of(shard), Foreseen::default());
        for step in 0..LEAVING_MAX + 2 * granules / BLOCK_GRANULES_MIN {
            nursery.reclaim(shard.shared.epoch().load(Acquire));
            let there = nursery.free() + nursery.waiting();
            if there >= goal || self.local.limbo_is_tight() {
                break;
            }
            if step.is_multiple_of(FORESEEN as u32) {
                foreseen = Foreseen::of(&nursery, &ghost, goal - there);
            }
            self.local.counters.walked += 1;
            let Some(at) = nursery.oldest() else { break };
            let item = match Nursery::meet(shard, at) {
                // Its writer is at work at this moment.
                Oldest::Unsettled => break,
                Oldest::Filler(size) => {
                    self.locked.leave_nursery(size, false);
                    continue;
                }
                Oldest::Item(item) => item,
            };
            let hash = foreseen.take(at).unwrap_or_else(|| self.hash(&item));
            let mut left = self.leave(at, &item, hash, &ghost);
            if left.is_err() {
                // Main has no place for one that deserves it (or a split that was met no memory: then whoever inserts makes some).
                let made = self.make_run(item.granules());
                if !made.nowhere {
                    return evicted + made.evicted;
                }
                // And cannot have one: it must not stop the ring.
                left = self.remove(at, &item, hash);
            }
            let Ok(gone) = left else { return evicted };
            evicted += u32::from(gone);
            self.locked.leave_nursery(item.granules(), true);
        }
        evicted
    }

    /// Decides about the oldest item of the nursery: true if it was evicted, an error if there is no place for it now.
    fn leave(&mut self, at: u32, item: &Item<'c>, hash: KeyHash, ghost: &Ghost<'_>) -> Result<bool, Failed> {
        let expired = item.is_over(self.now);
        if !expired && (item.uses() > 0 || is_exempt(self.shard(), item.granules())) {
            match self.move_to_main(at, item, hash) {
                Err(Failed::NoMemory(_)) if item.uses() == 0 => {}
                done => return done.map(|()| false),
            }
        }
        let gone = self.remove(at, item, hash)?;
        if gone && !expired {
            ghost.put(hash);
        }
        Ok(gone)
    }

    /// Copies an item into main and lets its place point there; nothing if it is not in the index any more.
    fn move_to_main(&mut self, at: u32, item: &Item<'c>, hash: KeyHash) -> Result<(), Failed> {
        let shard = self.shard();
        loop {
            let Some(lookup) = shard.look_up_item(self, hash, at)? else { return Ok(()) };
            let (to, got) =
                self.locked.allocate(item.granules_min()).ok_or(Failed::NoMemory(NoBlock::Full))?;
            item.copy_to(to, got, 0);
            match shard.commit(self, hash, &lookup, Change::Put(to)) {
                Ok(()) => {
                    self.local.counters.copies += 1;
                    return Ok(());
                }
                Err(failed) => {
                    self.locked.release(to);
                    if failed != Failed::Conflict {
                        return Err(failed);
                    }
                }
            }
        }
    }
}

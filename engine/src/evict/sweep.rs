//! What has expired goes without being in the way.

use super::Evictor;
use super::nursery::{Nursery, Oldest};
use crate::config::SHARD_SWEEP;
use crate::item::Item;
use crate::sync::Relaxed;

impl Evictor<'_, '_> {
    /// Looks at the next `blocks` blocks of main, and as many of the nursery, for expired items.
    pub(super) fn sweep(&mut self, blocks: u32) -> u32 {
        let mut evicted = self.sweep_nursery(blocks);
        let mut at = self.cursor(SHARD_SWEEP);
        for _ in 0..blocks {
            if self.local.limbo_is_tight() {
                break;
            }
            if at == self.shard().shared.geometry.arena_end {
                at = self.shard().first_block();
                break;
            }
            let size = match Item::meet(self.shard(), at) {
                Err(header) => header.granules(),
                Ok(item) => {
                    if item.is_over(self.now) {
                        evicted += u32::from(matches!(self.remove(at, &item, self.hash(&item)), Ok(true)));
                    }
                    item.granules()
                }
            };
            at += size;
        }
        self.shard().word(SHARD_SWEEP).store(at, Relaxed);
        evicted
    }

    /// Lets the oldest leave the nursery as long as they have expired. Who came later usually expires later.
    fn sweep_nursery(&mut self, blocks: u32) -> u32 {
        let shard = self.shard();
        let nursery = Nursery::of(shard);
        let mut evicted = 0;
        for _ in 0..blocks {
            let Some(at) = nursery.oldest() else { break };
            match Nursery::meet(shard, at) {
                Oldest::Filler(size) => self.locked.leave_nursery(size, false),
                Oldest::Item(item) if item.is_over(self.now) && !self.local.limbo_is_tight() => {
                    let Ok(gone) = self.remove(at, &item, self.hash(&item)) else { break };
                    evicted += u32::from(gone);
                    self.locked.leave_nursery(item.granules(), true);
                }
                _ => break,
            }
        }
        evicted
    }
}

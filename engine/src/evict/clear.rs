//! Clears a place for the next chunk of the index, from the low end of main upwards, where those lie that it got in a full cache.

use super::Evictor;
use super::hand::{SPARING, STEPS_MAX, Walk};
use crate::config::{SHARD_CLEARED_FROM, SHARD_CLEARING};
use crate::item::Item;
use crate::sync::Relaxed;

impl Evictor<'_, '_> {
    /// Takes chunks as far as the index will want them soon and room for them has come back; else makes room, in so many steps.
    pub(super) fn refill_index(&mut self, steps_max: u32) -> u32 {
        let (shard, locked) = (self.shard(), self.locked);
        let (born, half) = (shard.born().load(Relaxed), shard.shared.geometry.chunk_granules() / 2);
        // What was begun is brought to its end, though others have given images or items back meanwhile.
        let began = locked.is_clearing();
        let mut ready = !shard.is_crowded(if began { 15 } else { 16 })
            || born >= shard.shared.geometry.buckets_max()
            || locked.ensure_directory(born, false);
        if !locked.has_for_images(if began { half } else { self.local.index_goal() }) {
            ready &= locked.add_chunk(false);
        }
        if ready {
            return 0;
        }
        self.clear(steps_max).evicted
    }

    /// Takes a chunk for a write that cannot go on without, or makes room for one. Where nobody lets what was cleared be used, any hole
    /// has to do.
    pub(super) fn make_chunk(&mut self, granules: u32) -> u32 {
        if self.locked.add_chunk(false) {
            return 0;
        }
        let walk = self.clear(STEPS_MAX + granules);
        if walk.steps == 0 {
            self.locked.add_chunk(true);
        }
        walk.evicted
    }

    /// Goes on evicting and moving what lies in the way of the next chunk, until all of it is on its way.
    fn clear(&mut self, steps_max: u32) -> Walk {
        let shard = self.shard();
        let geometry = &shard.shared.geometry;
        let (first, wanted) = (shard.first_block(), geometry.chunk_granules());
        let half = first.midpoint(geometry.arena_end);
        let mut at = self.cursor(SHARD_CLEARING);
        let run = if self.locked.is_clearing() {
            at.saturating_sub(self.cursor(SHARD_CLEARED_FROM))
        } else {
            self.locked.hole_before(at).map_or(0, |(_, size)| size)
        };
        let mut walk = Walk::behind(run);
        self.local.go_on(shard);
        let mut laps = 0;
        while walk.steps < steps_max && walk.run < wanted && laps < 2 && !self.local.limbo_is_tight() {
            if at >= half {
                (at, walk.run, laps) = (first, 0, laps + 1);
                continue;
            }
            let run = walk.run;
            let size = self.pass(at, walk.steps < SPARING, &mut walk);
            if walk.run == 0 && run >= wanted / 2 && Item::meet(shard, at).is_ok() {
                // It cannot step aside, and would spoil too much.
                walk.run = run;
                self.pass(at, false, &mut walk);
            }
            at += size;
            walk.steps += 1;
        }
        let set = |word, value| shard.word(word).store(value, Relaxed);
        if walk.steps == 0 {
            return walk;
        }
        set(SHARD_CLEARING, at);
        set(SHARD_CLEARED_FROM, at - walk.run);
        self.locked.set_aside();
        self.local.counters.walked += u64::from(walk.steps);
        walk
    }
}

//! The hand goes over the blocks of main: the unused go, the used stay, those in the middle of what goes step aside.

use super::{Evictor, Made};
use crate::arena::block::{BLOCK_GRANULES_MIN, Kind};
use crate::config::SHARD_HAND;
use crate::index::Change;
use crate::item::Item;
use crate::sync::Relaxed;

/// Blocks after which the hand spares nobody in one call.
pub(super) const SPARING: u32 = 64;

/// Blocks that the hand looks at in one call at most, beyond those that make up the room asked for.
pub(super) const STEPS_MAX: u32 = 4096;

/// Blocks that the hand looks at when it makes room ahead of need.
const STEPS_AHEAD: u32 = 96;

/// From so many granules on nobody goes for a run before it is known that nothing stands in its way that has to stay: 16 KiB.
const FORESEEN_MIN: u32 = 1 << 12;

/// Granules of survivors that are moved in one call at most: 256 KiB.
const MOVED_MAX: u32 = 64 << 10;

/// How far the hand has come in one call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk {
    pub(super) steps: u32,
    /// Blocks looked at ahead of the hand that it has not passed (yet), and up to where nothing that has to stay was found.
    looks: u32,
    clear: u32,
    laps: u32,
    /// Granules in a row, up to where the hand is, that are free or on their way there.
    pub(super) run: u32,
    /// Granules evicted.
    freed: u32,
    /// Items evicted.
    pub(super) evicted: u32,
    /// Granules moved.
    moved: u32,
}

impl Walk {
    /// Goes on behind a run of so many granules.
    pub(super) fn behind(run: u32) -> Self {
        Self { run, ..Self::default() }
    }
}

impl<'c> Evictor<'_, 'c> {
    /// Evicts until blocks that are free or on their way there make up a run of `granules`. If there is no room for such a run
    /// between blocks that have to stay (of the index, being filled, or kept by another handle), it evicts nobody for it.
    pub(super) fn make_run(&mut self, granules: u32) -> Made {
        if granules < FORESEEN_MIN {
            return self.evict_run(granules);
        }
        self.walk(SPARING, STEPS_MAX + granules, granules, |walk| walk.run >= granules)
    }

    /// The same without looking ahead.
    fn evict_run(&mut self, granules: u32) -> Made {
        // What cannot be spared adds to the run, so the steps are bounded by the size asked for.
        self.walk(SPARING, STEPS_MAX + granules, 0, |walk| walk.run >= granules)
    }

    /// Evicts until the reserve is there, counting what is on its way. Where enough is free, but in crumbs, the reserve is made in
    /// one piece: those who stay can step aside to it, and the crumbs between them come together. The same for the index.
    pub(super) fn refill_reserve(&mut self) -> u32 {
        let (coming, reserve) = (self.local.expected[self.shard().number()], self.local.reserve());
        let wanted = reserve.saturating_sub(self.shard().free_word().load(Relaxed) + coming);
        let crumbled = coming < reserve && self.locked.is_crumbled(reserve);
        let done = |walk: &Walk| walk.freed >= wanted && (!crumbled || walk.run >= reserve);
        let before = self.local.counters.walked;
        let made = self.walk(STEPS_AHEAD, STEPS_AHEAD, 0, done);
        let steps_left = STEPS_AHEAD - (self.local.counters.walked - before) as u32;
        made.evicted + self.refill_index(steps_left)
    }

    /// Moves the hand on until it is done, where a run of `wanted` granules can be (0: anywhere); after `sparing` steps it spares
    /// nobody.
    fn walk(&mut self, sparing: u32, steps_max: u32, wanted: u32, done: impl Fn(&Walk) -> bool) -> Made {
        let mut walk = Walk::default();
        let mut at = self.cursor(SHARD_HAND);
        let foresees = wanted > 0;
        if foresees && let Some((_, size)) = self.locked.hole_before(at) {
            // What an earlier call has begun.
            walk.run = size;
        }
        let start = at;
        let been_round = |walk: &Walk, at| walk.steps == 0 && walk.laps > 0 && at >= start;
        while walk.steps + walk.looks / 2 < steps_max
            && walk.laps <= 2
            && !done(&walk)
            && !self.local.limbo_is_tight()
            && !been_round(&walk, at)
        {
            if at == self.shard().shared.geometry.arena_end {
                at = self.shard().first_block();
                (walk.run, walk.clear, walk.laps) = (0, at, walk.laps + 1);
                continue;
            }
            if foresees && let Some(behind) = self.obstacle(at, wanted, &mut walk) {
                (at, walk.run) = (behind, 0);
                continue;
            }
            // One that was looked at before counts once.
            walk.looks = walk.looks.saturating_sub(u32::from(at < walk.clear));
            at += self.pass(at, walk.steps < sparing, &mut walk);
            walk.steps += 1;
        }
        self.shard().word(SHARD_HAND).store(at, Relaxed);
        self.local.counters.walked += u64::from(walk.steps + walk.looks);
        Made { evicted: walk.evicted, nowhere: been_round(&walk, at) && !done(&walk) }
    }

    /// Where the hand may go on if something that has to stay is too near for the run to become `wanted` granules long. Each block
    /// is looked at once.
    fn obstacle(&self, at: u32, wanted: u32, walk: &mut Walk) -> Option<u32> {
        walk.clear = walk.clear.max(at);
        while walk.run + (walk.clear - at) < wanted {
            if walk.clear == self.shard().shared.geometry.arena_end {
                return Some(walk.clear);
            }
            walk.looks += 1;
            let (size, stays) = match Item::meet(self.shard(), walk.clear) {
                Ok(item) => (item.granules(), false),
                Err(header) => (header.granules(), header.kind() != Kind::Free),
            };
            walk.clear += size;
            if stays {
                return Some(walk.clear);
            }
        }
        None
    }

    /// Lets the hand pass one block. Answers its size.
    pub(super) fn pass(&mut self, at: u32, sparing: bool, walk: &mut Walk) -> u32 {
        let item = match Item::meet(self.shard(), at) {
            Ok(item) => item,
            Err(header) => {
                // Free, or in use by the index, or being filled.
                walk.run = if header.kind() == Kind::Free { walk.run + header.granules() } else { 0 };
                return header.granules();
            }
        };
        let size = item.granules();
        if sparing && item.uses() > 0 && !item.is_over(self.now) {
            item.take_use();
            self.step_aside(at, &item, walk);
            return size;
        }
        match self.remove(at, &item, self.hash(&item)) {
            // Or somebody else took it out of the index: then it is on its way back as well, but for what is still to be put in
            // (a writer about to commit, a reservation), and then the run comes
            // out shorter than it was counted.
            Ok(_) => {
                walk.run += size;
                walk.freed += size;
                walk.evicted += 1;
            }
            Err(_) => walk.run = 0,
        }
        size
    }

    /// Moves a survivor with free memory before it out of the way, so that holes come together: down over the hole before it,
    /// or to a hole elsewhere. Copies never overlap, so readers of the old place are not disturbed.
    fn step_aside(&mut self, at: u32, item: &Item<'c>, walk: &mut Walk) {
        let run = core::mem::take(&mut walk.run);
        let size = item.granules();
        if run == 0 || walk.moved + size > MOVED_MAX || self.local.limbo_is_tight() {
            return;
        }
        let (shard, hash) = (self.shard(), self.hash(item));
        let Ok(Some(lookup)) = shard.look_up_item(self, hash, at) else { return };
        let needed = item.granules_min();
        let (to, got, run) = match self.locked.hole_before(at) {
            // A hole of just its size would only change places with it.
            Some((hole, size)) if size >= needed + BLOCK_GRANULES_MIN => {
                let (to, got) = self.locked.allocate_at(hole, size, needed);
                // What is left of the hole, and its old place.
                (to, got, size - got + item.granules())
            }
            _ => {
                let Some((to, got)) = self.locked.allocate(needed) else { return };
                if (at.saturating_sub(run)..at).contains(&to) {
                    // That is what is to come together.
                    return self.locked.release(to);
                }
                (to, got, run + size)
            }
        };
        // Where the hand comes by once more in this lap it loses its use then.
        item.copy_to(to, got, if to > at { item.uses() } else { item.uses() - 1 });
        // Whoever was faster has changed the item: then it need not move.
        if shard.commit(self, hash, &lookup, Change::Put(to)).is_err() {
            return self.locked.release(to);
        }
        self.local.counters.copies += 1;
        (walk.run, walk.moved) = (run, walk.moved + size);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::local::Local;
    use crate::shared::Shard;
    use crate::{Cache, Config, Millis};

    /// Who cannot wait for the lock leaves a block to whoever has it, who may be the hand, on its way to it.
    #[test]
    fn the_hand_passes_items_that_were_abandoned_meanwhile() {
        let mut region = std::vec![0; 1 << 20];
        let config = Config { shards: 1, seed: [1, 2, 3, 4], ..Config::default() };
        let cache = Cache::in_filled(&mut region, config).expect("large enough");
        let (mut handle, now) = (cache.handle().expect("the first"), Millis(0));
        let mut local = Local::join(&cache.shared).expect("the second");
        for key in 0..50_u32 {
            handle.put(now, &key.to_le_bytes(), &[1; 100]).expect("room");
        }
        let mut rooms = [8, 1000, 2000].map(|len| handle.reserve(now, b"key", len, 0, None).expect("room"));
        for room in &mut rooms {
            room.value().fill(2);
            room.finish();
        }
        handle.put(now, b"key", b"another").expect("room");
        handle.quiescent(now);
        let shard = cache.shared.shard(0);
        let locked = shard.try_lock().expect("nobody has it");
        drop(rooms);
        let mut evictor = Evictor { local: &mut local, locked: &locked, now };
        // Nobody is spared. It begins behind them.
        evictor.walk(0, 400, 0, |walk| walk.laps == 2);
        drop(locked);
        // Three are not in the index, and a fourth of the same key is.
        assert_eq!(local.counters.evictions, 51);
        for _ in 0..4 {
            handle.quiescent(now);
            local.quiescent(now);
        }
        local.leave();
        let abandoned = |shard: Shard<'_>| shard.try_lock().expect("nobody has it").verify().items.len();
        assert_eq!(abandoned(shard), 3);
        handle.sweep(now, 1);
        assert_eq!(abandoned(shard), 0);
    }
}

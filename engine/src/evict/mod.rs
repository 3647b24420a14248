//! Making room: who has to go.
//!
//! While main has room, everybody goes there. Once it is full, newcomers begin in the **nursery** (`nursery.rs`, a ring):
//! - the oldest leaves the ring: used since it was a quarter of the ring old -> into main; unused -> into main only while main
//!   has more than twice its reserve free, else it goes, and the **ghost** (`ghost.rs`) remembers it;
//! - who is remembered, or too large for the ring, goes straight to main;
//! - an item of main that is overwritten stays in main, with its uses.
//!
//! In main a **hand** goes over the items in the order of their addresses, so that what it evicts lies side by side and
//! coalesces: an item that was used since the hand last passed loses one of its uses (0 to 3) and stays; an unused or expired
//! one goes. After [`SPARING`] blocks in one call the hand spares nobody, so that the work is bounded by the size asked for.
//!
//! The parts are those of S3-FIFO (Yang and others, SOSP 2023), with a CLOCK in place of its main queue. What goes is taken
//! out of the index at once and given back after its grace period; so room is made a little ahead of need, whenever a handle
//! is quiescent and its shard has fallen below the reserve.

pub(crate) mod ghost;
pub(crate) mod nursery;

use crate::arch::{Kernels, Work};
use crate::arena::block::{BLOCK_GRANULES_MIN, Kind};
use crate::arena::{Locked, NoBlock};
use crate::config::{SHARD_HAND, SHARD_SWEEP};
use crate::index::{Change, Failed, Lookup, Memory};
use crate::item::Item;
use crate::local::Local;
use crate::shared::{KeyHash, Shard};
use crate::sync::{Acquire, Relaxed};
use crate::time::Millis;
use ghost::Ghost;
use nursery::{Nursery, Oldest};

/// Blocks after which the hand spares nobody in one call.
const SPARING: u32 = 64;

/// Blocks that the hand looks at in one call at most, beyond those that make up the room asked for.
const STEPS_MAX: u32 = 4096;

/// Blocks that the hand looks at when it makes room ahead of need.
const STEPS_AHEAD: u32 = 96;

/// Blocks that leave the nursery in one call at most, beyond those that make up the room asked for.
const LEAVING_MAX: u32 = 256;

/// The least that is evicted at a time, in granules, so that the cost of a grace period is shared.
const GRANULES_MIN: u32 = 256;

/// Where room is wanted, and how many granules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    Main(u32),
    Nursery(u32),
}

/// Moves the hand, and the tail of the nursery, until there is room.
#[derive(Debug)]
pub(crate) struct MakeRoom<'l, 'c> {
    local: &'l mut Local<'c>,
    shard: Shard<'c>,
    goal: Goal,
    now: Millis,
}

#[derive(Clone, Copy, Debug)]
enum Goal {
    /// So many granules in a row in main.
    Block(u32),
    /// So many granules of the nursery.
    Nursery(u32),
    /// The reserve, as far as some steps lead.
    Reserve,
    /// Only what has expired, in so many blocks.
    Expired(u32),
}

impl<'l, 'c> MakeRoom<'l, 'c> {
    pub(crate) fn for_block(local: &'l mut Local<'c>, shard: Shard<'c>, room: Room, now: Millis) -> Self {
        let goal = match room {
            Room::Main(granules) => Goal::Block(granules),
            Room::Nursery(granules) => Goal::Nursery(granules),
        };
        Self { local, shard, goal, now }
    }

    /// Free granules, waiting ones included, that the nursery should have.
    pub(crate) fn nursery_goal(nursery: &Nursery<'_>) -> u32 {
        nursery.len() / 16
    }

    pub(crate) fn ahead(local: &'l mut Local<'c>, shard: Shard<'c>, now: Millis) -> Self {
        Self { local, shard, goal: Goal::Reserve, now }
    }

    pub(crate) fn expired(local: &'l mut Local<'c>, shard: Shard<'c>, blocks: u32, now: Millis) -> Self {
        Self { local, shard, goal: Goal::Expired(blocks), now }
    }
}

impl MakeRoom<'_, '_> {
    /// Answers how many items were evicted.
    pub(crate) fn run(self) -> u32 {
        let Some(locked) = self.shard.try_lock() else { return 0 };
        let mut evictor = Evictor { local: self.local, locked: &locked, now: self.now };
        match self.goal {
            Goal::Block(granules) => evictor.make_run(granules),
            Goal::Nursery(granules) => {
                let goal = MakeRoom::nursery_goal(&Nursery::of(self.shard)).max(2 * granules);
                evictor.clear_nursery(goal, granules)
            }
            Goal::Reserve => {
                let goal = MakeRoom::nursery_goal(&Nursery::of(self.shard));
                evictor.refill_reserve() + evictor.clear_nursery(goal, 0)
            }
            Goal::Expired(blocks) => evictor.sweep(blocks),
        }
    }
}

/// What the hand needs while it holds the shard's lock: memory for images comes through the lock that is held.
struct Evictor<'e, 'c> {
    local: &'e mut Local<'c>,
    locked: &'e Locked<'c>,
    now: Millis,
}

/// What the hand met.
enum Met {
    Free,
    /// In use by the index, or being filled.
    Raw,
    /// Used since the hand last came, and spared.
    Spared,
    /// Evicted, by us or by somebody else.
    Gone,
}

impl<'c> Evictor<'_, 'c> {
    fn shard(&self) -> Shard<'c> {
        self.locked.shard
    }

    /// Evicts until blocks that are free or on their way there make up a run of `granules`.
    fn make_run(&mut self, granules: u32) -> u32 {
        let (mut run, mut freed, mut evicted, mut laps) = (0, 0, 0, 0);
        let mut at = self.cursor(SHARD_HAND);
        for step in 0.. {
            // What cannot be spared adds to the run, so the steps are bounded by the size asked for.
            if (run >= granules && freed >= GRANULES_MIN.min(granules * 8))
                || step > STEPS_MAX + granules
                || laps > 2
                || self.local.limbo_is_tight()
            {
                break;
            }
            if at == self.shard().shared.geometry.arena_end {
                (at, run, laps) = (self.shard().first_block(), 0, laps + 1);
                continue;
            }
            let (met, size) = self.meet(at, step < SPARING, false);
            match met {
                Met::Free => run += size,
                Met::Raw | Met::Spared => run = 0,
                Met::Gone => (run, freed, evicted) = (run + size, freed + size, evicted + 1),
            }
            at += size;
        }
        self.shard().word(SHARD_HAND).store(at, Relaxed);
        evicted
    }

    fn refill_reserve(&mut self) -> u32 {
        let (mut freed, mut evicted) = (0, 0);
        let shard = self.shard();
        let coming = self.local.expected[shard.number as usize & 255];
        let wanted = shard.shared.geometry.reserve.saturating_sub(shard.free_word().load(Relaxed) + coming);
        let mut at = self.cursor(SHARD_HAND);
        for _ in 0..STEPS_AHEAD {
            if freed >= wanted || self.local.limbo_is_tight() {
                break;
            }
            if at == self.shard().shared.geometry.arena_end {
                at = self.shard().first_block();
                continue;
            }
            let (met, size) = self.meet(at, true, false);
            if let Met::Gone = met {
                (freed, evicted) = (freed + size, evicted + 1);
            }
            at += size;
        }
        self.shard().word(SHARD_HAND).store(at, Relaxed);
        evicted
    }

    /// Lets the oldest leave the nursery until so many granules of it are free or waiting.
    fn clear_nursery(&mut self, goal: u32, granules: u32) -> u32 {
        let shard = self.shard();
        let nursery = Nursery::of(shard);
        let mut evicted = 0;
        for _ in 0..LEAVING_MAX + 2 * granules / BLOCK_GRANULES_MIN {
            nursery.reclaim(shard.shared.epoch().load(Acquire));
            if nursery.free() + nursery.waiting() >= goal.min(nursery.len()) || self.local.limbo_is_tight() {
                break;
            }
            let Some(at) = nursery.oldest() else { break };
            let item = match Nursery::meet(shard, at) {
                // Its writer is at work at this moment.
                Oldest::Unsettled => break,
                Oldest::Filler(granules) => {
                    self.locked.leave_nursery(granules, false);
                    continue;
                }
                Oldest::Item(item) => item,
            };
            let Ok(gone) = self.leave(at, &item) else {
                // Main has no place for one that deserves it.
                return evicted + self.make_run(item.granules());
            };
            evicted += u32::from(gone);
            self.locked.leave_nursery(item.granules(), true);
        }
        evicted
    }

    /// Decides about the oldest item of the nursery: true if it was evicted, an error if there is no place for it now.
    fn leave(&mut self, at: u32, item: &Item<'c>) -> Result<bool, Failed> {
        let expired = item.is_expired(self.now);
        // Well above the reserve, which the hand refills: else each newcomer let in would cost one of main's.
        let plenty = self.shard().free_word().load(Relaxed) > 2 * self.shard().shared.geometry.reserve;
        if !expired && (item.uses() > 0 || plenty) {
            match self.move_to_main(at, item) {
                Err(Failed::NoMemory(_)) if item.uses() == 0 => {}
                done => return done.map(|()| false),
            }
        }
        if !self.evict(at, item)? {
            return Ok(false);
        }
        self.local.counters.removed += 1;
        if expired {
            self.local.counters.expirations += 1;
        } else {
            self.local.counters.evictions += 1;
            Ghost::of(self.shard()).put(self.shard().shared.hash(item.key()));
        }
        Ok(true)
    }

    /// Copies an item into main and lets its place point there; nothing if it is not in the index any more.
    fn move_to_main(&mut self, at: u32, item: &Item<'c>) -> Result<(), Failed> {
        let shard = self.shard();
        let (hash, key) = (shard.shared.hash(item.key()), item.key());
        loop {
            let lookup = shard.shared.level.dispatch(LookUp { evictor: self, hash, key })?;
            if lookup.found.is_none_or(|found| found.place.item() != at) {
                return Ok(());
            }
            let (to, got) =
                self.locked.allocate(item.granules_min()).ok_or(Failed::NoMemory(NoBlock::Full))?;
            item.copy_to(to, got, 0);
            match shard.commit(self, hash, &lookup, Change::Put(to)) {
                Ok(()) => return Ok(()),
                Err(failed) => {
                    self.locked.release(to);
                    if failed != Failed::Conflict {
                        return Err(failed);
                    }
                }
            }
        }
    }

    /// Looks at the next `blocks` blocks for expired items.
    fn sweep(&mut self, blocks: u32) -> u32 {
        let mut evicted = 0;
        let mut at = self.cursor(SHARD_SWEEP);
        for _ in 0..blocks {
            if self.local.limbo_is_tight() {
                break;
            }
            if at == self.shard().shared.geometry.arena_end {
                at = self.shard().first_block();
                break;
            }
            let (met, size) = self.meet(at, true, true);
            evicted += u32::from(matches!(met, Met::Gone));
            at += size;
        }
        self.shard().word(SHARD_SWEEP).store(at, Relaxed);
        evicted
    }

    fn cursor(&self, word: usize) -> u32 {
        self.shard().word(word).load(Relaxed)
    }

    /// Looks at one block: what it is now, and its size.
    fn meet(&mut self, at: u32, sparing: bool, only_expired: bool) -> (Met, u32) {
        let shard = self.shard();
        let item = match Item::meet(shard, at) {
            Ok(item) => item,
            Err(header) if header.kind() == Kind::Free => return (Met::Free, header.granules()),
            Err(header) => return (Met::Raw, header.granules()),
        };
        let size = item.granules();
        let expired = item.is_expired(self.now);
        if !expired && (only_expired || sparing && item.uses() > 0) {
            if !only_expired {
                item.take_use();
                self.slide(at, &item);
            }
            return (Met::Spared, size);
        }
        match self.evict(at, &item) {
            Ok(true) if expired => self.local.counters.expirations += 1,
            Ok(true) => self.local.counters.evictions += 1,
            // Somebody else took it out of the index: it is on its way back as well.
            Ok(false) => return (if only_expired { Met::Spared } else { Met::Gone }, size),
            Err(_) => return (Met::Spared, size),
        }
        self.local.counters.removed += 1;
        (Met::Gone, size)
    }

    /// Moves a survivor down over the hole before it, if that is large enough: so holes come together. Copies never overlap,
    /// so readers of the old place are not disturbed.
    fn slide(&mut self, at: u32, item: &Item<'c>) {
        let Some((hole, size)) = self.locked.hole_before(at) else { return };
        // A hole of just its size would only change places with it, and until the grace period is over there would be none.
        if size < item.granules_min() + BLOCK_GRANULES_MIN || self.local.limbo_is_tight() {
            return;
        }
        let (hash, key) = (self.shard().shared.hash(item.key()), item.key());
        let Ok(lookup) = self.shard().shared.level.dispatch(LookUp { evictor: self, hash, key }) else {
            return;
        };
        // The lookup may have finished a split, and so have taken memory from the hole.
        if lookup.found.is_none_or(|found| found.place.item() != at)
            || self.locked.hole_before(at) != Some((hole, size))
        {
            return;
        }
        let (to, got) = self.locked.allocate_at(hole, size, item.granules_min());
        item.copy_to(to, got, item.uses() - 1);
        // Whoever was faster has changed the item: then it need not move.
        if self.shard().commit(self, hash, &lookup, Change::Put(to)).is_err() {
            self.locked.release(to);
        }
    }

    /// Takes exactly this item out of the index. False: it is not in it.
    fn evict(&mut self, at: u32, item: &Item<'c>) -> Result<bool, Failed> {
        let shard = self.shard();
        let (hash, key) = (shard.shared.hash(item.key()), item.key());
        loop {
            let lookup = shard.shared.level.dispatch(LookUp { evictor: self, hash, key })?;
            if lookup.found.is_none_or(|found| found.place.item() != at) {
                return Ok(false);
            }
            match shard.commit(self, hash, &lookup, Change::Remove) {
                Err(Failed::Conflict) => {}
                done => return done.map(|()| true),
            }
        }
    }
}

/// The one step of the hand that wants SIMD.
struct LookUp<'l, 'e, 'c, 'k> {
    evictor: &'l mut Evictor<'e, 'c>,
    hash: KeyHash,
    key: &'k [u8],
}

impl Work for LookUp<'_, '_, '_, '_> {
    type Output = Result<Lookup, Failed>;

    #[inline(always)]
    fn run<K: Kernels>(self) -> Self::Output {
        self.evictor.shard().look_up::<K>(self.evictor, self.hash, self.key)
    }
}

impl Memory for Evictor<'_, '_> {
    fn image(&mut self, _: Shard<'_>, granules: u32) -> Result<u32, NoBlock> {
        self.locked.allocate_image(granules).ok_or(NoBlock::Full)
    }

    fn discard_image(&mut self, _: Shard<'_>, at: u32) {
        self.locked.release_image(at);
    }

    fn retire_image(&mut self, shard: Shard<'_>, at: u32) {
        self.local.retire_image(shard, at);
    }

    fn retire_item(&mut self, shard: Shard<'_>, at: u32) {
        self.local.retire_item(shard, at);
    }

    fn displace_item(&mut self, shard: Shard<'_>, at: u32) {
        self.local.displace_item(shard, at);
    }
}

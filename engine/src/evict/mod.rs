//! Making room: who has to go.
//!
//! While main has room, everybody goes there. Once it is full, newcomers begin in the **nursery** (`nursery.rs`, a ring):
//! - the oldest leaves the ring: used since it was a quarter of the ring old -> into main; unused -> it goes, and the **ghost**
//!   (`ghost.rs`) remembers it; unless much of main is free again, because items expired or were deleted;
//! - who is remembered, or too large for the ring, goes straight to main;
//! - so does a small one, if main has a hole for it ([`is_exempt`]): a hit is a hit, and of small ones more fit;
//! - an item of main that is overwritten stays in main, with its uses.
//!
//! In main a **hand** goes over the items in the order of their addresses, so that what it evicts lies side by side and
//! coalesces: an item that was used since the hand last passed loses one of its uses (0 to 3) and stays; an unused or expired
//! one goes. One that stays in the middle of what goes is moved out of the way: down over the hole before it, or to one elsewhere. After
//! [`SPARING`] blocks in one call the hand spares nobody, so that the work is bounded by the size asked for.
//!
//! The parts are those of S3-FIFO (Yang and others, SOSP 2023), with a CLOCK in place of its main queue. What goes is taken
//! out of the index at once and given back after its grace period; so room is made a little ahead of need, whenever a handle
//! is quiescent and main or the ring has less free than is made ahead (`Local::ahead`).

pub(crate) mod ghost;
pub(crate) mod nursery;

use crate::arch::{Kernels, Work, prefetch_read};
use crate::arena::block::{BLOCK_GRANULES_MIN, Kind};
use crate::arena::{Locked, NoBlock};
use crate::config::{GRANULE, SHARD_HAND, SHARD_ITEMS, SHARD_SWEEP, offset_of};
use crate::index::{Change, Failed, Lookup, Memory, image_granules};
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

/// Granules of survivors that are moved in one call at most: 256 KiB.
const MOVED_MAX: u32 = 64 << 10;

/// Whether an item of so many granules may enter main though nobody has asked for it again: while a good part of main is
/// free, or if it takes at most half of what items take on average.
#[inline]
pub(crate) fn is_exempt(shard: Shard<'_>, granules: u32) -> bool {
    let geometry = &shard.shared.geometry;
    let items = shard.word(SHARD_ITEMS).load(Relaxed);
    shard.free_word().load(Relaxed) > geometry.plenty
        || 2 * u64::from(granules) * u64::from(items) <= u64::from(geometry.arena_end)
}

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
                let goal = evictor.local.nursery_goal(&Nursery::of(self.shard)).max(2 * granules);
                evictor.clear_nursery(goal, granules)
            }
            Goal::Reserve => {
                let goal = evictor.local.nursery_goal(&Nursery::of(self.shard));
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

/// How far the hand has come in one call.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    steps: u32,
    laps: u32,
    /// Granules in a row, up to where the hand is, that are free or on their way there.
    run: u32,
    /// Granules evicted.
    freed: u32,
    /// Items evicted.
    evicted: u32,
    /// Granules moved.
    moved: u32,
}

impl<'c> Evictor<'_, 'c> {
    fn shard(&self) -> Shard<'c> {
        self.locked.shard
    }

    /// Evicts until blocks that are free or on their way there make up a run of `granules`.
    fn make_run(&mut self, granules: u32) -> u32 {
        // What cannot be spared adds to the run, so the steps are bounded by the size asked for.
        self.walk(SPARING, STEPS_MAX + granules, |walk| walk.run >= granules)
    }

    /// Evicts until the reserve is there, counting what is on its way.
    fn refill_reserve(&mut self) -> u32 {
        let coming = self.local.expected[self.shard().number as usize];
        let there = self.shard().free_word().load(Relaxed) + coming;
        let wanted = self.local.reserve().saturating_sub(there);
        self.walk(STEPS_AHEAD, STEPS_AHEAD, |walk| walk.freed >= wanted)
    }

    /// Moves the hand on until it is done; after `sparing` steps it spares nobody. Answers how many items it evicted.
    fn walk(&mut self, sparing: u32, steps_max: u32, done: impl Fn(&Walk) -> bool) -> u32 {
        let mut walk = Walk::default();
        let mut at = self.cursor(SHARD_HAND);
        while walk.steps < steps_max && walk.laps <= 2 && !done(&walk) && !self.local.limbo_is_tight() {
            if at == self.shard().shared.geometry.arena_end {
                at = self.shard().first_block();
                (walk.run, walk.laps) = (0, walk.laps + 1);
                continue;
            }
            at += self.pass(at, walk.steps < sparing, &mut walk);
            walk.steps += 1;
        }
        self.shard().word(SHARD_HAND).store(at, Relaxed);
        self.local.counters.walked += u64::from(walk.steps);
        walk.evicted
    }

    /// Lets the hand pass one block. Answers its size.
    fn pass(&mut self, at: u32, sparing: bool, walk: &mut Walk) -> u32 {
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
        match self.remove(at, &item) {
            // Or somebody else took it out of the index: then it is on its way back as well.
            Ok(_) => {
                walk.run += size;
                walk.freed += size;
                walk.evicted += 1;
            }
            Err(_) => walk.run = 0,
        }
        size
    }

    /// Takes an item out of the index for good. False: somebody else did.
    fn remove(&mut self, at: u32, item: &Item<'c>) -> Result<bool, Failed> {
        if !self.evict(at, item)? {
            return Ok(false);
        }
        let counters = &mut self.local.counters;
        counters.removed += 1;
        if item.is_over(self.now) {
            counters.expirations += 1;
        } else {
            counters.evictions += 1;
        }
        Ok(true)
    }

    /// Lets the oldest leave the nursery until so many granules of it are free or waiting.
    fn clear_nursery(&mut self, goal: u32, granules: u32) -> u32 {
        let shard = self.shard();
        let nursery = Nursery::of(shard);
        let mut evicted = 0;
        let goal = goal.min(nursery.len());
        for step in 0..LEAVING_MAX + 2 * granules / BLOCK_GRANULES_MIN {
            nursery.reclaim(shard.shared.epoch().load(Acquire));
            let there = nursery.free() + nursery.waiting();
            if there >= goal || self.local.limbo_is_tight() {
                break;
            }
            if step.is_multiple_of(FORESEEN as u32) {
                foresee(&nursery, goal - there);
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
        let expired = item.is_over(self.now);
        if !expired && (item.uses() > 0 || is_exempt(self.shard(), item.granules())) {
            match self.move_to_main(at, item) {
                Err(Failed::NoMemory(_)) if item.uses() == 0 => {}
                done => return done.map(|()| false),
            }
        }
        let gone = self.remove(at, item)?;
        if gone && !expired {
            Ghost::of(self.shard()).put(self.shard().shared.hash(item.key()));
        }
        Ok(gone)
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

    /// Looks at the next `blocks` blocks of main, and as many of the nursery, for expired items.
    fn sweep(&mut self, blocks: u32) -> u32 {
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
                        evicted += u32::from(matches!(self.remove(at, &item), Ok(true)));
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
                    let Ok(gone) = self.remove(at, &item) else { break };
                    evicted += u32::from(gone);
                    self.locked.leave_nursery(item.granules(), true);
                }
                _ => break,
            }
        }
        evicted
    }

    fn cursor(&self, word: usize) -> u32 {
        self.shard().word(word).load(Relaxed)
    }

    /// Moves a survivor with free memory before it out of the way, so that holes come together: down over the hole before it,
    /// or to a hole elsewhere. Copies never overlap, so readers of the old place are not disturbed.
    fn step_aside(&mut self, at: u32, item: &Item<'c>, walk: &mut Walk) {
        let run = core::mem::take(&mut walk.run);
        let size = item.granules();
        if run == 0 || walk.moved + size > MOVED_MAX || self.local.limbo_is_tight() {
            return;
        }
        let (hash, key) = (self.shard().shared.hash(item.key()), item.key());
        let Ok(lookup) = self.shard().shared.level.dispatch(LookUp { evictor: self, hash, key }) else {
            return;
        };
        if lookup.found.is_none_or(|found| found.place.item() != at) {
            return;
        }
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
        if self.shard().commit(self, hash, &lookup, Change::Put(to)).is_err() {
            return self.locked.release(to);
        }
        self.local.counters.copies += 1;
        (walk.run, walk.moved) = (run, walk.moved + size);
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

/// Items whose look-ups are foreseen at a time.
const FORESEEN: usize = 16;

/// Asks for the memory that looking the oldest of the nursery up will wait for, those that make up so many granules. It is
/// the batch's way (`batch.rs`): one after the other they would wait for it twice each.
fn foresee(nursery: &Nursery<'_>, granules: u32) {
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

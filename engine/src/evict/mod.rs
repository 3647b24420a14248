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
//! some blocks (`hand.rs`) in one call the hand spares nobody, so that the work is bounded by the size asked for.
//!
//! The parts are those of S3-FIFO (Yang and others, SOSP 2023), with a CLOCK in place of its main queue. What goes is taken
//! out of the index at once and given back after its grace period; so room is made a little ahead of need, whenever a handle
//! is quiescent and main or the ring has less free than is made ahead (`Local::ahead`), or main has it in crumbs
//! (`Locked::is_crumbled`).

pub(crate) mod ghost;
pub(crate) mod nursery;

mod clear;
mod foresee;
mod hand;
mod leave;
mod sweep;

use crate::arena::{Locked, NoBlock};
use crate::config::SHARD_ITEMS;
use crate::index::{Change, Failed, Memory};
use crate::item::Item;
use crate::local::Local;
use crate::shared::{KeyHash, Shard};
use crate::sync::Relaxed;
use crate::time::Millis;
use nursery::Nursery;

/// Whether an item of so many granules may enter main though nobody has asked for it again: while a good part of main is
/// free, or if it takes at most half of what items take on average.
#[inline]
pub(crate) fn is_exempt(shard: Shard<'_>, granules: u32) -> bool {
    let geometry = &shard.shared.geometry;
    let items = shard.word(SHARD_ITEMS).load(Relaxed);
    shard.free_word().load(Relaxed) > geometry.plenty
        || 2 * u64::from(granules) * u64::from(items) <= u64::from(geometry.arena_end)
}

/// What as many items take as are foreseen at a time: room is made for that many more than has to be, since of few there is little
/// to foresee, and the lock has a price. Nothing where that would be felt.
fn a_row(shard: Shard<'_>, nursery: &Nursery<'_>) -> u32 {
    let items = shard.word(SHARD_ITEMS).load(Relaxed).max(1);
    let row = (shard.shared.geometry.arena_end / items).saturating_mul(foresee::FORESEEN as u32);
    if row <= nursery.len() / 256 { row } else { 0 }
}

/// Where room is wanted, and how many granules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    Main(u32),
    Nursery(u32),
    /// For a chunk of the index.
    Index(u32),
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
    /// A chunk of the index.
    Index(u32),
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
            Room::Index(granules) => Goal::Index(granules),
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

/// What came of making room.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Made {
    /// Items evicted.
    pub(crate) evicted: u32,
    /// There is no place where such a block could be, whoever goes.
    pub(crate) nowhere: bool,
}

impl MakeRoom<'_, '_> {
    /// Nothing comes of it if somebody else has the shard's lock.
    pub(crate) fn run(self) -> Made {
        let Some(locked) = self.shard.try_lock() else { return Made::default() };
        locked.release_abandoned();
        let mut evictor = Evictor { local: self.local, locked: &locked, now: self.now };
        let evicted = match self.goal {
            Goal::Block(granules) => return evictor.make_run(granules),
            Goal::Index(granules) => evictor.make_chunk(granules),
            Goal::Nursery(granules) => {
                let nursery = Nursery::of(self.shard);
                let goal = evictor.local.nursery_goal(&nursery).max(nursery.needed(granules));
                evictor.clear_nursery(goal, granules)
            }
            Goal::Reserve => {
                let nursery = Nursery::of(self.shard);
                let goal = evictor.local.nursery_goal(&nursery) + a_row(self.shard, &nursery);
                evictor.refill_reserve() + evictor.clear_nursery(goal, 0)
            }
            Goal::Expired(blocks) => evictor.sweep(blocks),
        };
        Made { evicted, nowhere: false }
    }
}

/// What the hand needs while it holds the shard's lock: memory for images comes through the lock that is held.
struct Evictor<'e, 'c> {
    local: &'e mut Local<'c>,
    locked: &'e Locked<'c>,
    now: Millis,
}

impl<'c> Evictor<'_, 'c> {
    fn shard(&self) -> Shard<'c> {
        self.locked.shard
    }

    fn hash(&self, item: &Item<'c>) -> KeyHash {
        self.shard().shared.hash(item.key())
    }

    /// Takes an item, whose key has this hash, out of the index for good. False: somebody else did.
    fn remove(&mut self, at: u32, item: &Item<'c>, hash: KeyHash) -> Result<bool, Failed> {
        if !self.evict(at, hash)? {
            return Ok(false);
        }
        let counters = &mut self.local.counters;
        counters.removed += 1;
        if item.is_over(self.now) {
            counters.expirations += 1;
        } else {
            counters.evictions += 1;
        }
        self.local.tell_gone(item.key());
        Ok(true)
    }

    fn cursor(&self, word: usize) -> u32 {
        self.shard().word(word).load(Relaxed)
    }

    /// Takes exactly this item out of the index. False: it is not in it.
    fn evict(&mut self, at: u32, hash: KeyHash) -> Result<bool, Failed> {
        let shard = self.shard();
        loop {
            let Some(lookup) = shard.look_up_item(self, hash, at)? else { return Ok(false) };
            match shard.commit(self, hash, &lookup, Change::Remove) {
                Err(Failed::Conflict) => {}
                done => return done.map(|()| true),
            }
        }
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

//! Blocks for items: a spare one, else one from the shard, and a note where a shard runs low.

use super::Local;
use super::room::Next;
use crate::arena::{Locked, NoBlock};
use crate::error::StoreError;
use crate::evict::is_exempt;
use crate::evict::nursery::Nursery;
use crate::reclaim::GRACE;
use crate::shared::{KeyHash, Shard};
use crate::sync::Relaxed;
use crate::time::Millis;

/// Turns of each handle for which room is made ahead: a grace period and one, twice, since turns do not ask each shard for
/// the same.
const TURNS_AHEAD: u32 = 2 * (GRACE as u32 + 1);

/// The least room that is made ahead, in granules.
const AHEAD_MIN: u32 = 64;

impl<'c> Local<'c> {
    /// A raw block for an item, if there is one at once: where, and how many granules it really has.
    #[inline(always)]
    pub(crate) fn allocate(&mut self, shard: Shard<'c>, granules: u32) -> Result<(u32, u32), NoBlock> {
        if let Some(at) = self.take_spare(shard, granules) {
            return Ok((at, granules));
        }
        self.allocate_from_arena(shard, granules)
    }

    /// The same for a newcomer, which usually has to prove itself in the nursery; without a hash there is no place for it elsewhere.
    #[inline(always)]
    pub(crate) fn allocate_newcomer(
        &mut self,
        shard: Shard<'c>,
        granules: u32,
        hash: Option<KeyHash>,
    ) -> Result<(u32, u32), NoBlock> {
        if hash.is_some() && is_exempt(shard, granules) {
            match self.allocate(shard, granules) {
                Err(NoBlock::Full) => {}
                done => return done,
            }
        }
        self.allocate_in_nursery(shard, granules, hash)
    }

    pub(super) fn allocate_in_nursery(
        &mut self,
        shard: Shard<'c>,
        granules: u32,
        hash: Option<KeyHash>,
    ) -> Result<(u32, u32), NoBlock> {
        let locked = shard.try_lock().ok_or(NoBlock::Busy)?;
        let nursery = Nursery::of(shard);
        let got = locked.allocate_newcomer(granules, hash);
        self.count_taken(granules);
        let low = nursery.free() + nursery.waiting() < self.nursery_goal(&nursery) || self.is_low(&locked);
        drop(locked);
        if low {
            self.want_room(shard);
        }
        got
    }

    /// Failed tries count, too: they show what is missing.
    pub(super) fn count_taken(&mut self, granules: u32) {
        self.taken = self.taken.saturating_add(granules);
    }

    /// How many granules should be free in a shard before anybody asks for them: what this handle takes in a few turns,
    /// since what is evicted now can be used that much later. More would only lie idle.
    pub(super) fn ahead(&self, most: u32) -> u32 {
        let shards = self.shared.geometry.shards;
        // Of several shards one may be asked for twice its share.
        let turn = self.demand.max(self.taken) >> shards.trailing_zeros() << u32::from(shards > 1);
        let turns = if self.online == 1 { 1 } else { TURNS_AHEAD * self.online };
        turn.saturating_mul(turns).clamp(AHEAD_MIN, most.max(AHEAD_MIN))
    }

    /// That many of main.
    pub(crate) fn reserve(&self) -> u32 {
        self.ahead(self.shared.geometry.reserve)
    }

    /// That many of the nursery, waiting ones included.
    pub(crate) fn nursery_goal(&self, nursery: &Nursery<'_>) -> u32 {
        self.ahead(nursery.len() / 16)
    }

    /// Granules that the index should have in one piece before anybody asks for an image: about as many as are asked for items, but at
    /// most half a chunk. None for who is alone: what is cleared when it is needed can be used at once.
    pub(crate) fn index_goal(&self) -> u32 {
        if self.online == 1 { 0 } else { self.reserve().min(self.shared.geometry.chunk_granules() / 2) }
    }

    #[inline]
    fn is_low(&self, locked: &Locked<'_>) -> bool {
        let reserve = self.reserve();
        locked.shard.free_word().load(Relaxed) < reserve || locked.is_crumbled(reserve)
    }

    pub(super) fn want_room(&mut self, shard: Shard<'_>) {
        let shard = shard.number();
        self.wants_room[shard / 64] |= 1 << (shard % 64);
    }

    /// Room is to be made ahead there in the next turn, too.
    pub(crate) fn go_on(&mut self, shard: Shard<'_>) {
        let shard = shard.number();
        self.goes_on[shard / 64] |= 1 << (shard % 64);
    }

    pub(super) fn allocate_from_arena(
        &mut self,
        shard: Shard<'c>,
        granules: u32,
    ) -> Result<(u32, u32), NoBlock> {
        let locked = shard.try_lock().ok_or(NoBlock::Busy)?;
        let got = locked.allocate(granules);
        self.count_taken(granules);
        let low = self.is_low(&locked);
        drop(locked);
        if low {
            self.want_room(shard);
        }
        got.ok_or(NoBlock::Full)
    }

    /// A raw block, after making room for it if need be.
    pub(crate) fn allocate_insisting(
        &mut self,
        shard: Shard<'c>,
        granules: u32,
        now: Millis,
    ) -> Result<(u32, u32), StoreError> {
        let mut tries = 0;
        loop {
            match self.allocate(shard, granules) {
                Ok(block) => return Ok(block),
                Err(why) => match self.without_block(why, shard, granules, now, &mut tries) {
                    Next::Again => {}
                    gave_up => return Err(self.refuse(gave_up)),
                },
            }
        }
    }

    /// Counts a write that is refused for lack of room; not one that could have made some, had nothing been pinned.
    #[cold]
    pub(crate) fn refuse(&mut self, gave_up: Next) -> StoreError {
        self.counters.pressure += u64::from(!self.pinned);
        if gave_up == Next::Nowhere { StoreError::NoPlace } else { StoreError::Pressure }
    }
}

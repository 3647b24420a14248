//! One thread's side of a cache: its part in reclamation, its counters, and the memory it asks the shards for.

use crate::arch::Work;
use crate::arena::spare::Spares;
use crate::arena::{Locked, NoBlock};
use crate::config::Config;
use crate::error::StoreError;
use crate::evict::nursery::Nursery;
use crate::evict::{MakeRoom, Room, is_exempt};
use crate::index::{Failed, Memory};
use crate::reclaim::limbo::Block;
use crate::reclaim::{GRACE, Participant};
use crate::shared::{KeyHash, Shard, Shared};
use crate::stats::Counters;
use crate::sync::Relaxed;
use crate::time::Millis;

/// Entries of limbo that a write may need: what it replaces, and what it retires while it helps others and grows the
/// index.
const LIMBO_ROOM: u32 = 16;

/// How often a write makes room and tries again before it answers Pressure.
pub(crate) const ROOM_TRIES: u32 = 4;

/// How often a write asks for a lock that stays busy before it answers Pressure.
const BUSY_TRIES: u32 = 16;

#[derive(Debug)]
pub(crate) struct Local<'c> {
    pub(crate) shared: &'c Shared,
    pub(crate) participant: Participant<'c>,
    pub(crate) counters: Counters,
    spares: Spares,
    /// Bit per shard in which main or the nursery had less free than is made ahead when this handle last allocated there.
    wants_room: [u64; Config::SHARDS_MAX as usize / 64],
    /// Granules of items in this handle's limbo, by shard: they are as good as free, a little later.
    pub(crate) expected: [u32; Config::SHARDS_MAX as usize],
    /// Changes whenever this handle may have let go of what it found.
    pub(crate) grip: u32,
    /// Nothing that was found may be let go of before the next quiescent state.
    pub(crate) pinned: bool,
    /// Granules asked for since the last quiescent state.
    taken: u32,
    /// The most that was asked for between two of them lately.
    demand: u32,
    /// No other handle was online at the last quiescent state: what is retired can be used again in the next turn.
    alone: bool,
}

impl<'c> Local<'c> {
    pub(crate) fn join(shared: &'c Shared) -> Option<Self> {
        let participant = Participant::join(shared)?;
        let counters = Counters::load(shared, participant.number());
        let spares = Spares::new(shared.geometry.reserve / 4);
        let mut local = Self {
            shared,
            participant,
            counters,
            spares,
            wants_room: [0; Config::SHARDS_MAX as usize / 64],
            expected: [0; Config::SHARDS_MAX as usize],
            grip: 0,
            pinned: false,
            taken: 0,
            demand: 0,
            alone: false,
        };
        local.participant.online();
        Some(local)
    }

    pub(crate) fn leave(&mut self) {
        if !self.participant.is_online() {
            self.participant.online();
        }
        for _ in 0..BUSY_TRIES {
            self.give_spares_back(0);
            if self.spares.is_empty() {
                break;
            }
        }
        self.save_counters();
        self.participant.leave();
    }

    pub(crate) fn save_counters(&self) {
        self.counters.save(self.shared, self.participant.number());
    }

    /// The same after what can only have counted reads.
    #[inline]
    pub(crate) fn save_reads(&self) {
        self.counters.save_reads(self.shared, self.participant.number());
    }

    /// A raw block for an item, if there is one at once: where, and how many granules it really has.
    #[inline(always)]
    pub(crate) fn allocate(&mut self, shard: Shard<'c>, granules: u32) -> Result<(u32, u32), NoBlock> {
        if let Some(at) = self.take_spare(shard, granules) {
            return Ok((at, granules));
        }
        self.allocate_from_arena(shard, granules)
    }

    /// The same for a newcomer, which usually has to prove itself in the nursery.
    #[inline(always)]
    pub(crate) fn allocate_newcomer(
        &mut self,
        shard: Shard<'c>,
        granules: u32,
        hash: KeyHash,
    ) -> Result<(u32, u32), NoBlock> {
        if is_exempt(shard, granules) {
            match self.allocate(shard, granules) {
                Err(NoBlock::Full) => {}
                done => return done,
            }
        }
        self.allocate_in_nursery(shard, granules, hash)
    }

    fn allocate_in_nursery(
        &mut self,
        shard: Shard<'c>,
        granules: u32,
        hash: KeyHash,
    ) -> Result<(u32, u32), NoBlock> {
        let locked = shard.try_lock().ok_or(NoBlock::Busy)?;
        let nursery = Nursery::of(shard);
        let got = locked.allocate_newcomer(granules, hash);
        self.count_taken(granules);
        let low = nursery.free() + nursery.waiting() < self.nursery_goal(&nursery) || self.is_low(shard);
        drop(locked);
        if low {
            self.want_room(shard);
        }
        got
    }

    /// Failed tries count, too: they show what is missing.
    fn count_taken(&mut self, granules: u32) {
        self.taken = self.taken.saturating_add(granules);
    }

    /// How many granules should be free in a shard before anybody asks for them: what this handle takes in a few turns,
    /// since what is evicted now can be used that much later. More would only lie idle.
    fn ahead(&self, most: u32) -> u32 {
        let turn = self.demand.max(self.taken) / self.shared.geometry.shards;
        let turns = if self.alone { 1 } else { TURNS_AHEAD };
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

    fn is_low(&self, shard: Shard<'_>) -> bool {
        shard.free_word().load(Relaxed) < self.reserve()
    }

    fn want_room(&mut self, shard: Shard<'c>) {
        self.wants_room[shard.number as usize / 64] |= 1 << (shard.number % 64);
    }

    fn allocate_from_arena(&mut self, shard: Shard<'c>, granules: u32) -> Result<(u32, u32), NoBlock> {
        let locked = shard.try_lock().ok_or(NoBlock::Busy)?;
        let got = locked.allocate(granules);
        self.count_taken(granules);
        let low = self.is_low(shard);
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
                Err(why) if self.without_block(why, shard, granules, now, &mut tries) == Next::GiveUp => {
                    return Err(self.refuse());
                }
                Err(_) => {}
            }
        }
    }

    /// Counts a write that is refused for lack of room; not one that could have made some, had nothing been pinned.
    #[cold]
    pub(crate) fn refuse(&mut self) -> StoreError {
        self.counters.pressure += u64::from(!self.pinned);
        StoreError::Pressure
    }

    /// Gives back a block that was never published.
    pub(crate) fn discard_item(&mut self, shard: Shard<'c>, at: u32) {
        if shard.in_nursery(at) {
            // It stays where it is, an item that nobody finds, until the tail comes by.
            return;
        }
        match shard.try_lock() {
            Some(locked) => locked.release(at),
            None => self.retire(shard, at, false),
        }
    }

    fn retire(&mut self, shard: Shard<'_>, at: u32, image: bool) {
        self.retire_sized(shard, at, image, shard.block_granules(at));
    }

    /// The same for a block whose size is known.
    #[inline(always)]
    pub(crate) fn retire_sized(&mut self, shard: Shard<'_>, at: u32, image: bool, granules: u32) {
        self.counters.limbo_granules = self.counters.limbo_granules.wrapping_add(u64::from(granules));
        if !image {
            let expected = &mut self.expected[shard.number as usize];
            *expected = expected.saturating_add(granules);
        }
        self.participant.retire(Block { shard: shard.number, image, at, granules });
    }

    /// Whether the limbo has room for what a write may retire.
    #[inline(always)]
    pub(crate) fn has_limbo_room(&self) -> bool {
        self.participant.limbo.room() >= LIMBO_ROOM
    }

    /// A raw block of exactly this size that an earlier overwrite left to this handle.
    #[inline(always)]
    pub(crate) fn take_spare(&mut self, shard: Shard<'_>, granules: u32) -> Option<u32> {
        let at = self.spares.pop(shard, granules)?;
        self.counters.limbo_granules = self.counters.limbo_granules.wrapping_sub(u64::from(granules));
        Some(at)
    }

    /// Makes sure that a write can retire what it replaces. False: nobody lets go of what this handle retired.
    #[inline]
    pub(crate) fn prepare_write(&mut self) -> bool {
        if !self.has_limbo_room() && !self.pinned {
            self.settle();
        }
        self.has_limbo_room()
    }

    /// The same for emptying a bucket, which retires all its items.
    pub(crate) fn prepare_flush(&mut self) -> bool {
        let needed = LIMBO_ROOM + crate::index::IMAGE_LEN_MAX as u32;
        if self.participant.limbo.room() < needed {
            self.settle();
        }
        self.participant.limbo.room() >= needed
    }

    pub(crate) fn limbo_is_tight(&self) -> bool {
        self.participant.limbo.room() < 2 * LIMBO_ROOM
    }

    /// Lets go of everything found so far and lets a grace period pass, as far as the other handles allow.
    pub(crate) fn settle(&mut self) {
        debug_assert!(!self.pinned);
        self.grip = self.grip.wrapping_add(1);
        self.let_grace_pass();
        self.drain();
    }

    fn let_grace_pass(&mut self) {
        for _ in 0..GRACE {
            self.participant.announce();
            self.participant.advance();
        }
        self.participant.announce();
    }

    /// Gives the blocks kept for later writes back to their shards, or to limbo, as long as this has more room than that.
    fn give_spares_back(&mut self, limbo_room: u32) {
        while let Some((shard, granules)) = self.spares.any() {
            let shard = self.shared.shard(shard);
            let locked = shard.try_lock();
            while let Some(at) = self.spares.pop(shard, granules) {
                match &locked {
                    Some(locked) => {
                        self.counters.limbo_granules =
                            self.counters.limbo_granules.wrapping_sub(u64::from(granules));
                        locked.release(at);
                    }
                    // As good as just retired: limbo gives it back later.
                    None if self.participant.limbo.room() > limbo_room => {
                        let expected = &mut self.expected[shard.number as usize];
                        *expected = expected.saturating_add(granules);
                        self.participant.retire(Block { shard: shard.number, image: false, at, granules });
                    }
                    None => {
                        self.spares.push(shard, at, granules);
                        return;
                    }
                }
            }
        }
    }

    /// Takes back what nobody can be reading any more.
    pub(crate) fn drain(&mut self) {
        let kept = Some((&mut self.spares, &mut self.expected));
        let freed = drain(self.shared, &mut self.participant, kept);
        self.counters.limbo_granules = self.counters.limbo_granules.wrapping_sub(freed);
    }

    /// A quiescent state with its upkeep, all of it bounded.
    pub(crate) fn quiescent(&mut self, now: Millis) {
        if !self.participant.is_online() {
            return;
        }
        self.grip = self.grip.wrapping_add(1);
        self.pinned = false;
        self.participant.announce();
        self.demand = self.taken.max(self.demand - self.demand / 16);
        self.taken = 0;
        if !self.participant.limbo.is_empty() {
            self.alone = self.participant.advance();
            if self.alone {
                // Nobody else can hold anything: the grace period is over as soon as it has been announced.
                self.let_grace_pass();
            }
            self.drain();
        }
        if self.wants_room.iter().any(|&shards| shards != 0) {
            self.make_room_ahead(now);
        }
    }

    /// Makes room in the shards that ran low, before anybody needs it.
    #[cold]
    fn make_room_ahead(&mut self, now: Millis) {
        for group in 0..self.wants_room.len() {
            while self.wants_room[group] != 0 && !self.limbo_is_tight() {
                let bit = self.wants_room[group].trailing_zeros();
                self.wants_room[group] &= self.wants_room[group] - 1;
                let shard = self.shared.shard(group as u32 * 64 + bit);
                MakeRoom::ahead(self, shard, now).run();
            }
        }
    }

    /// Runs work over the index at the SIMD level of this cache, from a place that is not compiled for it.
    pub(crate) fn run<'l, W: Work>(&'l mut self, work: impl FnOnce(&'l mut Self) -> W) -> W::Output {
        let level = self.shared.level;
        level.dispatch(work(self))
    }

    /// Takes back what handles that are gone left in their limbo.
    pub(crate) fn drain_orphan(&mut self) {
        if let Some(mut orphan) = self.participant.adopt() {
            let freed = drain(self.shared, &mut orphan, None);
            self.counters.limbo_granules = self.counters.limbo_granules.wrapping_sub(freed);
            orphan.leave();
        }
    }

    /// Grows the index by up to two buckets if it is due, without waiting for anything.
    #[inline]
    pub(crate) fn grow(&mut self, shard: Shard<'c>) {
        for _ in 0..2 {
            let items = u64::from(shard.word(crate::config::SHARD_ITEMS).load(Relaxed));
            if items <= LOAD * shard.born().load(Relaxed) || !self.split(shard) {
                return;
            }
        }
    }

    #[cold]
    fn split(&mut self, shard: Shard<'c>) -> bool {
        let Some(locked) = shard.try_lock() else { return false };
        let ready = locked.can_split();
        drop(locked);
        ready && shard.split_next(self, |_, bucket| ensure_directory(shard, bucket)) == Ok(true)
    }
}

/// Turns for which room is made ahead: a grace period, and one.
const TURNS_AHEAD: u32 = GRACE as u32 + 1;

/// The least room that is made ahead, in granules.
const AHEAD_MIN: u32 = 64;

/// Items per bucket at which the index grows (index memory is least near 8, probing is cheapest near 4).
const LOAD: u64 = 6;

/// Makes the directory reach this bucket. False: there is no memory for another chunk now.
fn ensure_directory(shard: Shard<'_>, bucket: u64) -> bool {
    let table = shard.table_word(bucket);
    if table.load(Relaxed) != 0 {
        return true;
    }
    let Some(locked) = shard.try_lock() else { return false };
    if table.load(Relaxed) == 0 {
        let Some(chunk) = locked.allocate_directory_chunk() else { return false };
        // Release: the zeroed words. Pairs with the Acquire in `Shard::directory`.
        table.store(chunk, crate::sync::Release);
    }
    true
}

/// Drains a limbo, one lock for each run of blocks of the same shard; into `spares` what these take. Answers how many
/// granules came back to the shards.
fn drain(
    shared: &Shared,
    participant: &mut Participant<'_>,
    mut kept: Option<(&mut Spares, &mut [u32; Config::SHARDS_MAX as usize])>,
) -> u64 {
    let mut freed = 0;
    let mut held: Option<Locked<'_>> = None;
    participant.drain(|block| {
        if held.as_ref().is_none_or(|locked| locked.shard.number != block.shard) {
            held = None;
            held = shared.shard(block.shard).try_lock();
        }
        let Some(locked) = &held else { return false };
        let granules =
            if block.granules > 0 { block.granules } else { locked.shard.block_granules(block.at) };
        if block.image {
            locked.release_image(block.at);
        } else {
            locked.set_raw(block.at, granules);
            if let Some((spares, expected)) = &mut kept {
                let expected = &mut expected[block.shard as usize];
                // What an earlier owner of the record left is not in it.
                *expected = expected.saturating_sub(granules);
                if spares.push(locked.shard, block.at, granules) {
                    return true;
                }
            }
            locked.release(block.at);
        }
        freed += u64::from(granules);
        true
    });
    freed
}

impl Memory for Local<'_> {
    fn image(&mut self, shard: Shard<'_>, granules: u32) -> Result<u32, NoBlock> {
        shard.try_lock().ok_or(NoBlock::Busy)?.allocate_image(granules).ok_or(NoBlock::Full)
    }

    fn discard_image(&mut self, shard: Shard<'_>, at: u32) {
        match shard.try_lock() {
            Some(locked) => locked.release_image(at),
            None => self.retire(shard, at, true),
        }
    }

    #[inline(never)]
    fn retire_image(&mut self, shard: Shard<'_>, at: u32) {
        self.retire(shard, at, true);
    }

    #[inline(always)]
    fn retire_item(&mut self, shard: Shard<'_>, at: u32) {
        // In the nursery a block is given back when the tail has passed it.
        if !shard.in_nursery(at) {
            self.retire(shard, at, false);
        }
    }

    fn displace_item(&mut self, shard: Shard<'_>, at: u32) {
        self.counters.evictions += 1;
        self.counters.removed += 1;
        self.retire_item(shard, at);
    }
}

/// What a write does after its index change failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Look the key up again.
    Again,
    /// Give up with Pressure.
    GiveUp,
}

impl<'c> Local<'c> {
    /// Somebody was faster, or there is no memory for an image: makes some.
    #[cold]
    pub(crate) fn after(&mut self, failed: Failed, shard: Shard<'c>, now: Millis, tries: &mut u32) -> Next {
        match failed {
            Failed::Conflict => Next::Again,
            Failed::NoMemory(why) => {
                self.without_block(why, shard, self.shared.geometry.chunk_granules(), now, tries)
            }
        }
    }

    /// There was no block: makes room if that is why, and only tries again if somebody else was in the way.
    #[cold]
    pub(crate) fn without_block(
        &mut self,
        why: NoBlock,
        shard: Shard<'c>,
        granules: u32,
        now: Millis,
        tries: &mut u32,
    ) -> Next {
        match why {
            NoBlock::Full => return self.make_room(shard, Room::Main(granules), now, tries),
            NoBlock::NurseryFull => return self.make_room(shard, Room::Nursery(granules), now, tries),
            NoBlock::Busy => {}
        }
        // Counted apart, in the upper half: waiting for a lock is no try at making room.
        *tries += 1 << 16;
        if *tries >> 16 > BUSY_TRIES {
            return Next::GiveUp;
        }
        Next::Again
    }

    /// Makes room for a block of this size, and lets a grace period pass.
    #[cold]
    fn make_room(&mut self, shard: Shard<'c>, room: Room, now: Millis, tries: &mut u32) -> Next {
        // A large block may take more blocks than limbo holds: then it is made room for in several steps.
        let (Room::Main(granules) | Room::Nursery(granules)) = room;
        let steps = ROOM_TRIES + granules / self.shared.geometry.limbo_len;
        if *tries & 0xffff >= steps.min(0xffff) || self.pinned {
            return Next::GiveUp;
        }
        *tries += 1;
        self.settle();
        self.drain_orphan();
        self.give_spares_back(LIMBO_ROOM);
        MakeRoom::for_block(self, shard, room, now).run();
        self.settle();
        // Draining may have kept what was just freed.
        self.give_spares_back(LIMBO_ROOM);
        Next::Again
    }
}

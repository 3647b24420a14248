//! Making room: a hand goes over the items of a shard in the order of their addresses, so that what it evicts lies side
//! by side and coalesces (CLOCK over the arena itself).
//!
//! An item that was used since the hand last passed loses one of its uses (0 to 3) and stays; an unused or expired one
//! goes. After [`SPARING`] blocks in one call the hand spares nobody, so that the work is bounded by the size asked for.
//! What goes is taken out of the index at once and given back after its grace period; so room is made a little ahead of
//! need, whenever a handle is quiescent and its shard has fallen below the reserve.

use crate::arch::{Kernels, Work};
use crate::arena::block::{Header, Kind};
use crate::arena::{Locked, NoBlock};
use crate::config::{SHARD_HAND, SHARD_SWEEP};
use crate::index::{Change, Failed, Lookup, Memory};
use crate::item::Item;
use crate::local::Local;
use crate::shared::{KeyHash, Shard};
use crate::sync::Relaxed;
use crate::time::Millis;

/// Blocks after which the hand spares nobody in one call.
const SPARING: u32 = 64;

/// Blocks that the hand looks at in one call at most, beyond those that make up the room asked for.
const STEPS_MAX: u32 = 4096;

/// Blocks that the hand looks at when it makes room ahead of need.
const STEPS_AHEAD: u32 = 96;

/// The least that is evicted at a time, in granules, so that the cost of a grace period is shared.
const GRANULES_MIN: u32 = 256;

/// Moves the hand until it has made room.
#[derive(Debug)]
pub(crate) struct MakeRoom<'l, 'c> {
    local: &'l mut Local<'c>,
    shard: Shard<'c>,
    goal: Goal,
    now: Millis,
}

#[derive(Clone, Copy, Debug)]
enum Goal {
    /// So many granules in a row.
    Block(u32),
    /// The reserve, as far as some steps lead.
    Reserve,
    /// Only what has expired, in so many blocks.
    Expired(u32),
}

impl<'l, 'c> MakeRoom<'l, 'c> {
    pub(crate) fn for_block(local: &'l mut Local<'c>, shard: Shard<'c>, granules: u32, now: Millis) -> Self {
        Self { local, shard, goal: Goal::Block(granules), now }
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
            Goal::Reserve => evictor.refill_reserve(),
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
        let wanted =
            self.shard().shared.geometry.reserve.saturating_sub(self.shard().free_word().load(Relaxed));
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
        let Some(item) = Item::meet(shard, at) else {
            let header = Header(shard.word(at as usize * crate::config::GRANULE).load(Relaxed));
            let met = if header.kind() == Kind::Free { Met::Free } else { Met::Raw };
            return (met, header.granules());
        };
        let size = item.granules();
        let expired = item.is_expired(self.now);
        if !expired && (only_expired || sparing && item.uses() > 0) {
            if !only_expired {
                item.take_use();
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

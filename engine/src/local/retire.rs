//! Blocks that were taken out of the index: into limbo, and back once nobody can be reading them.

use core::iter;

use super::Local;
use crate::BATCH;
use crate::arena::block::Header;
use crate::arena::spare::{GRANULES_MAX, ImageSpares, ItemSpares};
use crate::arena::{Locked, NoBlock};
use crate::config::Config;
use crate::index::Memory;
use crate::item::Item;
use crate::reclaim::limbo::Block;
use crate::reclaim::{GRACE, Participant};
use crate::shared::{Shard, Shared};
use crate::sync::Relaxed;
use crate::time::Millis;

/// Entries of limbo that a write may need: what it replaces, and what it retires while it helps others and grows the
/// index.
pub(super) const LIMBO_ROOM: u32 = 16;

/// Turns for which a handle keeps no blocks after somebody has asked for them.
const LEAN_TURNS: u32 = 64;

/// Epochs in which every handle that is online has met a call, and what it gave to its limbo then has come back.
const CALL_GRACE: u64 = 2 * GRACE;

/// Milliseconds after which a call counts no more: what was given back then others may keep again.
const CALL_LASTS: u64 = 1000;

impl<'c> Local<'c> {
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

    pub(super) fn retire(&mut self, shard: Shard<'_>, at: u32, image: bool) {
        self.retire_sized(shard, at, image, shard.block_granules(at));
    }

    /// The same for a block whose size is known.
    #[inline(always)]
    pub(crate) fn retire_sized(&mut self, shard: Shard<'_>, at: u32, image: bool, granules: u32) {
        self.counters.limbo_granules = self.counters.limbo_granules.wrapping_add(u64::from(granules));
        let shard = shard.number();
        if !image {
            self.expect(shard, granules);
        }
        self.participant.retire(Block { shard: shard as u32, image, at, granules });
    }

    /// So many granules of this shard are in limbo, and as good as free a little later.
    #[inline(always)]
    fn expect(&mut self, shard: usize, granules: u32) {
        // Shards are numbered by a byte. No more than the shard has is in limbo.
        self.expected[usize::from(shard as u8)] += granules;
    }

    /// Whether the limbo has room for what a write may retire.
    #[inline(always)]
    pub(crate) fn has_limbo_room(&self) -> bool {
        self.participant.limbo.room() >= LIMBO_ROOM
    }

    /// Whether it has room for what a batch of overwrites retires, and a write after it.
    #[inline(always)]
    pub(crate) fn has_limbo_room_for_batch(&self) -> bool {
        self.participant.limbo.room() >= LIMBO_ROOM + BATCH as u32
    }

    /// A raw block of exactly this size that an earlier overwrite left to this handle.
    #[inline(always)]
    pub(crate) fn take_spare(&mut self, shard: Shard<'_>, granules: u32) -> Option<u32> {
        if granules > GRANULES_MAX {
            return None;
        }
        let at = self.spares.pop(shard, granules)?;
        self.counters.limbo_granules = self.counters.limbo_granules.wrapping_sub(u64::from(granules));
        Some(at)
    }

    /// A spare block for one of the same size that is about to be [retired](Self::retire_exchanged) for it: so that what is in limbo
    /// stays the same.
    #[inline(always)]
    pub(crate) fn exchange(&mut self, shard: Shard<'c>, granules: u32) -> Option<u32> {
        self.spares.pop(shard, granules)
    }

    /// There is room for it.
    #[inline(always)]
    pub(crate) fn retire_exchanged(&mut self, shard: Shard<'c>, at: u32, granules: u32) {
        let shard = shard.number();
        self.expect(shard, granules);
        self.participant.retire_alike(Block { shard: shard as u32, image: false, at, granules });
    }

    /// The block was not needed.
    #[cold]
    pub(crate) fn undo_exchange(&mut self, shard: Shard<'c>, at: u32, granules: u32) {
        self.counters.limbo_granules = self.counters.limbo_granules.wrapping_sub(u64::from(granules));
        self.discard_item(shard, at);
    }

    /// Makes sure that a write can retire what it replaces. False: nobody lets go of what this handle retired.
    #[inline]
    pub(crate) fn prepare_write(&mut self) -> bool {
        if !self.has_limbo_room() && !self.pinned {
            self.let_go();
        }
        self.has_limbo_room()
    }

    /// The same for emptying a bucket, which retires all its items.
    pub(crate) fn prepare_flush(&mut self) -> bool {
        let needed = LIMBO_ROOM + crate::index::IMAGE_LEN_MAX as u32;
        if self.participant.limbo.room() < needed {
            self.let_go();
        }
        self.participant.limbo.room() >= needed
    }

    pub(crate) fn limbo_is_tight(&self) -> bool {
        self.participant.limbo.room() < 2 * LIMBO_ROOM
    }

    /// Lets go of everything found so far and lets a grace period pass, as far as the other handles allow.
    pub(crate) fn let_go(&mut self) {
        debug_assert!(!self.pinned);
        self.grip = self.grip.wrapping_add(1);
        self.let_grace_pass();
        self.drain();
    }

    pub(super) fn let_grace_pass(&mut self) {
        for _ in 0..GRACE {
            self.participant.announce();
            self.participant.advance();
        }
        self.participant.announce();
    }

    /// Gives the blocks kept for later writes back to their shards, or leaves them to whoever makes room there.
    pub(super) fn give_spares_back(&mut self) {
        let granules =
            self.spares.give_back(self.shared, false) + self.spare_images.give_back(self.shared, true);
        self.counters.limbo_granules = self.counters.limbo_granules.wrapping_sub(u64::from(granules));
    }

    /// Takes back what nobody can be reading any more.
    pub(crate) fn drain(&mut self) {
        let Self { shared, participant, spares, spare_images, expected, .. } = self;
        let freed = drain(shared, participant, Some(Own { spares, spare_images, expected }));
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
        // Before grace periods pass, so that the next turn can have what has to go.
        let made_room = self.wants_room.iter().any(|&shards| shards != 0);
        if made_room {
            self.make_room_ahead(now);
            self.wants_room = core::mem::take(&mut self.goes_on);
        }
        if made_room || !self.participant.limbo.is_empty() {
            let online = self.participant.advance();
            self.online = online.unwrap_or(self.online.max(2));
            if online == Some(1) {
                // Nobody else can hold anything: the grace period is over as soon as it has been announced.
                self.let_grace_pass();
            }
            self.drain();
        }
        self.answer_calls();
    }

    /// Asks all other handles to give back what they keep. Answers true, and asks nobody, if they were asked lately and have had
    /// the time to.
    pub(super) fn call_spares_back(&mut self, now: Millis) -> bool {
        let epoch = self.shared.epoch().load(Relaxed);
        if let Some((called, then)) = self.called_at
            && (then..=then.after(CALL_LASTS)).contains(&now)
        {
            let answered = epoch - called >= CALL_GRACE;
            if answered {
                self.called_at = None;
            }
            return answered;
        }
        self.spares_called = self.shared.call_spares_back();
        self.called_at = Some((epoch, now));
        false
    }

    /// Gives back what it keeps if somebody has asked for that, and keeps nothing for some turns.
    #[inline(always)]
    fn answer_calls(&mut self) {
        let called = self.shared.spares_called();
        if called != self.spares_called {
            (self.spares_called, self.lean) = (called, LEAN_TURNS);
            self.keep_spares(false);
            self.give_spares_back();
        } else if self.lean > 0 {
            self.lean -= 1;
            self.keep_spares(self.lean == 0);
        }
    }

    /// Gives back all that the handle keeps, and what it retired, as far as the other handles allow. True: nothing is left.
    pub(crate) fn rest(&mut self) -> bool {
        self.pinned = false;
        self.give_spares_back();
        self.let_go();
        // Draining has kept what it could.
        self.give_spares_back();
        self.participant.limbo.is_empty()
    }

    /// Takes back what handles that are gone left in their limbo.
    pub(crate) fn drain_orphan(&mut self) {
        if let Some(mut orphan) = self.participant.adopt() {
            let freed = drain(self.shared, &mut orphan, None);
            self.counters.limbo_granules = self.counters.limbo_granules.wrapping_sub(freed);
            orphan.leave();
        }
    }
}

/// What a handle does with the blocks of its own limbo, not with those of an orphan.
struct Own<'l> {
    spares: &'l mut ItemSpares,
    spare_images: &'l mut ImageSpares,
    expected: &'l mut [u32; Config::SHARDS_MAX as usize],
}

/// Drains a limbo, one lock for each run of blocks of the same shard. Answers how many granules came back to the shards: those of
/// its own blocks that a handle keeps did not.
#[inline(always)]
fn drain(shared: &Shared, participant: &mut Participant<'_>, mut own: Option<Own<'_>>) -> u64 {
    let mut freed = 0;
    let mut held: Option<Locked<'_>> = None;
    participant.drain(|mut due| {
        let first = due.first();
        // What the handle keeps needs no lock, and is no memory that others write.
        if let Some(own) = own.as_mut().filter(|_| first.image && first.granules > 0) {
            let (shard, granules) = (shared.shard(first.shard), first.granules);
            let places = own.spare_images.places(shard, granules);
            let room = places.len();
            let kept = places.iter_mut().zip(&mut due).map(|(place, at)| *place = at).count();
            own.spare_images.keep(shard, granules, kept);
            if kept < room {
                return true;
            }
        }
        if held.as_ref().is_none_or(|locked| locked.shard.number() != first.shard as usize) {
            held = None;
            held = shared.shard(first.shard).try_lock();
        }
        let Some(locked) = &held else { return false };
        let shard = locked.shard;
        if first.image {
            for at in due {
                freed += u64::from(shard.block_granules(at));
                locked.release_image(at);
            }
        } else if first.granules > 0 {
            freed += take_back(locked, &mut own, first.granules, due);
        } else {
            for at in due {
                freed += take_back(locked, &mut own, shard.block_granules(at), iter::once(at));
            }
        }
        true
    });
    freed
}

/// Takes items' blocks of one size back. Answers how many granules came back to the shard.
#[inline(always)]
fn take_back(
    locked: &Locked<'_>,
    own: &mut Option<Own<'_>>,
    granules: u32,
    blocks: impl Iterator<Item = u32>,
) -> u64 {
    let shard = locked.shard;
    let places = match own {
        // While a place for the index is being cleared all that comes back may be of it.
        Some(own) if !locked.is_clearing() => own.spares.places(shard, granules),
        _ => &mut [][..],
    };
    let room = places.len();
    let mut places = places.iter_mut();
    let (raw, mut count) = (Header::raw(granules), 0);
    for at in blocks {
        locked.set_raw(at, raw);
        match places.next() {
            Some(place) => *place = at,
            None => locked.release(at),
        }
        count += 1;
    }
    let kept = room - places.len();
    if let Some(Own { spares, expected, .. }) = own {
        spares.keep(shard, granules, kept);
        let expected = &mut expected[shard.number()];
        // What an earlier owner of the record left is not in it.
        *expected = expected.saturating_sub(count as u32 * granules);
    }
    (count - kept) as u64 * u64::from(granules)
}

impl Memory for Local<'_> {
    fn image(&mut self, shard: Shard<'_>, granules: u32) -> Result<u32, NoBlock> {
        if let Some(at) = self.spare_images.pop(shard, granules) {
            self.counters.limbo_granules = self.counters.limbo_granules.wrapping_sub(u64::from(granules));
            return Ok(at);
        }
        let locked = shard.try_lock().ok_or(NoBlock::Busy)?;
        let got = locked.allocate_image(granules);
        let low = !locked.has_for_images(self.index_goal());
        drop(locked);
        if low {
            self.want_room(shard);
        }
        got.ok_or(NoBlock::Full)
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
        self.tell_gone(Item::load(shard, at).key());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::evict::MakeRoom;
    use crate::{Cache, Config};

    const NOW: Millis = Millis(0);

    /// A handle gives back what it keeps while somebody else has the lock, and its limbo is as full as can be.
    fn gives_back(give: impl for<'c> Fn(&mut Local<'c>, &Local<'c>)) {
        let mut region = std::vec![0; 1 << 20];
        let config = Config { shards: 1, seed: [1, 2, 3, 4], ..Config::default() };
        let cache = Cache::in_filled(&mut region, config).expect("large enough");
        let [mut keeper, mut other] = [0, 1].map(|_| Local::join(&cache.shared).expect("a handle"));
        let shard = cache.shared.shard(0);
        let lock = || shard.try_lock().expect("nobody has it");
        let images = [(); 10].map(|()| lock().allocate_image(4).expect("room"));
        let index_free = shard.index_free_word().load(Relaxed);
        keeper.spare_images.places(shard, 4)[..10].copy_from_slice(&images);
        keeper.spare_images.keep(shard, 4, 10);
        let allocate = || lock().allocate(4).expect("room").0;
        keeper.spares.places(shard, 4)[..20].fill_with(allocate);
        keeper.spares.keep(shard, 4, 20);
        keeper.counters.limbo_granules += 4 * 30;
        while keeper.participant.limbo.room() > 0 {
            keeper.retire(shard, allocate(), false);
        }
        let locked = lock();
        give(&mut keeper, &other);
        drop(locked);
        MakeRoom::expired(&mut other, shard, 0, NOW).run();
        assert_eq!(shard.index_free_word().load(Relaxed), index_free + 4 * 10);
        // Whoever takes the record takes over what is left in limbo.
        keeper.leave();
        keeper = Local::join(&cache.shared).expect("a handle");
        other.participant.offline();
        keeper.let_go();
        keeper.leave();
        other.leave();
        let census = lock().verify();
        assert_eq!((census.spare, census.items.len()), (0, 0));
        assert_eq!(cache.stats().limbo_bytes, 0);
    }

    #[test]
    fn what_cannot_be_given_back_at_once_is_left_to_whoever_makes_room() {
        gives_back(|keeper, other| {
            other.shared.call_spares_back();
            keeper.quiescent(NOW);
        });
        gives_back(|keeper, _| assert!(!keeper.rest(), "the other one holds what is in limbo"));
        gives_back(|keeper, _| keeper.leave());
    }
}

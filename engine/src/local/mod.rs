//! One thread's side of a cache: its part in reclamation, its counters, and the memory it asks the shards for.

mod allocate;
mod grow;
mod retire;
mod room;

pub(crate) use room::Next;

use crate::arch::Work;
use crate::arena::spare::{ImageSpares, ItemSpares, SHARDS_APART};
use crate::config::{Config, Geometry};
use crate::observer::Observer;
use crate::reclaim::Participant;
use crate::region::Part;
use crate::shared::Shared;
use crate::stats::Counters;
use crate::time::Millis;

#[derive(Debug)]
pub(crate) struct Local<'c> {
    pub(crate) shared: &'c Shared,
    pub(crate) participant: Participant<'c>,
    pub(crate) counters: Counters,
    /// Where others see them.
    record: Part<'c>,
    spares: ItemSpares,
    spare_images: ImageSpares,
    /// Bit per shard in which main or the nursery had less free than is made ahead when this handle last allocated there.
    wants_room: [u64; Config::SHARDS_MAX as usize / 64],
    /// The same of those in which room that was begun to be made ahead has to go on in the next turn.
    goes_on: [u64; Config::SHARDS_MAX as usize / 64],
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
    /// Handles that were online at the last quiescent state, as far as it is known. Alone, what is retired can be used again in
    /// the next turn.
    online: u32,
    /// What [`Shared::spares_called`] said when this handle last gave its spare blocks back, and the turns for which it keeps none.
    spares_called: u32,
    lean: u32,
    /// The epoch in which this handle last asked others for theirs, and when.
    called_at: Option<(u64, Millis)>,
    /// Is told of what this handle finds expired or evicts.
    pub(crate) observer: Option<&'c dyn Observer>,
}

impl<'c> Local<'c> {
    pub(crate) fn join(shared: &'c Shared) -> Option<Self> {
        let participant = Participant::join(shared)?;
        let record = shared.record(participant.number());
        let counters = Counters::load(record);
        let mut local = Self {
            shared,
            participant,
            counters,
            record,
            spares: ItemSpares::new(),
            spare_images: ImageSpares::new(),
            wants_room: [0; Config::SHARDS_MAX as usize / 64],
            goes_on: [0; Config::SHARDS_MAX as usize / 64],
            expected: [0; Config::SHARDS_MAX as usize],
            grip: 0,
            pinned: false,
            taken: 0,
            demand: 0,
            online: 2,
            spares_called: shared.spares_called(),
            lean: 0,
            called_at: None,
            observer: None,
        };
        local.keep_spares(true);
        local.participant.online();
        Some(local)
    }

    /// Whether it keeps blocks for its next writes. Those that it has it keeps.
    fn keep_spares(&mut self, keep: bool) {
        let Geometry { reserve, shards, .. } = self.shared.geometry;
        let most = if keep { reserve / 4 * shards.min(SHARDS_APART) } else { 0 };
        self.spares.keep_at_most(most);
        self.spare_images.keep_at_most(most);
    }

    /// Tells the observer that the item of `key` has gone.
    pub(crate) fn tell_gone(&self, key: &[u8]) {
        if let Some(observer) = self.observer {
            observer.gone(key);
        }
    }

    pub(crate) fn leave(&mut self) {
        if !self.participant.is_online() {
            self.participant.online();
        }
        self.give_spares_back();
        self.save_counters();
        self.participant.leave();
    }

    pub(crate) fn save_counters(&self) {
        self.counters.save(self.record);
    }

    /// Counts a read that found its key, and shows it to everybody else.
    #[inline(always)]
    pub(crate) fn count_hit(&mut self) {
        self.counters.hits += 1;
        self.counters.save_hits(self.record);
    }

    /// The same of one that did not.
    #[inline(always)]
    pub(crate) fn count_miss(&mut self) {
        self.counters.misses += 1;
        self.counters.save_misses(self.record);
    }

    /// The same after what can only have counted reads.
    #[inline]
    pub(crate) fn save_reads(&self) {
        self.counters.save_hits(self.record);
        self.counters.save_misses(self.record);
    }

    /// Runs work over the index at the SIMD level of this cache, from a place that is not compiled for it.
    pub(crate) fn run<'l, W: Work>(&'l mut self, work: impl FnOnce(&'l mut Self) -> W) -> W::Output {
        let level = self.shared.level;
        level.dispatch(work(self))
    }
}

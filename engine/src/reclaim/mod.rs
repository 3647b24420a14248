//! Quiescent-state reclamation: when may a block that was taken out of the index be used again?
//!
//! A handle *announces* the epoch whenever it holds nothing that it found (once per batch), and is *offline* while it
//! sleeps. The epoch moves on when every online handle has announced it. A block retired under announcement `a` may be
//! reused once the epoch has reached `a + 3`.
//!
//! Why three: the block may have been found by a handle that had already announced `a + 1`. Reaching `a + 2` needs the
//! retirer's announcement of `a + 1`, or its going offline, made after its unlinking; reaching `a + 3` needs everybody's announcement of
//! `a + 2`, after which nobody can find the block or still hold it.
//!
//! Invariant **I4**: while a handle is online with announcement `a`, the epoch is `a` or `a + 1`. The re-check in
//! `online` makes it true for a late comer. Online handles need no fence; the one pair of fences is between coming
//! online and moving the epoch. A handle that stays online without announcing stops reuse, never correctness.

pub(crate) mod limbo;

use crate::config::{RECORD_ANNOUNCED, RECORD_STATE};
use crate::shared::Shared;
use crate::sync::{AcqRel, Acquire, AtomicU32, AtomicU64, Relaxed, Release, fault, unless};
use limbo::Limbo;

/// Announcement of a handle that holds nothing and sleeps. Epochs begin at 1.
const OFFLINE: u64 = 0;

/// Epochs between retiring a block and reusing it.
pub(crate) const GRACE: u64 = 3;

/// States of a handle's record.
const VACANT: u32 = 0;
const ACTIVE: u32 = 1;
/// Its handle is gone, its limbo is not yet empty: whoever takes the record takes the limbo over.
const ORPHAN: u32 = 2;

/// One handle's part in reclamation: its record, its announcement, its limbo.
#[derive(Debug)]
pub(crate) struct Participant<'c> {
    shared: &'c Shared,
    number: u32,
    announcement: u64,
    pub(crate) limbo: Limbo<'c>,
}

fn announced(shared: &Shared, record: u32) -> &AtomicU64 {
    shared.root().word64(shared.geometry.record_at(record) + RECORD_ANNOUNCED)
}

fn state(shared: &Shared, record: u32) -> &AtomicU32 {
    shared.root().word32(shared.geometry.record_at(record) + RECORD_STATE)
}

impl<'c> Participant<'c> {
    /// Takes a record, an orphaned one if there is one. It starts offline.
    pub(crate) fn join(shared: &'c Shared) -> Option<Self> {
        let number = [ORPHAN, VACANT].into_iter().find_map(|wanted| {
            (0..shared.geometry.handles).find(|&r| Self::take_record(shared, r, wanted))
        })?;
        // AcqRel: before this handle's first announcement, so that whoever sees its fence scans far enough.
        shared.handles_used().fetch_max(number + 1, AcqRel);
        Some(Self { shared, number, announcement: OFFLINE, limbo: Limbo::open(shared, number) })
    }

    fn take_record(shared: &Shared, record: u32, wanted: u32) -> bool {
        // Acquire: the limbo that an orphan left. Pairs with the Release in `leave`.
        state(shared, record).compare_exchange(wanted, ACTIVE, Acquire, Relaxed).is_ok()
    }

    /// Gives the record up, with whatever is still in its limbo.
    pub(crate) fn leave(&mut self) {
        self.offline();
        self.limbo.save();
        let left = if self.limbo.is_empty() { VACANT } else { ORPHAN };
        state(self.shared, self.number).store(left, Release);
    }

    /// Takes over the limbo of some handle that is gone, if there is one.
    pub(crate) fn adopt(&self) -> Option<Self> {
        let shared = self.shared;
        let used = shared.handles_used().load(Acquire);
        let number = (0..used)
            .find(|&r| state(shared, r).load(Relaxed) == ORPHAN && Self::take_record(shared, r, ORPHAN))?;
        Some(Self { shared, number, announcement: OFFLINE, limbo: Limbo::open(shared, number) })
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// What this handle last announced. As long as it does not change, nothing that the handle found is reused.
    #[inline(always)]
    pub(crate) fn announcement(&self) -> u64 {
        self.announcement
    }

    #[inline(always)]
    pub(crate) fn is_online(&self) -> bool {
        self.announcement != OFFLINE
    }

    pub(crate) fn online(&mut self) {
        let announced = announced(self.shared, self.number);
        loop {
            let epoch = self.shared.epoch().load(Relaxed);
            // Release: what came before the last `offline`, whose store this one replaces. Pairs with the scan in `advance`.
            announced.store(epoch, unless("online_relaxed", Release));
            // Pairs with the fence in `advance`: either that scan sees us, or our loads see all that it saw.
            if !fault("online_without_fence") {
                self.shared.fences.fence();
            }
            if fault("online_without_recheck") || self.shared.epoch().load(Relaxed) == epoch {
                self.announcement = epoch;
                return;
            }
        }
    }

    /// The handle holds no block that it found.
    pub(crate) fn offline(&mut self) {
        // Release: all reads so far come before. Pairs with the scan in `advance`.
        announced(self.shared, self.number).store(OFFLINE, unless("offline_relaxed", Release));
        self.announcement = OFFLINE;
    }

    /// As `offline`, then `online`, but without a fence.
    #[inline]
    pub(crate) fn announce(&mut self) {
        debug_assert!(self.is_online());
        let epoch = self.shared.epoch().load(unless("quiescent_load_relaxed", Acquire));
        if epoch != self.announcement {
            // Release: all reads so far come before. Pairs with the scan in `advance`.
            announced(self.shared, self.number).store(epoch, unless("quiescent_store_relaxed", Release));
            self.announcement = epoch;
        }
    }

    /// Moves the epoch on, if every online handle has announced it. Answers how many were online; none if one had not.
    #[inline]
    pub(crate) fn advance(&self) -> Option<u32> {
        let shared = self.shared;
        let epoch = shared.epoch().load(Acquire);
        if !fault("advance_without_fence") {
            shared.fences.fence();
        }
        let used = shared.handles_used().load(Acquire);
        let mut online = 0;
        for record in 0..used {
            let seen = announced(shared, record).load(unless("advance_scan_relaxed", Acquire));
            if seen != OFFLINE && seen != epoch && !fault("advance_without_scan") {
                return None;
            }
            online += u32::from(seen != OFFLINE);
        }
        let release = unless("advance_relaxed", Release);
        let _ = shared.epoch().compare_exchange(epoch, epoch + 1, release, Relaxed);
        Some(online)
    }

    /// Remembers a block that was just taken out of the index. There must be room: see [`Limbo::room`].
    #[inline]
    pub(crate) fn retire(&mut self, block: limbo::Block) {
        debug_assert!(self.is_online());
        self.limbo.push(block, self.announcement);
    }

    /// The same by a caller that has just made sure of room, of a block whose size fits into an entry.
    #[inline(always)]
    pub(crate) fn retire_alike(&mut self, block: limbo::Block) {
        debug_assert!(self.is_online());
        self.limbo.push_alike(block, self.announcement);
    }

    /// Hands out the blocks whose grace period is over, oldest first, for as long as `release` takes them.
    #[inline(always)]
    pub(crate) fn drain(&mut self, release: impl FnMut(limbo::Due<'_, 'c>) -> bool) {
        let epoch = self.shared.epoch().load(unless("drain_relaxed", Acquire));
        self.limbo.drain(epoch, release);
    }
}

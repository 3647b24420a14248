//! Operations that somebody is to be told of: those who watch keys, those who keep copies, those who want a sample.

use crabcache_engine::{Action, Expiry, Op, Outcome, StoreError};

use super::{Batch, Executor};
use crate::database;
use crate::shared::Shared;

impl Executor<'_> {
    /// Notes the keys of a batch, if there is a sample to be taken: once, however often it is tried. True if what comes of
    /// its operations has to be told.
    #[cold]
    pub(super) fn observe(&self, ops: &[Op<'_>]) -> bool {
        if self.seat.sample.is_wanted() {
            self.seat.sample.note(ops.iter().map(|op| database::split(op.key).1));
        }
        let watches = &self.shared.watches;
        let mut writes = ops.iter().filter(|op| !matches!(op.action, Action::Get | Action::Peek));
        writes.any(|op| self.tracked || watches.may_have(op.key))
    }

    /// As `execute`, one by one: what came of each has to be known.
    #[cold]
    pub(super) fn execute_watched(&mut self, batch: &Batch<'_>, first: usize) -> usize {
        for (at, op) in batch.ops.iter().enumerate().skip(first) {
            let outcome = self.handle.apply(self.now, op);
            if let Outcome::Refused(StoreError::Pressure) = outcome {
                return at;
            }
            let changed = changes(op, &outcome);
            if self.tracked {
                self.answers.worked += self.shared.tracking.take_gone_work();
            }
            self.answers.answer(op, &batch.plan(at), outcome);
            self.end(batch, at + 1);
            if changed {
                let author = self.authors.get(batch.segment_of(at)).copied();
                self.answers.worked += tell_of_change(self.shared, self.tracked, op.key, author);
            }
        }
        batch.ops.len()
    }

    /// Does something of which those who keep copies are not told key by key: they will be told that everything has changed.
    pub(crate) fn untold<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let tracked = std::mem::take(&mut self.tracked);
        let done = work(self);
        self.tracked = tracked;
        done
    }

    /// Tells those who watch keys that are there: all are about to be removed.
    pub(crate) fn will_remove_all(&mut self) {
        if self.observed {
            self.shared.watches.all_removed();
        }
    }

    /// Tells all those who watch keys that `concerns` is true for.
    pub(crate) fn will_change(&self, concerns: impl Fn(&[u8]) -> bool) {
        self.shared.watches.changed_where(concerns);
    }
}

/// What it takes to tell one who watches, in nanoseconds or so.
const TOLD: usize = 100;

/// Tells those who watch a stored key, and those who may keep copies of it, that it has changed; gives what it took, in
/// nanoseconds or so. No author is a stranger.
pub(super) fn tell_of_change(
    shared: &Shared<'_>,
    tracked: bool,
    stored: &[u8],
    author: Option<u64>,
) -> usize {
    let work = shared.watches.changed(stored) * TOLD;
    if !tracked {
        return work;
    }
    // Copies are told of by their names, whatever the database, as with Redis.
    let (_, key) = database::split(stored);
    work + shared.tracking.changed(shared, key, author.unwrap_or(0))
}

/// Whether the key of an operation with this outcome is no longer as it was. A lease that was won leaves it so.
pub(super) fn changes(op: &Op<'_>, outcome: &Outcome<'_>) -> bool {
    if let Action::Lease(lease) = op.action {
        return lease.touch != Expiry::Keep
            && matches!(outcome, Outcome::Hit(_) | Outcome::Won { value: Some(_) });
    }
    matches!(
        outcome,
        Outcome::Stored { .. }
            | Outcome::Removed(_)
            | Outcome::Touched(_)
            | Outcome::Length(_)
            | Outcome::Number(_)
    )
}

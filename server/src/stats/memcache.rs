//! What memcached counts of requests beside hits and misses of reads: told by an operation and what came of it.

use crabcache_engine::{Action, Condition, Delta, Op, Outcome, Recache};
use crabcache_engine::{Put, StoreError};

use super::Counter;

/// A figure, in the order of [`NAMES`].
#[derive(Clone, Copy, Debug)]
enum Figure {
    DeleteMisses,
    IncrHits,
    IncrMisses,
    DecrHits,
    DecrMisses,
    CasHits,
    CasMisses,
    CasBadval,
    TouchHits,
    TouchMisses,
    StoreTooLarge,
}

/// The names of the figures in `stats`.
pub(crate) const NAMES: [&str; 11] = [
    "delete_misses",
    "incr_hits",
    "incr_misses",
    "decr_hits",
    "decr_misses",
    "cas_hits",
    "cas_misses",
    "cas_badval",
    "touch_hits",
    "touch_misses",
    "store_too_large",
];

/// The figures of a turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tallies([u64; NAMES.len()]);

impl Tallies {
    /// Counts an operation that was not a plain read.
    #[cold]
    pub(crate) fn count(&mut self, op: &Op<'_>, outcome: &Outcome<'_>) {
        if let Some(figure) = figure(op, outcome) {
            self.0[figure as usize] += 1;
        }
    }
}

/// The figures of a worker since it began.
#[derive(Debug, Default)]
pub(crate) struct Sums([Counter; NAMES.len()]);

impl Sums {
    /// Adds those of a turn, and sets them to zero.
    pub(crate) fn take(&self, turn: &mut Tallies) {
        for (sum, more) in self.0.iter().zip(&mut turn.0) {
            sum.add(std::mem::take(more));
        }
    }

    /// Adds these to `sums`, in the order of [`NAMES`].
    pub(crate) fn add_to(&self, sums: &mut [u64; NAMES.len()]) {
        for (sum, more) in sums.iter_mut().zip(&self.0) {
            *sum += more.get();
        }
    }
}

fn figure(op: &Op<'_>, outcome: &Outcome<'_>) -> Option<Figure> {
    if let Outcome::Refused(StoreError::TooLarge { .. }) = outcome {
        return Some(Figure::StoreTooLarge);
    }
    Some(match (op.action, outcome) {
        (Action::Delete(_) | Action::Invalidate(_), Outcome::Miss | Outcome::NotStored { .. }) => {
            Figure::DeleteMisses
        }
        (Action::Count(count), Outcome::Number(_)) => match count.delta {
            Delta::Down(_) => Figure::DecrHits,
            _ => Figure::IncrHits,
        },
        (Action::Count(count), Outcome::Miss) => match count.delta {
            Delta::Down(_) => Figure::DecrMisses,
            _ => Figure::IncrMisses,
        },
        (
            Action::Put(Put { condition: Condition::Version(_), .. })
            | Action::Recache(Recache { condition: Condition::Version(_), .. }),
            outcome,
        ) => match outcome {
            Outcome::Stored { .. } => Figure::CasHits,
            Outcome::NotStored { found: None } => Figure::CasMisses,
            _ => Figure::CasBadval,
        },
        (Action::Touch(..), Outcome::Touched(_)) => Figure::TouchHits,
        (Action::Touch(..), Outcome::Miss) => Figure::TouchMisses,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_is_answered_in_short_nothing_is_tallied() {
        for condition in [Condition::Always, Condition::Absent, Condition::Present] {
            let op = Op { key: b"key", action: Action::Put(Put { condition, ..Put::default() }) };
            assert!(figure(&op, &Outcome::Stored { old: None }).is_none(), "{condition:?}");
        }
    }

    #[test]
    fn every_figure_has_its_name() {
        let last = [(Figure::StoreTooLarge, "store_too_large"), (Figure::CasBadval, "cas_badval")];
        for (figure, name) in last {
            assert_eq!(NAMES[figure as usize], name);
        }
    }
}

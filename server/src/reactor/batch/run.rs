//! A batch is carried out: together, or from where room has to be made for a write.
//!
//! The engine stops before a write that finds no room at the moment ([`StoreError::Pressure`]). What was lent to the
//! answers is copied then, so that nothing is borrowed from it any more, the worker is quiescent, and goes on; after some
//! patience with the same operation it is refused, and the next one has its turn.

use std::time::Duration;

use crabcache_engine::{Action, BATCH, Op, Outcome, Sink, StoreError, Value};

use super::watched::{changes, tell_of_change};
use super::{Batch, End, Executor};
use crate::reactor::answers::Answers;

/// Turns in which nothing is lent after a write that found no room.
const ABSTAINED: u32 = 64;
/// How long it sleeps at a time.
pub(super) const PAUSE_MIN: Duration = Duration::from_micros(20);
const PAUSE_MAX: Duration = Duration::from_millis(1);

/// Writes the answers of a batch, or of the rest of one, while it is carried out.
struct Answering<'b, 's> {
    batch: &'b Batch<'b>,
    /// Operations of the batch before these.
    before: usize,
    answers: &'b mut Answers<'s>,
    /// The segments that end among these operations.
    ends: &'b [End],
    /// The last operation of the next segment to end.
    last: usize,
    /// Where in the answers those end that have ended.
    positions: &'b mut [usize],
}

impl Answering<'_, '_> {
    /// Finds out which operation is the last one of a segment.
    #[inline]
    fn look_ahead(&mut self) {
        self.last = self.ends.first().map_or(usize::MAX, |end| end.ops - 1);
    }

    /// Writes an answer that is not a short one.
    #[inline(never)]
    fn answer(&mut self, at: usize, outcome: Outcome<'_>) {
        if let Some(op) = self.batch.ops.get(at) {
            self.answers.answer(op, &self.batch.plan(at), outcome);
        }
        self.end(at);
    }

    /// An operation has been answered: perhaps its segment ends.
    #[inline(always)]
    fn end(&mut self, at: usize) {
        if at == self.last
            && let Some((end, ends)) = self.ends.split_first()
        {
            self.positions[end.segment] = self.answers.len();
            self.ends = ends;
            self.look_ahead();
        }
    }
}

impl Sink for Answering<'_, '_> {
    #[inline(always)]
    fn take(&mut self, number: usize, outcome: Outcome<'_>) {
        let at = self.before + number;
        let form = self.batch.forms[at % BATCH];
        let short = match outcome {
            Outcome::Miss => self.answers.short_miss(form),
            Outcome::Stored { .. } => self.answers.short_success(form),
            _ => false,
        };
        if short {
            self.end(at);
        } else {
            self.answer(at, outcome);
        }
    }

    #[inline(always)]
    fn hit(&mut self, number: usize, value: Value<'_>) {
        let at = self.before + number;
        // The rest of a division instead of a comparison: there are no more operations than that.
        if self.answers.short_hit(self.batch.forms[at % BATCH], &self.batch.ops, at, &value) {
            self.end(at);
        } else {
            self.answer(at, Outcome::Hit(value));
        }
    }

    #[inline(always)]
    fn replaced<'v>(&mut self, number: usize, old: impl FnOnce() -> Value<'v>) {
        let at = self.before + number;
        if self.answers.short_success(self.batch.forms[at % BATCH]) {
            self.end(at);
        } else {
            self.answer(at, Outcome::Stored { old: Some(old()) });
        }
    }
}

impl Executor<'_> {
    /// Carries a batch out, and empties it.
    pub(super) fn run(&mut self, batch: &mut Batch<'_>) {
        if batch.ops.is_empty() {
            return;
        }
        let told = self.observed && self.observe(&batch.ops);
        let mut done = self.execute(batch, 0, told);
        while done < batch.ops.len() {
            done = self.insist(batch, done, told);
        }
        batch.clear();
        if self.answers.lent.is_empty() {
            self.handle.quiescent(self.now);
            self.lend();
        }
    }

    /// From here on what is found stays where it is, and can be lent to the answers; unless writes need the room.
    #[inline]
    pub(super) fn lend(&mut self) {
        if self.abstains == 0 {
            self.handle.pin();
            self.answers.lends = true;
        }
    }

    /// A write found no room: lets go of everything, so that it can make some. What has to be copied in the end is copied
    /// at once for some turns.
    pub(super) fn make_room(&mut self) {
        if self.answers.lends {
            self.abstains = ABSTAINED;
        }
        let now = self.now;
        self.handle().quiescent(now);
    }

    /// Carries out and answers the operations from `first` on; `told`: somebody is told what comes of them. Gives how far
    /// it came: to the end, or to one that finds no room.
    #[inline]
    fn execute(&mut self, batch: &Batch<'_>, first: usize, told: bool) -> usize {
        if told {
            return self.execute_watched(batch, first);
        }
        let Self { handle, answers, ends: positions, now, .. } = self;
        let ends = &batch.ends[batch.ends.partition_point(|end| end.ops <= first)..];
        let mut sink = Answering { batch, before: first, answers, ends, last: 0, positions };
        sink.look_ahead();
        let done = handle.execute_into(*now, &batch.ops[first..], &mut sink);
        answers.gather();
        first + done
    }

    /// So many operations of the batch have been answered: perhaps a segment ends.
    pub(super) fn end(&mut self, batch: &Batch<'_>, ops: usize) {
        if let Some(end) = batch.ends.iter().find(|end| end.ops == ops) {
            self.ends[end.segment] = self.answers.len();
        }
    }

    /// Goes on from an operation that found no room, as soon as there is some. Once patience has ended it is refused;
    /// then the ones behind it are tried.
    #[cold]
    #[inline(never)]
    fn insist(&mut self, batch: &Batch<'_>, at: usize, told: bool) -> usize {
        let mut pause = PAUSE_MIN;
        loop {
            self.make_room();
            let done = self.execute(batch, at, told);
            if done > at {
                return done;
            }
            if !self.wait(&mut pause) {
                break;
            }
        }
        self.answers.answer(&batch.ops[at], &batch.plan(at), Outcome::Refused(StoreError::Pressure));
        self.end(batch, at + 1);
        self.seat.counters.no_room.add(1);
        at + 1
    }

    /// Sleeps for a moment, until there may be room. False once patience has ended.
    pub(super) fn wait(&mut self, pause: &mut Duration) -> bool {
        if self.patience.is_zero() {
            return false;
        }
        // Others may have to finish their turn first, perhaps on this very core.
        self.handle.offline();
        std::thread::sleep(*pause);
        self.handle.online();
        self.patience = self.patience.saturating_sub(*pause);
        *pause = (*pause * 2).min(PAUSE_MAX);
        true
    }

    /// Carries out one operation at once, on a key as it is stored; waits for room as long as a batch does. The batch must
    /// have been run.
    pub(crate) fn apply<T>(&mut self, op: &Op<'_>, look: impl FnOnce(Outcome<'_>) -> T) -> T {
        let mut pause = PAUSE_MIN;
        loop {
            let outcome = self.handle.apply(self.now, op);
            if !matches!(outcome, Outcome::Refused(StoreError::Pressure)) {
                if self.observed && changes(op, &outcome) {
                    let author = self.authors.get(self.segment).copied();
                    self.answers.worked += tell_of_change(self.shared, self.tracked, op.key, author);
                }
                self.answers.no_place += u64::from(matches!(outcome, Outcome::Refused(StoreError::NoPlace)));
                return look(outcome);
            }
            self.make_room();
            if !self.wait(&mut pause) {
                self.seat.counters.no_room.add(1);
                return look(Outcome::Refused(StoreError::Pressure));
            }
        }
    }

    /// Looks at one item at once. The batch must have been run.
    pub(crate) fn peek<T>(&mut self, key: &[u8], look: impl FnOnce(&Value<'_>) -> T) -> Option<T> {
        match self.handle.apply(self.now, &Op { key, action: Action::Peek }) {
            Outcome::Hit(value) => Some(look(&value)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crabcache_engine::Millis;
    use crabcache_protocol::resp::Version;

    use super::*;
    use crate::config::Config;
    use crate::reactor::batch::Form;
    use crate::simulation::setup::with_server;

    #[test]
    fn the_keys_of_a_batch_are_noted_once_however_often_it_is_tried() {
        with_server(384 << 10, Config::default(), |shared| {
            let seat = &shared.seats[0];
            let mut executor = Executor::new(shared.cache.handle().expect("a handle"), shared, seat);
            // What is removed is not used again, since this one never is quiescent.
            let mut other = shared.cache.handle().expect("a handle");
            other.online();
            seat.sample.take(&mut Vec::new());
            let value = [0; 1000];
            let mut list = Vec::new();
            for round in 0..1000_u64 {
                executor.begin(Millis(1), 1, false);
                executor.enter();
                let keys: Vec<_> = (0..BATCH as u64).map(|at| (round << 8 | at).to_le_bytes()).collect();
                let mut batch = Batch::new(0);
                for key in &keys {
                    batch.forms[batch.ops.len()] = Form::Resp(Version::Resp2);
                    batch.ops.push(Op::put(key, &value)).expect("room");
                }
                executor.run(&mut batch);
                executor.leave();
                list.clear();
                seat.sample.take(&mut list);
                assert_eq!(list.len(), BATCH * (2 + size_of::<u64>()));
                if seat.counters.no_room.get() > 0 {
                    return;
                }
            }
            panic!("there was always room");
        });
    }
}

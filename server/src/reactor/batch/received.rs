//! Values that are received into the arena (`command/arrival.rs`): room for them, and the operation that they end in.

use std::sync::atomic::AtomicUsize;

use crabcache_engine::{Action, Condition, Millis, Op, Outcome, Put, Reservation, StoreError};

use super::run::PAUSE_MIN;
use super::watched::{changes, tell_of_change};
use super::{Executor, Pass, Plan};
use crate::command::Reply;
use crate::large_values::LargeValues;

impl<'s> Executor<'s> {
    /// Whether a value of this length finds its place at once, so that it can be received there.
    pub(crate) fn admits(&mut self, key: &[u8], value_len: usize) -> bool {
        self.handle.admits(self.now, key, value_len)
    }

    /// Room for a value that is still to come, if there is some without letting go of what was lent.
    pub(crate) fn reserve(
        &mut self,
        key: &[u8],
        value_len: usize,
        flags: u32,
        expires: Option<Millis>,
    ) -> Option<Reservation<'s>> {
        self.handle.reserve(self.now, key, value_len, flags, expires).ok()
    }

    /// Bytes that this worker has reserved.
    pub(crate) fn reserved(&self) -> &'s AtomicUsize {
        &self.seat.reserved
    }

    /// Stores what was received, and answers; waits for room as long as a batch does. The batch must have been run.
    fn store(&mut self, mut reservation: Reservation<'s>, condition: Condition, plan: &Plan, segment: usize) {
        let key = reservation.key().to_vec();
        let op = Op { key: &key, action: Action::Put(Put { condition, ..Put::default() }) };
        let mut pause = PAUSE_MIN;
        loop {
            match self.handle.commit(self.now, reservation, condition) {
                Ok(outcome) => {
                    if self.observed && changes(&op, &outcome) {
                        let author = self.authors.get(segment).copied();
                        self.answers.worked += tell_of_change(self.shared, self.tracked, op.key, author);
                    }
                    return self.answers.answer(&op, plan, outcome);
                }
                Err(back) => reservation = back,
            }
            self.make_room();
            if !self.wait(&mut pause) {
                self.seat.counters.no_room.add(1);
                return self.answers.answer(&op, plan, Outcome::Refused(StoreError::Pressure));
            }
        }
    }
}

impl<'s> Pass<'_, '_, 's> {
    /// Stores a value that was received, behind what was pushed before.
    pub(crate) fn store(&mut self, mut reservation: Reservation<'s>, condition: Condition, reply: Reply) {
        self.run();
        let len = reservation.value().len();
        if len > LargeValues::FROM {
            self.note_large(len);
        }
        self.note_write();
        let plan = Plan { reply, version: self.version };
        self.executor.store(reservation, condition, &plan, self.batch.segment);
    }
}

//! Clients whose memory is needed.

use crabcache_engine::Millis;

use super::Turn;
use crate::command;
use crate::connection::{Connection, Phase};
use crate::reactor::budget;
use crate::stats::Counters;

impl Turn<'_> {
    /// Looks after the clients that wait for memory.
    pub(crate) fn relieve(&mut self, counters: &Counters) {
        self.wake_waiting();
        if self.budget.looks(self.now) {
            // The largest first: its memory may be enough.
            let rest_ms = self.budget.rest_ms();
            while self.budget.has_waiting()
                && let Some(key) = self.largest(|connection, now| budget::rests(connection, now, rest_ms))
            {
                self.close_for_memory(key, counters);
                self.budget.note_rested();
                self.wake_waiting();
            }
        }
        if self.budget.is_stuck(self.now) {
            self.close_largest(counters);
        }
    }

    fn wake_waiting(&mut self) {
        while let Some(key) = self.budget.next(&mut self.connections, self.now) {
            self.enqueue(key);
        }
    }

    /// Of the clients that are `wanted`, the one that holds most memory, if any holds some.
    fn largest(&self, wanted: impl Fn(&Connection, Millis) -> bool) -> Option<usize> {
        let wanted = self.connections.iter().filter(|(_, connection)| wanted(connection, self.now));
        let largest = wanted.max_by_key(|(_, connection)| connection.charge.counted());
        largest.filter(|(_, connection)| connection.charge.counted() > 0).map(|(key, _)| key)
    }

    /// Closes the client that holds most memory; false if nobody holds any.
    #[cold]
    pub(super) fn close_largest(&mut self, counters: &Counters) -> bool {
        let largest = self.largest(|_, _| true);
        if let Some(key) = largest {
            self.close_for_memory(key, counters);
        }
        largest.is_some()
    }

    /// Closes a client whose memory is needed.
    #[cold]
    fn close_for_memory(&mut self, key: usize, counters: &Counters) {
        counters.memory_closes.add(1);
        self.dismiss(key, command::out_of_memory(self.connections[key].dialect));
    }

    /// Takes a client's memory back, and closes it with this for an answer.
    pub(super) fn dismiss(&mut self, key: usize, answer: &[u8]) {
        let connection = &mut self.connections[key];
        if connection.output.is_empty() {
            self.budget.release(connection);
            // What it sends is dropped from here on, and it is told why.
            connection.output.keep(answer);
            self.budget.charge(connection);
            connection.moved = self.now;
            connection.waits = false;
            connection.close();
            self.enqueue(key);
        } else {
            // It does not take its answers; it would not take an error either.
            self.abandon(key);
        }
    }

    /// Takes a client's memory back, and lets it go at the end of this turn without another word.
    pub(super) fn abandon(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        self.budget.release(connection);
        // Nothing more is kept for it.
        connection.phase = Phase::Lingering;
        self.gone.push(key);
    }
}

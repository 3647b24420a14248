//! Clients whose time is up.

use crabcache_engine::Millis;

use super::Turn;
use crate::command;
use crate::reactor::deadline::Missed;
use crate::settings::Settings;
use crate::stats::Counters;

impl Turn<'_> {
    /// When somebody's time may be up, if that can be.
    #[must_use]
    pub(crate) fn next_look(&self, idle_ms_max: u64) -> Option<Millis> {
        self.deadlines.next_look(idle_ms_max > 0 && !self.connections.is_empty(), self.budget.is_held())
    }

    /// Lets go of the clients whose time is up.
    #[inline]
    pub(crate) fn enforce_deadlines(&mut self, settings: &Settings, counters: &Counters) {
        if self.deadlines.is_due(self.now) {
            self.look_at_deadlines(settings.idle_ms_max(), counters);
        }
    }

    #[cold]
    fn look_at_deadlines(&mut self, idle_ms_max: u64, counters: &Counters) {
        let mut missed = Vec::new();
        for (key, connection) in &mut self.connections {
            let deadline = self.deadlines.missed(connection, idle_ms_max, self.now);
            missed.extend(deadline.map(|deadline| (key, deadline)));
        }
        counters.timeouts.add(missed.len() as u64);
        for (key, missed) in missed {
            match missed {
                // Nothing was asked, so nothing is answered.
                Missed::Idle => self.lose(key),
                Missed::Request => self.dismiss(key, command::too_slow(self.connections[key].dialect)),
            }
        }
    }
}

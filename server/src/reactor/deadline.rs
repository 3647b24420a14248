//! How long a client may be idle, and how long a request may take to arrive.
//!
//! An idle client holds no memory, so by default it may stay. An unfinished request does hold some, so it has to come to an
//! end: each 64 KiB of it have to be here in time, which any network does, and which somebody who sends a byte now
//! and then does not. The time for which we make a client wait does not count. One whose connection is about to be closed
//! keeps its place until it has taken its last answers, so it has to take some of them in time.
//!
//! Everybody is looked at in turns at least half a second apart; nobody is woken for it unless somebody's time could be up.

use crabcache_engine::Millis;

use crate::connection::{Connection, Phase};

/// The deadlines of a worker's clients.
#[derive(Debug)]
pub(crate) struct Deadlines {
    request_ms_max: u64,
    looked: Millis,
}

/// Which deadline a client has missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    /// It has neither sent nor taken anything.
    Idle,
    /// Its request is still not all here.
    Request,
}

/// For how long a client that is about to be closed may take nothing of its last answers.
const LAST_ANSWERS_MS: u64 = 10_000;
/// How often everybody is looked at.
const LOOK_MS: u64 = 500;

impl Deadlines {
    pub(crate) fn new(request_ms_max: u64) -> Self {
        Self { request_ms_max, looked: Millis::default() }
    }

    /// When to look at everybody next, if ever. `may_idle`: somebody's idle time may be up; `holding`: some hold memory.
    pub(crate) fn next_look(&self, may_idle: bool, holding: bool) -> Option<Millis> {
        (may_idle || holding).then(|| self.looked.after(LOOK_MS))
    }

    /// Whether it is time to look; then the next time is a while off.
    #[inline]
    pub(crate) fn is_due(&mut self, now: Millis) -> bool {
        let due = now.0.saturating_sub(self.looked.0) >= LOOK_MS;
        if due {
            self.looked = now;
        }
        due
    }

    /// The deadline that a client has missed, if any. A limit of 0 is none.
    pub(crate) fn missed(
        &self,
        connection: &mut Connection,
        idle_ms_max: u64,
        now: Millis,
    ) -> Option<Missed> {
        let is_late = |since: Millis, max: u64| max > 0 && now.0.saturating_sub(since.0) >= max;
        if connection.phase != Phase::Open {
            let takes_nothing = !connection.output.is_empty() && is_late(connection.moved, LAST_ANSWERS_MS);
            return takes_nothing.then_some(Missed::Idle);
        }
        if connection.output.is_empty() && connection.waits_for_us() {
            connection.input.restart_clock(now);
            connection.moved = now;
            return None;
        }
        let listens = connection.subscriptions.is_some() || connection.monitoring.is_some();
        if !listens && is_late(connection.moved, idle_ms_max) {
            return Some(Missed::Idle);
        }
        if !connection.output.is_empty() {
            // It is not read while it does not take its answers.
            connection.input.restart_clock(now);
            return None;
        }
        (connection.is_unfinished() && is_late(connection.input.began(), self.request_ms_max))
            .then_some(Missed::Request)
    }
}

//! Who may touch the items at this moment: all workers at once, or one alone.
//!
//! ```text
//! worker 0   [own lock: a turn's requests]      [own lock ...
//! worker 1      [own lock: a turn's requests] [ all locks: EXEC ]  [own lock ...
//! ```
//! A worker holds a lock of its own while it carries out the requests of a turn. Nobody else wants it, so that this costs
//! two atomic instructions a turn; the only worker of a server does without. Who needs to be alone (EXEC, RENAME, WATCH)
//! lets its own lock go and then takes those of all workers, in their order. So nobody waits for a lock while holding one
//! of a higher number, and a turn of another worker is either over, with all it has written to be seen, or yet to begin.
//!
//! Who waits is offline: what it has found before it no longer needs, and others may be waiting for that memory.
//!
//! The locks are not fair: a worker whose client wants to be alone time and again would have taken them back before those
//! who wait have woken up. So it lets them in first.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use crabcache_engine::Handle;

use crate::seat::Seat;

/// A worker's access to the items.
#[derive(Debug)]
pub(crate) struct Access<'s> {
    seats: &'s [Seat],
    seat: &'s Seat,
    /// Its own lock, within a turn.
    own: Option<MutexGuard<'s, ()>>,
    /// Those of all workers, instead, while it is alone.
    all: Vec<MutexGuard<'s, ()>>,
}

/// What guards nothing by itself cannot be left half changed by a panic.
fn lock(turn: &Mutex<()>) -> MutexGuard<'_, ()> {
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'s> Access<'s> {
    pub(crate) fn new(seats: &'s [Seat], seat: &'s Seat) -> Self {
        Self { seats, seat, own: None, all: Vec::new() }
    }

    /// Waits until nobody is alone.
    pub(crate) fn enter(&mut self, handle: &mut Handle<'_>) {
        if self.seats.len() < 2 {
            return;
        }
        let turn = &self.seat.turn;
        self.own = Some(match turn.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                handle.offline();
                self.seat.waits.store(true, Relaxed);
                let guard = lock(turn);
                self.seat.waits.store(false, Relaxed);
                handle.online();
                guard
            }
        });
    }

    /// Lets others be alone.
    pub(crate) fn leave(&mut self) {
        drop(self.own.take());
    }

    /// Waits until no other worker is inside, and keeps them out. False if they are kept out already.
    pub(crate) fn begin_alone(&mut self, handle: &mut Handle<'_>) -> bool {
        if self.seats.len() < 2 || !self.all.is_empty() {
            return false;
        }
        self.leave();
        handle.offline();
        while self.seats.iter().any(|seat| seat.waits.load(Relaxed)) {
            thread::yield_now();
        }
        self.all.extend(self.seats.iter().map(|seat| lock(&seat.turn)));
        handle.online();
        true
    }

    /// Lets the others in again.
    pub(crate) fn end_alone(&mut self, handle: &mut Handle<'_>) {
        self.all.clear();
        self.enter(handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::simulation::setup::with_server;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    #[test]
    fn who_waits_comes_before_whoever_is_alone_again() {
        with_server(1 << 20, Config { workers: 2, ..Config::default() }, |shared| {
            let seats = &shared.seats;
            let mut greedy = shared.cache.handle().expect("a handle");
            let mut alone = Access::new(seats, &seats[1]);
            for _ in 0..100 {
                let entered = AtomicBool::new(false);
                assert!(alone.begin_alone(&mut greedy));
                let let_in = thread::scope(|scope| {
                    scope.spawn(|| {
                        let mut handle = shared.cache.handle().expect("another");
                        let mut access = Access::new(seats, &seats[0]);
                        access.enter(&mut handle);
                        entered.store(true, SeqCst);
                        access.leave();
                    });
                    while !seats[0].waits.load(SeqCst) {
                        thread::yield_now();
                    }
                    alone.end_alone(&mut greedy);
                    assert!(alone.begin_alone(&mut greedy));
                    let let_in = entered.load(SeqCst);
                    alone.all.clear();
                    let_in
                });
                assert!(let_in);
            }
        });
    }
}

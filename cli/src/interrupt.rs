//! Ctrl-C during a session ends what is running, not the session.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;

/// How long Ctrl-C may go unnoticed.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// Whether Ctrl-C was pressed. The default never is: without a session, Ctrl-C ends the program, but for a bench.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on Ctrl-C is noted.
    pub(crate) fn listen() -> io::Result<Self> {
        let flag = Arc::default();
        signal_hook::flag::register(SIGINT, Arc::clone(&flag))?;
        Ok(Self(flag))
    }

    /// Forgets what was pressed before.
    pub(crate) fn reset(&self) {
        // Relaxed, here and below: a flag of its own, which orders nothing.
        self.0.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Sleeps; false if interrupted.
    pub(crate) fn sleep_until(&self, until: Instant) -> bool {
        while !self.is_set() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(SLICE));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_ends_a_sleep() {
        let interrupt = Interrupt::default();
        assert!(interrupt.sleep_until(Instant::now()));
        interrupt.0.store(true, Ordering::Relaxed);
        assert!(!interrupt.sleep_until(Instant::now() + Duration::from_hours(1)));
        interrupt.reset();
        assert!(!interrupt.is_set());
    }
}

//! How a server ends: first it drains (no new clients, what was read is answered, answers are sent), then it is gone.
//!
//! ```text
//! running --stop--> draining --second stop, or the deadline--> ending
//! ```
//!
//! The acceptor learns of a stop (a signal, or [`Running::stop`](crate::Running::stop)), moves the level and wakes the
//! workers; each drains its own connections and leaves. Nothing here waits for a client longer than the deadline.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use mio::{Registry, Waker};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

/// How far a server is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// It serves.
    Running = 0,
    /// It answers what it has read.
    Draining = 1,
    /// It leaves at once.
    Ending = 2,
}

/// The switch that stops a server, shared by all who may press it or watch it.
#[derive(Debug)]
pub(crate) struct Control {
    level: AtomicU8,
    requests: AtomicU8,
    acceptor: Waker,
}

impl Control {
    /// A server that runs; `acceptor` wakes the thread that carries stops out.
    #[must_use]
    pub(crate) fn new(acceptor: Waker) -> Self {
        Self { level: AtomicU8::new(Level::Running as u8), requests: AtomicU8::new(0), acceptor }
    }

    /// Asks for a stop; asked for again, it happens at once.
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.wake_acceptor();
    }

    /// How many times a stop was asked for.
    pub(crate) fn requests(&self) -> u8 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Wakes the acceptor.
    pub(crate) fn wake_acceptor(&self) {
        // A waker fails only when its poll is gone, and with it whoever should have been woken.
        let _ = self.acceptor.wake();
    }

    /// Where the server stands.
    #[must_use]
    pub(crate) fn level(&self) -> Level {
        // Relaxed: the level itself is all that is told; what follows is told by the wake-up.
        match self.level.load(Ordering::Relaxed) {
            0 => Level::Running,
            1 => Level::Draining,
            _ => Level::Ending,
        }
    }

    /// Moves on, never back.
    pub(crate) fn raise(&self, level: Level) {
        self.level.fetch_max(level as u8, Ordering::Relaxed);
    }
}

/// Signals as a source of events: SIGTERM and SIGINT, and SIGHUP, which would end the process and means nothing here.
pub(crate) fn signals(registry: &Registry, token: mio::Token) -> io::Result<Signals> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    registry.register(&mut signals, token, mio::Interest::READABLE)?;
    Ok(signals)
}

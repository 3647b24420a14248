//! The thread that accepts clients for all workers, and learns of stops.
//!
//! `balance.rs` says which worker a client goes to. Too many clients are told so and closed; when the process is
//! out of file descriptors, accepting pauses instead of spinning, and the kernel keeps who waits.

use std::io::{self, ErrorKind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crabcache_protocol::detect::{Speaker, detect};
use mio::{Events, Poll, Token};
use signal_hook::consts::SIGHUP;
use signal_hook_mio::v1_0::Signals;

use super::balance::{Balance, Seen};
use super::listener::Listener;
use super::stream::Stream;
use crate::clock;
use crate::config::Pin;
use crate::seat::{Newcomer, Seat};
use crate::shared::Shared;
use crate::shutdown::{Control, Level};

/// Somebody pressed [`Control::request`], or a worker has left.
pub(crate) const WAKER: Token = Token(usize::MAX);
/// A signal came.
pub(crate) const SIGNALS: Token = Token(usize::MAX - 1);
/// For how long accepting pauses when there is nothing to accept with.
const PAUSE: Duration = Duration::from_millis(100);

/// The listeners of a server, and what else its first thread waits for.
pub(crate) struct Acceptor {
    poll: Poll,
    listeners: Vec<Listener>,
    signals: Option<Signals>,
    /// Accepting pauses; whoever waits at these listeners is not reported again.
    paused: Vec<usize>,
    balance: Balance,
}

impl Acceptor {
    pub(crate) fn new(
        poll: Poll,
        mut listeners: Vec<Listener>,
        signals: Option<Signals>,
    ) -> io::Result<Self> {
        for (at, listener) in listeners.iter_mut().enumerate() {
            listener.register(poll.registry(), Token(at))?;
        }
        Ok(Self { poll, listeners, signals, paused: Vec::new(), balance: Balance::new(clock::monotonic()) })
    }

    /// Accepts until a stop is asked for, then waits until `workers_left` says that there are none.
    pub(crate) fn run(mut self, shared: &Shared<'_>, workers_left: impl Fn() -> usize) -> io::Result<()> {
        let mut events = Events::with_capacity(64);
        loop {
            let timeout = (!self.paused.is_empty()).then_some(PAUSE);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for at in std::mem::take(&mut self.paused) {
                self.accept_all(at, shared);
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    SIGNALS => self.note_signals(&shared.control),
                    Token(at) => self.accept_all(at, shared),
                }
            }
            if advance(shared) == Level::Ending
                || (shared.control.level() != Level::Running && workers_left() == 0)
            {
                return Ok(());
            }
            if shared.control.level() != Level::Running {
                // Whoever connects from here on is refused by the kernel.
                self.listeners.clear();
                self.paused.clear();
            }
        }
    }

    fn note_signals(&mut self, control: &Control) {
        if let Some(signals) = &mut self.signals {
            for _ in signals.pending().filter(|&signal| signal != SIGHUP) {
                control.request();
            }
        }
    }

    fn accept_all(&mut self, at: usize, shared: &Shared<'_>) {
        let Some(listener) = self.listeners.get(at) else { return };
        loop {
            match listener.accept() {
                Ok(stream) => welcome(stream, listener.pin(), shared, &mut self.balance),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // A client that left before it was accepted is no reason to stop.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(_) => {
                    if !self.paused.contains(&at) {
                        self.paused.push(at);
                    }
                    return;
                }
            }
        }
    }
}

/// Moves the level to where the requests for a stop want it, and tells the workers.
fn advance(shared: &Shared<'_>) -> Level {
    let wanted = match shared.control.requests() {
        0 => Level::Running,
        1 => Level::Draining,
        _ => Level::Ending,
    };
    if wanted > shared.control.level() {
        shared.control.raise(wanted);
        for seat in &shared.seats {
            seat.wake();
        }
    }
    shared.control.level()
}

fn welcome(stream: Stream, pin: Pin, shared: &Shared<'_>, balance: &mut Balance) {
    let see = |seat: &Seat| Seen { clients: seat.load.load(Ordering::Relaxed), cpu: seat.cpu_time() };
    let seen: Vec<Seen> = shared.seats.iter().map(see).collect();
    let connected: usize = seen.iter().map(|seen| seen.clients).sum();
    if connected >= shared.settings.connections_max() {
        shared.rejected.fetch_add(1, Ordering::Relaxed);
        refuse(stream, pin);
        return;
    }
    shared.accepted.fetch_add(1, Ordering::Relaxed);
    let number = balance.choose(clock::monotonic(), &seen);
    if let Some(seat) = shared.seats.get(number) {
        let client = shared.clients.add(stream.peer(), stream.local(), clock::now().0, number);
        seat.welcome(Newcomer { stream, client, pin });
    }
}

/// Says why, in the protocol of the client if that is known already.
fn refuse(mut stream: Stream, pin: Pin) {
    // What it sends is read, since closing a socket with unread bytes would take our line back.
    let mut read = [0; 1024];
    let len = stream.recv(&mut read).unwrap_or(0);
    let pin = match detect(&read[..len]).speaker {
        Speaker::Memcache if pin == Pin::Any => Pin::Memcache,
        Speaker::Native if pin == Pin::Any => Pin::Native,
        _ => pin,
    };
    let busy = crabcache_protocol::native::reply::head(crabcache_protocol::native::Status::Busy, 0, 0);
    let text: &[u8] = match pin {
        Pin::Any | Pin::Resp => b"-ERR max number of clients reached\r\n",
        Pin::Memcache => b"ERROR Too many open connections\r\n",
        Pin::Native => &busy,
    };
    // A new socket takes a line; if it does not, the client sees the close alone.
    let _ = stream.send(text);
    stream.end_sending();
    let _ = stream.recv(&mut read);
}

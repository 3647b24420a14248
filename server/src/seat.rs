//! A worker's place: where the acceptor and other workers find it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mio::Waker;

use crate::config::Pin;
use crate::connection::client::Client;
use crate::mail::Message;
use crate::net::stream::Stream;
use crate::sample::Sample;
use crate::stats::Counters;
use crate::sys::usage::CpuClock;

/// A worker's place: where others find it.
#[derive(Debug)]
pub(crate) struct Seat {
    /// What it counts.
    pub(crate) counters: Counters,
    /// Clients, those on their way included: the acceptor balances by it.
    pub(crate) load: AtomicUsize,
    /// Tells the CPU time of the worker's thread, once that runs.
    pub(crate) cpu_clock: OnceLock<CpuClock>,
    /// Held by the worker while it carries out the requests of a turn (`reactor/access.rs`).
    pub(crate) turn: Mutex<()>,
    /// The worker waits for that, since another one is alone.
    pub(crate) waits: AtomicBool,
    /// Bytes of the arena that are reserved for values which its clients are sending.
    pub(crate) reserved: AtomicUsize,
    /// The last question about its clients that it has answered.
    pub(crate) surveyed: AtomicU64,
    /// Bytes that the texts in its inbox take.
    pub(crate) mail: AtomicUsize,
    /// The keys that it noted.
    pub(crate) sample: Sample,
    inbox: Mutex<Vec<Message>>,
    waker: Waker,
}

/// A client on its way from the acceptor to its worker.
#[derive(Debug)]
pub(crate) struct Newcomer {
    /// Its socket.
    pub(crate) stream: Stream,
    /// What is known about it.
    pub(crate) client: Arc<Client>,
    /// The protocol of the listener it came through.
    pub(crate) pin: Pin,
}

impl Seat {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            counters: Counters::default(),
            load: AtomicUsize::new(0),
            cpu_clock: OnceLock::new(),
            turn: Mutex::default(),
            waits: AtomicBool::new(false),
            reserved: AtomicUsize::new(0),
            surveyed: AtomicU64::new(0),
            mail: AtomicUsize::new(0),
            sample: Sample::default(),
            inbox: Mutex::default(),
            waker,
        }
    }

    /// CPU time that its worker has used so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        self.cpu_clock.get().map_or(Duration::ZERO, |clock| clock.now())
    }

    /// Hands a client over.
    pub(crate) fn welcome(&self, newcomer: Newcomer) {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.send(Message::Newcomer(newcomer));
    }

    /// Puts a message into its inbox.
    pub(crate) fn send(&self, message: Message) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.push(message);
        // Whoever put the first one there has woken the worker.
        if inbox.len() == 1 {
            drop(inbox);
            self.wake();
        }
    }

    /// Takes the messages out of its inbox.
    pub(crate) fn receive(&self) -> Vec<Message> {
        std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the worker's sleep.
    pub(crate) fn wake(&self) {
        // A waker fails only when its poll is gone, and with it the worker.
        let _ = self.waker.wake();
    }
}

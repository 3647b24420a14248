//! The loop of one worker: sleep until the kernel has something, tell [`Service`], let it go through a turn.
//!
//! A worker's engine handle is online only while it works: one that sleeps holds up nobody's reclamation.

use std::io;
use std::time::Duration;

use crabcache_engine::Handle;
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};

use super::service::{Readiness, Service};
use crate::clock::Moment;
use crate::mail::Message;
use crate::seat::{Newcomer, Seat};
use crate::shared::Shared;
use crate::sys::memory;
use crate::sys::usage::CpuClock;

/// The token of the worker's waker; clients have their slab keys.
pub(crate) const WAKER: Token = Token(usize::MAX);
/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker<'s> {
    seat: &'s Seat,
    poll: Poll,
    service: Service<'s>,
    /// The moment of the last turn.
    moment: Moment,
}

impl<'s> Worker<'s> {
    pub(crate) fn new(shared: &'s Shared<'s>, number: usize, poll: Poll, handle: Handle<'s>) -> Self {
        let moment = Moment::now();
        let service = Service::new(shared, number, handle, moment);
        Self { seat: &shared.seats[number], poll, service, moment }
    }

    /// Serves until the server is stopped and its clients are answered.
    pub(crate) fn run(mut self) -> io::Result<()> {
        if let Some(clock) = CpuClock::of_this_thread() {
            self.seat.cpu_clock.get_or_init(|| clock);
        }
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.sleep(&mut events)?;
            self.moment = Moment::now();
            let mut woken = false;
            for event in &events {
                if event.token() == WAKER {
                    woken = true;
                } else {
                    self.service.note(event.token().0, Readiness::from(event));
                }
            }
            if woken {
                self.service.wake(self.moment);
                self.read_mail();
            }
            if self.service.turn(self.moment, events.is_empty()) {
                break;
            }
            if self.service.has_come_to_rest() {
                // What clients have left may lie scattered in the allocator's heaps, and what the handle keeps in the cache. Nobody
                // waits for this now.
                memory::return_small_buffers();
                self.service.rest();
            }
        }
        for message in self.seat.receive() {
            if let Message::Newcomer(newcomer) = message {
                self.service.turn_away(&newcomer);
            }
        }
        self.service.leave();
        Ok(())
    }

    /// Waits for the kernel, unless somebody waits for us.
    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let polled = if self.service.has_work() {
            self.poll.poll(events, Some(Duration::ZERO))
        } else {
            let timeout = self.service.until_upkeep(self.moment);
            self.service.offline();
            let polled = self.poll.poll(events, timeout);
            self.service.online();
            polled
        };
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    /// Reads the messages in the inbox.
    fn read_mail(&mut self) {
        for message in self.seat.receive() {
            match message {
                Message::Newcomer(newcomer) => self.welcome(newcomer),
                message => self.service.read(message),
            }
        }
        self.service.let_go();
    }

    /// Takes a client that the acceptor has handed over.
    fn welcome(&mut self, mut newcomer: Newcomer) {
        let token = Token(self.service.next_key());
        let interests = Interest::READABLE | Interest::WRITABLE;
        match self.poll.registry().register(&mut newcomer.stream, token, interests) {
            Ok(()) => self.service.admit(newcomer, self.moment),
            Err(_) => self.service.turn_away(&newcomer),
        }
    }
}

impl From<&Event> for Readiness {
    #[inline]
    fn from(event: &Event) -> Self {
        Self {
            readable: event.is_readable(),
            writable: event.is_writable(),
            read_closed: event.is_read_closed(),
            error: event.is_error(),
        }
    }
}

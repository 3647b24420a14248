//! A server without threads and sockets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crabcache_engine::{Cache, Millis};
use mio::{Poll, Token, Waker};

#[cfg(test)]
use super::random::Random;
use super::wire;
use crate::bounds::Bounds;
use crate::clock::Moment;
use crate::config::{Config, Pin};
use crate::net::stream::Stream;
use crate::reactor::service::Service;
use crate::seat::{Newcomer, Seat};
use crate::shared::Shared;
use crate::shutdown::Control;

/// A server that nobody has come to, with so much memory for items, and with one worker unless `config` says more.
pub(crate) fn with_server(memory: usize, config: Config, work: impl FnOnce(&Shared<'_>)) {
    let mut region = Box::new_uninit_slice(memory);
    let engine = crabcache_engine::Config {
        shards: 1,
        handles_max: 3,
        seed: [1, 2, 3, 4],
        ..crabcache_engine::Config::default()
    };
    let cache = Cache::new(&mut region, engine).expect("the region is large enough");
    let polls: Vec<Poll> = (0..=config.workers.max(1)).map(|_| Poll::new().expect("a poll")).collect();
    let mut wakers = polls.iter().map(|poll| Waker::new(poll.registry(), Token(0)).expect("a waker"));
    let acceptor = wakers.next().expect("one at least");
    let seats = wakers.map(Seat::new).collect();
    let (bounds, control) = (Bounds::new(cache.item_len_max()), Arc::new(Control::new(acceptor)));
    let shared = Shared::new(cache, config, Vec::new(), seats, control, bounds, "simulated".to_owned());
    work(&shared);
}

/// A client for `service`, on its end of a wire.
pub(crate) fn newcomer(shared: &Shared<'_>, socket: wire::Socket, pin: Pin) -> Newcomer {
    shared.seats[0].load.fetch_add(1, Ordering::Relaxed);
    let client = shared.clients.add("simulated:0".to_owned(), "simulated:0".to_owned(), 0, 0);
    Newcomer { stream: Stream::Simulated(socket), client, pin }
}

/// Lets a client come to `service`, on a wire that takes so many bytes at a time: the key that it has there, and its end. `number`
/// decides what the wire does.
#[cfg(test)]
pub(crate) fn connect(
    shared: &Shared<'_>,
    service: &mut Service<'_>,
    number: u64,
    room: usize,
) -> (usize, wire::Peer) {
    let (socket, peer) = wire::connect(Random::new(number), room, usize::MAX);
    let key = service.next_key();
    service.admit(newcomer(shared, socket, Pin::Any), moment(0));
    (key, peer)
}

/// Lets it send something, all of which arrives at once.
#[cfg(test)]
pub(crate) fn send(service: &mut Service<'_>, (key, peer): &(usize, wire::Peer), request: &[u8]) {
    peer.deliver(request);
    peer.settle();
    service.note(*key, peer.poll().expect("something arrived"));
}

/// Lets `service` read its messages, as its worker does.
pub(crate) fn read_mail(shared: &Shared<'_>, service: &mut Service<'_>) {
    for message in shared.seats[0].receive() {
        service.read(message);
    }
    service.let_go();
}

/// A moment of the simulation's time.
pub(crate) fn moment(now: u64) -> Moment {
    // The clocks have nothing to do with each other.
    Moment { wall: Millis(now + 1_700_000_000_000), steady: Millis(now) }
}

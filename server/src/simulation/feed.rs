//! Bytes of a fuzzer's choice, for several clients of one worker, in pieces of its choice.
//!
//! ```text
//! | options | step step ...        step: | who, and what | length | bytes ... |
//! ```

use super::random::Random;
use super::setup::{moment, newcomer, read_mail, with_server};
use super::wire::{self, End, Peer};
use crate::config::{Config, Pin};
use crate::reactor::service::Service;
use crate::shared::Shared;

/// Clients at once.
const CLIENTS: usize = 3;
/// Turns in which everything must come to its end.
const TURNS_MAX: usize = 5_000;

/// Carries out what `input` describes. Panics if the server does, if it does not come to rest, or if it holds something
/// of clients that have gone.
pub fn feed(input: &[u8]) {
    let Some((&options, mut rest)) = input.split_first() else { return };
    let memory = if options & 4 == 0 { 384 << 10 } else { 1 << 20 };
    let config = Config {
        memory_bytes: memory,
        client_memory_bytes: if options & 1 == 0 { 0 } else { 64 << 20 },
        request_ms_max: if options & 2 == 0 { 0 } else { 1000 },
        ..Config::default()
    };
    let pin = [Pin::Any, Pin::Resp, Pin::Memcache, Pin::Native][usize::from(options >> 3) & 3];
    let room = if options & 32 == 0 { 1 << 20 } else { 100 };
    with_server(memory, config, |shared| {
        let handle = shared.cache.handle().expect("a handle");
        let mut now = 1_000;
        let mut service = Service::new(shared, 0, handle, moment(now));
        let mut random = Random::new(u64::from(options));
        let mut clients: Vec<(usize, Peer)> = (0..CLIENTS)
            .map(|_| {
                let (socket, peer) = wire::connect(random.fork(), room, 16);
                let key = service.next_key();
                service.admit(newcomer(shared, socket, pin), moment(now));
                (key, peer)
            })
            .collect();
        while let Some((&what, after)) = rest.split_first() {
            rest = after;
            let peer = &clients[usize::from(what) % CLIENTS].1;
            match what >> 4 {
                0..10 => {
                    let Some((&len, after)) = rest.split_first() else { break };
                    let (bytes, after) = after.split_at(after.len().min(usize::from(len)));
                    rest = after;
                    peer.deliver(bytes);
                }
                10 => drop(peer.take(100)),
                11 => drop(peer.take(usize::MAX)),
                12 => peer.end(End::Finished),
                13 => peer.vanish(true),
                14 => now += 300,
                _ => peer.settle(),
            }
            now += 1;
            if what & 4 == 0 {
                turn(shared, &mut service, &clients, now);
            }
        }
        // They take what there is, and leave.
        for turns in 0.. {
            for (_, peer) in &clients {
                peer.settle();
                drop(peer.take(usize::MAX));
            }
            now += 1;
            let told = turn(shared, &mut service, &clients, now);
            if !told && !service.has_work() {
                if clients.is_empty() {
                    break;
                }
                for (_, peer) in &clients {
                    peer.end(End::Finished);
                }
                clients.retain(|(_, peer)| !peer.is_closed());
            }
            assert!(turns < TURNS_MAX, "it does not come to rest: {:?}", service.turn);
        }
        assert!(service.turn.is_empty());
    });
}

/// A turn, after what is new was told; whether there was anything.
fn turn(shared: &Shared<'_>, service: &mut Service<'_>, clients: &[(usize, Peer)], now: u64) -> bool {
    let mut told = false;
    for (key, peer) in clients {
        if let Some(readiness) = peer.poll() {
            service.note(*key, readiness);
            told = true;
        }
    }
    read_mail(shared, service);
    service.turn(moment(now), !told);
    service.turn.verify();
    told
}

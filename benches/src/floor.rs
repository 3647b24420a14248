//! The floor under any server on a reactor: readiness, `recv`, `send`, and nothing in between.
//!
//! It reads and writes as the server's reactor does: connections registered once, edge-triggered; one `recv` from each that is
//! ready into consecutive places of one buffer, then the answers into one buffer, then one `send` to each. But it stores nothing
//! and does not parse: requests have lengths that it was told, and the answers are always the same bytes. What a server
//! costs beyond this is its own doing; what the floor costs is the kernel's.

use std::io::{self, ErrorKind, Read, Write};
use std::net;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use crate::load::request::{Kind, Protocol};

/// Bytes that one turn reads from all connections.
const GATHER_LEN: usize = 1 << 20;
/// Bytes that it reads from one of them.
const READ_MAX: usize = 256 << 10;
const LISTENER: Token = Token(usize::MAX - 1);
/// The byte in which GET, SET and PING differ, in RESP: `*2\r\n$3\r\nGET`.
const TELLING: usize = 8;

/// A server that stores nothing. It understands GET, SET and PING in RESP, of lengths that are known beforehand.
#[derive(Debug)]
pub struct Floor {
    poll: Poll,
    listener: TcpListener,
    clients: Slab<Client>,
    canned: Canned,
    buffer: Box<[u8]>,
    answers: Vec<u8>,
    /// Who is read in this turn, and where its answers end.
    visited: Vec<(usize, usize)>,
    /// Who has more to read than one turn took.
    ready: Vec<usize>,
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    /// The beginning of a request.
    rest: Vec<u8>,
    /// Answers that the socket did not take.
    unsent: Vec<u8>,
}

/// Lengths of requests, and the answers to them.
#[derive(Debug)]
struct Canned {
    get_len: usize,
    set_len: usize,
    ping_len: usize,
    hit: Vec<u8>,
}

impl Floor {
    /// Listens; keys have `key_len` bytes, values `value_len`.
    pub fn bind(address: net::SocketAddr, key_len: usize, value_len: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            clients: Slab::new(),
            canned: Canned::new(key_len, value_len),
            buffer: vec![0; GATHER_LEN].into_boxed_slice(),
            answers: Vec::new(),
            visited: Vec::new(),
            ready: Vec::new(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the poll fails.
    pub fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let timeout = (!self.ready.is_empty()).then_some(std::time::Duration::ZERO);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let mut ready = std::mem::take(&mut self.ready);
            for event in &events {
                if event.token() == LISTENER {
                    accept(&self.listener, self.poll.registry(), &mut self.clients)?;
                } else {
                    ready.push(event.token().0);
                }
            }
            self.turn(&ready);
        }
    }

    /// Reads all, then answers all.
    fn turn(&mut self, ready: &[usize]) {
        let mut filled = 0;
        for &key in ready {
            let Some(client) = self.clients.get_mut(key) else { continue };
            let kept = client.rest.len();
            let end = (filled + kept + READ_MAX).min(self.buffer.len());
            if client.flush().is_err() {
                self.clients.remove(key);
                continue;
            }
            if filled + kept >= end {
                self.ready.push(key);
                continue;
            }
            match client.stream.read(&mut self.buffer[filled + kept..end]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => drop(self.clients.remove(key)),
                Ok(len) => {
                    let input = &mut self.buffer[filled..filled + kept + len];
                    input[..kept].copy_from_slice(&client.rest);
                    let consumed = self.canned.answer(input, &mut self.answers);
                    client.rest.clear();
                    client.rest.extend_from_slice(&input[consumed..]);
                    filled += kept + len;
                    if filled == end {
                        self.ready.push(key);
                    }
                    self.visited.push((key, self.answers.len()));
                }
            }
        }
        let mut start = 0;
        for (key, end) in self.visited.drain(..) {
            let answers = &self.answers[start..end];
            start = end;
            // Gone if it hung up in the same turn.
            if self.clients.get_mut(key).is_some_and(|client| client.send(answers).is_err()) {
                self.clients.remove(key);
            }
        }
        self.answers.clear();
    }
}

impl Client {
    fn send(&mut self, answers: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(answers);
            return self.flush();
        }
        let taken = if answers.is_empty() { 0 } else { taken(self.stream.write(answers))? };
        self.unsent.extend_from_slice(&answers[taken..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let taken = taken(self.stream.write(&self.unsent))?;
            self.unsent.drain(..taken);
        }
        Ok(())
    }
}

/// A socket that takes nothing at the moment has taken no bytes.
fn taken(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

fn accept(listener: &TcpListener, registry: &Registry, clients: &mut Slab<Client>) -> io::Result<()> {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true)?;
        let entry = clients.vacant_entry();
        registry.register(&mut stream, Token(entry.key()), Interest::READABLE | Interest::WRITABLE)?;
        entry.insert(Client { stream, rest: Vec::new(), unsent: Vec::new() });
    }
    Ok(())
}

impl Canned {
    fn new(key_len: usize, value_len: usize) -> Self {
        let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
        let len = |kind| {
            let mut request = Vec::new();
            Protocol::Resp.write(&mut request, kind, &key, &value, 0);
            request.len()
        };
        let hit = [format!("${value_len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        Self { get_len: len(Kind::Get), set_len: len(Kind::Set), ping_len: len(Kind::Ping), hit }
    }

    /// Answers the requests at the head of the input; tells how long they were. What begins like none of them counts as
    /// a SET.
    fn answer(&self, input: &[u8], answers: &mut Vec<u8>) -> usize {
        let mut at = 0;
        while let Some(&telling) = input.get(at + TELLING) {
            let (len, answer) = match telling {
                b'G' => (self.get_len, &self.hit[..]),
                b'P' => (self.ping_len, &b"+PONG\r\n"[..]),
                _ => (self.set_len, &b"+OK\r\n"[..]),
            };
            if at + len > input.len() {
                break;
            }
            answers.extend_from_slice(answer);
            at += len;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Distribution;
    use crate::load::address::Address;
    use crate::load::script::{Items, Mix};
    use crate::load::sizes::Sizes;
    use crate::load::{Options, Stop, run};
    use std::time::Duration;

    #[test]
    fn every_request_is_answered_whatever_its_size() {
        for (value_len, depth) in [(32, 64), (0, 3), (100_000, 8)] {
            let mut floor = Floor::bind("127.0.0.1:0".parse().unwrap(), 11, value_len).unwrap();
            let address = Address::Tcp(floor.address().unwrap().to_string());
            std::thread::spawn(move || floor.serve());
            for (mix, answers_len) in [
                (Mix::Ping, 7),
                (Mix::Ratio { sets: 1, gets: 0 }, 5),
                (Mix::Ratio { sets: 0, gets: 1 }, 5 + value_len.to_string().len() + value_len),
            ] {
                let report = run(
                    &Options {
                        address: address.clone(),
                        protocol: Protocol::Resp,
                        connections: 5,
                        depth,
                        threads: 1,
                        items: Items::new(1000, Sizes::fixed(11), Sizes::fixed(value_len as u32)).unwrap(),
                        distribution: Distribution::Uniform,
                        mix,
                        stop: Stop::Requests(700),
                        rate: None,
                        warm_up: Duration::ZERO,
                        preload: false,
                        verify: false,
                        pid: None,
                    },
                    &mut |_| std::ops::ControlFlow::Continue(()),
                );
                let tally = report.unwrap().tally;
                assert_eq!((tally.requests, tally.errors, tally.misses), (700, 0, 0));
                assert_eq!(tally.bytes_in, 700 * answers_len as u64);
            }
        }
    }
}

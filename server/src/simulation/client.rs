//! A client: what it asks, in which pieces it sends that, when it takes its answers, and how it leaves.

use super::model::{Contents, Match, Part, Protocol, Request, literal, resp};
use super::random::Random;
use super::script::{Habits, ask};
use super::wire::{End, Peer};
use crate::config::Pin;

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It says that it sends nothing more, and takes its answers.
    HalfClose,
    /// It takes its answers, then closes.
    Close,
    /// It asks for the end, and goes on sending.
    Quit,
    /// It sends what breaks the protocol, and goes on sending.
    Break,
    /// It is gone in the middle, after so many bytes.
    Vanish(usize),
}

/// How a client takes its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appetite {
    /// At once.
    Prompt,
    /// Up to so many bytes at a time.
    Slow(usize),
    /// Nothing at first, for so many milliseconds after it has sent something.
    Late(u64),
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) protocol: Protocol,
    pub(crate) leave: Leave,
    appetite: Appetite,
    /// Bytes that it sends at a time, at most.
    piece: usize,
    /// Requests that it sends before their answers are here, at most.
    depth: usize,
    peer: Peer,
    random: Random,
    contents: Contents,
    /// Its requests: all bytes, where each ends, and their answers with the number of the request.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    parts: Vec<(usize, Part)>,
    sent: usize,
    got: Vec<u8>,
    checked: usize,
    answered: usize,
    began: Option<u64>,
    pub(crate) over: bool,
    /// It was let go before it had all its answers, or in another way than it should.
    pub(crate) cut_off: bool,
}

/// What it is told when its memory is needed.
const DISMISSALS: [&[u8]; 3] = [
    b"-ERR the requests of all clients take too much memory\r\n",
    b"SERVER_ERROR out of memory reading request\r\n",
    b"\xc2\x82\0\0\0\0\0\0",
];

impl Client {
    pub(crate) fn new(number: usize, peer: Peer, habits: &Habits, mut random: Random) -> Self {
        let protocol =
            [Protocol::Resp, Protocol::Resp, Protocol::Memcache, Protocol::Native][random.below(4)];
        let requests: Vec<Request> =
            (0..=random.below(30)).map(|at| ask(number, protocol, at, habits, &mut random)).collect();
        let whole: usize = requests.iter().map(|request| request.bytes.len()).sum();
        let leave = match random.below(8) {
            0..2 => Leave::HalfClose,
            2 if protocol != Protocol::Native => Leave::Quit,
            3 if protocol == Protocol::Resp => Leave::Break,
            4 => Leave::Vanish(random.below(whole + 1)),
            _ => Leave::Close,
        };
        let appetite = match random.below(4) {
            0 => Appetite::Slow(50 + random.below(3000)),
            1 if habits.late_ms_max > 0 => Appetite::Late(random.below(habits.late_ms_max as usize) as u64),
            _ => Appetite::Prompt,
        };
        // So that no run takes for ever, large requests are not sent byte by byte.
        let piece = match random.below(4) {
            0 => 1 + whole / 1000 + random.below(4),
            1 => 1 + whole / 500 + random.below(200),
            2 => 1 + whole / 500 + random.below(20_000),
            _ => whole + 100,
        };
        let depth = if random.one_in(3) { 1 } else { usize::MAX };
        let contents = Contents::new(habits.forgetful);
        let mut client = Self {
            number,
            protocol,
            leave,
            appetite,
            piece,
            depth,
            peer,
            random,
            contents,
            bytes: Vec::new(),
            ends: Vec::new(),
            parts: Vec::new(),
            sent: 0,
            got: Vec::new(),
            checked: 0,
            answered: 0,
            began: None,
            over: false,
            cut_off: false,
        };
        for request in requests {
            client.push(request);
        }
        match (leave, protocol) {
            (Leave::Quit, Protocol::Memcache) => {
                client.push(Request { bytes: b"quit\r\n".to_vec(), parts: vec![] });
            }
            (Leave::Quit, _) => client.push(literal(resp(&[b"QUIT"]), "+OK\r\n")),
            (Leave::Break, _) if habits.value_len_max > 300 => {
                // The value is longer than was said.
                let value = vec![b'x'; 3000 + client.random.below(6000)];
                let mut bytes = resp(&[b"SET", b"broken", &value]);
                let end = bytes.len() - 2;
                bytes[end..].copy_from_slice(b"xx");
                client.push(literal(bytes, "-ERR Protocol error: expected CRLF after bulk string\r\n"));
            }
            (Leave::Break, _) => {
                client.push(literal("*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"));
            }
            _ => {}
        }
        client
    }

    fn push(&mut self, request: Request) {
        let number = self.ends.len();
        self.bytes.extend_from_slice(&request.bytes);
        self.ends.push(self.bytes.len());
        self.parts.extend(request.parts.into_iter().map(|part| (number, part)));
    }

    /// Whether it takes its answers at once.
    pub(crate) fn is_prompt(&self) -> bool {
        self.appetite == Appetite::Prompt
    }

    /// The listener that speaks its protocol only.
    pub(crate) fn pin(&self) -> Pin {
        match self.protocol {
            Protocol::Resp => Pin::Resp,
            Protocol::Memcache => Pin::Memcache,
            Protocol::Native => Pin::Native,
        }
    }

    /// The requests that are answered wholly.
    fn done(&self) -> usize {
        self.parts.get(self.answered).map_or(self.ends.len(), |(number, _)| *number)
    }

    /// Whether something that it has sent is not answered.
    pub(crate) fn waits(&self) -> bool {
        self.ends.get(self.done()).is_some_and(|&end| end <= self.sent) && self.peer.unread() == 0
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Does something, or nothing.
    pub(crate) fn act(&mut self, now: u64) {
        if self.over {
            return;
        }
        self.peer.settle();
        self.send();
        self.take(now);
    }

    fn send(&mut self) {
        if let Leave::Vanish(after) = self.leave
            && self.sent >= after
        {
            let in_a_hurry = self.random.one_in(2);
            self.peer.vanish(in_a_hurry);
            self.leave = Leave::Vanish(usize::MAX);
            self.over = true;
            return;
        }
        if self.random.one_in(3) || self.peer.unread() > 64 << 10 {
            return;
        }
        let allowed = self.done().saturating_add(self.depth).min(self.ends.len());
        let allowed = allowed.checked_sub(1).map_or(0, |last| self.ends[last]);
        let len = (1 + self.random.below(self.piece)).min(allowed.saturating_sub(self.sent));
        if len > 0 {
            self.peer.deliver(&self.bytes[self.sent..self.sent + len]);
            self.sent += len;
            if self.sent == self.bytes.len() && self.leave == Leave::HalfClose {
                self.peer.end(End::Finished);
            }
        } else if matches!(self.leave, Leave::Quit | Leave::Break)
            && self.sent == self.bytes.len()
            && self.is_prompt()
        {
            // What is not looked at any more. Who sends that later than a server lingers may lose what it has not taken.
            let more = 1 + self.random.below(3000);
            if self.random.one_in(8) && !self.peer.is_closed() {
                self.peer.deliver(&vec![b'!'; more]);
            }
        }
    }

    fn take(&mut self, now: u64) {
        let max = match self.appetite {
            Appetite::Prompt => usize::MAX,
            Appetite::Slow(max) if self.random.one_in(2) => max,
            Appetite::Slow(_) => 0,
            Appetite::Late(ms) => {
                let began = *self.began.get_or_insert(now);
                if self.sent == 0 {
                    self.began = Some(now);
                }
                if now - began < ms { 0 } else { usize::MAX }
            }
        };
        if max > 0 {
            self.got.extend(self.peer.take(max));
        }
    }

    /// Compares what was received with what must be. Panics where it differs.
    pub(crate) fn check(&mut self, stopping: bool) {
        if self.over {
            return;
        }
        while let Some((number, part)) = self.parts.get(self.answered) {
            let got = &self.got[self.checked..];
            if let Part::Op { silent: true, .. } = part
                && self.ends[*number] > self.sent
            {
                break;
            }
            match self.contents.check(self.protocol, part, got) {
                Match::Whole(len) => {
                    self.checked += len;
                    self.answered += 1;
                }
                Match::Partial => break,
                Match::No if DISMISSALS.iter().any(|text| text.starts_with(got)) => {
                    self.cut_off |= DISMISSALS.contains(&got);
                    break;
                }
                Match::No => panic!(
                    "client {}: request {number} {part:?} was answered {:?}",
                    self.number,
                    &got[..got.len().min(100)].escape_ascii().to_string()
                ),
            }
        }
        self.got.drain(..self.checked);
        self.checked = 0;
        let all = self.answered == self.parts.len();
        self.cut_off |= all && DISMISSALS.contains(&&self.got[..]);
        assert!(
            !all || self.got.is_empty() || self.cut_off,
            "client {}: {:?} comes too much",
            self.number,
            self.got
        );
        if let Some(end) = self.peer.server_end() {
            self.end(end, all, stopping);
        } else if all && self.leave == Leave::Close && self.sent == self.bytes.len() {
            self.peer.end(End::Finished);
            self.over = true;
        }
    }

    fn end(&mut self, end: End, all: bool, stopping: bool) {
        self.over = true;
        let expected = match self.leave {
            Leave::HalfClose | Leave::Quit | Leave::Break => all && end == End::Finished,
            Leave::Vanish(_) => true,
            Leave::Close => false,
        };
        // A server that stops may have answered less than it was asked, but only whole answers.
        let whole = end == End::Finished && self.got.is_empty();
        self.cut_off |= !(expected || stopping && whole);
        if !self.peer.is_closed() {
            self.peer.end(End::Finished);
        }
    }

    /// For a report.
    pub(crate) fn describe(&self) -> String {
        format!(
            "client {}: {:?}, {:?}, {:?}, sent {} of {}, answered {} of {}, {} bytes more, unread {}, over {}",
            self.number,
            self.protocol,
            self.leave,
            self.appetite,
            self.sent,
            self.bytes.len(),
            self.answered,
            self.parts.len(),
            self.got.len(),
            self.peer.unread(),
            self.over
        )
    }
}

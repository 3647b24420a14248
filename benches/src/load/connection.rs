//! One connection: requests that are out, and the replies to them as they come in.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;

use super::LoadError;
use super::address::Stream;
use super::reply::{Answer, BadReply, Head, head, no_reply, text};
use super::request::{Kind, Protocol};
use super::script::{Items, Script};
use super::tally::Tally;

/// What replies are read against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// The requests.
    pub(super) script: &'a Script,
    /// If values are to be looked at: what they should be.
    pub(super) items: Option<&'a Items>,
}

/// Requests that follow one another in the script and are out.
#[derive(Debug)]
struct Burst {
    /// Number of the next one to be answered.
    next: u32,
    left: u32,
    /// Since when the next one counts, in nanoseconds after the start.
    since: f64,
    /// How much later each further one does.
    step: f64,
}

/// A value of which a part has been received.
#[derive(Debug)]
struct Incoming {
    value_len: usize,
    tail: &'static [u8],
    /// Bytes of value and tail that were received.
    at: usize,
    intact: bool,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// Bytes of a reply whose head is not complete.
    rest: Vec<u8>,
    incoming: Option<Incoming>,
    bursts: VecDeque<Burst>,
    /// Requests that were not answered yet.
    outstanding: u32,
    /// Bytes of the script that the socket has not taken yet.
    unsent: Range<usize>,
}

impl Connection {
    pub(super) const fn new(stream: Stream) -> Self {
        Self {
            stream,
            rest: Vec::new(),
            incoming: None,
            bursts: VecDeque::new(),
            outstanding: 0,
            unsent: 0..0,
        }
    }

    /// How many more requests may go out if at most `depth` may be unanswered; 0 while the socket takes none.
    #[inline]
    pub(super) fn room(&self, depth: u32) -> u32 {
        if self.unsent.is_empty() { depth - self.outstanding } else { 0 }
    }

    /// Whether everything was sent and answered: a request that is too large may be answered before all of it was taken.
    pub(super) fn is_idle(&self) -> bool {
        self.outstanding == 0 && self.unsent.is_empty()
    }

    /// Sends these requests of the script. The first counts since this moment, the others each a step later.
    #[inline]
    pub(super) fn issue(
        &mut self,
        script: &Script,
        requests: Range<u32>,
        since: f64,
        step: f64,
    ) -> io::Result<()> {
        self.unsent = script.span(requests.clone());
        let left = requests.end - requests.start;
        self.outstanding += left;
        self.bursts.push_back(Burst { next: requests.start, left, since, step });
        self.flush(script)
    }

    /// Sends what was not sent yet, as far as the socket takes it.
    #[inline]
    pub(super) fn flush(&mut self, script: &Script) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&script.bytes()[self.unsent.clone()]) {
                Ok(taken) => self.unsent.start += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads all there is. `now` tells the time once something has been read.
    pub(super) fn receive(
        &mut self,
        buffer: &mut [u8],
        expected: Expected<'_>,
        tally: &mut Tally,
        now: impl Fn() -> f64,
    ) -> Result<(), LoadError> {
        loop {
            let kept = self.rest.len();
            match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return Err(LoadError::Closed { requests: tally.requests }),
                Ok(len) => {
                    buffer[..kept].copy_from_slice(&self.rest);
                    let input = &buffer[..kept + len];
                    let consumed = self.digest(input, expected, tally, now())?;
                    self.rest.clear();
                    self.rest.extend_from_slice(&input[consumed..]);
                    tally.bytes_in += len as u64;
                    if kept + len < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Why the server hung up: the error that it sent before it did, or that it speaks another protocol.
    pub(super) fn last_words(&mut self, buffer: &mut [u8], script: &Script) -> Option<LoadError> {
        if self.incoming.is_some() {
            return None;
        }
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let len = kept + self.stream.read(&mut buffer[kept..]).ok()?;
        let kind = self.bursts.front().map_or(Kind::Ping, |burst| script.kind(burst.next));
        why_closed(script.protocol, kind, &buffer[..len])
    }

    /// Takes replies off the input; tells how many bytes that were.
    fn digest(
        &mut self,
        input: &[u8],
        expected: Expected<'_>,
        tally: &mut Tally,
        now: f64,
    ) -> Result<usize, LoadError> {
        let mut at = 0;
        while at < input.len() {
            let Some(burst) = self.bursts.front() else {
                let why = why_closed(expected.script.protocol, Kind::Ping, &input[at..]);
                return Err(why.unwrap_or(LoadError::Unasked));
            };
            let request = burst.next;
            if self.incoming.is_none() {
                let kind = expected.script.kind(request);
                let found = head(expected.script.protocol, kind, &input[at..]);
                match found.map_err(|BadReply| no_reply(&input[at..]))? {
                    Head::Partial => break,
                    Head::Whole { len, answer } => {
                        note(answer, expected.script.protocol, &input[at..at + len], tally);
                        at += len;
                        self.answered(tally, now);
                        continue;
                    }
                    Head::Value { head_len, value_len, tail } => {
                        at += head_len;
                        self.incoming = Some(Incoming { value_len, tail, at: 0, intact: true });
                    }
                }
            }
            if let Some(incoming) = &mut self.incoming {
                let value = expected.items.map(|items| items.value(expected.script.item(request)));
                at += incoming.take(&input[at..], value).map_err(|BadReply| no_reply(&input[at..]))?;
                if incoming.is_whole() {
                    tally.hits += 1;
                    tally.wrong += u64::from(!incoming.intact);
                    self.incoming = None;
                    self.answered(tally, now);
                }
            }
        }
        Ok(at)
    }

    /// The reply to the oldest request is complete.
    #[inline]
    fn answered(&mut self, tally: &mut Tally, now: f64) {
        let Some(burst) = self.bursts.front_mut() else { return };
        tally.record((now - burst.since).max(0.0) as u64, 1);
        burst.since += burst.step;
        burst.next += 1;
        burst.left -= 1;
        if burst.left == 0 {
            self.bursts.pop_front();
        }
        self.outstanding -= 1;
        tally.requests += 1;
    }
}

impl Incoming {
    /// Takes what belongs to the value and its tail; `value` is what it should be, if that is of interest.
    #[inline]
    fn take(&mut self, input: &[u8], value: Option<&[u8]>) -> Result<usize, BadReply> {
        let len = (self.value_len + self.tail.len() - self.at).min(input.len());
        let of_value = self.value_len.saturating_sub(self.at).min(len);
        if let Some(value) = value {
            self.intact &= value.len() == self.value_len
                && value[self.at.min(value.len())..].starts_with(&input[..of_value]);
        }
        let of_tail = &input[of_value..len];
        let tail_at = (self.at + of_value).saturating_sub(self.value_len);
        // Not where there is none: with AVX-512, `memcmp` of no bytes takes 100 ns where the pointer to them is to nothing.
        if !of_tail.is_empty() && !self.tail[tail_at..].starts_with(of_tail) {
            return Err(BadReply);
        }
        self.at += len;
        Ok(len)
    }

    const fn is_whole(&self) -> bool {
        self.at == self.value_len + self.tail.len()
    }
}

/// Whether a server that hung up, or that nobody had asked, told the reason.
fn why_closed(protocol: Protocol, kind: Kind, input: &[u8]) -> Option<LoadError> {
    match head(protocol, kind, input) {
        Ok(Head::Whole { len, answer: Answer::Error }) => {
            Some(LoadError::Refused(text(protocol, &input[..len])))
        }
        Err(BadReply) => Some(no_reply(input)),
        Ok(_) => None,
    }
}

fn note(answer: Answer, protocol: Protocol, reply: &[u8], tally: &mut Tally) {
    match answer {
        Answer::Done => tally.done += 1,
        Answer::Miss => tally.misses += 1,
        Answer::Error => {
            tally.errors += 1;
            tally.first_error.get_or_insert_with(|| text(protocol, reply));
        }
    }
}

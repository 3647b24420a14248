//! Requests out and answers in, at the same time.
//!
//! A client that writes all before it reads can deadlock: the server stops reading once its answers are not taken,
//! and then the client's write does not end either. So nothing here waits for the socket to take bytes alone:
//!
//! ```text
//! fill the window (64 KiB of requests) -> send without waiting
//!   all sent, more to come    take what has arrived, without waiting; next window
//!   all sent, nothing to come wait for answers in recv
//!   socket full               poll for "writable or readable"; take what has arrived
//! ```
//!
//! Whichever side of the socket moves, the exchange moves; if neither does, the server is at fault, and the deadline
//! ends it. Memory: one window, the largest answer, and 24 bytes for each of at most 32,768 unanswered requests
//! (which also keeps their 16-bit numbers apart).
//!
//! Invariant: `answer` is called once for each command, in their order.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::iter::Fuse;
use std::time::Duration;

use crabcache_protocol::Parsed;
use crabcache_protocol::native::{Command, REQUEST_HEADER_LEN, reply};

use crate::call::Call;
use crate::clock::Moment;
use crate::connection::Connection;
use crate::error::{Broken, CommandError, ProtocolError};
use crate::reply::{Expect, ReplyRef};
use crate::window::Window;

/// Most requests without an answer.
const UNANSWERED_MAX: usize = 32_768;
/// So many bytes, sent or received, count as progress.
const PROGRESS_BYTES: usize = 64 * 1024;

/// A command that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pending {
    /// Its request begins after so many bytes of this exchange.
    Sent { start: u64, expect: Expect },
    /// It could not be encoded; its error waits for its turn.
    Unsendable(CommandError),
}

const _: () = assert!(size_of::<Pending>() <= 24);

/// One series of commands on one connection.
pub(crate) struct Exchange<I: Iterator> {
    commands: Fuse<I>,
    pending: VecDeque<Pending>,
    /// Commands whose answer was given.
    emitted: usize,
    /// The number that the next reply must have.
    opaque_due: u16,
    /// Bytes encoded, bytes sent.
    encoded: u64,
    sent: u64,
    /// Bytes of the same commands that were sent on a connection before this one.
    sent_before: u64,
    /// How many bytes the inbox must at least have before parsing makes sense.
    inbox_len_wanted: usize,
    /// Bytes moved since the last progress.
    moved: usize,
    /// When an answer or progress is due; none: there was some, so that the next wait begins a new one.
    deadline: Option<Moment>,
    /// Whether nothing was waited for since the deadline was set.
    fresh: bool,
    timeout: Option<Duration>,
}

impl<I: Iterator> Exchange<I> {
    pub(crate) fn new(commands: I) -> Self {
        Self {
            commands: commands.fuse(),
            pending: VecDeque::new(),
            emitted: 0,
            opaque_due: 0,
            encoded: 0,
            sent: 0,
            sent_before: 0,
            inbox_len_wanted: 0,
            moved: 0,
            deadline: None,
            fresh: true,
            timeout: None,
        }
    }

    /// The same commands once more, after a try that gave no answer.
    pub(crate) fn again<J: Iterator>(commands: I, tried: &Exchange<J>) -> Self {
        Self { sent_before: tried.sent, ..Self::new(commands) }
    }

    /// Whether no answer was given yet.
    pub(crate) const fn nothing_emitted(&self) -> bool {
        self.emitted == 0
    }

    /// Whether the server cannot have carried out anything.
    pub(crate) const fn nothing_sent(&self) -> bool {
        self.sent == 0
    }

    /// Sends all commands and hands their answers to `answer`. After an error some commands have no answer yet:
    /// [`Exchange::fail_rest`] gives it to them.
    pub(crate) fn drive<'a, F>(
        &mut self,
        connection: &mut Connection,
        call: &Call,
        answer: &mut F,
    ) -> Result<(), Broken>
    where
        I::Item: Borrow<Command<'a>>,
        F: FnMut(usize, Result<ReplyRef<'_>, CommandError>),
    {
        connection.fit = false;
        connection.bound_receive(call.left())?;
        (self.timeout, self.deadline) = (call.timeout, Some(call.deadline));
        self.opaque_due = connection.opaque;
        self.pending = std::mem::take(&mut connection.pending);
        let mut window = Window::new(std::mem::take(&mut connection.outbox));
        let closing = self.turn_until_done(connection, &mut window, answer)?;
        connection.outbox = window.into_buf();
        connection.pending = std::mem::take(&mut self.pending);
        // Bytes that nobody asked for would be taken for the next answer.
        connection.fit = !closing && connection.inbox.unread().is_empty();
        Ok(())
    }

    /// Answers every command that has no answer.
    pub(crate) fn fail_rest<F>(&mut self, broken: Broken, answer: &mut F)
    where
        F: FnMut(usize, Result<ReplyRef<'_>, CommandError>),
    {
        while let Some(pending) = self.pending.pop_front() {
            let error = match pending {
                Pending::Unsendable(error) => error,
                Pending::Sent { start, .. } if start >= self.sent.max(self.sent_before) => {
                    CommandError::NotSent(broken)
                }
                Pending::Sent { .. } => CommandError::Unanswered(broken),
            };
            self.emit(answer, Err(error));
        }
        // Where the next one would begin is known, where those behind it would is not.
        let rest = if self.encoded >= self.sent_before {
            CommandError::NotSent(broken)
        } else {
            CommandError::Unanswered(broken)
        };
        while self.commands.next().is_some() {
            self.emit(answer, Err(rest));
        }
    }

    /// True if the server closes the connection after the last answer.
    fn turn_until_done<'a, F>(
        &mut self,
        connection: &mut Connection,
        window: &mut Window<'a>,
        answer: &mut F,
    ) -> Result<bool, Broken>
    where
        I::Item: Borrow<Command<'a>>,
        F: FnMut(usize, Result<ReplyRef<'_>, CommandError>),
    {
        loop {
            let more_to_come = self.fill(connection, window);
            self.emit_unsendable(answer);
            if self.pending.is_empty() && !more_to_come {
                return Ok(false);
            }
            let flushed = self.flush(connection, window);
            // A server that refuses and closes has often said why: read that before giving up.
            if let Err(broken) = flushed {
                while let Ok(Some(_)) = connection.receive_now(0) {
                    if self.take_answers(connection, answer)? {
                        return self.closing(broken);
                    }
                }
                return Err(broken);
            }
            if self.receive(connection, window.unsent() > 0, more_to_come)?
                && self.take_answers(connection, answer)?
            {
                return self.closing(Broken::Closed);
            }
        }
    }

    /// After an answer that closes the connection: in order if it was the last.
    fn closing(&mut self, broken: Broken) -> Result<bool, Broken> {
        if self.commands.next().is_some() {
            // Left to `fail_rest`, as one that was not sent.
            self.pending.push_back(Pending::Sent { start: self.encoded, expect: Expect::Done });
        }
        if self.pending.is_empty() { Ok(true) } else { Err(broken) }
    }

    /// Encodes the next window once the last one is sent. True if there is more than fits.
    fn fill<'a>(&mut self, connection: &mut Connection, window: &mut Window<'a>) -> bool
    where
        I::Item: Borrow<Command<'a>>,
    {
        if window.unsent() > 0 {
            return true;
        }
        while window.unsent() < connection.window_bytes && self.pending.len() < UNANSWERED_MAX {
            let Some(command) = self.commands.next() else { return false };
            let command = command.borrow();
            match window.push(connection.opaque, command) {
                Ok(len) => {
                    connection.opaque = connection.opaque.wrapping_add(1);
                    self.pending
                        .push_back(Pending::Sent { start: self.encoded, expect: Expect::of(command) });
                    self.encoded += len as u64;
                }
                Err(error) => self.pending.push_back(Pending::Unsendable(error.into())),
            }
        }
        true
    }

    /// Sends what the socket takes.
    fn flush(&mut self, connection: &mut Connection, window: &mut Window<'_>) -> Result<(), Broken> {
        while window.unsent() > 0 {
            let Some(len) = window.with_parts(|parts| connection.send_now(parts))? else { break };
            window.advance(len);
            self.sent += len as u64;
            self.progress(len);
        }
        Ok(())
    }

    /// Receives, waiting if there is nothing else to do. False if nothing came.
    fn receive(
        &mut self,
        connection: &mut Connection,
        socket_full: bool,
        more_to_come: bool,
    ) -> Result<bool, Broken> {
        let more = self.inbox_len_wanted.saturating_sub(connection.inbox.unread().len());
        let waits_only_for_answers = !socket_full && (!more_to_come || self.pending.len() >= UNANSWERED_MAX);
        let mut received = None;
        if waits_only_for_answers && self.begin_wait() {
            // The usual case, in one system call. Its timeout is shorter than what is left.
            received = connection.receive(more)?;
        }
        if received.is_none() {
            if waits_only_for_answers || socket_full {
                let left = self.time_left()?;
                if !connection.wait(socket_full, left)? {
                    return Err(Broken::Timeout);
                }
            }
            received = connection.receive_now(more)?;
        }
        self.progress(received.unwrap_or(0));
        Ok(received.is_some())
    }

    /// Parses what has arrived. True after an answer that closes the connection.
    fn take_answers<F>(&mut self, connection: &mut Connection, answer: &mut F) -> Result<bool, Broken>
    where
        F: FnMut(usize, Result<ReplyRef<'_>, CommandError>),
    {
        let mut inbox = std::mem::take(&mut connection.inbox);
        let (mut unread, mut closes, before) = (inbox.unread(), false, self.emitted);
        while unread.len() >= self.inbox_len_wanted.max(1) && !closes {
            let parsed = reply::parse(unread, connection.reply_len_max).map_err(ProtocolError::Parse)?;
            let (reply, consumed) = match parsed {
                Parsed::Complete { value, consumed } => (value, consumed),
                Parsed::Incomplete { at_least } => {
                    self.inbox_len_wanted = at_least;
                    break;
                }
            };
            let expect = match self.pending.front() {
                Some(&Pending::Sent { start, expect }) if start + REQUEST_HEADER_LEN as u64 <= self.sent => {
                    expect
                }
                _ => return Err(unasked(&reply)),
            };
            let expected = self.opaque_due;
            // An unreadable magic is answered with 0: see PROTOCOL.md.
            if reply.opaque != expected && !(reply.status.closes() && reply.opaque == 0) {
                return Err(ProtocolError::Opaque { expected, found: reply.opaque }.into());
            }
            closes = reply.status.closes();
            let result = expect.read(&reply)?;
            self.pending.pop_front();
            self.opaque_due = expected.wrapping_add(1);
            self.emit(answer, result);
            self.emit_unsendable(answer);
            unread = &unread[consumed..];
            self.inbox_len_wanted = 0;
        }
        if self.emitted > before {
            self.deadline = None;
        }
        inbox.start = inbox.bytes.len() - unread.len();
        connection.inbox = inbox;
        Ok(closes)
    }

    fn emit_unsendable<F>(&mut self, answer: &mut F)
    where
        F: FnMut(usize, Result<ReplyRef<'_>, CommandError>),
    {
        while let Some(&Pending::Unsendable(error)) = self.pending.front() {
            self.pending.pop_front();
            self.emit(answer, Err(error));
        }
    }

    fn emit<F>(&mut self, answer: &mut F, result: Result<ReplyRef<'_>, CommandError>)
    where
        F: FnMut(usize, Result<ReplyRef<'_>, CommandError>),
    {
        let index = self.emitted;
        self.emitted += 1;
        answer(index, result);
    }

    fn progress(&mut self, len: usize) {
        self.moved += len;
        if self.moved >= PROGRESS_BYTES {
            self.moved = 0;
            self.deadline = None;
        }
    }

    /// Begins a new deadline if there was progress. True if nothing was waited for under it yet: then no less is left
    /// than the socket's own timeout.
    fn begin_wait(&mut self) -> bool {
        if self.deadline.is_none() {
            let end = self.timeout.map_or(Moment::NEVER, |timeout| Moment::now().after(timeout));
            (self.deadline, self.fresh) = (Some(end), true);
        }
        std::mem::take(&mut self.fresh)
    }

    /// Time to the deadline; none if there is none.
    fn time_left(&mut self) -> Result<Option<Duration>, Broken> {
        self.begin_wait();
        let Some(deadline) = self.deadline.filter(|&deadline| deadline != Moment::NEVER) else {
            return Ok(None);
        };
        let left = deadline.since(Moment::now());
        if left.is_zero() { Err(Broken::Timeout) } else { Ok(Some(left)) }
    }
}

/// A reply that no request is waiting for; a server that closes says why without being asked.
fn unasked(reply: &reply::Reply<'_>) -> Broken {
    if reply.status.closes() { Broken::Closed } else { ProtocolError::Unasked.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_first_try_may_have_sent_is_not_told_as_unsent() {
        let ping = || std::iter::once(Command::Ping { payload: b"" });
        for (sent, expected) in
            [(0, CommandError::NotSent(Broken::Closed)), (1, CommandError::Unanswered(Broken::Closed))]
        {
            let tried = Exchange { sent, ..Exchange::new(ping()) };
            let mut told = Vec::new();
            Exchange::again(ping(), &tried).fail_rest(Broken::Closed, &mut |_, reply| told.push(reply.err()));
            assert_eq!(told, [Some(expected)]);
        }
    }
}

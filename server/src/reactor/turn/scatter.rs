//! The last walk of a turn: each client is sent its part of the answers, and what is left over of its requests is kept.

use std::io::{ErrorKind, IoSlice};
use std::ops::Range;

use super::{Segment, Source, Turn};
use crate::connection::{Connection, Phase};
use crate::reactor::batch::Executor;
use crate::reactor::budget;
use crate::reactor::sized;
use crate::stats::Counters;

/// Parts of an answer that one call sends.
const PARTS_MAX: usize = 64;
/// A client that was answered more than this in a turn counts as one with large answers.
const HEAVY: usize = sized(64 << 10);

impl Turn<'_> {
    /// Sends the answers, and keeps what is left over.
    pub(crate) fn scatter(&mut self, executor: &mut Executor<'_>, counters: &Counters) {
        let mut sent = 0;
        let mut start = 0;
        let mut adopter = None;
        let mut segments = std::mem::take(&mut self.segments);
        for (segment, &end) in segments.iter().zip(&executor.ends) {
            let range = start..end.max(start);
            start = range.end;
            let key = segment.key;
            self.keep_requests(segment);
            if !range.is_empty() {
                let connection = &mut self.connections[key];
                let Ok(taken) = send(connection, executor, &range) else {
                    self.lose(key);
                    continue;
                };
                sent += taken;
                connection.heavy = range.len() > HEAVY;
                let rest = range.start + taken..range.end;
                if !rest.is_empty() {
                    connection.moved = self.now;
                    if executor.answers.is_nearly_all(&rest) {
                        adopter = Some((key, rest.start));
                        continue;
                    }
                    let parts = after(executor.parts(range), taken);
                    connection.output.keep_parts(parts, rest.len());
                }
            }
            self.settle(key);
        }
        if let Some((key, taken)) = adopter {
            // Large answers are not copied: their client gets the whole buffer.
            let answers = std::mem::take(&mut executor.answers.out);
            self.connections[key].output.adopt(answers, taken);
            self.settle(key);
        }
        executor.answers.lent.clear();
        segments.clear();
        self.segments = segments;
        self.ready.append(&mut self.last);
        self.owned.clear();
        counters.bytes_out.add(sent as u64);
        while self.budget.is_far_exceeded() && self.close_largest(counters) {}
    }

    /// Keeps what a segment has of requests that are not whole.
    #[inline]
    fn keep_requests(&mut self, segment: &Segment) {
        let connection = &mut self.connections[segment.key];
        match segment.source {
            Source::Buffer { start, end } => {
                let rest = &self.buffer[start + segment.consumed..end];
                if !rest.is_empty() {
                    connection.input.keep(rest);
                    connection.input.note_progress(!segment.carries || segment.consumed > 0, self.now);
                }
            }
            Source::Own(index) => {
                let bytes = std::mem::take(&mut self.owned[index]);
                if segment.consumed < bytes.len() {
                    connection.input.give_back(bytes, segment.consumed);
                    connection.input.note_progress(!segment.carries || segment.consumed > 0, self.now);
                    if segment.consumed == 0 {
                        budget::reserve_again(connection);
                    }
                }
            }
        }
    }

    /// Accounts for what a client holds after it was answered, and finds out what is next to do for it.
    #[inline]
    fn settle(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        self.budget.charge(connection);
        let waits = connection.phase == Phase::Closing && connection.output.is_empty();
        if (waits || connection.has_work()) && !connection.queued {
            connection.queued = true;
            if std::mem::take(&mut connection.stepped) { &mut self.last } else { &mut self.ready }.push(key);
        }
        if self.budget.is_exceeded() {
            self.budget.tolerate(connection);
        }
    }
}

/// Sends an answer, this range of all. Gives how much of it the socket took.
#[inline]
fn send(
    connection: &mut Connection,
    executor: &Executor<'_>,
    range: &Range<usize>,
) -> std::io::Result<usize> {
    if executor.answers.lent.is_empty() {
        let answer = &executor.answers.out[range.clone()];
        return once(|| connection.stream.send(answer));
    }
    let mut parts = executor.parts(range.clone());
    let mut sent = 0;
    loop {
        let slices: heapless::Vec<IoSlice<'_>, PARTS_MAX> =
            parts.by_ref().take(PARTS_MAX).map(IoSlice::new).collect();
        let len: usize = slices.iter().map(|part| part.len()).sum();
        let taken = once(|| connection.stream.send_parts(&slices))?;
        sent += taken;
        if taken < len || sent == range.len() {
            return Ok(sent);
        }
    }
}

/// Sends once, or again where only a signal came between.
#[inline]
pub(super) fn once(mut send: impl FnMut() -> std::io::Result<usize>) -> std::io::Result<usize> {
    loop {
        match send() {
            Ok(taken) => return Ok(taken),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        }
    }
}

/// What follows the first `skipped` bytes.
pub(super) fn after<'p>(
    parts: impl Iterator<Item = &'p [u8]>,
    mut skipped: usize,
) -> impl Iterator<Item = &'p [u8]> {
    parts.map(move |part| {
        let skip = skipped.min(part.len());
        skipped -= skip;
        &part[skip..]
    })
}

//! Batches: operations of many clients, gathered while their requests are parsed and carried out together.
//!
//! ```text
//! Pass      one walk over the turn's requests; borrows the bytes they lie in            pass.rs
//! Batch     up to 32 operations, each with the form of its answer; and whose they are     form.rs
//! Executor  the worker's engine handle, and the answers so far                         here, run.rs, received.rs, watched.rs
//! ```
//!
//! Order: operations are carried out and answered in the order in which they were pushed. Whatever is no operation on
//! one key (PING, INFO) first runs the batch ([`Pass::direct`]), so answers never overtake each other.

mod form;
mod pass;
mod received;
mod run;
mod watched;

use std::ops::Range;
use std::time::{Duration, Instant};

use crabcache_engine::{BATCH, Handle, Millis, Observer, Op};
use heapless::Vec as Fixed;

pub(crate) use form::{Form, Plan};
pub(crate) use pass::Pass;

use super::access::Access;
use super::answers::Answers;
use super::budget::Room;
use super::{SIMULATED, sized};
use crate::clock;
use crate::pause::Paused;
use crate::seat::Seat;
use crate::shared::Shared;
use crate::stats::Counters;

/// The operations of a segment end here.
#[derive(Clone, Copy, Debug)]
struct End {
    /// Behind so many operations of the batch.
    ops: usize,
    /// A number of the turn's list of segments.
    segment: usize,
}

/// As many operations as a batch has room for.
pub(crate) type Ops<'a> = Fixed<Op<'a>, BATCH>;

/// Operations that will be carried out together.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    ops: Ops<'a>,
    /// How each of them is answered.
    forms: [Form; BATCH],
    /// What some of the forms name.
    plans: Fixed<Plan, BATCH>,
    /// Of the segments that have ended: in order, each behind at least one operation of its own.
    ends: Fixed<End, BATCH>,
    /// The segment at hand, whose operations come behind those.
    segment: usize,
}

impl Batch<'_> {
    /// None yet.
    const fn new(segment: usize) -> Self {
        Self {
            ops: Fixed::new(),
            forms: [Form::Planned(0); BATCH],
            plans: Fixed::new(),
            ends: Fixed::new(),
            segment,
        }
    }

    /// Forgets them.
    fn clear(&mut self) {
        self.ops.clear();
        self.plans.clear();
        self.ends.clear();
    }

    /// How an operation is answered.
    fn plan(&self, at: usize) -> Plan {
        self.forms[at].plan(&self.ops[at].action, &self.plans)
    }

    /// The segment that an operation is of.
    fn segment_of(&self, at: usize) -> usize {
        self.ends.iter().find(|end| at < end.ops).map_or(self.segment, |end| end.segment)
    }
}

/// The worker's way into the engine, with the answers that came of it in this turn.
#[derive(Debug)]
pub(crate) struct Executor<'s> {
    handle: Handle<'s>,
    pub(crate) shared: &'s Shared<'s>,
    seat: &'s Seat,
    access: Access<'s>,
    /// Whether operations have to be looked at: keys are noted, any key is watched, or clients keep copies.
    observed: bool,
    /// Whether any client keeps copies, and so has to be told of writes.
    tracked: bool,
    /// The clients of this turn's segments, while some keep copies.
    pub(crate) authors: Vec<u64>,
    /// The segment whose requests are looked at.
    segment: usize,
    /// Requests have to be looked at one by one, since there is a monitor or a pause.
    pub(crate) attended: bool,
    /// There is a monitor.
    pub(crate) monitored: bool,
    /// What a pause lets wait.
    pub(crate) paused: Option<Paused>,
    /// Lines for the monitors.
    pub(crate) shown: Vec<u8>,
    /// The moment of this turn.
    pub(crate) now: Millis,
    /// The answers of this turn, all clients one after the other.
    pub(crate) answers: Answers<'s>,
    /// Where in the answers each segment ends; 0 for one that got none.
    pub(crate) ends: Vec<usize>,
    batch_len: usize,
    /// Turns in which nothing is lent, since a write had found no room because of it.
    abstains: u32,
    answers_len_max: usize,
    /// Memory is short.
    pub(crate) tight: bool,
    /// And the client at hand has to wait if it needs much.
    pub(crate) crowded: bool,
    /// Memory is short and large values are about.
    pub(crate) short: bool,
    /// So the client at hand may have to wait: look at a value's length before it is answered.
    pub(crate) cautious: bool,
    patience: Duration,
    slices_left: u32,
    /// How long those of this turn took.
    slices_time: Duration,
    /// One client at a time keeps what takes much memory over several turns.
    pub(crate) tables: Room,
    /// Requests of the transactions that are being carried out: those are not closed, so they hold little together.
    pub(crate) transactions: Room,
    /// Requests of this turn.
    pub(crate) commands: u64,
    /// Of these, how many were GETs and SETs of RESP in their usual form.
    pub(crate) gets: u64,
    pub(crate) sets: u64,
    /// What is known of this turn's requests beside how many they are.
    pub(crate) measured: Measured,
    /// When the clock was last looked at behind an unusual request, and how much had been answered and done by then.
    looked: (Instant, usize),
    /// Requests of RESP answered with an error without an operation.
    pub(crate) refused: u64,
}

/// What is known of a turn's requests. As small as can be: it is set to nothing in every turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// Nanoseconds of the requests that were timed by themselves.
    pub(crate) nanos: u64,
    /// How many these are.
    pub(crate) requests: u32,
    /// How many requests were none of the usual ones.
    unusual: u32,
}

/// The clock is looked at behind the first unusual request of a turn, and again behind so many of them, or so much that is done.
const UNUSUAL: u32 = 32;
const ANSWERED: usize = sized(64 << 10);
/// Nanoseconds that these take in a simulation.
const UNUSUAL_TIME: usize = sized(50_000);

/// How long a worker waits for room in one turn, all operations together.
const PATIENCE: Duration = Duration::from_millis(if SIMULATED { 2 } else { 100 });
/// Slices of long requests in one turn, of all clients together.
const SLICES_MAX: u32 = 3;
/// No more are begun once they took so long. In a simulation they take no time.
const SLICES_TIME: Duration = Duration::from_micros(500);
/// What it may take to ask, of all changes of a batch, those who are told of every change.
const CHANGES_WORK: usize = sized(64 << 10);
/// The answers of one turn, and what was done beside them, about a millisecond; more and the remaining requests wait for the next.
const ANSWERS_LEN_MAX: usize = sized(1 << 20);
/// The same while clients hold so much that memory is short.
const ANSWERS_LEN_TIGHT: usize = sized(256 << 10);

impl<'s> Executor<'s> {
    pub(crate) fn new(handle: Handle<'s>, shared: &'s Shared<'s>, seat: &'s Seat) -> Self {
        Self {
            handle,
            shared,
            seat,
            access: Access::new(&shared.seats, seat),
            observed: false,
            tracked: false,
            authors: Vec::new(),
            segment: 0,
            attended: false,
            monitored: false,
            paused: None,
            shown: Vec::new(),
            now: Millis::default(),
            answers: Answers::new(&shared.large),
            ends: Vec::new(),
            batch_len: BATCH,
            abstains: 0,
            answers_len_max: ANSWERS_LEN_MAX,
            tight: false,
            crowded: false,
            short: false,
            cautious: false,
            patience: PATIENCE,
            slices_left: SLICES_MAX,
            slices_time: Duration::ZERO,
            tables: Room::default(),
            transactions: Room::default(),
            commands: 0,
            gets: 0,
            sets: 0,
            measured: Measured::default(),
            looked: (clock::monotonic(), 0),
            refused: 0,
        }
    }

    /// Begins a turn in which `segments` clients have something to say.
    pub(crate) fn begin(&mut self, now: Millis, segments: usize, tight: bool) {
        self.now = now;
        self.measured = Measured::default();
        self.answers.begin(now);
        self.ends.clear();
        self.ends.resize(segments, 0);
        self.answers_len_max = if tight { ANSWERS_LEN_TIGHT } else { ANSWERS_LEN_MAX };
        self.batch_len = self.shared.large.batch_len(now, self.answers_len_max);
        (self.tight, self.crowded) = (tight, false);
        self.short = tight && self.shared.large.are_about();
        self.cautious = false;
        self.patience = PATIENCE;
        (self.slices_left, self.slices_time) = (SLICES_MAX, Duration::ZERO);
    }

    /// Whether one more slice of what takes long may be carried out in this turn; then there is one less.
    pub(crate) fn takes_another_slice(&mut self) -> bool {
        let takes = self.slices_left > 0 && self.slices_time < SLICES_TIME;
        self.slices_left -= u32::from(takes);
        takes
    }

    /// Notes how long a slice took.
    pub(crate) fn note_slice(&mut self, time: Duration) {
        if !SIMULATED {
            self.slices_time += time;
        }
    }

    /// Notes what a request took that is no operation on one key, in nanoseconds or so: when it is much, the other requests
    /// wait for the next turn.
    pub(crate) fn note_work(&mut self, work: usize) {
        self.answers.worked += work;
    }

    /// Notes that a request was carried out which is none of the usual ones. Nobody has to guess what each of them takes: the clock
    /// tells it, of many together.
    #[inline]
    pub(crate) fn note_unusual(&mut self) {
        self.measured.unusual += 1;
        if self.measured.unusual % UNUSUAL == 1 || self.done() > self.looked.1 + ANSWERED {
            self.look_at_clock();
        }
    }

    /// Counts the time since the last look in this turn as work, but for what was answered or noted since then.
    #[cold]
    #[inline(never)]
    fn look_at_clock(&mut self) {
        let (now, (before, known_before)) = (clock::monotonic(), self.looked);
        let took = if SIMULATED {
            UNUSUAL_TIME
        } else {
            usize::try_from((now - before).as_nanos()).unwrap_or(usize::MAX)
        };
        let known = self.done().saturating_sub(known_before);
        if self.measured.unusual > 1 {
            self.note_work(took.saturating_sub(known));
        }
        self.looked = (now, self.done());
    }

    /// How much this turn has answered and, as far as is known, done beside that.
    fn done(&self) -> usize {
        self.answers.len() + self.answers.worked
    }

    /// Begins to touch the items.
    pub(crate) fn enter(&mut self) {
        self.access.enter(&mut self.handle);
        self.abstains = self.abstains.saturating_sub(1);
        self.lend();
        self.look_for_observers();
        self.look_around();
    }

    /// Finds out whether operations have to be looked at, and whether somebody is told of items that go by themselves.
    pub(crate) fn look_for_observers(&mut self) {
        let tracked = self.shared.tracking.any();
        if tracked != self.tracked {
            self.tracked = tracked;
            self.handle.observe(tracked.then_some(self.shared as &dyn Observer));
        }
        if tracked {
            // Where a change is work, it counts as that of whoever made it, and there are not many of them in a batch.
            let at_once = CHANGES_WORK.checked_div(self.shared.tracking.asking()).unwrap_or(BATCH);
            self.batch_len = self.batch_len.min(at_once.max(1));
        }
        self.observed = self.tracked || self.shared.watches.any() || self.seat.sample.is_wanted();
    }

    /// Does something to the items outside of a turn. What goes is told to those who keep copies; who has begun to do that meanwhile
    /// may have read what has gone, and is told that everything has changed.
    pub(crate) fn aside_of_turns<T>(&mut self, work: impl FnOnce(&mut Handle<'s>) -> T) -> T {
        self.look_for_observers();
        let told = self.tracked;
        let done = work(self.handle());
        if !told && self.shared.tracking.any() {
            self.shared.tracking.flushed(self.shared);
        }
        done
    }

    /// Whether somebody has to be told of writes, and who made them.
    pub(crate) fn is_tracked(&self) -> bool {
        self.tracked
    }

    /// Finds out whether requests have to be looked at one by one.
    pub(crate) fn look_around(&mut self) {
        self.monitored = self.shared.monitors.any();
        self.paused = self.shared.pause.paused(self.now);
        self.attended = self.monitored || self.paused.is_some();
    }

    /// Has touched them.
    pub(crate) fn leave(&mut self) {
        self.access.leave();
    }

    /// The turn took this long: shares it out to its requests, but for those that were timed by themselves.
    /// False if there were no others.
    #[cold]
    pub(crate) fn note_time(&self, start: Instant) -> bool {
        let nanos =
            u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_sub(self.measured.nanos);
        let requests = self.commands.saturating_sub(self.measured.requests.into());
        let mean = nanos.checked_div(requests);
        if let Some(mean) = mean {
            self.seat.counters.calls.batched.time(mean, requests);
        }
        mean.is_some()
    }

    /// What this worker counts.
    pub(crate) fn counters(&self) -> &'s Counters {
        &self.seat.counters
    }

    /// The handle, for whoever lets go of what was found, and the answers: what was lent to these is copied first.
    pub(crate) fn own_handle(&mut self) -> (&mut Handle<'s>, &mut Vec<u8>) {
        let Self { handle, answers, .. } = self;
        answers.lends = false;
        if !answers.lent.is_empty() {
            answers.lent.take_back(&mut answers.out, handle);
        }
        (handle, &mut answers.out)
    }

    /// The handle alone.
    pub(crate) fn handle(&mut self) -> &mut Handle<'s> {
        self.own_handle().0
    }

    /// What this range of the answers consists of.
    pub(crate) fn parts(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        self.answers.lent.parts(&self.answers.out, &self.handle, range)
    }
}

//! Batches: operations of many clients, gathered while their requests are parsed and carried out together.
//!
//! ```text
//! Pass    one walk over the turn's requests; borrows the bytes they lie in
//! Batch   up to 32 operations, each with a plan: how to answer, and whose it is
//! Executor  the worker's engine handle, and the answers so far
//! ```
//!
//! Order: operations are carried out and answered in the order in which they were pushed. Whatever is no operation on
//! one key (PING, INFO) first runs the batch ([`Pass::direct`]), so answers never overtake each other.
//!
//! The engine stops before a write that finds no room at the moment ([`StoreError::Pressure`]). What was lent to the
//! answers is copied then, so that nothing is borrowed from it any more, the worker is quiescent, and goes on; after some
//! patience with the same operation it is refused, and the next one has its turn.

use std::ops::Range;
use std::time::{Duration, Instant};

use crabcache_engine::{Action, BATCH, Expiry, Handle, Millis, Op, Outcome, Sink, StoreError, Value};
use crabcache_protocol::resp::Version;
use heapless::Vec as Fixed;

use super::access::Access;
use super::answers::Answers;
use super::scratch::Scratch;
use super::{SIMULATED, sized};
use crate::command::Reply;
use crate::database::{self, Place};
use crate::pause::Paused;
use crate::shared::{LargeValues, Seat, Shared};
use crate::stats::Counters;

/// How an operation's outcome becomes an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// In which form.
    pub(crate) reply: Reply,
    /// For RESP.
    pub(crate) version: Version,
    /// Whose it is: a number of the turn's list of segments.
    pub(crate) segment: u32,
}

/// Operations that will be carried out together.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    ops: Fixed<Op<'a>, BATCH>,
    plans: Fixed<Plan, BATCH>,
}

/// The worker's way into the engine, with the answers that came of it in this turn.
#[derive(Debug)]
pub(crate) struct Executor<'s> {
    handle: Handle<'s>,
    pub(crate) shared: &'s Shared<'s>,
    seat: &'s Seat,
    access: Access<'s>,
    /// Whether any key is watched, and so writes have to be looked at.
    watched: bool,
    /// Whether any client keeps copies, and so has to be told of writes.
    tracked: bool,
    /// The clients of this turn's segments, while some keep copies.
    pub(crate) authors: Vec<u64>,
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
    /// Memory is short and large values are about: look at a value's length before it is answered.
    cautious: bool,
    patience: Duration,
    slices_left: u32,
    /// Requests of this turn.
    pub(crate) commands: u64,
    /// Of these, how many were GETs and SETs of RESP in their usual form.
    pub(crate) gets: u64,
    pub(crate) sets: u64,
    /// Nanoseconds and number of the requests that were timed by themselves in this turn.
    pub(crate) measured: (u64, u64),
    /// Requests of RESP answered with an error without an operation.
    pub(crate) refused: u64,
}

/// How long a worker waits for room in one turn, all operations together.
const PATIENCE: Duration = Duration::from_millis(if SIMULATED { 2 } else { 100 });
/// Slices of long requests in one turn, of all clients together. Each takes about a millisecond.
const SLICES_MAX: u32 = 3;
/// Turns in which nothing is lent after a write that found no room.
const ABSTAINED: u32 = 64;
/// How long it sleeps at a time.
const PAUSE_MIN: Duration = Duration::from_micros(20);
const PAUSE_MAX: Duration = Duration::from_millis(1);
/// The answers of one turn; more and the remaining requests wait for the next.
const ANSWERS_LEN_MAX: usize = sized(2 << 20);
/// The same while clients hold so much that memory is short.
const ANSWERS_LEN_TIGHT: usize = sized(256 << 10);

/// Writes the answers of a batch while it is carried out.
struct Answering<'b, 's> {
    ops: &'b [Op<'b>],
    plans: &'b [Plan],
    answers: &'b mut Answers<'s>,
    ends: &'b mut Vec<usize>,
}

impl Answering<'_, '_> {
    /// The answers so far belong to this segment, and those before.
    #[inline(always)]
    fn end(&mut self, plan: &Plan) {
        if let Some(end) = self.ends.get_mut(plan.segment as usize) {
            *end = self.answers.len();
        }
    }
}

impl Sink for Answering<'_, '_> {
    #[inline(always)]
    fn take(&mut self, number: usize, outcome: Outcome<'_>) {
        let (Some(op), Some(plan)) = (self.ops.get(number), self.plans.get(number)) else { return };
        self.answers.answer(op, plan, outcome);
        self.end(plan);
    }

    #[inline(always)]
    fn hit(&mut self, number: usize, value: Value<'_>) {
        let (Some(op), Some(plan)) = (self.ops.get(number), self.plans.get(number)) else { return };
        self.answers.hit(op, plan, value);
        self.end(plan);
    }

    #[inline(always)]
    fn replaced(&mut self, number: usize, old: Value<'_>) {
        let (Some(op), Some(plan)) = (self.ops.get(number), self.plans.get(number)) else { return };
        self.answers.replaced(op, plan, old);
        self.end(plan);
    }
}

impl<'s> Executor<'s> {
    pub(crate) fn new(handle: Handle<'s>, shared: &'s Shared<'s>, seat: &'s Seat) -> Self {
        Self {
            handle,
            shared,
            seat,
            access: Access::new(&shared.seats, seat),
            watched: false,
            tracked: false,
            authors: Vec::new(),
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
            cautious: false,
            patience: PATIENCE,
            slices_left: SLICES_MAX,
            commands: 0,
            gets: 0,
            sets: 0,
            measured: (0, 0),
            refused: 0,
        }
    }

    /// Begins a turn in which `segments` clients have something to say.
    pub(crate) fn begin(&mut self, now: Millis, segments: usize, tight: bool) {
        self.now = now;
        self.measured = (0, 0);
        self.answers.begin(now);
        self.ends.clear();
        self.ends.resize(segments, 0);
        self.answers_len_max = if tight { ANSWERS_LEN_TIGHT } else { ANSWERS_LEN_MAX };
        self.batch_len = self.shared.large.batch_len(now, self.answers_len_max);
        self.cautious = tight && self.shared.large.are_about();
        self.patience = PATIENCE;
        self.slices_left = SLICES_MAX;
    }

    /// Whether one more slice of what takes long may be carried out in this turn; then there is one less.
    pub(crate) fn takes_another_slice(&mut self) -> bool {
        let left = self.slices_left.checked_sub(1);
        self.slices_left = left.unwrap_or(0);
        left.is_some()
    }

    /// Begins to touch the items.
    pub(crate) fn enter(&mut self) {
        self.access.enter(&mut self.handle);
        self.abstains = self.abstains.saturating_sub(1);
        self.lend();
        self.look_for_watchers();
        self.look_around();
    }

    /// Finds out whether writes have to be looked at.
    fn look_for_watchers(&mut self) {
        self.tracked = self.shared.tracking.any();
        self.watched = self.tracked || self.shared.watches.any();
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
            u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX).saturating_sub(self.measured.0);
        let requests = self.commands.saturating_sub(self.measured.1);
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

    /// Carries a batch out, and empties it.
    fn run(&mut self, batch: &mut Batch<'_>) {
        if batch.ops.is_empty() {
            return;
        }
        let mut done = self.execute(batch, 0);
        while done < batch.ops.len() {
            done = self.insist(batch, done);
        }
        batch.ops.clear();
        batch.plans.clear();
        if self.answers.lent.is_empty() {
            self.handle.quiescent(self.now);
            self.lend();
        }
    }

    /// From here on what is found stays where it is, and can be lent to the answers; unless writes need the room.
    #[inline]
    fn lend(&mut self) {
        if self.abstains == 0 {
            self.handle.pin();
            self.answers.lends = true;
        }
    }

    /// A write found no room: lets go of everything, so that it can make some. What has to be copied in the end is copied
    /// at once for some turns.
    fn make_room(&mut self) {
        if self.answers.lends {
            self.abstains = ABSTAINED;
        }
        let now = self.now;
        self.handle().quiescent(now);
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

    /// Carries out and answers the operations from `first` on. Gives how far it came: to the end, or to one that finds
    /// no room.
    #[inline]
    fn execute(&mut self, batch: &Batch<'_>, first: usize) -> usize {
        if self.watched && self.may_change_watched(&batch.ops[first..]) {
            return self.execute_watched(batch, first);
        }
        let Self { handle, answers, ends, now, .. } = self;
        let (ops, plans) = (&batch.ops[first..], &batch.plans[first..]);
        first + handle.execute_into(*now, ops, &mut Answering { ops, plans, answers, ends })
    }

    #[cold]
    fn may_change_watched(&self, ops: &[Op<'_>]) -> bool {
        let watches = &self.shared.watches;
        let mut writes = ops.iter().filter(|op| !matches!(op.action, Action::Get | Action::Peek));
        writes.any(|op| self.tracked || watches.may_have(op.key))
    }

    /// As `execute`, one by one: what came of each has to be known.
    #[cold]
    fn execute_watched(&mut self, batch: &Batch<'_>, first: usize) -> usize {
        for (at, (op, plan)) in batch.ops.iter().zip(&batch.plans).enumerate().skip(first) {
            let outcome = self.handle.apply(self.now, op);
            if let Outcome::Refused(StoreError::Pressure) = outcome {
                return at;
            }
            let changed = changes(op, &outcome);
            self.answers.answer(op, plan, outcome);
            self.ends[plan.segment as usize] = self.answers.len();
            if changed {
                let author = self.authors.get(plan.segment as usize).copied();
                tell_of_change(self.shared, self.tracked, op.key, author);
            }
        }
        batch.ops.len()
    }

    /// Goes on from an operation that found no room, as soon as there is some. Once patience has ended it is refused;
    /// then the ones behind it are tried.
    #[cold]
    #[inline(never)]
    fn insist(&mut self, batch: &Batch<'_>, at: usize) -> usize {
        let mut pause = PAUSE_MIN;
        loop {
            self.make_room();
            let done = self.execute(batch, at);
            if done > at {
                return done;
            }
            if !self.wait(&mut pause) {
                break;
            }
        }
        let plan = &batch.plans[at];
        self.answers.answer(&batch.ops[at], plan, Outcome::Refused(StoreError::Pressure));
        self.ends[plan.segment as usize] = self.answers.len();
        self.seat.counters.no_room.add(1);
        at + 1
    }

    /// Sleeps for a moment, until there may be room. False once patience has ended.
    fn wait(&mut self, pause: &mut Duration) -> bool {
        if self.patience.is_zero() {
            return false;
        }
        // Others may have to finish their turn first, perhaps on this very core.
        self.handle.offline();
        std::thread::sleep(*pause);
        self.handle.online();
        self.patience = self.patience.saturating_sub(*pause);
        *pause = (*pause * 2).min(PAUSE_MAX);
        true
    }

    /// Tells those who watch keys that are there: all are about to be removed.
    pub(crate) fn will_remove_all(&mut self) {
        if self.watched {
            for key in self.shared.watches.keys() {
                if self.peek(&key, |_| ()).is_some() {
                    self.shared.watches.changed(&key);
                }
            }
        }
    }

    /// Tells all those who watch keys that `concerns` is true for.
    pub(crate) fn will_change(&self, concerns: impl Fn(&[u8]) -> bool) {
        self.shared.watches.keys().iter().filter(|key| concerns(key)).for_each(|key| {
            self.shared.watches.changed(key);
        });
    }

    /// Carries out one operation at once, on a key as it is stored; waits for room as long as a batch does. The batch must
    /// have been run.
    pub(crate) fn apply<T>(&mut self, op: &Op<'_>, look: impl FnOnce(Outcome<'_>) -> T) -> T {
        let mut pause = PAUSE_MIN;
        loop {
            let outcome = self.handle.apply(self.now, op);
            if !matches!(outcome, Outcome::Refused(StoreError::Pressure)) {
                if self.watched && changes(op, &outcome) {
                    tell_of_change(self.shared, self.tracked, op.key, None);
                }
                return look(outcome);
            }
            self.make_room();
            if !self.wait(&mut pause) {
                self.seat.counters.no_room.add(1);
                return look(Outcome::Refused(StoreError::Pressure));
            }
        }
    }

    /// Looks at one item at once. The batch must have been run.
    pub(crate) fn peek<T>(&mut self, key: &[u8], look: impl FnOnce(&Value<'_>) -> T) -> Option<T> {
        match self.handle.apply(self.now, &Op { key, action: Action::Peek }) {
            Outcome::Hit(value) => Some(look(&value)),
            _ => None,
        }
    }
}

/// Tells those who watch a stored key, and those who may keep copies of it, that it has changed. No author is a stranger.
fn tell_of_change(shared: &Shared<'_>, tracked: bool, stored: &[u8], author: Option<u64>) {
    shared.watches.changed(stored);
    if tracked {
        // Copies are told of by their names, whatever the database, as with Redis.
        let (_, key) = database::split(stored);
        shared.tracking.changed(shared, key, author.unwrap_or(0));
    }
}

/// Whether the key of an operation with this outcome is no longer as it was. A lease that was won leaves it so.
fn changes(op: &Op<'_>, outcome: &Outcome<'_>) -> bool {
    if let Action::Lease(lease) = op.action {
        return lease.touch != Expiry::Keep
            && matches!(outcome, Outcome::Hit(_) | Outcome::Won { value: Some(_) });
    }
    matches!(
        outcome,
        Outcome::Stored { .. }
            | Outcome::Removed(_)
            | Outcome::Touched(_)
            | Outcome::Length(_)
            | Outcome::Number(_)
    )
}

/// One walk over the requests of a turn.
#[derive(Debug)]
pub(crate) struct Pass<'a, 'e, 's> {
    batch: Batch<'a>,
    scratch: &'a Scratch,
    pub(crate) executor: &'e mut Executor<'s>,
    /// The version of RESP that the client at hand speaks.
    pub(crate) version: Version,
    segment: u32,
    /// Where the keys are that the client at hand names.
    place: Place,
}

impl<'a, 'e, 's> Pass<'a, 'e, 's> {
    /// Begins.
    pub(crate) fn new(executor: &'e mut Executor<'s>, scratch: &'a Scratch) -> Self {
        Self {
            batch: Batch::default(),
            scratch,
            executor,
            version: Version::Resp2,
            segment: 0,
            place: Place::default(),
        }
    }

    /// Goes on to the requests of segment `segment`.
    pub(crate) fn enter(&mut self, segment: usize) {
        self.segment = segment as u32;
    }

    /// Leaves it: what it was answered directly belongs to it, too.
    pub(crate) fn leave(&mut self) {
        if self.batch.ops.is_empty() {
            self.executor.ends[self.segment as usize] = self.executor.answers.len();
        }
    }

    /// The keys of the next requests are those of this database.
    #[inline]
    pub(crate) fn use_database(&mut self, database: u8) {
        self.place = self.executor.shared.databases.place(database);
    }

    /// Says that something is about to be stored where the keys of the client at hand are.
    pub(crate) fn note_write(&self) {
        self.executor.shared.databases.note_use(self.place);
    }

    /// Where the keys of the client at hand are.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Whether keys are stored as they are, but those that [begin escaped](crate::database::begins_escaped), and no value is
    /// too long to be answered at once.
    #[inline]
    pub(crate) fn is_ordinary(&self) -> bool {
        self.place == Place::default() && !self.executor.cautious
    }

    /// Adds an operation.
    #[inline]
    pub(crate) fn push(&mut self, op: Op<'a>, reply: Reply) {
        if self.place.escapes(op.key) {
            return self.push_escaped(op, reply);
        }
        self.push_stored(op, reply);
    }

    /// Adds an operation on a key that is not stored as it is. Where the turn can keep no more such keys, carries it out.
    #[cold]
    #[inline(never)]
    fn push_escaped(&mut self, op: Op<'a>, reply: Reply) {
        if !matches!(op.action, Action::Get | Action::Peek) {
            self.note_write();
        }
        match self.scratch.keep(self.place.stored(op.key).into_owned()) {
            Ok(key) => self.push_stored(Op { key, ..op }, reply),
            Err(key) => self.aside(|pass| pass.push_stored(Op { key: &key, action: op.action }, reply)),
        }
    }

    /// Adds an operation whose key is as it is stored.
    #[inline]
    pub(crate) fn push_stored(&mut self, op: Op<'a>, reply: Reply) {
        let plan = Plan { reply, version: self.version, segment: self.segment };
        // There is room: batch_len is BATCH at most, and run empties the batch.
        let _ = self.batch.ops.push(op);
        let _ = self.batch.plans.push(plan);
        // At once, so that it shows in time when the answers are as many as a turn may have.
        if self.batch.ops.len() >= self.executor.batch_len {
            self.run();
        }
    }

    /// Carries out what was gathered.
    #[inline(never)]
    pub(crate) fn run(&mut self) {
        self.executor.run(&mut self.batch);
    }

    /// A pass over bytes that do not live as long as this one's, for the same client.
    pub(crate) fn aside<'b, T>(&mut self, work: impl FnOnce(&mut Pass<'b, '_, 's>) -> T) -> T
    where
        'a: 'b,
    {
        self.run();
        let mut aside = Pass {
            batch: Batch::default(),
            scratch: self.scratch,
            executor: &mut *self.executor,
            version: self.version,
            segment: self.segment,
            place: self.place,
        };
        let done = work(&mut aside);
        aside.run();
        let place = aside.place;
        self.version = aside.version;
        self.place = place;
        done
    }

    /// Does something to the items in which no other worker can interfere. What was pushed before is carried out before.
    pub(crate) fn alone<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.run();
        self.executor.handle();
        let begun = self.executor.access.begin_alone(&mut self.executor.handle);
        let done = work(self);
        self.run();
        self.executor.handle();
        if begun {
            self.executor.access.end_alone(&mut self.executor.handle);
        }
        // While this worker waited or was alone, somebody may have begun to watch.
        self.executor.look_for_watchers();
        done
    }

    /// The answers, to write one that needs no operation. What was pushed before is answered first.
    pub(crate) fn direct(&mut self) -> &mut Vec<u8> {
        self.run();
        &mut self.executor.answers.out
    }

    /// The same, with nothing lent, so that a position in the buffer stays what it is.
    pub(crate) fn settled(&mut self) -> &mut Vec<u8> {
        self.run();
        self.executor.own_handle().1
    }

    /// Whether values have to be looked at before they are answered.
    pub(crate) fn is_cautious(&self) -> bool {
        self.executor.cautious
    }

    /// Whether the values of `keys` are too much to be answered while memory is as short as it is. Small ones never are,
    /// so nobody who asks for those has to wait for others.
    #[inline]
    #[must_use]
    pub(crate) fn is_too_much<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) -> bool {
        self.executor.cautious && self.look_at(keys)
    }

    #[cold]
    #[inline(never)]
    fn look_at<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) -> bool {
        // What was asked before may change them.
        self.run();
        let mut len = 0;
        for key in keys {
            len += self.peek(key, |value| value.bytes().len()).unwrap_or(0);
            if len > LargeValues::FROM {
                return true;
            }
        }
        false
    }

    /// Looks at one item at once. What was pushed before must have been carried out.
    pub(crate) fn peek<T>(&mut self, key: &[u8], look: impl FnOnce(&Value<'_>) -> T) -> Option<T> {
        let key = self.place.stored(key);
        self.executor.peek(&key, look)
    }

    /// Says that a large value is about to be stored.
    pub(crate) fn note_large(&self, len: usize) {
        self.executor.shared.large.note(len, self.executor.now);
    }

    /// The moment of this turn.
    #[must_use]
    pub(crate) fn now(&self) -> Millis {
        self.executor.now
    }

    /// What this worker counts.
    pub(crate) fn counters(&self) -> &'s Counters {
        self.executor.counters()
    }

    /// What the threads share.
    pub(crate) fn shared(&self) -> &'s Shared<'s> {
        self.executor.shared
    }

    /// Whether this turn has answered as much as a turn may.
    #[inline]
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.executor.answers.len() > self.executor.answers_len_max
    }
}

//! One walk over the requests of a turn: they become operations, and those become batches.

use crabcache_engine::{Action, BATCH, Millis, Op, Value};
use crabcache_protocol::resp::Version;

use super::{Batch, End, Executor, Form, Plan};
use crate::command::Reply;
use crate::connection::Connection;
use crate::database::Place;
use crate::large_values::LargeValues;
use crate::reactor::budget::Taken;
use crate::reactor::scratch::Scratch;
use crate::shared::Shared;
use crate::stats::Counters;

/// One walk over the requests of a turn.
#[derive(Debug)]
pub(crate) struct Pass<'a, 'e, 's> {
    pub(super) batch: Batch<'a>,
    scratch: &'a Scratch,
    /// Operations that are carried out together at most.
    batch_len: usize,
    pub(crate) executor: &'e mut Executor<'s>,
    /// The version of RESP that the client at hand speaks.
    pub(crate) version: Version,
    /// The database of the client at hand, and where its keys are.
    database: u8,
    place: Place,
}

impl<'a, 'e, 's> Pass<'a, 'e, 's> {
    /// Begins.
    pub(crate) fn new(executor: &'e mut Executor<'s>, scratch: &'a Scratch) -> Self {
        Self {
            batch: Batch::new(0),
            scratch,
            batch_len: executor.batch_len,
            executor,
            version: Version::Resp2,
            database: 0,
            place: Place::default(),
        }
    }

    /// Goes on to the requests of segment `segment`.
    pub(crate) fn enter(&mut self, segment: usize) {
        self.batch.segment = segment;
        self.executor.segment = segment;
    }

    /// Leaves it: what it was answered directly belongs to it, too.
    pub(crate) fn leave(&mut self) {
        if self.batch_len < BATCH {
            // Where values are large, operations are work, and count as that of whoever asked for it.
            self.run();
        }
        let Batch { ops, ends, segment, .. } = &mut self.batch;
        if ops.is_empty() {
            self.executor.ends[*segment] = self.executor.answers.len();
        } else if ends.last().is_none_or(|end| end.ops < ops.len()) {
            let noted = ends.push(End { ops: ops.len(), segment: *segment });
            debug_assert!(noted.is_ok(), "there is room: each has an operation of its own");
        }
    }

    /// Whoever comes next is answered something, however many the others were; not where one of those was answered so much that
    /// the next large answer of the same turn could be more than the clients' memory holds.
    pub(crate) fn make_room(&mut self) {
        self.run();
        let executor = &mut *self.executor;
        let filled = executor.answers.len() + executor.answers.worked;
        if filled <= 2 * executor.answers_len_max {
            executor.answers_len_max = executor.answers_len_max.max(filled);
        }
    }

    /// The keys of the next requests are those of this database.
    #[inline]
    pub(crate) fn use_database(&mut self, database: u8) {
        self.database = database;
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
    fn push_stored(&mut self, op: Op<'a>, reply: Reply) {
        let form = Form::of(&op.action, reply, self.version).unwrap_or_else(|| {
            let number = self.batch.plans.len() as u8;
            let planned = self.batch.plans.push(Plan { reply, version: self.version });
            debug_assert!(planned.is_ok(), "there is room: for each operation one");
            Form::Planned(number)
        });
        self.push_usual(op, form);
    }

    /// Adds an operation whose key is as it is stored, and which is answered in this form. True if the batch was carried out
    /// then, so that there are more answers.
    #[inline(always)]
    pub(crate) fn push_usual(&mut self, op: Op<'a>, form: Form) -> bool {
        let Batch { ops, forms, .. } = &mut self.batch;
        let at = ops.len();
        let pushed = ops.push(op);
        debug_assert!(pushed.is_ok(), "there is room: batch_len is BATCH at most, and run empties the batch");
        if let Some(place) = forms.get_mut(at) {
            *place = form;
        }
        let whole = at + 1 >= self.batch_len;
        if whole {
            self.run();
        }
        whole
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
            batch: Batch::new(self.batch.segment),
            scratch: self.scratch,
            batch_len: self.batch_len,
            executor: &mut *self.executor,
            version: self.version,
            database: self.database,
            place: self.place,
        };
        let done = work(&mut aside);
        aside.run();
        (self.version, self.database, self.place) = (aside.version, aside.database, aside.place);
        done
    }

    /// Does something to the items in which no other worker can interfere. What was pushed before is carried out before.
    pub(crate) fn alone<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.run();
        self.executor.handle();
        let begun = self.executor.access.begin_alone(&mut self.executor.handle);
        if begun {
            self.look_again();
        }
        let done = work(self);
        self.run();
        self.executor.handle();
        if begun {
            self.executor.access.end_alone(&mut self.executor.handle);
            self.look_again();
        } else {
            // It may have been what lets a client watch.
            self.executor.look_for_observers();
        }
        done
    }

    /// While this worker waited, another may have swapped databases, begun a pause, or let a client monitor, watch or track.
    fn look_again(&mut self) {
        self.use_database(self.database);
        self.executor.look_around();
        self.executor.look_for_observers();
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

    /// Lets the client have so much memory for what is kept over several turns, unless others have too much of it now: then it
    /// comes again as soon as it is worth it.
    pub(crate) fn take_room(&mut self, len: usize, connection: &mut Connection) -> Option<Taken> {
        let taken =
            if self.executor.crowded || self.is_full() { None } else { self.executor.tables.take(1, 0) };
        connection.heavy = taken.is_none();
        if taken.is_some() {
            // No other large answer is to be begun in this turn.
            self.executor.note_work(len);
        }
        taken
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

    /// Whether this turn has answered, or done otherwise, as much as a turn may.
    #[inline]
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        let answers = &self.executor.answers;
        answers.len() + answers.worked > self.executor.answers_len_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::resp;
    use crate::config::Config;
    use crate::simulation::setup::with_server;
    use crate::watch::Watching;

    #[test]
    fn whoever_was_waited_for_may_have_begun_to_watch() {
        with_server(1 << 20, Config { workers: 2, ..Config::default() }, |shared| {
            let handle = shared.cache.handle().expect("a handle");
            let mut executor = Executor::new(handle, shared, &shared.seats[0]);
            executor.begin(Millis(1), 1, false);
            executor.enter();
            let scratch = Scratch::new();
            let mut pass = Pass::new(&mut executor, &scratch);
            // As the other worker does, which was alone before.
            let mut watching = Watching::new(&shared.watches);
            watching.add(b"key", false);
            pass.alone(|pass| pass.push(Op::put(b"key", b"value"), Reply::Resp(resp::Reply::Ok)));
            assert!(watching.has_changed(|_| true));
        });
    }
}

//! DEL, EXISTS, TOUCH, MGET and MSET of so many keys that others would have to wait for them: they are carried out a slice per turn.
//! Within a transaction they are carried out at once, with the others.

use crabcache_engine::{Action, Op, Put, StoreError};
use crabcache_protocol::resp::{Args, write};

use super::reply::{self, Reply};
use super::table::Found;
use super::{attend, strings};
use crate::command::task::Task;
use crate::connection::Connection;
use crate::reactor::batch::Pass;
use crate::reactor::sized;

/// Arguments of a slice, about half a millisecond's work; an even number, since MSET has pairs of them.
const SLICE: usize = sized(2048);
/// Bytes of them, as far as one pair does not have more.
const SLICE_BYTES: usize = sized(256 << 10);

/// A command under way.
#[derive(Debug)]
pub(crate) struct Many {
    /// The arguments, as they came.
    args: Box<[u8]>,
    /// How many of them are left, and where they begin.
    left: usize,
    at: usize,
    errand: Errand,
    /// The client that keeps copies of what is read.
    reader: Option<u64>,
}

/// What is done to the keys.
#[derive(Debug)]
enum Errand {
    /// Do this to each, and count those that were found.
    Tally(Action<'static>, i64),
    /// Store values; there may have been a first failure.
    Write(Option<StoreError>),
    /// Answer the values, the first with their number, until that is done.
    Read(u32),
}

/// Lets the keys of `args` be looked at in several turns, if they are many; false if not.
pub(super) fn tally(
    args: Args<'_>,
    action: Action<'static>,
    connection: &mut Connection,
    pass: &mut Pass<'_, '_, '_>,
) -> bool {
    begin(args, Errand::Tally(action, 0), connection, pass)
}

/// The same of MSET's.
pub(super) fn write(args: Args<'_>, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
    begin(args, Errand::Write(None), connection, pass)
}

/// The same of MGET's.
pub(super) fn read(args: Args<'_>, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
    begin(args, Errand::Read((args.len() - 1) as u32), connection, pass)
}

/// Whether a command is carried out so.
pub(super) fn goes_in_slices(found: Found, args: Args<'_>, connection: &Connection) -> bool {
    args.len() > SLICE + 1
        && !connection.executes
        && matches!(found.command.name, "del" | "unlink" | "exists" | "touch" | "mget" | "mset")
}

fn begin(args: Args<'_>, errand: Errand, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
    if args.len() <= SLICE + 1 || connection.executes {
        return false;
    }
    let notes = connection.tracked.as_mut().is_some_and(|tracked| std::mem::take(&mut tracked.notes_slices));
    let Some(rest) = args.from(1) else { return false };
    let bytes = rest.as_bytes();
    // It is copied.
    pass.executor.note_work(bytes.len() / 4);
    let many = Many {
        args: bytes.into(),
        left: rest.len(),
        at: 0,
        errand,
        reader: notes.then_some(connection.client.id),
    };
    connection.task = Some(Box::new(Task::Many(many)));
    true
}

impl Many {
    /// Bytes of memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.args.len()
    }

    /// Whether it changes nothing, and can end with its client.
    pub(crate) fn only_answers(&self) -> bool {
        matches!(self.errand, Errand::Read(_))
    }

    /// Goes on for a slice; true when it is done and answered.
    pub(crate) fn step(&mut self, pass: &mut Pass<'_, '_, '_>) -> bool {
        let Self { args: all, left, at, errand, reader } = self;
        let args = Args::new(&all[*at..], *left);
        let slice = if reader.is_some() { SLICE / 4 } else { SLICE };
        if let Some(reader) = reader {
            attend::note_keys(args.iter().take(slice), *reader, pass);
        }
        let mut rest = args.iter();
        pass.aside(|pass| {
            let mut bytes = 0;
            while args.len() - rest.len() < slice && bytes < SLICE_BYTES {
                let Some(key) = rest.next() else { break };
                bytes += key.len();
                match errand {
                    Errand::Tally(action, _) => {
                        pass.op(Op { key, action: *action }, Reply::Tally { last: false });
                    }
                    Errand::Write(_) => {
                        let Some(value) = rest.next() else { break };
                        bytes += value.len();
                        let put = Put { value, ..Put::default() };
                        strings::put(pass, key, put, Reply::Written { last: false });
                    }
                    Errand::Read(head) => {
                        pass.op(Op::get(key), Reply::Element { head: std::mem::take(head) });
                        // One at least, however much the others are answered.
                        if pass.is_full() {
                            break;
                        }
                    }
                }
            }
        });
        let taken = args.len() - rest.len();
        match args.from(taken) {
            Some(rest) => (*left, *at) = (rest.len(), all.len() - rest.as_bytes().len()),
            None => *left = 0,
        }
        // Others count and fail in the same place.
        let answers = &mut pass.executor.answers;
        match errand {
            Errand::Tally(_, tally) => {
                *tally += std::mem::take(&mut answers.tally);
                if *left == 0 {
                    write::integer(pass.direct(), *tally);
                }
            }
            Errand::Write(failure) => {
                *failure = failure.or(answers.failure.take());
                if *left == 0 {
                    match *failure {
                        Some(error) => reply::refuse(pass, error),
                        None => pass.direct().extend_from_slice(write::OK),
                    }
                }
            }
            Errand::Read(_) => {}
        }
        *left == 0
    }
}

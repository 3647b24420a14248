//! Commands that put an item under another key: the item is read, stored there, and removed here, with nobody in between.

use crabcache_engine::{Action, Condition, Expiry, Millis, Op, Outcome, Put, StoreError};
use crabcache_protocol::resp::{Args, write};

use super::{databases, is, reply, two};
use crate::connection::Connection;
use crate::reactor::batch::Pass;

/// An item on its way.
struct Copied {
    value: Vec<u8>,
    flags: u32,
    expires: Option<Millis>,
}

const NO_SUCH_KEY: &str = "ERR no such key";
const SAME: &str = "ERR source and destination objects are the same";

fn read(stored: &[u8], pass: &mut Pass<'_, '_, '_>) -> Option<Copied> {
    let item = pass.executor.peek(stored, |value| Copied {
        value: value.bytes().to_vec(),
        flags: value.flags(),
        expires: value.expires(),
    })?;
    // It was copied, into new memory, and will be.
    pass.executor.note_work(item.value.len() / 4 * 3);
    Some(item)
}

/// Whether it was stored: not where the key is present, unless it `replaces`.
fn store(
    item: &Copied,
    stored: &[u8],
    replaces: bool,
    pass: &mut Pass<'_, '_, '_>,
) -> Result<bool, StoreError> {
    let expiry = item.expires.map_or(Expiry::Never, Expiry::At);
    let condition = if replaces { Condition::Always } else { Condition::Absent };
    let put = Put { value: &item.value, flags: item.flags, expiry, condition };
    pass.executor.apply(&Op { key: stored, action: Action::Put(put) }, |outcome| match outcome {
        Outcome::Refused(error) => Err(error),
        outcome => Ok(matches!(outcome, Outcome::Stored { .. })),
    })
}

/// Puts an item that is there under another key.
fn put_under(
    item: &Copied,
    from: Option<&[u8]>,
    to: &[u8],
    replaces: bool,
    pass: &mut Pass<'_, '_, '_>,
) -> Result<bool, StoreError> {
    let done = store(item, to, replaces, pass)?;
    if done && let Some(from) = from {
        pass.executor.apply(&Op::delete(from), |outcome| match outcome {
            Outcome::Refused(error) => Err(error),
            _ => Ok(()),
        })?;
    }
    Ok(done)
}

pub(super) fn rename<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    rename_key(args, true, pass);
}

pub(super) fn renamenx<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    rename_key(args, false, pass);
}

fn rename_key(args: Args<'_>, replaces: bool, pass: &mut Pass<'_, '_, '_>) {
    let (from, to) = two(&args);
    pass.alone(|pass| {
        let place = pass.place();
        let (from, to) = (place.stored(from), place.stored(to));
        let Some(item) = read(&from, pass) else { return pass.error(NO_SUCH_KEY) };
        let done = if from == to { Ok(false) } else { put_under(&item, Some(&from), &to, replaces, pass) };
        match done {
            Ok(_) if replaces => pass.direct().extend_from_slice(write::OK),
            Ok(done) => write::integer(pass.direct(), done.into()),
            Err(error) => reply::refuse(pass, error),
        }
    });
}

/// `COPY source destination [DB number] [REPLACE]`
pub(super) fn copy<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (from, to) = two(&args);
    let (mut database, mut replaces) = (connection.database, false);
    let mut options = args.iter().skip(3);
    while let Some(option) = options.next() {
        if is(option, "REPLACE") {
            replaces = true;
        } else if is(option, "DB")
            && let Some(number) = options.next()
        {
            let Some(named) = databases::named(number, pass) else { return };
            database = named;
        } else {
            return pass.syntax_error();
        }
    }
    if from == to && database == connection.database {
        return pass.error(SAME);
    }
    transfer((from, to), database, (false, replaces), pass);
}

pub(super) fn r#move<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, number) = two(&args);
    let Some(database) = databases::named(number, pass) else { return };
    if database == connection.database {
        return pass.error(SAME);
    }
    transfer((key, key), database, (true, false), pass);
}

/// Copies or moves an item to a key of a database, and answers whether that was done.
fn transfer(
    (from, to): (&[u8], &[u8]),
    database: u8,
    (moves, replaces): (bool, bool),
    pass: &mut Pass<'_, '_, '_>,
) {
    pass.alone(|pass| {
        let databases = &pass.shared().databases;
        let target = databases.place(database);
        let (from, to) = (pass.place().stored(from), target.stored(to));
        let done = match read(&from, pass) {
            Some(item) => {
                databases.note_use(target);
                put_under(&item, moves.then_some(&*from), &to, replaces, pass)
            }
            None => Ok(false),
        };
        match done {
            Ok(done) => write::integer(pass.direct(), done.into()),
            Err(error) => reply::refuse(pass, error),
        }
    });
}

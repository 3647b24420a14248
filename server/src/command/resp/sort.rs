//! `SORT` and `SORT_RO`, as a server with strings alone answers: there is nothing to sort, and strings are of the wrong type.

use crabcache_engine::{Op, Outcome};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::{is, one, reply};
use crate::connection::Connection;
use crate::reactor::batch::Pass;

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination]`
pub(super) fn sort<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    answer(args, true, pass);
}

/// The same without STORE.
pub(super) fn sort_ro<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    answer(args, false, pass);
}

fn answer(args: Args<'_>, stores: bool, pass: &mut Pass<'_, '_, '_>) {
    let mut destination = None;
    let mut options = args.iter().skip(2);
    while let Some(option) = options.next() {
        if is(option, "ASC") || is(option, "DESC") || is(option, "ALPHA") {
        } else if is(option, "LIMIT")
            && let (Some(offset), Some(count)) = (options.next(), options.next())
        {
            if parse_i64(offset).and(parse_i64(count)).is_none() {
                return pass.not_an_integer();
            }
        } else if (is(option, "BY") || is(option, "GET")) && options.next().is_some() {
        } else if stores
            && is(option, "STORE")
            && let Some(key) = options.next()
        {
            destination = Some(key);
        } else {
            return pass.syntax_error();
        }
    }
    let key = one(&args);
    let Some(destination) = destination else {
        pass.run();
        return match pass.peek(key, |_| ()) {
            Some(()) => pass.error(WRONG_TYPE),
            None => write::array(pass.direct(), 0),
        };
    };
    pass.alone(|pass| {
        if pass.peek(key, |_| ()).is_some() {
            return pass.error(WRONG_TYPE);
        }
        // Nothing is stored as no key.
        let stored = pass.place().stored(destination);
        let done = pass.executor.apply(&Op::delete(&stored), |outcome| match outcome {
            Outcome::Refused(error) => Err(error),
            _ => Ok(()),
        });
        match done {
            Ok(()) => write::integer(pass.direct(), 0),
            Err(error) => reply::refuse(pass, error),
        }
    });
}

/// Where the key of STORE stands, if there is one: read as Redis reads it where it looks for keys alone.
pub(super) fn stored_at(args: Args<'_>) -> Option<usize> {
    let (mut found, mut operands) = (None, 0);
    for (at, option) in args.iter().enumerate().skip(2) {
        if operands > 0 {
            operands -= 1;
        } else if is(option, "LIMIT") {
            operands = 2;
        } else if is(option, "GET") || is(option, "BY") {
            operands = 1;
        } else if is(option, "STORE") && at + 1 < args.len() {
            // What follows is looked at as an option, too.
            found = Some(at + 1);
        }
    }
    found
}

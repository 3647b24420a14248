//! Commands that read and write values.

use crabcache_engine::{Action, Condition, Count, Delta, End, Expiry, Op, Put, TouchCondition};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::Args;

use super::expiry::{self, Unit};
use super::reply::Reply;
use super::{is, one, three, two};
use crate::connection::Connection;
use crate::reactor::batch::Pass;
use crate::shared::LargeValues;

pub(super) fn put<'a>(pass: &mut Pass<'a, '_, '_>, key: &'a [u8], put: Put<'a>, reply: Reply) {
    if put.value.len() > LargeValues::FROM {
        pass.note_large(put.value.len());
    }
    pass.op(Op { key, action: Action::Put(put) }, reply);
}

pub(super) fn get<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.op(Op::get(one(&args)), Reply::Value);
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(super) fn set<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, value) = two(&args);
    let (mut condition, mut expiry, mut old) = (Condition::Always, None, false);
    // Saying the same thing again is fine with Redis; saying two things is not.
    let mut said = None;
    let mut options = args.iter().skip(3);
    while let Some(option) = options.next() {
        if is(option, "NX") && condition != Condition::Present {
            condition = Condition::Absent;
        } else if is(option, "XX") && condition != Condition::Absent {
            condition = Condition::Present;
        } else if is(option, "GET") {
            old = true;
        } else if is(option, "KEEPTTL") && said.is_none() {
            expiry = Some(Expiry::Keep);
        } else if let Some(unit) = Unit::of_option(option)
            && said.is_none_or(|said| said == unit)
            && expiry != Some(Expiry::Keep)
        {
            said = Some(unit);
            let Some(number) = options.next() else { return pass.syntax_error() };
            match expiry::positive(number, unit, pass.now()) {
                Ok(at) => expiry = Some(at),
                Err(fault) => return fault.answer(pass, "set"),
            }
        } else {
            return pass.syntax_error();
        }
    }
    let reply = if old { Reply::Value } else { Reply::Ok };
    put(pass, key, Put { value, flags: 0, expiry: expiry.unwrap_or_default(), condition }, reply);
}

pub(super) fn setnx<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, value) = two(&args);
    put(pass, key, Put { value, condition: Condition::Absent, ..Put::default() }, Reply::Did);
}

pub(super) fn setex<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    set_expiring(args, pass, Unit::Seconds, "setex");
}

pub(super) fn psetex<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    set_expiring(args, pass, Unit::Millis, "psetex");
}

fn set_expiring<'a>(args: Args<'a>, pass: &mut Pass<'a, '_, '_>, unit: Unit, name: &str) {
    let (key, number, value) = three(&args);
    match expiry::positive(number, unit, pass.now()) {
        Ok(expiry) => put(pass, key, Put { value, expiry, ..Put::default() }, Reply::Ok),
        Err(fault) => fault.answer(pass, name),
    }
}

pub(super) fn getset<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, value) = two(&args);
    put(pass, key, Put { value, ..Put::default() }, Reply::Value);
}

pub(super) fn getdel<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.op(Op::delete(one(&args)), Reply::Value);
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub(super) fn getex<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let key = one(&args);
    let mut options = args.iter().skip(2);
    let (expiry, condition) = match (options.next(), options.next(), options.next()) {
        (None, ..) => return pass.op(Op::get(key), Reply::Value),
        (Some(option), None, _) if is(option, "PERSIST") => (Expiry::Never, TouchCondition::Expiring),
        (Some(option), Some(number), None) => {
            let Some(unit) = Unit::of_option(option) else { return pass.syntax_error() };
            match expiry::positive(number, unit, pass.now()) {
                Ok(expiry) => (expiry, TouchCondition::Always),
                Err(fault) => return fault.answer(pass, "getex"),
            }
        }
        _ => return pass.syntax_error(),
    };
    pass.op(Op { key, action: Action::Touch(expiry, condition) }, Reply::Value);
}

pub(super) fn mget<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let mut head = (args.len() - 1) as u32;
    for key in args.iter().skip(1) {
        pass.op(Op::get(key), Reply::Element { head });
        head = 0;
    }
}

pub(super) fn mset<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len().is_multiple_of(2) {
        return pass.wrong_arity("mset");
    }
    let mut rest = args.iter().skip(1);
    let mut left = args.len() / 2;
    while let (Some(key), Some(value)) = (rest.next(), rest.next()) {
        left -= 1;
        put(pass, key, Put { value, ..Put::default() }, Reply::Written { last: left == 0 });
    }
}

pub(super) fn append<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, bytes) = two(&args);
    pass.op(Op { key, action: Action::Concat { bytes, end: End::Back, create: true } }, Reply::Length);
}

pub(super) fn strlen<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.op(Op::get(one(&args)), Reply::Length);
}

pub(super) fn getrange<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, from, to) = three(&args);
    match (parse_i64(from), parse_i64(to)) {
        (Some(from), Some(to)) => pass.op(Op::get(key), Reply::Range { from, to }),
        _ => pass.not_an_integer(),
    }
}

fn count<'a>(pass: &mut Pass<'a, '_, '_>, key: &'a [u8], delta: i64) {
    let count = Count { delta: Delta::Signed(delta), initial: Some(i128::from(delta)), expiry: Expiry::Keep };
    pass.op(Op { key, action: Action::Count(count) }, Reply::Number);
}

pub(super) fn incr<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    count(pass, one(&args), 1);
}

pub(super) fn decr<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    count(pass, one(&args), -1);
}

pub(super) fn incrby<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, delta) = two(&args);
    match parse_i64(delta) {
        Some(delta) => count(pass, key, delta),
        None => pass.not_an_integer(),
    }
}

pub(super) fn decrby<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, delta) = two(&args);
    match parse_i64(delta).map(i64::checked_neg) {
        Some(Some(delta)) => count(pass, key, delta),
        Some(None) => pass.error("ERR decrement would overflow"),
        None => pass.not_an_integer(),
    }
}

//! Commands that read and write values.

use crabcache_engine::{Action, Condition, Count, Delta, End, Expiry, Op, Put, TouchCondition};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::Args;

use super::expiry::{self, Moment, Unit};
use super::reply::Reply;
use super::{change, is, many, one, three, two};
use crate::connection::Connection;
use crate::large_values::LargeValues;
use crate::reactor::batch::Pass;

pub(super) fn put<'a>(pass: &mut Pass<'a, '_, '_>, key: &'a [u8], put: Put<'a>, reply: Reply) {
    if put.value.len() > LargeValues::FROM {
        pass.note_large(put.value.len());
    }
    pass.op(Op { key, action: Action::Put(put) }, reply);
}

pub(super) fn get<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    pass.op(Op::get(one(&args)), Reply::Value);
}

/// `SET key value [NX | XX | IFEQ comparison] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub(super) fn set<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, value) = two(&args);
    let (mut condition, mut comparison, mut old) = (Condition::Always, None, false);
    let mut moment = Moment::default();
    let mut options = args.iter().skip(3);
    while let Some(option) = options.next() {
        if is(option, "NX") && condition != Condition::Present && comparison.is_none() {
            condition = Condition::Absent;
        } else if is(option, "XX") && condition != Condition::Absent && comparison.is_none() {
            condition = Condition::Present;
        } else if is(option, "IFEQ")
            && condition == Condition::Always
            && let Some(value) = options.next()
        {
            comparison = Some(value);
        } else if is(option, "GET") {
            old = true;
        } else if !moment.take(option, "KEEPTTL", &mut options) {
            return pass.syntax_error();
        }
    }
    let expiry = match moment.expiry(pass.now()) {
        Ok(expiry) => expiry.unwrap_or(if moment.special { Expiry::Keep } else { Expiry::Never }),
        Err(fault) => return fault.answer(pass, "set"),
    };
    if let Some(comparison) = comparison {
        return change::set_if_equal((key, value), comparison, expiry, old, pass);
    }
    let reply = if old { Reply::Value } else { Reply::Ok };
    put(pass, key, Put { value, flags: 0, expiry, condition }, reply);
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
    let mut moment = Moment::default();
    let mut options = args.iter().skip(2);
    while let Some(option) = options.next() {
        if !moment.take(option, "PERSIST", &mut options) {
            return pass.syntax_error();
        }
    }
    let action = match moment.expiry(pass.now()) {
        Ok(Some(expiry)) => Action::Touch(expiry, TouchCondition::Always),
        Ok(None) if moment.special => Action::Touch(Expiry::Never, TouchCondition::Expiring),
        Ok(None) => Action::Get,
        Err(fault) => {
            // Redis looks for the key first.
            pass.run();
            if pass.peek(key, |_| ()).is_some() {
                return fault.answer(pass, "getex");
            }
            Action::Get
        }
    };
    pass.op(Op { key, action }, Reply::Value);
}

pub(super) fn mget<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if many::read(args, connection, pass) {
        return;
    }
    let mut head = (args.len() - 1) as u32;
    for key in args.iter().skip(1) {
        pass.op(Op::get(key), Reply::Element { head });
        head = 0;
    }
}

pub(super) fn mset<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len().is_multiple_of(2) {
        return pass.wrong_arity("mset");
    }
    if many::write(args, connection, pass) {
        return;
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

pub(super) fn count<'a>(pass: &mut Pass<'a, '_, '_>, key: &'a [u8], delta: i64) {
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

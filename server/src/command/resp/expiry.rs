//! Commands about when items expire, and how such moments are written.

use crabcache_engine::{Action, Expiry, Millis, Op, TouchCondition};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::reply::{Kind, Reply};
use super::{is, one, shown, two};
use crate::connection::Connection;
use crate::reactor::batch::Pass;

/// How a moment is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds from now.
    Seconds,
    /// Milliseconds from now.
    Millis,
    /// Seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
}

/// Why a moment is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not a number.
    NotAnInteger,
    /// Not a possible one.
    Invalid,
}

impl Unit {
    /// The unit that an option of SET and GETEX names.
    pub(super) fn of_option(option: &[u8]) -> Option<Self> {
        Some(if is(option, "EX") {
            Self::Seconds
        } else if is(option, "PX") {
            Self::Millis
        } else if is(option, "EXAT") {
            Self::UnixSeconds
        } else if is(option, "PXAT") {
            Self::UnixMillis
        } else {
            return None;
        })
    }
}

/// What options of SET and GETEX say about when an item expires.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment<'a> {
    number: Option<(Unit, &'a [u8])>,
    /// KEEPTTL or PERSIST was said.
    pub(super) special: bool,
}

impl<'a> Moment<'a> {
    /// Whether it is an option about that, and says nothing else than those before. To say the same again is fine with
    /// Redis; the last number counts. `special` is empty where there is no such word.
    pub(super) fn take(
        &mut self,
        option: &[u8],
        special: &str,
        rest: &mut impl Iterator<Item = &'a [u8]>,
    ) -> bool {
        if !special.is_empty() && is(option, special) && self.number.is_none() {
            self.special = true;
            return true;
        }
        let unit = Unit::of_option(option).filter(|unit| self.number.is_none_or(|(said, _)| said == *unit));
        match unit.filter(|_| !self.special).zip(rest.next()) {
            Some(number) => {
                self.number = Some(number);
                true
            }
            None => false,
        }
    }

    /// The moment, if one was told.
    pub(super) fn expiry(&self, now: Millis) -> Result<Option<Expiry>, Fault> {
        self.number.map(|(unit, number)| positive(number, unit, now)).transpose()
    }
}

impl Fault {
    pub(super) fn answer(self, pass: &mut Pass<'_, '_, '_>, name: &str) {
        match self {
            Self::NotAnInteger => pass.not_an_integer(),
            Self::Invalid => pass.invalid_expire(name),
        }
    }
}

/// The moment that `text` tells, which has to be a positive number.
pub(super) fn positive(text: &[u8], unit: Unit, now: Millis) -> Result<Expiry, Fault> {
    match parse_i64(text) {
        Some(1..) => moment(text, unit, now),
        Some(_) => Err(Fault::Invalid),
        None => Err(Fault::NotAnInteger),
    }
}

/// The moment that `text` tells. One that has passed is the beginning of time.
pub(super) fn moment(text: &[u8], unit: Unit, now: Millis) -> Result<Expiry, Fault> {
    let number = parse_i64(text).ok_or(Fault::NotAnInteger)?;
    let ms = match unit {
        Unit::Seconds | Unit::UnixSeconds => number.checked_mul(1000).ok_or(Fault::Invalid)?,
        Unit::Millis | Unit::UnixMillis => number,
    };
    let at = match unit {
        Unit::Seconds | Unit::Millis => ms.checked_add_unsigned(now.0).ok_or(Fault::Invalid)?,
        Unit::UnixSeconds | Unit::UnixMillis => ms,
    };
    Ok(Expiry::At(Millis(at.max(0) as u64)))
}

pub(super) fn expire<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    touch(args, pass, Unit::Seconds, "expire");
}

pub(super) fn pexpire<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    touch(args, pass, Unit::Millis, "pexpire");
}

pub(super) fn expireat<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    touch(args, pass, Unit::UnixSeconds, "expireat");
}

pub(super) fn pexpireat<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    touch(args, pass, Unit::UnixMillis, "pexpireat");
}

/// `EXPIRE key number [NX | XX | GT | LT]`
fn touch<'a>(args: Args<'a>, pass: &mut Pass<'a, '_, '_>, unit: Unit, name: &str) {
    let (key, number) = two(&args);
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for option in args.iter().skip(3) {
        if is(option, "NX") {
            nx = true;
        } else if is(option, "XX") {
            xx = true;
        } else if is(option, "GT") {
            gt = true;
        } else if is(option, "LT") {
            lt = true;
        } else {
            return pass.error(&[b"ERR Unsupported option ", shown(option, option.len())].concat());
        }
    }
    if nx && (xx || gt || lt) {
        return pass.error("ERR NX and XX, GT or LT options at the same time are not compatible");
    }
    if gt && lt {
        return pass.error("ERR GT and LT options at the same time are not compatible");
    }
    let expiry = match moment(number, unit, pass.now()) {
        Ok(expiry) => expiry,
        Err(fault) => return fault.answer(pass, name),
    };
    let condition = match (nx, xx, gt, lt) {
        (true, ..) => TouchCondition::Permanent,
        // An item that never expires does so later than any moment, so GT implies XX.
        (_, _, true, _) => TouchCondition::Later,
        (_, true, _, true) => return earlier_if_expiring(key, expiry, pass),
        (_, true, ..) => TouchCondition::Expiring,
        (_, _, _, true) => TouchCondition::Earlier,
        _ => TouchCondition::Always,
    };
    pass.op(Op { key, action: Action::Touch(expiry, condition) }, Reply::Did);
}

/// XX and LT together: two conditions, so it takes a look first.
fn earlier_if_expiring(key: &[u8], expiry: Expiry, pass: &mut Pass<'_, '_, '_>) {
    pass.run();
    if pass.peek(key, |value| value.expires().is_some()) == Some(true) {
        let action = Action::Touch(expiry, TouchCondition::Earlier);
        pass.aside(|pass| pass.op(Op { key, action }, Reply::Did));
    } else {
        write::integer(pass.direct(), 0);
    }
}

pub(super) fn persist<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let action = Action::Touch(Expiry::Never, TouchCondition::Expiring);
    pass.op(Op { key: one(&args), action }, Reply::Did);
}

fn about<'a>(args: Args<'a>, pass: &mut Pass<'a, '_, '_>, kind: Kind) {
    pass.op(Op { key: one(&args), action: Action::Peek }, Reply::About(kind));
}

pub(super) fn ttl<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    about(args, pass, Kind::Ttl);
}

pub(super) fn pttl<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    about(args, pass, Kind::Pttl);
}

pub(super) fn expiretime<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    about(args, pass, Kind::ExpireTime);
}

pub(super) fn pexpiretime<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    about(args, pass, Kind::PexpireTime);
}

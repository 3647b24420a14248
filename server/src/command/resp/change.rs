//! Commands that read a value and write what they make of it: if it changed in between, they begin again.

use std::borrow::Cow;

use crabcache_engine::{Action, Condition, Expiry, Op, Outcome, Put, StoreError};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::long_double::{self, LongDouble, Read};
use super::{reply, three, two};
use crate::connection::Connection;
use crate::large_values::LargeValues;
use crate::reactor::batch::Pass;

/// What is to become of a value.
pub(super) enum Change<'v> {
    /// It stays.
    Nothing,
    /// This takes its place. Flags are kept.
    Write(Cow<'v, [u8]>, Expiry),
    /// It goes.
    Remove,
}

/// Changes the value of `key` as `decide` says, which is asked again if somebody else was faster.
///
/// The version of a value differs when its bytes do, so what is written was made of what is replaced.
pub(super) fn change<'v>(
    key: &[u8],
    pass: &mut Pass<'_, '_, '_>,
    mut decide: impl FnMut(Option<&[u8]>) -> Change<'v>,
) -> Result<(), StoreError> {
    pass.run();
    let key = pass.place().stored(key);
    loop {
        let seen = pass.executor.peek(&key, |value| match decide(Some(value.bytes())) {
            // Its version is made of all its bytes.
            Change::Nothing => None,
            change => Some((value.version(), value.flags(), value.bytes().len(), change)),
        });
        let (condition, flags, change) = match seen {
            Some(None) => return Ok(()),
            Some(Some((version, flags, len, change))) => {
                // And is made twice.
                pass.executor.note_work(len / 4);
                (Condition::Version(version), flags, change)
            }
            None => (Condition::Absent, 0, decide(None)),
        };
        let (value, action);
        match change {
            Change::Nothing => return Ok(()),
            // Named twice, or evicted: it is gone.
            Change::Remove if matches!(condition, Condition::Absent) => return Ok(()),
            Change::Remove => action = Action::Delete(condition),
            Change::Write(new, expiry) => {
                if new.len() > LargeValues::FROM {
                    pass.note_large(new.len());
                }
                pass.note_write();
                // It was copied, into new memory, and will be.
                pass.executor.note_work(new.len() / 4 * 3);
                value = new;
                action = Action::Put(Put { value: &value, flags, expiry, condition });
            }
        }
        let done = pass.executor.apply(&Op { key: &key, action }, |outcome| match outcome {
            Outcome::Refused(error) => Err(error),
            Outcome::NotStored { .. } | Outcome::Miss => Ok(false),
            _ => Ok(true),
        })?;
        if done {
            return Ok(());
        }
    }
}

/// The longest string of Redis as it comes.
const STRING_LEN_MAX: u64 = 512 << 20;

pub(super) fn setrange<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, offset, bytes) = three(&args);
    let Some(offset) = parse_i64(offset) else { return pass.not_an_integer() };
    let Ok(offset) = u64::try_from(offset) else { return pass.error("ERR offset is out of range") };
    let end = offset.saturating_add(bytes.len() as u64);
    if !bytes.is_empty() && end > STRING_LEN_MAX {
        return pass.error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    }
    let max = pass.shared().bounds.item_len_max;
    let (mut len, mut too_large) = (0, false);
    let done = change(key, pass, |old| {
        let old = old.unwrap_or_default();
        len = if bytes.is_empty() { old.len() } else { old.len().max(end as usize) };
        too_large = len > max;
        if bytes.is_empty() || too_large {
            return Change::Nothing;
        }
        let mut new = Vec::with_capacity(len);
        new.extend_from_slice(old);
        new.resize(len, 0);
        new[offset as usize..end as usize].copy_from_slice(bytes);
        Change::Write(new.into(), Expiry::Keep)
    });
    match done {
        Ok(()) if too_large => pass.error(&reply::too_large(max)),
        Ok(()) => write::integer(pass.direct(), len as i64),
        Err(error) => reply::refuse(pass, error),
    }
}

pub(super) fn incrbyfloat<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, delta) = two(&args);
    let (mut sum, mut work) = (Ok(Vec::new()), 0);
    let done = change(key, pass, |old| {
        sum = add(old, delta, &mut work);
        match &sum {
            Ok(sum) => Change::Write(sum.clone().into(), Expiry::Keep),
            Err(_) => Change::Nothing,
        }
    });
    pass.executor.note_work(work);
    match (done, sum) {
        (Err(error), _) => reply::refuse(pass, error),
        (Ok(()), Err(text)) => pass.error(text),
        (Ok(()), Ok(sum)) => write::bulk(pass.direct(), &sum),
    }
}

/// The sum of two numbers as text; an absent one is 0. Counts the work.
fn add(old: Option<&[u8]>, delta: &[u8], work: &mut usize) -> Result<Vec<u8>, &'static str> {
    const NO_NUMBER: &str = "ERR value is not a valid float";
    let old = old.unwrap_or(b"0");
    *work += long_double::work_of_text(old) + long_double::work_of_text(delta);
    let old = long_double::read(old).ok_or(NO_NUMBER)?;
    let sum = match (old, long_double::read(delta).ok_or(NO_NUMBER)?) {
        (Read::Finite(old), Read::Finite(delta)) => {
            *work += old.work() + delta.work();
            old.plus(delta)
        }
        _ => None,
    };
    sum.map(LongDouble::show).ok_or("ERR increment would produce NaN or Infinity")
}

/// `SET key value IFEQ comparison`, with what GET and an expiry add: Valkey's.
pub(super) fn set_if_equal(
    (key, value): (&[u8], &[u8]),
    comparison: &[u8],
    expiry: Expiry,
    answers_old: bool,
    pass: &mut Pass<'_, '_, '_>,
) {
    let (mut old, mut equal) = (None, false);
    let done = change(key, pass, |found| {
        equal = found == Some(comparison);
        old = found.filter(|_| answers_old).map(<[u8]>::to_vec);
        if equal { Change::Write(Cow::Borrowed(value), expiry) } else { Change::Nothing }
    });
    let version = pass.version;
    match (done, old) {
        (Err(error), _) => reply::refuse(pass, error),
        (Ok(()), Some(old)) => write::bulk(pass.direct(), &old),
        (Ok(()), None) if equal => pass.direct().extend_from_slice(write::OK),
        (Ok(()), None) => write::nil(pass.direct(), version),
    }
}

/// `DELIFEQ key comparison`: Valkey's.
pub(super) fn delifeq<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, comparison) = two(&args);
    let mut equal = false;
    let done = change(key, pass, |found| {
        equal = found == Some(comparison);
        if equal { Change::Remove } else { Change::Nothing }
    });
    match done {
        Ok(()) => write::integer(pass.direct(), equal.into()),
        Err(error) => reply::refuse(pass, error),
    }
}

/// Keys of a command that cannot be carried out in slices, since it does something to all of them or to none: others wait meanwhile.
pub(super) const TOGETHER_MAX: usize = 8192;

pub(super) fn msetnx<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if args.len().is_multiple_of(2) {
        return pass.wrong_arity("msetnx");
    }
    if args.len() > 2 * TOGETHER_MAX + 1 {
        return pass.error(&format!("ERR MSETNX takes at most {TOGETHER_MAX} keys"));
    }
    // To look, and to store.
    pass.executor.note_work(args.len() * 500);
    let pairs = args.iter().skip(1).step_by(2).zip(args.iter().skip(2).step_by(2));
    let done = pass.alone(|pass| {
        if pairs.clone().any(|(key, _)| pass.peek(key, |_| ()).is_some()) {
            return Ok(false);
        }
        write_all(pairs, Expiry::Never, pass).map(|()| true)
    });
    match done {
        Ok(done) => write::integer(pass.direct(), done.into()),
        Err(error) => reply::refuse(pass, error),
    }
}

/// Stores all of these keys, which are absent, with their values, or none: what was written is taken back where the rest
/// is refused. Whoever calls is [alone](Pass::alone).
pub(super) fn write_all<'p>(
    pairs: impl Iterator<Item = (&'p [u8], &'p [u8])> + Clone,
    expiry: Expiry,
    pass: &mut Pass<'_, '_, '_>,
) -> Result<(), StoreError> {
    for (at, (key, value)) in pairs.clone().enumerate() {
        if let Err(error) = change(key, pass, |_| Change::Write(Cow::Borrowed(value), expiry)) {
            for (key, _) in pairs.take(at) {
                change(key, pass, |_| Change::Remove)?;
            }
            return Err(error);
        }
    }
    Ok(())
}

//! Storing, removing, touching, and adding to values.

use super::Target;
use super::write::{Did, Plan, Step, write};
use crate::arch::Kernels;
use crate::arena::block::Header;
use crate::arena::spare::LEN_MAX;
use crate::error::StoreError;
use crate::guard::Value;
use crate::index::{Change, Found};
use crate::item::{Item, NewItem};
use crate::local::Local;
use crate::op::{Condition, End, Outcome, Put, TouchCondition};
use crate::shared::Shard;
use crate::time::{Expiry, Millis};

/// Whether a condition holds for what was found.
#[inline(always)]
pub(super) fn holds(condition: Condition, before: Option<&Item<'_>>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::Absent => before.is_none(),
        Condition::Present => before.is_some(),
        Condition::Version(version) => before.is_some_and(|item| Value::of(*item, 0).version() == version),
    }
}

/// Store an item, unless its time has passed already: then what is there goes.
#[inline(always)]
pub(super) fn put_unless_expired(new: NewItem<'_>, now: Millis) -> Step<'_> {
    if new.expires.is_some_and(|at| at <= now) { Step::Remove } else { Step::Put(new) }
}

/// When the value there expires, if there is one: a placeholder has no expiry to keep.
pub(super) fn expires_yet(before: Option<&Item<'_>>, now: Millis) -> Option<Millis> {
    before.and_then(Item::expires).filter(|&at| at > now)
}

#[inline(always)]
pub(crate) fn value<'c>(local: &Local<'c>, item: &Item<'c>) -> Value<'c> {
    Value::of(*item, local.participant.announcement())
}

struct PutPlan<'p> {
    key: &'p [u8],
    put: &'p Put<'p>,
    now: Millis,
}

impl Plan for PutPlan<'_> {
    #[inline(always)]
    fn decide<'s>(&'s mut self, before: Option<&Item<'s>>) -> Result<Step<'s>, StoreError> {
        if !holds(self.put.condition, before) {
            return Ok(Step::Keep);
        }
        let expires = match self.put.expiry {
            Expiry::Never => None,
            other => other.resolve(expires_yet(before, self.now)),
        };
        let value = [self.put.value, &[]];
        let new = NewItem { key: self.key, value, flags: self.put.flags, expires, mark: None };
        Ok(put_unless_expired(new, self.now))
    }

    /// Who won a lease stores with its version.
    #[inline(always)]
    fn sees_placeholders(&self) -> bool {
        matches!(self.put.condition, Condition::Version(_))
    }
}

#[inline(always)]
pub(super) fn put<'c, K: Kernels>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    put: &Put<'_>,
) -> Outcome<'c> {
    let mut plan = PutPlan { key: target.key, put, now: target.now };
    let done = write::<K>(local, target, &mut plan);
    stored(local, target, done)
}

/// What came of a write that stores a value or does not.
#[inline(always)]
pub(super) fn stored<'c>(
    local: &Local<'c>,
    target: &Target<'c, '_>,
    done: Result<(Option<Item<'c>>, Did), StoreError>,
) -> Outcome<'c> {
    match done {
        Ok((before, did)) => {
            // A placeholder has no value to tell of.
            let old = before.filter(|item| !item.is_expired(target.now)).map(|item| value(local, &item));
            if did == Did::Kept { Outcome::NotStored { found: old } } else { Outcome::Stored { old } }
        }
        Err(error) => Outcome::Refused(error),
    }
}

/// Replaces `old`, the live item of `key` that was found there, by one for which a block is at hand: the usual write, with
/// nothing to decide and nothing to wait for. False: nothing was changed, and [`put`] has to do it. There is room in limbo. The
/// caller counts it.
#[inline(always)]
pub(crate) fn overwrite<'c, K: Kernels>(
    local: &mut Local<'c>,
    shard: Shard<'c>,
    found: Found,
    old: Item<'c>,
    key: &[u8],
    put: &Put<'_>,
    now: Millis,
) -> bool {
    debug_assert!(!old.is_expired(now));
    if !matches!(put.condition, Condition::Always | Condition::Present) || old.in_nursery() {
        return false;
    }
    let Some((granules, header)) = old.like(key, put) else {
        return overwrite_unlike::<K>(local, shard, found, old, key, put, now);
    };
    let Some(at) = local.exchange(shard, granules) else { return false };
    let new = NewItem { key, value: [put.value, &[]], flags: 0, expires: None, mark: None };
    new.write_body::<K>(shard, at, header);
    Item::finish_plain(shard, at, Header::raw(granules), header);
    if shard.change_place(found, Change::Put(at)).is_err() {
        local.undo_exchange(shard, at, granules);
        return false;
    }
    local.retire_exchanged(shard, found.place.item(), granules);
    true
}

/// [`overwrite`] where the new item is of another shape. Out of line: the usual case has few registers to spare.
#[inline(never)]
fn overwrite_unlike<'c, K: Kernels>(
    local: &mut Local<'c>,
    shard: Shard<'c>,
    found: Found,
    old: Item<'c>,
    key: &[u8],
    put: &Put<'_>,
    now: Millis,
) -> bool {
    let expires = match put.expiry {
        Expiry::Never => None,
        Expiry::At(at) if at > now => Some(at),
        _ => return false,
    };
    let new = NewItem { key, value: [put.value, &[]], flags: put.flags, expires, mark: None };
    // So that lengths have 32 bits from here on.
    if new.len() > LEN_MAX {
        return false;
    }
    let shape = new.shape();
    let granules = shape.granules();
    let Some(at) = local.take_spare(shard, granules) else { return false };
    new.fill::<K>(shard, at, granules, Header::fitting(shape).with_uses(old.uses()));
    if shard.change_place(found, Change::Put(at)).is_err() {
        local.discard_item(shard, at);
        return false;
    }
    local.retire_sized(shard, found.place.item(), false, old.granules());
    true
}

struct DeletePlan(Condition);

impl Plan for DeletePlan {
    fn decide<'s>(&'s mut self, before: Option<&Item<'s>>) -> Result<Step<'s>, StoreError> {
        Ok(if before.is_some() && holds(self.0, before) { Step::Remove } else { Step::Keep })
    }

    /// Whoever removes a key wants what others are about to store under it to be of no use: their lease ends.
    fn sees_placeholders(&self) -> bool {
        true
    }
}

#[inline(always)]
pub(super) fn delete<'c, K: Kernels>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    condition: Condition,
) -> Outcome<'c> {
    match write::<K>(local, target, &mut DeletePlan(condition)) {
        Ok((None, _)) => Outcome::Miss,
        Ok((Some(item), _)) if item.is_expired(target.now) => Outcome::Miss,
        Ok((Some(item), Did::Kept)) => Outcome::NotStored { found: Some(value(local, &item)) },
        Ok((Some(item), _)) => Outcome::Removed(value(local, &item)),
        Err(error) => Outcome::Refused(error),
    }
}

struct TouchPlan {
    expiry: Expiry,
    condition: TouchCondition,
    now: Millis,
    held: bool,
}

impl Plan for TouchPlan {
    fn decide<'s>(&'s mut self, before: Option<&Item<'s>>) -> Result<Step<'s>, StoreError> {
        let Some(before) = before else { return Ok(Step::Keep) };
        let old = before.expires();
        let expires = self.expiry.resolve(old);
        // Never is later than any moment.
        let rank = |at: Option<Millis>| at.map_or(u64::MAX, |Millis(at)| at);
        self.held = match self.condition {
            TouchCondition::Always => true,
            TouchCondition::Permanent => old.is_none(),
            TouchCondition::Expiring => old.is_some(),
            TouchCondition::Later => rank(expires) > rank(old),
            TouchCondition::Earlier => rank(expires) < rank(old),
        };
        if !self.held || expires == old {
            before.mark_used();
            return Ok(Step::Keep);
        }
        Ok(put_unless_expired(NewItem { expires, ..before.again() }, self.now))
    }
}

#[inline(always)]
pub(super) fn touch<'c, K: Kernels>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    expiry: Expiry,
    condition: TouchCondition,
) -> Outcome<'c> {
    let mut plan = TouchPlan { expiry, condition, now: target.now, held: false };
    match write::<K>(local, target, &mut plan) {
        Ok((None, _)) => Outcome::Miss,
        Ok((Some(item), _)) if plan.held => Outcome::Touched(value(local, &item)),
        Ok((Some(item), _)) => Outcome::Kept(value(local, &item)),
        Err(error) => Outcome::Refused(error),
    }
}

struct ConcatPlan<'p> {
    key: &'p [u8],
    bytes: &'p [u8],
    end: End,
    create: bool,
    len: usize,
}

impl Plan for ConcatPlan<'_> {
    fn decide<'s>(&'s mut self, before: Option<&Item<'s>>) -> Result<Step<'s>, StoreError> {
        if before.is_none() && !self.create {
            return Ok(Step::Keep);
        }
        let old = before.map_or(&[][..], Item::value);
        self.len = old.len() + self.bytes.len();
        let value = match self.end {
            End::Front => [self.bytes, old],
            End::Back => [old, self.bytes],
        };
        let (flags, expires) = before.map_or((0, None), |item| (item.flags(), item.expires()));
        Ok(Step::Put(NewItem { key: self.key, value, flags, expires, mark: None }))
    }
}

#[inline(always)]
pub(super) fn concat<'c, K: Kernels>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    bytes: &[u8],
    end: End,
    create: bool,
) -> Outcome<'c> {
    let mut plan = ConcatPlan { key: target.key, bytes, end, create, len: 0 };
    match write::<K>(local, target, &mut plan) {
        Ok((_, Did::Kept)) => Outcome::Miss,
        Ok(_) => Outcome::Length(plan.len),
        Err(error) => Outcome::Refused(error),
    }
}

struct PlacePlan {
    at: u32,
    condition: Condition,
}

impl Plan for PlacePlan {
    fn decide<'s>(&'s mut self, before: Option<&Item<'s>>) -> Result<Step<'s>, StoreError> {
        Ok(if holds(self.condition, before) { Step::Place(self.at) } else { Step::Keep })
    }

    fn sees_placeholders(&self) -> bool {
        matches!(self.condition, Condition::Version(_))
    }
}

/// Stores the item in a block of the caller's. Anything but [`Outcome::Stored`] leaves the block the caller's.
#[inline(always)]
pub(super) fn place<'c, K: Kernels>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    at: u32,
    condition: Condition,
) -> Outcome<'c> {
    let done = write::<K>(local, target, &mut PlacePlan { at, condition });
    stored(local, target, done)
}

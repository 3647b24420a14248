//! The one way in which anything is written: look the key up, let the operation decide, make the change, and start
//! again if somebody else was faster or room had to be made.

use super::Target;
use super::read::confirm;
use crate::arch::Kernels;
use crate::arena::NoBlock;
use crate::error::StoreError;
use crate::evict::nursery::Nursery;
use crate::index::{Change, Failed, Lookup};
use crate::item::{Item, NewItem};
use crate::local::{Local, Next};

/// An operation that writes: decides by what it finds, as often as it takes.
pub(super) trait Plan {
    /// `before` is the live item of the key. It is valid during the call only.
    fn decide<'s>(&'s mut self, before: Option<&Item<'s>>) -> Result<Step<'s>, StoreError>;

    /// Whether a placeholder counts as an item to it.
    #[inline(always)]
    fn sees_placeholders(&self) -> bool {
        false
    }
}

/// What to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'s> {
    /// Nothing.
    Keep,
    /// Remove the key.
    Remove,
    /// Store this item.
    Put(NewItem<'s>),
    /// Store the item in this block, which stays the caller's until that is done.
    Place(u32),
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Did {
    Kept,
    Removed,
    Put,
}

/// Carries the plan out. Answers what was there before, and what was done about it.
#[inline(always)]
pub(super) fn write<'c, K: Kernels>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    plan: &mut impl Plan,
) -> Result<(Option<Item<'c>>, Did), StoreError> {
    let shard = target.shard;
    let grip = local.grip;
    if !local.prepare_write() {
        return Err(local.refuse(Next::GiveUp));
    }
    let mut hint = if grip == local.grip { target.hint } else { None };
    let (mut tries, mut ring_stuck, mut main_stuck) = (0, false, false);
    loop {
        let lookup = match verified::<K>(target, hint.take()) {
            Some(lookup) => lookup,
            None => match shard.look_up::<K>(local, target.hash, target.key) {
                Ok(lookup) => lookup,
                Err(failed) => {
                    recover(local, target, failed, &mut tries)?;
                    continue;
                }
            },
        };
        let there = lookup.found.map(|found| Item::load(shard, found.place.item()));
        let before = there.filter(|item| {
            !item.is_expired(target.now) || plan.sees_placeholders() && !item.is_over(target.now)
        });
        let mut ours = None;
        let (change, did) = match plan.decide(before.as_ref())? {
            // What has expired goes: a clock that is set back must not bring back what was found to be gone.
            Step::Keep if there.is_some_and(|item| item.is_over(target.now)) => (Change::Remove, Did::Kept),
            Step::Keep => return Ok((before, Did::Kept)),
            Step::Remove => (Change::Remove, Did::Removed),
            Step::Put(new) => {
                let max = shard.shared.geometry.item_len_max();
                if new.len() > max {
                    return Err(StoreError::TooLarge { len: new.len(), max });
                }
                let granules = new.shape().granules();
                // An item of main that is written again stays in main.
                let stays = there.is_some_and(|item| !item.in_nursery());
                // A thread that does not run while it fills a block of the ring stops the ring: then main has to do. And where the
                // index divides main so that nothing of this size can be there, the ring.
                let block = if (stays || ring_stuck) && !main_stuck {
                    local.allocate(shard, granules)
                } else {
                    local.allocate_newcomer(shard, granules, (!main_stuck).then_some(target.hash))
                };
                let (at, got) = match block {
                    Ok(block) => block,
                    Err(why) => {
                        let next = local.without_block(why, shard, granules, target.now, &mut tries);
                        if next != Next::Again {
                            match why {
                                NoBlock::NurseryFull if !main_stuck => ring_stuck = true,
                                NoBlock::Full
                                    if !ring_stuck && !main_stuck && Nursery::of(shard).fits(granules) =>
                                {
                                    main_stuck = true;
                                }
                                _ => return Err(local.refuse(next)),
                            }
                            tries = 0;
                        }
                        continue;
                    }
                };
                // An item that is written again is as popular as it was.
                let uses = if stays { there.map_or(0, |item| item.uses()) } else { 0 };
                new.write::<K>(shard, at, got, uses);
                ours = Some(at);
                (Change::Put(at), Did::Put)
            }
            Step::Place(at) => {
                let replaced = there.filter(|item| !item.in_nursery());
                Item::load(shard, at).set_uses(replaced.map_or(0, |item| item.uses()));
                (Change::Put(at), Did::Put)
            }
        };
        let committed = shard.commit(local, target.hash, &lookup, change);
        if let Some(at) = ours
            && shard.in_nursery(at)
        {
            Item::settle(shard, at);
        }
        match committed {
            Ok(()) => {
                let was_live = before.is_some() || there.is_some_and(|item| !item.is_over(target.now));
                account(local, target, there.is_some(), was_live, did);
                return Ok((before, did));
            }
            Err(failed) => {
                if let Some(at) = ours {
                    local.discard_item(shard, at);
                }
                recover(local, target, failed, &mut tries)?;
            }
        }
    }
}

/// The batch's hint, if a write can start from it.
#[inline(always)]
fn verified<K: Kernels>(target: &Target<'_, '_>, hint: Option<Lookup>) -> Option<Lookup> {
    let hint = hint?;
    if hint.home.word.is_splitting() {
        return None;
    }
    let holds = match hint.found {
        Some(found) => confirm::<K>(target.shard, found, target.key).is_some(),
        None => target.shard.load(hint.home.bucket) == hint.home.word,
    };
    holds.then_some(hint)
}

#[cold]
fn recover<'c>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    failed: Failed,
    tries: &mut u32,
) -> Result<(), StoreError> {
    match local.after(failed, target.shard, target.now, tries) {
        Next::Again => Ok(()),
        gave_up => Err(local.refuse(gave_up)),
    }
}

#[inline(always)]
fn account<'c>(local: &mut Local<'c>, target: &Target<'c, '_>, was_there: bool, was_live: bool, did: Did) {
    if was_there && !was_live {
        local.counters.expirations += 1;
        if did != Did::Put {
            local.counters.removed += 1;
            // Last, since it may panic.
            return local.tell_gone(target.key);
        }
    }
    match did {
        Did::Kept => {}
        Did::Removed => {
            local.counters.removed += u64::from(was_there);
            local.counters.deletes += u64::from(was_live);
        }
        Did::Put => {
            local.counters.stores += 1;
            if !was_there {
                local.counters.inserted += 1;
                local.grow(target.shard);
            }
        }
    }
}

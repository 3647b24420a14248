//! Reading: wait-free, in place, writing nothing but the use count of an item that is not yet known to be popular.

use super::Target;
use crate::arch::{Kernels, Work};
use crate::guard::Value;
use crate::index::{Image, Lookup};
use crate::item::Item;
use crate::local::Local;
use crate::op::Outcome;
use crate::shared::Shard;

/// The item that a hint names, if the hint still holds and the key is this one.
///
/// A place that still has the value that was seen and is not frozen belongs to an image that is still current (I1), so
/// the key's item is this one now.
#[inline(always)]
pub(super) fn confirm<'c, K: Kernels>(shard: Shard<'c>, hint: &Lookup, key: &[u8]) -> Option<Item<'c>> {
    let found = hint.found?;
    let place = Image::of(shard, hint.home.word).place(found.index as usize);
    if place != found.place || place.is_frozen() {
        return None;
    }
    let item = Item::load(shard, place.item());
    let other = item.key();
    (other.len() == key.len() && K::equal(other, key)).then_some(item)
}

#[inline(always)]
pub(super) fn get<'c, K: Kernels>(local: &mut Local<'c>, target: &Target<'c, '_>, mark: bool) -> Outcome<'c> {
    let item = match target.hint {
        Some(hint) => match confirm::<K>(target.shard, hint, target.key) {
            Some(item) => Some(item),
            // No tag matched, and the bucket has not changed since: the key is absent now.
            None if hint.found.is_none() && target.shard.load(hint.home.bucket) == hint.home.word => None,
            None => look_again(target),
        },
        None => look::<K>(target),
    };
    match item {
        Some(item) if !item.is_expired(target.now) => {
            if mark {
                item.mark_used();
                local.counters.hits += 1;
            }
            Outcome::Hit(Value::of(&item, local.participant.announcement()))
        }
        _ => {
            local.counters.misses += u64::from(mark);
            Outcome::Miss
        }
    }
}

/// Looks the key up from the start: the batch's hint did not hold.
#[cold]
fn look_again<'c>(target: &Target<'c, '_>) -> Option<Item<'c>> {
    target.shard.shared.level.dispatch(Look(target))
}

struct Look<'t, 'c, 'k>(&'t Target<'c, 'k>);

impl<'c> Work for Look<'_, 'c, '_> {
    type Output = Option<Item<'c>>;

    #[inline(always)]
    fn run<K: Kernels>(self) -> Self::Output {
        look::<K>(self.0)
    }
}

#[inline(always)]
fn look<'c, K: Kernels>(target: &Target<'c, '_>) -> Option<Item<'c>> {
    let at = target.shard.get::<K>(target.hash, target.key)?;
    Some(Item::load(target.shard, at))
}

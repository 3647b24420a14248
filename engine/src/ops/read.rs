//! Reading: wait-free, in place, writing nothing but the use count of an item that is not yet known to be popular.

use super::Target;
use crate::arch::Kernels;
use crate::guard::Value;
use crate::index::{Found, Lookup};
use crate::item::Item;
use crate::local::Local;
use crate::shared::Shard;
use crate::time::Millis;

/// The item that was found before, if it is still there and has this key.
///
/// A place that still has the value that was seen and is not frozen belongs to an image that is still current (I1), so
/// the key's item is this one now.
#[inline(always)]
pub(crate) fn confirm<'c, K: Kernels>(shard: Shard<'c>, found: Found, key: &[u8]) -> Option<Item<'c>> {
    let item = found.still_there(shard)?;
    item.has_key::<K>(key).then_some(item)
}

/// The same of one that has not expired.
#[inline(always)]
pub(crate) fn confirm_live<'c, K: Kernels>(
    shard: Shard<'c>,
    found: Found,
    key: &[u8],
    now: Millis,
) -> Option<Item<'c>> {
    let item = found.still_there(shard)?;
    item.answers::<K>(key, now).then_some(item)
}

/// Reads an item that was found; the caller counts the hit.
#[inline(always)]
pub(crate) fn hit<'c>(local: &Local<'c>, item: Item<'c>) -> Value<'c> {
    item.mark_used();
    Value::of(item, local.participant.announcement())
}

#[inline(always)]
pub(crate) fn get<'c, K: Kernels>(local: &mut Local<'c>, target: &Target<'c, '_>) -> Option<Value<'c>> {
    if let Some(item) = find::<K>(target) {
        local.counters.hits += 1;
        return Some(hit(local, item));
    }
    local.counters.misses += 1;
    None
}

#[inline(always)]
pub(super) fn peek<'c, K: Kernels>(local: &Local<'c>, target: &Target<'c, '_>) -> Option<Value<'c>> {
    find::<K>(target).map(|item| Value::of(item, local.participant.announcement()))
}

/// The live item of the key.
#[inline(always)]
fn find<'c, K: Kernels>(target: &Target<'c, '_>) -> Option<Item<'c>> {
    find_any::<K>(target).filter(|item| !item.is_expired(target.now))
}

/// The item of the key, expired or not.
#[inline(always)]
pub(super) fn find_any<'c, K: Kernels>(target: &Target<'c, '_>) -> Option<Item<'c>> {
    match target.hint {
        Some(Lookup { found: Some(found), .. }) => match confirm::<K>(target.shard, found, target.key) {
            None => look::<K>(target),
            item => item,
        },
        // No tag matched, and the bucket has not changed since: the key is absent now.
        Some(Lookup { home, found: None }) if target.shard.load(home.bucket) == home.word => None,
        _ => look::<K>(target),
    }
}

#[inline(always)]
fn look<'c, K: Kernels>(target: &Target<'c, '_>) -> Option<Item<'c>> {
    let at = target.shard.get::<K>(target.hash, target.key)?;
    Some(Item::load(target.shard, at))
}

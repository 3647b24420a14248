//! Leases: winning the right to store a value, storing it, and telling that one is not right any more. `mark.rs` tells what
//! an item keeps of it.

use super::Target;
use super::read::find_any;
use super::store::{expires_yet, holds, put_unless_expired, stored, value};
use super::write::{Did, Plan, Step, write};
use crate::arch::Kernels;
use crate::error::StoreError;
use crate::guard::Value;
use crate::item::{Item, NewItem};
use crate::local::Local;
use crate::mark::Mark;
use crate::op::{Condition, Invalidate, Lease, Outcome, Recache};
use crate::time::Millis;

/// The mark of an item; where it has none, one that says what is so in any case.
fn mark_of(item: &Item<'_>) -> Mark {
    item.mark().unwrap_or_else(|| Mark::version(Value::of(*item, 0).version()))
}

struct LeasePlan<'p> {
    key: &'p [u8],
    lease: &'p Lease,
    now: Millis,
    won: bool,
}

impl LeasePlan<'_> {
    /// Whether the lease on this value is the caller's for the asking.
    fn wins(&self, item: &Item<'_>, touched: Option<Millis>) -> bool {
        let mark = item.mark();
        if mark.is_some_and(|mark| mark.is_won(self.now)) {
            return false;
        }
        let expires = if self.lease.touch_first { touched } else { item.expires() };
        mark.is_some_and(Mark::is_stale) || expires.is_some_and(|at| at < self.lease.recache)
    }
}

impl Plan for LeasePlan<'_> {
    fn decide<'s>(&'s mut self, before: Option<&Item<'s>>) -> Result<Step<'s>, StoreError> {
        let Lease { vivify, version, until, touch, .. } = *self.lease;
        let Some(before) = before else {
            self.won = vivify > self.now;
            let mark = Some(Mark::placeholder(version, vivify));
            // Moment 0: whoever does not look at marks sees nothing.
            let new = NewItem { key: self.key, value: [&[], &[]], flags: 0, expires: Some(Millis(0)), mark };
            return Ok(if self.won { Step::Put(new) } else { Step::Keep });
        };
        self.won = false;
        if before.is_expired(self.now) {
            return Ok(Step::Keep);
        }
        let expires = touch.resolve(before.expires());
        self.won = self.wins(before, expires);
        if !self.won && expires == before.expires() {
            return Ok(Step::Keep);
        }
        let mark = if self.won { Some(mark_of(before).won(until)) } else { before.mark() };
        Ok(put_unless_expired(NewItem { expires, mark, ..before.again() }, self.now))
    }

    fn sees_placeholders(&self) -> bool {
        true
    }
}

/// Most leases are read, not won: then this is a read, and writes nothing.
#[inline(always)]
pub(super) fn lease<'c, K: Kernels>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    lease: &Lease,
) -> Outcome<'c> {
    let mut plan = LeasePlan { key: target.key, lease, now: target.now, won: false };
    let found = find_any::<K>(target).filter(|item| !item.is_over(target.now));
    let reads = matches!(plan.decide(found.as_ref()), Ok(Step::Keep));
    let (found, won) = if reads {
        (found, false)
    } else {
        match write::<K>(local, target, &mut plan) {
            Ok((before, _)) => (before, plan.won),
            Err(error) => return Outcome::Refused(error),
        }
    };
    let Some(item) = found else {
        local.counters.misses += 1;
        return if won { Outcome::Won { value: None } } else { Outcome::Miss };
    };
    local.counters.hits += 1;
    if reads && !lease.peek {
        item.mark_used();
    }
    let value = value(local, &item);
    if won { Outcome::Won { value: Some(value) } } else { Outcome::Hit(value) }
}

struct RecachePlan<'p> {
    key: &'p [u8],
    recache: &'p Recache<'p>,
    now: Millis,
}

impl Plan for RecachePlan<'_> {
    fn decide<'s>(&'s mut self, before: Option<&Item<'s>>) -> Result<Step<'s>, StoreError> {
        let Recache { value, flags, expiry, condition, version, or_stale } = *self.recache;
        let new = NewItem {
            key: self.key,
            value: [value, &[]],
            flags,
            expires: expiry.resolve(expires_yet(before, self.now)),
            mark: (version != 0).then(|| Mark::version(version)),
        };
        if holds(condition, before) {
            return Ok(put_unless_expired(new, self.now));
        }
        let Some(before) = before.filter(|item| or_stale && !item.is_expired(self.now)) else {
            return Ok(Step::Keep);
        };
        let old = mark_of(before).stale();
        let mark = Some(Mark { version: if version == 0 { old.version } else { version }, ..old });
        Ok(Step::Put(NewItem { expires: before.expires(), mark, ..new }))
    }

    fn sees_placeholders(&self) -> bool {
        matches!(self.recache.condition, Condition::Version(_))
    }
}

#[inline(always)]
pub(super) fn recache<'c, K: Kernels>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    recache: &Recache<'_>,
) -> Outcome<'c> {
    let done = write::<K>(local, target, &mut RecachePlan { key: target.key, recache, now: target.now });
    stored(local, target, done)
}

struct InvalidatePlan<'p> {
    invalidate: &'p Invalidate,
    now: Millis,
}

impl Plan for InvalidatePlan<'_> {
    fn decide<'s>(&'s mut self, before: Option<&Item<'s>>) -> Result<Step<'s>, StoreError> {
        let Invalidate { stale, clear, expiry, condition, version } = *self.invalidate;
        let Some(before) = before.filter(|_| holds(condition, before)) else { return Ok(Step::Keep) };
        if before.is_expired(self.now) {
            return Ok(Step::Remove);
        }
        let mut mark = mark_of(before);
        if version != 0 {
            mark.version = version;
        }
        if stale {
            mark = Mark::version(mark.version).stale();
        }
        let mut new =
            NewItem { expires: expiry.resolve(before.expires()), mark: Some(mark), ..before.again() };
        if let Some(flags) = clear {
            new = NewItem { value: [&[], &[]], flags, ..new };
        }
        Ok(put_unless_expired(new, self.now))
    }

    fn sees_placeholders(&self) -> bool {
        true
    }
}

#[inline(always)]
pub(super) fn invalidate<'c, K: Kernels>(
    local: &mut Local<'c>,
    target: &Target<'c, '_>,
    invalidate: &Invalidate,
) -> Outcome<'c> {
    match write::<K>(local, target, &mut InvalidatePlan { invalidate, now: target.now }) {
        Ok((Some(item), did)) if !item.is_expired(target.now) => {
            let value = value(local, &item);
            if did == Did::Kept { Outcome::NotStored { found: Some(value) } } else { Outcome::Touched(value) }
        }
        Ok(_) => Outcome::Miss,
        Err(error) => Outcome::Refused(error),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Action, Cache, Condition, Config, Handle, Invalidate, Lease, Millis, Op, Outcome, Put, Recache,
    };
    use core::mem::MaybeUninit;
    use std::string::{String, ToString};

    const NOW: Millis = Millis(1000);
    const END: Millis = Millis(2000);

    fn with_handle(test: impl FnOnce(&mut Handle<'_>)) {
        let mut region = std::vec![MaybeUninit::uninit(); 1 << 20];
        let cache = Cache::new(&mut region, Config::default()).expect("it is large enough");
        test(&mut cache.handle().expect("none is taken"));
    }

    /// The outcome of an operation on the key `k`, in a word and the value.
    fn act(handle: &mut Handle<'_>, now: Millis, action: Action<'_>) -> String {
        let outcome = handle.apply(now, &Op { key: b"k", action });
        let (word, value) = match outcome {
            Outcome::Hit(value) if value.is_placeholder(now) => ("waits", None),
            Outcome::Hit(value) if value.leased_until(now).is_some() => ("hit, leased:", Some(value)),
            Outcome::Hit(value) => ("hit:", Some(value)),
            Outcome::Won { value } => ("won", value),
            Outcome::Miss => ("miss", None),
            Outcome::Stored { .. } => ("stored", None),
            Outcome::NotStored { .. } => ("not stored", None),
            Outcome::Touched(_) => ("done", None),
            Outcome::Removed(_) => ("removed", None),
            other => panic!("{other:?}"),
        };
        let Some(value) = value else { return word.to_string() };
        let text = core::str::from_utf8(value.bytes()).expect("ASCII");
        std::format!("{word} {text}{}", if value.is_stale() { ", stale" } else { "" })
    }

    fn ask(version: u64) -> Action<'static> {
        Action::Lease(Lease { vivify: END, version, until: END, ..Lease::default() })
    }

    fn put(value: &[u8], condition: Condition) -> Action<'_> {
        Action::Put(Put { value, condition, ..Put::default() })
    }

    fn invalidate(version: u64) -> Action<'static> {
        Action::Invalidate(Invalidate { version, ..Invalidate::default() })
    }

    #[test]
    fn one_wins_where_there_is_nothing_and_stores() {
        with_handle(|handle| {
            assert_eq!(act(handle, NOW, Action::Lease(Lease::default())), "miss");
            assert_eq!(act(handle, NOW, ask(7)), "won");
            assert_eq!(act(handle, NOW, ask(8)), "waits");
            // To everybody else there is nothing yet.
            assert_eq!(act(handle, NOW, Action::Get), "miss");
            assert_eq!(act(handle, NOW, put(b"x", Condition::Present)), "not stored");
            assert_eq!(act(handle, NOW, put(b"x", Condition::Version(8))), "not stored");
            assert_eq!(handle.sweep(NOW, 1 << 20), 0);
            assert_eq!(act(handle, NOW, put(b"v", Condition::Version(7))), "stored");
            assert_eq!(act(handle, NOW, ask(9)), "hit: v");
            assert_eq!(act(handle, NOW, Action::Get), "hit: v");
        });
    }

    #[test]
    fn a_lease_that_ends_is_won_by_the_next() {
        with_handle(|handle| {
            assert_eq!(act(handle, NOW, ask(7)), "won");
            assert_eq!(act(handle, Millis(1999), ask(8)), "waits");
            let late = Lease { vivify: Millis(3000), version: 9, ..Lease::default() };
            assert_eq!(act(handle, END, Action::Lease(late)), "won");
            assert_eq!(act(handle, END, put(b"late", Condition::Version(7))), "not stored");
            assert_eq!(act(handle, END, put(b"v", Condition::Version(9))), "stored");
        });
    }

    #[test]
    fn who_removes_the_key_ends_the_lease() {
        with_handle(|handle| {
            for end in [Action::Delete(Condition::Always), invalidate(8)] {
                assert_eq!(act(handle, NOW, ask(7)), "won");
                assert_eq!(act(handle, NOW, end), "miss");
                assert_eq!(act(handle, NOW, put(b"old", Condition::Version(7))), "not stored");
            }
            assert_eq!(act(handle, NOW, ask(9)), "won");
            assert_eq!(act(handle, NOW, put(b"v", Condition::Absent)), "stored");
            assert_eq!(act(handle, NOW, put(b"old", Condition::Version(9))), "not stored");
        });
    }

    #[test]
    fn a_stale_value_is_read_by_all_and_won_by_one() {
        with_handle(|handle| {
            act(handle, NOW, put(b"v", Condition::Always));
            assert_eq!(act(handle, NOW, invalidate(5)), "done");
            assert_eq!(act(handle, NOW, ask(0)), "won v, stale");
            assert_eq!(act(handle, NOW, ask(0)), "hit, leased: v, stale");
            assert_eq!(act(handle, NOW, Action::Get), "hit, leased: v, stale");
            // The lease ends, and the next one has it.
            let late = Lease { until: Millis(3000), ..Lease::default() };
            assert_eq!(act(handle, END, Action::Lease(late)), "won v, stale");
            assert_eq!(act(handle, END, put(b"w", Condition::Version(5))), "stored");
            assert_eq!(act(handle, END, ask(0)), "hit: w");
        });
    }

    #[test]
    fn what_was_computed_meanwhile_is_stored_as_stale() {
        with_handle(|handle| {
            act(handle, NOW, put(b"v", Condition::Always));
            act(handle, NOW, invalidate(5));
            assert_eq!(act(handle, NOW, ask(0)), "won v, stale");
            act(handle, NOW, invalidate(6));
            let condition = Condition::Version(5);
            let recache = Recache { value: b"w", condition, ..Recache::default() };
            assert_eq!(act(handle, NOW, Action::Recache(recache)), "not stored");
            let or_stale = Recache { or_stale: true, ..recache };
            assert_eq!(act(handle, NOW, Action::Recache(or_stale)), "stored");
            assert_eq!(act(handle, NOW, ask(0)), "won w, stale");
        });
    }

    #[test]
    fn one_renews_what_expires_soon() {
        with_handle(|handle| {
            let expiry = crate::Expiry::At(Millis(5000));
            act(handle, NOW, Action::Put(Put { value: b"v", expiry, ..Put::default() }));
            let soon = |recache| Action::Lease(Lease { recache, until: END, ..Lease::default() });
            assert_eq!(act(handle, NOW, soon(Millis(5000))), "hit: v");
            assert_eq!(act(handle, NOW, soon(Millis(5001))), "won v");
            assert_eq!(act(handle, NOW, soon(Millis(5001))), "hit, leased: v");
            assert_eq!(act(handle, END, soon(Millis(5001))), "won v");
        });
    }

    #[test]
    fn a_version_that_was_given_stays_wherever_the_item_moves() {
        with_handle(|handle| {
            act(handle, NOW, Action::Recache(Recache { value: b"v", version: 7, ..Recache::default() }));
            let touch = crate::Expiry::At(END);
            act(handle, NOW, Action::Lease(Lease { touch, ..Lease::default() }));
            let value = handle.get(NOW, b"k").expect("it is there");
            assert_eq!((value.version(), value.expires()), (7, Some(END)));
            act(handle, NOW, put(b"w", Condition::Version(7)));
            assert_ne!(handle.get(NOW, b"k").expect("it is there").version(), 7);
        });
    }
}

//! What the engine was told, beside it: what it answers must follow from this.

use crate::{Action, Condition, Delta, End, Millis, Op, Outcome, StoreError, TouchCondition, Value};
use ahash::RandomState;
use std::vec::Vec;

pub(super) type Model = hashbrown::HashMap<Vec<u8>, Known, RandomState>;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    pub(super) value: Vec<u8>,
    pub(super) flags: u32,
    pub(super) expires: Option<Millis>,
    pub(super) mark: Option<KnownMark>,
}

/// What leases have left on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KnownMark {
    pub(super) version: u64,
    stale: bool,
    /// When a lease on it ends; moment 0 where nobody won one.
    until: Millis,
    placeholder: bool,
}

impl Known {
    fn new(value: &[u8], flags: u32, expires: Option<Millis>) -> Self {
        Self { value: value.to_vec(), flags, expires, mark: None }
    }

    pub(super) fn is_placeholder(&self, now: Millis) -> bool {
        self.mark.is_some_and(|mark| mark.placeholder && mark.until > now)
    }
}

impl KnownMark {
    fn version(version: u64) -> Self {
        Self { version, stale: false, until: Millis(0), placeholder: false }
    }

    /// Of a value that may have none yet.
    fn of(value: &Value<'_>, known: &Known) -> Self {
        known.mark.unwrap_or_else(|| Self::version(value.version()))
    }
}

pub(super) fn check(seed: u64, now: Millis, key: &[u8], value: &Value<'_>, known: Option<&Known>) {
    let known = known.unwrap_or_else(|| panic!("seed {seed}: {key:?} is there and should not be"));
    assert_eq!(value.bytes(), known.value, "seed {seed}: {key:?}");
    assert_eq!((value.flags(), value.expires()), (known.flags, known.expires), "seed {seed}: {key:?}");
    let mark = known.mark;
    assert_eq!(value.is_stale(), mark.is_some_and(|mark| mark.stale), "seed {seed}: {key:?}");
    assert_eq!(value.is_placeholder(now), known.is_placeholder(now), "seed {seed}: {key:?}");
    let until = mark.map(|mark| mark.until).filter(|&until| until > now);
    assert_eq!(value.leased_until(now), until, "seed {seed}: {key:?}");
    if let Some(mark) = mark {
        assert_eq!(value.version(), mark.version, "seed {seed}: {key:?}");
    }
}

/// What the model says of an outcome, and what it is afterwards. `None` where the engine has forgotten the key.
pub(super) fn apply(model: &mut Model, seed: u64, now: Millis, op: &Op<'_>, outcome: &Outcome<'_>) {
    let key = op.key.to_vec();
    let alive = |known: &Known| known.expires.is_none_or(|at| at > now);
    if model.get(&key).is_some_and(|known| !alive(known) && !known.is_placeholder(now)) {
        model.remove(&key);
    }
    let there = model.get(&key).cloned();
    // Who does not ask for leases sees no placeholder.
    let known = there.as_ref().filter(|known| alive(known));
    match (&op.action, outcome) {
        (_, Outcome::Refused(StoreError::TooLarge { .. } | StoreError::NoPlace)) => {}
        (Action::Get | Action::Peek, Outcome::Hit(value)) => check(seed, now, &key, value, known),
        (
            Action::Get | Action::Peek | Action::Touch(..) | Action::Concat { .. } | Action::Count(_),
            Outcome::Miss,
        ) => {
            if known.is_some() {
                model.remove(&key);
            }
        }
        (Action::Delete(condition), Outcome::Miss) => {
            // A placeholder goes, if the condition lets it.
            if known.is_some() || removes(*condition, there.as_ref()) {
                model.remove(&key);
            }
        }
        (Action::Lease(_) | Action::Recache(_) | Action::Invalidate(_), _) => {
            apply_lease(model, seed, now, op, outcome, there.as_ref());
        }
        (Action::Put(put), Outcome::Stored { old }) => {
            if let Some(old) = old {
                check(seed, now, &key, old, known);
            }
            match put.condition {
                Condition::Always => {}
                Condition::Absent => assert!(old.is_none(), "seed {seed}"),
                Condition::Present => assert!(old.is_some(), "seed {seed}"),
                // Who won the lease on a placeholder may store.
                Condition::Version(v) => {
                    let placeholder = there.as_ref().filter(|there| there.is_placeholder(now));
                    let version = placeholder.and_then(|there| there.mark).map(|mark| mark.version);
                    assert_eq!(old.map(|old| old.version()).or(version), Some(v), "seed {seed}");
                }
            }
            let expires = put.expiry.resolve(old.and_then(|old| old.expires()));
            if expires.is_some_and(|at| at <= now) {
                model.remove(&key);
            } else {
                model.insert(key, Known::new(put.value, put.flags, expires));
            }
        }
        (Action::Put(put), Outcome::NotStored { found }) => match (put.condition, found) {
            (Condition::Absent, Some(found)) => check(seed, now, &key, found, known),
            (Condition::Present | Condition::Version(_), None) => {
                if known.is_some() {
                    model.remove(&key);
                }
            }
            (Condition::Version(v), Some(found)) => {
                check(seed, now, &key, found, known);
                assert_ne!(found.version(), v, "seed {seed}");
            }
            other => panic!("seed {seed}: {other:?}"),
        },
        (Action::Delete(_), Outcome::Removed(value)) => {
            check(seed, now, &key, value, known);
            model.remove(&key);
        }
        (Action::Delete(condition), Outcome::NotStored { found: Some(found) }) => {
            check(seed, now, &key, found, known);
            assert!(matches!(condition, Condition::Absent | Condition::Version(_)), "seed {seed}");
        }
        (Action::Touch(expiry, _), Outcome::Touched(value)) => {
            check(seed, now, &key, value, known);
            let expires = expiry.resolve(value.expires());
            if expires.is_some_and(|at| at <= now) {
                model.remove(&key);
            } else {
                model.get_mut(&key).unwrap().expires = expires;
            }
        }
        (Action::Touch(_, condition), Outcome::Kept(value)) => {
            check(seed, now, &key, value, known);
            assert_ne!(*condition, TouchCondition::Always, "seed {seed}");
        }
        (Action::Concat { bytes, end, create }, Outcome::Length(len)) => {
            let mut new = known.cloned().unwrap_or_else(|| Known::new(&[], 0, None));
            if new.value.len() + bytes.len() != *len {
                // The engine forgot the old value and began anew.
                assert!(*create && *len == bytes.len(), "seed {seed}");
                new = Known::new(&[], 0, None);
            }
            let at = if *end == End::Front { 0 } else { new.value.len() };
            new.value.splice(at..at, bytes.iter().copied());
            model.insert(key, Known { mark: None, ..new });
        }
        (Action::Count(count), Outcome::Number(number)) => {
            let old = known.and_then(|k| std::str::from_utf8(&k.value).ok()?.trim_end().parse::<i128>().ok());
            let flags = known.map_or(0, |k| k.flags);
            let (flags, old_expires) = match (count.delta, old) {
                (Delta::Signed(delta), Some(old)) if old + i128::from(delta) == *number => {
                    (flags, known.and_then(|k| k.expires))
                }
                (Delta::Up(delta), Some(old)) if old + i128::from(delta) == *number => {
                    (flags, known.and_then(|k| k.expires))
                }
                _ => {
                    assert_eq!(Some(*number), count.initial, "seed {seed}: {count:?} on {known:?}");
                    (0, None)
                }
            };
            let expires = count.expiry.resolve(old_expires);
            if expires.is_some_and(|at| at <= now) {
                model.remove(&key);
            } else {
                let value = std::format!("{number}").into_bytes();
                model.insert(key, Known::new(&value, flags, expires));
            }
        }
        (Action::Count(_), Outcome::Refused(StoreError::NotANumber | StoreError::Overflow)) => {
            assert!(known.is_some(), "seed {seed}");
        }
        other => panic!("seed {seed}: {other:?}"),
    }
}

/// Whether what is known to be there is a placeholder that a removal on this condition ends.
fn removes(condition: Condition, there: Option<&Known>) -> bool {
    let Some(mark) = there.and_then(|there| there.mark).filter(|mark| mark.placeholder) else { return false };
    match condition {
        Condition::Always | Condition::Present => true,
        Condition::Absent => false,
        Condition::Version(version) => mark.version == version,
    }
}

/// The operations that know of leases; `there` is what they may find.
fn apply_lease(
    model: &mut Model,
    seed: u64,
    now: Millis,
    op: &Op<'_>,
    outcome: &Outcome<'_>,
    there: Option<&Known>,
) {
    let key = op.key.to_vec();
    let keep = |model: &mut Model, new: Known| {
        if new.expires.is_some_and(|at| at <= now) && !new.is_placeholder(now) {
            model.remove(&key);
        } else {
            model.insert(key.clone(), new);
        }
    };
    match (&op.action, outcome) {
        (Action::Lease(lease), Outcome::Miss) => {
            assert!(lease.vivify <= now, "seed {seed}: {lease:?}");
            model.remove(&key);
        }
        (Action::Lease(lease), Outcome::Won { value: None }) => {
            assert!(lease.vivify > now, "seed {seed}: {lease:?}");
            let mark =
                KnownMark { until: lease.vivify, placeholder: true, ..KnownMark::version(lease.version) };
            keep(model, Known { mark: Some(mark), ..Known::new(&[], 0, Some(Millis(0))) });
        }
        (Action::Lease(lease), Outcome::Won { value: Some(value) }) => {
            check(seed, now, &key, value, there);
            let known = there.unwrap().clone();
            let expires = lease.touch.resolve(known.expires);
            let due = if lease.touch_first { expires } else { known.expires };
            let is_due = due.is_some_and(|at| at < lease.recache);
            assert!(
                value.leased_until(now).is_none() && (value.is_stale() || is_due),
                "seed {seed}: {lease:?}"
            );
            let mark = Some(KnownMark { until: lease.until, ..KnownMark::of(value, &known) });
            keep(model, Known { expires, mark, ..known });
        }
        (Action::Lease(lease), Outcome::Hit(value)) => {
            check(seed, now, &key, value, there);
            assert!(value.leased_until(now).is_some() || !value.is_stale(), "seed {seed}: {lease:?}");
            let known = there.unwrap().clone();
            if !known.is_placeholder(now) {
                let expires = lease.touch.resolve(known.expires);
                keep(model, Known { expires, ..known });
            }
        }
        (Action::Recache(recache), Outcome::Stored { old }) => {
            if let Some(old) = old {
                check(seed, now, &key, old, there);
            }
            let mut new = Known::new(
                recache.value,
                recache.flags,
                recache.expiry.resolve(old.and_then(|old| old.expires())),
            );
            new.mark = (recache.version != 0).then(|| KnownMark::version(recache.version));
            let placeholder = there.filter(|there| there.is_placeholder(now)).and_then(|there| there.mark);
            let found = old.map(|old| old.version());
            let holds = match recache.condition {
                Condition::Always => true,
                Condition::Absent => old.is_none(),
                Condition::Present => old.is_some(),
                Condition::Version(version) => {
                    found.or(placeholder.map(|mark| mark.version)) == Some(version)
                }
            };
            if !holds {
                let old =
                    old.filter(|_| recache.or_stale).unwrap_or_else(|| panic!("seed {seed}: {recache:?}"));
                let known = there.unwrap();
                let mark = KnownMark { stale: true, ..KnownMark::of(&old, known) };
                let version = if recache.version == 0 { mark.version } else { recache.version };
                new = Known { expires: known.expires, mark: Some(KnownMark { version, ..mark }), ..new };
            }
            keep(model, new);
        }
        (Action::Recache(recache), Outcome::NotStored { found: Some(found) }) => {
            check(seed, now, &key, found, there);
            match recache.condition {
                Condition::Absent => assert!(!recache.or_stale, "seed {seed}"),
                Condition::Version(v) => assert!(found.version() != v && !recache.or_stale, "seed {seed}"),
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        (Action::Recache(recache), Outcome::NotStored { found: None }) => {
            assert!(matches!(recache.condition, Condition::Present | Condition::Version(_)), "seed {seed}");
            if there.is_some_and(|there| !there.is_placeholder(now)) {
                model.remove(&key);
            }
        }
        (Action::Invalidate(invalidate), Outcome::Touched(value)) => {
            check(seed, now, &key, value, there);
            let known = there.unwrap();
            let mut mark = KnownMark::of(value, known);
            if invalidate.version != 0 {
                mark.version = invalidate.version;
            }
            if invalidate.stale {
                mark = KnownMark { stale: true, ..KnownMark::version(mark.version) };
            }
            let expires = invalidate.expiry.resolve(known.expires);
            let mut new = Known { expires, mark: Some(mark), ..known.clone() };
            if let Some(flags) = invalidate.clear {
                new = Known { value: Vec::new(), flags, ..new };
            }
            keep(model, new);
        }
        (Action::Invalidate(invalidate), Outcome::NotStored { found: Some(found) }) => {
            check(seed, now, &key, found, there);
            assert!(matches!(invalidate.condition, Condition::Absent | Condition::Version(_)), "seed {seed}");
        }
        (Action::Invalidate(invalidate), Outcome::Miss) => {
            let placeholder = there.is_some_and(|there| there.is_placeholder(now));
            if !placeholder || removes(invalidate.condition, there) {
                model.remove(&key);
            }
        }
        other => panic!("seed {seed}: {other:?}"),
    }
}

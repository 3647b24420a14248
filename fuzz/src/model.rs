//! The engine beside a map. The engine may forget; it must never lie.
//!
//! What a hit returns was the last thing written under that key, with its flags and expiry, and had not expired. A key
//! that the engine says is absent is forgotten for good, unless it had expired: if the clock then runs backwards, it may
//! live on. Where the engine may either have forgotten a key or not, and the answer is the same, what is unknown is
//! said to be unknown.

use std::collections::HashMap;

use crabcache_engine::{Action, Condition, Count, Delta, End, Expiry, Millis, Op, Outcome, Put, StoreError};
use crabcache_engine::{Invalidate, Lease, Recache, TouchCondition, Value};

/// What is known of a key that may be there.
#[derive(Clone, Debug)]
struct Known {
    value: Vec<u8>,
    /// Flags and expiry; none where they depend on whether the engine had forgotten the key.
    meta: Option<(u32, Option<Millis>)>,
    /// What leases have left on it.
    mark: Option<Mark>,
}

/// A version of its own, and a lease; one that ended at moment 0 where nobody won any.
#[derive(Clone, Copy, Debug)]
struct Mark {
    version: u64,
    stale: bool,
    until: Millis,
    placeholder: bool,
}

/// All that the engine has been told.
#[derive(Clone, Debug, Default)]
pub struct Model {
    known: HashMap<Vec<u8>, Known>,
}

impl Known {
    fn new(value: &[u8], flags: u32, expires: Option<Millis>) -> Self {
        Self { value: value.to_vec(), meta: Some((flags, expires)), mark: None }
    }

    /// The same as before, but when it expires.
    fn of(value: &Value<'_>, expires: Option<Millis>, mark: Option<Mark>) -> Self {
        Self { mark, ..Self::new(value.bytes(), value.flags(), expires) }
    }

    fn placeholder(version: u64, until: Millis) -> Self {
        let mark = Mark { until, placeholder: true, ..Mark::version(version) };
        Self { mark: Some(mark), ..Self::new(&[], 0, Some(Millis(0))) }
    }

    fn has_expired(&self, now: Millis) -> bool {
        matches!(self.meta, Some((_, Some(at))) if at <= now)
    }

    /// Whether it may have: where two histories lead to its value, nobody knows which expiry it has.
    fn may_have_expired(&self, now: Millis) -> bool {
        self.meta.is_none() || self.has_expired(now)
    }
}

impl Mark {
    fn version(version: u64) -> Self {
        Self { version, stale: false, until: Millis(0), placeholder: false }
    }
}

impl Model {
    /// Checks an outcome, and takes over what it changes.
    ///
    /// # Panics
    /// If the engine lies.
    pub fn apply(&mut self, now: Millis, op: &Op<'_>, outcome: &Outcome<'_>) {
        let key = op.key;
        match (op.action, outcome) {
            (_, Outcome::Refused(StoreError::TooLarge { .. })) => {
                assert!(!matches!(op.action, Action::Get | Action::Peek), "{op:?}: {outcome:?}");
            }
            (Action::Get | Action::Peek, Outcome::Hit(value)) => self.check(now, key, value),
            (Action::Get | Action::Peek | Action::Touch(..), Outcome::Miss)
            | (
                Action::Concat { create: false, .. } | Action::Count(Count { initial: None, .. }),
                Outcome::Miss,
            ) => {
                self.forget(now, key);
            }
            (Action::Put(put), _) => self.put(now, key, &put, outcome),
            (Action::Lease(lease), _) => self.lease(now, key, &lease, outcome),
            (Action::Recache(recache), _) => self.recache(now, key, &recache, outcome),
            (Action::Invalidate(invalidate), _) => self.invalidate(now, key, &invalidate, outcome),
            (Action::Delete(condition), Outcome::Miss) => self.end_lease(now, key, condition),
            (Action::Delete(condition), Outcome::Removed(value)) => {
                self.check(now, key, value);
                self.check_condition(condition, Some(value), true);
                self.known.remove(key);
            }
            (Action::Delete(condition), Outcome::NotStored { found: Some(value) }) => {
                self.check(now, key, value);
                self.check_condition(condition, Some(value), false);
            }
            (Action::Touch(expiry, condition), Outcome::Touched(value)) => {
                self.check(now, key, value);
                let expires = resolve(expiry, value.expires());
                assert!(touch_holds(condition, value.expires(), expires), "{op:?}: {outcome:?}");
                let mark = self.known[key].mark;
                self.known.insert(key.to_vec(), Known::of(value, expires, mark));
            }
            (Action::Touch(expiry, condition), Outcome::Kept(value)) => {
                self.check(now, key, value);
                let expires = resolve(expiry, value.expires());
                assert!(!touch_holds(condition, value.expires(), expires), "{op:?}: {outcome:?}");
            }
            (Action::Concat { bytes, end, create }, Outcome::Length(len)) => {
                self.concat(now, key, bytes, end, create, *len);
            }
            (Action::Count(count), Outcome::Number(number)) => self.count(now, key, &count, *number),
            (Action::Count(count), Outcome::Refused(error)) => {
                let known = self.live(now, key).unwrap_or_else(|| panic!("{op:?}: {outcome:?}"));
                assert_eq!(change(count.delta, &known.value), Err(*error), "{op:?} on {known:?}");
            }
            _ => panic!("{op:?}: {outcome:?}"),
        }
    }

    /// Checks a value that was found.
    ///
    /// # Panics
    /// If it is not what was last written.
    pub fn check(&self, now: Millis, key: &[u8], value: &Value<'_>) {
        let known =
            self.known.get(key).unwrap_or_else(|| panic!("{key:?} is there and should not be: {value:?}"));
        assert_eq!(value.bytes(), known.value, "{key:?}");
        if let Some(meta) = known.meta {
            assert_eq!((value.flags(), value.expires()), meta, "{key:?}");
        }
        let lease = known.mark.filter(|mark| mark.until > now);
        let placeholder = lease.is_some_and(|mark| mark.placeholder);
        assert_eq!(value.is_placeholder(now), placeholder, "{key:?}");
        assert_eq!(value.leased_until(now), lease.map(|mark| mark.until), "{key:?}");
        assert_eq!(value.is_stale(), known.mark.is_some_and(|mark| mark.stale), "{key:?}");
        if let Some(mark) = known.mark {
            assert_eq!(value.version(), mark.version, "{key:?}");
        }
        assert!(placeholder || value.expires().is_none_or(|at| at > now), "{key:?} has expired: {value:?}");
    }

    /// Everything was removed.
    pub fn clear(&mut self) {
        self.known.clear();
    }

    /// How many keys may be there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no key may be there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The engine says that the key is absent. What may only have expired can still take memory, and be there again if the clock is
    /// set back.
    fn forget(&mut self, now: Millis, key: &[u8]) {
        if self.known.get(key).is_some_and(|known| !known.may_have_expired(now)) {
            self.known.remove(key);
        }
    }

    /// What the engine may find.
    fn live(&self, now: Millis, key: &[u8]) -> Option<&Known> {
        self.known.get(key).filter(|known| !known.has_expired(now))
    }

    /// What holds a lease on an absent key.
    fn placeholder(&self, now: Millis, key: &[u8]) -> Option<Mark> {
        self.known.get(key).and_then(|known| known.mark).filter(|mark| mark.placeholder && mark.until > now)
    }

    /// The engine says that the key is absent, after it removed what held a lease if the condition let it.
    fn end_lease(&mut self, now: Millis, key: &[u8], condition: Condition) {
        self.forget(now, key);
        let ends = self.placeholder(now, key).is_some_and(|mark| match condition {
            Condition::Always | Condition::Present => true,
            Condition::Absent => false,
            Condition::Version(version) => mark.version == version,
        });
        if ends {
            self.known.remove(key);
        }
    }

    fn lease(&mut self, now: Millis, key: &[u8], lease: &Lease, outcome: &Outcome<'_>) {
        let forget = |model: &mut Self| {
            model.forget(now, key);
            if model.placeholder(now, key).is_some() {
                model.known.remove(key);
            }
        };
        match outcome {
            Outcome::Miss => {
                assert!(lease.vivify <= now, "{lease:?}");
                forget(self);
            }
            Outcome::Won { value: None } => {
                assert!(lease.vivify > now, "{lease:?}");
                forget(self);
                self.known.insert(key.to_vec(), Known::placeholder(lease.version, lease.vivify));
            }
            Outcome::Won { value: Some(value) } => {
                self.check(now, key, value);
                let expires = resolve(lease.touch, value.expires());
                let due = if lease.touch_first { expires } else { value.expires() };
                let wins = value.is_stale() || due.is_some_and(|at| at < lease.recache);
                assert!(wins && value.leased_until(now).is_none(), "{lease:?}: {value:?}");
                let mark =
                    Mark { stale: value.is_stale(), until: lease.until, ..Mark::version(value.version()) };
                self.known.insert(key.to_vec(), Known::of(value, expires, Some(mark)));
            }
            Outcome::Hit(value) => {
                self.check(now, key, value);
                assert!(value.leased_until(now).is_some() || !value.is_stale(), "{lease:?}: {value:?}");
                if !value.is_placeholder(now) {
                    let mark = self.known[key].mark;
                    let expires = resolve(lease.touch, value.expires());
                    self.known.insert(key.to_vec(), Known::of(value, expires, mark));
                }
            }
            _ => panic!("{lease:?}: {outcome:?}"),
        }
    }

    fn recache(&mut self, now: Millis, key: &[u8], recache: &Recache<'_>, outcome: &Outcome<'_>) {
        let (value, flags, expiry, condition) =
            (recache.value, recache.flags, recache.expiry, recache.condition);
        let put = Put { value, flags, expiry, condition };
        let held = matches!((condition, outcome), (Condition::Absent, Outcome::Stored { old: None }))
            || !matches!(condition, Condition::Absent | Condition::Version(_));
        match outcome {
            Outcome::Stored { old: Some(old) } if !held && condition != Condition::Version(old.version()) => {
                self.check(now, key, old);
                assert!(recache.or_stale, "{recache:?}: {outcome:?}");
                let until = self.known[key].mark.map_or(Millis(0), |mark| mark.until);
                let version = if recache.version == 0 { old.version() } else { recache.version };
                let mark = Some(Mark { stale: true, until, ..Mark::version(version) });
                self.known.insert(key.to_vec(), Known { mark, ..Known::new(value, flags, old.expires()) });
            }
            Outcome::NotStored { found: Some(_) } => {
                assert!(!recache.or_stale, "{recache:?}: {outcome:?}");
                self.put(now, key, &put, outcome);
            }
            _ => {
                self.put(now, key, &put, outcome);
                if matches!(outcome, Outcome::Stored { .. })
                    && recache.version != 0
                    && let Some(known) = self.known.get_mut(key)
                {
                    known.mark = Some(Mark::version(recache.version));
                }
            }
        }
    }

    fn invalidate(&mut self, now: Millis, key: &[u8], invalidate: &Invalidate, outcome: &Outcome<'_>) {
        match outcome {
            Outcome::Miss => self.end_lease(now, key, invalidate.condition),
            Outcome::NotStored { found: Some(value) } => {
                self.check(now, key, value);
                self.check_condition(invalidate.condition, Some(value), false);
            }
            Outcome::Touched(value) => {
                self.check(now, key, value);
                self.check_condition(invalidate.condition, Some(value), true);
                let version = if invalidate.version == 0 { value.version() } else { invalidate.version };
                let old = self.known[key].mark.filter(|_| !invalidate.stale);
                let mark = old.map_or(Mark { stale: invalidate.stale, ..Mark::version(version) }, |old| {
                    Mark { version, ..old }
                });
                let expires = resolve(invalidate.expiry, value.expires());
                let known = match invalidate.clear {
                    Some(flags) => Known { mark: Some(mark), ..Known::new(&[], flags, expires) },
                    None => Known::of(value, expires, Some(mark)),
                };
                self.known.insert(key.to_vec(), known);
            }
            _ => panic!("{invalidate:?}: {outcome:?}"),
        }
    }

    fn check_condition(&self, condition: Condition, found: Option<&Value<'_>>, held: bool) {
        let holds = match condition {
            Condition::Always => true,
            Condition::Absent => found.is_none(),
            Condition::Present => found.is_some(),
            Condition::Version(version) => found.is_some_and(|value| value.version() == version),
        };
        assert_eq!(holds, held, "{condition:?} on {found:?}");
    }

    fn put(&mut self, now: Millis, key: &[u8], put: &Put<'_>, outcome: &Outcome<'_>) {
        let (found, stored) = match outcome {
            Outcome::Stored { old } => (old.as_ref(), true),
            Outcome::NotStored { found } => (found.as_ref(), false),
            _ => panic!("{put:?}: {outcome:?}"),
        };
        match found {
            Some(value) => self.check(now, key, value),
            None => self.forget(now, key),
        }
        match (put.condition, self.placeholder(now, key)) {
            // Who won the lease on an absent key may store; where it may not, the lease was forgotten, too.
            (Condition::Version(version), Some(mark)) if found.is_none() && mark.version == version => {
                if !stored {
                    self.known.remove(key);
                }
            }
            _ => self.check_condition(put.condition, found, stored),
        }
        if stored {
            let expires = resolve(put.expiry, found.and_then(Value::expires));
            self.known.insert(key.to_vec(), Known::new(put.value, put.flags, expires));
        }
    }

    fn concat(&mut self, now: Millis, key: &[u8], bytes: &[u8], end: End, create: bool, len: usize) {
        let old = self.live(now, key).filter(|known| known.value.len() + bytes.len() == len).cloned();
        let anew = create && bytes.len() == len;
        let known = match old {
            Some(mut known) => {
                let at = if end == End::Front { 0 } else { known.value.len() };
                known.value.splice(at..at, bytes.iter().copied());
                Known { meta: known.meta.filter(|&meta| !anew || meta == (0, None)), mark: None, ..known }
            }
            None => {
                assert!(anew, "{key:?}: {len} bytes after {bytes:?} was added to {:?}", self.known.get(key));
                Known::new(bytes, 0, None)
            }
        };
        self.known.insert(key.to_vec(), known);
    }

    fn count(&mut self, now: Millis, key: &[u8], count: &Count, number: i128) {
        let value = number.to_string();
        let old = self.live(now, key).filter(|known| change(count.delta, &known.value) == Ok(number));
        let old = old.map(|known| known.meta.map(|(flags, expires)| (flags, resolve(count.expiry, expires))));
        let initial = count.initial.map(|initial| initial.clamp(i64::MIN.into(), u64::MAX.into()));
        let anew = (initial == Some(number)).then(|| (0, resolve(count.expiry, None)));
        let meta = match (old, anew) {
            (Some(old), None) => old,
            (None, Some(anew)) => Some(anew),
            (Some(old), Some(anew)) => old.filter(|&old| old == anew),
            (None, None) => panic!("{key:?}: {count:?} made {:?} {number}", self.known.get(key)),
        };
        self.known.insert(key.to_vec(), Known { value: value.into_bytes(), meta, mark: None });
    }
}

fn resolve(expiry: Expiry, old: Option<Millis>) -> Option<Millis> {
    match expiry {
        Expiry::Never => None,
        Expiry::At(at) => Some(at),
        Expiry::Keep => old,
    }
}

fn touch_holds(condition: TouchCondition, old: Option<Millis>, new: Option<Millis>) -> bool {
    match condition {
        TouchCondition::Always => true,
        TouchCondition::Permanent => old.is_none(),
        TouchCondition::Expiring => old.is_some(),
        TouchCondition::Later => old.is_some_and(|old| new.is_none_or(|new| new > old)),
        TouchCondition::Earlier => new.is_some_and(|new| old.is_none_or(|old| new < old)),
    }
}

/// What a counter becomes, by the words of `Delta` and not by its code.
fn change(delta: Delta, old: &[u8]) -> Result<i128, StoreError> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| StoreError::NotANumber);
    if let Delta::Signed(delta) = delta {
        let text = text(old)?;
        let number: i64 = text.parse().map_err(|_| StoreError::NotANumber)?;
        if number.to_string() != text {
            return Err(StoreError::NotANumber);
        }
        return number.checked_add(delta).map(i128::from).ok_or(StoreError::Overflow);
    }
    let is_space = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0B;
    let start = old.iter().position(|&byte| !is_space(byte)).unwrap_or(old.len());
    let word = old[start..].split(|&byte| is_space(byte) || byte == 0).next().unwrap_or_default();
    if start >= 256 || word.strip_prefix(b"+").unwrap_or(word).len() > 256 {
        return Err(StoreError::NotANumber);
    }
    // This, too, reads a plus and zeros.
    let number: u64 = text(word)?.parse().map_err(|_| StoreError::NotANumber)?;
    Ok(i128::from(match delta {
        Delta::Up(delta) => number.wrapping_add(delta),
        Delta::Down(delta) => number.saturating_sub(delta),
        Delta::Signed(_) => unreachable!("handled above"),
    }))
}

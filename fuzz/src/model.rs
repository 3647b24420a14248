//! The engine beside a map. The engine may forget; it must never lie.
//!
//! What a hit returns was the last thing written under that key, with its flags and expiry, and had not expired. A key
//! that the engine says is absent is forgotten for good, unless it had expired: if the clock then runs backwards, it may
//! live on. Where the engine may either have forgotten a key or not, and the answer is the same, what is unknown is
//! said to be unknown.

use std::collections::HashMap;

use crabcache_engine::{Action, Condition, Count, Delta, End, Expiry, Millis, Op, Outcome, Put, StoreError};
use crabcache_engine::{TouchCondition, Value};

/// What is known of a key that may be there.
#[derive(Clone, Debug)]
struct Known {
    value: Vec<u8>,
    /// Flags and expiry; none where they depend on whether the engine had forgotten the key.
    meta: Option<(u32, Option<Millis>)>,
}

/// All that the engine has been told.
#[derive(Clone, Debug, Default)]
pub struct Model {
    known: HashMap<Vec<u8>, Known>,
}

impl Known {
    fn new(value: &[u8], flags: u32, expires: Option<Millis>) -> Self {
        Self { value: value.to_vec(), meta: Some((flags, expires)) }
    }

    fn has_expired(&self, now: Millis) -> bool {
        matches!(self.meta, Some((_, Some(at))) if at <= now)
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
            (Action::Get | Action::Peek | Action::Delete(_) | Action::Touch(..), Outcome::Miss)
            | (
                Action::Concat { create: false, .. } | Action::Count(Count { initial: None, .. }),
                Outcome::Miss,
            ) => {
                self.forget(now, key);
            }
            (Action::Put(put), _) => self.put(now, key, &put, outcome),
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
                self.known.insert(key.to_vec(), Known::new(value.bytes(), value.flags(), expires));
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
        assert!(value.expires().is_none_or(|at| at > now), "{key:?} has expired: {value:?}");
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

    /// The engine says that the key is absent.
    fn forget(&mut self, now: Millis, key: &[u8]) {
        if self.known.get(key).is_some_and(|known| !known.has_expired(now)) {
            self.known.remove(key);
        }
    }

    /// What the engine may find.
    fn live(&self, now: Millis, key: &[u8]) -> Option<&Known> {
        self.known.get(key).filter(|known| !known.has_expired(now))
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
        self.check_condition(put.condition, found, stored);
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
                Known { meta: known.meta.filter(|&meta| !anew || meta == (0, None)), ..known }
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
        self.known.insert(key.to_vec(), Known { value: value.into_bytes(), meta });
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
    let text = std::str::from_utf8(old).map_err(|_| StoreError::NotANumber)?;
    if let Delta::Signed(delta) = delta {
        let number: i64 = text.parse().map_err(|_| StoreError::NotANumber)?;
        if number.to_string() != text {
            return Err(StoreError::NotANumber);
        }
        return number.checked_add(delta).map(i128::from).ok_or(StoreError::Overflow);
    }
    let digits = text.trim_ascii_end();
    let is_number = (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number).ok_or(StoreError::NotANumber)?;
    Ok(i128::from(match delta {
        Delta::Up(delta) => number.wrapping_add(delta),
        Delta::Down(delta) => number.saturating_sub(delta),
        Delta::Signed(_) => unreachable!("handled above"),
    }))
}

//! The vocabulary of the engine: an [`Op`] says what to do with one key, an [`Outcome`] what came of it.
//!
//! Everything that a cache protocol offers for single keys is one of these actions, so that the batch has one shape
//! and each rule (expiry, conditions, what a write keeps) is written once, in `ops/`.

use crate::error::StoreError;
use crate::guard::Value;
use crate::time::{Expiry, Millis};

/// One operation of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Op<'a> {
    /// Any bytes, from none to [`KEY_LEN_MAX`](crate::KEY_LEN_MAX) of them.
    pub key: &'a [u8],
    /// What to do with the key.
    pub action: Action<'a>,
}

/// What to do with a key.
#[derive(Clone, Copy, Debug)]
pub enum Action<'a> {
    /// Read it, and mark it as used. Answers [`Outcome::Hit`] or [`Outcome::Miss`].
    Get,
    /// Read it without marking it as used: for statistics, dumps and tools. Answers as [`Action::Get`].
    Peek,
    /// Store a value. Answers [`Outcome::Stored`] or [`Outcome::NotStored`].
    Put(Put<'a>),
    /// Remove it if the condition holds. Answers [`Outcome::Removed`], [`Outcome::NotStored`] where the condition
    /// did not hold, or [`Outcome::Miss`].
    Delete(Condition),
    /// Change when it expires, if the condition holds. Answers [`Outcome::Touched`] with the value,
    /// [`Outcome::Kept`] where the condition did not hold, or [`Outcome::Miss`]. A moment that has passed removes it.
    Touch(Expiry, TouchCondition),
    /// Add bytes at one end of the value. Answers [`Outcome::Length`], or [`Outcome::Miss`] where the key is absent
    /// and `create` is false. Flags and expiry are kept.
    Concat {
        /// The bytes to add.
        bytes: &'a [u8],
        /// At which end.
        end: End,
        /// Whether an absent key counts as an empty value.
        create: bool,
    },
    /// Read the value as a decimal number, change it, store it again. Answers [`Outcome::Number`], [`Outcome::Miss`]
    /// where the key is absent and `initial` is none, or a refusal.
    Count(Count),
    /// Read it, and win the lease on it if it is to be won. Answers [`Outcome::Hit`], [`Outcome::Won`] or
    /// [`Outcome::Miss`].
    Lease(Lease),
    /// Store a value that was leased, or one with a version of the caller's. Answers as [`Action::Put`].
    Recache(Recache<'a>),
    /// Mark the value as stale, so that the next [`Lease`] on it is won, or leave nothing of it. Answers
    /// [`Outcome::Touched`] with the value before, [`Outcome::NotStored`] where the condition did not hold, or
    /// [`Outcome::Miss`]. A placeholder is removed, and answers Miss: whoever holds the lease cannot use it any more.
    Invalidate(Invalidate),
}

/// The value to store, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Put<'a> {
    /// The bytes of the value.
    pub value: &'a [u8],
    /// An opaque number that is given back with the value (memcached's client flags). 0 costs no memory.
    pub flags: u32,
    /// When the item expires.
    pub expiry: Expiry,
    /// When to store at all.
    pub condition: Condition,
}

/// A read that may win a lease: then the caller is the one to store the value anew, and should do so with the condition
/// [`Condition::Version`], so that it does nothing once somebody else has changed or removed the key.
///
/// A lease can be won on a stale value ([`Invalidate`]), on one that expires soon, and where there is no value, if nobody
/// holds one already. Where there is none a placeholder holds the lease. It is no value: only [`Action::Lease`],
/// [`Condition::Version`] and what removes keys know of it, to everybody else the key is absent.
///
/// ```
/// # use crabcache_engine::{Action, Cache, Condition, Config, Lease, Millis, Op, Outcome, Put};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let (now, end) = (Millis(0), Millis(5000));
/// let lease = |version| Action::Lease(Lease { vivify: end, until: end, version, ..Lease::default() });
/// // Nothing is there: the first one is to store it, the second one has to wait.
/// assert!(matches!(handle.apply(now, &Op { key: b"k", action: lease(1) }), Outcome::Won { value: None }));
/// let second = handle.apply(now, &Op { key: b"k", action: lease(2) });
/// assert!(matches!(second, Outcome::Hit(value) if value.is_placeholder(now)));
/// let put = Put { value: b"v", condition: Condition::Version(1), ..Put::default() };
/// assert!(matches!(handle.apply(now, &Op { key: b"k", action: Action::Put(put) }), Outcome::Stored { .. }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Until when a lease on an absent key lasts. A moment that has passed makes no placeholder: an absent key is a miss.
    pub vivify: Millis,
    /// The version of the placeholder: a number that the caller never gives twice.
    pub version: u64,
    /// A value that expires before this moment is to be stored anew. 0: only a stale one is.
    pub recache: Millis,
    /// Until when a lease on a value that is there lasts; after that the next one can win it.
    pub until: Millis,
    /// Changes when the value expires.
    pub touch: Expiry,
    /// What `recache` is compared with: the moment after that change, or the one before.
    pub touch_first: bool,
    /// Read it without marking it as used.
    pub peek: bool,
}

/// A value to store, as [`Put`], with a version of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recache<'a> {
    /// The bytes of the value.
    pub value: &'a [u8],
    /// As in [`Put`].
    pub flags: u32,
    /// When the item expires.
    pub expiry: Expiry,
    /// When to store at all.
    pub condition: Condition,
    /// What [`Value::version`] is to be: at the cost of 24 bytes of the item. 0: computed, as for any other.
    pub version: u64,
    /// Where another version is there than the one in the condition, store the value all the same, but as a stale one that
    /// expires when that does, under the lease that is on it: it is better than nothing, and somebody is to store a new one.
    pub or_stale: bool,
}

/// What becomes of a value that is not right any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidate {
    /// Mark it as stale; a lease on it ends. Otherwise it stays what it was.
    pub stale: bool,
    /// Leave an empty value with these flags.
    pub clear: Option<u32>,
    /// When the item expires.
    pub expiry: Expiry,
    /// When to do it at all.
    pub condition: Condition,
    /// Its version from now on: a number that the caller never gives twice. 0: the one that it has.
    pub version: u64,
}

/// Whether a write happens, by what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    #[default]
    Always,
    /// Only if the key is absent.
    Absent,
    /// Only if the key is present.
    Present,
    /// Only if the key is present and its value's [`Value::version`] is this one.
    Version(u64),
}

/// Whether [`Action::Touch`] happens, by the expiry it finds. An item that never expires counts as expiring
/// infinitely late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TouchCondition {
    /// In any case.
    #[default]
    Always,
    /// Only if the item never expires.
    Permanent,
    /// Only if the item expires at some time.
    Expiring,
    /// Only if the new moment is later than the old one.
    Later,
    /// Only if the new moment is earlier than the old one.
    Earlier,
}

/// An end of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Before the first byte (prepend).
    Front,
    /// After the last byte (append).
    Back,
}

/// A change to a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// What to add or subtract.
    pub delta: Delta,
    /// The value that an absent key is given, unchanged by `delta`; none makes an absent key a miss.
    pub initial: Option<i128>,
    /// When the item expires. [`Expiry::Keep`] is what counters usually want.
    pub expiry: Expiry,
}

/// How a counter reads its value, and what it adds.
///
/// memcached's numbers may have zeros in front of them, and white space and a plus before those; behind white space or a NUL
/// anything may follow. One with more than 256 digits is none, nor is one with as many bytes of white space before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Signed 64-bit numbers, as in Redis: overflow is refused, leading zeros, signs and spaces are not numbers.
    Signed(i64),
    /// Unsigned 64-bit numbers, as memcached's `incr`: wraps around at 2^64.
    Up(u64),
    /// Unsigned 64-bit numbers, as memcached's `decr`: stops at 0.
    Down(u64),
}

/// What came of an [`Op`]. Values borrow the arena for as long as the answer is being looked at.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'v> {
    /// The key is present; here is its value.
    Hit(Value<'v>),
    /// The lease was won.
    Won {
        /// The value that is there, if there is one: as it was before the lease.
        value: Option<Value<'v>>,
    },
    /// The key is absent.
    Miss,
    /// The value was stored. `old` is what it replaced.
    Stored {
        /// The value before, if there was one.
        old: Option<Value<'v>>,
    },
    /// A condition did not hold; nothing was changed.
    NotStored {
        /// The value that is there, if there is one.
        found: Option<Value<'v>>,
    },
    /// The key was removed; this was its value.
    Removed(Value<'v>),
    /// The expiry was changed.
    Touched(Value<'v>),
    /// The condition on the expiry did not hold.
    Kept(Value<'v>),
    /// The length of the value, in bytes, after [`Action::Concat`].
    Length(usize),
    /// The counter after the change.
    Number(i128),
    /// Nothing was changed, for this reason. Never [`StoreError::Pressure`] where
    /// [`Handle::execute`](crate::Handle::execute) reports it: a batch stops before such an operation.
    Refused(StoreError),
}

impl Default for Lease {
    /// A read that wins the lease on a stale value, for ever, and changes nothing else.
    fn default() -> Self {
        Self {
            vivify: Millis(0),
            version: 0,
            recache: Millis(0),
            until: Millis(u64::MAX),
            touch: Expiry::Keep,
            touch_first: false,
            peek: false,
        }
    }
}

impl Default for Invalidate {
    /// Marks a value as stale, in any case.
    fn default() -> Self {
        Self { stale: true, clear: None, expiry: Expiry::Keep, condition: Condition::Always, version: 0 }
    }
}

impl Op<'_> {
    /// An operation that reads `key`.
    #[must_use]
    pub const fn get(key: &[u8]) -> Op<'_> {
        Op { key, action: Action::Get }
    }

    /// An operation that stores `value` under `key`, for ever and in any case.
    #[must_use]
    pub const fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Op<'a> {
        Op {
            key,
            action: Action::Put(Put { value, flags: 0, expiry: Expiry::Never, condition: Condition::Always }),
        }
    }

    /// An operation that removes `key`.
    #[must_use]
    pub const fn delete(key: &[u8]) -> Op<'_> {
        Op { key, action: Action::Delete(Condition::Always) }
    }
}

impl Expiry {
    /// The moment itself, given the one that the item being replaced has. `None` means never.
    pub(crate) fn resolve(self, old: Option<Millis>) -> Option<Millis> {
        match self {
            Self::Never => None,
            Self::At(at) => Some(at),
            Self::Keep => old,
        }
    }
}

/// Each operation of a batch is copied: nothing that is rare may make them larger.
const _: () = assert!(size_of::<Op<'_>>() <= 96);

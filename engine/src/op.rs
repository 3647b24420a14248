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

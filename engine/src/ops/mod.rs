//! What each operation does with what it finds. The rules about expiry, conditions, and what a write keeps stand here,
//! once for every protocol.

mod counter;
mod lease;
pub(crate) mod read;
pub(crate) mod store;
mod write;

use crate::KEY_LEN_MAX;
use crate::arch::{Kernels, Work};
use crate::error::StoreError;
use crate::index::Lookup;
use crate::local::Local;
use crate::op::{Action, Condition, Op, Outcome};
use crate::shared::{KeyHash, Shard};
use crate::time::Millis;

/// The key of an operation, and what is known about it before it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'c, 'k> {
    pub(crate) shard: Shard<'c>,
    pub(crate) hash: KeyHash,
    pub(crate) key: &'k [u8],
    pub(crate) now: Millis,
    /// What the batch saw when it prefetched. Still to be verified.
    pub(crate) hint: Option<Lookup>,
}

/// Executes one operation. Out of line, so that the loops over batches stay small: entered through the SIMD level again,
/// since a kernel is only inlined into a function that was compiled for it.
#[inline(always)]
pub(crate) fn execute<'c>(local: &mut Local<'c>, target: &Target<'c, '_>, op: &Op<'_>) -> Outcome<'c> {
    local.run(|local| Carry { local, target, op })
}

/// One operation.
struct Carry<'l, 'c, 't, 'k, 'o> {
    local: &'l mut Local<'c>,
    target: &'t Target<'c, 'k>,
    op: &'o Op<'o>,
}

impl<'c> Work for Carry<'_, 'c, '_, '_, '_> {
    type Output = Outcome<'c>;

    #[inline(always)]
    fn run<K: Kernels>(self) -> Outcome<'c> {
        let Self { local, target, op } = self;
        match op.action {
            Action::Get => read::get::<K>(local, target).map_or(Outcome::Miss, Outcome::Hit),
            Action::Peek => read::peek::<K>(local, target).map_or(Outcome::Miss, Outcome::Hit),
            Action::Put(ref put) => store::put::<K>(local, target, put),
            Action::Delete(condition) => store::delete::<K>(local, target, condition),
            Action::Touch(expiry, condition) => store::touch::<K>(local, target, expiry, condition),
            Action::Concat { bytes, end, create } => store::concat::<K>(local, target, bytes, end, create),
            Action::Count(ref count) => counter::count::<K>(local, target, count),
            Action::Lease(ref lease) => lease::lease::<K>(local, target, lease),
            Action::Recache(ref recache) => lease::recache::<K>(local, target, recache),
            Action::Invalidate(ref invalidate) => lease::invalidate::<K>(local, target, invalidate),
        }
    }
}

/// Stores the item in a block that was filled beforehand.
pub(crate) struct Place<'l, 'c, 't, 'k> {
    pub(crate) local: &'l mut Local<'c>,
    pub(crate) target: &'t Target<'c, 'k>,
    pub(crate) at: u32,
    pub(crate) condition: Condition,
}

impl<'c> Work for Place<'_, 'c, '_, '_> {
    type Output = Outcome<'c>;

    #[inline(always)]
    fn run<K: Kernels>(self) -> Outcome<'c> {
        store::place::<K>(self.local, self.target, self.at, self.condition)
    }
}

/// A key that no item can have.
#[cold]
pub(crate) fn refuse_key(op: &Op<'_>) -> Outcome<'static> {
    match op.action {
        Action::Get
        | Action::Peek
        | Action::Delete(_)
        | Action::Touch(..)
        | Action::Lease(_)
        | Action::Invalidate(_) => Outcome::Miss,
        _ => Outcome::Refused(StoreError::KeyTooLong { len: op.key.len(), max: KEY_LEN_MAX }),
    }
}

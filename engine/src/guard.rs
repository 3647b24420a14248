//! What a reader gets: bytes in the arena, borrowed for as long as they cannot be reused.

use crate::time::Millis;

/// A value in the arena, read in place: no byte of it has been copied.
#[derive(Clone, Copy, Debug)]
pub struct Value<'v> {
    pub(crate) bytes: &'v [u8],
    pub(crate) flags: u32,
    pub(crate) expires: Option<Millis>,
    pub(crate) at: u64,
}

impl<'v> Value<'v> {
    /// The bytes of the value.
    #[must_use]
    pub const fn bytes(&self) -> &'v [u8] {
        self.bytes
    }

    /// The flags that were stored with it.
    #[must_use]
    pub const fn flags(&self) -> u32 {
        self.flags
    }

    /// When it expires; none if never.
    #[must_use]
    pub const fn expires(&self) -> Option<Millis> {
        self.expires
    }

    /// A number that changes whenever the item is written again: memcached's CAS unique.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.at
    }
}

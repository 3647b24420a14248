//! A reference to bytes in the arena that outlives a borrow, and is refused once the bytes may have been reused.

/// Where a value lies, and until when that is true.
///
/// The generation is the epoch that the handle had announced when it found the value. As long as a handle's announcement
/// is still that epoch, no block that could be found under it has been reused (`reclaim`, invariant I4); as soon as the
/// handle has been quiescent, the reference may be stale, and [`Handle::bytes`](crate::Handle::bytes) refuses it as soon as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaRef {
    offset: u64,
    len: u32,
    cache: u32,
    generation: u64,
}

impl ArenaRef {
    pub(crate) fn new(offset: u64, len: u32, cache: u32, generation: u64) -> Self {
        Self { offset, len, cache, generation }
    }

    /// Bytes from the first address in the region that is a multiple of 256.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes in the value.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the value is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of the cache in which it lies: no two of a process have the same.
    pub(crate) const fn cache(&self) -> u32 {
        self.cache
    }

    /// The epoch under which it was found.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }
}

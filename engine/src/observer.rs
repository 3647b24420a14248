//! Who wants to know of the items that a cache lets go by itself: to make room for others, or because they have expired.

use core::fmt;

/// Is told of items that go without anybody's asking ([`Handle::observe`](crate::Handle::observe)).
pub trait Observer: Sync + fmt::Debug {
    /// The item of this key was evicted, or had expired and was found. Called while the engine holds a lock: the cache must
    /// not be used from here.
    fn gone(&self, key: &[u8]);
}

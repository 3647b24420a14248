//! Room in the arena for a value that is still arriving: read from a socket straight to where it will stay.
//!
//! Until it is committed the block is raw: no reader can find it, and the hand passes it by. (After a commit that met Pressure
//! it is an item that is in no index: the hand finds it there as little as readers do.) It belongs to no handle and
//! holds up nobody's grace period, so it may wait for as long as the value takes to arrive.

use crate::arena::block::Header;
use crate::config::offset_of;
use crate::item::Item;
use crate::shared::{KeyHash, Shard, Shared};
use crate::time::Millis;
use core::fmt;

/// How often the shard's lock is asked for when an unused reservation is given back.
const RELEASE_TRIES: usize = if cfg!(all(test, loom)) { 1 } else { 1000 };

/// Bytes of value with which the last granule of an item has nothing of its key. Who reserves room for less loses a block where
/// a commit met Pressure and then nobody let go of the lock.
const ABANDONED_MIN: usize = 2 * crate::config::GRANULE;

/// Room for one item, with its key already in place. Fill [`value`](Self::value), then
/// [`commit`](crate::Handle::commit) it; dropped uncommitted, it gives its room back.
pub struct Reservation<'c> {
    shared: &'c Shared,
    hash: KeyHash,
    at: u32,
    granules: u32,
    /// What the block's header will be.
    header: Header,
    /// Whether the block is an item already, which the index does not have.
    is_item: bool,
}

impl<'c> Reservation<'c> {
    /// A raw block in which everything but the value has been written.
    pub(crate) fn new(shared: &'c Shared, hash: KeyHash, at: u32, granules: u32, header: Header) -> Self {
        let mut reservation = Self { shared, hash, at, granules, header, is_item: false };
        if !shared.region.is_filled() {
            reservation.value_bytes().fill(core::mem::MaybeUninit::new(0));
        }
        reservation
    }

    pub(crate) fn shard(&self) -> Shard<'c> {
        self.shared.shard_of(self.hash)
    }

    pub(crate) fn belongs_to(&self, shared: &Shared) -> bool {
        core::ptr::eq(self.shared, shared)
    }

    pub(crate) fn is_expired(&self, now: Millis) -> bool {
        self.item().is_expired(now)
    }

    pub(crate) fn hash(&self) -> KeyHash {
        self.hash
    }

    fn item(&self) -> Item<'c> {
        Item::at(self.shard(), self.at, self.header)
    }

    fn value_bytes(&mut self) -> &mut [core::mem::MaybeUninit<u8>] {
        let (from, len) = self.item().value_range();
        self.shard().part.private(offset_of(self.at) + from, len)
    }

    /// Where the value goes. Until it is written, it reads as zeros, or in a [filled region](crate::Cache::in_filled) as
    /// what was there before.
    pub fn value(&mut self) -> &mut [u8] {
        let (from, len) = self.item().value_range();
        self.shard().part.private_filled(offset_of(self.at) + from, len)
    }

    /// Changes when the item will expire, where that is known only after the value. False, and nothing changes, if it was
    /// reserved to stay for ever, which takes less room, or if a commit was tried already.
    pub fn set_expires(&mut self, at: Millis) -> bool {
        !self.is_item && self.item().set_expires(at)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.item().key()
    }

    /// Turns the block into an item, once, and says where it is.
    pub(crate) fn finish(&mut self) -> u32 {
        if !self.is_item {
            Item::finish(self.shard(), self.at, Header::raw(self.granules), self.header);
            self.is_item = true;
        }
        self.at
    }

    /// The block is in the index now: it is not ours any more.
    pub(crate) fn forget(self) {
        let _ = core::mem::ManuallyDrop::new(self);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        for _ in 0..RELEASE_TRIES {
            if let Some(locked) = self.shard().try_lock() {
                locked.release(self.at);
                return;
            }
        }
        // Whoever has the lock has not run for some hundred thousand loads.
        let (_, value_len) = self.item().value_range();
        if !self.is_item || value_len >= ABANDONED_MIN {
            self.shard().abandon(self.at, false);
        }
    }
}

impl fmt::Debug for Reservation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("len", &self.item().value_range().1).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::{Cache, Config, Millis};

    #[test]
    fn what_cannot_be_given_back_at_once_is_later() {
        let mut region = std::vec![0; 1 << 20];
        let cache =
            Cache::in_filled(&mut region, Config { shards: 1, ..Config::default() }).expect("large enough");
        let mut handle = cache.handle().expect("the first");
        let free = cache.stats().free_bytes;
        let rooms =
            [1000, 2000, 3000].map(|len| handle.reserve(Millis(0), b"key", len, 0, None).expect("room"));
        let locked = rooms[0].shard().try_lock().expect("nobody has it");
        drop(rooms);
        drop(locked);
        assert!(cache.stats().free_bytes < free - 6000);
        handle.sweep(Millis(0), 1);
        assert_eq!(cache.stats().free_bytes, free);
    }
}

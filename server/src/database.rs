//! Databases: one engine holds the keys of all sixteen, told apart by how they are stored.
//!
//! ```text
//! key                  a key of place 0 that does not begin with 0xFF: stored as it is
//! | 0xFF | n | key |   a key of place n; also one of place 0 that begins with 0xFF, with n = 0
//! ```
//! So an item of database 0 costs nothing, a usual request one comparison, and each stored key belongs to one place and is
//! one key there. Clients count databases, and keys are stored by places: `SWAPDB` swaps where two databases are. All
//! protocols without databases use database 0. How long a key may be is measured as it is stored.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

/// How many there are.
pub(crate) const DATABASES: usize = 16;

/// Begins the stored keys that are not stored as they are.
const ESCAPE: u8 = 0xFF;

/// Whether a key of place 0 is not stored as it is.
#[inline(always)]
pub(crate) fn begins_escaped(key: &[u8]) -> bool {
    matches!(key, [ESCAPE, ..])
}

/// Where a database's keys are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(u8);

impl Place {
    /// Below 16.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Whether a key of this place is not stored as it is.
    #[inline]
    pub(crate) fn escapes(self, key: &[u8]) -> bool {
        self.0 > 0 || begins_escaped(key)
    }

    /// A key of this place as it is stored.
    pub(crate) fn stored(self, key: &[u8]) -> Cow<'_, [u8]> {
        if !self.escapes(key) {
            return Cow::Borrowed(key);
        }
        let mut stored = Vec::with_capacity(key.len() + 2);
        stored.extend_from_slice(&[ESCAPE, self.0]);
        stored.extend_from_slice(key);
        Cow::Owned(stored)
    }

    /// The key, if a stored one is of this place.
    pub(crate) fn own(self, stored: &[u8]) -> Option<&[u8]> {
        let (place, key) = split(stored);
        (place == self).then_some(key)
    }
}

/// The place and the key of a stored one.
#[inline]
pub(crate) fn split(stored: &[u8]) -> (Place, &[u8]) {
    match stored {
        [ESCAPE, place, key @ ..] => (Place(*place), key),
        key => (Place(0), key),
    }
}

/// Where all databases are.
#[derive(Debug)]
pub(crate) struct Databases {
    places: [AtomicU8; DATABASES],
    /// Places other than 0 that were ever written to, as bits.
    used: AtomicU16,
}

impl Databases {
    pub(crate) fn new() -> Self {
        Self { places: std::array::from_fn(|place| AtomicU8::new(place as u8)), used: AtomicU16::new(0) }
    }

    /// Where a database is.
    #[inline]
    pub(crate) fn place(&self, database: u8) -> Place {
        // Relaxed: they are swapped while no other worker carries out requests.
        Place(self.places[usize::from(database) % DATABASES].load(Ordering::Relaxed))
    }

    /// Swaps two. No other worker may be carrying out requests.
    pub(crate) fn swap(&self, one: u8, other: u8) {
        let (a, b) = (self.place(one), self.place(other));
        self.places[usize::from(one)].store(b.0, Ordering::Relaxed);
        self.places[usize::from(other)].store(a.0, Ordering::Relaxed);
    }

    /// Says that something is stored in a place.
    pub(crate) fn note_use(&self, place: Place) {
        let bit = 1 << place.0;
        if place.0 > 0 && self.used.load(Ordering::Relaxed) & bit == 0 {
            self.used.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether nothing was ever stored in a place.
    pub(crate) fn is_unused(&self, place: Place) -> bool {
        place.0 > 0 && self.used.load(Ordering::Relaxed) & 1 << place.0 == 0
    }

    /// Whether all items there are belong to place 0: nothing was ever stored elsewhere.
    pub(crate) fn only_first(&self) -> bool {
        self.used.load(Ordering::Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stored_key_is_one_key_of_one_place() {
        let keys: [&[u8]; 8] =
            [b"", b"a", b"\xFF", b"\xFF\0", b"\xFF\x01", b"\xFF\x01a", b"\xFE", b"\xFF\xFF\xFF"];
        let mut seen = std::collections::HashSet::new();
        for place in (0..DATABASES as u8).map(Place) {
            for key in keys {
                let stored = place.stored(key);
                assert_eq!(split(&stored), (place, key));
                assert_eq!(place.own(&stored), Some(key));
                assert!(seen.insert(stored.into_owned()));
            }
        }
        assert!(matches!(Place(0).stored(b"key"), Cow::Borrowed(b"key")));
    }

    #[test]
    fn swapping_twice_is_nothing() {
        let databases = Databases::new();
        databases.swap(0, 3);
        assert_eq!((databases.place(0), databases.place(3)), (Place(3), Place(0)));
        databases.swap(3, 3);
        databases.swap(0, 3);
        assert_eq!((databases.place(0), databases.place(3)), (Place(0), Place(3)));
    }
}

//! A large value on its way from the socket straight to its place in the arena.
//!
//! ```text
//! head | value .................... | ends, what comes next
//! kept | copied | received in place | in the worker's buffer
//! ```
//! The block is reserved once a part of the value is here, so that announcing is not enough to evict others, and all blocks
//! that a worker has reserved are bounded together: a client that does not go on holds a bounded part of the cache until
//! its time is up. The block is given back where the connection ends or has its memory taken.

use std::sync::atomic::{AtomicUsize, Ordering};

use crabcache_engine::{Condition, Reservation};

use crate::command::Reply;
use crate::database::Place;

/// With each so many bytes that arrive the time for a request begins anew.
const PIECE: usize = 64 << 10;

/// A value that is not all here, and where it goes.
#[derive(Debug)]
pub(crate) struct Arriving<'s> {
    /// The block.
    pub(crate) reservation: Reservation<'s>,
    filled: usize,
    /// Of these, how many were here when the time for the request began anew.
    noted: usize,
    /// The request up to the value, as it came.
    head: Box<[u8]>,
    /// What is to become of it.
    pub(crate) store: Store,
    /// Its part of what may be reserved.
    _share: Share<'s>,
}

/// What is to become of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    /// When to store it at all.
    pub(crate) condition: Condition,
    /// How to answer.
    pub(crate) reply: Reply,
    /// What follows it.
    pub(crate) ends: Ends,
    /// Where the database was for which its key is stored.
    pub(crate) place: Place,
}

/// What follows a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Nothing.
    Nothing,
    /// The end of a line.
    Crlf,
    /// That, and two words that may tell when the item expires.
    Option,
}

impl<'s> Arriving<'s> {
    /// A value of which nothing is here.
    pub(crate) fn new(reservation: Reservation<'s>, head: &[u8], store: Store, share: Share<'s>) -> Self {
        Self { reservation, filled: 0, noted: 0, head: head.into(), store, _share: share }
    }

    /// Bytes of the value that are still to come.
    #[inline]
    pub(crate) fn left(&mut self) -> usize {
        self.reservation.value().len() - self.filled
    }

    /// Where they go.
    pub(crate) fn rest(&mut self) -> &mut [u8] {
        &mut self.reservation.value()[self.filled..]
    }

    /// Bytes of the value that are here.
    pub(crate) fn filled(&self) -> usize {
        self.filled
    }

    /// Says that so many bytes have arrived there. Gives whether that is reason to wait for more for as long as for a new
    /// request.
    pub(crate) fn advance(&mut self, len: usize) -> bool {
        self.filled += len;
        let much = self.filled - self.noted >= PIECE;
        if much {
            self.noted = self.filled;
        }
        much
    }

    /// Bytes of the connection's memory that it takes.
    pub(crate) fn held(&self) -> usize {
        size_of::<Self>() + self.head.len()
    }

    /// The bytes of the request as they came, without what follows the value.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        let value = &self.reservation.value()[..self.filled];
        [&self.head, value].concat()
    }
}

/// A part of what a worker may reserve, until it is dropped. Only that worker takes some and gives it back, since its clients
/// are its own: so nothing comes between a load and a store.
#[derive(Debug)]
pub(crate) struct Share<'s> {
    taken: &'s AtomicUsize,
    len: usize,
}

impl<'s> Share<'s> {
    /// Takes `len` bytes, if no more than `max` are taken then.
    pub(crate) fn take(taken: &'s AtomicUsize, len: usize, max: usize) -> Option<Self> {
        // Relaxed, here and below: no other thread writes it.
        let all = taken.load(Ordering::Relaxed).checked_add(len).filter(|&all| all <= max)?;
        taken.store(all, Ordering::Relaxed);
        Some(Self { taken, len })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.len, Ordering::Relaxed);
    }
}

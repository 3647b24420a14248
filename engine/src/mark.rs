//! What an item has on it that somebody leased: memory that only such items pay for.
//!
//! A lease keeps a crowd from computing the same value at once. One client has *won* it and is to store the value; the
//! others see that somebody did, and read what is there meanwhile: a *stale* value, or nothing. Where there is nothing, a
//! *placeholder* holds the lease: an item without a value, to everybody but those who ask for leases one that has expired.
//!
//! ```text
//! key word   key len 15..0 | MARKED 16 | STALE 17 | WON 18 | PLACEHOLDER 19 | 0       the first field of a long item
//! mark       version u64 | until u64
//! ```
//! The version stands in for the computed one (`guard.rs`): who holds it can tell whether the lease is still the one that was
//! won, wherever the item has moved. Invariants: a placeholder is won, has no value, and its expiry is moment 0.

use crate::time::Millis;

/// The state that an item's key word tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct State(u32);

/// The state and the two fields of an item that has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub(crate) state: State,
    /// The item's version.
    pub(crate) version: u64,
    /// When the lease ends, if it was won.
    pub(crate) until: Millis,
}

impl State {
    pub(crate) const NONE: Self = Self(0);
    const MARKED: u32 = 1 << 16;
    const STALE: u32 = 1 << 17;
    const WON: u32 = 1 << 18;
    const PLACEHOLDER: u32 = 1 << 19;

    pub(crate) const fn of(key_word: u32) -> Self {
        Self(key_word & !0xffff)
    }

    pub(crate) const fn key_len(key_word: u32) -> usize {
        (key_word & 0xffff) as usize
    }

    pub(crate) const fn key_word(self, key_len: u32) -> u32 {
        debug_assert!(key_len <= 0xffff);
        self.0 | key_len
    }

    pub(crate) const fn is_marked(self) -> bool {
        self.0 & Self::MARKED != 0
    }
}

impl Mark {
    /// Bytes of the two fields.
    pub(crate) const LEN: usize = 16;

    /// An item of this version, and nothing else about it.
    pub(crate) const fn version(version: u64) -> Self {
        Self { state: State(State::MARKED), version, until: Millis(0) }
    }

    /// What holds a lease until then where there is no item.
    pub(crate) const fn placeholder(version: u64, until: Millis) -> Self {
        Self { state: State(State::MARKED | State::WON | State::PLACEHOLDER), version, until }
    }

    pub(crate) const fn stale(self) -> Self {
        Self { state: State(self.state.0 | State::STALE), ..self }
    }

    pub(crate) const fn won(self, until: Millis) -> Self {
        Self { state: State(self.state.0 | State::WON), until, ..self }
    }

    pub(crate) const fn is_stale(self) -> bool {
        self.state.0 & State::STALE != 0
    }

    /// Whether somebody holds the lease.
    pub(crate) fn is_won(self, now: Millis) -> bool {
        self.state.0 & State::WON != 0 && self.until > now
    }

    /// Whether it makes its item a placeholder that still lives.
    pub(crate) fn is_placeholder(self, now: Millis) -> bool {
        self.state.0 & State::PLACEHOLDER != 0 && self.until > now
    }

    pub(crate) fn load(state: State, bytes: &[u8]) -> Self {
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Self { state, version: number(0), until: Millis(number(8)) }
    }

    pub(crate) fn bytes(self) -> [u8; Self::LEN] {
        (u128::from(self.until.0) << 64 | u128::from(self.version)).to_le_bytes()
    }
}

const _: () = assert!(crate::KEY_LEN_MAX == 0xffff);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_round_trip() {
        let version = Mark::version(7);
        for mark in
            [version, version.stale(), version.stale().won(Millis(9)), Mark::placeholder(7, Millis(9))]
        {
            let word = mark.state.key_word(65_535);
            assert_eq!((State::of(word), State::key_len(word)), (mark.state, 65_535));
            assert_eq!(Mark::load(State::of(word), &mark.bytes()), mark);
        }
        assert!(!State::of(State::NONE.key_word(65_535)).is_marked());
    }

    #[test]
    fn a_lease_ends() {
        let won = Mark::version(7).stale().won(Millis(9));
        assert!(
            won.is_stale()
                && won.is_won(Millis(8))
                && !won.is_won(Millis(9))
                && !won.is_placeholder(Millis(8))
        );
        let placeholder = Mark::placeholder(7, Millis(9));
        assert!(placeholder.is_placeholder(Millis(8)) && placeholder.is_won(Millis(8)));
        assert!(!placeholder.is_placeholder(Millis(9)));
    }
}

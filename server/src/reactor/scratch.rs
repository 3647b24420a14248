//! Keys of a turn that are not stored as they came: kept until the turn ends, so that they can go into its batches as
//! keys in the turn's buffer do.

use std::cell::{Cell, OnceCell};

/// Room for the keys of one turn.
#[derive(Debug)]
pub(crate) struct Scratch {
    keys: Box<[OnceCell<Box<[u8]>>]>,
    /// How many are used.
    used: Cell<usize>,
    /// Bytes in those.
    bytes: Cell<usize>,
}

/// Keys that a turn can keep.
const KEYS: usize = 2048;
/// Bytes that it can keep.
const BYTES: usize = 1 << 20;

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { keys: (0..KEYS).map(|_| OnceCell::new()).collect(), used: Cell::new(0), bytes: Cell::new(0) }
    }

    /// Keeps a key until the turn ends; gives it back if there is no room.
    pub(crate) fn keep(&self, key: Vec<u8>) -> Result<&[u8], Vec<u8>> {
        let bytes = self.bytes.get() + key.len();
        match self.keys.get(self.used.get()) {
            Some(place) if bytes <= BYTES => {
                self.used.set(self.used.get() + 1);
                self.bytes.set(bytes);
                Ok(place.get_or_init(|| key.into_boxed_slice()))
            }
            _ => Err(key),
        }
    }

    /// Forgets all keys.
    pub(crate) fn clear(&mut self) {
        for place in &mut self.keys[..self.used.replace(0)] {
            place.take();
        }
        self.bytes.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_until_there_are_too_many_or_the_turn_ends() {
        let mut scratch = Scratch::new();
        for _ in 0..2 {
            let kept: Vec<&[u8]> =
                (0..KEYS).map(|key| scratch.keep(key.to_string().into_bytes()).expect("room")).collect();
            assert!(kept.iter().enumerate().all(|(at, key)| *key == at.to_string().as_bytes()));
            assert_eq!(scratch.keep(b"more".to_vec()), Err(b"more".to_vec()));
            scratch.clear();
        }
        assert!(scratch.keep(vec![0; BYTES]).is_ok());
        assert!(scratch.keep(vec![0]).is_err());
    }
}

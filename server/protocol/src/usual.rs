//! The two requests that nearly all are. Each protocol has a function `usual` that knows them in the spelling in which client
//! libraries send them; for everything else, and all that is not whole, there is its `parse`.

/// A read of one key, or a write of one without conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usual<'a> {
    /// Read a value.
    Get {
        /// Key to read.
        key: &'a [u8],
    },
    /// Store a value, for ever.
    Set {
        /// Key to write.
        key: &'a [u8],
        /// Value to store.
        value: &'a [u8],
    },
}

/// A key, and the value to store under it.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

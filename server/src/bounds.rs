//! What requests may look like, told once from how large an item can be.

use crabcache_engine::KEY_LEN_MAX;
use crabcache_protocol::Limits;

use crate::reactor::sized;

/// The largest requests that are accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// What an item, key and value together, can have.
    pub(crate) item_len_max: usize,
    /// Bytes of one unfinished request that are kept.
    pub(crate) request_len_max: usize,
    /// For the native and memcached parsers, which skip a value that is too large.
    pub(crate) skipping: Limits,
    /// For the RESP parser, which cannot.
    pub(crate) resp: Limits,
}

impl Bounds {
    /// Redis' longest string.
    const BULK_LEN_MAX: usize = 512 << 20;
    /// Some room for a command of many arguments even where items are small.
    const REQUEST_LEN_MIN: usize = sized(8 << 20);

    pub(crate) fn new(item_len_max: usize) -> Self {
        let limits = Limits {
            key_len_max: KEY_LEN_MAX,
            value_len_max: item_len_max,
            args_max: 1 << 20,
            // Redis' longest line typed by hand.
            line_len_max: 64 << 10,
        };
        Self {
            item_len_max,
            request_len_max: (item_len_max + sized(1 << 20)).max(Self::REQUEST_LEN_MIN),
            // memcached asks for any number of keys in one line.
            skipping: Limits { line_len_max: 1 << 20, ..limits },
            resp: Limits { value_len_max: Self::BULK_LEN_MAX, ..limits },
        }
    }
}

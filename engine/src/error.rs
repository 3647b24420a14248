//! Errors, one enum per boundary, with what a caller can act on as fields.

use core::fmt;

/// Why a cache could not be made from the region and the configuration that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The region holds fewer bytes than the smallest cache of this configuration needs.
    RegionTooSmall {
        /// Bytes in the region, from its first address on that is a multiple of 256.
        len: usize,
        /// Bytes that would do, counted likewise.
        min: usize,
    },
    /// The region is larger than the shards asked for can address.
    RegionTooLarge {
        /// Bytes in the region.
        len: usize,
        /// Bytes that the shards can address.
        max: usize,
    },
    /// `shards` is not a power of two, or above [`Config::SHARDS_MAX`](crate::Config::SHARDS_MAX).
    BadShards {
        /// The number asked for.
        shards: u32,
    },
    /// `handles_max` is above [`Config::HANDLES_MAX`](crate::Config::HANDLES_MAX).
    BadHandles {
        /// The number asked for.
        handles: u32,
    },
}

/// Why a write stored nothing. What the key had is as it was; others may have made room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The key is longer than [`KEY_LEN_MAX`](crate::KEY_LEN_MAX).
    KeyTooLong {
        /// Bytes in the key.
        len: usize,
        /// The most that a key may have.
        max: usize,
    },
    /// Key and value together are larger than the largest item of this cache.
    TooLarge {
        /// Bytes in key and value.
        len: usize,
        /// The most that they may have.
        max: usize,
    },
    /// No room can be made at this moment: what could be given up is still held by another handle, or another thread
    /// is inside the allocator. Send what is waiting, be quiescent, give up the processor, try again: who spins instead may keep
    /// the other thread from what it is waited for. If it lasts, a handle is online somewhere that is never quiescent; or one sleeps
    /// that has not come to [`rest`](crate::Handle::rest) before.
    Pressure,
    /// The item is large, and there is no place for it, whoever is evicted: the index
    /// ([`Cache::item_len_max`](crate::Cache::item_len_max)), or items that are being received, lie too near to each other. Trying again
    /// at once is of no use. Nobody was evicted for it.
    NoPlace,
    /// A counter operation met a value that is not a decimal number of the expected kind.
    NotANumber,
    /// A counter operation would leave the range of its kind.
    Overflow,
}

/// All of a cache's handles are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHandle {
    /// How many handles this cache has.
    pub max: u32,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::RegionTooSmall { len, min } => {
                write!(f, "a region of {len} bytes is too small: this configuration needs {min}")
            }
            Self::RegionTooLarge { len, max } => {
                write!(f, "a region of {len} bytes is too large for its shards, which can address {max}")
            }
            Self::BadShards { shards } => {
                write!(f, "{shards} shards: it must be a power of two from 1 to 256")
            }
            Self::BadHandles { handles } => write!(f, "{handles} handles: it must be from 1 to 1024"),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::KeyTooLong { len, max } => write!(f, "a key of {len} bytes is longer than {max}"),
            Self::TooLarge { len, max } => {
                write!(f, "an item of {len} bytes is larger than the largest possible, {max}")
            }
            Self::Pressure => write!(f, "no room can be made at this moment"),
            Self::NoPlace => write!(f, "there is no place for an item of this size"),
            Self::NotANumber => write!(f, "the value is not a number"),
            Self::Overflow => write!(f, "the number would overflow"),
        }
    }
}

impl fmt::Display for NoHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {} handles are in use", self.max)
    }
}

impl core::error::Error for OpenError {}
impl core::error::Error for StoreError {}
impl core::error::Error for NoHandle {}

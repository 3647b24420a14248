//! A cache engine that lives in memory you give it: fixed capacity, lock-free reads, batches.
//!
//! ```text
//! region  | root | handle records + limbo | shard | shard | ...
//! shard   | born, number | allocator | directory table | free lists | ghost | nursery | main: items .. index chunks |
//! lookup  key -> hash -> shard -> directory word -> image (tags, places) -> item
//! ```
//! ```
//! # use crabcache_engine::{Cache, Config, Millis, StoreError};
//! let mut region = vec![std::mem::MaybeUninit::uninit(); 16 << 20]; // or a static array, or a mapping of huge pages
//! let cache = Cache::new(&mut region, Config { seed: [4, 8, 15, 16], ..Config::default() }).unwrap();
//! let mut handle = cache.handle().unwrap(); // one per thread; `cache` is shared
//! let now = Millis(0); // time is passed in
//!
//! while let Err(StoreError::Pressure) = handle.put(now, b"crab", b"cake") {
//!     handle.quiescent(now); // no room at this moment, or another thread has the allocator: try again
//!     std::thread::yield_now();
//! }
//! assert_eq!(handle.get(now, b"crab").map(|value| value.bytes()), Some(&b"cake"[..]));
//! handle.quiescent(now); // once per turn of an event loop: nothing found so far is held any more
//! ```
//! - No allocator, no `std`, no threads, no clock, no random source of its own: memory, time and seed are passed in.
//! - Readers are wait-free and get `&[u8]` into the arena. Writers are lock-free but for the allocator, whose lock is
//!   only ever tried. Nothing here waits: what cannot be done now answers [`StoreError::Pressure`].
//! - The unit of work is the batch ([`Handle::execute`]): its memory accesses overlap.
//!
//! Where to read on: `index/mod.rs` tells the map's protocol, `reclaim/mod.rs` when memory is reused, `arena/mod.rs` how
//! it is divided, `evict/mod.rs` who has to go, `batch.rs` the request path.
#![no_std]
#![deny(unsafe_code)]

#[cfg(not(all(target_pointer_width = "64", target_has_atomic = "64")))]
compile_error!("crabcache-engine needs a target with 64-bit pointers and atomics");

#[cfg(test)]
extern crate std;

#[allow(unsafe_code)] // intrinsics
mod arch;
mod arena;
mod batch;
#[cfg(all(test, not(loom)))]
mod bounds;
mod cache;
mod config;
#[cfg(doctest)]
mod contract;
mod error;
mod evict;
mod guard;
mod handle;
mod index;
mod item;
mod local;
mod mark;
#[cfg(all(test, loom))]
mod models;
mod observer;
mod op;
mod ops;
#[cfg(all(test, not(loom)))]
mod probe_length;
#[cfg(all(test, not(loom)))]
mod random;
mod reclaim;
mod region;
mod reservation;
mod shared;
#[cfg(all(test, not(loom)))]
mod simulation;
mod stats;
mod sync;
mod time;

pub use arch::Simd;
pub use arena::arena_ref::ArenaRef;
pub use batch::Sink;
pub use cache::Cache;
pub use config::Config;
pub use error::{NoHandle, OpenError, StoreError};
pub use guard::Value;
pub use handle::Handle;
pub use observer::Observer;
pub use op::{
    Action, Condition, Count, Delta, End, Invalidate, Lease, Op, Outcome, Put, Recache, TouchCondition,
};
pub use reservation::Reservation;
pub use stats::Stats;
pub use time::{Expiry, Millis};

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Longest key, in bytes.
pub const KEY_LEN_MAX: usize = 65_535;

/// Operations that are hashed and prefetched together. [`Handle::execute`] takes any number, so many at a time.
pub const BATCH: usize = 32;

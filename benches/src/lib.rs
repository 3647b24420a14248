//! What `crabcache-bench` is made of.
//!
//! ```text
//! trace file -> trace (all requests) -> replay (windows, misses) -> target: an engine | a server -> report
//! script (requests, drawn ahead) -> load (players, histogram) -> a server -> load::report
//!                                   peers (rounds over servers that it starts) -> Markdown, JSON, SVG
//! ```
//! Where to read on: `load` is the load generator; `peers` puts servers side by side, `seed` and `churn` too, `floor` is the
//! one that stores nothing, `instructions` counts under valgrind; `replay` tells how a trace is pipelined without changing its misses,
//! `items` measures bytes per item, `embed` puts the engine beside caches that live in a program. The criterion benches are
//! in `benches/`; README.md says what each figure means.
#![forbid(unsafe_code)]

pub mod bytes;
pub mod capacity;
pub mod churn;
#[cfg(feature = "clients")]
pub mod clients;
pub mod counted;
pub mod draw;
pub mod drive;
#[cfg(feature = "embed")]
pub mod embed;
pub mod floor;
pub mod instructions;
pub mod items;
pub mod load;
pub mod median;
pub mod peers;
pub mod process;
pub mod replay;
pub mod report;
pub mod seed;
pub mod setup;
pub mod trace;

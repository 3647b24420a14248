//! placeholder
#![no_std]
mod cache; mod config; mod error; mod guard; mod handle; mod op; mod stats; mod time;
pub use cache::Cache; pub use config::Config; pub use error::{NoHandle, OpenError, StoreError}; pub use guard::Value;
pub use handle::Handle;
pub use op::{Action, Condition, Count, Delta, End, Op, Outcome, Put, TouchCondition};
pub use stats::Stats;
pub use time::{Expiry, Millis};
/// Longest key, in bytes.
pub const KEY_LEN_MAX: usize = 65_535;
/// Operations that one call of [`Handle::execute`] takes at a time; more are done in chunks of this many.
pub const BATCH: usize = 32;

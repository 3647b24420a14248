//! A blocking client for `CrabCache`: pooled, pipelined, without a runtime, and without threads of its own unless
//! [`Client::maintain_every`] is asked for one.
//!
//! ```no_run
//! use crabcache_client::{Client, PutOptions};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("127.0.0.1:7001")?;
//! client.put("greeting", "hello")?;
//! client.put_with("session", "42", PutOptions::new().ttl(Duration::from_secs(60)))?;
//! assert_eq!(client.get("greeting")?.as_deref(), Some(&b"hello"[..]));
//!
//! // One round trip; a result for each command, in their order.
//! let results = client.pipeline().put("a", "1").get("a").incr("a", 1).del("b").ping().execute()?;
//! assert_eq!(results.len(), 5);
//! # Ok(())
//! # }
//! ```
//!
//! The way of a call: [`Client`] -> `pool` lends a connection -> `exchange` writes requests and reads answers at the
//! same time -> the connection goes back, or is closed if it is not in order any more.
//!
//! - The server has to listen for the native protocol, as it does unless an address says otherwise (`resp://`, `memcache://`).
//! - [`Client`] is `Send`, `Sync` and cheap to clone; all clones share one pool. Use one per server and program, and after a
//!   `fork` a new one: on a connection of both, each process would take answers of the other.
//! - A [`Cluster`] is several servers, each with the keys that hash to it.
//! - A [`Pipeline`] of any length needs memory for its list of commands and its results, not for its bytes; with
//!   [`Client::run`] and a callback neither is held.
//! - [`Client::get_or_put_with`] is cache-aside: of all clients that miss a key, one computes its value.
//! - With the feature `serde`, values are JSON in `Client::get_json`, `put_json` and `get_or_put_json_with`.
//! - [`Error`] says that a call failed, [`CommandError`] that one command of a pipeline did. Which of them cost the
//!   connection is told by [`CommandError::keeps_connection`].
//!
//! Unix only. The protocol is specified in [PROTOCOL.md](https://github.com/crabcache/crabcache/blob/main/PROTOCOL.md).
#![forbid(unsafe_code)]

mod backoff;
mod call;
mod client;
mod clock;
mod cluster;
mod config;
mod connection;
mod error;
mod exchange;
#[cfg(feature = "serde")]
mod json;
mod lease;
mod lookup;
mod many;
mod pipeline;
mod pool;
mod reply;
mod scan;
mod window;

pub use client::{Client, HelloInfo, PutOptions};
pub use cluster::Cluster;
pub use config::{Addr, Builder};
pub use crabcache_protocol::native::{
    Command, Condition, End, Keys, Meta, Pairs, Put, Status, TouchCondition, Ttl,
};
pub use error::{Broken, CommandError, Error, ProtocolError};
pub use lease::Leased;
pub use pipeline::Pipeline;
pub use pool::{Latency, Maintenance, PoolStats};
pub use reply::{Item, ItemRef, Reply, ReplyRef, Statuses, Value, Values};
pub use scan::Scan;

/// What a call answers.
pub type Result<T> = std::result::Result<T, Error>;

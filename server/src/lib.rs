//! The `CrabCache` server: one cache, three protocols, a few threads.
//!
//! Data goes one way: a socket (`net`) is read by a worker (`reactor`), its requests become operations (`command`),
//! batches of those go to the engine, and the outcomes become answers in the buffer that is sent.
//!
//! ```no_run
//! use crabcache_server::{Config, Server};
//!
//! let running = Server::start(Config::default())?;
//! println!("{running}");
//! running.stop();
//! running.join()?;
//! # Ok::<(), crabcache_server::ServerError>(())
//! ```
#![deny(unsafe_code)]

mod appointment;
mod bounds;
mod clock;
mod command;
pub mod config;
mod connection;
mod database;
mod large_values;
mod mail;
mod monitor;
mod net;
mod pause;
mod pubsub;
mod reactor;
mod sample;
mod seat;
mod server;
mod settings;
mod shared;
mod shutdown;
#[cfg(any(test, fuzzing))]
pub mod simulation;
mod slowlog;
mod stats;
mod sys;
mod tracking;
mod watch;

pub use config::{Config, ConfigError, Endpoint, Listen, Pin};
pub use server::{Running, Server, ServerError};

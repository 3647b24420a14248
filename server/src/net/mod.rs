//! Sockets: binding and accepting, and one type for what a client may be connected through.

pub(crate) mod acceptor;
mod balance;
pub(crate) mod listener;
pub(crate) mod stream;

//! Sockets: binding and accepting, and one type for what a client may be connected through.

pub(crate) mod acceptor;
pub(crate) mod listener;
pub(crate) mod stream;

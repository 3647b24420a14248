//! Messages to clients and workers from elsewhere: what was published, which keys changed, what MONITOR saw.
//!
//! A worker finds them in its inbox when it is woken, adds them to what its clients are sent, and so keeps their order. A
//! client that does not take them is closed when [`WAITING_MAX`] bytes wait for it.

use std::sync::Arc;

use crate::connection::client::Client;
use crate::shared::{Newcomer, Shared};

/// Bytes that may wait for a client that was sent messages.
pub(crate) const WAITING_MAX: usize = 4 << 20;

/// What a worker finds in its inbox.
#[derive(Debug)]
pub(crate) enum Message {
    /// A new client.
    Newcomer(Newcomer),
    /// Bytes for a client.
    Push(Arc<Client>, Arc<[u8]>),
    /// A client is to be closed.
    Kill(Arc<Client>),
    /// Somebody asks how the clients are; the number of the question.
    Survey(u64),
    /// Something has changed that the worker looks at anyway.
    Look,
}

impl Shared<'_> {
    /// Sends bytes to a client.
    pub(crate) fn push(&self, to: &Arc<Client>, bytes: &Arc<[u8]>) {
        self.deliver(to, Message::Push(Arc::clone(to), Arc::clone(bytes)));
    }

    /// Closes a client.
    pub(crate) fn kill(&self, client: &Arc<Client>) {
        self.deliver(client, Message::Kill(Arc::clone(client)));
    }

    fn deliver(&self, to: &Client, message: Message) {
        if let Some(seat) = self.seats.get(to.seat()) {
            seat.send(message);
        }
    }

    /// Tells all workers to look around.
    pub(crate) fn wake_all(&self) {
        for seat in &self.seats {
            seat.send(Message::Look);
        }
    }
}

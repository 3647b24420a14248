//! Messages to clients and workers from elsewhere: what was published, which keys changed, what MONITOR saw.
//!
//! A worker finds them in its inbox when it is woken, adds them to what its clients are sent, and so keeps their order. A
//! client that does not take them is closed when [`WAITING_MAX`] bytes wait for it: in the inbox, where nothing more is put
//! for it then, or behind its answers. So is one whose worker has an inbox that is full.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::connection::client::Client;
use crate::seat::{Newcomer, Seat};
use crate::shared::Shared;

/// Bytes that may wait for a client that was sent messages.
pub(crate) const WAITING_MAX: usize = 4 << 20;

/// What a worker finds in its inbox.
#[derive(Debug)]
pub(crate) enum Message {
    /// A new client.
    Newcomer(Newcomer),
    /// Bytes for a client.
    Push(Arc<Client>, Text),
    /// More bytes wait for a client than may.
    Overrun(Arc<Client>),
    /// A client is to be closed.
    Kill(Arc<Client>),
    /// Somebody asks how the clients are; the number of the question.
    Survey(u64),
    /// Something has changed that the worker looks at anyway.
    Look,
}

/// What is sent to several clients. Copying it copies no bytes.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    head: Arc<[u8]>,
    body: Arc<[u8]>,
    /// How many clients share the body, at least.
    shared_by: usize,
}

impl Text {
    /// Bytes in one piece.
    pub(crate) fn whole(bytes: Vec<u8>) -> Self {
        Self::new(bytes, &Arc::default(), 1)
    }

    /// A head, and a body that others have behind other heads: so many, with this one.
    pub(crate) fn new(head: Vec<u8>, body: &Arc<[u8]>, shared_by: usize) -> Self {
        Self { head: head.into(), body: Arc::clone(body), shared_by }
    }

    /// Its two parts.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.head, &self.body]
    }

    /// Bytes that are sent.
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Bytes that it takes in an inbox.
    fn held(&self) -> usize {
        ENTRY + self.head.len() + self.body.len() / self.shared_by.max(1)
    }
}

/// Bytes that a message takes beyond its text.
const ENTRY: usize = 96;

impl Seat {
    /// Makes room in the inbox for a text for `client`; false if it does not get any.
    fn make_room(&self, text: &Text, client: &Client, max: usize) -> bool {
        // Relaxed: they are counts, no more.
        let there =
            client.mail.load(Ordering::Relaxed) < WAITING_MAX && self.mail.load(Ordering::Relaxed) < max;
        if there {
            client.mail.fetch_add(ENTRY + text.len(), Ordering::Relaxed);
            self.mail.fetch_add(text.held(), Ordering::Relaxed);
        }
        there
    }

    /// A text for `client` was taken out of the inbox.
    pub(crate) fn took(&self, text: &Text, client: &Client) {
        client.mail.fetch_sub(ENTRY + text.len(), Ordering::Relaxed);
        self.mail.fetch_sub(text.held(), Ordering::Relaxed);
    }
}

impl Shared<'_> {
    /// Sends a text to a client; gives how many bytes it takes until its worker comes to it.
    pub(crate) fn push(&self, to: &Arc<Client>, text: &Text) -> usize {
        let Some(seat) = self.seats.get(to.seat()) else { return 0 };
        if to.is_overrun.load(Ordering::Relaxed) {
            return 0;
        }
        if seat.make_room(text, to, self.client_memory_each()) {
            seat.send(Message::Push(Arc::clone(to), text.clone()));
            return text.held();
        }
        if !to.is_overrun.swap(true, Ordering::Relaxed) {
            seat.send(Message::Overrun(Arc::clone(to)));
        }
        0
    }

    /// Closes a client. From now on nobody finds it among all clients.
    pub(crate) fn kill(&self, client: &Arc<Client>) {
        self.clients.remove(client.id);
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

//! Messages to clients and workers from elsewhere: what was published, which keys changed, what MONITOR saw.
//!
//! A worker finds them in its inbox when it is woken, adds them to what its clients are sent, and so keeps their order. A
//! client that does not take them is closed when [`WAITING_MAX`] bytes wait for it: in the inbox, where nothing more is put
//! for it then, or behind its answers. So is one whose worker has an inbox that is full.
//!
//! Whether a client still wants a message is known where it is taken out of the inbox (`reactor/turn/push.rs`): it may have
//! unsubscribed since, or speak another version of RESP. So a text says what it is, and gets its head there.
//!
//! Keys that have changed are not put into the inbox one by one: they are gathered at the client, whose worker then tells of
//! all of them at once. If they are too many to be kept, it is told that every key has changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crabcache_protocol::resp::{Version, write};

use crate::connection::client::Client;
use crate::pubsub::Kind;
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
    /// A client is to be told of keys that have changed.
    Stale(Arc<Client>),
    /// More bytes wait for a client than may.
    Overrun(Arc<Client>),
    /// A client is to be closed.
    Kill(Arc<Client>),
    /// Somebody asks how the clients are; the number of the question.
    Survey(u64),
    /// Something has changed that the worker looks at anyway.
    Look,
}

/// What is sent to several clients, but for its head. Copying it copies no bytes.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    what: What,
    body: Arc<[u8]>,
    /// How many clients share the body, at least.
    shared_by: usize,
}

/// Why a text is sent.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// It was published to a channel of this kind, whose name the body begins with.
    Published(Kind),
    /// It was published to a channel that a pattern lets through: this one, as a bulk string.
    Matched(Arc<[u8]>),
    /// The client that this one redirects invalidations to is gone.
    RedirectBroken,
    /// It is shown to monitors.
    Shown,
}

impl Text {
    /// A body that so many clients share.
    pub(crate) fn new(what: What, body: &Arc<[u8]>, shared_by: usize) -> Self {
        Self { what, body: Arc::clone(body), shared_by }
    }

    /// The subscription because of which it is sent, if that is why.
    pub(crate) fn subscription(&self) -> Option<(Kind, &[u8])> {
        match &self.what {
            What::Published(kind) => Some((*kind, first_name(&self.body))),
            What::Matched(pattern) => Some((Kind::Pattern, first_name(pattern))),
            What::RedirectBroken | What::Shown => None,
        }
    }

    /// Why it is sent.
    pub(crate) fn what(&self) -> &What {
        &self.what
    }

    /// What is sent, in a version of RESP.
    pub(crate) fn parts(&self, version: Version) -> [&[u8]; 4] {
        let mark = if version == Version::Resp3 { &b">"[..] } else { b"*" };
        let (mark, head, pattern): (_, &[u8], &[u8]) = match &self.what {
            What::Published(Kind::Shard) => (mark, b"3\r\n$8\r\nsmessage\r\n", b""),
            What::Published(_) => (mark, b"3\r\n$7\r\nmessage\r\n", b""),
            What::Matched(pattern) => (mark, b"4\r\n$8\r\npmessage\r\n", pattern),
            What::RedirectBroken => (mark, b"2\r\n$21\r\ntracking-redir-broken\r\n", b""),
            What::Shown => (b"", b"", b""),
        };
        [mark, head, pattern, &self.body]
    }

    /// Bytes of its head, which are as many in each version.
    fn head_len(&self) -> usize {
        let [mark, head, pattern, _] = self.parts(Version::Resp2);
        mark.len() + head.len() + pattern.len()
    }

    /// Bytes that are sent.
    pub(crate) fn len(&self) -> usize {
        self.head_len() + self.body.len()
    }

    /// Bytes that it takes in an inbox.
    fn held(&self) -> usize {
        ENTRY + self.head_len() + self.body.len() / self.shared_by.max(1)
    }
}

/// The first of the bulk strings that we have written here.
fn first_name(bulks: &[u8]) -> &[u8] {
    let mut len = 0;
    for (at, digit) in bulks.iter().enumerate().skip(1) {
        if !digit.is_ascii_digit() {
            let start = at + b"\r\n".len();
            return bulks.get(start..start + len).unwrap_or_default();
        }
        len = 10 * len + usize::from(digit - b'0');
    }
    &[]
}

/// Keys of which a client is to be told that they have changed.
#[derive(Debug, Default)]
pub(crate) struct Stale {
    /// As bulk strings.
    keys: Vec<u8>,
    count: usize,
    /// Every key has changed, or they were too many.
    all: bool,
    /// Another client wants it to be told.
    pub(crate) redirected: bool,
}

/// The channel on which a client of RESP2 receives what another one redirects to it.
const CHANNEL: &[u8] = b"__redis__:invalidate";

impl Stale {
    /// What is sent in front of the keys, and these.
    pub(crate) fn parts(&self, version: Version) -> (Vec<u8>, &[u8]) {
        let mut head = Vec::with_capacity(64);
        if version == Version::Resp3 {
            write::push(&mut head, 2, version);
            write::bulk(&mut head, b"invalidate");
        } else {
            write::push(&mut head, 3, version);
            write::bulk(&mut head, b"message");
            write::bulk(&mut head, CHANNEL);
        }
        if self.all {
            write::nil(&mut head, version);
        } else {
            write::array(&mut head, self.count);
        }
        (head, &self.keys)
    }

    /// Bytes of its keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it tells of every key.
    pub(crate) fn is_all(&self) -> bool {
        self.all
    }

    /// Tells of every key instead.
    pub(crate) fn tell_all(&mut self) {
        (self.keys, self.all) = (Vec::new(), true);
    }

    /// Adds a key, or all; gives how many bytes more it takes now, and how many it no longer does.
    fn add(&mut self, key: Option<&[u8]>) -> (usize, usize) {
        let before = self.keys.capacity();
        match key.filter(|key| self.keys.len() + key.len() < STALE_MAX) {
            Some(_) if self.all => {}
            Some(key) => {
                write::bulk(&mut self.keys, key);
                self.count += 1;
            }
            None => self.tell_all(),
        }
        let after = self.keys.capacity();
        (after.saturating_sub(before), before.saturating_sub(after))
    }
}

/// Bytes of keys that a client may be told of at once: their buffer grows by doubling.
const STALE_MAX: usize = WAITING_MAX / 2;

/// Bytes that a message takes beyond its text: an inbox grows by doubling.
const ENTRY: usize = 2 * size_of::<Message>();

impl Seat {
    /// Whether there is room in the inbox for more that is for `client`.
    fn has_room(&self, client: &Client, max: usize) -> bool {
        // Relaxed, here and below: they are counts, no more.
        client.mail.load(Ordering::Relaxed) < WAITING_MAX && self.mail.load(Ordering::Relaxed) < max
    }

    /// A text for `client` was taken out of the inbox.
    pub(crate) fn took(&self, text: &Text, client: &Client) {
        client.mail.fetch_sub(ENTRY + text.len(), Ordering::Relaxed);
        self.mail.fetch_sub(text.held(), Ordering::Relaxed);
    }

    /// Takes the keys that `client` is to be told of.
    pub(crate) fn take_stale(&self, client: &Client) -> Stale {
        let stale = client.stale().take().unwrap_or_default();
        client.mail.fetch_sub(stale.keys.capacity(), Ordering::Relaxed);
        self.mail.fetch_sub(stale.keys.capacity(), Ordering::Relaxed);
        stale
    }
}

impl Shared<'_> {
    /// Sends a text to a client; gives how many bytes it takes until its worker comes to it.
    pub(crate) fn push(&self, to: &Arc<Client>, text: &Text) -> usize {
        let Some(seat) = self.seats.get(to.seat()) else { return 0 };
        if to.is_overrun.load(Ordering::Relaxed) {
            return 0;
        }
        if seat.has_room(to, self.client_memory_each()) {
            to.mail.fetch_add(ENTRY + text.len(), Ordering::Relaxed);
            seat.mail.fetch_add(text.held(), Ordering::Relaxed);
            seat.send(Message::Push(Arc::clone(to), text.clone()));
            return text.held();
        }
        if !to.is_overrun.swap(true, Ordering::Relaxed) {
            seat.send(Message::Overrun(Arc::clone(to)));
        }
        0
    }

    /// Lets a client be told that `key` has changed, or every key; `redirected`: since another client wants that.
    pub(crate) fn invalidate(&self, to: &Arc<Client>, key: Option<&[u8]>, redirected: bool) {
        let Some(seat) = self.seats.get(to.seat()) else { return };
        let mut waiting = to.stale();
        let is_first = waiting.is_none();
        let stale = waiting.get_or_insert_default();
        stale.redirected |= redirected;
        let (more, less) = stale.add(key.filter(|_| seat.has_room(to, self.client_memory_each())));
        for mail in [&to.mail, &seat.mail] {
            mail.fetch_add(more, Ordering::Relaxed);
            mail.fetch_sub(less, Ordering::Relaxed);
        }
        drop(waiting);
        if is_first {
            seat.send(Message::Stale(Arc::clone(to)));
        }
    }

    /// Closes a client. From now on nobody finds it among all clients.
    pub(crate) fn kill(&self, client: &Arc<Client>) {
        self.clients.remove(client.id);
        client.is_killed.store(true, Ordering::Relaxed);
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

//! Channels, and who subscribed to them.

use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;
use crabcache_protocol::resp::{Version, glob, write};
use hashbrown::{HashMap, HashSet};

use crate::connection::client::Client;
use crate::shared::Shared;

/// What a subscription is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A channel.
    Channel,
    /// All channels whose name matches a pattern.
    Pattern,
    /// A channel of those that a cluster divides by their names. Here they are a second set of channels.
    Shard,
}

/// All kinds.
pub(crate) const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

type Names = HashMap<Box<[u8]>, Vec<Arc<Client>>, RandomState>;

/// Clients that receive a message, and the pattern that lets them, if it is one.
type Receivers = (Option<Box<[u8]>>, Vec<Arc<Client>>);

/// All subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Channels(Mutex<[Names; 3]>);

impl Channels {
    fn with<T>(&self, work: impl FnOnce(&mut [Names; 3]) -> T) -> T {
        // The tables are whole between any two calls.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, kind: Kind, name: &[u8], client: &Arc<Client>) {
        self.with(|all| all[kind as usize].entry(name.into()).or_default().push(Arc::clone(client)));
    }

    fn remove(&self, kind: Kind, name: &[u8], client: &Arc<Client>) {
        self.with(|all| {
            let Some(subscribers) = all[kind as usize].get_mut(name) else { return };
            subscribers.retain(|other| !Arc::ptr_eq(other, client));
            if subscribers.is_empty() {
                all[kind as usize].remove(name);
            }
        });
    }

    /// The names that somebody subscribed to.
    pub(crate) fn names(&self, kind: Kind) -> Vec<Box<[u8]>> {
        self.with(|all| all[kind as usize].keys().cloned().collect())
    }

    /// How many names there are.
    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.with(|all| all[kind as usize].len())
    }

    /// How many subscribed to `name`.
    pub(crate) fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.with(|all| all[kind as usize].get(name).map_or(0, Vec::len))
    }

    /// Those who receive what is published to `channel`, each with the pattern that lets it, if it is one.
    fn receivers(&self, kind: Kind, channel: &[u8]) -> Vec<Receivers> {
        self.with(|all| {
            let direct = all[kind as usize].get(channel).map(|clients| (None, clients.clone()));
            let patterns = all[Kind::Pattern as usize].iter().filter(|_| kind == Kind::Channel);
            let patterns = patterns.filter(|(pattern, _)| lets(pattern, channel));
            let patterns = patterns.map(|(pattern, clients)| (Some(pattern.clone()), clients.clone()));
            direct.into_iter().chain(patterns).collect()
        })
    }
}

/// Whether a pattern lets what is published to `channel`. One that takes too long to tell does not: it would hold up those
/// who publish.
fn lets(pattern: &[u8], channel: &[u8]) -> bool {
    let mut steps = STEPS_MIN + 4 * channel.len();
    glob::matches_within(pattern, channel, &mut steps) == Some(true)
}

/// Steps that any pattern may take.
const STEPS_MIN: usize = 16 << 10;

/// Publishes a message; gives how many received it.
pub(crate) fn publish(shared: &Shared<'_>, kind: Kind, channel: &[u8], message: &[u8]) -> usize {
    let mut receivers = 0;
    for (pattern, clients) in shared.channels.receivers(kind, channel) {
        let texts = [Version::Resp2, Version::Resp3].map(|version| {
            let mut text = Vec::with_capacity(64 + channel.len() + message.len());
            if let Some(pattern) = &pattern {
                write::push(&mut text, 4, version);
                write::bulk(&mut text, b"pmessage");
                write::bulk(&mut text, pattern);
            } else {
                write::push(&mut text, 3, version);
                write::bulk(&mut text, if kind == Kind::Shard { b"smessage" } else { b"message" });
            }
            write::bulk(&mut text, channel);
            write::bulk(&mut text, message);
            Arc::<[u8]>::from(text)
        });
        receivers += clients.len();
        for client in &clients {
            shared.push(client, &texts[usize::from(client.version() == Version::Resp3)]);
        }
    }
    receivers
}

/// The subscriptions of one client; they end with this.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    channels: Arc<Channels>,
    client: Arc<Client>,
    names: [HashSet<Box<[u8]>, RandomState>; 3],
    held: usize,
}

/// Bytes of memory for a subscription beyond its name, which is there twice.
const ENTRY: usize = 120;

impl Subscriptions {
    pub(crate) fn new(channels: &Arc<Channels>, client: &Arc<Client>) -> Self {
        Self {
            channels: Arc::clone(channels),
            client: Arc::clone(client),
            names: std::array::from_fn(|_| HashSet::default()),
            held: 0,
        }
    }

    /// Subscribes.
    pub(crate) fn add(&mut self, kind: Kind, name: &[u8]) {
        if self.names[kind as usize].insert(name.into()) {
            self.held += 2 * name.len() + ENTRY;
            self.channels.add(kind, name, &self.client);
            self.count();
        }
    }

    /// Ends a subscription.
    pub(crate) fn remove(&mut self, kind: Kind, name: &[u8]) {
        if self.names[kind as usize].remove(name) {
            self.held -= 2 * name.len() + ENTRY;
            self.channels.remove(kind, name, &self.client);
            self.count();
        }
    }

    /// The names of one kind.
    pub(crate) fn names(&self, kind: Kind) -> Vec<Box<[u8]>> {
        self.names[kind as usize].iter().cloned().collect()
    }

    /// How many of one kind there are.
    pub(crate) fn len(&self, kind: Kind) -> usize {
        self.names[kind as usize].len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.iter().all(HashSet::is_empty)
    }

    /// Bytes of memory that they take.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    fn count(&self) {
        self.client.note_subscriptions(KINDS.map(|kind| self.len(kind)));
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        for kind in KINDS {
            for name in &self.names[kind as usize] {
                self.channels.remove(kind, name, &self.client);
            }
        }
        self.client.note_subscriptions([0; 3]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_take_too_long_let_nothing() {
        assert!(lets(b"n[a-e]ws.*", b"news.today") && !lets(b"n[a-d]ws", b"news"));
        let long = [vec![b'a'; 100_000], vec![b'b']].concat();
        assert!(lets(b"a*b", &long));
        let pattern = [&b"*"[..], &[b'a'; 1000], b"b*"].concat();
        assert!(!lets(&pattern, &long), "it would match after 50 million steps");
    }
}

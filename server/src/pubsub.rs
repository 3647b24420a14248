//! Channels, and who subscribed to them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use ahash::RandomState;
use crabcache_protocol::resp::{glob, write};
use hashbrown::{HashMap, HashSet};

use crate::connection::client::Client;
use crate::mail::{Text, What};
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
        self.with(|all| all[kind as usize].get(name).map_or(0, |clients| living(clients).count()))
    }

    /// Those who receive what is published to `channel`, each with the pattern that lets it, if it is one. And how many steps it
    /// took to tell.
    fn receivers(&self, kind: Kind, channel: &[u8]) -> (Vec<Receivers>, usize) {
        let (mut left, mut taken) = (STEPS_MAX, 0);
        let receivers = self.with(|all| {
            let direct =
                all[kind as usize].get(channel).map(|clients| (None, living(clients).cloned().collect()));
            let patterns = all[Kind::Pattern as usize].iter().filter(|_| kind == Kind::Channel);
            let patterns = patterns.filter(|(pattern, _)| lets(pattern, channel, &mut left, &mut taken));
            let patterns = patterns
                .map(|(pattern, clients)| (Some(pattern.clone()), living(clients).cloned().collect()));
            direct.into_iter().chain(patterns).collect()
        });
        (receivers, taken)
    }
}

/// Those of them that were not killed: what is left of these goes with their connections.
fn living(clients: &[Arc<Client>]) -> impl Iterator<Item = &Arc<Client>> {
    clients.iter().filter(|client| !client.is_killed.load(Ordering::Relaxed))
}

/// Whether a pattern lets what is published to `channel`. One that takes too long to tell does not: it would hold up those
/// who publish. `left` are the steps that patterns may take beyond those that a simple one takes.
fn lets(pattern: &[u8], channel: &[u8], left: &mut usize, taken: &mut usize) -> bool {
    let simple = 4 * (pattern.len() + channel.len());
    let most = simple + (*left).min(STEPS_EACH);
    let mut steps = most;
    let lets = glob::matches_within(pattern, channel, &mut steps) == Some(true);
    *left -= (most - steps).saturating_sub(simple);
    *taken += most - steps;
    lets
}

/// Steps that a pattern may take beyond those of a simple one, and that all of them may take for one message: some
/// milliseconds.
const STEPS_EACH: usize = 16 << 10;
const STEPS_MAX: usize = 2 << 20;

/// Patterns that one client may subscribe to: each message is matched with all of them.
pub(crate) const PATTERNS_MAX: usize = 1024;

/// Publishes a message; gives how many receive it, and how much work that is: the bytes that it takes until they have it, and the
/// steps to find them. `take` may take what the author itself receives, and says whether it has.
pub(crate) fn publish(
    shared: &Shared<'_>,
    kind: Kind,
    channel: &[u8],
    message: &[u8],
    mut take: impl FnMut(&Arc<Client>, &Text) -> bool,
) -> (usize, usize) {
    let (all, steps) = shared.channels.receivers(kind, channel);
    let receivers = all.iter().map(|(_, clients)| clients.len()).sum();
    let mut body = Vec::with_capacity(32 + channel.len() + message.len());
    write::bulk(&mut body, channel);
    write::bulk(&mut body, message);
    let body = Arc::<[u8]>::from(body);
    let mut held = 0;
    for (pattern, clients) in all {
        let what = pattern.map_or(What::Published(kind), |pattern| {
            let mut bulk = Vec::with_capacity(16 + pattern.len());
            write::bulk(&mut bulk, &pattern);
            What::Matched(bulk.into())
        });
        let text = Text::new(what, &body, receivers);
        for client in &clients {
            held += if take(client, &text) { text.len() } else { shared.push(client, &text) };
        }
    }
    (receivers, held + steps)
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

    /// Whether it has subscribed to this.
    pub(crate) fn has(&self, kind: Kind, name: &[u8]) -> bool {
        self.names[kind as usize].contains(name)
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
        let (mut left, mut taken) = (STEPS_MAX, 0);
        assert!(
            lets(b"n[a-e]ws.*", b"news.today", &mut left, &mut taken)
                && !lets(b"n[a-d]ws", b"news", &mut left, &mut taken)
        );
        let long = [vec![b'a'; 100_000], vec![b'b']].concat();
        assert!(lets(b"a*b", &long, &mut left, &mut taken));
        assert_eq!(left, STEPS_MAX, "they were simple");
        let pattern = [&b"*"[..], &[b'a'; 1000], b"b*"].concat();
        for _ in 0..STEPS_MAX / STEPS_EACH {
            assert!(!lets(&pattern, &long, &mut left, &mut taken), "it would match after 50 million steps");
        }
        assert_eq!(left, 0);
        assert!(taken > STEPS_MAX);
        assert!(lets(b"a*b", &long, &mut left, &mut taken), "simple ones are told whatever others take");
    }
}

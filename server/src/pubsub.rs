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

/// Names that were looked for.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// As bulk strings: who subscribes or publishes waits while they are copied.
    pub(crate) bulks: Vec<u8>,
    /// How many they are.
    pub(crate) count: usize,
    /// How many were looked at.
    pub(crate) looked: usize,
}

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

    /// The names that somebody subscribed to and that match `pattern`, as far as is known after so many `steps`.
    pub(crate) fn names(&self, kind: Kind, pattern: &[u8], steps: &mut usize) -> Found {
        let mut found = Found::default();
        self.with(|all| {
            for name in all[kind as usize].keys() {
                if *steps == 0 {
                    break;
                }
                found.looked += 1;
                if glob::matches_within(pattern, name, steps) == Some(true) {
                    write::bulk(&mut found.bulks, name);
                    found.count += 1;
                }
            }
        });
        found
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
/// who publish. `left` are the steps that patterns may take beyond those that each of them has.
fn lets(pattern: &[u8], channel: &[u8], left: &mut usize, taken: &mut usize) -> bool {
    if pattern.len() <= STEPS_FREE
        && let Some(lets) = is_between(pattern, channel)
    {
        *taken += pattern.len();
        return lets;
    }
    let most = STEPS_FREE + (*left).min(STEPS_EACH + 4 * (pattern.len() + channel.len()));
    if pattern.len() > most {
        // Of a class, steps are only counted at its end.
        return false;
    }
    let mut steps = most;
    let lets = glob::matches_within(pattern, channel, &mut steps) == Some(true);
    *left -= (most - steps).saturating_sub(STEPS_FREE);
    *taken += most - steps;
    lets
}

/// Whether `channel` begins and ends with what is before and behind the only `*` of a pattern, or is the same where there is none:
/// how long it is does not matter to those. None for other patterns, if it begins as they do.
fn is_between(pattern: &[u8], channel: &[u8]) -> Option<bool> {
    let is_special = |byte: &u8| b"*?[\\".contains(byte);
    let same =
        pattern.iter().zip(channel).take_while(|(byte, other)| byte == other && !is_special(byte)).count();
    match pattern[same..].split_first() {
        None => Some(same == channel.len()),
        Some((b'*', tail)) if !tail.iter().any(is_special) => {
            Some(!channel.is_empty() && channel[same..].ends_with(tail))
        }
        Some((byte, _)) => (!is_special(byte)).then_some(false),
    }
}

/// Steps that each pattern has; that it may take beyond those of a simple one; and that all of them may take for one message beyond
/// what each has: some milliseconds.
const STEPS_FREE: usize = 64;
const STEPS_EACH: usize = 16 << 10;
const STEPS_MAX: usize = 1 << 20;

/// Subscriptions that are ended at once where many are to end: others are served in between.
pub(crate) const ENDED_AT_ONCE: usize = 512;

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

    /// Ends so many subscriptions of one kind at most; gives their names.
    pub(crate) fn take(&mut self, kind: Kind, most: usize) -> Vec<Box<[u8]>> {
        let names: Vec<_> = self.names[kind as usize].extract_if(|_| true).take(most).collect();
        for name in &names {
            self.held -= 2 * name.len() + ENTRY;
            self.channels.remove(kind, name, &self.client);
        }
        self.count();
        names
    }

    /// Ends so many subscriptions at most; gives how many.
    pub(crate) fn end(&mut self, most: usize) -> usize {
        KINDS.iter().fold(0, |ended, &kind| ended + self.take(kind, most - ended).len())
    }

    /// Whether it has subscribed to this.
    pub(crate) fn has(&self, kind: Kind, name: &[u8]) -> bool {
        self.names[kind as usize].contains(name)
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
        self.end(usize::MAX);
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
        assert_eq!(left, STEPS_MAX, "they were usual");
        let long = [vec![b'a'; 100_000], vec![b'b']].concat();
        let pattern = [&b"*"[..], &[b'a'; 1000], b"b*"].concat();
        while left > 0 {
            assert!(!lets(&pattern, &long, &mut left, &mut taken), "it would match after 50 million steps");
        }
        assert!(taken > STEPS_MAX);
        for (pattern, name) in [(&b"a*b"[..], &long[..]), (b"n*ws.*", b"news.today")] {
            assert!(lets(pattern, name, &mut left, &mut taken), "simple ones are told whatever others take");
        }
        let before = taken;
        let class = [&b"["[..], &[b'n'; 1000], b"]ews"].concat();
        assert!(
            !lets(&class, b"news", &mut left, &mut taken) && taken == before,
            "nobody looks at all of it"
        );
    }

    #[test]
    fn simple_patterns_are_told_as_others_are() {
        let texts = |letters: &'static [u8]| {
            let mut texts = vec![Vec::new()];
            for at in 0.. {
                let Some(text) = texts.get(at).filter(|text| text.len() < 4).cloned() else { break };
                texts.extend(letters.iter().map(|letter| [&text[..], &[*letter]].concat()));
            }
            texts
        };
        for pattern in texts(b"ab*?[\\") {
            for text in texts(b"ab") {
                if let Some(lets) = is_between(&pattern, &text) {
                    assert_eq!(lets, glob::matches(&pattern, &text), "{pattern:?} {text:?}");
                }
            }
        }
        assert!(
            [&b"a?"[..], b"*[a]", b"\\a", b"a**"].iter().all(|pattern| is_between(pattern, b"a").is_none())
        );
    }

    #[test]
    fn a_list_of_names_ends_with_its_steps() {
        let channels = Channels::default();
        channels.with(|all| {
            let names = (0..100_u8).map(|number| (Box::from([number; 10]), Vec::new()));
            all[Kind::Channel as usize].extend(names);
        });
        let mut steps = 1000;
        let Found { bulks, count, looked } = channels.names(Kind::Channel, b"[0-9]*", &mut steps);
        assert_eq!((bulks.len(), count, looked), (10 * b"$10\r\n0000000000\r\n".len(), 10, 100));
        let Found { count, looked, .. } = channels.names(Kind::Channel, b"*x", &mut steps);
        assert_eq!((count, steps), (0, 0));
        assert!(looked < 100, "{looked}");
    }

    #[test]
    fn a_long_name_takes_no_more_steps_however_many_patterns_there_are() {
        let long = vec![b'a'; 1 << 20];
        let (mut left, mut taken) = (STEPS_MAX, 0);
        for _ in 0..PATTERNS_MAX {
            assert!(!lets(b"*a*a*aab", &long, &mut left, &mut taken));
        }
        assert!(taken < 2 * STEPS_MAX, "{taken}");
    }
}

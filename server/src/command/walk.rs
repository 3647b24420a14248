//! Walks over all items, in slices: for what asks about more than single keys, and must not hold up other clients.

use crabcache_engine::{Op, Outcome};
use crabcache_protocol::resp::glob;
use crabcache_protocol::resp::write;

use super::resp::info;
use crate::database::{self, DATABASES, Place};
use crate::reactor::batch::Pass;
use crate::shared::Shared;
use crate::tracking::Removal;

/// Items of a slice.
const SLICE_ITEMS: usize = 4096;
/// Items that are looked at between two looks at what it took.
const CHUNK_ITEMS: usize = 64;
/// Chunks of a slice, however few items there are in the buckets.
const CHUNKS: usize = 64;
/// Nanoseconds that a chunk takes, about.
const CHUNK_TIME: usize = 8_000;
/// Bytes of keys in a slice, as far as one chunk does not have more.
const SLICE_BYTES: usize = 256 << 10;
/// Steps of matching keys with patterns in a slice, as far as one chunk does not take more, and in a chunk.
const STEPS: usize = 256 << 10;
const CHUNK_STEPS: usize = 1 << 20;
/// The longest answer to KEYS, unless a worker's clients have less memory than that.
const KEYS_LEN_MAX: usize = 16 << 20;
/// What is answered where a pattern takes longer than that for a chunk.
pub(crate) const TOO_COMPLEX: &str = "ERR the pattern takes too long to match";

/// A walk under way.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Where it has come to.
    cursor: u64,
    errand: Errand,
}

/// What a walk is for.
#[derive(Debug)]
enum Errand {
    /// Collect the keys that match a pattern.
    Keys { search: Search, pattern: Box<[u8]> },
    /// Count the items of each place.
    Count { items: Box<Items>, then: Counted },
    /// Find a key, any.
    Random { place: Place, choice: u64, wrapped: bool },
    /// Remove the keys of a place.
    Clear { place: Place, removal: Removal },
}

/// How many items each place has.
pub(crate) type Items = [u64; DATABASES];

/// What becomes of the numbers of items.
#[derive(Debug)]
pub(crate) enum Counted {
    /// That of one place is answered.
    Size(Place),
    /// They are part of INFO, with these sections.
    Info(info::Wanted),
}

/// Keys that were found.
#[derive(Debug)]
pub(crate) struct Search {
    place: Place,
    /// As RESP bulk strings.
    pub(crate) found: Vec<u8>,
    /// How many.
    pub(crate) count: usize,
    /// Items that were looked at.
    pub(crate) seen: usize,
    /// Steps that were taken to match.
    steps: usize,
    /// Looks that were taken.
    chunks: usize,
    /// Bytes that had been found before this slice.
    before: usize,
}

/// A pattern was too much for one chunk.
#[derive(Debug)]
pub(crate) struct TooComplex;

impl Search {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, found: Vec::new(), count: 0, seen: 0, steps: 0, chunks: 0, before: 0 }
    }

    /// Whether it has taken as long as it may at a time, or looked at so many items.
    pub(crate) fn has_worked(&self, items: usize) -> bool {
        self.seen >= items
            || self.steps >= STEPS
            || self.chunks >= CHUNKS
            || self.found.len() - self.before >= SLICE_BYTES
    }

    /// How long it has taken, in nanoseconds or so.
    pub(crate) fn work(&self) -> usize {
        self.chunks * CHUNK_TIME + self.steps
    }

    /// Begins a slice.
    fn begin(&mut self) {
        (self.seen, self.steps, self.chunks) = (0, 0, 0);
        self.before = self.found.len();
    }

    /// Looks at some items from `cursor` on, at about as many as `items` but not more than a chunk has; gives the next
    /// cursor. No pattern matches all.
    pub(crate) fn go_on(
        &mut self,
        cursor: u64,
        items: usize,
        pattern: Option<&[u8]>,
        pass: &mut Pass<'_, '_, '_>,
    ) -> Result<u64, TooComplex> {
        let now = pass.now();
        let (mut steps, mut known) = (CHUNK_STEPS, true);
        let Self { place, found, count, seen, .. } = self;
        let next = pass.executor.handle().scan(now, cursor, items.min(CHUNK_ITEMS), |stored, _| {
            *seen += 1;
            let Some(key) = place.own(stored) else { return };
            match pattern.map_or(Some(true), |pattern| glob::matches_within(pattern, key, &mut steps)) {
                Some(true) => {
                    write::bulk(found, key);
                    *count += 1;
                }
                Some(false) => {}
                None => known = false,
            }
        });
        pass.executor.handle().quiescent(now);
        self.steps += CHUNK_STEPS - steps;
        self.chunks += 1;
        if known { Ok(next) } else { Err(TooComplex) }
    }
}

impl Walk {
    /// For KEYS.
    pub(crate) fn keys(place: Place, pattern: &[u8]) -> Self {
        Self { cursor: 0, errand: Errand::Keys { search: Search::new(place), pattern: pattern.into() } }
    }

    /// For the number of items.
    pub(crate) fn count(then: Counted) -> Self {
        Self { cursor: 0, errand: Errand::Count { items: Box::default(), then } }
    }

    /// For RANDOMKEY: `choice` is any number.
    pub(crate) fn random(place: Place, choice: u64, buckets: u64) -> Self {
        Self { cursor: choice % buckets.max(1), errand: Errand::Random { place, choice, wrapped: false } }
    }

    /// For FLUSHDB.
    pub(crate) fn clear(place: Place, shared: &Shared<'_>) -> Self {
        let removal = Removal::begin(&shared.tracking);
        Self { cursor: 0, errand: Errand::Clear { place, removal } }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn held(&self) -> usize {
        match &self.errand {
            Errand::Keys { search, pattern } => search.found.capacity() + pattern.len(),
            _ => 0,
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn only_answers(&self) -> bool {
        !matches!(self.errand, Errand::Clear { .. })
    }

    /// Goes on for a slice; true when it is done and answered.
    pub(crate) fn step(&mut self, pass: &mut Pass<'_, '_, '_>) -> bool {
        let Self { cursor, errand } = self;
        match errand {
            Errand::Keys { search, pattern } => keys(cursor, search, pattern, pass),
            Errand::Count { items, then } => count(cursor, items, then, pass),
            Errand::Random { place, choice, wrapped } => random(cursor, *place, *choice, wrapped, pass),
            Errand::Clear { place, removal } => clear(cursor, *place, removal, pass),
        }
    }
}

fn keys(cursor: &mut u64, search: &mut Search, pattern: &[u8], pass: &mut Pass<'_, '_, '_>) -> bool {
    search.begin();
    let pattern = Some(pattern).filter(|pattern| *pattern != b"*");
    while !search.has_worked(SLICE_ITEMS) {
        let Ok(next) = search.go_on(*cursor, CHUNK_ITEMS, pattern, pass) else {
            pass.error(TOO_COMPLEX);
            return true;
        };
        *cursor = next;
        let len_max = KEYS_LEN_MAX.min(pass.shared().client_memory_each());
        if search.found.len() > len_max {
            pass.error("ERR too many keys match; use SCAN");
            return true;
        }
        if *cursor == 0 {
            let out = pass.direct();
            write::array(out, search.count);
            out.extend_from_slice(&search.found);
            return true;
        }
    }
    false
}

fn count(cursor: &mut u64, items: &mut Items, then: &Counted, pass: &mut Pass<'_, '_, '_>) -> bool {
    let now = pass.now();
    *cursor = pass.executor.handle().scan(now, *cursor, SLICE_ITEMS, |stored, _| {
        items[database::split(stored).0.index()] += 1;
    });
    pass.executor.handle().quiescent(now);
    if *cursor != 0 {
        return false;
    }
    match then {
        Counted::Size(place) => write::integer(pass.direct(), items[place.index()] as i64),
        Counted::Info(wanted) => info::answer(wanted, items, pass),
    }
    true
}

fn random(
    cursor: &mut u64,
    place: Place,
    choice: u64,
    wrapped: &mut bool,
    pass: &mut Pass<'_, '_, '_>,
) -> bool {
    let (mut keys, mut over) = (Vec::new(), false);
    for _ in 0..CHUNKS {
        let now = pass.now();
        *cursor = pass.executor.handle().scan(now, *cursor, CHUNK_ITEMS, |stored, _| {
            keys.extend(place.own(stored).map(Box::<[u8]>::from));
        });
        pass.executor.handle().quiescent(now);
        over = *cursor == 0 && std::mem::replace(wrapped, true);
        if over || !keys.is_empty() {
            break;
        }
    }
    let version = pass.version;
    match keys.get((choice >> 32) as usize % keys.len().max(1)) {
        Some(key) => write::bulk(pass.direct(), key),
        None if over => write::nil(pass.direct(), version),
        None => return false,
    }
    true
}

fn clear(cursor: &mut u64, place: Place, removal: &mut Removal, pass: &mut Pass<'_, '_, '_>) -> bool {
    let now = pass.now();
    let (mut keys, mut bytes) = (Vec::new(), 0);
    let next = pass.executor.handle().scan(now, *cursor, SLICE_ITEMS / 4, |stored, _| {
        if place.own(stored).is_some() {
            if bytes < SLICE_BYTES {
                keys.push(Box::<[u8]>::from(stored));
            }
            bytes += stored.len();
        }
    });
    pass.executor.handle().quiescent(now);
    let refused = pass.executor.untold(|executor| {
        let refuses = |outcome: Outcome<'_>| matches!(outcome, Outcome::Refused(_));
        keys.iter().any(|key| executor.apply(&Op::delete(key), refuses))
    });
    if refused {
        // From the same place on in the next turn.
        return false;
    }
    pass.executor.handle().quiescent(now);
    if bytes >= SLICE_BYTES {
        // What was not removed is still there, and found again.
        return false;
    }
    *cursor = next;
    if next == 0 {
        removal.end(pass.shared());
        pass.direct().extend_from_slice(write::OK);
    }
    next == 0
}

#[cfg(test)]
mod tests {
    use crabcache_engine::Millis;

    use super::*;
    use crate::config::Config;
    use crate::reactor::batch::Executor;
    use crate::reactor::scratch::Scratch;
    use crate::simulation::setup::with_server;

    /// Most are another database's.
    #[test]
    fn random_finds_the_only_key_from_wherever_it_begins() {
        with_server(4 << 20, Config::default(), |shared| {
            let mut handle = shared.cache.handle().expect("the first");
            let place = shared.databases.place(1);
            handle.put(Millis(1), &place.stored(b"sole"), b"v").expect("room");
            for key in 0..6000 {
                handle.put(Millis(1), key.to_string().as_bytes(), b"v").expect("room");
            }
            let mut executor = Executor::new(handle, shared, &shared.seats[0]);
            let buckets = shared.cache.stats().buckets;
            for begin in 0..buckets {
                executor.begin(Millis(1), 1, false);
                executor.enter();
                let scratch = Scratch::new();
                let mut pass = Pass::new(&mut executor, &scratch);
                let mut walk = Walk::random(place, begin, buckets);
                while !walk.step(&mut pass) {}
                assert_eq!(pass.direct(), b"$4\r\nsole\r\n", "from {begin} of {buckets}");
                drop(pass);
                executor.leave();
            }
        });
    }
}

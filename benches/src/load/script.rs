//! Requests that were drawn and written out before the clock runs, so that while it runs they are only sent.
//!
//! ```text
//! items -> keys, values (made from the item's number) -> bytes   | request | request | ... |
//!                                                     -> entries  end, item, kind of each
//! ```
//! A script is read round and round. Requests that follow one another lie side by side: what a connection may send at once
//! is one slice of it.

use std::ops::Range;

use super::request::{Kind, Protocol};
use super::sizes::Sizes;
use crate::bytes::{Filler, Keys};
use crate::draw::{Random, Sampler};

/// Bytes that a script may have; then it is repeated.
const SCRIPT_LEN_MAX: usize = 128 << 20;
/// Requests that a script may have.
const SCRIPT_REQUESTS_MAX: u64 = 4 << 20;

/// What is asked for, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// PING only.
    Ping,
    /// So many SETs to so many GETs; not both 0.
    Ratio {
        /// SETs.
        sets: u32,
        /// GETs.
        gets: u32,
    },
}

/// Which items there are, and how they are written.
#[derive(Clone, Debug)]
pub struct Items {
    /// How many.
    pub count: u32,
    /// Lengths of keys.
    pub key_sizes: Sizes,
    /// Lengths of values.
    pub value_sizes: Sizes,
    /// Seconds after which they expire; 0: never.
    pub ttls: Sizes,
    filler: Filler,
}

/// Lengths that cannot be keys of so many items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} items need keys of at least {need} bytes, the shortest has {len}")]
pub struct KeysTooShort {
    count: u32,
    need: usize,
    len: u32,
}

impl Items {
    /// What the lengths of values are told from others by, in [`Sizes::of`].
    pub(crate) const VALUES: u32 = 1;

    /// So many items.
    pub fn new(count: u32, key_sizes: Sizes, value_sizes: Sizes) -> Result<Self, KeysTooShort> {
        let need = count.saturating_sub(1).checked_ilog10().unwrap_or(0) as usize + 1;
        let len = key_sizes.min();
        if (len as usize) < need {
            return Err(KeysTooShort { count, need, len });
        }
        let filler = Filler::new(value_sizes.max());
        Ok(Self { count, key_sizes, value_sizes, ttls: Sizes::fixed(0), filler })
    }

    /// The same items, which expire.
    #[must_use]
    pub fn expiring(self, ttls: Sizes) -> Self {
        Self { ttls, ..self }
    }

    /// After how many seconds an item expires; 0: never.
    #[inline]
    #[must_use]
    pub fn ttl(&self, item: u32) -> u32 {
        self.ttls.of(item, 2)
    }

    /// The value of an item.
    #[inline]
    #[must_use]
    pub fn value(&self, item: u32) -> &[u8] {
        self.filler.value(item, self.value_sizes.of(item, Self::VALUES))
    }

    fn write_key(&self, item: u32, key: &mut Vec<u8>) {
        key.resize(self.key_sizes.of(item, 0) as usize, 0);
        Keys::new(key.len(), u64::from(self.count)).write(u64::from(item), key);
    }
}

/// One request of a script.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where it ends in the bytes.
    end: u32,
    item: u32,
    kind: Kind,
}

/// Requests, written out.
#[derive(Debug)]
pub struct Script {
    /// The protocol in which they are.
    pub protocol: Protocol,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Script {
    /// SETs of these items, one after the other, as many as fit into one script; and how many these are.
    #[must_use]
    pub fn storing(protocol: Protocol, items: &Items, range: Range<u32>) -> Self {
        Self::write(protocol, items, range.map(|item| (Kind::Set, item)))
    }

    /// `count` requests of a mix, or as many as a script may have. The same seed draws the same.
    #[must_use]
    pub fn drawn(
        protocol: Protocol,
        items: &Items,
        sampler: &Sampler,
        mix: Mix,
        seed: u64,
        count: u64,
    ) -> Self {
        let mut random = Random::new(seed);
        let requests = (0..count.clamp(1, SCRIPT_REQUESTS_MAX)).map(|_| {
            let kind = match mix {
                Mix::Ping => Kind::Ping,
                Mix::Ratio { sets, gets: 0 } if sets > 0 => Kind::Set,
                Mix::Ratio { sets: 0, .. } => Kind::Get,
                Mix::Ratio { sets, gets } if random.below(sets + gets) < sets => Kind::Set,
                Mix::Ratio { .. } => Kind::Get,
            };
            (kind, sampler.draw(&mut random))
        });
        Self::write(protocol, items, requests)
    }

    fn write(protocol: Protocol, items: &Items, requests: impl Iterator<Item = (Kind, u32)>) -> Self {
        let (mut bytes, mut entries, mut key) = (Vec::new(), Vec::new(), Vec::new());
        for (kind, item) in requests {
            items.write_key(item, &mut key);
            let value = if kind == Kind::Set { items.value(item) } else { b"" };
            protocol.write(&mut bytes, kind, &key, value, items.ttl(item));
            entries.push(Entry { end: bytes.len() as u32, item, kind });
            // One value has up to 1 GiB: lengths fit 32 bits.
            if bytes.len() >= SCRIPT_LEN_MAX {
                break;
            }
        }
        Self { protocol, bytes, entries }
    }

    /// How many requests it has.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of it, as bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where these requests lie in the bytes.
    #[must_use]
    pub fn span(&self, requests: Range<u32>) -> Range<usize> {
        let end =
            |count: u32| count.checked_sub(1).map_or(0, |last| self.entries[last as usize].end as usize);
        end(requests.start)..end(requests.end)
    }

    /// What the request of this number asks for.
    #[inline]
    #[must_use]
    pub fn kind(&self, request: u32) -> Kind {
        self.entries[request as usize].kind
    }

    /// The item that it is about.
    #[inline]
    #[must_use]
    pub fn item(&self, request: u32) -> u32 {
        self.entries[request as usize].item
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Distribution;

    fn items(key_sizes: &str, value_sizes: &str) -> Items {
        Items::new(1000, key_sizes.parse().unwrap(), value_sizes.parse().unwrap()).unwrap()
    }

    #[test]
    fn requests_lie_where_the_script_says() {
        let items = items("11-20", "0-40");
        let sampler = Sampler::new(Distribution::Zipf(0.9), 1000);
        let mix = Mix::Ratio { sets: 1, gets: 3 };
        let script = Script::drawn(Protocol::Resp, &items, &sampler, mix, 7, 500);
        assert_eq!(script.len(), 500);
        let mut sets = 0;
        for request in 0..500 {
            let (mut key, mut expected) = (Vec::new(), Vec::new());
            items.write_key(script.item(request), &mut key);
            let kind = script.kind(request);
            Protocol::Resp.write(&mut expected, kind, &key, items.value(script.item(request)), 0);
            assert_eq!(&script.bytes()[script.span(request..request + 1)], &expected);
            sets += u32::from(kind == Kind::Set);
        }
        assert!((90..160).contains(&sets), "{sets}");
        assert_eq!(script.span(0..500), 0..script.bytes().len());
        let again = Script::drawn(Protocol::Resp, &items, &sampler, mix, 7, 500);
        assert_eq!(again.bytes(), script.bytes());
    }

    #[test]
    fn large_values_make_a_short_script() {
        let items = items("11", "50000000");
        let script = Script::storing(Protocol::Native, &items, 0..1000);
        assert_eq!(script.len(), 3);
        assert_eq!(script.span(0..3).end, script.bytes().len());
    }

    #[test]
    fn keys_that_cannot_tell_items_apart_are_refused() {
        let new = |count, len| Items::new(count, Sizes::fixed(len), Sizes::fixed(1)).is_ok();
        assert!(new(1000, 3) && !new(1001, 3) && new(1, 1) && !new(1, 0));
    }
}

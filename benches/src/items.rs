//! What does an item cost beyond its key and value? Fills an engine and counts, twice: by the engine's own figures, and
//! by what the system says this process has in memory.

use std::fmt;

use crabcache_engine::{BATCH, Cache, Config, Handle, Millis, OpenError, Outcome, Stats, StoreError};
use serde_json::{Value, json};

use crate::bytes::{Filler, Keys, Region};
use crate::drive;
use crate::process;

/// Bytes per item that the region is made larger by, so that all items fit whatever the engine's overhead.
const OVERHEAD_GUESS: u64 = 40;
/// The region's size beside the items: handles, tables, and a reserve that engines keep free.
const SPARE: u64 = 4 << 20;

/// What to fill the engine with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Number of items.
    pub items: u32,
    /// Bytes of each key.
    pub key_len: usize,
    /// Bytes of each value.
    pub value_len: u32,
    /// Number of shards; 0 leaves it to the engine.
    pub shards: u32,
}

/// What it takes.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// Items asked for.
    pub items: u32,
    /// Bytes of each key.
    pub key_len: usize,
    /// Bytes of each value.
    pub value_len: u32,
    /// The engine's figures when it is full.
    pub stats: Stats,
    /// How much the process's memory grew while it was filled, in bytes; none where the system does not tell.
    pub rss_bytes: Option<u64>,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum ItemsError {
    /// The engine cannot be made.
    #[error("no engine of this size: {0}")]
    Open(#[from] OpenError),
    /// The engine does not take the items.
    #[error("an item was refused: {0}")]
    Refused(#[from] StoreError),
}

/// Fills an engine.
///
/// # Panics
/// If the engine answers a put with something that is no answer to it.
pub fn measure(options: Options) -> Result<Footprint, ItemsError> {
    let Options { items, key_len, value_len, shards } = options;
    let keys = Keys::new(key_len, u64::from(items));
    let filler = Filler::new(value_len);
    let each = keys.len() as u64 + u64::from(value_len) + OVERHEAD_GUESS;
    let payload = u64::from(items) * each;
    let mut region = Region::new((payload + payload / 16 + SPARE) as usize);
    let before = process::rss();
    let cache = Cache::new(region.bytes(), Config { shards, handles_max: 2, ..Config::default() })?;
    let mut handle = cache.handle().expect("a cache that was just made has a handle");
    fill(&mut handle, items, keys, &filler, value_len)?;
    let rss_bytes = before.zip(process::rss()).map(|(before, after)| after.saturating_sub(before));
    let stats = cache.stats();
    Ok(Footprint { items, key_len: keys.len(), value_len, stats, rss_bytes })
}

fn fill(
    handle: &mut Handle<'_>,
    items: u32,
    keys: Keys,
    filler: &Filler,
    value_len: u32,
) -> Result<(), StoreError> {
    let mut key_bytes = vec![0; BATCH * keys.len()];
    let mut refusal = Ok(());
    for first in (0..items).step_by(BATCH) {
        let numbers = first..items.min(first + BATCH as u32);
        for (number, key) in numbers.clone().zip(key_bytes.chunks_exact_mut(keys.len())) {
            keys.write(u64::from(number), key);
        }
        let ops: Vec<_> = numbers
            .zip(key_bytes.chunks_exact(keys.len()))
            .map(|(number, key)| crabcache_engine::Op::put(key, filler.value(number, value_len)))
            .collect();
        let done = drive::execute(handle, Millis(0), &ops, |_, outcome| match outcome {
            Outcome::Stored { .. } => {}
            Outcome::Refused(error) => refusal = Err(error),
            other => panic!("a put is answered with {other:?}"),
        });
        handle.quiescent(Millis(0));
        refusal?;
        if done < ops.len() {
            return Err(StoreError::Pressure);
        }
    }
    Ok(())
}

impl Footprint {
    /// Bytes per item beyond key and value, by the engine's figures: blocks of items and all that the index has taken.
    #[must_use]
    pub fn overhead_by_stats(&self) -> f64 {
        self.beyond_payload(self.stats.used_bytes + self.stats.index_bytes)
    }

    /// Bytes per item beyond key and value, by resident memory: everything, down to the tables and the page rounding.
    #[must_use]
    pub fn overhead_by_rss(&self) -> Option<f64> {
        self.rss_bytes.map(|bytes| self.beyond_payload(bytes))
    }

    fn beyond_payload(&self, bytes: u64) -> f64 {
        let items = self.stats.items.max(1) as f64;
        bytes as f64 / items - self.key_len as f64 - f64::from(self.value_len)
    }

    /// As one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "items": self.stats.items,
            "key_len": self.key_len,
            "value_len": self.value_len,
            "evictions": self.stats.evictions,
            "used_bytes": self.stats.used_bytes,
            "index_bytes": self.stats.index_bytes,
            "index_free_bytes": self.stats.index_free_bytes,
            "buckets": self.stats.buckets,
            "rss_bytes": self.rss_bytes,
            "overhead_by_stats": self.overhead_by_stats(),
            "overhead_by_rss": self.overhead_by_rss(),
        })
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = &self.stats;
        let per_item = |bytes: u64| bytes as f64 / stats.items.max(1) as f64;
        writeln!(f, "items            {} of {} + {} bytes", stats.items, self.key_len, self.value_len)?;
        if stats.evictions > 0 {
            writeln!(f, "evicted          {}: the region was too small for all items", stats.evictions)?;
        }
        writeln!(f, "blocks           {:.2} bytes per item", per_item(stats.used_bytes))?;
        writeln!(
            f,
            "index            {:.2} bytes per item, {:.2} of them free, {} buckets",
            per_item(stats.index_bytes),
            per_item(stats.index_free_bytes),
            stats.buckets
        )?;
        write!(f, "beyond payload   {:.2} bytes per item by stats", self.overhead_by_stats())?;
        match self.overhead_by_rss() {
            Some(overhead) => write!(f, ", {overhead:.2} by RSS"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_items_fit_and_cost_something() {
        for (key_len, value_len) in [(11, 32), (6, 0), (40, 300)] {
            let options = Options { items: 20_000, key_len, value_len, shards: 1 };
            let footprint = measure(options).unwrap();
            assert_eq!((footprint.stats.items, footprint.stats.evictions), (20_000, 0));
            let overhead = footprint.overhead_by_stats();
            assert!((8.0..40.0).contains(&overhead), "{key_len} + {value_len}: {overhead}");
            assert_eq!(footprint.to_json()["items"], 20_000);
        }
    }
}

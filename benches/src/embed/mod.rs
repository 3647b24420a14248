//! What does a cache inside a program cost? The engine beside the caches and maps that Rust programs use.
//!
//! ```text
//! keys (drawn, written out) -> measure (threads, CPU clock) -> contender: engine one by one | engine in batches | peers
//!                                                           -> report: ns, ratios round by round, bytes per item
//! ```
//! All contenders are alive and filled at the same time. Each round gives each of them the same operations, one contender
//! after the other, beginning with another one each time: what disturbs the machine disturbs all of them alike. Round 0 is
//! not counted. Two parts: with *room* for a quarter more than all items (gets, overwrites), and *full* (new keys).

pub mod engine;
pub mod measure;
pub mod pages;
pub mod peers;
pub mod report;

use std::str::FromStr;

use crabcache_engine::OpenError;

use crate::bytes::{Filler, Keys};
use crate::counted::counted;
use crate::draw::{Distribution, Random, Sampler, write_keys};
use crate::process;
use engine::{Engine, Mode};
use measure::{Contender, Operation, VALUE_SHIFTS, Work};
use pages::{Pages, Region};
use peers::PeerKind;
use report::{Held, Report, Row, Table};

/// What the engine is given for an item beyond key and value, in bytes, so that a full one holds about as many as were
/// asked for: header and rounding, index, and its share of ghost and reserve.
const FULL_OVERHEAD: usize = 17;
/// The same where all items have to fit.
const ROOM_OVERHEAD: usize = 22;
/// The engine's handles and tables.
const SPARE: usize = 64 << 10;

/// What is asked of the contenders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// What does a get cost, of items that are all there?
    Get,
    /// What does it cost to overwrite one of them?
    Overwrite,
    /// What does a key that was never seen cost a cache that is full?
    NewKey,
}

/// A text that is no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of get, overwrite, new-key")]
pub struct BadQuestion;

impl Question {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Get, Self::Overwrite, Self::NewKey];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Overwrite => "overwrite",
            Self::NewKey => "new-key",
        }
    }

    const fn operation(self) -> Operation {
        match self {
            Self::Get => Operation::Get,
            Self::Overwrite | Self::NewKey => Operation::Put,
        }
    }
}

impl FromStr for Question {
    type Err = BadQuestion;

    fn from_str(text: &str) -> Result<Self, BadQuestion> {
        Self::ALL.into_iter().find(|question| question.name() == text).ok_or(BadQuestion)
    }
}

/// What to measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Number of items.
    pub items: u32,
    /// Bytes of each key.
    pub key_len: usize,
    /// Bytes of each value.
    pub value_len: u32,
    /// Numbers of threads, each measured for itself.
    pub threads: Vec<u32>,
    /// How often each item is asked for; each measured for itself.
    pub distributions: Vec<Distribution>,
    /// Rounds that count.
    pub rounds: u32,
    /// Operations of each thread in a round.
    pub ops: u32,
    /// Shards of the engine; 0 leaves it to the engine.
    pub shards: u32,
    /// The pages of the engine's memory.
    pub pages: Pages,
    /// What to ask.
    pub questions: Vec<Question>,
    /// Who takes part beside the engine.
    pub peers: Vec<PeerKind>,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The engine cannot be made.
    #[error("no engine of this size: {0}")]
    Open(#[from] OpenError),
    /// There is no memory for it.
    #[error("no memory for an engine of this size: {0}")]
    Memory(#[from] std::io::Error),
    /// A contender gave something else than what was put into it.
    #[error("{name} has the wrong value for item {item}")]
    WrongValue {
        /// Its name.
        name: &'static str,
        /// The number of the item.
        item: u32,
    },
}

/// Measures everything; tells `progress` what it is about to do.
pub fn measure(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Report, EmbedError> {
    let bench = Bench::new(options);
    let mut tables = Vec::new();
    let memory = bench.with_room(&mut tables, progress)?;
    let full = if options.questions.contains(&Question::NewKey) {
        bench.full(&mut tables, progress)?
    } else {
        Vec::new()
    };
    Ok(Report { options: options.clone(), memory, full, tables })
}

/// What all parts need.
struct Bench<'o> {
    options: &'o Options,
    keys: Keys,
    /// Values are taken from here.
    values: Vec<u8>,
}

/// Those who take part.
type Contenders<'r> = Vec<Box<dyn Contender + 'r>>;

impl<'o> Bench<'o> {
    fn new(options: &'o Options) -> Self {
        let threads: u64 = options.threads.iter().map(|&threads| u64::from(threads)).sum();
        let inserted = u64::from(options.ops) * threads * (u64::from(options.rounds) + 1);
        let keys = Keys::new(options.key_len, u64::from(options.items) * 2 + inserted);
        let filler = Filler::new(options.value_len);
        let values = filler.value(0, options.value_len + VALUE_SHIFTS as u32).to_vec();
        Self { options, keys, values }
    }

    /// Gets and overwrites of items that are all there.
    fn with_room(
        &self,
        tables: &mut Vec<Table>,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Vec<Held>, EmbedError> {
        let Options { items, distributions, threads, peers, questions, .. } = self.options;
        let questions: Vec<_> = questions.iter().copied().filter(|&it| it != Question::NewKey).collect();
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let room = *items as usize + *items as usize / 4;
        let mut regions = self.regions(room * (self.item_len() + ROOM_OVERHEAD))?;
        let (contenders, held) = self.build(&mut regions, peers, room, u64::from(*items), progress)?;
        for contender in &contenders {
            self.check(&**contender)?;
        }
        for &distribution in distributions {
            let sampler = Sampler::new(distribution, *items);
            for &threads in threads {
                for &question in &questions {
                    progress(&format!("{}, {distribution}, {}", question.name(), counted(threads, "thread")));
                    let rows = self.rounds(&contenders, question, threads, |round, thread| {
                        let mut random = Random::new(u64::from(round) << 32 | u64::from(thread));
                        let numbers = (0..self.options.ops).map(|_| u64::from(sampler.draw(&mut random)));
                        write_keys(self.keys, numbers)
                    });
                    let distribution = Some(distribution);
                    tables.push(Table { question, distribution, threads, rows });
                }
            }
        }
        Ok(held)
    }

    /// Keys that were never seen, into caches that are full.
    fn full(&self, tables: &mut Vec<Table>, progress: &mut dyn FnMut(&str)) -> Result<Vec<Held>, EmbedError> {
        let &Options { items, ops, .. } = self.options;
        let peers: Vec<_> = self.options.peers.iter().copied().filter(|peer| peer.evicts()).collect();
        let mut regions = self.regions(items as usize * (self.item_len() + FULL_OVERHEAD))?;
        let mut next = u64::from(items) * 3 / 2;
        let (contenders, _) = self.build(&mut regions, &peers, items as usize, next, progress)?;
        for &threads in &self.options.threads {
            progress(&format!("new-key, {}", counted(threads, "thread")));
            let rows = self.rounds(&contenders, Question::NewKey, threads, |_, _| {
                let numbers = 0..ops;
                let first = next;
                next += u64::from(ops);
                write_keys(self.keys, numbers.map(|number| first + u64::from(number)))
            });
            tables.push(Table { question: Question::NewKey, distribution: None, threads, rows });
        }
        Ok(contenders.iter().map(|contender| Held::of(&**contender, None)).collect())
    }

    /// Bytes of key and value.
    fn item_len(&self) -> usize {
        self.keys.len() + self.options.value_len as usize
    }

    /// Memory for the engine in its two modes.
    fn regions(&self, len: usize) -> std::io::Result<[Region; 2]> {
        let handles = self.threads_max() as usize + 1;
        let region = || Region::new(len + SPARE + handles * SPARE / 2, self.options.pages);
        Ok([region()?, region()?])
    }

    fn threads_max(&self) -> u32 {
        self.options.threads.iter().copied().max().unwrap_or(1)
    }

    /// Makes the contenders and fills them, one after the other, with the keys of the numbers below `count`.
    fn build<'r>(
        &self,
        regions: &'r mut [Region; 2],
        peers: &[PeerKind],
        capacity: usize,
        count: u64,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(Contenders<'r>, Vec<Held>), EmbedError> {
        let (mut contenders, mut held) = (Contenders::new(), Vec::new());
        let mut add = |make: &mut dyn FnMut() -> Result<Box<dyn Contender + 'r>, EmbedError>| {
            let before = process::rss();
            let contender = make()?;
            progress(&format!("filling {}", contender.name()));
            self.fill(&*contender, count);
            let grown = before.zip(process::rss()).map(|(before, after)| after.saturating_sub(before));
            held.push(Held::of(&*contender, grown));
            contenders.push(contender);
            Ok::<(), EmbedError>(())
        };
        for (region, mode) in regions.iter_mut().zip([Mode::OneByOne, Mode::Batches]) {
            let mut region = Some(region);
            add(&mut || {
                let region = region.take().expect("made once");
                let engine = Engine::new(region.bytes(), mode, self.options.shards, self.threads_max())?;
                Ok(Box::new(engine))
            })?;
        }
        for &peer in peers {
            add(&mut || Ok(peer.build(capacity)))?;
        }
        Ok((contenders, held))
    }

    /// Puts the keys of the numbers below `count`, the way that is measured, in parts.
    fn fill(&self, contender: &dyn Contender, count: u64) {
        // A multiple of what values repeat after, so that an item's number decides its value.
        let part = VALUE_SHIFTS * 4;
        for first in (0..count).step_by(part) {
            let len = (part as u64).min(count - first) as u32;
            let buffer = write_keys(self.keys, (0..len).map(|number| first + u64::from(number)));
            let _ = measure::run(contender, &[self.work(Operation::Put, &buffer)]);
        }
    }

    /// Whether some of the items are what was filled in; one that is absent is no error.
    fn check(&self, contender: &dyn Contender) -> Result<(), EmbedError> {
        let items = self.options.items;
        let mut key = vec![0; self.keys.len()];
        for item in (0..items).step_by(items as usize / 1000 + 1) {
            self.keys.write(u64::from(item), &mut key);
            let expected = self.work(Operation::Get, &key).value(item as usize);
            if contender.value(&key).is_some_and(|value| value != expected) {
                return Err(EmbedError::WrongValue { name: contender.name(), item });
            }
        }
        Ok(())
    }

    /// A row for each contender. `buffer` makes the keys of a round and a thread.
    fn rounds(
        &self,
        contenders: &Contenders<'_>,
        question: Question,
        threads: u32,
        mut buffer: impl FnMut(u32, u32) -> Vec<u8>,
    ) -> Vec<Row> {
        let mut rows: Vec<_> = contenders.iter().map(|contender| Row::new(contender.name())).collect();
        for round in 0..=self.options.rounds {
            let buffers: Vec<_> = (0..threads).map(|thread| buffer(round, thread)).collect();
            let works: Vec<_> =
                buffers.iter().map(|buffer| self.work(question.operation(), buffer)).collect();
            for turn in 0..contenders.len() {
                let index = (turn + round as usize) % contenders.len();
                let tally = measure::run(&*contenders[index], &works);
                if round > 0 {
                    rows[index].add(&tally, question);
                }
            }
        }
        rows
    }

    fn work<'w>(&'w self, operation: Operation, keys: &'w [u8]) -> Work<'w> {
        Work { operation, keys, key_len: self.keys.len(), values: &self.values }
    }
}

#[cfg(test)]
mod tests;

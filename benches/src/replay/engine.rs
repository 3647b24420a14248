//! A replay straight on an engine, in a region of exactly the wanted size.

use std::mem::MaybeUninit;

use crabcache_engine::{
    Action as EngineAction, Cache, Condition, Config, Expiry, Handle, Millis, Op, Outcome,
};
use crabcache_engine::{Put, Stats, StoreError};
use hdrhistogram::Histogram;

use super::{Action, Answer, ReplayError, Step, Target};
use crate::bytes::{Filler, Keys};
use crate::drive;

/// Most blocks that are told apart.
const WALKED_MAX: u64 = 1 << 32;
/// Significant decimal digits of numbers of blocks.
const DIGITS: u8 = 3;

/// What it took an engine to make room, looked at after every call of [`Target::run`] that puts something.
#[derive(Clone, Debug)]
pub struct MakingRoom {
    /// Blocks that were looked at since the call before, those that were looked at ahead of need included.
    pub walked: Histogram<u64>,
    /// Calls since the first eviction, and the bytes that were free after them.
    full: u64,
    free_bytes: u64,
}

impl Default for MakingRoom {
    fn default() -> Self {
        let walked = Histogram::new_with_bounds(1, WALKED_MAX, DIGITS).expect("the bounds are good");
        Self { walked, full: 0, free_bytes: 0 }
    }
}

impl MakingRoom {
    fn note(&mut self, walked: u64, stats: &Stats) {
        self.walked.saturating_record(walked);
        if stats.evictions > 0 {
            self.full += 1;
            self.free_bytes += stats.free_bytes;
        }
    }

    /// Bytes that were free on average since something was evicted for the first time.
    #[must_use]
    pub fn idle_bytes(&self) -> u64 {
        self.free_bytes / self.full.max(1)
    }
}

/// An engine, the one handle of which replays.
#[derive(Debug)]
pub struct EngineTarget<'c> {
    cache: &'c Cache<'c>,
    handle: Handle<'c>,
    keys: Keys,
    filler: &'c Filler,
    /// The keys of the steps, one after the other.
    key_bytes: Vec<u8>,
    making_room: MakingRoom,
    /// [`Stats::walked`] when it was last looked at.
    walked: u64,
}

impl<'c> EngineTarget<'c> {
    /// A cache in all of the region. Its hash has a fixed seed, so that a replay can be repeated exactly.
    pub fn open(region: &mut [MaybeUninit<u8>], shards: u32) -> Result<Cache<'_>, ReplayError> {
        Ok(Cache::new(region, Config { shards, handles_max: 1, ..Config::default() })?)
    }

    /// Takes the cache's handle.
    ///
    /// # Panics
    /// If it is taken.
    #[must_use]
    pub fn new(cache: &'c Cache<'_>, keys: Keys, filler: &'c Filler) -> Self {
        let handle = cache.handle().expect("a cache that was just made has a handle");
        let making_room = MakingRoom::default();
        Self { cache, handle, keys, filler, key_bytes: Vec::new(), making_room, walked: 0 }
    }

    /// What it took to make room.
    #[must_use]
    pub fn into_making_room(self) -> MakingRoom {
        self.making_room
    }
}

impl Target for EngineTarget<'_> {
    fn run(&mut self, now_ms: u64, steps: &[Step], answers: &mut Vec<Answer>) -> Result<(), ReplayError> {
        let Self { handle, keys, filler, key_bytes, .. } = self;
        key_bytes.resize(steps.len() * keys.len(), 0);
        for (step, key) in steps.iter().zip(key_bytes.chunks_exact_mut(keys.len())) {
            keys.write(u64::from(step.key), key);
        }
        let op = |(step, key)| op(step, key, filler);
        let now = Millis(now_ms);
        if let [step] = steps {
            run(handle, now, steps, &[op((step, key_bytes))], filler, answers)?;
        } else {
            let ops: Vec<_> = steps.iter().zip(key_bytes.chunks_exact(keys.len())).map(op).collect();
            run(handle, now, steps, &ops, filler, answers)?;
        }
        if steps.iter().any(|step| matches!(step.action, Action::Put { .. })) {
            let stats = self.cache.stats();
            self.making_room.note(stats.walked - self.walked, &stats);
            self.walked = stats.walked;
        }
        Ok(())
    }

    fn is_local(&self) -> bool {
        true
    }
}

fn run(
    handle: &mut Handle<'_>,
    now: Millis,
    steps: &[Step],
    ops: &[Op<'_>],
    filler: &Filler,
    answers: &mut Vec<Answer>,
) -> Result<(), ReplayError> {
    let (mut done, mut unexpected) = (0, None);
    while done < ops.len() {
        done += drive::execute(handle, now, &ops[done..], |index, outcome| {
            let step = &steps[done + index];
            let answer = answer(step, &outcome, filler);
            if answer.is_none() {
                unexpected = Some(format!("{step:?}: {outcome:?}"));
            }
            answers.push(answer.unwrap_or(Answer::TryAgain));
        });
        if done < ops.len() {
            answers.push(Answer::TryAgain);
            done += 1;
        }
    }
    handle.quiescent(now);
    unexpected.map_or(Ok(()), |what| Err(ReplayError::Unexpected(what)))
}

fn op<'a>(step: &Step, key: &'a [u8], filler: &'a Filler) -> Op<'a> {
    let action = match step.action {
        Action::Get => EngineAction::Get,
        Action::Put { expires_ms } => EngineAction::Put(Put {
            value: filler.value(step.key, step.size),
            expiry: expires_ms.map_or(Expiry::Never, |at| Expiry::At(Millis(at))),
            ..Put::default()
        }),
        Action::Delete => EngineAction::Delete(Condition::Always),
    };
    Op { key, action }
}

/// None for an outcome that the step cannot have.
fn answer(step: &Step, outcome: &Outcome<'_>, filler: &Filler) -> Option<Answer> {
    Some(match (step.action, outcome) {
        (Action::Get, Outcome::Hit(value)) => {
            let bytes = value.bytes();
            Answer::Hit { size: bytes.len() as u32, intact: filler.is_value(step.key, bytes) }
        }
        (Action::Get | Action::Delete, Outcome::Miss) => Answer::Miss,
        (Action::Put { .. }, Outcome::Stored { .. }) | (Action::Delete, Outcome::Removed(_)) => Answer::Done,
        (Action::Put { .. }, Outcome::Refused(StoreError::TooLarge { .. })) => Answer::TooLarge,
        _ => return None,
    })
}

/// Memory that is neither an item's nor the index's nor free nor waiting: tables, handle records, lists.
#[must_use]
pub fn fixed_bytes(stats: &Stats) -> u64 {
    let Stats { used_bytes, free_bytes, limbo_bytes, index_bytes, .. } = *stats;
    stats.region_bytes.saturating_sub(used_bytes + free_bytes + limbo_bytes + index_bytes)
}

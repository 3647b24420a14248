//! What is measured, and the clock: CPU-nanoseconds of the threads that carry out operations on one cache.

use std::ops::AddAssign;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::process::CpuTime;

/// Values begin at different places of the buffer that they are taken from, so many bytes apart at most.
pub const VALUE_SHIFTS: usize = 4096;
/// So many operations make up a turn: an engine's batch. Between turns a thread does what its cache wants it to do now and then.
pub const TURN: usize = crabcache_engine::BATCH;

/// What is done with each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Look the key up, and look at the first byte of what is found.
    Get,
    /// Store a value under the key.
    Put,
}

/// What one thread has to do.
#[derive(Clone, Copy, Debug)]
pub struct Work<'w> {
    /// What to do with each key.
    pub operation: Operation,
    /// The keys, one after the other.
    pub keys: &'w [u8],
    /// Bytes of each key.
    pub key_len: usize,
    /// Where values are taken from: [`VALUE_SHIFTS`] bytes more than a value has.
    pub values: &'w [u8],
}

impl<'w> Work<'w> {
    /// How many operations it is.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len() / self.key_len
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The value for the operation of this number.
    #[inline]
    #[must_use]
    pub fn value(&self, number: usize) -> &'w [u8] {
        &self.values[number % VALUE_SHIFTS..][..self.values.len() - VALUE_SHIFTS]
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations carried out.
    pub operations: u64,
    /// Gets that found their key.
    pub hits: u64,
    /// How often a put met pressure: it was tried again.
    pub pressed: u64,
    /// Puts that were refused for good.
    pub refused: u64,
    /// Sum of the first bytes of what was found; nobody wants to know, but so it has to be read.
    pub sum: u64,
    /// CPU time of all threads.
    pub cpu: Duration,
}

impl Tally {
    /// CPU-nanoseconds per operation.
    #[must_use]
    pub fn nanoseconds(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.operations.max(1) as f64
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.hits += other.hits;
        self.pressed += other.pressed;
        self.refused += other.refused;
        self.sum = self.sum.wrapping_add(other.sum);
        self.cpu += other.cpu;
    }
}

/// A cache that takes part. Threads share it.
pub trait Contender: Sync {
    /// What it is called in the report.
    fn name(&self) -> &'static str;

    /// Items in it, as it counts them itself.
    fn items(&self) -> u64;

    /// Carries out the work of one thread. `start` is called once everything is prepared.
    fn run(&self, work: &Work<'_>, start: &dyn Fn() -> CpuTime) -> Tally;

    /// The value of a key, for checking.
    fn value(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Bytes that its items take, as it counts them itself; none if it does not.
    fn own_bytes(&self) -> Option<u64> {
        None
    }
}

/// The first byte, as a number; 0 for a value without bytes.
#[inline(always)]
#[must_use]
pub fn first_byte(value: &[u8]) -> u64 {
    value.first().map_or(0, |&byte| u64::from(byte))
}

/// Carries out some work, a thread for each part of it; they begin together.
///
/// # Panics
/// If the contender does.
#[must_use]
pub fn run(contender: &dyn Contender, works: &[Work<'_>]) -> Tally {
    let barrier = Barrier::new(works.len());
    let start = || {
        barrier.wait();
        CpuTime::now()
    };
    let mut sum = Tally::default();
    thread::scope(|scope| {
        let threads: Vec<_> = works.iter().map(|work| scope.spawn(|| contender.run(work, &start))).collect();
        for thread in threads {
            sum += thread.join().expect("a contender does not panic");
        }
    });
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_length_wherever_they_begin() {
        let values = vec![1; VALUE_SHIFTS + 7];
        let work = Work { operation: Operation::Put, keys: b"abcdef", key_len: 3, values: &values };
        assert_eq!(work.len(), 2);
        assert!([0, 1, VALUE_SHIFTS - 1, VALUE_SHIFTS, usize::MAX].iter().all(|&i| work.value(i).len() == 7));
    }
}

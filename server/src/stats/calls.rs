//! How often each command of RESP was called, and how long that took.
//!
//! What looks at one key is carried out in batches, where no request has a duration of its own: one turn of
//! [`SAMPLE`], and one in [`SAMPLE_MS`], is timed as a whole, and its mean stands for them all. What takes longer than a look at the clock
//! (several keys, a walk, a report) is timed each time.

use std::sync::OnceLock;

use super::Counter;
use crate::command::resp::COMMANDS;

/// One turn of so many is timed.
pub(crate) const SAMPLE: u64 = 64;
/// The next turn after so long is timed in any case: where little happens, most are.
pub(crate) const SAMPLE_MS: u64 = 100;

/// Durations in buckets that grow by a quarter of an octave: bucket `4 * n + q` begins at `(4 + q) << n >> 2` ns.
#[derive(Debug)]
pub(crate) struct Times([Counter; Self::BUCKETS]);

impl Default for Times {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Times {
    /// Enough for 68 seconds.
    pub(crate) const BUCKETS: usize = 4 * 36;

    fn bucket(nanos: u64) -> usize {
        let nanos = nanos.max(4);
        let octave = nanos.ilog2();
        let quarter = (nanos >> (octave - 2)) & 3;
        ((octave * 4) as usize + quarter as usize).min(Self::BUCKETS - 1)
    }

    /// The shortest duration of a bucket, in nanoseconds.
    pub(crate) fn from_nanos(bucket: usize) -> u64 {
        let (octave, quarter) = ((bucket / 4) as u32, (bucket % 4) as u64);
        (4 + quarter) << octave >> 2
    }
}

/// What is counted about one command.
#[derive(Debug, Default)]
pub(crate) struct Call {
    /// How often it was carried out.
    pub(crate) calls: Counter,
    /// How often it was refused before that.
    pub(crate) rejected: Counter,
    /// How often it was answered with an error at once. Errors that come of an operation in a batch (the value is no
    /// number) count by their code only.
    pub(crate) failed: Counter,
    /// How often it was timed, and how long that was, together.
    timed: Counter,
    nanos: Counter,
    times: OnceLock<Box<Times>>,
}

impl Call {
    /// Notes how long each of `calls` calls took.
    pub(crate) fn time(&self, nanos: u64, calls: u64) {
        self.timed.add(calls);
        self.nanos.add(nanos * calls);
        self.times.get_or_init(Box::default).0[Times::bucket(nanos)].add(calls);
    }
}

/// The calls of one worker.
#[derive(Debug)]
pub(crate) struct Calls {
    commands: Box<[Call]>,
    /// The mean requests of timed turns.
    pub(crate) batched: Call,
}

impl Default for Calls {
    fn default() -> Self {
        Self { commands: (0..COMMANDS).map(|_| Call::default()).collect(), batched: Call::default() }
    }
}

impl Calls {
    /// What is counted about the command of this number.
    #[inline]
    pub(crate) fn of(&self, number: usize) -> &Call {
        &self.commands[number]
    }
}

/// The sums about one command.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallTotals {
    pub(crate) calls: u64,
    pub(crate) rejected: u64,
    pub(crate) failed: u64,
    timed: u64,
    nanos: u64,
    times: Vec<u64>,
}

impl CallTotals {
    /// Adds up what the workers have timed of requests that were carried out in batches, in any protocol.
    pub(crate) fn batched<'a>(workers: impl Iterator<Item = &'a Calls>) -> Self {
        let mut sum = Self::default();
        workers.for_each(|worker| sum.add(&worker.batched));
        sum
    }

    fn add(&mut self, call: &Call) {
        self.calls += call.calls.get();
        self.rejected += call.rejected.get();
        self.failed += call.failed.get();
        self.timed += call.timed.get();
        self.nanos += call.nanos.get();
        if let Some(times) = call.times.get() {
            self.times.resize(Times::BUCKETS, 0);
            self.times.iter_mut().zip(&times.0).for_each(|(sum, more)| *sum += more.get());
        }
    }

    /// Without what was counted before.
    fn since(mut self, before: &Self) -> Self {
        self.calls -= before.calls;
        self.rejected -= before.rejected;
        self.failed -= before.failed;
        self.timed -= before.timed;
        self.nanos -= before.nanos;
        self.times.iter_mut().zip(&before.times).for_each(|(now, before)| *now -= before);
        self
    }

    /// The mean duration in nanoseconds.
    pub(crate) fn mean_nanos(&self) -> u64 {
        self.nanos.checked_div(self.timed).unwrap_or(0)
    }

    /// The duration, in nanoseconds, that this share of the calls did not exceed; none if none was timed.
    pub(crate) fn percentile(&self, percent: f64) -> Option<u64> {
        let all: u64 = self.times.iter().sum();
        let wanted = (all as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        let bucket = self.times.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Times::from_nanos(bucket + 1) - 1)
    }

    /// Durations that are powers of two of 1024 ns, and how many calls took no longer; ends when that is all of them.
    pub(crate) fn histogram(&self) -> Vec<(u64, u64)> {
        let all: u64 = self.times.iter().sum();
        let mut lines: Vec<(u64, u64)> = Vec::new();
        for octave in 10..36 {
            let below: u64 = self.times.iter().take(octave * 4).sum();
            let before = lines.last().map_or(0, |line| line.1);
            if below > before {
                lines.push((1 << octave, below));
            }
            if below == all {
                break;
            }
        }
        lines
    }
}

/// The sums about all commands.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllCalls {
    commands: Vec<CallTotals>,
    batched: CallTotals,
}

impl AllCalls {
    /// Adds up what the workers have counted.
    pub(crate) fn of<'a>(workers: impl Iterator<Item = &'a Calls>) -> Self {
        let mut all = Self { commands: vec![CallTotals::default(); COMMANDS], ..Self::default() };
        for worker in workers {
            all.commands.iter_mut().zip(&worker.commands).for_each(|(sum, call)| sum.add(call));
            all.batched.add(&worker.batched);
        }
        all
    }

    /// Without what was counted before.
    pub(crate) fn since(self, before: &Self) -> Self {
        if before.commands.is_empty() {
            return self;
        }
        let commands = self.commands.into_iter().zip(&before.commands);
        let batched = self.batched.clone().since(&before.batched);
        Self {
            commands: commands.map(|(now, before)| now.since(before)).collect(),
            // While no turn was timed since, what was known before is the best guess.
            batched: if batched.timed > 0 { batched } else { self.batched },
        }
    }

    /// The sums of one command. Where it is not timed by itself, its durations are those of the timed turns.
    pub(crate) fn command(&self, number: usize) -> CallTotals {
        let own = &self.commands[number];
        if own.timed > 0 {
            return own.clone();
        }
        let CallTotals { timed, nanos, times, .. } = self.batched.clone();
        CallTotals { timed, nanos, times, ..own.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other() {
        for bucket in 8..Times::BUCKETS - 1 {
            let from = Times::from_nanos(bucket);
            assert!(from < Times::from_nanos(bucket + 1), "{bucket}");
            assert_eq!(Times::bucket(from), bucket);
            assert_eq!(Times::bucket(Times::from_nanos(bucket + 1) - 1), bucket);
        }
        assert_eq!(Times::bucket(u64::MAX), Times::BUCKETS - 1);
    }

    #[test]
    fn percentiles_and_histogram_of_known_calls() {
        let call = Call::default();
        call.time(1_000, 90);
        call.time(100_000, 9);
        call.time(10_000_000, 1);
        let mut totals = CallTotals::default();
        totals.add(&call);
        let near = |percent, nanos: f64| {
            let got = totals.percentile(percent).expect("it was timed") as f64;
            assert!((1.0..1.25).contains(&(got / nanos)), "{percent}: {got}");
        };
        near(50.0, 1_000.0);
        near(99.0, 100_000.0);
        near(99.9, 10_000_000.0);
        assert_eq!(totals.mean_nanos(), (90 * 1_000 + 9 * 100_000 + 10_000_000) / 100);
        assert_eq!(totals.histogram(), [(1 << 10, 90), (1 << 17, 99), (1 << 24, 100)]);
        let nothing = totals.clone().since(&totals);
        assert_eq!((nothing.percentile(50.0), nothing.histogram()), (None, Vec::new()));
    }
}

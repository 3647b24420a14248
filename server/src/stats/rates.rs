//! How much happens in a second, measured about once a second by the worker that looks after the time.

use std::sync::{Mutex, PoisonError};

use crabcache_engine::Millis;

use super::Totals;

/// What happened in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Requests.
    pub(crate) commands: u64,
    /// Bytes received.
    pub(crate) bytes_in: u64,
    /// Bytes sent.
    pub(crate) bytes_out: u64,
}

/// The last measurement.
#[derive(Debug, Default)]
pub(crate) struct Rates(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    at: Millis,
    totals: Totals,
    rate: Rate,
}

/// Nobody measures more often.
const PERIOD_MS: u64 = 900;
/// After so long without a measurement nothing is known.
const STALE_MS: u64 = 5_000;

impl Rates {
    /// Measures, if it is time.
    pub(crate) fn measure(&self, now: Millis, totals: impl FnOnce() -> Totals) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.0.saturating_sub(last.at.0);
        if elapsed < PERIOD_MS && now >= last.at {
            return;
        }
        let totals = totals();
        let rate =
            |now: u64, before: u64| (now - before).saturating_mul(1000).checked_div(elapsed).unwrap_or(0);
        let rate = Rate {
            commands: rate(totals.commands, last.totals.commands),
            bytes_in: rate(totals.bytes_in, last.totals.bytes_in),
            bytes_out: rate(totals.bytes_out, last.totals.bytes_out),
        };
        *last = Inner { at: now, totals, rate };
    }

    /// The last measurement.
    pub(crate) fn at(&self, now: Millis) -> Rate {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0.saturating_sub(last.at.0) > STALE_MS { Rate::default() } else { last.rate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_known_totals() {
        let rates = Rates::default();
        rates.measure(Millis(10_000), Totals::default);
        rates.measure(Millis(10_100), || panic!("too early"));
        rates.measure(Millis(12_000), || Totals { commands: 4000, bytes_in: 10, ..Totals::default() });
        assert_eq!(rates.at(Millis(12_500)), Rate { commands: 2000, bytes_in: 5, bytes_out: 0 });
        assert_eq!(rates.at(Millis(60_000)), Rate::default());
    }
}

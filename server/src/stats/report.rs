//! Everything that is counted, since the start or since the counters were last set to zero.

use crabcache_engine::Stats;

use super::calls::AllCalls;
use super::{Codes, Totals, memcache};

/// Everything that is counted.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// About items.
    pub(crate) stats: Stats,
    /// About requests.
    pub(crate) totals: Totals,
    /// About the commands of RESP.
    pub(crate) calls: AllCalls,
    /// About errors of RESP.
    pub(crate) codes: Codes,
    /// What memcached counts, by `memcache::NAMES`.
    pub(crate) memcached: [u64; memcache::NAMES.len()],
    /// Clients that came, and that were sent away.
    pub(crate) accepted: u64,
    /// Clients that were sent away.
    pub(crate) rejected: u64,
}

impl Report {
    pub(crate) fn since(self, before: &Self) -> Self {
        let stats = Stats {
            hits: self.stats.hits - before.stats.hits,
            misses: self.stats.misses - before.stats.misses,
            stores: self.stats.stores - before.stats.stores,
            deletes: self.stats.deletes - before.stats.deletes,
            evictions: self.stats.evictions - before.stats.evictions,
            expirations: self.stats.expirations - before.stats.expirations,
            ..self.stats
        };
        let codes = self.codes.into_iter().map(|(code, count)| {
            let count = count - before.codes.get(&code).copied().unwrap_or(0);
            (code, count)
        });
        Self {
            stats,
            totals: self.totals.since(&before.totals),
            calls: self.calls.since(&before.calls),
            memcached: std::array::from_fn(|i| self.memcached[i] - before.memcached[i]),
            codes: codes.filter(|(_, count)| *count > 0).collect(),
            accepted: self.accepted - before.accepted,
            rejected: self.rejected - before.rejected,
        }
    }
}

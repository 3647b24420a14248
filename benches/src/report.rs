//! What a replay prints: lines for people, or one JSON object.

use std::fmt;
use std::time::Duration;

use crabcache_engine::Stats;
use serde_json::{Map, Value, json};

use crate::counted::counted;
use crate::replay::{MakingRoom, Tally, fixed_bytes};
use crate::trace::Trace;

/// The outcome of a replay.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the trace.
    pub trace: String,
    /// Its keys and their lengths.
    pub keys: u32,
    /// Bytes of each key.
    pub key_len: usize,
    /// See [`Trace::working_set`].
    pub working_set: u64,
    /// Most requests in a window.
    pub batch: usize,
    /// Whether items expired.
    pub ttl: bool,
    /// What was counted.
    pub tally: Tally,
    /// How long it took; reading the trace is not in it.
    pub elapsed: Duration,
    /// By how many bytes this process grew; none of a server, and where the system does not tell.
    pub grown: Option<u64>,
    /// What it ran on.
    pub target: TargetReport,
}

/// What the target says of itself.
#[derive(Clone, Debug)]
pub enum TargetReport {
    /// An engine in this process.
    Engine {
        /// Bytes of the region.
        capacity: u64,
        /// Number of shards.
        shards: u32,
        /// Name of the SIMD level.
        simd: &'static str,
        /// Figures at the end.
        stats: Box<Stats>,
        /// Figures on the way.
        making_room: Box<MakingRoom>,
    },
    /// A cache of another crate, in this process.
    Cache {
        /// Its name.
        name: &'static str,
        /// Most bytes of keys and values that it may hold.
        capacity: u64,
    },
    /// A server.
    Server {
        /// Where it listens.
        addr: String,
        /// Its name and version.
        name: String,
        /// Its figures at the end, as it names them.
        stats: Vec<(String, String)>,
    },
}

impl Report {
    /// A report on a trace; name and key length are the replay's.
    #[must_use]
    pub fn new(trace: &Trace, name: &str, key_len: usize, target: TargetReport) -> Self {
        Self {
            trace: name.to_owned(),
            keys: trace.keys,
            key_len,
            working_set: trace.working_set(),
            batch: 1,
            ttl: false,
            tally: Tally::default(),
            elapsed: Duration::ZERO,
            grown: None,
            target,
        }
    }

    /// Operations per second.
    #[must_use]
    pub fn operations_per_second(&self) -> f64 {
        self.tally.operations as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// As one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let tally = &self.tally;
        let mut object = json!({
            "trace": self.trace,
            "keys": self.keys,
            "key_len": self.key_len,
            "working_set_bytes": self.working_set,
            "batch": self.batch,
            "ttl": self.ttl,
            "requests": tally.requests,
            "gets": tally.gets,
            "misses": tally.misses,
            "miss_ratio": tally.miss_ratio(),
            "byte_miss_ratio": tally.byte_miss_ratio(),
            "operations": tally.operations,
            "windows": tally.windows,
            "refused": tally.refused,
            "pressure": tally.pressure,
            "foreign_hits": tally.foreign,
            "wrong": tally.wrong,
            "seconds": self.elapsed.as_secs_f64(),
            "ops_per_s": self.operations_per_second(),
            "grown_bytes": self.grown,
        });
        if let TargetReport::Engine { capacity, .. } | TargetReport::Cache { capacity, .. } = &self.target {
            object["capacity_bytes"] = json!(capacity);
            object["capacity_fraction"] = json!(*capacity as f64 / self.working_set.max(1) as f64);
        }
        match &self.target {
            TargetReport::Cache { name, .. } => object["cache"] = json!(name),
            TargetReport::Engine { shards, simd, stats, making_room, .. } => {
                object["engine"] = engine_json(*shards, simd, stats, making_room);
            }
            TargetReport::Server { addr, name, stats } => {
                let stats: Map<String, Value> =
                    stats.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
                object["server"] = json!({ "addr": addr, "name": name, "stats": stats });
            }
        }
        object
    }
}

fn engine_json(shards: u32, simd: &str, stats: &Stats, making_room: &MakingRoom) -> Value {
    let walked = &making_room.walked;
    json!({
        "shards": shards,
        "simd": simd,
        "items": stats.items,
        "evictions": stats.evictions,
        "copies": stats.copies,
        "walked": stats.walked,
        "walked_mean": walked.mean(),
        "walked_p999": walked.value_at_quantile(0.999),
        "walked_max": walked.max(),
        "stores": stats.stores,
        "expirations": stats.expirations,
        "used_bytes": stats.used_bytes,
        "index_bytes": stats.index_bytes,
        "index_free_bytes": stats.index_free_bytes,
        "free_bytes": stats.free_bytes,
        "largest_free_bytes": stats.largest_free_bytes,
        "limbo_bytes": stats.limbo_bytes,
        "idle_bytes": making_room.idle_bytes(),
        "fixed_bytes": fixed_bytes(stats),
        "fragmentation": stats.fragmentation(),
        "pressure": stats.pressure,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, key_len, working_set, .. } = self;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let seconds = self.elapsed.as_secs_f64();
        writeln!(
            f,
            "trace            {}: {} keys of {key_len} bytes, working set {:.2} MiB",
            self.trace,
            self.keys,
            mib(*working_set)
        )?;
        match &self.target {
            TargetReport::Engine { capacity, shards, simd, .. } => writeln!(
                f,
                "cache            engine in {capacity} bytes ({:.2} % of the working set), {}, {simd}",
                *capacity as f64 * 100.0 / (*working_set).max(1) as f64,
                counted(*shards, "shard")
            )?,
            TargetReport::Cache { name, capacity } => {
                writeln!(f, "cache            {name} for {capacity} bytes of keys and values")?;
            }
            TargetReport::Server { addr, name, .. } => writeln!(f, "cache            {name} at {addr}")?,
        }
        writeln!(
            f,
            "requests         {}, {:.1} a window",
            tally.requests,
            per(tally.requests, tally.windows)
        )?;
        writeln!(f, "gets             {}", tally.gets)?;
        writeln!(f, "misses           {}", tally.misses)?;
        writeln!(f, "miss ratio       {:.4}", tally.miss_ratio())?;
        writeln!(f, "byte miss ratio  {:.4}", tally.byte_miss_ratio())?;
        writeln!(
            f,
            "ops/s            {:.0} ({} in {seconds:.2} s)",
            self.operations_per_second(),
            tally.operations
        )?;
        if tally.refused > 0 {
            writeln!(f, "refused          {} puts larger than the cache takes", tally.refused)?;
        }
        if tally.pressure > 0 {
            writeln!(f, "no room          {} writes given up", tally.pressure)?;
        }
        if tally.foreign > 0 {
            writeln!(f, "foreign hits     {}: the server was not empty", tally.foreign)?;
        }
        if tally.wrong > 0 {
            writeln!(f, "WRONG            {} hits that were not what was stored", tally.wrong)?;
        }
        if let Some(grown) = self.grown {
            writeln!(f, "grown            {:.2} MiB of resident memory", mib(grown))?;
        }
        let TargetReport::Engine { stats, making_room, capacity, .. } = &self.target else { return Ok(()) };
        writeln!(
            f,
            "items            {}, {} evicted, {} expired",
            stats.items, stats.evictions, stats.expirations
        )?;
        writeln!(
            f,
            "memory           items {:.2} MiB, index {:.2}, free {:.2}, waiting {:.2}, fixed {:.2}",
            mib(stats.used_bytes),
            mib(stats.index_bytes),
            mib(stats.free_bytes),
            mib(stats.limbo_bytes),
            mib(fixed_bytes(stats))
        )?;
        writeln!(
            f,
            "fragmentation    {:.4} (part of the free bytes outside the largest hole)",
            stats.fragmentation()
        )?;
        writeln!(
            f,
            "idle             {:.2} % free on average, since something was evicted",
            making_room.idle_bytes() as f64 * 100.0 / (*capacity).max(1) as f64
        )?;
        let walked = &making_room.walked;
        write!(
            f,
            "making room      looked at {:.1} blocks a put, p99.9 {}, at most {}",
            walked.mean(),
            walked.value_at_quantile(0.999),
            walked.max()
        )
    }
}

fn per(whole: u64, parts: u64) -> f64 {
    whole as f64 / parts.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let stats = Box::new(Stats { items: 7, region_bytes: 1000, used_bytes: 300, ..Stats::default() });
        let making_room = Box::default();
        let target = TargetReport::Engine { capacity: 1000, shards: 1, simd: "scalar", stats, making_room };
        let tally =
            Tally { requests: 10, gets: 8, misses: 2, operations: 12, windows: 5, ..Tally::default() };
        let trace = Trace::default();
        Report { tally, elapsed: Duration::from_secs(2), ..Report::new(&trace, "t", 8, target) }
    }

    #[test]
    fn report_as_json() {
        let json = report().to_json();
        assert_eq!(json["misses"], 2);
        assert_eq!(json["miss_ratio"], 0.25);
        assert_eq!(json["ops_per_s"], 6.0);
        assert_eq!(json["engine"]["items"], 7);
        assert_eq!(json["engine"]["fixed_bytes"], 700);
        assert!(!json.to_string().contains('\n'));
    }

    #[test]
    fn report_for_people() {
        let text = report().to_string();
        assert!(text.contains("miss ratio       0.2500\n"), "{text}");
        assert!(text.contains("2.0 a window"), "{text}");
        assert!(!text.contains("refused") && !text.contains("WRONG"), "{text}");
        let mut report = report();
        report.tally.refused = 3;
        assert!(report.to_string().contains("refused          3 "));
    }
}

//! What a run of `load` prints: a table for people, or one JSON object.

use std::fmt;

use serde_json::{Value, json};

use super::script::Mix;
use super::tally::Tally;
use super::{Options, Stop};
use crate::counted::counted;

/// Quantiles that are printed.
const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];
/// Steps of the distribution in JSON for each halving of what is left above.
const STEPS_PER_HALVING: u32 = 2;

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was asked for.
    pub options: Options,
    /// What was counted.
    pub tally: Tally,
    /// What the server used.
    pub server: ServerSide,
    /// Whether the requests that were drawn went out more than once.
    pub repeated: bool,
}

/// What the system tells of the server's process; nothing if nobody asked, or it is somewhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerSide {
    /// CPU time of all its threads while the clock ran, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Resident memory at the end, in bytes.
    pub rss_bytes: Option<u64>,
}

impl Report {
    /// Whether an answer was not what it should have been.
    #[must_use]
    pub const fn is_bad(&self) -> bool {
        self.tally.wrong > 0 || self.tally.errors > 0
    }

    fn server_cpu_ns(&self) -> Option<f64> {
        self.server.cpu_ns.map(|cpu| cpu as f64 / self.tally.requests.max(1) as f64)
    }

    fn mix(&self) -> String {
        match self.options.mix {
            Mix::Ping => "PING".to_owned(),
            Mix::Ratio { sets, gets: 0 } if sets > 0 => "SET".to_owned(),
            Mix::Ratio { sets: 0, .. } => "GET".to_owned(),
            Mix::Ratio { sets, gets } => format!("SET:GET {sets}:{gets}"),
        }
    }

    /// As one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (options, tally) = (&self.options, &self.tally);
        let latency: Value = QUANTILES.iter().map(|&(name, at)| (name, tally.latency_us(at))).collect();
        let distribution: Vec<_> = tally
            .latency
            .iter_quantiles(STEPS_PER_HALVING)
            .map(|step| json!([step.quantile_iterated_to(), step.value_iterated_to() as f64 / 1e3]))
            .collect();
        json!({
            "address": options.address.to_string(),
            "protocol": options.protocol.name(),
            "connections": options.connections,
            "depth": options.depth,
            "threads": options.threads,
            "mix": self.mix(),
            "items": options.items.count,
            "key_sizes": options.items.key_sizes.to_string(),
            "value_sizes": options.items.value_sizes.to_string(),
            "distribution": options.distribution.to_string(),
            "rate": options.rate,
            "requests": tally.requests,
            "unsent": tally.unsent,
            "seconds": tally.elapsed.as_secs_f64(),
            "requests_per_s": tally.requests_per_second(),
            "hits": tally.hits,
            "misses": tally.misses,
            "errors": tally.errors,
            "first_error": tally.first_error,
            "verified": options.verify,
            "wrong": tally.wrong,
            "bytes_in": tally.bytes_in,
            "bytes_out": tally.bytes_out,
            "mean_us": tally.latency.mean() / 1e3,
            "latency_us": latency,
            "latency_distribution_us": distribution,
            "own_cpu_ns": tally.own_cpu_ns(),
            "own_cpu_share": tally.own_share(),
            "generator_was_the_limit": tally.saturated > 0,
            "requests_repeated": self.repeated,
            "server_cpu_ns": self.server_cpu_ns(),
            "server_rss_bytes": self.server.rss_bytes,
        })
    }

    fn write_head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { address, protocol, connections, depth, threads, items, distribution, .. } =
            &self.options;
        let Options { rate, stop, .. } = self.options;
        let mix = self.mix();
        writeln!(f, "server           {address}, {}", protocol.name())?;
        write!(
            f,
            "load             {mix}, {} x depth {depth}, {}, ",
            counted(*connections, "connection"),
            counted(*threads, "thread")
        )?;
        match rate {
            Some(rate) => writeln!(f, "open loop of {rate} requests/s")?,
            None => writeln!(f, "closed loop")?,
        }
        writeln!(
            f,
            "items            {} ({distribution}), keys of {} bytes, values of {}",
            items.count, items.key_sizes, items.value_sizes
        )?;
        if self.repeated && matches!(stop, Stop::After(_)) {
            writeln!(
                f,
                "                 the run was longer than the requests prepared for it, so they were sent again from the first"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        self.write_head(f)?;
        let (rate, seconds) = (tally.requests_per_second(), tally.elapsed.as_secs_f64());
        writeln!(f, "requests         {} in {seconds:.2} s: {rate:.0} per second", tally.requests)?;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20) / seconds.max(1e-9);
        writeln!(f, "bytes            {:.1} MiB/s out, {:.1} in", mib(tally.bytes_out), mib(tally.bytes_in))?;
        if tally.hits + tally.misses > 0 {
            writeln!(f, "gets             {} found, {} not", tally.hits, tally.misses)?;
        }
        writeln!(
            f,
            "latency          {:>11} {:>11} {:>11} {:>11} {:>11} {:>11}   ms",
            "p50", "p90", "p99", "p99.9", "p99.99", "max"
        )?;
        f.write_str("                ")?;
        for (_, quantile) in QUANTILES {
            write!(f, " {:>11.3}", tally.latency_us(quantile) / 1e3)?;
        }
        writeln!(f)?;
        let from = if self.options.rate.is_some() { "the moment a request was due" } else { "sending" };
        writeln!(f, "                 from {from} to reading its answer")?;
        // Some that become due in the last moment always are; only more than these tell of a rate that is too high.
        if tally.unsent * 100 > tally.requests + tally.unsent {
            writeln!(
                f,
                "NOT SENT         {} requests that were due: this rate is more than was taken. They are in the latencies, up to \
                 the end",
                tally.unsent
            )?;
        } else if tally.unsent > 0 {
            writeln!(f, "                 {} were still waiting at the end", tally.unsent)?;
        }
        if let Some(cpu) = self.server_cpu_ns() {
            let rss = self.server.rss_bytes.unwrap_or(0) as f64 / f64::from(1 << 20);
            writeln!(f, "server CPU       {cpu:.0} ns per request; {rss:.1} MiB resident")?;
        }
        let share = tally.own_share() * 100.0;
        write!(f, "own CPU          {:.0} ns per request, {share:.0} % of the time", tally.own_cpu_ns())?;
        if tally.saturated > 0 {
            write!(
                f,
                "\nTHE LIMIT        was this load generator: {} of {} threads had no CPU time left. Try more --threads, \
                 on cores that the server does not use",
                tally.saturated, tally.threads
            )?;
        }
        if let Some(error) = &tally.first_error {
            write!(f, "\nERRORS           {}, the first: {error}", tally.errors)?;
        }
        if tally.wrong > 0 {
            write!(f, "\nWRONG            {} values that were not what was stored", tally.wrong)?;
        } else if self.options.verify {
            write!(f, "\nverified         {} values, each to the byte", tally.hits)?;
        }
        Ok(())
    }
}

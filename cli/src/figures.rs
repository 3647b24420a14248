//! What the server counts, as a live table needs it: the same figures from the native STATS and from INFO.

use std::time::{Duration, Instant};

/// One look at a server.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) at: Instant,
    /// How long the server took to answer.
    pub(crate) took: Duration,
    pub(crate) stats: Vec<(String, String)>,
}

impl Look {
    /// The first of these names that there is, the native one before that of INFO.
    pub(crate) fn text<const N: usize>(&self, names: [&str; N]) -> Option<&str> {
        names.iter().find_map(|wanted| {
            self.stats.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        })
    }

    pub(crate) fn number(&self, names: [&str; 2]) -> Option<f64> {
        self.text(names)?.parse().ok()
    }
}

/// What the two last looks say; none is what the server does not tell, or only a second look can.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) requests: Option<f64>,
    /// Of the reads in between, from 0 to 1.
    pub(crate) hit_ratio: Option<f64>,
    pub(crate) stores: Option<f64>,
    pub(crate) evictions: Option<f64>,
    pub(crate) expirations: Option<f64>,
    pub(crate) errors: Option<f64>,
    pub(crate) bytes_in: Option<f64>,
    pub(crate) bytes_out: Option<f64>,
    pub(crate) items: Option<f64>,
    pub(crate) memory: Option<f64>,
    pub(crate) memory_max: Option<f64>,
    pub(crate) connections: Option<f64>,
    /// Of GET (natively: of what looks at one key) in the server since its start, in microseconds.
    pub(crate) p99_us: Option<f64>,
    /// Of this look, in milliseconds.
    pub(crate) look_ms: f64,
}

impl Figures {
    /// Rates are per second.
    pub(crate) fn of(last: Option<&Look>, now: &Look) -> Self {
        let grown = |names| {
            let grown = now.number(names)? - last?.number(names)?;
            (grown >= 0.0).then_some(grown) // less than before: the server was restarted
        };
        let seconds = last.map_or(1.0, |last| (now.at - last.at).as_secs_f64().max(1e-6));
        let rate = |names| grown(names).map(|grown| grown / seconds);
        let (hits, misses) = (grown(["hits", "keyspace_hits"]), grown(["misses", "keyspace_misses"]));
        let reads = hits.zip(misses).map(|(hits, misses)| hits + misses);
        Self {
            requests: rate(["commands", "total_commands_processed"]),
            hit_ratio: hits.zip(reads).filter(|(_, reads)| *reads > 0.0).map(|(hits, reads)| hits / reads),
            stores: rate(["stores", ""]),
            evictions: rate(["evictions", "evicted_keys"]),
            expirations: rate(["expirations", "expired_keys"]),
            errors: rate(["errors", "total_error_replies"]),
            bytes_in: rate(["bytes_in", "total_net_input_bytes"]),
            bytes_out: rate(["bytes_out", "total_net_output_bytes"]),
            items: now.number(["items", ""]),
            memory: memory(now),
            memory_max: now.number(["region_bytes", "maxmemory"]).filter(|max| *max > 0.0),
            connections: now.number(["connections", "connected_clients"]),
            p99_us: match now.number(["latency_p99_ns", ""]) {
                Some(ns) => Some(ns / 1e3),
                None => now.text(["latency_percentiles_usec_get", ""]).and_then(p99),
            },
            look_ms: now.took.as_secs_f64() * 1e3,
        }
    }
}

/// Of items, of the index and of what readers still hold, as INFO has them in one: a full cache is near `memory_max`.
fn memory(now: &Look) -> Option<f64> {
    let [used, index, held] = ["used_bytes", "index_bytes", "limbo_bytes"].map(|name| now.number([name, ""]));
    match used {
        Some(used) => Some(used + index? + held?),
        None => now.number(["used_memory", ""]),
    }
}

/// `p50=1.003,p99=8.031,p99.9=..`
fn p99(text: &str) -> Option<f64> {
    text.split(',').find_map(|part| part.strip_prefix("p99=")).and_then(|number| number.parse().ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn look(at: Instant, stats: &[(&str, &str)]) -> Look {
        let stats = stats.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Look { at, took: Duration::from_micros(500), stats }
    }

    #[test]
    fn figures_of_both_protocols() {
        let begin = Instant::now();
        let later = begin + Duration::from_millis(500);
        let native = |at, commands, hits| {
            look(
                at,
                &[
                    ("commands", commands),
                    ("hits", hits),
                    ("misses", "7"),
                    ("used_bytes", "10"),
                    ("index_bytes", "20"),
                    ("limbo_bytes", "5"),
                    ("region_bytes", "40"),
                    ("latency_p99_ns", "8031"),
                ],
            )
        };
        let figures = Figures::of(Some(&native(begin, "100", "10")), &native(later, "600", "40"));
        assert_eq!((figures.requests, figures.hit_ratio), (Some(1000.0), Some(1.0)));
        assert_eq!((figures.memory, figures.memory_max, figures.look_ms), (Some(35.0), Some(40.0), 0.5));
        assert_eq!((figures.stores, figures.p99_us), (None, Some(8.031)));

        let info = |at, commands, misses| {
            look(
                at,
                &[
                    ("total_commands_processed", commands),
                    ("keyspace_hits", "3"),
                    ("keyspace_misses", misses),
                    ("used_memory", "7"),
                    ("index_bytes", "3"),
                    ("maxmemory", "0"),
                    ("latency_percentiles_usec_get", "p50=1.003,p99=8.031,p99.9=9.1"),
                ],
            )
        };
        let figures = Figures::of(Some(&info(begin, "5", "1")), &info(later, "6", "2"));
        assert_eq!((figures.requests, figures.hit_ratio), (Some(2.0), Some(0.0)));
        assert_eq!((figures.memory, figures.memory_max, figures.p99_us), (Some(7.0), None, Some(8.031)));

        let first = Figures::of(None, &info(begin, "5", "1"));
        assert_eq!((first.requests, first.hit_ratio, first.p99_us), (None, None, Some(8.031)));
        let restarted = Figures::of(Some(&info(begin, "500", "1")), &info(later, "6", "1"));
        assert_eq!((restarted.requests, restarted.hit_ratio), (None, None));
    }
}

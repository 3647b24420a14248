//! What is asked of the servers, and how each round of it came out.

use std::fmt;
use std::str::FromStr;

use crate::load::script::Mix;
use crate::load::tally::Tally;
use crate::median::median;

/// A kind of load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What it is called in tables.
    pub name: String,
    /// What is asked for.
    pub mix: Mix,
    /// Unanswered requests on a connection.
    pub depth: u32,
    /// Connections.
    pub connections: u32,
    /// Requests in a round.
    pub requests: u64,
}

/// A shape of load as it is written on the command line: `G64` are GETs at depth 64, `S` SETs, `M` one SET to nine GETs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What is asked for.
    pub mix: Mix,
    /// Unanswered requests on a connection.
    pub depth: u32,
}

/// A text that is no shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected G (GET), S (SET) or M (1 SET to 9 GETs), and a depth up to 10000, such as G64")]
pub struct BadShape;

impl Shape {
    fn letter(self) -> char {
        match self.mix {
            Mix::Ratio { sets: 0, .. } => 'G',
            Mix::Ratio { gets: 0, .. } => 'S',
            _ => 'M',
        }
    }

    /// What it is called in tables and plots.
    #[must_use]
    pub fn name(self) -> String {
        let what = match self.letter() {
            'G' => "GET",
            'S' => "SET",
            _ => "1 SET : 9 GET",
        };
        if self.depth == 1 { format!("{what}, no pipeline") } else { format!("{what}, depth {}", self.depth) }
    }
}

impl FromStr for Shape {
    type Err = BadShape;

    fn from_str(text: &str) -> Result<Self, BadShape> {
        let (letter, depth) = text.split_at_checked(1).ok_or(BadShape)?;
        let mix = match letter {
            "G" => Mix::Ratio { sets: 0, gets: 1 },
            "S" => Mix::Ratio { sets: 1, gets: 0 },
            "M" => Mix::Ratio { sets: 1, gets: 9 },
            _ => return Err(BadShape),
        };
        match depth.parse() {
            Ok(depth @ 1..=10_000) => Ok(Self { mix, depth }),
            _ => Err(BadShape),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.letter(), self.depth)
    }
}

/// One server under one load in one round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Round {
    /// CPU-nanoseconds of all threads of the server per request.
    pub cpu_ns: f64,
    /// Requests per second.
    pub per_second: f64,
    /// Latencies in microseconds: p50, p99, p99.9.
    pub latency_us: [f64; 3],
    /// CPU-nanoseconds of the load generator per request.
    pub own_cpu_ns: f64,
    /// Whether the load generator had no CPU time left.
    pub saturated: bool,
    /// GETs that found nothing.
    pub misses: u64,
}

impl Round {
    /// Of what was counted, and the server's CPU time.
    #[must_use]
    pub fn new(tally: &Tally, cpu_ns: u64) -> Self {
        Self {
            cpu_ns: cpu_ns as f64 / tally.requests.max(1) as f64,
            per_second: tally.requests_per_second(),
            latency_us: [0.5, 0.99, 0.999].map(|quantile| tally.latency_us(quantile)),
            own_cpu_ns: tally.own_cpu_ns(),
            saturated: tally.saturated > 0,
            misses: tally.misses,
        }
    }
}

/// Median of a figure over rounds.
#[must_use]
pub fn median_of(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    median(rounds.iter().map(figure))
}

/// Median of the ratios of each round: what `ours` has of a figure over what `theirs` has. Rounds that were disturbed were so
/// for both.
#[must_use]
pub fn ratio_of(ours: &[Round], theirs: &[Round], figure: impl Fn(&Round) -> f64) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| figure(ours) / figure(theirs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_as_people_write_them() {
        for text in ["G1", "S16", "M64", "G10000"] {
            assert_eq!(text.parse::<Shape>().unwrap().to_string(), text);
        }
        for bad in ["", "G", "g1", "G0", "X5", "G10001", "64", "é1"] {
            assert_eq!(bad.parse::<Shape>(), Err(BadShape), "{bad}");
        }
        assert_eq!("G1".parse::<Shape>().unwrap().name(), "GET, no pipeline");
        assert_eq!("M8".parse::<Shape>().unwrap().name(), "1 SET : 9 GET, depth 8");
    }

    #[test]
    fn a_disturbed_round_does_not_disturb_the_ratio() {
        let rounds = |cpu: [f64; 3]| cpu.map(|cpu_ns| Round { cpu_ns, ..Round::default() });
        let (ours, theirs) = (rounds([100.0, 1000.0, 110.0]), rounds([200.0, 2000.0, 220.0]));
        assert_eq!(ratio_of(&ours, &theirs, |round| round.cpu_ns).to_string(), "0.5");
        assert_eq!(median_of(&ours, |round| round.cpu_ns).to_string(), "110");
    }
}

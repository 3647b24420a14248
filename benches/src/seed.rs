//! The table that the project began with: small operations at few connections, requests per second beside Redis.
//!
//! Here little is asked for at a time, so that most of what is measured is the kernel's and the load generator's; what a
//! request costs the server itself is told by `peers`.

use std::fmt;

use serde_json::{Value, json};

use crate::counted::counted;
use crate::load::script::Mix;
use crate::peers::Outcome;
use crate::peers::workload::{Round, Workload, median_of, ratio_of};

/// Connections of the rows; the last are the rows of *high concurrency*.
const CONNECTIONS: [u32; 4] = [1, 5, 10, 50];
/// Unanswered requests on a connection in the rows of *pipeline*.
const PIPELINE: u32 = 16;

const OPERATIONS: [(&str, Mix, u32); 5] = [
    ("PING", Mix::Ping, 1),
    ("PUT", Mix::Ratio { sets: 1, gets: 0 }, 1),
    ("GET", Mix::Ratio { sets: 0, gets: 1 }, 1),
    ("mixed", Mix::Ratio { sets: 1, gets: 1 }, 1),
    ("pipeline", Mix::Ratio { sets: 1, gets: 1 }, PIPELINE),
];

/// The rows, each of so many requests.
#[must_use]
pub fn workloads(requests: u64) -> Vec<Workload> {
    let row = |connections, (name, mix, depth): (&str, Mix, u32)| Workload {
        name: format!("{name}, {}", counted(connections, "connection")),
        mix,
        depth,
        connections,
        requests,
    };
    CONNECTIONS
        .iter()
        .flat_map(|&connections| OPERATIONS.map(|operation| row(connections, operation)))
        .collect()
}

/// The outcome: requests per second.
#[derive(Clone, Debug)]
pub struct Report {
    /// The rows.
    pub workloads: Vec<Workload>,
    /// What came of each server. The last is what the others are compared with.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// What a server reaches of the last one in a row: the median of the ratios of each round.
    fn ratio(&self, outcome: &Outcome, row: usize) -> f64 {
        let last = &self.outcomes[self.outcomes.len() - 1];
        ratio_of(&outcome.rounds[row], &last.rounds[row], per_second)
    }

    /// The geometric mean of that over all rows.
    fn ratio_of_all(&self, outcome: &Outcome) -> f64 {
        let logarithms = (0..self.workloads.len()).map(|row| self.ratio(outcome, row).ln());
        (logarithms.sum::<f64>() / self.workloads.len().max(1) as f64).exp()
    }

    /// As one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let server = |outcome: &Outcome| {
            let rows: Value = self
                .workloads
                .iter()
                .enumerate()
                .map(|(row, workload)| {
                    let rounds = &outcome.rounds[row];
                    let figures = json!({
                        "per_s": median_of(rounds, per_second),
                        "p99_us": median_of(rounds, |round| round.latency_us[1]),
                        "ratio": self.ratio(outcome, row),
                        "rounds_per_s": rounds.iter().map(per_second).collect::<Value>(),
                    });
                    (workload.name.clone(), figures)
                })
                .collect();
            json!({ "name": outcome.name, "rows": rows, "ratio_of_all": self.ratio_of_all(outcome) })
        };
        json!({ "servers": self.outcomes.iter().map(server).collect::<Vec<_>>() })
    }
}

fn per_second(round: &Round) -> f64 {
    round.per_second
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = &self.outcomes[self.outcomes.len() - 1].name;
        let requests = self.workloads.first().map_or(0, |workload| workload.requests);
        writeln!(
            f,
            "requests per second, {requests} requests a row, medians of {}; in brackets part of {last}",
            counted(self.outcomes[0].rounds.first().map_or(0, Vec::len), "round")
        )?;
        write!(f, "\n{:<26}", "")?;
        for outcome in &self.outcomes {
            write!(f, " {:>20}", outcome.name)?;
        }
        for (row, workload) in self.workloads.iter().enumerate() {
            write!(f, "\n{:<26}", workload.name)?;
            for outcome in &self.outcomes {
                let (per_second, ratio) =
                    (median_of(&outcome.rounds[row], per_second), self.ratio(outcome, row));
                write!(f, " {per_second:>12.0} ({:>3.0} %)", ratio * 100.0)?;
            }
        }
        write!(f, "\n{:<26}", "geometric mean")?;
        for outcome in &self.outcomes {
            write!(f, " {:>13}{:>5.1} %)", "(", self.ratio_of_all(outcome) * 100.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::request::Protocol;

    #[test]
    fn each_server_is_held_against_the_last() {
        let rounds =
            |speeds: [f64; 3]| speeds.map(|per_second| Round { per_second, ..Round::default() }).to_vec();
        let outcome = |name: &str, rows: Vec<Vec<Round>>| Outcome {
            name: name.to_owned(),
            protocol: Protocol::Resp,
            grown: 0,
            rounds: rows,
        };
        let workloads = workloads(5000)[..2].to_vec();
        let outcomes = vec![
            outcome("us", vec![rounds([200.0, 20.0, 220.0]), rounds([800.0; 3])]),
            outcome("redis", vec![rounds([100.0, 10.0, 110.0]), rounds([100.0; 3])]),
        ];
        let report = Report { workloads, outcomes };
        let json = report.to_json();
        assert_eq!(json["servers"][0]["rows"]["PING, 1 connection"]["ratio"], 2.0);
        assert!((json["servers"][0]["ratio_of_all"].as_f64().unwrap() - 4.0).abs() < 1e-9);
        assert_eq!(json["servers"][1]["ratio_of_all"], 1.0);
        assert!(report.to_string().contains("(400.0 %)"), "{report}");
    }

    #[test]
    fn rows_have_names_of_their_own() {
        let names: std::collections::HashSet<_> = workloads(1).into_iter().map(|row| row.name).collect();
        assert_eq!(names.len(), CONNECTIONS.len() * OPERATIONS.len());
    }
}

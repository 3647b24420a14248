//! What a run of `peers` writes: a Markdown document with its tables and plots, and the rows of each round as JSON.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io, iter};

use serde_json::{Value, json};

use super::machine::Machine;
use super::peer::{FLOOR, OURS};
use super::plot::{Panel, bars, spans};
use super::workload::{Round, median_of, ratio_of};
use super::{Options, Outcome};
use crate::counted::counted;

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was measured.
    pub options: Options,
    /// Where and when.
    pub machine: Machine,
    /// What came of each server.
    pub outcomes: Vec<Outcome>,
    /// Servers that would have taken part if they had been there.
    pub absent: Vec<&'static str>,
}

const LATENCIES: [(&str, usize); 3] = [("p50", 0), ("p99", 1), ("p99.9", 2)];

impl Report {
    /// Ours, or the first one where it does not take part: what ratios are taken to.
    fn ours(&self) -> &Outcome {
        self.outcomes.iter().find(|outcome| outcome.name == OURS).unwrap_or(&self.outcomes[0])
    }

    /// Connections, of each workload the same number.
    fn connections(&self) -> u32 {
        self.options.workloads.first().map_or(0, |workload| workload.connections)
    }

    /// Bytes by which an item made a server grow, beyond key and value.
    fn per_item(&self, outcome: &Outcome) -> f64 {
        let items = &self.options.items;
        let payload = f64::from(items.key_sizes.max()) + f64::from(items.value_sizes.max());
        outcome.grown as f64 / f64::from(items.count) - payload
    }

    /// The tables.
    #[must_use]
    pub fn tables(&self) -> String {
        let mut text = String::new();
        let ours = &self.ours().name;
        let title = format!(
            "Server CPU-ns per request, median of the rounds; in brackets what {ours} costs over what this server costs, median of \
             the ratios of each round"
        );
        self.table(&mut text, &title, |workload, outcome| {
            let (rounds, ours) = (&outcome.rounds[workload], &self.ours().rounds[workload]);
            let cpu = |round: &Round| round.cpu_ns;
            format!("{:.0} ({:.2})", median_of(rounds, cpu), ratio_of(ours, rounds, cpu))
        });
        self.table(&mut text, "Requests per second, in thousands", |workload, outcome| {
            format!("{:.0}", median_of(&outcome.rounds[workload], |round| round.per_second / 1e3))
        });
        self.table(&mut text, "Latency in milliseconds: p50 / p99 / p99.9", |workload, outcome| {
            let of = |at: usize| median_of(&outcome.rounds[workload], |round| round.latency_us[at] / 1e3);
            LATENCIES.map(|(_, at)| format!("{:.3}", of(at))).join(" / ")
        });
        let storing = self.outcomes.iter().filter(|outcome| outcome.name != FLOOR);
        let rows =
            storing.map(|outcome| vec![display_name(outcome), format!("{:.1}", self.per_item(outcome))]);
        let head = vec![String::new(), "bytes".to_owned()];
        let caption = "Bytes per item beyond key and value, by resident memory";
        write_table(&mut text, caption, &[head].into_iter().chain(rows).collect::<Vec<_>>());
        text
    }

    /// A caption and a table that can be read as it is, too.
    fn table(&self, text: &mut String, caption: &str, cell: impl Fn(usize, &Outcome) -> String) {
        let workloads = &self.options.workloads;
        let head = [String::new()].into_iter().chain(workloads.iter().map(|workload| workload.name.clone()));
        let rows = self.outcomes.iter().map(|outcome| {
            let cells = (0..workloads.len()).map(|workload| cell(workload, outcome));
            [display_name(outcome)].into_iter().chain(cells).collect()
        });
        write_table(text, caption, &[head.collect()].into_iter().chain(rows).collect::<Vec<_>>());
    }

    fn markdown(&self, stem: &str) -> String {
        let Options { items, rounds, distribution, server_cpu, .. } = &self.options;
        let Machine { date, cpu, cores, load, kernel, commit } = &self.machine;
        let mut text = format!(
            "# Servers side by side, {date}\n\n{cpu}, {}, Linux {kernel}; load average {load} before it began; commit \
             {commit}.\n",
            counted(*cores, "core")
        );
        let pinned =
            server_cpu.map_or("not pinned".to_owned(), |_| "servers on one core, load on another".to_owned());
        let _ = writeln!(
            text,
            "{} items of {} + {} bytes, {distribution}; {}; {}; {pinned}; all servers alive at once, one thread each, nothing \
             persisted.",
            items.count,
            items.key_sizes,
            items.value_sizes,
            counted(self.connections(), "connection"),
            counted(*rounds, "interleaved round")
        );
        if !self.absent.is_empty() {
            let _ = writeln!(text, "Not there: {}.", self.absent.join(", "));
        }
        let _ =
            writeln!(text, "\n![CPU time per request]({stem}-cpu.svg)\n\n![latency]({stem}-latency.svg)\n");
        text += &self.tables();
        for warning in self.warnings() {
            let _ = writeln!(text, "\n{warning}.");
        }
        text
    }

    /// What a reader has to know beside the figures.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for outcome in &self.outcomes {
            let rounds = || outcome.rounds.iter().flatten();
            let saturated = rounds().filter(|round| round.saturated).count();
            if saturated > 0 {
                let (name, all) = (&outcome.name, rounds().count());
                warnings.push(format!(
                    "{name}: in {saturated} of {all} measurements the load generator had no CPU time left, so requests per second \
                     are its limit, not the server's"
                ));
            }
            let misses: u64 = rounds().map(|round| round.misses).sum();
            if misses > 0 {
                warnings.push(format!("{}: {misses} GETs found nothing", &outcome.name));
            }
        }
        warnings
    }

    /// As one JSON object, each round for itself.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Options { items, rounds, distribution, workloads, .. } = &self.options;
        let Machine { date, cpu, cores, load, kernel, commit } = &self.machine;
        let round = |round: &Round| {
            json!({
                "cpu_ns": round.cpu_ns,
                "per_s": round.per_second,
                "p50_us": round.latency_us[0],
                "p99_us": round.latency_us[1],
                "p99.9_us": round.latency_us[2],
                "own_cpu_ns": round.own_cpu_ns,
            })
        };
        let outcome = |outcome: &Outcome| {
            let rounds: Value = workloads
                .iter()
                .zip(&outcome.rounds)
                .map(|(workload, rounds)| {
                    (workload.name.clone(), rounds.iter().map(round).collect::<Value>())
                })
                .collect();
            json!({
                "name": outcome.name,
                "protocol": outcome.protocol.name(),
                "bytes_per_item": self.per_item(outcome),
                "rounds": rounds,
            })
        };
        json!({
            "date": date,
            "cpu": cpu,
            "cores": cores,
            "load_average": load,
            "kernel": kernel,
            "commit": commit,
            "items": items.count,
            "key_len": items.key_sizes.to_string(),
            "value_len": items.value_sizes.to_string(),
            "distribution": distribution.to_string(),
            "rounds": rounds,
            "servers": self.outcomes.iter().map(outcome).collect::<Vec<_>>(),
            "absent": self.absent,
        })
    }

    fn panels(&self, figures: impl Fn(&[Round]) -> Vec<f64>) -> Vec<Panel> {
        let panel = |(number, name): (usize, String)| Panel {
            title: name,
            rows: self
                .outcomes
                .iter()
                .map(|outcome| (outcome.name.clone(), figures(&outcome.rounds[number])))
                .collect(),
        };
        self.options.workloads.iter().map(|workload| workload.name.clone()).enumerate().map(panel).collect()
    }

    /// Writes everything into a directory, beside what is there; tells which files these are.
    ///
    /// # Errors
    /// Those of the file system, with the path.
    pub fn write(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        let stem = free_stem(directory, &format!("{}-{}", self.machine.date, self.machine.commit));
        let cpu = self.panels(|rounds| vec![median_of(rounds, |round| round.cpu_ns)]);
        let latency = self.panels(|rounds| {
            LATENCIES.iter().map(|&(_, at)| median_of(rounds, |round| round.latency_us[at] / 1e3)).collect()
        });
        let Options { items, rounds, .. } = &self.options;
        let note = format!(
            "{}, {}, {}; {}, {}, {stem}",
            counted(self.connections(), "connection"),
            counted(items.count, "item"),
            counted(*rounds, "round"),
            self.machine.cpu,
            counted(self.machine.cores, "core"),
        );
        let files = [
            (format!("{stem}.md"), self.markdown(&stem)),
            (format!("{stem}.json"), self.to_json().to_string() + "\n"),
            (
                format!("{stem}-cpu.svg"),
                bars("Server CPU time per request, nanoseconds: shorter is better", &note, &cpu),
            ),
            (
                format!("{stem}-latency.svg"),
                spans(
                    "Latency in milliseconds: p50 (filled), p99 and p99.9 (rings); logarithmic; further left is better",
                    &note,
                    &latency,
                ),
            ),
        ];
        fs::create_dir_all(directory).map_err(|error| at(directory, &error))?;
        let write = |(name, text): (String, String)| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(|error| at(&path, &error))?;
            Ok(path)
        };
        files.into_iter().map(write).collect()
    }
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The name, or the first of those with a number behind it that no report has.
fn free_stem(directory: &Path, stem: &str) -> String {
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let is_free = |stem: &String| !directory.join(format!("{stem}.md")).exists();
    iter::once(stem.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
}

fn display_name(outcome: &Outcome) -> String {
    if outcome.name == OURS { format!("**{OURS}**") } else { outcome.name.clone() }
}

/// The first row is the head; columns are as wide as they have to be.
fn write_table(text: &mut String, caption: &str, rows: &[Vec<String>]) {
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(|column| width(column).max(3)).collect();
    let _ = writeln!(text, "{caption}.\n");
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<_> = cells.collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    let pad = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().into_iter()
    };
    line(&mut pad(&rows[0]));
    line(&mut widths.iter().map(|&width| "-".repeat(width)));
    for row in &rows[1..] {
        line(&mut pad(row));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Distribution;
    use crate::load::request::Protocol;
    use crate::load::script::{Items, Mix};
    use crate::load::sizes::Sizes;
    use crate::peers::workload::Workload;
    use std::time::Duration;

    fn report() -> Report {
        let round = |cpu_ns, saturated| Round {
            cpu_ns,
            per_second: 1e9 / cpu_ns,
            latency_us: [100.0, 200.0, 1500.0],
            saturated,
            ..Round::default()
        };
        let outcome = |name: &str, grown, cpu: [f64; 2]| Outcome {
            name: name.to_owned(),
            protocol: Protocol::Resp,
            grown,
            rounds: vec![cpu.map(|cpu| round(cpu, cpu < 100.0)).to_vec()],
        };
        let outcomes = vec![
            outcome(OURS, 1000 * 57, [150.0, 170.0]),
            outcome("redis", 1000 * 137, [1000.0, 1000.0]),
            outcome(FLOOR, 0, [75.0, 85.0]),
        ];
        let mix = Mix::Ratio { sets: 0, gets: 1 };
        let workload =
            Workload { name: "GET, depth 64".to_owned(), mix, depth: 64, connections: 50, requests: 10 };
        let options = Options {
            peers: Vec::new(),
            workloads: vec![workload],
            rounds: 2,
            items: Items::new(1000, Sizes::fixed(11), Sizes::fixed(32)).unwrap(),
            distribution: Distribution::Uniform,
            server_cpu: Some(0),
            client_cpu: Some(1),
            limit: Duration::from_secs(1),
        };
        Report { options, machine: Machine::this(), outcomes, absent: vec!["valkey"] }
    }

    #[test]
    fn tables_say_what_was_measured() {
        let text = report().tables();
        for expected in [
            "| **crabcache** | 160 (1.00)    |",
            "| redis         | 1000 (0.16)   |",
            "| floor         | 80 (2.00)     |",
            "| 0.100 / 0.200 / 1.500 |",
            "| **crabcache** | 14.0  |",
            "| redis         | 94.0  |",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let mut least = report();
        (least.options.rounds, least.options.workloads[0].connections) = (1, 1);
        let text = least.markdown("stem");
        assert!(text.contains("; 1 connection; 1 interleaved round; "), "{text}");
        assert_eq!(report().warnings().len(), 1);
        assert!(report().warnings()[0].starts_with("floor: in 2 of 2 measurements"));
    }

    #[test]
    fn files_are_written_and_hang_together() {
        let directory = std::env::temp_dir().join(format!("crabcache-bench-report-{}", std::process::id()));
        let files = report().write(&directory).unwrap();
        let text = fs::read_to_string(&files[0]).unwrap();
        assert!(text.contains("Not there: valkey."), "{text}");
        for plot in &files[2..] {
            let svg = fs::read_to_string(plot).unwrap();
            assert!(svg.contains(">50 connections, 1000 items, 2 rounds; "), "{svg}");
            assert!(text.contains(plot.file_name().unwrap().to_str().unwrap()), "{text}");
        }
        let json: Value = serde_json::from_str(&fs::read_to_string(&files[1]).unwrap()).unwrap();
        assert_eq!(json["servers"][0]["rounds"]["GET, depth 64"][1]["cpu_ns"], 170.0);
        assert_eq!(json["absent"][0], "valkey");
        let again = report().write(&directory).unwrap();
        assert!(again[0].to_str().unwrap().ends_with("-2.md"), "{again:?}");
        assert!(again.iter().all(|path| !files.contains(path)), "{again:?}");
        let error = report().write(&files[0]).unwrap_err().to_string();
        assert!(error.contains(files[0].to_str().unwrap()), "{error}");
        fs::remove_dir_all(&directory).unwrap();
    }
}

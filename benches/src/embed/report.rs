//! What a run of `embed` prints: tables for people, or one JSON object.

use std::fmt;

use serde_json::{Value, json};

use super::engine::Engine;
use super::measure::{Contender, Tally};
use super::{Options, Question};
use crate::counted::counted;
use crate::draw::Distribution;
use crate::median::median;

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was measured.
    pub options: Options,
    /// Who held how much once the items were in, with room for more.
    pub memory: Vec<Held>,
    /// Who held how much at the end of the part in which caches are full.
    pub full: Vec<Held>,
    /// What operations cost.
    pub tables: Vec<Table>,
}

/// What a contender holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its name.
    pub name: &'static str,
    /// Items in it, by its own count.
    pub items: u64,
    /// How much the process's memory grew while it was made and filled; none where that is not known.
    pub rss_bytes: Option<u64>,
    /// Bytes that its items take by its own count; none if it does not count them.
    pub own_bytes: Option<u64>,
}

/// What one operation costs each contender.
#[derive(Clone, Debug)]
pub struct Table {
    /// What was asked.
    pub question: Question,
    /// How often each key was asked for; none where each was new.
    pub distribution: Option<Distribution>,
    /// Threads at a time.
    pub threads: u32,
    /// One for each contender, the engine first.
    pub rows: Vec<Row>,
}

/// What an operation costs one contender.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// CPU-nanoseconds per operation, round by round.
    pub rounds: Vec<f64>,
    /// Gets that found nothing.
    pub missed: u64,
    /// How often a put met pressure and was tried again.
    pub pressed: u64,
    /// Puts that were refused for good.
    pub refused: u64,
}

impl Held {
    /// What it holds at this moment.
    #[must_use]
    pub fn of(contender: &dyn Contender, rss_bytes: Option<u64>) -> Self {
        Self { name: contender.name(), items: contender.items(), rss_bytes, own_bytes: contender.own_bytes() }
    }

    fn each(&self, bytes: Option<u64>) -> Option<f64> {
        bytes.map(|bytes| bytes as f64 / self.items.max(1) as f64)
    }
}

impl Row {
    /// Nothing measured so far.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new(), missed: 0, pressed: 0, refused: 0 }
    }

    /// Adds a round.
    pub fn add(&mut self, tally: &Tally, question: Question) {
        self.rounds.push(tally.nanoseconds());
        self.pressed += tally.pressed;
        self.refused += tally.refused;
        if question == Question::Get {
            self.missed += tally.operations - tally.hits;
        }
    }

    /// Median of the CPU-nanoseconds per operation.
    #[must_use]
    pub fn nanoseconds(&self) -> f64 {
        median(self.rounds.iter().copied())
    }
}

impl Table {
    /// What this mode of the engine costs, over what a contender costs: the median of the ratios of each round. None if
    /// the engine did not take part in this mode.
    #[must_use]
    pub fn ratio(&self, mode: &str, row: &Row) -> Option<f64> {
        let ours = self.rows.iter().find(|ours| ours.name == mode)?;
        Some(median(ours.rounds.iter().zip(&row.rounds).map(|(ours, theirs)| ours / theirs)))
    }

    fn title(&self) -> String {
        let distribution = self.distribution.map(|it| format!(", {it}")).unwrap_or_default();
        format!("{}{distribution}, {}", self.question.name(), counted(self.threads, "thread"))
    }

    fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "name": row.name,
                "ns": row.nanoseconds(),
                "ratio_one_by_one": self.ratio(Engine::ONE_BY_ONE, row),
                "ratio_batches": self.ratio(Engine::BATCHES, row),
                "rounds_ns": row.rounds,
                "missed": row.missed,
                "pressed": row.pressed,
                "refused": row.refused,
            })
        });
        json!({
            "question": self.question.name(),
            "distribution": self.distribution.map(|distribution| distribution.to_string()),
            "threads": self.threads,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

impl Report {
    /// As one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Options { items, key_len, value_len, rounds, ops, shards, pages, .. } = self.options;
        let held = |held: &Vec<Held>| {
            let each = held.iter().map(|held| {
                json!({
                    "name": held.name,
                    "items": held.items,
                    "rss_bytes_per_item": held.each(held.rss_bytes),
                    "own_bytes_per_item": held.each(held.own_bytes),
                })
            });
            each.collect::<Vec<_>>()
        };
        json!({
            "items": items,
            "key_len": key_len,
            "value_len": value_len,
            "rounds": rounds,
            "ops": ops,
            "shards": shards,
            "pages": pages.name(),
            "memory": held(&self.memory),
            "full": held(&self.full),
            "tables": self.tables.iter().map(Table::to_json).collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { items, key_len, value_len, rounds, ops, .. } = self.options;
        writeln!(
            f,
            "{items} items of {key_len} + {value_len} bytes; medians of {} of {ops} operations a thread",
            counted(rounds, "round")
        )?;
        if !self.memory.is_empty() {
            writeln!(f, "\n{:<40} {:>9} {:>9} {:>9}", "bytes per item", "items", "by RSS", "own count")?;
        }
        for held in &self.memory {
            let (rss, own) = (optional(held.each(held.rss_bytes), 1), optional(held.each(held.own_bytes), 1));
            writeln!(f, "{:<40} {:>9} {rss:>9} {own:>9}", held.name, held.items)?;
        }
        for table in &self.tables {
            let title = table.title();
            writeln!(f, "\n{title:<40} {:>9} {:>9} {:>9}", "CPU-ns", "one by 1/", "batches/")?;
            for row in &table.rows {
                let ratio = |mode| optional(table.ratio(mode, row), 3);
                let (single, batches) = (ratio(Engine::ONE_BY_ONE), ratio(Engine::BATCHES));
                write!(f, "{:<40} {:>9.1} {single:>9} {batches:>9}", row.name, row.nanoseconds())?;
                for (count, what) in
                    [(row.missed, "missed"), (row.pressed, "tried again"), (row.refused, "refused")]
                {
                    if count > 0 {
                        write!(f, "  {count} {what}")?;
                    }
                }
                writeln!(f)?;
            }
        }
        if !self.full.is_empty() {
            writeln!(f, "\n{:<40} {:>9}", "held by full caches at the end", "items")?;
        }
        for held in &self.full {
            writeln!(f, "{:<40} {:>9}", held.name, held.items)?;
        }
        Ok(())
    }
}

fn optional(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let row = |name, rounds: [f64; 3]| Row { rounds: rounds.to_vec(), ..Row::new(name) };
        // The machine was ten times slower in one round: for both.
        let (ours, theirs) = (row(Engine::BATCHES, [10.0, 200.0, 30.0]), row("theirs", [20.0, 1000.0, 90.0]));
        let table = Table {
            question: Question::Get,
            distribution: Some(Distribution::Uniform),
            threads: 2,
            rows: vec![ours, theirs],
        };
        assert_eq!(table.ratio(Engine::BATCHES, &table.rows[1]), Some(1.0 / 3.0));
        assert_eq!(table.ratio(Engine::ONE_BY_ONE, &table.rows[1]), None);
        assert_eq!(table.title(), "get, uniform, 2 threads");
        assert_eq!(table.to_json()["rows"][1]["ns"], 90.0);
    }
}

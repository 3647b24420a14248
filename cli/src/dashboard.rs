//! How figures are shown: a table that fits a terminal, or a line for each look.

use std::collections::VecDeque;
use std::fmt::Write as _;

use crate::figures::{Figures, Look};
use crate::units::{bytes, count, short};

/// Looks of which a curve can be drawn.
const PAST_MAX: usize = 120;
/// A narrower curve says nothing.
const CURVE_MIN: usize = 8;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const NAME_WIDTH: usize = 13;
const VALUE_WIDTH: usize = 16;
/// The figure that a curve's full bar stands for.
const SCALE_WIDTH: usize = 13;
/// From this width on there is room for curves.
const CURVES_FROM: usize = NAME_WIDTH + VALUE_WIDTH + 2 + SCALE_WIDTH + 2 + CURVE_MIN;

/// A row of the table: its name, its text, and what its curve follows, in which unit.
struct Row {
    name: &'static str,
    text: fn(&Figures) -> Option<String>,
    curve: fn(&Figures) -> Option<f64>,
    unit: fn(f64) -> String,
}

/// A row whose text is the figure that its curve follows.
macro_rules! row {
    ($name:literal, $figure:ident, $unit:expr) => {
        Row { name: $name, text: |f| f.$figure.map($unit), curve: |f| f.$figure, unit: $unit }
    };
}

const ROWS: [Row; 13] = [
    row!("requests", requests, per_second),
    row!("hit ratio", hit_ratio, percent),
    row!("stores", stores, per_second),
    Row { name: "memory", text: memory, curve: |f| f.memory, unit: bytes },
    row!("items", items, count),
    row!("evictions", evictions, per_second),
    row!("expirations", expirations, per_second),
    row!("connections", connections, count),
    row!("received", bytes_in, bytes_per_second),
    row!("sent", bytes_out, bytes_per_second),
    row!("errors", errors, per_second),
    row!("p99 since start", p99_us, microseconds),
    Row { name: "answer took", text: |f| Some(ms(f.look_ms)), curve: |f| Some(f.look_ms), unit: ms },
];

fn per_second(rate: f64) -> String {
    format!("{}/s", count(rate))
}

fn bytes_per_second(rate: f64) -> String {
    format!("{}/s", bytes(rate))
}

fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}

fn microseconds(us: f64) -> String {
    if us < 1000.0 { format!("{us:.1} µs") } else { ms(us / 1e3) }
}

fn ms(ms: f64) -> String {
    format!("{ms:.2} ms")
}

fn memory(figures: &Figures) -> Option<String> {
    let used = figures.memory?;
    Some(match figures.memory_max {
        Some(max) => format!("{} ({:.0} %)", bytes(used), used / max * 100.0),
        None => bytes(used),
    })
}

/// A table that takes the place of the last one.
#[derive(Default)]
pub(crate) struct Dashboard {
    past: VecDeque<Figures>,
}

impl Dashboard {
    pub(crate) fn add(&mut self, figures: Figures) {
        if self.past.len() == PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(figures);
    }

    /// The table of the last look, for a terminal of this size. What does not fit is left out: curves, then rows from the end.
    pub(crate) fn table(&self, look: &Look, (width, height): (usize, usize)) -> String {
        let Some(figures) = self.past.back() else { return String::new() };
        let mut lines = vec![title(look)];
        if width >= CURVES_FROM {
            lines.push(format!("{:>1$}", "full bar", CURVES_FROM - CURVE_MIN - 2));
        }
        for row in &ROWS {
            // A row that was there once stays, so that nothing jumps.
            let text = match (row.text)(figures) {
                Some(text) => text,
                None if self.past.iter().any(|past| (row.text)(past).is_some()) => "-".to_owned(),
                None => continue,
            };
            let mut line = format!("{:<NAME_WIDTH$}{text:>VALUE_WIDTH$}", row.name);
            if width >= CURVES_FROM {
                let (highest, curve) = self.curve(row.curve, width - CURVES_FROM + CURVE_MIN);
                let _ = write!(line, "  {:>SCALE_WIDTH$}  {curve}", (row.unit)(highest));
            }
            lines.push(line);
        }
        lines.truncate(height.saturating_sub(1).max(1)); // the cursor takes one
        lines.iter().map(|line| line.chars().take(width).collect::<String>() + "\n").collect()
    }

    /// The highest of the last looks, and a curve of them, from nothing up to that.
    fn curve(&self, of: fn(&Figures) -> Option<f64>, width: usize) -> (f64, String) {
        let shown = self.past.len().saturating_sub(width);
        let past: Vec<_> = self.past.iter().skip(shown).map(of).collect();
        let highest = past.iter().flatten().fold(0.0, |highest: f64, number| highest.max(*number));
        let bar = |number: &Option<f64>| match number {
            Some(number) if *number > 0.0 => BARS[((number / highest * 8.0).ceil() as usize).clamp(1, 8) - 1],
            _ => ' ',
        };
        (highest, past.iter().map(bar).collect())
    }
}

fn title(look: &Look) -> String {
    // A server that says which Redis it is like has a version of its own.
    let version = look.text(["version", "crabcache_version", "valkey_version", "redis_version"]);
    let version = version.unwrap_or("?");
    let up = look.number(["uptime_s", "uptime_in_seconds"]).unwrap_or_default() as u64;
    let (hours, minutes, seconds) = (up / 3600, up / 60 % 60, up % 60);
    format!("version {version}, up {hours}:{minutes:02}:{seconds:02}; Ctrl-C ends")
}

/// A column of a line.
struct Column {
    name: &'static str,
    text: fn(&Figures) -> Option<String>,
}

const COLUMNS: [Column; 12] = [
    Column { name: "req/s", text: |f| f.requests.map(short) },
    Column { name: "hit%", text: |f| f.hit_ratio.map(|ratio| format!("{:.1}", ratio * 100.0)) },
    Column { name: "store/s", text: |f| f.stores.map(short) },
    Column { name: "evict/s", text: |f| f.evictions.map(short) },
    Column { name: "expir/s", text: |f| f.expirations.map(short) },
    Column { name: "items", text: |f| f.items.map(short) },
    Column { name: "mem MiB", text: |f| f.memory.map(|bytes| short(bytes / 1024.0 / 1024.0)) },
    Column { name: "conns", text: |f| f.connections.map(short) },
    Column { name: "in B/s", text: |f| f.bytes_in.map(short) },
    Column { name: "out B/s", text: |f| f.bytes_out.map(short) },
    Column { name: "err/s", text: |f| f.errors.map(short) },
    Column { name: "p99 us*", text: |f| f.p99_us.map(|us| format!("{us:.1}")) },
];

/// The names of a line's columns; help tells what the star means.
pub(crate) fn header() -> String {
    columns(|column| column.name.to_owned())
}

/// What a look says in one line; `-` is what it does not.
pub(crate) fn line(figures: &Figures) -> String {
    columns(|column| (column.text)(figures).unwrap_or_else(|| "-".to_owned()))
}

fn columns(text: impl Fn(&Column) -> String) -> String {
    COLUMNS.iter().fold(String::new(), |mut line, column| {
        let _ = write!(line, "{:>8}", text(column)); // writing to a String cannot fail
        line
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::figures::tests::look;

    fn filled() -> (Dashboard, Look) {
        let begin = Instant::now();
        let look = |second: u32, commands: &str| {
            let stats = [
                ("version", "0.1.0"),
                ("uptime_s", "3661"),
                ("commands", commands),
                ("used_bytes", "1048000"),
                ("index_bytes", "576"),
                ("limbo_bytes", "0"),
                ("region_bytes", "2097152"),
            ];
            look(begin + Duration::from_secs(1) * second, &stats)
        };
        let looks = [look(0, "0"), look(1, "1000"), look(2, "3000")];
        let mut dashboard = Dashboard::default();
        dashboard.add(Figures::of(None, &looks[0]));
        dashboard.add(Figures::of(Some(&looks[0]), &looks[1]));
        dashboard.add(Figures::of(Some(&looks[1]), &looks[2]));
        (dashboard, looks[2].clone())
    }

    #[test]
    fn tables_fit_the_terminal() {
        let (dashboard, look) = filled();
        let wide = dashboard.table(&look, (80, 24));
        let lines: Vec<&str> = wide.lines().collect();
        assert_eq!(lines[0], "version 0.1.0, up 1:01:01; Ctrl-C ends");
        assert_eq!(lines[1], "                                    full bar");
        assert_eq!(lines[2], "requests              2,000/s        2,000/s   ▄█");
        assert_eq!(lines[3], "memory        1.00 MiB (50 %)       1.00 MiB  ███");
        let narrow = dashboard.table(&look, (34, 3));
        assert_eq!(
            narrow.lines().collect::<Vec<_>>(),
            ["version 0.1.0, up 1:01:01; Ctrl-C ", "requests              2,000/s"]
        );
        assert_eq!(dashboard.table(&look, (0, 0)), "\n");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        assert_eq!([0.2, 999.9, 1048.6].map(microseconds), ["0.2 µs", "999.9 µs", "1.05 ms"]);
    }

    #[test]
    fn a_crabcache_is_told_by_its_own_version() {
        let version = |stats: &[(&str, &str)]| title(&look(Instant::now(), stats));
        let info = [("redis_version", "7.4.0"), ("crabcache_version", "0.1.0")];
        assert!(version(&info).starts_with("version 0.1.0,"));
        assert!(version(&info[..1]).starts_with("version 7.4.0,"));
    }

    #[test]
    fn rows_stay() {
        let (mut dashboard, look) = filled();
        dashboard.add(Figures { hit_ratio: Some(0.5), ..Figures::of(None, &look) });
        dashboard.add(Figures::of(None, &look));
        let table = dashboard.table(&look, (34, 24));
        let rows: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(rows[1..3], [vec!["requests", "-"], vec!["hit", "ratio", "-"]]);
    }

    #[test]
    fn lines_have_a_word_for_each_column() {
        let (dashboard, _) = filled();
        let line = line(&dashboard.past[2]);
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            ["2000", "-", "-", "-", "-", "-", "1", "-", "-", "-", "-", "-"]
        );
        assert_eq!((header().len(), header().split_whitespace().next()), (line.len(), Some("req/s")));
        assert!(header().ends_with("p99 us*"), "help explains it");
    }
}

//! `stats --watch`: the figures again and again, and what they grow by in a second.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use crabcache_client::Client;

use crate::Failure;
use crate::print::{Printer, stats_json};

/// To the first line, and everything below it gone.
const CLEAR: &str = "\x1b[H\x1b[J";

type Stats = Vec<(String, String)>;

/// Looks until `count` looks are taken. On a terminal each takes the place of the last one.
pub(crate) fn watch(
    client: &Client,
    printer: &mut Printer,
    interval: Duration,
    count: Option<u64>,
) -> Result<(), Failure> {
    let mut last: Option<(Instant, Stats)> = None;
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let (at, stats) = (Instant::now(), client.stats()?);
        let before = last.as_ref().map(|(before, stats)| (at - *before, stats));
        show(printer, &stats, before)?;
        last = Some((at, stats));
        left -= 1;
        if left > 0 {
            thread::sleep(interval.saturating_sub(at.elapsed()));
        }
    }
    Ok(())
}

fn show(printer: &mut Printer, stats: &Stats, before: Option<(Duration, &Stats)>) -> io::Result<()> {
    if printer.is_json() {
        return printer.answer(|| stats_json(stats), None);
    }
    let clear = if printer.terminal { CLEAR } else { "" };
    write!(printer.out, "{clear}{}", table(stats, before))?;
    printer.out.flush()
}

fn table(stats: &Stats, before: Option<(Duration, &Stats)>) -> String {
    let mut table = format!("{:<24}{:>16}{:>16}\n", "", "now", "per second");
    for (name, value) in stats {
        let grown = before.and_then(|(time, before)| {
            let old = before.iter().find(|(old, _)| old == name)?.1.parse::<f64>().ok()?;
            Some((value.parse::<f64>().ok()? - old) / time.as_secs_f64())
        });
        let grown =
            grown.filter(|grown| *grown != 0.0).map(|grown| format!("{grown:+.0}")).unwrap_or_default();
        let _ = writeln!(table, "{}", format!("{name:<24}{value:>16}{grown:>16}").trim_end());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_with_their_growth() {
        let stats = |hits: &str| {
            vec![("version".to_owned(), "0.1.0".to_owned()), ("hits".to_owned(), hits.to_owned())]
        };
        let table = table(&stats("500"), Some((Duration::from_millis(500), &stats("100"))));
        let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            words,
            [vec!["now", "per", "second"], vec!["version", "0.1.0"], vec!["hits", "500", "+800"]]
        );
    }
}

//! `top`: the keys that most requests of a sample are about.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::json;

use crate::console::{Console, is_printable, with_bytes};
use crate::quote::quoted;
use crate::units::count;
use crate::watch::{CLEAR, size};

/// Columns before the key.
const FIGURES_WIDTH: usize = 20;

/// Requests that were seen.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) took: Duration,
    pub(crate) keys: HashMap<Vec<u8>, u64>,
}

impl Sample {
    /// The keys that were seen most, those first.
    fn hottest(&self, keys: usize) -> Vec<(&[u8], u64)> {
        let mut all: Vec<_> = self.keys.iter().map(|(key, seen)| (key.as_slice(), *seen)).collect();
        all.sort_unstable_by(|(key, seen), (other, more)| more.cmp(seen).then(key.cmp(other)));
        all.truncate(keys);
        all
    }
}

/// On a terminal in place of what was there.
pub(crate) fn show(console: &mut Console, sample: &Sample, keys: usize) -> io::Result<()> {
    let (share, rate) = (
        |seen: u64| seen as f64 / sample.requests.max(1) as f64,
        |seen: u64| seen as f64 / sample.took.as_secs_f64().max(1e-6),
    );
    if console.json {
        for (key, seen) in sample.hottest(keys) {
            let about = json!({ "share": share(seen), "per_second": rate(seen), "seen": seen });
            console.answer(|| with_bytes(about, "key", key), None)?;
        }
        return Ok(());
    }
    let (width, height) = if console.terminal { size(console) } else { (usize::MAX, usize::MAX) };
    let clear = if console.terminal { CLEAR } else { "" };
    let (seen, ms) = (count(sample.requests as f64), sample.took.as_millis());
    writeln!(console.out, "{clear}{:>7} {:>11}  key ({seen} requests in {ms} ms)", "share", "per second")?;
    for (key, seen) in sample.hottest(keys.min(height.saturating_sub(2))) {
        let key = if is_printable(key) { String::from_utf8_lossy(key).into_owned() } else { quoted(key) };
        let key: String = key.chars().take(width.saturating_sub(FIGURES_WIDTH + 1)).collect();
        writeln!(console.out, "{:>6.2}% {:>11}  {key}", share(seen) * 100.0, count(rate(seen)))?;
    }
    console.out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_come_first() {
        let keys =
            [("b", 2), ("a", 2), ("c", 7), ("d", 1)].map(|(key, seen)| (key.as_bytes().to_vec(), seen));
        let sample = Sample { requests: 20, took: Duration::from_secs(1), keys: HashMap::from(keys) };
        assert_eq!(sample.hottest(3), [(&b"c"[..], 7), (b"a", 2), (b"b", 2)]);
    }
}

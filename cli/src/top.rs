//! `top`: the keys that most requests of a sample are about.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use crabcache_client::Client;
use serde_json::{Value, json};

use crate::args::TopArguments;
use crate::console::{Console, is_printable, with_bytes};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::quote::quoted;
use crate::units::count;
use crate::watch::{CLEAR, repeat, size};

/// How long requests are looked at. The server pays for each that it shows.
pub(crate) const TIME_MAX: Duration = Duration::from_millis(100);
/// Columns before the key.
const FIGURES_WIDTH: usize = 20;

/// Requests that were seen.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    /// Requests in a second, of those that could be seen.
    pub(crate) per_second: f64,
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

/// A sample of what a `CrabCache` server is asked for, through every protocol.
pub(crate) fn sample(client: &Client, interrupt: &Interrupt) -> Result<Sample, Failure> {
    let commands = || -> Result<f64, Failure> {
        let stats = client.stats()?;
        Ok(stats.iter().find(|(name, _)| name == "commands").and_then(|(_, n)| n.parse().ok()).unwrap_or(0.0))
    };
    client.sample()?; // what was noted for the last one who asked
    let (begun, before) = (Instant::now(), commands()?);
    interrupt.sleep_until(begun + TIME_MAX);
    let seen = commands()? - before - 1.0; // one of them is this question
    let per_second = seen.max(0.0) / begun.elapsed().as_secs_f64().max(1e-6);
    let mut sample = Sample { per_second, ..Sample::default() };
    for key in client.sample()? {
        sample.requests += 1;
        *sample.keys.entry(key).or_default() += 1;
    }
    Ok(sample)
}

/// Samples as often as was asked for.
pub(crate) fn top(
    console: &mut Console,
    arguments: TopArguments,
    mut sample: impl FnMut(&Interrupt) -> Result<Sample, Failure>,
) -> Result<bool, Failure> {
    let TopArguments { keys, watch, mut pace } = arguments;
    if !watch {
        pace.count = Some(1);
    }
    repeat(console, &pace, |console| {
        let sample = sample(&console.interrupt)?;
        Ok(show(console, &sample, keys, watch)?)
    })?;
    Ok(true)
}

/// Who watches on a terminal sees it in place of what was there.
fn show(console: &mut Console, sample: &Sample, keys: usize, watch: bool) -> io::Result<()> {
    let share = |seen: u64| seen as f64 / sample.requests.max(1) as f64;
    let rate = |seen: u64| share(seen) * sample.per_second;
    let nothing = sample.keys.is_empty();
    if console.json {
        if nothing {
            let about = json!({ "key": Value::Null, "share": 0, "per_second": 0, "seen": 0 });
            console.answer(|| about, None)?;
        }
        for (key, seen) in sample.hottest(keys) {
            let about = json!({ "share": share(seen), "per_second": rate(seen), "seen": seen });
            console.answer(|| with_bytes(about, "key", key), None)?;
        }
        return Ok(());
    }
    let in_place = console.terminal && watch;
    let (width, height) = if in_place { size(console) } else { (usize::MAX, usize::MAX) };
    let clear = if in_place { CLEAR } else { "" };
    if nothing {
        writeln!(console.out, "{clear}no key was asked for in {} s", TIME_MAX.as_secs_f64())?;
        return console.out.flush();
    }
    let (seen, all) = (count(sample.requests as f64), count(sample.per_second));
    writeln!(console.out, "{clear}{:>7} {:>11}  key ({seen} requests of {all}/s)", "share", "per second")?;
    for (key, seen) in sample.hottest(keys.min(height.saturating_sub(2))) {
        let key = if is_printable(key) { String::from_utf8_lossy(key).into_owned() } else { quoted(key) };
        let key: String = key.chars().take(width.saturating_sub(FIGURES_WIDTH + 1)).collect();
        writeln!(console.out, "{:>6.2}% {:>11}  {key}", share(seen) * 100.0, count(rate(seen)))?;
    }
    console.out.flush()
}

#[cfg(test)]
mod tests {
    use crabcache_server::{Config, Endpoint, Server};

    use super::*;

    #[test]
    fn the_hottest_come_first() {
        let keys =
            [("b", 2), ("a", 2), ("c", 7), ("d", 1)].map(|(key, seen)| (key.as_bytes().to_vec(), seen));
        let sample = Sample { requests: 20, per_second: 100.0, keys: HashMap::from(keys) };
        assert_eq!(sample.hottest(3), [(&b"c"[..], 7), (b"a", 2), (b"b", 2)]);
    }

    #[test]
    fn our_own_questions_are_not_counted() {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let server = Server::start(Config { listen, memory_bytes: 16 << 20, ..Config::default() }).unwrap();
        let Endpoint::Tcp(addr) = server.addresses()[0].endpoint else { panic!("no TCP address") };
        let client = Client::connect(&addr.to_string()).unwrap();
        let sample = sample(&client, &Interrupt::default()).unwrap();
        assert_eq!((sample.requests, sample.per_second, sample.keys.len()), (0, 0.0, 0));
        server.stop();
        server.join().unwrap();
    }
}

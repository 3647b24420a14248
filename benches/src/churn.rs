//! A full cache under churn: what memory it takes and how long its clients wait, beside the same load on a server in which
//! everything fits, and beside the floor.
//!
//! ```text
//! each round: requests drawn anew -> played on each of the three in turn, alone, for a second -> tally of each, all rounds
//!                                                                                 together -> Report: what holds
//! ```
//! One server is under load at a time, each for as long as the others, and each round begins with another one, so that what
//! disturbs the machine disturbs all alike. The floor stores nothing and knows one length of values: it is given the mean of
//! the others', and the same requests each time.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::counted::counted;
use crate::draw::{Distribution, Sampler};
use crate::load::address::Address;
use crate::load::player::{Part, Player};
use crate::load::request::Protocol;
use crate::load::script::{Items, KeysTooShort, Mix, Script};
use crate::load::sizes::Sizes;
use crate::load::tally::Tally;
use crate::load::{LoadError, Stop, store};
use crate::peers::PeersError;
use crate::peers::peer::{self, Peer, Terms};
use crate::peers::server::{Servers, free_port};
use crate::process;

/// Lengths of values: many small ones, and half of the bytes in large ones.
const VALUES: &str = "64-1024:90,1024-4096:8,4096-65536:2";
/// A fifth of the items expire.
const TTLS: &str = "0:80,5-60:20";
const KEY_LEN: u32 = 11;
const MIX: Mix = Mix::Ratio { sets: 1, gets: 4 };
const DISTRIBUTION: Distribution = Distribution::Zipf(0.9);
const CONNECTIONS: u32 = 50;
const DEPTH: u32 = 16;
/// For how long each is under load in a round.
const ROUND: Duration = Duration::from_secs(1);
/// Requests that are drawn for a round; whoever answers more is asked some again.
const REQUESTS: u64 = 300_000;
/// So many times the memory of the full server is what all items have in bytes.
const WORKING_SET: u64 = 4;
/// So many times that memory has the server in which everything fits.
const FITTING: u64 = 8;

/// What the full server may have resident beyond its memory, in bytes.
const BEYOND_MAX: u64 = 32 << 20;
/// How many times as long as where everything fits one answer in a thousand may take.
const P999_RATIO_MAX: f64 = 2.0;
/// A longer wait is a stall, in microseconds.
const STALL_US: f64 = 10_000.0;

/// A server under load.
#[derive(Debug)]
pub struct Side {
    /// What it is called.
    pub name: String,
    address: Address,
    pid: u32,
    items: Items,
}

/// What came of it, all rounds together.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it is called.
    pub name: String,
    /// What was counted.
    pub tally: Tally,
    /// Rounds in which somebody waited for longer than `STALL_US`.
    pub stalled: u32,
    /// The most memory that it had resident, from its start on, in bytes.
    pub resident_max: u64,
}

/// The outcome: of the full server, of the one in which everything fits, and of the floor.
#[derive(Clone, Debug)]
pub struct Report {
    /// Memory of the full server, in bytes.
    pub memory: u64,
    /// For how long each was under load.
    pub time: Duration,
    /// Rounds.
    pub rounds: u32,
    /// What came of the three.
    pub outcomes: [Outcome; 3],
}

/// Items that have four times as many bytes as so many MiB of memory; and as many of one length, the mean, for the floor.
///
/// # Panics
/// Never: the lengths and times are written well.
pub fn items(mib: u64) -> Result<[Items; 2], KeysTooShort> {
    let values: Sizes = VALUES.parse().expect("these are lengths");
    let (mut count, mut bytes) = (0, 0);
    while bytes < WORKING_SET * (mib << 20) {
        bytes += u64::from(KEY_LEN + values.of(count, Items::VALUES));
        count += 1;
    }
    let mean = (bytes / u64::from(count)) as u32 - KEY_LEN;
    let keys = Sizes::fixed(KEY_LEN);
    let mixed = Items::new(count, keys.clone(), values)?.expiring(TTLS.parse().expect("these are times"));
    Ok([mixed, Items::new(count, keys, Sizes::fixed(mean))?])
}

/// Starts the three on one CPU: our server with so many MiB, and with enough for everything, and the floor of this program.
pub fn start(
    servers: &mut Servers,
    ours: &Peer,
    this: &Path,
    mib: u64,
    cpu: Option<usize>,
) -> Result<[Side; 3], PeersError> {
    let [mixed, fixed] = items(mib).map_err(std::io::Error::other)?;
    let mut start = |peer: &Peer, name: &str, mib, items: &Items| {
        let terms = Terms { port: free_port()?, mib, key_len: KEY_LEN, value_len: items.value_sizes.max() };
        let server = servers.start(&Peer { name: name.to_owned(), ..peer.clone() }, terms, cpu)?;
        Ok::<_, PeersError>(Side::new(name, server.address, server.pid, items.clone()))
    };
    Ok([
        start(ours, "full", mib, &mixed)?,
        start(ours, "fitting", FITTING * mib, &mixed)?,
        start(&peer::floor(this), peer::FLOOR, 0, &fixed)?,
    ])
}

impl Side {
    /// One that listens there, in this process.
    #[must_use]
    pub fn new(name: &str, address: Address, pid: u32, items: Items) -> Self {
        Self { name: name.to_owned(), address, pid, items }
    }

    fn failed(&self) -> impl Fn(LoadError) -> PeersError {
        |error| PeersError::Load { name: self.name.clone(), error }
    }

    /// Connects, and stores all items.
    fn begin(&self) -> Result<Player, PeersError> {
        let mut player = Player::connect(&self.address, CONNECTIONS).map_err(self.failed())?;
        let stored = store(&mut player, Protocol::Resp, &self.items, 0..self.items.count);
        match stored.map_err(self.failed())?.first_error {
            Some(text) => Err(PeersError::Refused { name: self.name.clone(), text }),
            None => Ok(player),
        }
    }
}

/// Rounds until each of the three has been under load for so long; tells `progress` what it is about to do.
pub fn measure(
    sides: &[Side; 3],
    memory: u64,
    time: Duration,
    progress: &mut dyn FnMut(&str),
) -> Result<Report, PeersError> {
    let mut players = Vec::new();
    for side in sides {
        progress(&format!("storing {} items in {}", side.items.count, side.name));
        players.push(side.begin()?);
    }
    let sampler = Sampler::new(DISTRIBUTION, sides[0].items.count);
    let draw = |items, seed| Script::drawn(Protocol::Resp, items, &sampler, MIX, seed, REQUESTS);
    let fixed = draw(&sides[2].items, 0);
    let mut outcomes = sides.each_ref().map(Outcome::new);
    let mut left = time;
    let mut rounds = 0;
    while !left.is_zero() {
        progress(&format!("round {}, {} s left for each", rounds + 1, left.as_secs()));
        let mixed = draw(&sides[0].items, u64::from(rounds));
        let stop = Stop::After(left.min(ROUND));
        for turn in 0..sides.len() {
            let at = (turn + rounds as usize) % sides.len();
            let script = if at == 2 { &fixed } else { &mixed };
            let part = Part { script, goes_on: false, depth: DEPTH, stop, rate: None, verify: None };
            outcomes[at].add(&players[at].play(&part).map_err(sides[at].failed())?);
        }
        left = left.saturating_sub(ROUND);
        rounds += 1;
    }
    for (outcome, side) in outcomes.iter_mut().zip(sides) {
        outcome.resident_max = process::rss_max_of(side.pid).unwrap_or(0);
    }
    Ok(Report { memory, time, rounds, outcomes })
}

impl Outcome {
    fn new(side: &Side) -> Self {
        let (tally, name) = (Tally::default(), side.name.clone());
        Self { name, tally, stalled: 0, resident_max: 0 }
    }

    fn add(&mut self, round: &Tally) {
        self.tally.merge(round);
        self.stalled += u32::from(round.latency_us(1.0) > STALL_US);
    }

    fn p999_us(&self) -> f64 {
        self.tally.latency_us(0.999)
    }

    fn longest_us(&self) -> f64 {
        self.tally.latency_us(1.0)
    }
}

impl Report {
    /// What has to hold, in words, and whether it does.
    #[must_use]
    pub fn conditions(&self) -> [(String, bool); 4] {
        let [full, fitting, floor] = &self.outcomes;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let p999_max = P999_RATIO_MAX * fitting.p999_us();
        let longest_max = floor.longest_us().max(STALL_US);
        let errors: u64 = self.outcomes.iter().map(|outcome| outcome.tally.errors).sum();
        let first = self.outcomes.iter().find_map(|outcome| outcome.tally.first_error.as_deref());
        [
            (
                format!(
                    "memory at most {:.1} MiB of {:.0} + {:.0}",
                    mib(full.resident_max),
                    mib(self.memory),
                    mib(BEYOND_MAX)
                ),
                full.resident_max <= self.memory + BEYOND_MAX,
            ),
            (
                format!(
                    "p99.9 {:.2} ms, at most {P999_RATIO_MAX} times the {:.2} ms where everything fits",
                    full.p999_us() / 1e3,
                    fitting.p999_us() / 1e3
                ),
                full.p999_us() <= p999_max,
            ),
            (
                format!(
                    "longest wait {:.1} ms, at most {:.0} or the floor's {:.1}",
                    full.longest_us() / 1e3,
                    STALL_US / 1e3,
                    floor.longest_us() / 1e3
                ),
                full.longest_us() <= longest_max,
            ),
            (
                format!(
                    "errors {errors}, at most 0{}",
                    first.map(|text| format!(": {text}")).unwrap_or_default()
                ),
                errors == 0,
            ),
        ]
    }

    /// Whether one of them does not hold.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.conditions().iter().any(|(_, holds)| !holds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "SET:GET 1:4, {DISTRIBUTION}, values of {VALUES} bytes, {CONNECTIONS} connections x depth {DEPTH}, \
             {} s each in {}\n",
            self.time.as_secs_f64(),
            counted(self.rounds, "round")
        )?;
        write!(f, "{:<28}", "")?;
        for outcome in &self.outcomes {
            write!(f, "{:>12}", outcome.name)?;
        }
        let mut row = |name: &str, figure: &dyn Fn(&Outcome) -> String| {
            write!(f, "\n{name:<28}")?;
            self.outcomes.iter().try_for_each(|outcome| write!(f, "{:>12}", figure(outcome)))
        };
        row("requests", &|outcome| outcome.tally.requests.to_string())?;
        row("requests per second", &|outcome| {
            format!("{:.0}", outcome.tally.requests as f64 / self.time.as_secs_f64().max(1e-9))
        })?;
        row("GETs that found a value, %", &|outcome| {
            let Tally { hits, misses, .. } = outcome.tally;
            format!("{:.1}", hits as f64 / (hits + misses).max(1) as f64 * 100.0)
        })?;
        row("memory at most, MiB", &|outcome| {
            format!("{:.1}", outcome.resident_max as f64 / f64::from(1 << 20))
        })?;
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("longest", 1.0)] {
            row(&format!("{name}, ms"), &|outcome| {
                format!("{:.2}", outcome.tally.latency_us(quantile) / 1e3)
            })?;
        }
        row("rounds with 10 ms or more", &|outcome| outcome.stalled.to_string())?;
        writeln!(f)?;
        for (condition, holds) in self.conditions() {
            write!(f, "\n{}  {condition}", if holds { "holds         " } else { "DOES NOT HOLD " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_have_four_times_the_bytes_of_the_memory_and_the_floor_their_mean() {
        let [mixed, fixed] = items(8).unwrap();
        let bytes: u64 =
            (0..mixed.count).map(|item| u64::from(KEY_LEN) + mixed.value(item).len() as u64).sum();
        assert!((32 << 20..(32 << 20) + 70_000).contains(&bytes), "{bytes}");
        let mean = u64::from(KEY_LEN + fixed.value_sizes.only().unwrap());
        assert!(bytes.abs_diff(mean * u64::from(fixed.count)) <= u64::from(fixed.count));
        let expiring = (0..mixed.count).filter(|&item| mixed.ttl(item) > 0).count();
        assert!((expiring as f64 / f64::from(mixed.count) - 0.2).abs() < 0.02);
        assert_eq!(fixed.ttl(0), 0, "the floor knows no times");
    }

    /// Each condition fails by itself, and a wait that the floor shows, too, is none of the server's.
    #[test]
    fn conditions_hold_or_do_not() {
        let outcome = |name: &str, ms: [u64; 2], mib: u64| {
            let mut round = Tally { requests: 1000, ..Tally::default() };
            round.record(ms[0] * 1_000_000, 998);
            round.record(ms[1] * 1_000_000, 2);
            let mut outcome = Outcome {
                name: name.to_owned(),
                tally: Tally::default(),
                stalled: 0,
                resident_max: mib << 20,
            };
            outcome.add(&round);
            outcome
        };
        let report = |full: ([u64; 2], u64), fitting: [u64; 2], floor: [u64; 2]| Report {
            memory: 256 << 20,
            time: Duration::from_secs(1),
            rounds: 1,
            outcomes: [
                outcome("full", full.0, full.1),
                outcome("fitting", fitting, 999),
                outcome("floor", floor, 9),
            ],
        };
        let held = |report: &Report| report.conditions().map(|(_, holds)| holds);
        let good = report(([1, 9], 288), [1, 5], [1, 2]);
        assert_eq!((held(&good), good.is_bad()), ([true; 4], false));
        assert_eq!(good.outcomes[0].stalled, 0);
        let large = report(([1, 9], 289), [1, 5], [1, 2]);
        assert_eq!((held(&large), large.is_bad()), ([false, true, true, true], true));
        assert_eq!(held(&report(([1, 9], 288), [1, 4], [1, 2])), [true, false, true, true]);
        let stalled = report(([1, 12], 288), [1, 7], [1, 11]);
        assert_eq!((held(&stalled), stalled.outcomes[0].stalled), ([true, true, false, true], 1));
        assert!(
            stalled
                .to_string()
                .contains("DOES NOT HOLD   longest wait 12.0 ms, at most 10 or the floor's 11.0")
        );
        assert_eq!(held(&report(([1, 12], 288), [1, 7], [1, 13])), [true; 4]);
        let mut refused = good;
        refused.outcomes[0].tally.errors = 1;
        assert_eq!(held(&refused), [true, true, true, false]);
    }
}

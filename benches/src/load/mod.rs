//! How much can a server take, and how long do its clients wait? A load generator for RESP, memcached text and the native
//! protocol, cheap enough not to be the limit itself.
//!
//! ```text
//! sampler, sizes -> script (requests, drawn and written out ahead) -> player, one per thread: connections x depth
//!                                         schedule (closed or open loop) -'        |
//!                                                 report: table | JSON <- tally (HDR histogram, CPU time)
//! ```
//! A run has phases: connect, store all items (preload), prepare requests, warm up, measure. All but the last are in no
//! figure.

pub mod address;
mod connection;
pub mod player;
mod reply;
pub mod report;
pub mod request;
mod schedule;
pub mod script;
pub mod sizes;
pub mod tally;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::counted::counted;
use crate::draw::{Distribution, Sampler};
use crate::process;
use address::Address;
use player::{Part, Player};
use report::{Report, ServerSide};
use request::Protocol;
pub use schedule::Stop;
use script::{Items, Mix, Script};
use tally::Tally;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Depth at which items are stored before the clock runs.
const PRELOAD_DEPTH: u32 = 32;

/// What to do to a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub address: Address,
    /// What to speak.
    pub protocol: Protocol,
    /// Connections, all threads together.
    pub connections: u32,
    /// Most requests that are out on a connection.
    pub depth: u32,
    /// Threads of the load generator.
    pub threads: u32,
    /// What the requests are about.
    pub items: Items,
    /// How often each item is asked for.
    pub distribution: Distribution,
    /// What is asked for.
    pub mix: Mix,
    /// When to end.
    pub stop: Stop,
    /// Requests per second, of all connections together, for an open loop.
    pub rate: Option<f64>,
    /// For how long to do the same before the clock runs.
    pub warm_up: Duration,
    /// Store all items first.
    pub preload: bool,
    /// Look at each value.
    pub verify: bool,
    /// The server's process, if its CPU time and memory are of interest.
    pub pid: Option<u32>,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: &'static str,
    /// Requests that were answered in this phase.
    pub done: u64,
    /// How many it will be, if that is known.
    pub of: Option<u64>,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nobody accepts.
    #[error("no connection to {address}: {error}")]
    Connect {
        /// Where to.
        address: Address,
        /// What the system says.
        error: io::Error,
    },
    /// A socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server hung up.
    #[error("the server closed a connection after {}", counted(*.requests, "answer"))]
    Closed {
        /// Answers so far, of one thread.
        requests: u64,
    },
    /// The server hung up, and had answered with an error.
    #[error("the server closed a connection; it had answered: {0}")]
    Refused(String),
    /// The server speaks another protocol.
    #[error("the server sent something that is no reply of this protocol: {0}")]
    Reply(String),
    /// The server answered what nobody asked.
    #[error("the server sent an answer to no request")]
    Unasked,
    /// There is nobody whose CPU time could be told.
    #[error("there is no process {0}, or its CPU time is not to be seen")]
    NoProcess(u32),
    /// Somebody wanted it to end.
    #[error("ended before anything was measured")]
    Ended,
    /// The server does not answer.
    #[error("no answer for 10 seconds, after {}", counted(*.requests, "answer"))]
    Silent {
        /// Answers so far, of one thread.
        requests: u64,
    },
}

/// Carries out a run; tells `progress` ten times a second where it is. If that breaks off, the report is of what was measured
/// until then.
pub fn run(
    options: &Options,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Report, LoadError> {
    if let Some(pid) = options.pid.filter(|&pid| process::cpu_ns_of(pid).is_none()) {
        return Err(LoadError::NoProcess(pid));
    }
    let mut crew = Crew::connect(options)?;
    if options.preload {
        crew.preload(options, progress)?;
    }
    let scripts = crew.scripts(options, progress);
    let mut played = 0;
    if !options.warm_up.is_zero() {
        let watch = &mut |done| progress(Progress { phase: "warming up", done, of: None });
        played = crew.play(&scripts, options, Stop::After(options.warm_up), watch)?.requests;
    }
    if crew.is_ending() {
        return Err(LoadError::Ended);
    }
    let of = match (options.stop, options.rate) {
        (Stop::Requests(count), _) => Some(count),
        (Stop::After(time), Some(rate)) => Some((time.as_secs_f64() * rate) as u64),
        (Stop::After(_), None) => None,
    };
    let before = options.pid.and_then(process::cpu_ns_of);
    let watch = &mut |done| progress(Progress { phase: "measuring", done, of });
    let tally = crew.play(&scripts, options, options.stop, watch)?;
    // Less than before: threads of the server have ended, and with them what they had used is gone.
    let used = before.zip(options.pid.and_then(process::cpu_ns_of));
    let server = ServerSide {
        cpu_ns: used.and_then(|(before, after)| after.checked_sub(before)),
        rss_bytes: options.pid.and_then(process::rss_of),
    };
    let repeated = played + tally.requests > scripts.iter().map(|script| u64::from(script.len())).sum();
    Ok(Report { options: options.clone(), tally, server, repeated })
}

/// The threads' players.
struct Crew(Vec<Player>);

impl Crew {
    fn connect(options: &Options) -> Result<Self, LoadError> {
        let shares = shares(u64::from(options.connections), options.threads);
        let players = shares.map(|share| Player::connect(&options.address, (share.end - share.start) as u32));
        players.collect::<Result<_, _>>().map(Self)
    }

    fn is_ending(&self) -> bool {
        self.0.iter().any(|player| player.ending().load(Ordering::Relaxed))
    }

    /// Stores all items, each once, a script's length at a time.
    fn preload(
        &mut self,
        options: &Options,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), LoadError> {
        let count = u64::from(options.items.count);
        let shares: Vec<_> = shares(count, options.threads).collect();
        let watch = &mut |done| progress(Progress { phase: "storing the items", done, of: Some(count) });
        let tally = self.each(watch, |number, player| {
            let share = &shares[number];
            store(player, options.protocol, &options.items, share.start as u32..share.end as u32)
        })?;
        match tally.first_error {
            Some(error) => Err(io::Error::other(format!("an item was not stored: {error}")).into()),
            None => Ok(()),
        }
    }

    /// A script for each thread. Writing them takes seconds where the machine is busy.
    fn scripts(
        &self,
        options: &Options,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Vec<Script> {
        let Options { protocol, items, mix, .. } = options;
        let sampler = Sampler::new(options.distribution, items.count);
        let count = match options.stop {
            Stop::Requests(count) if options.warm_up.is_zero() => count.div_ceil(self.0.len() as u64),
            _ => u64::MAX,
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (1..=self.0.len() as u64)
                .map(|seed| {
                    let sampler = &sampler;
                    scope.spawn(move || Script::drawn(*protocol, items, sampler, *mix, seed, count))
                })
                .collect();
            let joined = threads.into_iter().map(|thread| {
                while !thread.is_finished() {
                    thread::park_timeout(TELL_EVERY);
                    // Who wants it to end is heard in the next phase.
                    let _ = progress(Progress { phase: "preparing requests", done: 0, of: None });
                }
                thread.join().expect("drawing does not panic")
            });
            joined.collect()
        })
    }

    fn play(
        &mut self,
        scripts: &[Script],
        options: &Options,
        stop: Stop,
        watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Tally, LoadError> {
        let threads = self.0.len() as f64;
        let shares: Vec<_> = match stop {
            Stop::Requests(count) => {
                shares(count, options.threads).map(|share| Stop::Requests(share.end - share.start)).collect()
            }
            Stop::After(_) => vec![stop; self.0.len()],
        };
        self.each(watch, |number, player| {
            player.play(&Part {
                script: &scripts[number],
                goes_on: true,
                depth: options.depth,
                stop: shares[number],
                rate: options.rate.map(|rate| rate / threads),
                verify: options.verify.then_some(&options.items),
            })
        })
    }

    /// Lets each player do something in a thread of its own, and adds up what they counted.
    fn each<F>(&mut self, watch: &mut dyn FnMut(u64) -> ControlFlow<()>, act: F) -> Result<Tally, LoadError>
    where
        F: Fn(usize, &mut Player) -> Result<Tally, LoadError> + Sync,
    {
        let answered: Vec<_> = self.0.iter().map(Player::answered).collect();
        let endings: Vec<_> = self.0.iter().map(Player::ending).collect();
        let total = || answered.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        let before = total();
        thread::scope(|scope| {
            let act = &act;
            let threads: Vec<_> = self
                .0
                .iter_mut()
                .enumerate()
                .map(|(number, player)| scope.spawn(move || act(number, player)))
                .collect();
            let mut sum = Tally::default();
            for thread in threads {
                while !thread.is_finished() {
                    thread::park_timeout(TELL_EVERY);
                    if watch(total() - before).is_break() {
                        for ending in &endings {
                            ending.store(true, Ordering::Relaxed);
                        }
                    }
                }
                sum.merge(&thread.join().expect("a player does not panic")?);
            }
            Ok(sum)
        })
    }
}

/// Stores these items on a player's connections.
pub(crate) fn store(
    player: &mut Player,
    protocol: Protocol,
    items: &Items,
    mut range: Range<u32>,
) -> Result<Tally, LoadError> {
    let mut sum = Tally::default();
    while !range.is_empty() {
        let script = Script::storing(protocol, items, range.clone());
        range.start += script.len();
        let stop = Stop::Requests(script.len().into());
        let part =
            Part { script: &script, goes_on: false, depth: PRELOAD_DEPTH, stop, rate: None, verify: None };
        sum.merge(&player.play(&part)?);
    }
    Ok(sum)
}

/// Divides a number among threads, as evenly as it can be.
fn shares(count: u64, threads: u32) -> impl Iterator<Item = Range<u64>> {
    let threads = u64::from(threads);
    let at = move |thread: u64| (u128::from(count) * u128::from(thread) / u128::from(threads)) as u64;
    (0..threads).map(move |thread| at(thread)..at(thread + 1))
}

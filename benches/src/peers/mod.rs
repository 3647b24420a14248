//! What does a request cost this server, and what does it cost others? All of them alive at once, in interleaved rounds.
//!
//! ```text
//! peer (who is there, how it is started) -> server (a process on a free port, pinned) -> filled
//! each round, each workload: one script -> played on each server in turn -> CPU time, latencies (workload::Round)
//!                                                              report: Markdown, JSON <- medians, ratios -> plot: SVG
//! ```
//! A machine that others use drifts by half within minutes; what disturbs it disturbs all servers of a round alike. So what
//! counts is the median of the ratios of each round, and of figures the CPU time of the server's threads, which does not
//! grow because somebody else had the processor.

pub mod machine;
pub mod peer;
pub mod plot;
pub mod report;
pub mod server;
pub mod workload;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use crate::draw::{Distribution, Sampler};
use crate::load::player::{Part, Player};
use crate::load::request::Protocol;
use crate::load::script::{Items, Script};
use crate::load::{LoadError, Stop, store};
use crate::process;
use peer::{Peer, Terms};
use server::{Server, Servers, free_port, pin};
use workload::{Round, Workload};

/// Connections while items are stored.
const FILL_CONNECTIONS: u32 = 10;
/// What a server needs for an item beside key and value at most, in bytes: nothing is to be evicted.
const OVERHEAD_MAX: u64 = 200;
/// Memory of a server beside its items, in MiB.
const SPARE_MIB: u64 = 256;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who takes part.
    pub peers: Vec<Peer>,
    /// What is asked of them.
    pub workloads: Vec<Workload>,
    /// Rounds.
    pub rounds: u32,
    /// The items, all with keys of one length and values of one length.
    pub items: Items,
    /// How often each item is asked for.
    pub distribution: Distribution,
    /// The CPU on which all servers run; none: wherever the system wants.
    pub server_cpu: Option<usize>,
    /// The CPU on which the load is made.
    pub client_cpu: Option<usize>,
    /// When everything is ended at the latest.
    pub limit: Duration,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// A server did not start.
    #[error("{name} did not start: {why}")]
    Start {
        /// Its name.
        name: String,
        /// What is known of it.
        why: String,
    },
    /// A server did not do what it was asked.
    #[error("{name}: {error}")]
    Load {
        /// Its name.
        name: String,
        /// What happened.
        error: LoadError,
    },
    /// A server answered with an error.
    #[error("{name} answered: {text}")]
    Refused {
        /// Its name.
        name: String,
        /// What it said.
        text: String,
    },
    /// The system does not tell what a server has used.
    #[error("the CPU time of {name} is not known")]
    NoCpuTime {
        /// Its name.
        name: String,
    },
    /// It took too long.
    #[error("the time limit is over: all servers were ended")]
    Late,
    /// Somebody wanted it to end.
    #[error("interrupted: all servers were ended")]
    Interrupted,
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What came of one server.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it is called.
    pub name: String,
    /// What it was spoken to in.
    pub protocol: Protocol,
    /// By how much its memory grew while the items were stored, in bytes.
    pub grown: u64,
    /// Its rounds, for each workload.
    pub rounds: Vec<Vec<Round>>,
}

/// Measures all servers; tells `progress` what it is about to do.
pub fn measure(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Vec<Outcome>, PeersError> {
    with_servers(options.limit, options.client_cpu, |servers| measure_all(options, servers, progress))
}

/// Does something with servers, which end with it, or when the time is over; it runs on `client_cpu`.
pub fn with_servers<T>(
    limit: Duration,
    client_cpu: Option<usize>,
    act: impl FnOnce(&mut Servers) -> Result<T, PeersError>,
) -> Result<T, PeersError> {
    let mut servers = Servers::new(limit)?;
    let done = pin(client_cpu).map_err(PeersError::from).and_then(|()| act(&mut servers));
    // If they were ended, that is what went wrong, whatever came of it.
    match servers.ended() {
        Some(ended) if done.is_err() => Err(ended),
        _ => done,
    }
}

fn measure_all(
    options: &Options,
    servers: &mut Servers,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Outcome>, PeersError> {
    let started = start(options, servers)?;
    let mut outcomes = Vec::new();
    for server in &started {
        progress(&format!("filling {}", server.peer.name));
        outcomes.push(fill(server, options)?);
    }
    let sampler = Sampler::new(options.distribution, options.items.count);
    for round in 0..options.rounds {
        for (number, workload) in options.workloads.iter().enumerate() {
            progress(&format!("round {} of {}: {}", round + 1, options.rounds, workload.name));
            let seed = u64::from(round) << 32 | number as u64;
            let mut scripts = HashMap::new();
            // Each round begins with another one.
            for turn in 0..started.len() {
                let at = (turn + round as usize) % started.len();
                let protocol = started[at].peer.protocol;
                let script = scripts.entry(protocol.name()).or_insert_with(|| {
                    let Workload { mix, requests, .. } = *workload;
                    Script::drawn(protocol, &options.items, &sampler, mix, seed, requests)
                });
                outcomes[at].rounds[number].push(play(&started[at], workload, script)?);
            }
        }
    }
    Ok(outcomes)
}

fn start(options: &Options, servers: &mut Servers) -> Result<Vec<Server>, PeersError> {
    let Items { count, ref key_sizes, ref value_sizes, .. } = options.items;
    let (key_len, value_len) = (key_sizes.max(), value_sizes.max());
    let each = u64::from(key_len) + u64::from(value_len) + OVERHEAD_MAX;
    let mib = ((u64::from(count) * each) >> 20) + SPARE_MIB;
    let start = |peer| {
        let terms = Terms { port: free_port()?, mib, key_len, value_len };
        servers.start(peer, terms, options.server_cpu)
    };
    options.peers.iter().map(start).collect()
}

fn fill(server: &Server, options: &Options) -> Result<Outcome, PeersError> {
    let failed = |error| PeersError::Load { name: server.peer.name.clone(), error };
    let mut player = Player::connect(&server.address, FILL_CONNECTIONS).map_err(failed)?;
    let items = &options.items;
    let tally = store(&mut player, server.peer.protocol, items, 0..items.count).map_err(failed)?;
    if let Some(text) = tally.first_error {
        return Err(PeersError::Refused { name: server.peer.name.clone(), text });
    }
    Ok(Outcome {
        name: server.peer.name.clone(),
        protocol: server.peer.protocol,
        grown: process::rss_of(server.pid).unwrap_or(0).saturating_sub(server.empty_rss),
        rounds: vec![Vec::new(); options.workloads.len()],
    })
}

fn play(server: &Server, workload: &Workload, script: &Script) -> Result<Round, PeersError> {
    let failed = |error| PeersError::Load { name: server.peer.name.clone(), error };
    let mut player = Player::connect(&server.address, workload.connections).map_err(failed)?;
    let part = Part {
        script,
        goes_on: false,
        depth: workload.depth,
        stop: Stop::Requests(workload.requests),
        rate: None,
        verify: None,
    };
    let before = process::cpu_ns_of(server.pid);
    let mut tally = player.play(&part).map_err(failed)?;
    // Less than before: threads of the server have ended, and with them what they had used is gone.
    let used =
        before.zip(process::cpu_ns_of(server.pid)).and_then(|(before, after)| after.checked_sub(before));
    match (tally.first_error.take(), used) {
        (Some(text), _) => Err(PeersError::Refused { name: server.peer.name.clone(), text }),
        (None, None) => Err(PeersError::NoCpuTime { name: server.peer.name.clone() }),
        (None, Some(used)) => Ok(Round::new(&tally, used)),
    }
}

//! Replays a trace as a client with a look-aside cache: get; on a miss, fetch and put.
//!
//! Requests go out in *windows* (pipelines to a server, batches of an engine). That must not change what is counted:
//!
//! ```text
//! trace      get a   get b   set c   get a   get d ...            b misses
//! window 1   get a   get b   set c                                ends before a key that is already in it
//! window 2   put b | get a   get d ...                            begins with the puts of the window before
//! ```
//! A key is in a window once, and the put after its miss stands before its next request: so each get sees what it would
//! see if requests were sent one by one, and one round trip per window is enough. (An engine in this process gets the
//! puts in a batch of their own.) What remains different: the puts of a
//! window's misses come after the window's gets instead of between them, so that an eviction may come up to a window's
//! length too late. With windows of one request (`--batch 1`) nothing is different.
//!
//! A replay also checks: a hit must have the bytes that were last put under its key, and a key that was deleted, or
//! whose time has come, must not be there.

#[cfg(feature = "embed")]
mod cache;
mod engine;
mod server;

use crate::trace::{Kind, Request, Trace};

#[cfg(feature = "embed")]
pub use cache::CacheTarget;
pub use engine::{EngineTarget, MakingRoom, fixed_bytes};
pub use server::ServerTarget;

/// So many times a step that finds no room is tried again before it counts as refused.
const TRIES_MAX: u32 = 100;
/// Requests between two reports of progress.
const REPORT_EVERY: usize = 1 << 16;

/// How to replay.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most requests in a window; at least 1.
    pub batch: usize,
    /// Whether items expire. If not, the clock stands still.
    pub ttl: bool,
}

/// One operation on a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Number of the key.
    pub key: u32,
    /// Bytes of the value to put.
    pub size: u32,
    /// What to do.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read.
    Get,
    /// Store, until a moment in milliseconds if there is one.
    Put {
        /// The moment.
        expires_ms: Option<u64>,
    },
    /// Remove.
    Delete,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value is there.
    Hit {
        /// Its bytes.
        size: u32,
        /// Whether they are a value of this key.
        intact: bool,
    },
    /// The key is absent.
    Miss,
    /// Done.
    Done,
    /// Larger than the cache takes.
    TooLarge,
    /// No room at this moment.
    TryAgain,
}

/// What can be replayed on.
pub trait Target {
    /// Carries out steps in order, and appends an answer for each.
    fn run(&mut self, now_ms: u64, steps: &[Step], answers: &mut Vec<Answer>) -> Result<(), ReplayError>;

    /// Whether it is in this process: then a call costs no round trip, and a hit on a key that this replay has not put
    /// is a lie.
    fn is_local(&self) -> bool;
}

/// Why a replay ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The engine cannot be made.
    #[error("no engine of this size: {0}")]
    Open(#[from] crabcache_engine::OpenError),
    /// The server does not answer.
    #[error("the server: {0}")]
    Client(#[from] crabcache_client::Error),
    /// The server does not answer one command.
    #[error("the server: {0}")]
    Command(#[from] crabcache_client::CommandError),
    /// The target answers something that the step cannot have.
    #[error("an answer that does not belong to the request: {0}")]
    Unexpected(String),
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests of the trace.
    pub requests: u64,
    /// Of these, gets.
    pub gets: u64,
    /// Gets that found nothing.
    pub misses: u64,
    /// Bytes of the values that gets asked for.
    pub get_bytes: u64,
    /// Bytes of the values that gets did not find.
    pub miss_bytes: u64,
    /// Operations that were carried out: gets, sets, deletes, and puts after misses.
    pub operations: u64,
    /// Windows.
    pub windows: u64,
    /// Puts that were refused as too large.
    pub refused: u64,
    /// Puts and deletes that were given up because no room could be made.
    pub pressure: u64,
    /// Hits on keys that this replay has not put: the server was not empty, or somebody else uses it.
    pub foreign: u64,
    /// Hits that were not the bytes last put, or that should not have been there at all. Always 0, or there is a bug.
    pub wrong: u64,
}

impl Tally {
    /// Missed gets / gets.
    #[must_use]
    pub fn miss_ratio(&self) -> f64 {
        ratio(self.misses, self.gets)
    }

    /// The same, each get weighed by the size of its value.
    #[must_use]
    pub fn byte_miss_ratio(&self) -> f64 {
        ratio(self.miss_bytes, self.get_bytes)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Replays a trace. `progress` is told now and then how many requests are done.
pub fn replay(
    trace: &Trace,
    target: &mut dyn Target,
    options: Options,
    progress: &mut dyn FnMut(u64),
) -> Result<Tally, ReplayError> {
    let mut replay = Replay::new(trace, options);
    let mut reported = 0;
    while replay.at < trace.requests.len() {
        replay.window(target)?;
        if replay.at - reported >= REPORT_EVERY {
            reported = replay.at;
            progress(reported as u64);
        }
    }
    replay.run(target)?;
    progress(trace.requests.len() as u64);
    Ok(replay.tally)
}

/// What was last put under a key.
#[derive(Clone, Copy)]
struct Stored {
    size: u32,
    expires_ms: Option<u64>,
}

struct Replay<'t> {
    requests: &'t [Request],
    options: Options,
    tally: Tally,
    at: usize,
    now_ms: u64,
    /// Puts after the misses of the window before, then the window.
    steps: Vec<Step>,
    answers: Vec<Answer>,
    /// The next window's puts.
    fills: Vec<Step>,
    /// Of each key, the window that it was last in.
    last_in: Vec<u64>,
    stored: Vec<Option<Stored>>,
}

impl<'t> Replay<'t> {
    fn new(trace: &'t Trace, options: Options) -> Self {
        Self {
            requests: &trace.requests,
            options: Options { batch: options.batch.max(1), ..options },
            tally: Tally::default(),
            at: 0,
            now_ms: 0,
            steps: Vec::new(),
            answers: Vec::new(),
            fills: Vec::new(),
            last_in: vec![0; trace.keys as usize],
            stored: vec![None; trace.keys as usize],
        }
    }

    /// Sends the next window and counts its answers.
    fn window(&mut self, target: &mut dyn Target) -> Result<(), ReplayError> {
        let time = self.requests[self.at].time;
        let now_ms = if self.options.ttl { u64::from(time) * 1000 } else { 0 };
        if now_ms != self.now_ms {
            self.run(target)?; // what was fetched before time moved on was also put before
            self.now_ms = now_ms;
        }
        if target.is_local() {
            self.run(target)?;
        }
        self.tally.windows += 1;
        let start = self.at;
        let fills = self.fills.len();
        self.steps.append(&mut self.fills);
        while let Some(request) = self.requests.get(self.at) {
            let repeated = self.last_in[request.key as usize] == self.tally.windows;
            let later = self.options.ttl && request.time != time;
            if repeated || later || self.at - start == self.options.batch {
                break;
            }
            self.last_in[request.key as usize] = self.tally.windows;
            self.steps.push(self.step(request));
            self.at += 1;
        }
        self.answer_all(target)?;
        for (request, index) in self.requests[start..self.at].iter().zip(fills..) {
            self.count(request, self.answers[index], target.is_local());
        }
        self.steps.clear();
        Ok(())
    }

    /// Puts what is still to be put.
    fn run(&mut self, target: &mut dyn Target) -> Result<(), ReplayError> {
        self.steps.append(&mut self.fills);
        self.answer_all(target)?;
        self.steps.clear();
        Ok(())
    }

    fn step(&self, request: &Request) -> Step {
        let &Request { key, size, .. } = request;
        match request.kind {
            Kind::Get => Step { key, size, action: Action::Get },
            Kind::Set => self.put(request),
            Kind::Delete => Step { key, size, action: Action::Delete },
        }
    }

    fn put(&self, request: &Request) -> Step {
        let &Request { key, size, ttl, .. } = request;
        let expires = self.options.ttl && ttl != 0;
        let expires_ms = expires.then(|| (u64::from(request.time) + u64::from(ttl)) * 1000);
        Step { key, size, action: Action::Put { expires_ms } }
    }

    /// Fills `answers`, one for each of `steps`, and keeps in mind what is stored. What finds no room is tried again.
    fn answer_all(&mut self, target: &mut dyn Target) -> Result<(), ReplayError> {
        self.answers.clear();
        if self.steps.is_empty() {
            return Ok(());
        }
        target.run(self.now_ms, &self.steps, &mut self.answers)?;
        self.tally.operations += self.steps.len() as u64;
        for index in 0..self.steps.len() {
            let step = self.steps[index];
            let mut tries = 0;
            while self.answers[index] == Answer::TryAgain && tries < TRIES_MAX {
                let mut again = Vec::new();
                target.run(self.now_ms, &[step], &mut again)?;
                self.answers[index] = again[0];
                tries += 1;
            }
            self.note(step, self.answers[index]);
        }
        Ok(())
    }

    /// Keeps in mind what a write has changed, and counts refusals.
    fn note(&mut self, step: Step, answer: Answer) {
        let expires_ms = match step.action {
            Action::Get => return,
            Action::Delete => {
                self.stored[step.key as usize] = None;
                self.tally.pressure += u64::from(answer == Answer::TryAgain);
                return;
            }
            Action::Put { expires_ms } => expires_ms,
        };
        if answer == Answer::Done {
            self.stored[step.key as usize] = Some(Stored { size: step.size, expires_ms });
            return;
        }
        self.tally.refused += u64::from(answer == Answer::TooLarge);
        self.tally.pressure += u64::from(answer == Answer::TryAgain);
        // The value before must not outlive a set that failed. This is the next step, as with any client.
        if self.stored[step.key as usize].is_some() {
            self.fills.push(Step { action: Action::Delete, ..step });
        }
    }

    fn count(&mut self, request: &Request, answer: Answer, local: bool) {
        self.tally.requests += 1;
        if request.kind != Kind::Get {
            return;
        }
        let size = u64::from(request.size);
        self.tally.gets += 1;
        self.tally.get_bytes += size;
        let Answer::Hit { size: found, intact } = answer else {
            self.tally.misses += 1;
            self.tally.miss_bytes += size;
            self.fills.push(self.put(request));
            return;
        };
        let stored = self.stored[request.key as usize];
        match stored.filter(|stored| stored.expires_ms.is_none_or(|at| at > self.now_ms)) {
            Some(stored) => self.tally.wrong += u64::from(!intact || found != stored.size),
            None if local || stored.is_some() => self.tally.wrong += 1,
            None => self.tally.foreign += 1,
        }
    }
}

#[cfg(test)]
mod tests;

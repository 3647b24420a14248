//! Starting a server, and holding on to one that runs.
//!
//! ```text
//! start -> "crabcache" thread: owns the region, the cache in it and the listeners; accepts
//!             `- scope -> "worker-0" .. "worker-n": borrow the cache, serve
//! ```
//!
//! The cache borrows the region, the workers borrow the cache, and the scope ends before either is given back: the
//! lifetimes say what the shutdown does.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::{fmt, panic};

use crabcache_engine::{Cache, OpenError};
use mio::{Poll, Waker};

use crate::bounds::Bounds;
use crate::config::{Config, ConfigError, Listen, size};
use crate::net::acceptor::{self, Acceptor};
use crate::net::listener::Listener;
use crate::reactor::worker::{self, Worker};
use crate::seat::Seat;
use crate::shared::Shared;
use crate::shutdown::{self, Control};
use crate::sys::memory::Region;
use crate::sys::{cores, limits, memory};

/// The way to start a server.
#[derive(Clone, Copy, Debug)]
pub struct Server;

/// A server that runs, in threads of its own. Dropping this does not stop it.
#[derive(Debug)]
pub struct Running {
    ready: Ready,
    warnings: Vec<String>,
    control: Arc<Control>,
    thread: JoinHandle<io::Result<()>>,
}

/// What is known once a server accepts clients.
#[derive(Clone, Debug)]
struct Ready {
    addresses: Vec<Listen>,
    workers: usize,
    memory_bytes: usize,
    connections_max: usize,
    simd_level: &'static str,
}

/// Why a server did not start, or did not end well.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// A setting is impossible.
    Config(ConfigError),
    /// The memory could not be mapped.
    Memory {
        /// Bytes asked for.
        len: usize,
        /// What the system says.
        error: io::Error,
    },
    /// An address cannot be listened on.
    Bind {
        /// The address.
        listen: Listen,
        /// What the system says.
        error: io::Error,
    },
    /// The system refuses something else that a server needs.
    System(io::Error),
    /// A thread of the server panicked.
    Panicked,
}

/// File descriptors that are not clients: a poll and a waker for each worker, listeners, and what else the process has open.
const fn spare_files(workers: usize, listeners: usize) -> usize {
    16 + 2 * workers + listeners
}

impl Server {
    /// Starts a server; it accepts clients when this returns.
    pub fn start(mut config: Config) -> Result<Running, ServerError> {
        config.check().map_err(ServerError::Config)?;
        if config.workers == 0 {
            config.workers = cores::usable().min(Config::WORKERS_MAX);
        }
        memory::return_large_buffers();
        let spare = spare_files(config.workers, config.listen.len());
        let files = limits::raise_open_files(config.connections_max.saturating_add(spare));
        let clients_possible = files.saturating_sub(spare).max(1);
        let warnings = config.warnings(memory::usable(), clients_possible);
        config.connections_max = config.connections_max.min(clients_possible);

        let poll = Poll::new().map_err(ServerError::System)?;
        let waker = Waker::new(poll.registry(), acceptor::WAKER).map_err(ServerError::System)?;
        let control = Arc::new(Control::new(waker));
        let signals = if config.signals {
            Some(shutdown::signals(poll.registry(), acceptor::SIGNALS).map_err(ServerError::System)?)
        } else {
            None
        };
        let listeners = config.listen.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let addresses = listeners
            .iter()
            .map(Listener::listen)
            .collect::<Result<Vec<_>, _>>()
            .map_err(ServerError::System)?;
        let acceptor = Acceptor::new(poll, listeners, signals).map_err(ServerError::System)?;
        let region = Region::map(config.memory_bytes)
            .map_err(|error| ServerError::Memory { len: config.memory_bytes, error })?;

        let (tell, told) = mpsc::channel();
        let theirs = Arc::clone(&control);
        let thread = thread::Builder::new()
            .name("crabcache".to_owned())
            .spawn(move || serve(config, addresses, acceptor, region, theirs, &tell))
            .map_err(ServerError::System)?;
        match told.recv() {
            Ok(Ok(ready)) => Ok(Running { ready, warnings, control, thread }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ended(thread).err().unwrap_or(ServerError::Panicked)),
        }
    }
}

impl Running {
    /// Where it listens, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[Listen] {
        &self.ready.addresses
    }

    /// What the person who started it may not have meant, a sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many workers it has.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.ready.workers
    }

    /// Asks it to stop: no new clients, what was read is answered, answers are sent. Asked a second time, it ends at
    /// once. Returns at once; [`Running::join`] waits.
    pub fn stop(&self) {
        self.control.request();
    }

    /// Waits until it has ended.
    pub fn join(self) -> Result<(), ServerError> {
        ended(self.thread)
    }
}

/// The line that tells a person what has started.
impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ready { addresses, workers, memory_bytes, connections_max, simd_level } = &self.ready;
        write!(f, "crabcache {} ready on ", env!("CARGO_PKG_VERSION"))?;
        for (at, address) in addresses.iter().enumerate() {
            write!(f, "{}{address}", if at == 0 { "" } else { ", " })?;
        }
        write!(
            f,
            " | memory {} | {workers} worker{} | at most {connections_max} client{} | SIMD {simd_level}",
            size::Human(*memory_bytes),
            plural(*workers),
            plural(*connections_max),
        )
    }
}

fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}

fn bind(listen: &Listen) -> Result<Listener, ServerError> {
    Listener::bind(listen).map_err(|error| ServerError::Bind { listen: listen.clone(), error })
}

fn ended(thread: JoinHandle<io::Result<()>>) -> Result<(), ServerError> {
    match thread.join() {
        Ok(result) => result.map_err(ServerError::System),
        Err(_) => Err(ServerError::Panicked),
    }
}

/// The life of a server: its first thread.
fn serve(
    config: Config,
    addresses: Vec<Listen>,
    acceptor: Acceptor,
    mut region: Region,
    control: Arc<Control>,
    tell: &mpsc::Sender<Result<Ready, ServerError>>,
) -> io::Result<()> {
    let opened = open(&mut region, &config).and_then(|cache| Ok((cache, random::<20>()?)));
    let (cache, run_id) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            // Nobody listening means that `start` has given up; then there is nobody to serve either.
            let _ = tell.send(Err(error));
            return Ok(());
        }
    };
    let mut polls = Vec::with_capacity(config.workers);
    let mut seats = Vec::with_capacity(config.workers);
    for _ in 0..config.workers {
        let poll = Poll::new()?;
        seats.push(Seat::new(Waker::new(poll.registry(), worker::WAKER)?));
        polls.push(poll);
    }
    let bounds = Bounds::new(cache.item_len_max());
    let shared = Shared::new(cache, config, addresses, seats, control, bounds, hex(&run_id));
    let shared = &shared;
    let left = AtomicUsize::new(polls.len());
    let left = &left;
    thread::scope(|scope| {
        let mut workers = Vec::with_capacity(polls.len());
        for (index, poll) in polls.into_iter().enumerate() {
            let handle = shared.cache.handle().map_err(|none| io::Error::other(none.to_string()));
            let builder = thread::Builder::new().name(format!("worker-{index}"));
            let spawned = handle.and_then(|handle| {
                builder.spawn_scoped(scope, move || {
                    let leave = Leave { shared, left };
                    let result = Worker::new(shared, index, poll, handle).run();
                    drop(leave);
                    result
                })
            });
            match spawned {
                Ok(worker) => workers.push(worker),
                Err(error) => {
                    left.fetch_sub(shared.seats.len() - index, Ordering::Relaxed);
                    shared.control.request();
                    shared.control.request();
                    let _ = acceptor.run(shared, || left.load(Ordering::Relaxed));
                    return Err(error);
                }
            }
        }
        let ready = Ready {
            addresses: shared.addresses.clone(),
            workers: shared.seats.len(),
            memory_bytes: shared.config.memory_bytes,
            connections_max: shared.config.connections_max,
            simd_level: shared.cache.simd_level(),
        };
        if tell.send(Ok(ready)).is_err() {
            shared.control.request();
        }
        let mut result = acceptor.run(shared, || left.load(Ordering::Relaxed));
        for worker in workers {
            match worker.join() {
                Ok(ended) => result = result.and(ended),
                Err(panicked) => panic::resume_unwind(panicked),
            }
        }
        result
    })
}

/// Tells, however a worker ends, that it has; one that ends early takes the server with it, since its clients would
/// wait for ever.
struct Leave<'a> {
    shared: &'a Shared<'a>,
    left: &'a AtomicUsize,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.left.fetch_sub(1, Ordering::Relaxed);
        if self.shared.control.level() == shutdown::Level::Running {
            self.shared.control.request();
        }
        self.shared.control.wake_acceptor();
    }
}

/// Handles beyond those of the workers.
const SPARE_HANDLES: u32 = 2;
/// A shard is at least so large: a quarter of its main part, the largest item, then holds memcached's usual limit of 1 MiB.
const SHARD_LEN_MIN: usize = 5 << 20;
/// A shard is at most so large.
const SHARD_LEN_MAX: usize = 4 << 30;

/// Into how many shards the memory is divided. Two workers that allocate in the same shard at once get in each other's
/// way, so there are several to each worker; but few where memory is small, since each needs room for large values.
fn shards(workers: usize, memory: usize) -> u32 {
    let by_workers = if workers > 1 { (4 * workers).next_power_of_two() } else { 1 };
    let by_memory = 1 << (memory / SHARD_LEN_MIN).max(1).ilog2();
    let to_address = memory.div_ceil(SHARD_LEN_MAX).next_power_of_two();
    let shards = by_workers.min(by_memory).max(to_address);
    u32::try_from(shards).unwrap_or(u32::MAX).min(crabcache_engine::Config::SHARDS_MAX)
}

fn random<const LEN: usize>() -> Result<[u8; LEN], ServerError> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).map_err(|error| ServerError::System(io::Error::other(error.to_string())))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn open<'r>(region: &'r mut Region, config: &Config) -> Result<Cache<'r>, ServerError> {
    let bytes = random::<32>()?;
    let mut seed = [0; 4];
    for (word, bytes) in seed.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    }
    let engine = crabcache_engine::Config {
        shards: shards(config.workers, region.bytes().len()),
        handles_max: u32::try_from(config.workers).unwrap_or(u32::MAX) + SPARE_HANDLES,
        seed,
        ..crabcache_engine::Config::default()
    };
    Cache::in_filled(region.bytes(), engine).map_err(|error| match error {
        OpenError::RegionTooSmall { len, min } => {
            ServerError::Config(ConfigError::MemoryTooSmall { len, min })
        }
        OpenError::RegionTooLarge { len, max } => {
            ServerError::Config(ConfigError::MemoryTooLarge { len, max })
        }
        other => ServerError::System(io::Error::other(other.to_string())),
    })
}

impl ServerError {
    /// Whether the settings are to blame, rather than the moment.
    #[must_use]
    pub fn is_config(&self) -> bool {
        matches!(self, Self::Config(_))
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Memory { len, error } => write!(f, "--memory {}: {error}", size::Human(*len)),
            Self::Bind { listen, error } if error.kind() == io::ErrorKind::AddrInUse => {
                write!(
                    f,
                    "{listen}: another process listens there already; choose another address by --listen"
                )
            }
            Self::Bind { error, .. } | Self::System(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                write!(f, "{error}; raise the limit on open files (`ulimit -n`)")
            }
            Self::Bind { listen, error } => write!(f, "--listen {listen}: {error}"),
            Self::System(error) => error.fmt(f),
            Self::Panicked => write!(f, "a thread of the server panicked"),
        }
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_table() {
        for (workers, memory, expected) in [
            (1, 64 << 20, 1),
            (1, 4 << 30, 1),
            (1, (4 << 30) + 1, 2),
            (1, 10 << 30, 4),
            (2, 1 << 20, 1),
            (2, 16 << 20, 2),
            (2, 512 << 20, 8),
            (3, 512 << 20, 16),
            (4, 64 << 20, 8),
            (256, 64 << 30, 256),
            (1, usize::MAX / 2, 256),
        ] {
            assert_eq!(shards(workers, memory), expected, "{workers} workers, {memory} bytes");
        }
    }
}

//! A small service, thread per core: each worker has a handle of its own, an inbox, and a loop that takes what has
//! arrived, executes it as one batch, answers, and is quiescent. A worker with nothing to do is offline while it waits.
//!
//! ```text
//! cargo run --release -p crabcache-engine --example thread_per_core
//! ```
//! Any worker serves any key, since the cache is shared. A server has sockets where this has channels.

use crabcache_engine::{BATCH, Cache, Config, Handle, Millis, Op, Outcome, StoreError};
use std::mem::MaybeUninit;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

const WORKERS: usize = 3;
const KEYS: usize = 50_000;
const REGION_BYTES: usize = 32 << 20;
/// How long, and how often, a batch waits for room before the operation that needs it is refused. Room may depend on a
/// thread that does not run at the moment, on this very core: so sleep, do not spin.
const PAUSE: Duration = Duration::from_micros(100);
const PATIENCE: u32 = 10_000;

/// What a client asks for, and where the answer goes.
struct Request {
    key: Vec<u8>,
    /// The value to store; none to read.
    value: Option<Vec<u8>>,
    answer: Sender<Answer>,
}

/// What came of a request: bytes of its own, since those in the cache stay behind.
enum Answer {
    Found(Vec<u8>),
    Absent,
    Stored,
    Refused(StoreError),
}

/// What a worker did.
#[derive(Debug, Default)]
struct Work {
    turns: u64,
    requests: u64,
    sleeps: u64,
}

impl Request {
    fn op(&self) -> Op<'_> {
        match &self.value {
            Some(value) => Op::put(&self.key, value),
            None => Op::get(&self.key),
        }
    }

    fn reply(&self, outcome: Outcome<'_>) {
        let answer = match outcome {
            Outcome::Hit(value) => Answer::Found(value.bytes().to_vec()),
            Outcome::Stored { .. } => Answer::Stored,
            Outcome::Refused(error) => Answer::Refused(error),
            _ => Answer::Absent,
        };
        // A client that has gone away does not want its answer.
        let _ = self.answer.send(answer);
    }
}

/// The loop of one thread, until nobody can send to it any more.
fn work(cache: &Cache<'_>, inbox: &Receiver<Request>, started: Instant) -> Work {
    let mut handle = cache.handle().expect("a handle for each worker");
    let mut work = Work::default();
    loop {
        let first = match inbox.try_recv() {
            Ok(request) => request,
            Err(TryRecvError::Empty) => {
                // Asleep, a handle that is online would keep everybody from reusing memory; and what it has removed itself, which may
                // be much, comes back through itself alone.
                handle.rest();
                work.sleeps += 1;
                let Ok(request) = inbox.recv() else { return work };
                request
            }
            Err(TryRecvError::Disconnected) => return work,
        };
        let batch: Vec<Request> = std::iter::once(first).chain(inbox.try_iter()).take(BATCH).collect();
        // One clock reading for the whole turn.
        let now = Millis(started.elapsed().as_millis() as u64);
        execute(&mut handle, now, &batch);
        handle.quiescent(now);
        work.turns += 1;
        work.requests += batch.len() as u64;
    }
}

/// Executes a batch to its end. Where it stops, room has to be made first: being quiescent does that.
fn execute(handle: &mut Handle<'_>, now: Millis, batch: &[Request]) {
    let ops: Vec<Op<'_>> = batch.iter().map(Request::op).collect();
    let (mut done, mut patience) = (0, PATIENCE);
    loop {
        let from = done;
        done += handle.execute(now, &ops[from..], |i, outcome| batch[from + i].reply(outcome));
        if done == ops.len() {
            return;
        }
        if patience == 0 {
            batch[done].reply(Outcome::Refused(StoreError::Pressure));
            done += 1;
        }
        patience = patience.saturating_sub(1);
        handle.quiescent(now);
        handle.offline();
        std::thread::sleep(PAUSE);
    }
}

/// Sends a request for each key, to one worker after the other, and waits for all answers. How many answers were good.
fn ask(inboxes: &[Sender<Request>], value: impl Fn(usize) -> Option<Vec<u8>>) -> usize {
    let (answer, answers) = channel();
    for i in 0..KEYS {
        let request = Request { key: key(i), value: value(i), answer: answer.clone() };
        inboxes[i % inboxes.len()].send(request).expect("the workers are there");
    }
    drop(answer);
    answers
        .iter()
        .filter(|answer| match answer {
            Answer::Found(bytes) => bytes.starts_with(b"value "),
            Answer::Stored => true,
            Answer::Absent => false,
            Answer::Refused(error) => panic!("refused: {error}"),
        })
        .count()
}

fn key(i: usize) -> Vec<u8> {
    format!("key {i}").into_bytes()
}

fn main() {
    let mut region = vec![MaybeUninit::uninit(); REGION_BYTES];
    let config = Config { handles_max: WORKERS as u32, ..Config::default() };
    let cache = Cache::new(&mut region, config).expect("the region is large enough");
    let started = Instant::now();
    std::thread::scope(|scope| {
        let (mut inboxes, mut workers) = (Vec::new(), Vec::new());
        for _ in 0..WORKERS {
            let (inbox, requests) = channel();
            inboxes.push(inbox);
            let cache = &cache;
            workers.push(scope.spawn(move || work(cache, &requests, started)));
        }
        let stored = ask(&inboxes, |i| Some(format!("value {i}").into_bytes()));
        // Each key is now asked of another worker than the one that stored it.
        inboxes.rotate_left(1);
        let found = ask(&inboxes, |_| None);
        assert_eq!((stored, found), (KEYS, KEYS), "everything fits, so everything is there");
        println!("{stored} stored, {found} found by another worker than the one that stored them");

        drop(inboxes); // ends the workers
        for (i, worker) in workers.into_iter().enumerate() {
            println!("worker {i}: {:?}", worker.join().expect("a worker without a panic"));
        }
    });
    println!("{:?}", cache.stats());
}

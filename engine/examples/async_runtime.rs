//! The engine inside an async runtime whose tasks move between threads.
//!
//! ```text
//! cargo run --release -p crabcache-engine --example async_runtime
//! ```
//! Nothing in the engine waits, so it needs no async interface; the question is who has the handle. A task cannot: there
//! may be a million of them. A thread can, but a task does not know on which one it will go on after its next `await`.
//! So [`Handles`] has one for each thread of the runtime, each behind a lock that hardly anybody ever waits for, and lends
//! one for the length of a closure. A closure cannot `await`; and no [`Value`](crabcache_engine::Value) gets out of it,
//! since it borrows the handle: what has to outlive the closure is copied. The compiler checks both
//! (`engine/src/contract.rs` shows how it refuses).

use crabcache_engine::{Cache, Config, Handle, Millis, NoHandle, StoreError};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

const THREADS: usize = 2;
const TASKS: usize = 64;
const KEYS: usize = 200;
const REGION_BYTES: usize = 16 << 20;

/// A handle for each thread of a runtime.
struct Handles<'c> {
    handles: Vec<Mutex<Handle<'c>>>,
    started: Instant,
}

impl<'c> Handles<'c> {
    /// # Errors
    /// The cache has fewer handles free than `threads`.
    fn new(cache: &'c Cache<'_>, threads: usize) -> Result<Self, NoHandle> {
        let one = || {
            let mut handle = cache.handle()?;
            // They come to life online, and most of them are not used at once.
            handle.offline();
            Ok(Mutex::new(handle))
        };
        let handles = (0..threads).map(|_| one()).collect::<Result<_, _>>()?;
        Ok(Self { handles, started: Instant::now() })
    }

    /// Lends this thread's handle. Afterwards it is quiescent, and offline: nobody can say when this thread will be
    /// back, and until then it must hold up nobody.
    fn with<R>(&self, work: impl FnOnce(&mut Handle<'_>, Millis) -> R) -> R {
        let handle = &self.handles[thread_number() % self.handles.len()];
        // A closure that panicked has left nothing half done in the cache.
        let mut lent = Lent(handle.lock().unwrap_or_else(PoisonError::into_inner));
        let now = Millis(self.started.elapsed().as_millis() as u64);
        let result = work(&mut lent.0, now);
        lent.0.quiescent(now);
        result
    }

    /// Stores a value. Under Pressure the task makes way for others, whose handles may be what holds back the room; so does
    /// the thread, since theirs may not be running.
    async fn put(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        for _ in 0..100_000 {
            match self.with(|handle, now| handle.put(now, key.as_bytes(), value)) {
                Err(StoreError::Pressure) => {
                    std::thread::yield_now();
                    tokio::task::yield_now().await;
                }
                done => return done,
            }
        }
        Err(StoreError::Pressure)
    }

    /// Copies of the values of all keys, in order: one batch, without a point at which anybody waits.
    fn get_many(&self, keys: &[String]) -> Vec<Option<Vec<u8>>> {
        let mut found = Vec::with_capacity(keys.len());
        self.with(|handle, now| {
            handle.get_many(now, keys, |_, value| found.push(value.map(|value| value.bytes().to_vec())));
        });
        found
    }
}

/// Goes offline when it comes back, also where a closure panicked: a handle that is left online stops all writers in the end.
struct Lent<'l, 'c>(MutexGuard<'l, Handle<'c>>);

impl Drop for Lent<'_, '_> {
    fn drop(&mut self) {
        self.0.offline();
    }
}

/// A small number for each thread, given out in the order in which they ask.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    NUMBER.get()
}

/// Stores keys of its own and reads them again; may be on another thread after each `await`. Answers how often it was.
async fn task(handles: &Handles<'_>, number: usize) -> usize {
    let keys: Vec<String> = (0..KEYS).map(|i| format!("task {number} key {i}")).collect();
    let (mut thread, mut moves) = (thread_number(), 0);
    for key in &keys {
        handles.put(key, key.as_bytes()).await.expect("room");
        tokio::task::yield_now().await;
        moves += usize::from(std::mem::replace(&mut thread, thread_number()) != thread_number());
    }
    for (key, value) in keys.iter().zip(handles.get_many(&keys)) {
        assert_eq!(value.as_deref(), Some(key.as_bytes()), "everything fits, so everything is there");
    }
    moves
}

fn main() {
    // Tasks are `'static`, so the cache has to be: it lives as long as the process.
    let region = Box::leak(vec![MaybeUninit::uninit(); REGION_BYTES].into_boxed_slice());
    let config = Config { handles_max: THREADS as u32, ..Config::default() };
    let cache: &'static Cache<'_> =
        Box::leak(Box::new(Cache::new(region, config).expect("the region is large enough")));
    let handles: &'static Handles<'_> =
        Box::leak(Box::new(Handles::new(cache, THREADS).expect("a handle for each thread")));

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .build()
        .expect("threads for the runtime");
    let moves: usize = runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS).map(|number| tokio::spawn(task(handles, number))).collect();
        let mut moves = 0;
        for task in tasks {
            moves += task.await.expect("a task without a panic");
        }
        moves
    });
    println!("{TASKS} tasks on {THREADS} threads, {moves} times on another thread than before");
    println!("{:?}", cache.stats());
}

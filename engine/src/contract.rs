//! What the types keep callers from doing. Nothing but examples: each that must not compile is followed by its twin, the
//! same without the line at fault, which must. So an example cannot go on failing for want of something else.
//!
//! The error that is meant stands beside each, where it has a code. Only a nightly toolchain compares the codes
//! (`.ci/run`, "refusals by their codes").

/// A handle is its thread's alone: it may move to another thread, but two cannot use it at a time.
///
/// ```compile_fail,E0277
/// use crabcache_engine::Handle;
/// fn moved<T: Send>() {}
/// fn shared<T: Sync>() {}
/// moved::<Handle<'_>>();
/// shared::<Handle<'_>>(); // at fault
/// ```
/// ```
/// use crabcache_engine::Handle;
/// fn moved<T: Send>() {}
/// fn shared<T: Sync>() {}
/// moved::<Handle<'_>>();
/// ```
struct HandleIsNotSync;

/// A value is gone before its handle is used again: another operation may be what reuses its bytes.
///
/// ```compile_fail,E0499
/// # use crabcache_engine::{Cache, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let value = handle.get(Millis(0), b"crab");
/// handle.put(Millis(0), b"fish", b"soup").unwrap();
/// assert!(value.is_none()); // at fault
/// ```
/// ```
/// # use crabcache_engine::{Cache, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let value = handle.get(Millis(0), b"crab");
/// handle.put(Millis(0), b"fish", b"soup").unwrap();
/// ```
///
/// The bytes are no way around it: they are borrowed as the value is.
///
/// ```compile_fail,E0499
/// # use crabcache_engine::{Cache, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let bytes = handle.get(Millis(0), b"crab").map(|value| value.bytes());
/// handle.delete(Millis(0), b"crab").unwrap();
/// assert!(bytes.is_none()); // at fault
/// ```
/// ```
/// # use crabcache_engine::{Cache, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let bytes = handle.get(Millis(0), b"crab").map(|value| value.bytes());
/// handle.delete(Millis(0), b"crab").unwrap();
/// ```
struct ValueEndsWithTheNextUse;

/// A handle that is quiescent says that it holds nothing. So it cannot say it while it does.
///
/// ```compile_fail,E0499
/// # use crabcache_engine::{Cache, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let value = handle.get(Millis(0), b"crab");
/// handle.quiescent(Millis(0));
/// assert!(value.is_none()); // at fault
/// ```
/// ```
/// # use crabcache_engine::{Cache, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let value = handle.get(Millis(0), b"crab");
/// handle.quiescent(Millis(0));
/// ```
///
/// The same is true of `offline`, and of bytes that an [`ArenaRef`](crate::ArenaRef) named.
///
/// ```compile_fail,E0502
/// # use crabcache_engine::{Cache, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// handle.put(Millis(0), b"crab", b"cake").unwrap();
/// let reference = handle.get(Millis(0), b"crab").unwrap().arena_ref();
/// let bytes = handle.bytes(reference);
/// handle.offline();
/// assert_eq!(bytes, Some(&b"cake"[..])); // at fault
/// ```
/// ```
/// # use crabcache_engine::{Cache, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// handle.put(Millis(0), b"crab", b"cake").unwrap();
/// let reference = handle.get(Millis(0), b"crab").unwrap().arena_ref();
/// let bytes = handle.bytes(reference);
/// handle.offline();
/// ```
struct ValueEndsBeforeQuiescent;

/// A value that a batch reports is borrowed for that call.
///
/// ```compile_fail,E0521
/// # use crabcache_engine::{Cache, Config, Millis, Value};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let (mut kept, mut copies) = (Vec::<Option<Value<'_>>>::new(), Vec::new());
/// handle.get_many(Millis(0), &["crab", "fish"], |_, value| {
///     copies.extend(value.map(|value| value.bytes().to_vec()));
///     kept.push(value); // at fault
/// });
/// ```
/// ```
/// # use crabcache_engine::{Cache, Config, Millis, Value};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let (mut kept, mut copies) = (Vec::<Option<Value<'_>>>::new(), Vec::new());
/// handle.get_many(Millis(0), &["crab", "fish"], |_, value| {
///     copies.extend(value.map(|value| value.bytes().to_vec()));
/// });
/// ```
struct ReportedValuesStayInside;

/// A handle points into its cache, and cannot outlive it.
///
/// ```compile_fail,E0505
/// # use crabcache_engine::{Cache, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// let cache = Cache::new(&mut region, Config::default()).unwrap();
/// let mut handle = cache.handle().unwrap();
/// handle.put(Millis(0), b"crab", b"cake").unwrap();
/// drop(cache); // at fault
/// handle.quiescent(Millis(0));
/// ```
/// ```
/// # use crabcache_engine::{Cache, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// let cache = Cache::new(&mut region, Config::default()).unwrap();
/// let mut handle = cache.handle().unwrap();
/// handle.put(Millis(0), b"crab", b"cake").unwrap();
/// handle.quiescent(Millis(0));
/// ```
struct HandleEndsBeforeItsCache;

/// The region is the cache's alone while the cache lives, and free again afterwards.
///
/// ```compile_fail,E0499
/// # use crabcache_engine::{Cache, Config, Millis};
/// # use std::mem::MaybeUninit;
/// let mut region = vec![MaybeUninit::uninit(); 1 << 20];
/// let cache = Cache::new(&mut region, Config::default()).unwrap();
/// region[0] = MaybeUninit::new(7); // at fault
/// assert_eq!(cache.stats().items, 0);
/// region[1] = MaybeUninit::new(7);
/// ```
/// ```
/// # use crabcache_engine::{Cache, Config, Millis};
/// # use std::mem::MaybeUninit;
/// let mut region = vec![MaybeUninit::uninit(); 1 << 20];
/// let cache = Cache::new(&mut region, Config::default()).unwrap();
/// assert_eq!(cache.stats().items, 0);
/// region[1] = MaybeUninit::new(7);
/// ```
struct RegionIsTheCaches;

/// A reservation needs no handle, but lies in its cache. It outlives the one and not the other.
///
/// ```compile_fail,E0505
/// # use crabcache_engine::{Cache, Condition, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// let cache = Cache::new(&mut region, Config::default()).unwrap();
/// let mut handle = cache.handle().unwrap();
/// let mut room = handle.reserve(Millis(0), b"photo", 5, 0, None).unwrap();
/// drop(handle);
/// drop(cache); // at fault
/// room.value().copy_from_slice(b"bytes");
/// ```
/// ```
/// # use crabcache_engine::{Cache, Condition, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// let cache = Cache::new(&mut region, Config::default()).unwrap();
/// let mut handle = cache.handle().unwrap();
/// let mut room = handle.reserve(Millis(0), b"photo", 5, 0, None).unwrap();
/// drop(handle);
/// room.value().copy_from_slice(b"bytes");
/// ```
///
/// Once committed it is used up.
///
/// ```compile_fail,E0382
/// # use crabcache_engine::{Cache, Condition, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let mut room = handle.reserve(Millis(0), b"photo", 5, 0, None).unwrap();
/// room.value().copy_from_slice(b"bytes");
/// handle.commit(Millis(0), room, Condition::Always).unwrap();
/// room.value().fill(0); // at fault
/// ```
/// ```
/// # use crabcache_engine::{Cache, Condition, Config, Millis};
/// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
/// # let cache = Cache::new(&mut region, Config::default()).unwrap();
/// # let mut handle = cache.handle().unwrap();
/// let mut room = handle.reserve(Millis(0), b"photo", 5, 0, None).unwrap();
/// room.value().copy_from_slice(b"bytes");
/// handle.commit(Millis(0), room, Condition::Always).unwrap();
/// ```
struct ReservationLiesInItsCache;

/// In an async runtime that moves tasks between threads: a handle is lent by a lock whose guard stays on its thread, so
/// no task can wait for anything while it has one. (The errors have no codes.)
///
/// ```compile_fail
/// # use crabcache_engine::{Handle, Millis};
/// # use std::sync::Mutex;
/// fn spawn(task: impl Future + Send) {}
/// fn example(handle: &Mutex<Handle<'_>>) {
///     spawn(async {
///         let mut lent = handle.lock().unwrap();
///         let value = lent.get(Millis(0), b"crab");
///         std::future::ready(()).await; // at fault
///         assert!(value.is_none());
///     });
/// }
/// ```
/// ```
/// # use crabcache_engine::{Handle, Millis};
/// # use std::sync::Mutex;
/// fn spawn(task: impl Future + Send) {}
/// fn example(handle: &Mutex<Handle<'_>>) {
///     spawn(async {
///         let mut lent = handle.lock().unwrap();
///         let value = lent.get(Millis(0), b"crab");
///         assert!(value.is_none());
///     });
/// }
/// ```
///
/// Nor does a value get out of a closure that a handle was lent to.
///
/// ```compile_fail
/// # use crabcache_engine::{Handle, Millis};
/// fn with<R>(handle: &mut Handle<'_>, work: impl FnOnce(&mut Handle<'_>) -> R) -> R {
///     let result = work(handle);
///     handle.quiescent(Millis(0));
///     result
/// }
/// fn example(handle: &mut Handle<'_>) {
///     let copy = with(handle, |handle| handle.get(Millis(0), b"crab").map(|value| value.bytes().to_vec()));
///     let value = with(handle, |handle| handle.get(Millis(0), b"crab")); // at fault
/// }
/// ```
/// ```
/// # use crabcache_engine::{Handle, Millis};
/// fn with<R>(handle: &mut Handle<'_>, work: impl FnOnce(&mut Handle<'_>) -> R) -> R {
///     let result = work(handle);
///     handle.quiescent(Millis(0));
///     result
/// }
/// fn example(handle: &mut Handle<'_>) {
///     let copy = with(handle, |handle| handle.get(Millis(0), b"crab").map(|value| value.bytes().to_vec()));
/// }
/// ```
///
/// What the types do allow: a task that owns a handle, or borrows it for all of its life, may wait while it looks at a
/// value. The value stays what it is; but until the task goes on, nobody gets memory back.
///
/// ```
/// # use crabcache_engine::{Handle, Millis};
/// async fn patient(handle: &mut Handle<'_>) -> usize {
///     let value = handle.get(Millis(0), b"crab");
///     std::future::ready(()).await;
///     value.map_or(0, |value| value.bytes().len())
/// }
/// ```
struct NothingIsHeldAcrossAnAwait;

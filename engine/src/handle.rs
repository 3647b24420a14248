//! One thread's way into a cache.

use crate::arena::arena_ref::ArenaRef;
use crate::arena::block::Header;
use crate::batch::{Alone, Closure, Execute, Find, FindAll, Sink, Slots};
use crate::error::StoreError;
use crate::evict::nursery::Nursery;
use crate::evict::{MakeRoom, is_exempt};
use crate::guard::Value;
use crate::item::{Item, NewItem};
use crate::local::Local;
use crate::observer::Observer;
use crate::op::{Action, Condition, Op, Outcome, Put};
use crate::ops::{Place, Target};
use crate::reservation::Reservation;
use crate::time::{Expiry, Millis};
use crate::{BATCH, KEY_LEN_MAX};
use core::fmt;
use core::marker::PhantomData;

/// The most buckets that one [`Handle::scan`] looks at where fewer items are asked for.
const SCAN_BUCKETS: usize = 2048;

/// One thread's way into a cache: everything is done through it. `Send`, but not `Sync`. Online when made.
///
/// A handle that stays online without being quiescent keeps removed blocks from being reused by everybody. So call
/// [`quiescent`](Self::quiescent) once per turn of the event loop, and be [`offline`](Self::offline) while asleep.
pub struct Handle<'c> {
    local: Local<'c>,
    slots: Slots<'c>,
    /// Its counters and its limbo are its own.
    not_sync: PhantomData<core::cell::Cell<()>>,
}

impl<'c> Handle<'c> {
    pub(crate) fn new(local: Local<'c>) -> Self {
        let slots = Slots::new(local.shared);
        Self { local, slots, not_sync: PhantomData }
    }

    /// From here on `observer` is told of each item that this handle evicts, or finds expired and removes; or nobody is.
    /// One that is overwritten, deleted or flushed was asked for. Other handles have observers of their own.
    pub fn observe(&mut self, observer: Option<&'c dyn Observer>) {
        self.local.observer = observer;
    }

    /// Executes `ops` in order, [`BATCH`](crate::BATCH) at a time: hashes and prefetches those, then executes each.
    /// `sink` gets each outcome with the number of its operation, in order; the values in it are borrowed for that call.
    ///
    /// Answers how many operations were executed. If that is not all of them, the next one met
    /// [`StoreError::Pressure`](crate::StoreError::Pressure): send what is waiting, be [`quiescent`](Self::quiescent), and
    /// go on from there; the numbers that the sink gets then begin at 0 again. So the order is kept, whatever happens.
    ///
    /// ```
    /// # use crabcache_engine::{Cache, Config, Millis, Op, Outcome};
    /// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
    /// # let cache = Cache::new(&mut region, Config::default()).unwrap();
    /// # let mut handle = cache.handle().unwrap();
    /// let ops = [Op::put(b"a", b"1"), Op::get(b"a"), Op::get(b"b")];
    /// let mut hits = Vec::new();
    /// let done = handle.execute(Millis(0), &ops, |_, outcome| hits.push(matches!(outcome, Outcome::Hit(_))));
    /// assert_eq!((done, hits), (3, vec![false, true, false]));
    /// handle.quiescent(Millis(0));
    /// ```
    #[must_use = "a batch may stop early, at an operation that meets Pressure"]
    pub fn execute<F: FnMut(usize, Outcome<'_>)>(&mut self, now: Millis, ops: &[Op<'_>], sink: F) -> usize {
        self.execute_into(now, ops, &mut Closure(sink))
    }

    /// As [`execute`](Self::execute), for a sink that is compiled into the engine's loop.
    #[must_use = "a batch may stop early, at an operation that meets Pressure"]
    pub fn execute_into<S: Sink>(&mut self, now: Millis, ops: &[Op<'_>], sink: &mut S) -> usize {
        self.online();
        let level = self.local.shared.level;
        let mut done = 0;
        for ops in ops.chunks(BATCH) {
            let Self { local, slots, .. } = self;
            let executed = level.dispatch(Execute { local, slots, now, ops, first: done, sink });
            done += executed;
            if executed < ops.len() {
                break;
            }
        }
        self.local.save_counters();
        done
    }

    /// Reads all of `keys`, [`BATCH`] at a time: as [`execute`](Self::execute) with an [`Op::get`] for each, but
    /// nothing can go wrong, so that it always comes to the end.
    ///
    /// `report` gets each answer with the number of its key, in order: the value, or `None` where the key is absent,
    /// has expired, or is longer than [`KEY_LEN_MAX`]. The value is borrowed for that call: copy what has to stay, or
    /// keep its [`arena_ref`](Value::arena_ref), which [`bytes`](Self::bytes) resolves until the handle is quiescent.
    ///
    /// ```
    /// # use crabcache_engine::{Cache, Config, Millis};
    /// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
    /// # let cache = Cache::new(&mut region, Config::default()).unwrap();
    /// # let mut handle = cache.handle().unwrap();
    /// handle.put(Millis(0), b"crab", b"cake")?;
    /// let mut lens = [None; 2];
    /// handle.get_many(Millis(0), &["crab", "fish"], |i, value| lens[i] = value.map(|value| value.bytes().len()));
    /// assert_eq!(lens, [Some(4), None]);
    /// handle.quiescent(Millis(0));
    /// # Ok::<(), crabcache_engine::StoreError>(())
    /// ```
    pub fn get_many<K, F>(&mut self, now: Millis, keys: &[K], mut report: F)
    where
        K: AsRef<[u8]>,
        F: FnMut(usize, Option<Value<'_>>),
    {
        self.online();
        let level = self.local.shared.level;
        let mut first = 0;
        for keys in keys.chunks(BATCH) {
            let Self { local, slots, .. } = self;
            level.dispatch(FindAll { local, slots, now, keys, first, report: &mut report });
            first += keys.len();
        }
        self.local.save_reads();
    }

    /// Executes one operation. The values in the outcome are in the arena, and borrow the handle: it cannot be quiescent
    /// while somebody looks at them.
    pub fn apply(&mut self, now: Millis, op: &Op<'_>) -> Outcome<'_> {
        self.online();
        let level = self.local.shared.level;
        let outcome = level.dispatch(Alone { local: &mut self.local, now, op });
        self.local.save_counters();
        outcome
    }

    /// The value of `key`, if it is present: not where it has expired, or the key is longer than [`KEY_LEN_MAX`]. That it was
    /// used counts when others need room; [`Action::Peek`] reads without that.
    ///
    /// ```
    /// # use crabcache_engine::{Cache, Config, Millis};
    /// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
    /// # let cache = Cache::new(&mut region, Config::default()).unwrap();
    /// # let mut handle = cache.handle().unwrap();
    /// handle.put(Millis(0), b"crab", b"cake")?;
    /// assert_eq!(handle.get(Millis(0), b"crab").map(|value| value.bytes()), Some(&b"cake"[..]));
    /// assert!(handle.get(Millis(0), b"fish").is_none());
    /// # Ok::<(), crabcache_engine::StoreError>(())
    /// ```
    #[inline]
    pub fn get(&mut self, now: Millis, key: &[u8]) -> Option<Value<'_>> {
        self.online();
        let shared = self.local.shared;
        let found =
            shared.level.dispatch_in_registers::<_, _, _, Find<'_, '_, '_>>(&mut self.local, now, key);
        found.map(|spot| Value::of(spot.item(shared), self.local.participant.announcement()))
    }

    /// Stores `value` under `key`, for ever and in any case. For more, see [`Action::Put`](crate::Action::Put). Refused are a
    /// key or an item that is too long, a large one under [`StoreError::NoPlace`], and under [`StoreError::Pressure`] any.
    pub fn put(&mut self, now: Millis, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        match self.apply(now, &Op::put(key, value)) {
            Outcome::Refused(error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes `key`. Answers whether it was present. Refused under [`StoreError::Pressure`] only.
    pub fn delete(&mut self, now: Millis, key: &[u8]) -> Result<bool, StoreError> {
        match self.apply(now, &Op::delete(key)) {
            Outcome::Refused(error) => Err(error),
            outcome => Ok(matches!(outcome, Outcome::Removed(_))),
        }
    }

    /// Whether a [`put`](Self::put) of such an item would find its place in main at once, as what is
    /// [reserved](Self::reserve) does: because there is room, or what it replaces is there. If not, it should come by a put,
    /// once all of it is here, and prove itself in the nursery.
    pub fn admits(&mut self, now: Millis, key: &[u8], value_len: usize) -> bool {
        let shared = self.local.shared;
        if self.check_lens(key, value_len).is_err() {
            return false;
        }
        let new = NewItem { key, value: [&[], &[]], flags: 0, expires: None, mark: None };
        let granules = new.shape_with(value_len).granules();
        let shard = shared.shard_of(shared.hash(key));
        is_exempt(shard, granules)
            || !Nursery::of(shard).fits(granules)
            || matches!(self.apply(now, &Op { key, action: Action::Peek }), Outcome::Hit(old) if !old.in_nursery())
    }

    /// Makes room for a value of `value_len` bytes that is still to come: fill it, then [`commit`](Self::commit) it.
    /// Under the rules by which newcomers prove themselves it goes straight to main: see [`admits`](Self::admits).
    ///
    /// ```
    /// # use crabcache_engine::{Cache, Condition, Config, Millis, Outcome};
    /// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
    /// # let cache = Cache::new(&mut region, Config::default()).unwrap();
    /// # let mut handle = cache.handle().unwrap();
    /// let mut room = handle.reserve(Millis(0), b"photo", 5, 0, None)?;
    /// room.value().copy_from_slice(b"bytes"); // or read from a socket, over many turns
    /// let stored = handle.commit(Millis(0), room, Condition::Always);
    /// assert!(matches!(stored, Ok(Outcome::Stored { old: None })));
    /// # Ok::<(), crabcache_engine::StoreError>(())
    /// ```
    pub fn reserve(
        &mut self,
        now: Millis,
        key: &[u8],
        value_len: usize,
        flags: u32,
        expires: Option<Millis>,
    ) -> Result<Reservation<'c>, StoreError> {
        self.online();
        let shared = self.local.shared;
        self.check_lens(key, value_len)?;
        let new = NewItem { key, value: [&[], &[]], flags, expires, mark: None };
        let (shape, hash) = (new.shape_with(value_len), shared.hash(key));
        let shard = shared.shard_of(hash);
        let block = self.local.allocate_insisting(shard, shape.granules(), now);
        self.local.save_counters();
        let (at, granules) = block?;
        let header = Header::item(shape, granules);
        new.write_head(shard, at, shape, header);
        Ok(Reservation::new(shared, hash, at, granules, header))
    }

    /// Whether an item may have a key and a value of such lengths.
    fn check_lens(&self, key: &[u8], value_len: usize) -> Result<(), StoreError> {
        let (len, max) = (key.len().saturating_add(value_len), self.local.shared.geometry.item_len_max());
        if key.len() > KEY_LEN_MAX {
            return Err(StoreError::KeyTooLong { len: key.len(), max: KEY_LEN_MAX });
        }
        if len > max { Err(StoreError::TooLarge { len, max }) } else { Ok(()) }
    }

    /// Stores what was reserved, if the condition holds. Under Pressure gives the reservation back: be
    /// [`quiescent`](Self::quiescent) and try again. Gives it back, too, if it is another cache's.
    pub fn commit(
        &mut self,
        now: Millis,
        mut reservation: Reservation<'c>,
        condition: Condition,
    ) -> Result<Outcome<'_>, Reservation<'c>> {
        if !reservation.belongs_to(self.local.shared) {
            return Err(reservation);
        }
        self.online();
        if reservation.is_expired(now) {
            // As a put of what has expired: what is there goes, if the condition holds.
            let put = Put { expiry: Expiry::At(now), condition, ..Put::default() };
            let outcome = self.apply(now, &Op { key: reservation.key(), action: Action::Put(put) });
            return if matches!(outcome, Outcome::Refused(StoreError::Pressure)) {
                Err(reservation)
            } else {
                Ok(outcome)
            };
        }
        let at = reservation.finish();
        let key = Item::load(reservation.shard(), at).key();
        let target = Target { shard: reservation.shard(), hash: reservation.hash(), key, now, hint: None };
        let outcome = self.local.run(|local| Place { local, target: &target, at, condition });
        self.local.save_counters();
        match outcome {
            Outcome::Refused(StoreError::Pressure) => return Err(reservation),
            Outcome::Stored { .. } => reservation.forget(),
            _ => drop(reservation),
        }
        Ok(outcome)
    }

    /// States that this handle holds nothing it has found, and does a bounded amount of upkeep: moves the epoch, takes
    /// back what nobody can still be reading, makes room ahead of need.
    pub fn quiescent(&mut self, now: Millis) {
        self.local.quiescent(now);
        self.local.save_counters();
    }

    /// Keeps what is found from now on where it is until this handle is [`quiescent`](Self::quiescent) or
    /// [`offline`](Self::offline) (as [`sweep`](Self::sweep) and [`flush`](Self::flush) make it), whatever is written meanwhile: until then, [`bytes`](Self::bytes) gives what an
    /// [`ArenaRef`] names. A write that would have to let go of it answers [`StoreError::Pressure`] instead.
    ///
    /// For sending values from where they lie, after a batch that also writes.
    ///
    /// ```
    /// # use crabcache_engine::{Cache, Config, Millis};
    /// # let mut region = vec![std::mem::MaybeUninit::uninit(); 1 << 20];
    /// # let cache = Cache::new(&mut region, Config::default()).unwrap();
    /// # let mut handle = cache.handle().unwrap();
    /// handle.put(Millis(0), b"crab", b"cake")?;
    /// handle.pin();
    /// let found = handle.get(Millis(0), b"crab").map(|value| value.arena_ref());
    /// handle.put(Millis(0), b"crab", b"stick")?;
    /// assert_eq!(found.and_then(|found| handle.bytes(found)), Some(&b"cake"[..]));
    /// handle.quiescent(Millis(0));
    /// # Ok::<(), crabcache_engine::StoreError>(())
    /// ```
    pub fn pin(&mut self) {
        self.online();
        self.local.pinned = true;
    }

    /// Before sleeping: a handle that is offline keeps nobody from reusing what others have removed. What it has removed itself, and
    /// the few blocks that it keeps for its next writes, come back through itself alone: [`rest`](Self::rest) before a long sleep. Any
    /// operation brings it online again.
    pub fn offline(&mut self) {
        self.local.pinned = false;
        self.local.grip = self.local.grip.wrapping_add(1);
        self.local.participant.offline();
    }

    /// Before a long sleep, instead of [`offline`](Self::offline): gives back the blocks that this handle keeps for its next writes,
    /// and what it has removed, as far as the other handles allow; then it is offline. False: some of it has to wait until they have
    /// been quiescent. It stays out of everybody's reach until this is tried again, or the handle is dropped, which leaves it to others.
    pub fn rest(&mut self) -> bool {
        self.online();
        let all = self.local.rest();
        self.local.save_counters();
        self.offline();
        all
    }

    /// After sleeping.
    #[inline]
    pub fn online(&mut self) {
        if !self.local.participant.is_online() {
            self.local.participant.online();
        }
    }

    /// The bytes that an [`ArenaRef`] names, as they were when they were found; none if they are another cache's, or if they
    /// may have been reused: from some [`quiescent`](Self::quiescent) or [`offline`](Self::offline) of this handle on, or, unless
    /// it was [pinned](Self::pin) before, from a write that had to make room.
    #[must_use]
    pub fn bytes(&self, reference: ArenaRef) -> Option<&[u8]> {
        let participant = &self.local.participant;
        let ours = reference.cache() == self.local.shared.number;
        (ours && participant.is_online() && reference.generation() == participant.announcement())
            .then(|| self.local.shared.root().bytes(reference.offset() as usize, reference.len()))
    }

    /// Idle-time upkeep: looks at up to `blocks` more blocks of each shard for expired items and removes those. Answers
    /// how many it removed.
    pub fn sweep(&mut self, now: Millis, blocks: u32) -> u64 {
        self.online();
        self.local.drain_orphan();
        let shared = self.local.shared;
        let removed = (0..shared.geometry.shards)
            .map(|shard| {
                let shard = shared.shard(shard);
                u64::from(MakeRoom::expired(&mut self.local, shard, blocks, now).run().evicted)
            })
            .sum();
        self.quiescent(now);
        removed
    }

    /// Reports items from `cursor` (0 to begin) until at least `at_least` were reported or the end is reached; also after
    /// some thousand buckets, so that a call takes no longer where the index is nearly empty. Answers the next cursor, 0 at
    /// the end.
    ///
    /// Every item that is present throughout the whole walk is reported at least once, even while the index grows; an
    /// item may be reported twice. Any number is a valid cursor.
    pub fn scan<F: FnMut(&[u8], Value<'_>)>(
        &mut self,
        now: Millis,
        cursor: u64,
        at_least: usize,
        mut report: F,
    ) -> u64 {
        self.online();
        let (shared, announcement) = (self.local.shared, self.local.participant.announcement());
        let shards = u64::from(shared.geometry.shards);
        // The cursor counts buckets shard by shard: shard in the low bits, so that it stays small.
        let (mut number, mut bucket, mut reported, mut looked_at) = (cursor % shards, cursor / shards, 0, 0);
        let at_least = at_least.max(1);
        while number < shards {
            let shard = shared.shard(number as u32);
            let mut walk = shard.walk_from(bucket);
            loop {
                if reported >= at_least || looked_at >= SCAN_BUCKETS.max(at_least) {
                    return walk.bucket * shards + number;
                }
                looked_at += 1;
                let more = shard.walk_on(&mut walk, |at| {
                    let item = Item::load(shard, at);
                    if !item.is_expired(now) {
                        report(item.key(), Value::of(item, announcement));
                        reported += 1;
                    }
                });
                if !more {
                    break;
                }
            }
            (number, bucket) = (number + 1, 0);
        }
        0
    }

    /// Removes all items, up to `buckets` buckets of the index a call: begin with 0, go on with what was answered, until it
    /// is none. With 0 buckets nothing is done. The same number comes back where nothing could be done at the moment, because other handles hold back what
    /// was removed before. Is quiescent in between.
    pub fn flush(&mut self, now: Millis, cursor: u64, buckets: usize) -> Option<u64> {
        self.online();
        self.local.pinned = false;
        let shared = self.local.shared;
        let shards = u64::from(shared.geometry.shards);
        let (mut number, mut bucket, mut left) = (cursor % shards, cursor / shards, buckets);
        while number < shards {
            let shard = shared.shard(number as u32);
            while bucket < shard.buckets() {
                // A bucket may hold more items than a ring that is nearly full has room for.
                if left == 0 || !self.local.prepare_flush() {
                    self.quiescent(now);
                    return Some(bucket * shards + number);
                }
                let emptied = shard.empty_bucket(&mut self.local, bucket, |local, at| {
                    local.counters.removed += 1;
                    crate::index::Memory::retire_item(local, shard, at);
                });
                if let Err(failed) = emptied {
                    // A split that was begun there needs images. What came of it shows in the next call.
                    self.local.after(failed, shard, now, &mut 0);
                    return Some(bucket * shards + number);
                }
                (bucket, left) = (bucket + 1, left - 1);
            }
            (number, bucket) = (number + 1, 0);
        }
        self.quiescent(now);
        None
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        self.local.leave();
    }
}

impl fmt::Debug for Handle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("number", &self.local.participant.number())
            .field("announcement", &self.local.participant.announcement())
            .finish_non_exhaustive()
    }
}

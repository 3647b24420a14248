//! Stories of reclamation: a block is used again while somebody looks for it.

use super::*;
use crate::config::offset_of;
use crate::evict::nursery::Nursery;
use crate::reclaim::Participant;
use loom::thread;

/// A thread with a part in reclamation, on the production `Participant` and `Limbo`.
#[allow(unsafe_code)]
struct Member {
    participant: Participant<'static>,
    free_images: Vec<u32>,
    free_items: Vec<u32>,
    /// Dropped last: `participant` borrows it.
    shared: Arc<Shared>,
}

impl Member {
    #[allow(unsafe_code)]
    fn new(shared: &Arc<Shared>, images: core::ops::Range<u32>, items: core::ops::Range<u32>) -> Self {
        // SAFETY: the allocation of `shared` outlives `participant`, which is dropped before the field that owns it.
        let lasting: &'static Shared = unsafe { &*Arc::as_ptr(shared) };
        Self {
            participant: Participant::join(lasting).expect("the story's handles suffice"),
            free_images: images.rev().map(image_at).collect(),
            free_items: items.rev().collect(),
            shared: Arc::clone(shared),
        }
    }

    fn upsert_with(&mut self, key: u64, item: u32) -> Option<u32> {
        write_item(&self.shared, item, key);
        let shared = Arc::clone(&self.shared);
        write(&shared, self, key, |_| Some(Change::Put(item_at(item))))
    }

    fn upsert(&mut self, key: u64) -> Option<u32> {
        let item = self.free_items.pop().expect("the story's items suffice");
        self.upsert_with(key, item)
    }

    /// Stores the item that lies first in the nursery.
    fn upsert_nursery(&mut self, key: u64) {
        let header = Header::item(
            Shape { key_len: 1, value_len: 0, flags: false, expiry: false, mark: false },
            ITEM_STRIDE,
        );
        self.shared.shard(0).part.word32(offset_of(item_at(0))).store(header.0, Ordering::Relaxed);
        self.upsert_with(key, 0);
    }

    fn delete(&mut self, key: u64) {
        let shared = Arc::clone(&self.shared);
        write(&shared, self, key, |found| found.map(|_| Change::Remove));
    }

    /// What a reader does: find the item, look at its bytes.
    fn read(&self, number: u64) {
        if let Some(item) = get(&self.shared, number) {
            assert_eq!(
                read_item(&self.shared, item),
                key(number),
                "the item was overwritten under its reader"
            );
        }
    }

    /// A reader that moves the epoch on first.
    fn move_on_and_read(mut self) {
        self.participant.advance();
        self.participant.announce();
        self.read(0);
        self.participant.offline();
    }

    /// Blocks whose grace period is over are overwritten at once, so that a late reader is caught.
    fn drain(&mut self) {
        let (shared, images, items) = (&self.shared, &mut self.free_images, &mut self.free_items);
        self.participant.drain(|due| {
            let image = due.first().image;
            for at in due {
                let bytes = offset_of(at) + GRANULE;
                if image {
                    let part = shared.shard(0).part;
                    part.write_tags(bytes, &[0; 4]);
                    (0..3).for_each(|i| part.word32(bytes + 8 + i * 4).store(0, Ordering::Relaxed));
                    images.push(at);
                } else {
                    shared.shard(0).part.write(bytes, &[0xff]);
                    items.push(item_number(at));
                }
            }
            true
        });
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.participant.announce();
            self.participant.advance();
            self.drain();
        }
    }
}

impl Memory for Member {
    fn image(&mut self, _: Shard<'_>, _: u32) -> Result<u32, NoBlock> {
        Ok(self.free_images.pop().expect("the story's images suffice"))
    }
    fn discard_image(&mut self, _: Shard<'_>, at: u32) {
        self.free_images.push(at);
    }
    fn retire_image(&mut self, _: Shard<'_>, at: u32) {
        self.participant.retire(Block { shard: 0, image: true, at, granules: 0 });
    }
    fn retire_item(&mut self, _: Shard<'_>, at: u32) {
        self.participant.retire(Block { shard: 0, image: false, at, granules: 0 });
    }
    fn displace_item(&mut self, shard: Shard<'_>, at: u32) {
        self.retire_item(shard, at);
    }
}

fn one_bucket() -> Arc<Shared> {
    world(Needs { directory: 1, born: 1, images: 12, items: 8 })
}

/// Main online, another member offline.
fn pair() -> (Member, Member) {
    let shared = one_bucket();
    let mut main = Member::new(&shared, 0..5, 0..4);
    let other = Member::new(&shared, 5..10, 4..8);
    main.participant.online();
    (main, other)
}

/// Main has announced 1, the other member 2, the epoch is 2; key 0 is there.
fn staggered() -> (Member, Member) {
    let (mut main, mut other) = pair();
    main.upsert(0);
    other.participant.online();
    other.turns(2);
    assert_eq!((main.participant.announcement(), other.participant.announcement()), (1, 2));
    (main, other)
}

#[test]
fn reclaim_get() {
    explore("replace, reclaim || online, get bytes", Some(3), || {
        let (mut main, mut reader) = pair();
        main.upsert(0);
        let join = thread::spawn(move || {
            reader.participant.online();
            reader.read(0);
            reader.participant.offline();
        });
        main.upsert(0);
        main.turns(3);
        join.join().unwrap();
        main.turns(4);
        assert!(main.participant.limbo.is_empty(), "blocks come back once all are quiescent");
    });
}

/// The reader is online all the time and passes a quiescent state; one more turn of both and the item is freed.
#[test]
fn reclaim_quiescent() {
    explore("delete, reclaim || get, announce, get", Some(3), || {
        let (mut main, mut reader) = staggered();
        let join = thread::spawn(move || {
            reader.read(0);
            reader.participant.announce();
            reader.read(0);
            reader.participant.offline();
        });
        main.delete(0);
        main.turns(2);
        join.join().unwrap();
    });
}

/// One retires and frees, another moves the epoch, a third reads: the reader's end reaches the freer through the epoch
/// alone.
#[test]
fn reclaim_third_advances() {
    explore("delete, announce x2, drain || advance x2 || get, offline", Some(3), || {
        let shared = one_bucket();
        let mut main = Member::new(&shared, 0..5, 0..4);
        let mut reader = Member::new(&shared, 5..5, 4..4);
        let mut advancer = Member::new(&shared, 5..5, 4..4);
        main.participant.online();
        main.upsert(0);
        main.participant.advance();
        reader.participant.online();
        advancer.participant.online();
        let reads = thread::spawn(move || {
            reader.read(0);
            reader.participant.offline();
        });
        let advances = thread::spawn(move || {
            advancer.participant.advance();
            advancer.participant.announce();
            advancer.participant.advance();
        });
        main.delete(0);
        main.participant.announce();
        main.participant.announce();
        main.drain();
        reads.join().unwrap();
        advances.join().unwrap();
    });
}

/// The writer may hold an old announcement while the other side is one ahead: the case that needs a grace of three.
#[test]
fn reclaim_stale_writer() {
    explore("delete under an old announcement || quiescent, get", None, || {
        let (mut main, mut reader) = staggered();
        let join = thread::spawn(move || {
            reader.read(0);
            reader.participant.offline();
        });
        main.delete(0);
        main.turns(3);
        join.join().unwrap();
    });
}

/// A writer goes offline and comes back before the epoch moves on: who sees it back has seen what it took out before.
#[test]
fn reclaim_back_online() {
    explore("delete, offline, online, reclaim || advance, announce, get", Some(3), || {
        let (mut main, reader) = staggered();
        let join = thread::spawn(move || reader.move_on_and_read());
        main.delete(0);
        main.participant.offline();
        main.participant.online();
        main.turns(2);
        join.join().unwrap();
    });
}

/// Comes online while the epoch runs away: its announcement must not be old, or its own retired block is freed too soon.
#[test]
fn reclaim_online_late() {
    explore("online, delete, drain || get, the epoch runs on", Some(3), || {
        let (mut main, mut late) = pair();
        main.upsert(0);
        let join = thread::spawn(move || {
            late.participant.online();
            late.delete(0);
            late.drain();
        });
        main.turns(3);
        main.read(0);
        main.participant.offline();
        join.join().unwrap();
    });
}

/// A word cannot come back while a thread is between its load and its compare-and-swap.
#[test]
fn reclaim_aba() {
    explore("upsert || upsert, reclaim, upsert with the old image", Some(4), || {
        let shared = one_bucket();
        let mut main = Member::new(&shared, 0..2, 0..3);
        let mut other = Member::new(&shared, 2..4, 4..5);
        main.participant.online();
        other.participant.online();
        main.upsert(0);
        let join = thread::spawn(move || {
            let found = other.upsert(0);
            other.participant.offline();
            found
        });
        let mut replaced: Vec<u32> = main.upsert(0).into_iter().collect();
        main.turns(3);
        if !main.free_images.is_empty() {
            replaced.extend(main.upsert_with(0, 5));
        }
        replaced.extend(join.join().unwrap());
        let last = get(&shared, 0).unwrap();
        assert!(!replaced.contains(&last), "a replaced item is still there");
        let count = replaced.len();
        replaced.sort_unstable();
        replaced.dedup();
        assert_eq!(replaced.len(), count, "an item was replaced twice");
    });
}

/// A member goes and leaves its limbo; another one takes it over while a reader still looks.
#[test]
fn reclaim_orphan() {
    explore("delete, leave || get || adopt, reclaim", Some(2), || {
        let (mut main, mut reader) = pair();
        main.upsert(0);
        reader.participant.online();
        let mut leaver = Member::new(&main.shared, 10..12, 7..7);
        leaver.participant.online();
        let reads = thread::spawn(move || {
            reader.read(0);
            reader.participant.offline();
        });
        leaver.delete(0);
        leaver.participant.leave();
        drop(leaver);
        main.turns(3);
        if let Some(mut orphan) = main.participant.adopt() {
            let shared = Arc::clone(&main.shared);
            orphan.drain(|due| {
                due.for_each(|at| shared.shard(0).part.write(offset_of(at) + GRANULE, &[0xff]));
                true
            });
            orphan.leave();
        }
        reads.join().unwrap();
    });
}

/// The oldest of the nursery goes, and its place in the ring is used again as soon as it may. The epoch moves on while
/// the tail's progress is written down under the one that was seen.
#[test]
fn reclaim_nursery() {
    explore("evict, leave, reclaim || advance, announce, get", Some(3), || {
        let (mut main, mut reader) = pair();
        let shared = Arc::clone(&main.shared);
        let nursery = Nursery::of(shared.shard(0));
        assert_eq!(nursery.allocate(ITEM_STRIDE), Some(item_at(0)));
        main.upsert_nursery(0);
        reader.participant.online();
        let join = thread::spawn(move || reader.move_on_and_read());
        main.delete(0);
        nursery.leave(ITEM_STRIDE, shared.epoch().load(Ordering::Acquire));
        for _ in 0..3 {
            main.participant.announce();
            main.participant.advance();
            nursery.reclaim(shared.epoch().load(Ordering::Acquire));
            if nursery.waiting() == 0 {
                shared.shard(0).part.write(offset_of(item_at(0)) + GRANULE, &[0xff]);
            }
        }
        join.join().unwrap();
    });
}

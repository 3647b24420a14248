//! Making room: ahead of need, and when a write has none.

use super::Local;
use crate::arena::NoBlock;
use crate::evict::{MakeRoom, Room};
use crate::index::Failed;
use crate::shared::Shard;
use crate::time::Millis;

/// How often a write makes room and tries again before it answers Pressure.
const ROOM_TRIES: u32 = 4;

/// How often a write asks for a lock that stays busy before it answers Pressure.
const BUSY_TRIES: u32 = 16;

/// What a write does after its index change failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// Look the key up again.
    Again,
    /// Give up with Pressure.
    GiveUp,
    /// Give up with `NoPlace`.
    Nowhere,
}

/// Set in the tries of a write for whose block there is no place, whoever goes and whatever others give back.
const NOWHERE: u32 = 1 << 31;

/// Somebody else has the shard's lock. Counted apart, in the upper half: waiting is no try at making room.
fn wait_for_lock(tries: &mut u32) -> Next {
    *tries += 1 << 16;
    if (*tries & !NOWHERE) >> 16 > BUSY_TRIES { Next::GiveUp } else { Next::Again }
}

impl<'c> Local<'c> {
    /// Makes room in the shards that ran low, before anybody needs it.
    #[cold]
    pub(super) fn make_room_ahead(&mut self, now: Millis) {
        for group in 0..self.wants_room.len() {
            while self.wants_room[group] != 0 && !self.limbo_is_tight() {
                let bit = self.wants_room[group].trailing_zeros();
                self.wants_room[group] &= self.wants_room[group] - 1;
                let shard = self.shared.shard(group as u32 * 64 + bit);
                MakeRoom::ahead(self, shard, now).run();
            }
        }
    }

    /// Somebody was faster, or there is no memory for an image: makes some.
    #[cold]
    pub(crate) fn after(&mut self, failed: Failed, shard: Shard<'c>, now: Millis, tries: &mut u32) -> Next {
        // Of each try blocks may be left in limbo, and nobody may let go of them.
        if !self.prepare_write() {
            return Next::GiveUp;
        }
        match failed {
            Failed::Conflict => Next::Again,
            Failed::NoMemory(NoBlock::Busy) => wait_for_lock(tries),
            Failed::NoMemory(_) => {
                self.make_room(shard, Room::Index(self.shared.geometry.chunk_granules()), now, tries)
            }
        }
    }

    /// There was no block: makes room if that is why, and only tries again if somebody else was in the way.
    #[cold]
    pub(crate) fn without_block(
        &mut self,
        why: NoBlock,
        shard: Shard<'c>,
        granules: u32,
        now: Millis,
        tries: &mut u32,
    ) -> Next {
        match why {
            NoBlock::Full => return self.make_room(shard, Room::Main(granules), now, tries),
            NoBlock::NurseryFull => return self.make_room(shard, Room::Nursery(granules), now, tries),
            NoBlock::Busy => {}
        }
        wait_for_lock(tries)
    }

    /// Makes room for a block of this size, and lets a grace period pass.
    #[cold]
    pub(super) fn make_room(&mut self, shard: Shard<'c>, room: Room, now: Millis, tries: &mut u32) -> Next {
        // A large block may take more blocks than limbo holds: then it is made room for in several steps.
        let (Room::Main(granules) | Room::Nursery(granules) | Room::Index(granules)) = room;
        let steps = ROOM_TRIES + granules / self.shared.geometry.limbo_len;
        if *tries & 0xffff >= steps.min(0xffff) || self.pinned {
            return if *tries & NOWHERE == 0 { Next::GiveUp } else { Next::Nowhere };
        }
        *tries += 1;
        self.let_go();
        self.drain_orphan();
        self.give_spares_back();
        if MakeRoom::for_block(self, shard, room, now).run().nowhere {
            // What limbo gives back now has to do, or what others keep, which may be all that stands in the way.
            *tries |= steps.min(0xffff);
            if self.call_spares_back(now) {
                *tries |= NOWHERE;
            }
        }
        self.let_go();
        // Draining may have kept what was just freed.
        self.give_spares_back();
        Next::Again
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::local::retire::LIMBO_ROOM;
    use crate::{Cache, Config};

    #[test]
    fn who_loses_races_gives_up_before_limbo_is_full() {
        let mut region = std::vec![0; 1 << 20];
        let config = Config { shards: 1, seed: [1, 2, 3, 4], ..Config::default() };
        let cache = Cache::in_filled(&mut region, config).expect("large enough");
        let [mut writer, mut reader] = [0, 1].map(|_| Local::join(&cache.shared).expect("a handle"));
        let (shard, now, mut tries) = (cache.shared.shard(0), Millis(0), 0);
        // The reader stays where it is, and somebody has the lock whenever the writer wants to give a block back.
        let mut lost = 0;
        loop {
            let (at, _) = writer.allocate(shard, 4).expect("room");
            let locked = shard.try_lock().expect("nobody has it");
            writer.discard_item(shard, at);
            if writer.after(Failed::Conflict, shard, now, &mut tries) == Next::GiveUp {
                break;
            }
            drop(locked);
            lost += 1;
        }
        assert!(lost > 100, "it gave up after {lost}");
        assert!((LIMBO_ROOM - 2..LIMBO_ROOM).contains(&writer.participant.limbo.room()));
        reader.participant.offline();
        assert_eq!(writer.after(Failed::Conflict, shard, now, &mut tries), Next::Again);
        assert!(writer.participant.limbo.is_empty());
    }

    /// A write may find a block in each of its tries, and no image, since somebody has the lock: then it gives the block up each time.
    #[test]
    fn who_waits_for_the_lock_gives_up_before_limbo_is_full() {
        let mut region = std::vec![0; 1 << 20];
        let config = Config { shards: 1, seed: [1, 2, 3, 4], ..Config::default() };
        let cache = Cache::in_filled(&mut region, config).expect("large enough");
        let [mut writer, mut reader] = [0, 1].map(|_| Local::join(&cache.shared).expect("a handle"));
        let (shard, now, mut tries) = (cache.shared.shard(0), Millis(0), 0);
        let allocate = || shard.try_lock().and_then(|locked| locked.allocate(4)).expect("room").0;
        let blocks = [(); LIMBO_ROOM as usize + 4].map(|()| allocate());
        while writer.participant.limbo.room() > LIMBO_ROOM {
            writer.retire(shard, allocate(), false);
        }
        let _locked = shard.try_lock().expect("nobody has it");
        assert!(
            writer.prepare_write(),
            "the reader holds all that was retired, and there is just enough room"
        );
        for at in blocks {
            writer.discard_item(shard, at);
            if writer.after(Failed::NoMemory(NoBlock::Busy), shard, now, &mut tries) == Next::GiveUp {
                break;
            }
        }
        assert!(writer.participant.limbo.room() > 0);
        reader.leave();
    }

    #[test]
    fn calls_bear_any_moment() {
        let mut region = std::vec![0; 1 << 20];
        let cache = Cache::in_filled(&mut region, Config::default()).expect("large enough");
        let mut local = Local::join(&cache.shared).expect("a handle");
        for now in [u64::MAX, u64::MAX - 1, 0] {
            assert!(!local.call_spares_back(Millis(now)), "nobody had the time to answer");
        }
    }
}

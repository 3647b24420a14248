//! Stories of the map. Keys 0 and 2 share a bucket at levels 0 and 1, keys 0 and 1 only at level 0, and so on: the number
//! of a key is the end of its hash.

use super::*;
use crate::arch::{Kernels, Work};
use crate::config::offset_of;
use crate::evict::nursery::{Nursery, Oldest};
use crate::item::NewItem;
use loom::thread;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
enum Op {
    Get(u64),
    Upsert(u64, u32),
    Add(u64, u32),
    Replace(u64, u32),
    /// Key, expected item, new item: compare-and-swap, and also the move of an item.
    Swap(u64, u32, u32),
    Delete(u64),
    Evict(u64, u32),
    Split,
    /// Marks the next bucket for a split and goes away, as a descheduled thread would.
    Mark,
}
use Op::*;

type Model = BTreeMap<u64, u32>;
type Run = Vec<(Op, Option<u32>)>;

/// The sequential specification: what the operation finds, and what it leaves.
fn apply(model: &mut Model, op: Op) -> Option<u32> {
    let (key, change) = match op {
        Split | Mark => return None,
        Get(key) => (key, None),
        Upsert(key, item) => (key, Some(Some(item))),
        Add(key, item) => (key, (!model.contains_key(&key)).then_some(Some(item))),
        Replace(key, item) => (key, model.contains_key(&key).then_some(Some(item))),
        Swap(key, expected, item) => (key, (model.get(&key) == Some(&expected)).then_some(Some(item))),
        Delete(key) => (key, Some(None)),
        Evict(key, item) => (key, (model.get(&key) == Some(&item)).then_some(None)),
    };
    let found = model.get(&key).copied();
    match change {
        None => {}
        Some(Some(item)) => drop(model.insert(key, item)),
        Some(None) => drop(model.remove(&key)),
    }
    found
}

fn perform(teller: &mut Teller, op: Op) -> Option<u32> {
    let shared = Arc::clone(&teller.shared);
    if let Upsert(key, item) | Add(key, item) | Replace(key, item) | Swap(key, _, item) = op {
        write_item(&shared, item, key);
    }
    let put = |item| Some(Change::Put(item_at(item)));
    match op {
        Get(key) => get(&shared, key),
        Upsert(key, item) => write(&shared, teller, key, |_| put(item)),
        Add(key, item) => write(&shared, teller, key, |found| if found.is_none() { put(item) } else { None }),
        Replace(key, item) => write(&shared, teller, key, |found| found.and_then(|_| put(item))),
        Swap(key, expected, item) => {
            write(&shared, teller, key, |found| if found == Some(expected) { put(item) } else { None })
        }
        Delete(key) => write(&shared, teller, key, |found| found.map(|_| Change::Remove)),
        Evict(key, item) => {
            write(&shared, teller, key, |found| (found == Some(item)).then_some(Change::Remove))
        }
        Split => {
            split(&shared, teller);
            None
        }
        Mark => {
            let word = shared.shard(0).load(0);
            if word.level() == 0 {
                let words = shared.shard(0).directory(0);
                let _ =
                    words.compare_exchange(word.0, word.with_split().0, Ordering::Release, Ordering::Relaxed);
            }
            None
        }
    }
}

fn perform_all(teller: &mut Teller, ops: &[Op]) -> Run {
    ops.iter().map(|&op| (op, perform(teller, op))).collect()
}

/// Is there an order of all operations, keeping each thread's own, that gives these answers and this end?
fn explained(model: &Model, runs: &[&[(Op, Option<u32>)]], end: &Model) -> bool {
    if runs.iter().all(|run| run.is_empty()) {
        return model == end;
    }
    (0..runs.len()).any(|i| {
        let Some(((op, answer), rest)) = runs[i].split_first() else { return false };
        let (mut after, mut others) = (model.clone(), runs.to_vec());
        others[i] = rest;
        apply(&mut after, *op) == *answer && explained(&after, &others, end)
    })
}

/// The content, after checking that each key is once in the index, in its home, and can be found.
fn content(shared: &Shared, directory: u64) -> Model {
    let shard = shared.shard(0);
    let born = (0..directory).take_while(|&b| shard.load(b).is_born()).count() as u64;
    assert!((born..directory).all(|b| !shard.load(b).is_born()), "births are in order");
    let mut model = Model::new();
    for bucket in 0..born {
        for at in items_of(shared, bucket) {
            let item = item_number(at);
            let byte = read_item(shared, item);
            let number = (0..4).find(|&n| key(n) == byte).expect("a key of the story");
            let mask = (1 << shard.load(bucket).level()) - 1;
            assert_eq!(number & mask, bucket, "key {number} is in a foreign bucket");
            assert_eq!(model.insert(number, item), None, "key {number} is there twice");
            assert_eq!(get(shared, number), Some(item), "key {number} cannot be found");
        }
    }
    model
}

/// Nothing is retired twice, and nothing that is retired can still be reached.
fn check_retired(shared: &Shared, directory: u64, retired: &[Block], end: &Model) {
    let words = (0..directory).map(|b| shared.shard(0).load(b)).filter(|word| word.len() > 0);
    let images = words.map(|word| Block { shard: 0, image: true, at: word.image(), granules: 0 });
    let items = end.values().map(|&item| Block { shard: 0, image: false, at: item_at(item), granules: 0 });
    let mut all: Vec<Block> = images.chain(items).chain(retired.iter().copied()).collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "a block was retired twice or while in use: {retired:?}");
}

fn filled(directory: u64, born: u64, keys: &[(u64, u32)]) -> (Teller, Model) {
    let shared = world(Needs { directory, born, images: 20, items: 10 });
    let mut main = Teller::new(&shared, 0);
    for &(key, item) in keys {
        perform(&mut main, Upsert(key, item));
    }
    main.retired.clear();
    (main, keys.iter().copied().collect())
}

/// The last thread's operations run on the main thread.
fn tell(
    name: &'static str,
    bound: Option<usize>,
    (directory, born): (u64, u64),
    keys: &'static [(u64, u32)],
    threads: &'static [&'static [Op]],
) {
    explore(name, bound, move || {
        let (mut main, model) = filled(directory, born, keys);
        let (last, spawned) = threads.split_last().unwrap();
        let joins: Vec<_> = (1..)
            .zip(spawned)
            .map(|(number, ops)| {
                let mut teller = Teller::new(&main.shared, number);
                thread::spawn(move || (perform_all(&mut teller, ops), teller.retired))
            })
            .collect();
        let mut runs = std::vec![perform_all(&mut main, last)];
        let mut retired = core::mem::take(&mut main.retired);
        for join in joins {
            let (run, blocks) = join.join().unwrap();
            runs.push(run);
            retired.extend(blocks);
        }
        let end = content(&main.shared, directory);
        check_retired(&main.shared, directory, &retired, &end);
        let slices: Vec<_> = runs.iter().map(Vec::as_slice).collect();
        assert!(explained(&model, &slices, &end), "no order explains {runs:?}, then {end:?}");
    });
}

const ONE: (u64, u64) = (1, 1);
const GROWING: (u64, u64) = (2, 1);
const TWO_KEYS: &[(u64, u32)] = &[(0, 8), (1, 9)];

#[test]
fn upsert_upsert_same_key() {
    tell("upsert || upsert, same key", None, ONE, &[], &[&[Upsert(0, 1)], &[Upsert(0, 2)]]);
}

#[test]
fn add_add_same_key() {
    tell("add || add, same key", None, ONE, &[], &[&[Add(0, 1), Get(0)], &[Add(0, 2), Get(0)]]);
}

#[test]
fn upsert_three_same_key() {
    let threads: &[&[Op]] = &[&[Upsert(0, 1)], &[Upsert(0, 2)], &[Upsert(0, 3)]];
    tell("upsert x3, same key", Some(3), ONE, &[], threads);
}

#[test]
fn upsert_upsert_two_keys() {
    let threads: &[&[Op]] = &[&[Upsert(0, 1), Get(1)], &[Upsert(1, 2), Get(0)]];
    tell("upsert || upsert, two keys, one bucket", Some(3), ONE, &[(2, 9)], threads);
}

#[test]
fn image_grows_get() {
    let threads: &[&[Op]] = &[&[Upsert(0, 1), Upsert(1, 2)], &[Get(2), Get(1), Get(0)]];
    tell("image grows || get", Some(3), ONE, &[(2, 9)], threads);
}

#[test]
fn add_delete_add_same_key() {
    tell("add || delete || add", Some(3), ONE, &[], &[&[Add(0, 1)], &[Delete(0)], &[Add(0, 2)]]);
}

#[test]
fn add_delete_add_present_key() {
    let threads: &[&[Op]] = &[&[Add(0, 1)], &[Delete(0)], &[Upsert(0, 2)]];
    tell("add || delete || upsert, present key", Some(3), ONE, &[(0, 9)], threads);
}

#[test]
fn replace_get() {
    let threads: &[&[Op]] = &[&[Replace(0, 1), Replace(0, 2)], &[Get(0), Get(0)]];
    tell("replace || get", None, ONE, &[(0, 9)], threads);
}

#[test]
fn replace_evict() {
    tell("replace || evict", None, ONE, &[(0, 9)], &[&[Replace(0, 1)], &[Evict(0, 9)]]);
}

#[test]
fn cas_cas() {
    let threads: &[&[Op]] = &[&[Swap(0, 9, 1), Get(0)], &[Swap(0, 9, 2), Get(0)]];
    tell("cas || cas", None, ONE, &[(0, 9)], threads);
}

#[test]
fn delete_get() {
    tell("delete || get", None, ONE, &[(0, 9)], &[&[Delete(0)], &[Get(0), Get(0)]]);
}

#[test]
fn delete_add_other() {
    tell("delete || add of another key", None, ONE, &[(0, 9)], &[&[Delete(0), Get(0)], &[Add(1, 1)]]);
}

#[test]
fn replace_add_other_get() {
    let threads: &[&[Op]] = &[&[Replace(0, 2)], &[Add(1, 1)], &[Get(0), Get(1)]];
    tell("replace || add of another key || get", Some(3), ONE, &[(0, 9)], threads);
}

#[test]
fn evict_add_add() {
    let threads: &[&[Op]] = &[&[Evict(0, 9)], &[Add(1, 1)], &[Add(2, 2)]];
    tell("evict || add || add", Some(2), ONE, &[(0, 9)], threads);
}

#[test]
fn empty_recurs_upsert() {
    let threads: &[&[Op]] = &[&[Add(0, 1), Delete(0)], &[Upsert(0, 2), Get(0)]];
    tell("add, delete || upsert (the empty word recurs)", Some(3), ONE, &[], threads);
}

/// The fourth entry displaces the first: the bucket is full.
#[test]
fn full_bucket_get() {
    let keys: &[(u64, u32)] = &[(0, 7), (1, 8), (2, 9)];
    explore("add to a full bucket || get", Some(3), move || {
        let (mut main, _) = filled(1, 1, keys);
        let mut teller = Teller::new(&main.shared, 1);
        let join = thread::spawn(move || (perform(&mut teller, Add(3, 1)), teller.retired));
        let seen = (perform(&mut main, Get(0)), perform(&mut main, Get(1)));
        let (found, retired) = join.join().unwrap();
        assert_eq!((found, seen.1), (None, Some(8)));
        assert!(seen.0.is_none_or(|item| item == 7));
        let end = content(&main.shared, 1);
        assert_eq!(end, BTreeMap::from([(1, 8), (2, 9), (3, 1)]));
        check_retired(&main.shared, 1, &retired, &end);
    });
}

#[test]
fn move_get() {
    tell("move || get", None, ONE, &[(0, 9)], &[&[Swap(0, 9, 1)], &[Get(0), Get(0)]]);
}

#[test]
fn move_replace() {
    let threads: &[&[Op]] = &[&[Swap(0, 9, 1)], &[Replace(0, 2)], &[Get(0)]];
    tell("move || replace || get", Some(3), ONE, &[(0, 9)], threads);
}

#[test]
fn split_get() {
    tell("split || get", Some(3), GROWING, TWO_KEYS, &[&[Split], &[Get(1), Get(0)]]);
}

#[test]
fn split_upsert_moving_key() {
    let threads: &[&[Op]] = &[&[Split], &[Upsert(1, 1), Get(1)]];
    tell("split || upsert of a key that moves", Some(3), GROWING, &[(1, 9)], threads);
}

#[test]
fn split_upsert_new_key() {
    let threads: &[&[Op]] = &[&[Split, Get(1)], &[Add(1, 1)]];
    tell("split || add of a key that moves", Some(3), GROWING, &[(0, 8)], threads);
}

#[test]
fn split_delete() {
    tell("split || delete, get", Some(3), GROWING, TWO_KEYS, &[&[Split], &[Delete(1), Get(1)]]);
}

#[test]
fn split_replace_delete_reader() {
    let threads: &[&[Op]] = &[&[Split], &[Delete(1)], &[Get(1), Get(1)]];
    tell("split || delete || get", Some(2), GROWING, &[(1, 9)], threads);
}

#[test]
fn split_split() {
    tell("split || split", Some(3), GROWING, TWO_KEYS, &[&[Split, Get(1)], &[Split, Get(0)]]);
}

#[test]
fn split_split_writer() {
    let threads: &[&[Op]] = &[&[Split], &[Split], &[Upsert(1, 1), Delete(0)]];
    tell("split || split || upsert, delete", Some(2), GROWING, TWO_KEYS, threads);
}

#[test]
fn split_adders() {
    let threads: &[&[Op]] = &[&[Split], &[Add(1, 1)], &[Add(1, 2)]];
    tell("split || add || add, same moving key", Some(2), GROWING, &[(0, 8)], threads);
}

#[test]
fn split_twice_get() {
    let threads: &[&[Op]] = &[&[Split, Split, Split], &[Get(3), Get(3)]];
    tell("three splits || get", Some(3), (4, 1), &[(3, 9)], threads);
}

#[test]
fn split_twice_write() {
    let threads: &[&[Op]] = &[&[Split, Split, Split], &[Upsert(3, 1)]];
    tell("three splits || upsert", Some(3), (4, 1), &[(3, 9)], threads);
}

#[test]
fn split_move() {
    let threads: &[&[Op]] = &[&[Split], &[Swap(1, 9, 1)], &[Get(1)]];
    tell("split || move || get", Some(2), GROWING, &[(1, 9)], threads);
}

#[test]
fn split_abandoned() {
    let threads: &[&[Op]] = &[&[Mark], &[Upsert(1, 1), Get(1)], &[Get(1), Delete(0)]];
    tell("mark, gone || upsert, get || get, delete", Some(2), GROWING, TWO_KEYS, threads);
}

/// Who sees the flag must see the write before it: the real-time half of linearizability, as far as happens-before
/// carries it.
#[test]
fn handed_over() {
    explore("upsert, flag || flag, get", None, || {
        let (main, _) = filled(2, 1, &[(1, 9)]);
        let flag = Arc::new(crate::sync::AtomicU64::new(0));
        let (mut writer, raised) = (Teller::new(&main.shared, 1), Arc::clone(&flag));
        let join = thread::spawn(move || {
            perform(&mut writer, Upsert(1, 1));
            perform(&mut writer, Split);
            raised.store(1, crate::sync::unless("flag_relaxed", Ordering::Release));
        });
        if flag.load(Ordering::Acquire) == 1 {
            assert_eq!(get(&main.shared, 1), Some(1), "a finished write is not seen");
        }
        join.join().unwrap();
    });
}

fn scan(shared: &Shared) -> Vec<u64> {
    let shard = shared.shard(0);
    let (mut walk, mut seen) = (shard.walk_from(0), Vec::new());
    while shard.walk_on(&mut walk, |at| seen.push(read_item(shared, item_number(at)))) {}
    seen.into_iter().map(|byte| (0..4).find(|&n| key(n) == byte).expect("a key of the story")).collect()
}

fn scan_story(name: &'static str, bound: Option<usize>, ops: &'static [Op], with_split: bool) {
    explore(name, bound, move || {
        let (main, _) = filled(2, 1, TWO_KEYS);
        let mut writer = Teller::new(&main.shared, 1);
        let join = thread::spawn(move || drop(perform_all(&mut writer, ops)));
        let splitter = with_split.then(|| {
            let mut splitter = Teller::new(&main.shared, 2);
            thread::spawn(move || {
                perform(&mut splitter, Split);
            })
        });
        let seen = scan(&main.shared);
        join.join().unwrap();
        splitter.into_iter().for_each(|s| s.join().unwrap());
        for key in [0, 1] {
            let stays = !ops.iter().any(|op| matches!(op, Delete(k) if *k == key));
            assert!(
                !stays || seen.contains(&key),
                "key {key} was there throughout and is not reported: {seen:?}"
            );
        }
        assert!(seen.iter().all(|k| [0, 1, 3].contains(k)), "a key that never was: {seen:?}");
        content(&main.shared, 2);
    });
}

#[test]
fn scan_insert() {
    scan_story("scan || add, delete of others", None, &[Add(3, 2), Delete(0)], false);
}

#[test]
fn scan_split() {
    scan_story("scan || split", Some(3), &[Split], false);
}

#[test]
fn scan_split_replace() {
    scan_story("scan || replace || split", Some(2), &[Replace(1, 2)], true);
}

/// Writes an item into its block.
struct Fill<'a> {
    new: &'a NewItem<'a>,
    shard: Shard<'a>,
    at: u32,
}

impl Work for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernels>(self) {
        self.new.write::<K>(self.shard, self.at, ITEM_STRIDE, 0);
    }
}

/// A writer puts a newcomer of the nursery into the index, or loses to another writer, while the tail comes by: the tail
/// must not pass a block that will be in the index.
#[test]
fn newcomer_tail() {
    explore("write a newcomer, commit, settle || tail || delete", Some(3), || {
        let shared = world(Needs { directory: 1, born: 1, images: 20, items: 6 });
        let (mut main, mut writer, mut deleter) =
            (Teller::new(&shared, 0), Teller::new(&shared, 1), Teller::new(&shared, 2));
        perform(&mut main, Upsert(0, 5));
        let header = shared.shard(0).part.word32(offset_of(item_at(0)));
        header.store(Header::raw(ITEM_STRIDE).0, Ordering::Relaxed);
        let writes = thread::spawn(move || {
            let shared = Arc::clone(&writer.shared);
            let (shard, at, key) = (shared.shard(0), item_at(0), key(0));
            let new = NewItem { key: &key, value: [&[], &[]], flags: 0, expires: None, mark: None };
            shared.level.dispatch(Fill { new: &new, shard, at });
            write(&shared, &mut writer, 0, |_| Some(Change::Put(at)));
            Item::settle(shard, at);
        });
        let deletes = thread::spawn(move || perform(&mut deleter, Delete(0)));
        let met = match Nursery::meet(shared.shard(0), item_at(0)) {
            Oldest::Item(_) => Some(get(&shared, 0)),
            Oldest::Unsettled | Oldest::Filler(_) => None,
        };
        writes.join().unwrap();
        deletes.join().unwrap();
        if let Some(found) = met
            && found != Some(0)
        {
            // The tail found it dead, and passed it.
            assert_ne!(get(&shared, 0), Some(0), "a block that the tail has passed came into the index");
        }
    });
}

/// Emptying a bucket (flush) against writers: every item is either kept or taken, never both.
#[test]
fn empty_upsert() {
    explore("empty || upsert || delete", Some(2), || {
        let (mut main, _) = filled(1, 1, TWO_KEYS);
        let mut others: Vec<_> = (1..3).map(|n| Teller::new(&main.shared, n)).collect();
        let (mut deleter, mut writer) = (others.pop().unwrap(), others.pop().unwrap());
        let writes = thread::spawn(move || (perform(&mut writer, Upsert(0, 1)), writer.retired));
        let deletes = thread::spawn(move || (perform(&mut deleter, Delete(1)), deleter.retired));
        let shared = Arc::clone(&main.shared);
        let emptied = shared.shard(0).empty_bucket(&mut main, 0, |main, at| {
            main.retired.push(Block { shard: 0, image: false, at, granules: 0 })
        });
        assert_eq!(emptied, Ok(()));
        let mut retired = core::mem::take(&mut main.retired);
        retired.extend(writes.join().unwrap().1);
        retired.extend(deletes.join().unwrap().1);
        let end = content(&main.shared, 1);
        assert!(end.is_empty() || end == BTreeMap::from([(0, 1)]), "{end:?}");
        check_retired(&main.shared, 1, &retired, &end);
        let items = retired.iter().filter(|block| !block.image).count();
        assert_eq!(items + end.len(), 3, "an item was lost or doubled");
    });
}

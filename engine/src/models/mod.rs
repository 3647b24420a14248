//! loom stories over the production code: each explores every interleaving, or every one up to a preemption bound.
//!
//! The region is made of loom's atomics, images have three entries, all tags are equal (so that each probe reads the
//! item), and images come from a list that each teller owns, so that a story is about one protocol at a time.
//! - `map`: some sequential order of the operations must explain every answer and the end; the structure must hold.
//! - `reclaim`: nobody reads a block that is used again.
//! - `lock`: the allocator's lock excludes; what was left to its holder is given back, once; neither a use mark nor an item that
//!   is done loses the neighbour bit, nor is it seen before it is done.
//! - `faults`: each story must fail when its protocol is broken.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p crabcache-engine --lib --release models -- --test-threads=1 --nocapture`.
//! `STORY_BOUND=none|2|3..` sets the preemption bound, `STORY_SECONDS=30` stops a story (it then says CUT),
//! `CRABCACHE_FAULT=name` turns a fault on.

mod faults;
mod lock;
mod map;
mod reclaim;

use crate::arch::{Kernels, Level, Seed, Work};
use crate::arena::NoBlock;
use crate::arena::block::{Header, Shape};
use crate::config::{
    GRANULE, Geometry, RECORD_ANNOUNCED, RECORD_HEAD, RECORD_RING, RECORD_STATE, RECORD_TAIL, ROOT_EPOCH,
    ROOT_HANDLES_USED, SHARD_BORN, SHARD_NUMBER, SHARD_NURSERY, SHARD_TABLE, offset_of,
};
use crate::index::{Change, Failed, Image, Memory, Word, image_granules};
use crate::item::Item;
use crate::reclaim::limbo::Block;
use crate::region::Region;
use crate::shared::{KeyHash, Shard, Shared};
use crate::sync::{FenceOrder, Ordering};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::vec::Vec;

const HANDLES: u32 = 4;
const LIMBO: u32 = 16;
const SHARD: usize = 2048;
const DIRECTORY: u32 = 128;
const IMAGES: u32 = 256;
const IMAGE_STRIDE: u32 = 8;
const ITEMS: u32 = 512;
const ITEM_STRIDE: u32 = 4;

/// What a story needs: how many directory words, how many of them born, images and items.
#[derive(Clone, Copy)]
struct Needs {
    directory: u64,
    born: u64,
    images: u32,
    items: u32,
}

/// Where the `i`th item of a story lies.
fn item_at(i: u32) -> u32 {
    ITEMS + i * ITEM_STRIDE
}

fn item_number(at: u32) -> u32 {
    (at - ITEMS) / ITEM_STRIDE
}

fn image_at(i: u32) -> u32 {
    IMAGES + i * IMAGE_STRIDE
}

/// A directory of this many words, and not one more. The first four items lie in the nursery.
fn geometry(directory: u64) -> Geometry {
    Geometry {
        len: 8192,
        handles: HANDLES,
        limbo_len: LIMBO,
        record_stride: RECORD_RING + LIMBO as usize * 8,
        shards: 1,
        shard_mask: 0,
        shards_at: SHARD,
        shard_stride: 8192 - SHARD,
        chunk_shift: directory.ilog2(),
        chunk_mask: directory - 1,
        table_len: 1,
        item_lists_at: 0,
        index_lists_at: 0,
        ghost_at: 0,
        ghost_lines: 0,
        nursery_at: ITEMS as usize * GRANULE,
        first_block: item_at(4),
        arena_end: 1500,
        item_granules_max: 100,
        reserve: 0,
        plenty: 0,
    }
}

/// A region with just the words that the story needs.
fn world(needs: Needs) -> Arc<Shared> {
    let geometry = geometry(needs.directory);
    let mut region = Region::empty(geometry.len);
    region.add64(ROOT_EPOCH, 1);
    region.add_settled32(ROOT_HANDLES_USED, 0);
    for handle in 0..HANDLES {
        let record = geometry.record_at(handle);
        region.add64(record + RECORD_ANNOUNCED, 0);
        [RECORD_STATE, RECORD_HEAD, RECORD_TAIL].iter().for_each(|at| region.add_settled32(record + at, 0));
        (0..LIMBO as usize).for_each(|i| region.add_settled64(record + RECORD_RING + i * 8, 0));
    }
    let granule = |at: u32| SHARD + at as usize * GRANULE;
    if needs.born == needs.directory {
        region.add_settled64(SHARD + SHARD_BORN, needs.born);
    } else {
        region.add64(SHARD + SHARD_BORN, needs.born);
    }
    region.add_settled32(SHARD + SHARD_NUMBER, 0);
    region.add_settled32(SHARD + SHARD_TABLE, DIRECTORY);
    (0..12).for_each(|i| region.add_settled32(SHARD + SHARD_NURSERY + i * 4, 0));
    for bucket in 0..needs.directory {
        let word = if bucket < needs.born { Word::new(needs.born.ilog2(), 0, 0) } else { Word::UNBORN };
        region.add64(granule(DIRECTORY) + bucket as usize * 8, word.0);
    }
    for i in 0..needs.images {
        let at = granule(image_at(i));
        region.add_settled32(at, Header::raw(image_granules(3)).0);
        region.add_bytes(at + GRANULE);
        (0..3).for_each(|place| region.add32(at + GRANULE + 8 + place * 4, 0));
    }
    let shape = Shape { key_len: 1, value_len: 0, flags: false, expiry: false, mark: false };
    for i in 0..needs.items {
        let at = granule(item_at(i));
        if i == 0 {
            // The one whose header stories change.
            region.add32(at, Header::item(shape, ITEM_STRIDE).0);
        } else {
            region.add_settled32(at, Header::item(shape, ITEM_STRIDE).0);
        }
        region.add_bytes(at + GRANULE);
    }
    let (seed, level) = (Seed::new([1, 2, 3, 4]), Level::detect());
    Arc::new(Shared { number: 0, region, geometry, seed, level, fences: FenceOrder::default() })
}

/// The key whose hash ends in these two bits.
fn key(number: u64) -> [u8; 1] {
    static KEYS: std::sync::OnceLock<[u8; 4]> = std::sync::OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let seed = Seed::new([1, 2, 3, 4]);
        core::array::from_fn(|number| {
            let fits = |byte: &u8| Level::detect().dispatch(Hash(&seed, *byte)) & 3 == number as u64;
            (1..=255).find(fits).expect("255 keys have all endings")
        })
    });
    [keys[number as usize]]
}

struct Hash<'a>(&'a Seed, u8);

impl Work for Hash<'_> {
    type Output = u64;
    fn run<K: Kernels>(self) -> u64 {
        K::hash(self.0, &[self.1])
    }
}

/// Tells one thread's part of a story: owns images, keeps what it retires.
struct Teller {
    shared: Arc<Shared>,
    free_images: Vec<u32>,
    retired: Vec<Block>,
}

impl Teller {
    /// The teller with this number owns the images from five times the number on.
    fn new(shared: &Arc<Shared>, number: u32) -> Self {
        let free_images = (number * 5..number * 5 + 5).rev().map(image_at).collect();
        Self { shared: Arc::clone(shared), free_images, retired: Vec::new() }
    }
}

impl Memory for Teller {
    fn image(&mut self, _: Shard<'_>, _: u32) -> Result<u32, NoBlock> {
        Ok(self.free_images.pop().expect("the story's images suffice"))
    }
    fn discard_image(&mut self, _: Shard<'_>, at: u32) {
        self.free_images.push(at);
    }
    fn retire_image(&mut self, _: Shard<'_>, at: u32) {
        self.retired.push(Block { shard: 0, image: true, at, granules: 0 });
    }
    fn retire_item(&mut self, _: Shard<'_>, at: u32) {
        self.retired.push(Block { shard: 0, image: false, at, granules: 0 });
    }
    fn displace_item(&mut self, shard: Shard<'_>, at: u32) {
        self.retire_item(shard, at);
    }
}

/// A write as the operations make it: look up, decide, commit, again after a conflict. Answers what it found.
struct Write<'a, M, D> {
    shared: &'a Shared,
    memory: &'a mut M,
    key: u64,
    decide: D,
}

impl<M: Memory, D: Fn(Option<u32>) -> Option<Change>> Work for Write<'_, M, D> {
    type Output = Option<u32>;
    fn run<K: Kernels>(self) -> Option<u32> {
        let (shard, key) = (self.shared.shard(0), key(self.key));
        let hash = KeyHash(K::hash(&self.shared.seed, &key));
        loop {
            let lookup = shard.look_up::<K>(self.memory, hash, &key).expect("the story's images suffice");
            let found = lookup.found.map(|found| item_number(found.place.item()));
            let Some(change) = (self.decide)(found) else { return found };
            match shard.commit(self.memory, hash, &lookup, change) {
                Ok(()) => return found,
                Err(Failed::Conflict) => {}
                Err(Failed::NoMemory(_)) => panic!("the story's images suffice"),
            }
        }
    }
}

struct Look<'a>(&'a Shared, u64);

impl Work for Look<'_> {
    type Output = Option<u32>;
    fn run<K: Kernels>(self) -> Option<u32> {
        let key = key(self.1);
        let hash = KeyHash(K::hash(&self.0.seed, &key));
        self.0.shard(0).get::<K>(hash, &key).map(item_number)
    }
}

fn get(shared: &Shared, key: u64) -> Option<u32> {
    shared.level.dispatch(Look(shared, key))
}

fn write<M: Memory>(
    shared: &Shared,
    memory: &mut M,
    key: u64,
    decide: impl Fn(Option<u32>) -> Option<Change>,
) -> Option<u32> {
    shared.level.dispatch(Write { shared, memory, key, decide })
}

/// Fills a private item.
fn write_item(shared: &Shared, item: u32, number: u64) {
    shared.shard(0).part.write(offset_of(item_at(item)) + GRANULE, &key(number));
}

/// The key byte of an item, as a reader sees it.
fn read_item(shared: &Shared, item: u32) -> [u8; 1] {
    Item::load(shared.shard(0), item_at(item)).key().try_into().expect("keys are one byte")
}

fn split<M: Memory>(shared: &Shared, memory: &mut M) {
    let _ = shared.shard(0).split_next(memory, |_, _| true);
}

fn explore(name: &str, bound: Option<usize>, story: impl Fn() + Sync + Send + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let started = std::time::Instant::now();
    let mut builder = loom::model::Builder::new();
    let bound = std::env::var("STORY_BOUND").ok().map_or(bound, |bound| bound.parse().ok());
    builder.preemption_bound = bound;
    builder.max_branches = 20_000;
    builder.max_duration =
        std::env::var("STORY_SECONDS").ok().map(|s| std::time::Duration::from_secs(s.parse().unwrap()));
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        story();
    });
    let cut = builder.max_duration.is_some_and(|limit| started.elapsed() >= limit);
    std::println!(
        "STORY {name} | bound {} | {} executions | {:.2?} | {}",
        bound.map_or("none".into(), |b| std::string::ToString::to_string(&b)),
        count.load(Ordering::Relaxed),
        started.elapsed(),
        if cut { "CUT" } else { "complete" }
    );
}

/// Items of a bucket's image, for the checks at the end.
fn items_of(shared: &Shared, bucket: u64) -> Vec<u32> {
    let shard = shared.shard(0);
    let word = shard.load(bucket);
    if word.len() == 0 { Vec::new() } else { Image::of(shard, word).items().collect() }
}

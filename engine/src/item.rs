//! An item in its block: key, value, and the optional fields that only those items have which need them.
//!
//! ```text
//! header u32 | LONG: key len u16, state u16, value len u32 | FLAGS: u32 | EXPIRY: u64 | mark: 2 u64 | key | value | padding, slack |
//! ```
//! The header has no bit left to tell of a mark (`mark.rs`), and needs none: an item that has one is long.
//! Nothing of a published item changes but its header's use count and neighbour bit and, in the nursery, the mark that its
//! writer is not done: every write makes a new item. So
//! a reader needs no lock and no version to look at one.

use crate::arch::Kernels;
use crate::arena::arena_ref::ArenaRef;
use crate::arena::block::{Header, Kind, SLACK, Shape, USES_MAX, granules_of};
use crate::config::{GRANULE, offset_of};
use crate::evict::nursery::Nursery;
use crate::mark::{Mark, State};
use crate::op::Put;
use crate::region::Part;
use crate::shared::{Shard, Shared};
use crate::sync::{
    Acquire, Relaxed, Release, clear_in_first_byte, fault, replace_behind_first_byte, replace_second_byte_if,
};
use crate::time::{Expiry, Millis};

/// The most that an item needs beyond key and value: header, all optional fields, padding.
pub(crate) const OVERHEAD_MAX: usize = GRANULE + 8 + 4 + 8 + Mark::LEN + GRANULE;

/// A published item, or one about to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Item<'a> {
    shard: Shard<'a>,
    at: u32,
    header: Header,
}

/// An item without what it shares with all others of its cache: two words, which functions return in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    part: Part<'a>,
    /// The header, and where it lies in the lower half.
    word: u64,
}

impl<'a> Spot<'a> {
    #[inline(always)]
    pub(crate) fn of(item: Item<'a>) -> Self {
        Self { part: item.shard.part, word: u64::from(item.header.0) << 32 | u64::from(item.at) }
    }

    #[inline(always)]
    pub(crate) fn item(self, shared: &'a Shared) -> Item<'a> {
        let (at, header) = (self.word as u32, Header((self.word >> 32) as u32));
        Item { shard: Shard { shared, part: self.part }, at, header }
    }
}

/// What to write into a fresh block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewItem<'a> {
    pub(crate) key: &'a [u8],
    /// The value in two parts, one behind the other.
    pub(crate) value: [&'a [u8]; 2],
    pub(crate) flags: u32,
    pub(crate) expires: Option<Millis>,
    pub(crate) mark: Option<Mark>,
}

impl<'a> Item<'a> {
    /// The item in a block that was found in the index in this operation.
    #[inline(always)]
    pub(crate) fn load(shard: Shard<'a>, at: u32) -> Self {
        // Relaxed: the Acquire load of the place that led here is what makes the item visible.
        let header = Header(shard.part.word32(offset_of(at)).load(Relaxed));
        Self { shard, at, header }
    }

    /// The item in a block that the hand meets, if it is one. Acquire: pairs with the Release in `finish`.
    /// Otherwise its header: loaded once, since a raw block may become an item at any moment.
    pub(crate) fn meet(shard: Shard<'a>, at: u32) -> Result<Self, Header> {
        let header = Header(shard.part.word32(offset_of(at)).load(Acquire));
        if header.kind() == Kind::Item { Ok(Self { shard, at, header }) } else { Err(header) }
    }

    #[inline(always)]
    pub(crate) fn at(shard: Shard<'a>, at: u32, header: Header) -> Self {
        Self { shard, at, header }
    }

    #[inline(always)]
    fn bytes(&self, from: usize, len: usize) -> &'a [u8] {
        self.shard.part.bytes(offset_of(self.at) + from, len)
    }

    fn field32(&self, from: usize) -> u32 {
        u32::from_le_bytes(self.bytes(from, 4).try_into().expect("four bytes"))
    }

    /// Lengths of key and value, and where the key begins in the block.
    #[inline(always)]
    fn lens(&self) -> (usize, usize, usize) {
        if self.header.is_plain() {
            return (self.header.key_len(), self.header.value_len(), GRANULE);
        }
        let from = GRANULE + self.header.fields_len();
        if self.header.is_long() {
            let at = offset_of(self.at);
            let (key_word, value_len) = halves(long_lens(self.shard.part, at));
            let mark = Mark::LEN * usize::from(State::of(key_word).is_marked());
            (State::key_len(key_word), value_len as usize, from + mark)
        } else {
            (self.header.key_len(), self.header.value_len(), from)
        }
    }

    #[inline(always)]
    fn shape(&self) -> Shape {
        let (key_word, value_len) = if self.header.is_long() {
            halves(long_lens(self.shard.part, offset_of(self.at)))
        } else {
            (self.header.key_len() as u32, self.header.value_len() as u32)
        };
        Shape {
            key_len: State::key_len(key_word) as u32,
            value_len,
            flags: self.header.has_flags(),
            expiry: self.header.has_expiry(),
            mark: State::of(key_word).is_marked(),
        }
    }

    #[inline(always)]
    pub(crate) fn key(&self) -> &'a [u8] {
        let (key_len, _, from) = self.lens();
        self.bytes(from, key_len)
    }

    #[inline(always)]
    pub(crate) fn has_key<K: Kernels>(&self, key: &[u8]) -> bool {
        let other = self.key();
        other.len() == key.len() && K::equal(other, key)
    }

    /// Whether it is what a reader of `key` gets.
    #[inline(always)]
    pub(crate) fn answers<K: Kernels>(&self, key: &[u8], now: Millis) -> bool {
        if self.header.is_plain() {
            // Not by `has_key`: its key begins at a place that is known, and it has no expiry.
            let other = self.bytes(GRANULE, self.header.key_len());
            return other.len() == key.len() && K::equal(other, key);
        }
        self.has_key::<K>(key) && !self.is_expired(now)
    }

    #[inline(always)]
    pub(crate) fn value(&self) -> &'a [u8] {
        let (key_len, value_len, from) = self.lens();
        self.bytes(from + key_len, value_len)
    }

    pub(crate) fn flags(&self) -> u32 {
        if !self.header.has_flags() {
            return 0;
        }
        self.field32(GRANULE + 8 * usize::from(self.header.is_long()))
    }

    #[inline(always)]
    pub(crate) fn expires(&self) -> Option<Millis> {
        if !self.header.has_expiry() {
            return None;
        }
        Some(Millis(u64::from_le_bytes(self.bytes(self.expiry_from(), 8).try_into().expect("eight bytes"))))
    }

    /// Where its expiry lies, if it has one.
    #[inline(always)]
    fn expiry_from(&self) -> usize {
        GRANULE + 8 * usize::from(self.header.is_long()) + 4 * usize::from(self.header.has_flags())
    }

    /// Changes when it expires, of one in a block that is private to the caller; false if it was to stay for ever.
    pub(crate) fn set_expires(&self, Millis(at): Millis) -> bool {
        let has = self.header.has_expiry();
        if has {
            self.shard.part.write(offset_of(self.at) + self.expiry_from(), &at.to_le_bytes());
        }
        has
    }

    /// Whether there is nothing to read (any more). A placeholder says so all its life.
    #[inline(always)]
    pub(crate) fn is_expired(&self, now: Millis) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }

    /// Whether it is of no use to anybody: expired, and no placeholder that still lives.
    #[inline(always)]
    pub(crate) fn is_over(&self, now: Millis) -> bool {
        self.is_expired(now) && !self.mark().is_some_and(|mark| mark.is_placeholder(now))
    }

    /// What is known of leases on it.
    pub(crate) fn mark(&self) -> Option<Mark> {
        if !self.header.is_long() {
            return None;
        }
        let (key_word, _) = halves(long_lens(self.shard.part, offset_of(self.at)));
        let state = State::of(key_word);
        let from = GRANULE + self.header.fields_len();
        state.is_marked().then(|| Mark::load(state, self.bytes(from, Mark::LEN)))
    }

    /// As it would be written again.
    pub(crate) fn again(&self) -> NewItem<'a> {
        NewItem {
            key: self.key(),
            value: [self.value(), &[]],
            flags: self.flags(),
            expires: self.expires(),
            mark: self.mark(),
        }
    }

    /// Copies it into a raw block of at least its size, which becomes an item that was used so often.
    pub(crate) fn copy_to(&self, at: u32, granules: u32, uses: u32) {
        let (from, len) = self.value_range();
        let body = self.bytes(GRANULE, from + len - GRANULE);
        self.shard.part.write(offset_of(at) + GRANULE, body);
        let header = Header::item(self.shape(), granules).with_uses(uses);
        Self::finish(self.shard, at, Header::raw(granules), header);
    }

    /// Size that its block must have at least.
    #[inline(never)]
    pub(crate) fn granules_min(self) -> u32 {
        self.shape().granules()
    }

    /// Size of its block.
    #[inline(always)]
    pub(crate) fn granules(&self) -> u32 {
        let min = if self.header.is_plain() { self.header.plain_granules_min() } else { self.granules_min() };
        // In the nursery nothing is larger than it has to be: there these bits tell that the writer is not done.
        min + if self.in_nursery() { 0 } else { self.header.slack() }
    }

    /// Whether this value under its own key makes an item of the very same shape: then its size, and the header of the new one,
    /// which is as popular.
    #[inline(always)]
    pub(crate) fn like(&self, key: &[u8], put: &Put<'_>) -> Option<(u32, Header)> {
        let header = self.header;
        (put.flags == 0 && matches!(put.expiry, Expiry::Never) && header.fits_plain(put.value.len()))
            .then(|| (granules_of(key.len() + put.value.len()), header.elsewhere()))
    }

    /// Where its value lies: bytes from the start of the block, and length.
    pub(crate) fn value_range(&self) -> (usize, usize) {
        let (key_len, value_len, from) = self.lens();
        (from + key_len, value_len)
    }

    /// Turns a raw block whose bytes have been written into an item.
    #[inline(always)]
    pub(crate) fn finish(shard: Shard<'_>, at: u32, raw: Header, header: Header) {
        let (word, changed) = (shard.part.word32(offset_of(at)), raw.0 ^ header.0);
        if changed as u8 == 0 {
            Self::finish_plain(shard, at, raw, header);
        } else if shard.in_nursery(at) {
            // Nobody reads more of it than that it is not settled before it is, which is by a Release.
            debug_assert!(header.is_unsettled());
            word.store(header.0, Relaxed);
        } else {
            // The neighbour bit may change at any moment; all other bits are known. Release: as above, for the hand.
            word.fetch_xor(changed, Release);
        }
    }

    /// The same of a small block that becomes a plain item of just its size: the byte of the neighbour bit is that of both.
    #[inline(always)]
    pub(crate) fn finish_plain(shard: Shard<'_>, at: u32, raw: Header, header: Header) {
        replace_behind_first_byte(shard.part.word32(offset_of(at)), raw.0, header.0);
    }

    /// The writer of a block of the nursery is done: the block is in the index now, or never will be.
    ///
    /// Until then the tail must not pass it: finding it in the index no more than anything that is dead, it would let the
    /// block be used again while the writer puts it in.
    pub(crate) fn settle(shard: Shard<'_>, at: u32) {
        // Release: the change of the index. Pairs with the Acquire in `meet`.
        clear_in_first_byte(shard.part.word32(offset_of(at)), SLACK);
    }

    pub(crate) fn is_unsettled(&self) -> bool {
        self.header.is_unsettled()
    }

    /// Where its value lies, for a handle with this announcement.
    #[inline(always)]
    pub(crate) fn reference(&self, announcement: u64) -> ArenaRef {
        let (key_len, value_len, from) = self.lens();
        ArenaRef::new(
            (self.shard.base() + offset_of(self.at) + from + key_len) as u64,
            value_len as u32,
            self.shard.shared.number,
            announcement,
        )
    }

    #[inline(always)]
    pub(crate) fn in_nursery(&self) -> bool {
        self.shard.in_nursery(self.at)
    }

    pub(crate) fn uses(&self) -> u32 {
        self.header.uses()
    }

    /// Counts a use, up to the highest count. Writes only if the count changes, and from what was loaded: what others count, or
    /// the hand takes, between that and the store is lost.
    #[inline(always)]
    pub(crate) fn mark_used(&self) {
        // In this order: where it lies is known before its header is.
        if self.is_young() {
            return;
        }
        let counts = self.header.uses() < USES_MAX;
        let word = self.shard.part.word32(offset_of(self.at));
        let new = self.header.used_once_more();
        if fault("mark_store") {
            if counts {
                word.store(new.0, Relaxed);
            }
        } else {
            replace_second_byte_if(counts, word, self.header.0, new.0);
        }
    }

    /// A newcomer is asked for again soon in any case: that proves nothing yet.
    #[inline(always)]
    fn is_young(&self) -> bool {
        self.shard.in_nursery(self.at)
            && Nursery::age(self.shard, self.at) < Nursery::of(self.shard).len() / 4
    }

    /// Says how often it was used, of one that nobody can find yet.
    pub(crate) fn set_uses(&self, uses: u32) {
        if self.header.uses() != uses {
            self.change_header(self.header.with_uses(uses));
        }
    }

    /// Takes one use away.
    pub(crate) fn take_use(&self) {
        if self.header.uses() > 0 {
            self.change_header(self.header.used_once_less());
        }
    }

    fn change_header(&self, new: Header) {
        let word = self.shard.part.word32(offset_of(self.at));
        let _ = word.compare_exchange(self.header.0, new.0, Relaxed, Relaxed);
    }
}

/// The words that tell lengths of key (low; with the item's [`State`]) and value (high) of a long item in the block at `at`. Out
/// of line, and not a method: whoever looks at items keeps them in registers. One number, since who calls what returns a pair is
/// not inlined into code for other CPU features.
#[inline(never)]
fn long_lens(part: Part<'_>, at: usize) -> u64 {
    u64::from_le_bytes(part.bytes(at + GRANULE, 8).try_into().expect("eight bytes"))
}

fn halves(lens: u64) -> (u32, u32) {
    (lens as u32, (lens >> 32) as u32)
}

impl NewItem<'_> {
    /// Bytes in key and value.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.key.len() + self.value[0].len() + self.value[1].len()
    }

    /// The shape of the item. Its length has been checked.
    #[inline(always)]
    pub(crate) fn shape(&self) -> Shape {
        self.shape_with(self.value[0].len() + self.value[1].len())
    }

    /// The shape it has with a value of this length.
    #[inline(always)]
    pub(crate) fn shape_with(&self, value_len: usize) -> Shape {
        Shape {
            key_len: self.key.len() as u32,
            value_len: value_len as u32,
            flags: self.flags != 0,
            expiry: self.expires.is_some(),
            mark: self.mark.is_some(),
        }
    }

    /// Fills a raw block of `granules` that is private to the caller, and turns it into an item that has been used
    /// `uses` times.
    #[inline(always)]
    pub(crate) fn write<K: Kernels>(&self, shard: Shard<'_>, at: u32, granules: u32, uses: u32) {
        let shape = self.shape();
        let mut header = Header::item(shape, granules).with_uses(uses);
        if shard.in_nursery(at) && !fault("settled_at_once") {
            header = header.unsettled();
        }
        self.fill::<K>(shard, at, granules, header);
    }

    /// Fills a raw block of `granules` that is private to the caller, and turns it into the item of this header.
    #[inline(always)]
    pub(crate) fn fill<K: Kernels>(&self, shard: Shard<'_>, at: u32, granules: u32, header: Header) {
        self.write_body::<K>(shard, at, header);
        Item::finish(shard, at, Header::raw(granules), header);
    }

    /// Writes all but the header into a raw block that is private to the caller.
    #[inline(always)]
    pub(crate) fn write_body<K: Kernels>(&self, shard: Shard<'_>, at: u32, header: Header) {
        let part = shard.part;
        let mut to = offset_of(at) + GRANULE;
        if !header.is_plain() {
            to = self.write_fields(shard, to, self.shape());
        }
        K::copy(part.private(to, self.key.len()), self.key);
        to += self.key.len();
        K::copy(part.private(to, self.value[0].len()), self.value[0]);
        if !self.value[1].is_empty() {
            part.write(to + self.value[0].len(), self.value[1]);
        }
    }

    /// Writes what stands before the value; answers where the value begins.
    pub(crate) fn write_head(&self, shard: Shard<'_>, at: u32, shape: Shape, header: Header) -> usize {
        let mut to = offset_of(at) + GRANULE;
        if !header.is_plain() {
            to = self.write_fields(shard, to, shape);
        }
        shard.part.write(to, self.key);
        to + self.key.len()
    }

    fn write_fields(&self, shard: Shard<'_>, mut to: usize, shape: Shape) -> usize {
        let part = shard.part;
        let mut put = |bytes: &[u8]| {
            part.write(to, bytes);
            to += bytes.len();
        };
        if shape.is_long() {
            let state = self.mark.map_or(State::NONE, |mark| mark.state);
            put(&state.key_word(shape.key_len).to_le_bytes());
            put(&shape.value_len.to_le_bytes());
        }
        if shape.flags {
            put(&self.flags.to_le_bytes());
        }
        if let Some(Millis(at)) = self.expires {
            put(&at.to_le_bytes());
        }
        if let Some(mark) = self.mark {
            put(&mark.bytes());
        }
        to
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::arch::Level;
    use crate::local::Local;
    use crate::{Cache, Config};

    struct Write<'w>(NewItem<'w>, Shard<'w>, u32, u32);

    impl crate::arch::Work for Write<'_> {
        type Output = ();

        fn run<K: Kernels>(self) {
            let Self(new, shard, at, granules) = self;
            new.write::<K>(shard, at, granules, 0);
        }
    }

    #[test]
    fn an_item_of_the_nursery_has_its_size_also_before_its_writer_is_done() {
        let mut region = std::vec![0; 1 << 20];
        let cache =
            Cache::in_filled(&mut region, Config { shards: 1, ..Config::default() }).expect("large enough");
        let mut local = Local::join(&cache.shared).expect("a handle");
        let shard = cache.shared.shard(0);
        for flags in [0, 7] {
            let new = NewItem { key: b"key", value: [b"value", b""], flags, expires: None, mark: None };
            let needed = new.shape().granules();
            // The first items go to main.
            let (at, granules) = (0..100_000)
                .find_map(|_| {
                    let got = local.allocate_newcomer(shard, needed, Some(cache.shared.hash(new.key)));
                    got.ok().filter(|got| shard.in_nursery(got.0))
                })
                .expect("at last");
            Level::detect().dispatch(Write(new, shard, at, granules));
            let item = Item::load(shard, at);
            assert!(item.is_unsettled() && item.granules() == needed);
            Item::settle(shard, at);
            let item = Item::load(shard, at);
            assert!(!item.is_unsettled() && item.granules() == needed);
        }
    }
}

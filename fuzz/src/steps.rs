//! What the fuzzer may do to a cache: structured, so that nearly every input does something.

use arbitrary::Arbitrary;

/// One run.
#[derive(Arbitrary, Clone, Debug)]
pub struct Run {
    /// Number of shards, as a power of two; the bits above the lowest are ignored.
    pub shards: u8,
    /// Key of the hash.
    pub seed: u64,
    /// What to do.
    pub steps: Vec<Step>,
}

/// One step of a run.
#[derive(Arbitrary, Clone, Debug)]
pub enum Step {
    /// Execute operations as one batch, through this handle.
    Batch(u8, Vec<(Key, Act)>),
    /// The same as a batch, one operation.
    One(u8, Key, Act),
    /// Put so many keys with values of this length, beginning at this key.
    Fill(u8, u8, u8, u16),
    /// Read so many keys, beginning at this one.
    Read(u8, u8, u8),
    /// State that a handle holds nothing.
    Quiescent(u8),
    /// Let all handles be quiescent.
    AllQuiescent,
    /// Let a handle sleep; it wakes when it is used next.
    Offline(u8),
    /// Give a handle up and take another.
    Replace(u8),
    /// Let the clock go on by so many milliseconds.
    Later(u16),
    /// Let the clock jump to anywhere, backwards too.
    Jump(u32),
    /// Look at so many blocks for expired items.
    Sweep(u8, u8),
    /// Walk over all items, so many at a time.
    Scan(u8, u8),
    /// Walk a little, from any cursor.
    ScanFrom(u8, u64, u8),
    /// Remove everything.
    Flush(u8),
    /// Look again at values that were read and are still held.
    Reread,
}

/// A key: mostly one of a few hundred, so that they meet.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Key(pub u8);

/// An operation on a key.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Act {
    /// Read.
    Get,
    /// Read without a mark.
    Peek,
    /// Store a value of this length and content.
    Put(Text, u32, Expires, When),
    /// Remove.
    Delete(When),
    /// Change the expiry.
    Touch(Expires, TouchWhen),
    /// Add bytes.
    Concat(Text, bool, bool),
    /// Add to a signed counter.
    Signed(i64, Option<i64>, Expires),
    /// Add to an unsigned counter.
    Up(u64, Option<u64>, Expires),
    /// Subtract from an unsigned counter.
    Down(u64, Option<u64>, Expires),
    /// Read, and win a lease that ends when the first says: on an absent key, or on a value that expires before the second.
    Lease(Expires, Expires, Expires, bool, bool),
    /// Store a value with a version of its own or not, as a stale one or not.
    Recache(Text, u32, Expires, When, bool, bool),
    /// Mark as stale or not, leave nothing of the value or not.
    Invalidate(bool, Option<u32>, Expires, When, bool),
}

/// Bytes to store.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Text {
    /// A number.
    Number(i64),
    /// A number with spaces behind it.
    Spaced(u32),
    /// Up to 255 bytes from this one on.
    Short(u8, u8),
    /// Up to 16383 bytes from this one on.
    Long(u8, u16),
    /// None.
    Empty,
}

/// When an item expires, seen from now.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Expires {
    /// Never.
    Never,
    /// After so many milliseconds.
    After(u16),
    /// So many milliseconds ago.
    Ago(u8),
    /// When the item before did.
    Keep,
}

/// When to write.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum When {
    /// In any case.
    Always,
    /// If the key is absent.
    Absent,
    /// If the key is present.
    Present,
    /// If the value is the one that was last read.
    Seen,
    /// If the version is this.
    Version(u64),
}

/// When to touch.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum TouchWhen {
    /// In any case.
    Always,
    /// If it never expires.
    Permanent,
    /// If it expires.
    Expiring,
    /// If it then expires later.
    Later,
    /// If it then expires earlier.
    Earlier,
}

impl Key {
    /// The key's bytes: short ones, long ones, and none at all.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self.0 {
            0 => Vec::new(),
            id @ 1..=7 => vec![id; usize::from(id) * 60],
            8 => vec![8; 3000],
            id => format!("key:{id}").into_bytes(),
        }
    }
}

impl Text {
    /// The bytes.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        let run = |first: u8, len: usize| (0..len).map(|i| first.wrapping_add(i as u8)).collect();
        match self {
            Self::Number(number) => number.to_string().into_bytes(),
            Self::Spaced(number) => format!("{number}   ").into_bytes(),
            Self::Short(first, len) => run(first, usize::from(len)),
            Self::Long(first, len) => run(first, usize::from(len % 16_384)),
            Self::Empty => Vec::new(),
        }
    }
}

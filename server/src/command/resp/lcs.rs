//! `LCS`: the longest subsequence that two values have in common.
//!
//! ```text
//!       b1  b2  b3          lengths[i][j]: of the longest one of the first i bytes of a and the first j of b,
//!   0   0   0   0           row by row, a slice of rows at a time; then back from the end, which gives the
//! a1 0  .   .   .           subsequence, and the ranges that it is made of
//! ```
//! The table takes two bytes for each pair of bytes; so their product is bounded, and with it the time.

use crabcache_engine::{Op, Outcome};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::{is, two};
use crate::command::task::Task;
use crate::connection::Connection;
use crate::reactor::batch::Pass;
use crate::reactor::budget::Taken;

/// Entries of the table: 16 MiB. The shorter value has fewer bytes than their root, so that 16 bits hold a length.
const ENTRIES_MAX: usize = 8 << 20;
/// Entries that are filled in a slice: less than a millisecond's work.
const SLICE: usize = 512 << 10;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    len: bool,
    ranges: bool,
    match_lens: bool,
    match_len_min: usize,
}

/// An LCS under way.
#[derive(Debug)]
pub(crate) struct Lcs {
    keys: [Box<[u8]>; 2],
    asked: Asked,
    /// None yet while it has to wait for memory.
    table: Option<Table>,
}

#[derive(Debug)]
struct Table {
    a: Vec<u8>,
    b: Vec<u8>,
    /// Rows that are filled, one after the other.
    lengths: Vec<u16>,
    /// For one that takes several slices.
    _room: Option<Taken>,
}

/// The values are too long.
struct TooLong;

/// `LCS key key [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]`
pub(super) fn lcs<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let mut asked = Asked::default();
    let mut options = args.iter().skip(3);
    while let Some(option) = options.next() {
        if is(option, "IDX") {
            asked.ranges = true;
        } else if is(option, "LEN") {
            asked.len = true;
        } else if is(option, "WITHMATCHLEN") {
            asked.match_lens = true;
        } else if is(option, "MINMATCHLEN")
            && let Some(len) = options.next()
        {
            let Some(len) = parse_i64(len) else { return pass.not_an_integer() };
            asked.match_len_min = usize::try_from(len).unwrap_or(0);
        } else {
            return pass.syntax_error();
        }
    }
    if asked.ranges && asked.len {
        return pass.error("ERR If you want both the length and indexes, please just use IDX.");
    }
    let (a, b) = two(&args);
    let mut lcs = Lcs { keys: [a.into(), b.into()], asked, table: None };
    match lcs.begin(connection, pass) {
        Ok(()) => connection.task = Some(Box::new(Task::Lcs(lcs))),
        Err(TooLong) => refuse(pass),
    }
}

/// Entries of the table for values of these lengths.
fn entries(a_len: usize, b_len: usize) -> Result<usize, TooLong> {
    let entries = (a_len + 1).saturating_mul(b_len + 1);
    if entries > ENTRIES_MAX { Err(TooLong) } else { Ok(entries) }
}

fn refuse(pass: &mut Pass<'_, '_, '_>) {
    pass.error(&format!(
        "ERR the values are too long for LCS: the product of their lengths may be about {ENTRIES_MAX}"
    ));
}

fn read(key: &[u8], pass: &mut Pass<'_, '_, '_>) -> Vec<u8> {
    let key = pass.place().stored(key);
    pass.executor.apply(&Op::get(&key), |outcome| match outcome {
        Outcome::Hit(value) => value.bytes().to_vec(),
        _ => Vec::new(),
    })
}

impl Lcs {
    /// Bytes of memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.keys.iter().map(|key| key.len()).sum::<usize>() + self.table.as_ref().map_or(0, Table::held)
    }

    /// Whether it has read the values.
    pub(crate) fn has_read(&self) -> bool {
        self.table.is_some()
    }

    /// Reads the values, unless that has to wait for memory.
    fn begin(&mut self, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> Result<(), TooLong> {
        pass.run();
        let [a, b] = &self.keys;
        let [a_len, b_len] = [a, b].map(|key| pass.peek(key, |value| value.bytes().len()).unwrap_or(0));
        let len = entries(a_len, b_len)?;
        let mut room = None;
        if len > SLICE {
            room = pass.take_room(len * size_of::<u16>() + a_len + b_len, connection);
            if room.is_none() {
                return Ok(());
            }
        }
        let (a, b) = (read(a, pass), read(b, pass));
        pass.executor.note_work(a.len() / 2 + b.len() / 2);
        // Another worker may have changed them in between.
        let lengths = Vec::with_capacity(entries(a.len(), b.len())?);
        self.table = Some(Table { a, b, lengths, _room: room });
        Ok(())
    }

    /// Goes on for a slice; true when it is done and answered.
    pub(crate) fn step(&mut self, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
        if self.table.is_none() && self.begin(connection, pass).is_err() {
            refuse(pass);
            return true;
        }
        let Some(table) = &mut self.table else { return false };
        let done = table.fill_slice();
        if done {
            table.answer(self.asked, pass);
        }
        done
    }
}

impl Table {
    fn held(&self) -> usize {
        self.a.capacity() + self.b.capacity() + self.lengths.capacity() * size_of::<u16>()
    }

    /// Fills some rows; true if those were the last.
    fn fill_slice(&mut self) -> bool {
        let Self { a, b, lengths, .. } = self;
        let width = b.len() + 1;
        let end = (lengths.len() + SLICE).min((a.len() + 1) * width);
        while lengths.len() < end {
            fill_row(lengths, a, b);
        }
        lengths.len() == (a.len() + 1) * width
    }

    fn answer(&self, asked: Asked, pass: &mut Pass<'_, '_, '_>) {
        let len = self.lengths.last().copied().map_or(0, usize::from);
        let version = pass.version;
        let out = pass.direct();
        if asked.len {
            return write::integer(out, len as i64);
        }
        let (common, ranges) = self.walk_back(len);
        if !asked.ranges {
            return write::bulk(out, &common);
        }
        write::map(out, 2, version);
        write::bulk(out, b"matches");
        let long_enough = |range: &&Range| range.len >= asked.match_len_min;
        write::array(out, ranges.iter().filter(long_enough).count());
        for range in ranges.iter().filter(long_enough) {
            write::array(out, if asked.match_lens { 3 } else { 2 });
            for start in [range.a, range.b] {
                write::array(out, 2);
                write::integer(out, start as i64);
                write::integer(out, (start + range.len - 1) as i64);
            }
            if asked.match_lens {
                write::integer(out, range.len as i64);
            }
        }
        write::bulk(out, b"len");
        write::integer(out, len as i64);
    }

    /// The subsequence, and the ranges that it is made of, the last one first.
    fn walk_back(&self, len: usize) -> (Vec<u8>, Vec<Range>) {
        let Self { a, b, lengths, .. } = self;
        let at = |i: usize, j: usize| lengths[i * (b.len() + 1) + j];
        let (mut common, mut ranges) = (vec![0; len], Vec::<Range>::new());
        let (mut i, mut j, mut left) = (a.len(), b.len(), len);
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                match ranges.last_mut().filter(|range| (range.a, range.b) == (i, j)) {
                    Some(range) => *range = Range { a: i - 1, b: j - 1, len: range.len + 1 },
                    None => ranges.push(Range { a: i - 1, b: j - 1, len: 1 }),
                }
                (i, j, left) = (i - 1, j - 1, left - 1);
                common[left] = a[i];
            } else if at(i - 1, j) > at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        (common, ranges)
    }
}

/// Bytes that both values have in a row.
#[derive(Clone, Copy, Debug)]
struct Range {
    /// Where they begin in the first value.
    a: usize,
    /// Where they begin in the second.
    b: usize,
    len: usize,
}

/// Adds the next row.
fn fill_row(lengths: &mut Vec<u16>, a: &[u8], b: &[u8]) {
    let width = b.len() + 1;
    let start = lengths.len();
    let Some(row) = (start / width).checked_sub(1) else {
        lengths.resize(width, 0);
        return;
    };
    lengths.resize(start + width, 0);
    let (above, this) = lengths[start - width..].split_at_mut(width);
    for (j, &byte) in b.iter().enumerate() {
        this[j + 1] = if byte == a[row] { above[j] + 1 } else { above[j + 1].max(this[j]) };
    }
}

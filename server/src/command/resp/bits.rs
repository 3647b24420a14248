//! Values as rows of bits: bit 0 is the highest of the first byte.
//!
//! A value grows as far as a bit is written, up to what an item may have; what lies beyond its end reads as zeros.

use crabcache_engine::{Expiry, Op, Outcome};
use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::change::{Change, TOGETHER_MAX, change};
use super::{is, one, reply, three, two};
use crate::connection::Connection;
use crate::reactor::batch::Pass;

/// Bits of the longest string of Redis as it comes.
const BITS_MAX: u64 = 512 << 23;
/// Bytes of all the values of one `BITOP`, which holds others up for some milliseconds.
const OPERANDS_LEN_MAX: usize = 16 << 20;

const NO_OFFSET: &str = "ERR bit offset is not an integer or out of range";
const NO_BIT: &str = "ERR bit is not an integer or out of range";
const NO_TYPE: &str =
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";

/// Reads a value; an absent one is none.
fn read<T>(key: &[u8], pass: &mut Pass<'_, '_, '_>, look: impl FnOnce(Option<&[u8]>) -> T) -> T {
    pass.run();
    let key = pass.place().stored(key);
    pass.executor.apply(&Op::get(&key), |outcome| match outcome {
        Outcome::Hit(value) => look(Some(value.bytes())),
        _ => look(None),
    })
}

/// What it takes to look at these bits of a value, in nanoseconds or so.
fn work_of(bits: &std::ops::Range<u64>) -> usize {
    (bits.end.saturating_sub(bits.start) / 32) as usize
}

fn offset_of(argument: &[u8]) -> Option<u64> {
    parse_i64(argument).and_then(|offset| u64::try_from(offset).ok()).filter(|&offset| offset < BITS_MAX)
}

fn bit(bytes: &[u8], at: u64) -> bool {
    bytes.get((at / 8) as usize).is_some_and(|byte| byte & (0x80 >> (at % 8)) > 0)
}

fn set_bit(bytes: &mut [u8], at: u64, on: bool) {
    let (byte, mask) = (&mut bytes[(at / 8) as usize], 0x80 >> (at % 8));
    if on { *byte |= mask } else { *byte &= !mask }
}

/// A copy of a value, with zeros up to this length.
fn grown(old: &[u8], len: usize) -> Vec<u8> {
    let mut new = Vec::with_capacity(len.max(old.len()));
    new.extend_from_slice(old);
    new.resize(len.max(old.len()), 0);
    new
}

/// Writes a value in the place of another one, unless it is the same: then nobody is told of a change. Counts the work of
/// that; what is written is counted where it is.
fn replace<'v>(old: Option<&[u8]>, new: Vec<u8>, compared: &mut usize) -> Change<'v> {
    if old == Some(&new) {
        *compared += new.len();
        return Change::Nothing;
    }
    Change::Write(new.into(), Expiry::Keep)
}

/// `GETBIT key offset`
pub(super) fn getbit<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, offset) = two(&args);
    let Some(at) = offset_of(offset) else { return pass.error(NO_OFFSET) };
    let on = read(key, pass, |bytes| bit(bytes.unwrap_or_default(), at));
    write::integer(pass.direct(), on.into());
}

/// `SETBIT key offset value`
pub(super) fn setbit<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, offset, value) = three(&args);
    let Some(at) = offset_of(offset) else { return pass.error(NO_OFFSET) };
    let Some(on @ 0..=1) = parse_i64(value) else { return pass.error(NO_BIT) };
    let (len, max) = ((at / 8) as usize + 1, pass.shared().bounds.item_len_max);
    if len > max {
        return pass.error(&reply::too_large(max));
    }
    let (mut was, mut compared) = (false, 0);
    let done = change(key, pass, |old| {
        was = bit(old.unwrap_or_default(), at);
        let mut new = grown(old.unwrap_or_default(), len);
        set_bit(&mut new, at, on == 1);
        replace(old, new, &mut compared)
    });
    pass.executor.note_work(compared);
    match done {
        Ok(()) => write::integer(pass.direct(), was.into()),
        Err(error) => reply::refuse(pass, error),
    }
}

/// What is asked of a range of bits.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: i64,
    end: Option<i64>,
    in_bits: bool,
}

impl Span {
    /// Reads `[start [end [BYTE | BIT]]]` from argument `at` on.
    fn read(args: &Args<'_>, at: usize, ends: bool) -> Result<Option<Self>, &'static str> {
        const NO_NUMBER: &str = "ERR value is not an integer or out of range";
        let given = args.len() - at;
        if given == 0 {
            return Ok(None);
        }
        if given > 3 || (ends && given == 1) {
            return Err("ERR syntax error");
        }
        let number = |at: usize| args.get(at).map(|word| parse_i64(word).ok_or(NO_NUMBER)).transpose();
        let unit = match args.get(at + 2) {
            Some(unit) if is(unit, "BIT") => Some(true),
            Some(unit) if !is(unit, "BYTE") => None,
            _ => Some(false),
        };
        let start = number(at)?.unwrap_or(0);
        // BITPOS reads the unit before the end.
        if !ends && unit.is_none() {
            return Err("ERR syntax error");
        }
        let end = number(at + 1)?;
        // Where BITCOUNT has nothing to count, Redis 7 does not read on.
        let nothing = ends && start < 0 && end.is_some_and(|end| end < start);
        let Some(in_bits) = unit.or(nothing.then_some(false)) else { return Err("ERR syntax error") };
        let (start, end) = if nothing { (1, Some(0)) } else { (start, end) };
        Ok(Some(Self { start, end, in_bits }))
    }

    /// Its bits, of a value of so many bytes.
    fn of(self, len: usize) -> std::ops::Range<u64> {
        let unit = if self.in_bits { 1 } else { 8 };
        let total = (len * 8 / unit) as i64;
        let end = self.end.unwrap_or(total - 1);
        let place = |at: i64| if at < 0 { total.saturating_add(at).max(0) } else { at };
        let (start, end) = (place(self.start), place(end).min(total - 1));
        if start > end { 0..0 } else { start as u64 * unit as u64..(end + 1) as u64 * unit as u64 }
    }
}

/// The bytes in which these bits are, with the others zero, or one where `fill` says so, and the first bit of the first of them.
fn masked(bytes: &[u8], range: &std::ops::Range<u64>, fill: bool) -> impl Iterator<Item = (u64, u8)> {
    let (first, last) = (range.start / 8, range.end.div_ceil(8));
    let range = range.clone();
    bytes[first as usize..last as usize].iter().zip(first..).map(move |(&byte, number)| {
        let from = range.start.saturating_sub(number * 8).min(8) as u32;
        let to = (range.end - number * 8).min(8) as u32;
        let inside = (0xff_u32 >> from) & !(0xff_u32 >> to) & 0xff;
        let outside = if fill { !inside as u8 } else { 0 };
        (number * 8, byte & inside as u8 | outside)
    })
}

/// `BITCOUNT key [start end [BYTE | BIT]]`
pub(super) fn bitcount<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let mut counts = 0..0;
    let counted: Result<u64, &str> = read(one(&args), pass, |bytes| {
        // Of a key that is absent Redis 7 does not read the rest.
        let Some(bytes) = bytes else { return Ok(0) };
        let range =
            Span::read(&args, 2, true)?.map_or(0..bytes.len() as u64 * 8, |span| span.of(bytes.len()));
        if range.is_empty() {
            return Ok(0);
        }
        counts = range.clone();
        // The bytes that are wholly in it eight at a time.
        let (whole_from, whole_to) = (range.start.div_ceil(8) * 8, range.end / 8 * 8);
        if whole_from >= whole_to {
            return Ok(masked(bytes, &range, false).map(|(_, byte)| u64::from(byte.count_ones())).sum());
        }
        let ends = [range.start..whole_from, whole_to..range.end];
        let ends = ends
            .iter()
            .flat_map(|end| masked(bytes, end, false))
            .map(|(_, byte)| u64::from(byte.count_ones()));
        let (words, rest) = bytes[(whole_from / 8) as usize..(whole_to / 8) as usize].as_chunks::<8>();
        let words = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones()));
        let rest = rest.iter().map(|byte| u64::from(byte.count_ones()));
        Ok(ends.chain(words).chain(rest).sum::<u64>())
    });
    pass.executor.note_work(work_of(&counts));
    match counted {
        Ok(count) => write::integer(pass.direct(), count as i64),
        Err(error) => pass.error(error),
    }
}

/// `BITPOS key bit [start [end [BYTE | BIT]]]`
pub(super) fn bitpos<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (key, wanted) = two(&args);
    let on = match parse_i64(wanted) {
        Some(on @ 0..=1) => on == 1,
        Some(_) => return pass.error("ERR The bit argument must be 1 or 0."),
        None => return pass.not_an_integer(),
    };
    let mut passed = 0..0;
    let found: Result<i64, &str> = read(key, pass, |bytes| {
        let Some(bytes) = bytes else { return Ok(if on { -1 } else { 0 }) };
        let span = Span::read(&args, 3, false)?;
        let range = span.map_or(0..bytes.len() as u64 * 8, |span| span.of(bytes.len()));
        if range.is_empty() {
            return Ok(-1);
        }
        // Runs of bytes without such a bit are passed over eight at a time.
        let dull = if on { 0 } else { 0xff };
        let (words, _) = bytes
            [range.start.div_ceil(8) as usize..(range.end / 8).max(range.start.div_ceil(8)) as usize]
            .as_chunks::<8>();
        let begins = masked(bytes, &(range.start..range.end.min(range.start.div_ceil(8) * 8)), !on)
            .find(|&(_, byte)| byte != dull);
        let skipped = words.iter().take_while(|word| **word == [dull; 8]).count() as u64 * 64;
        let behind = range.start.div_ceil(8) * 8 + skipped..range.end;
        passed = range.start..behind.start;
        let hit = begins.or_else(|| {
            if behind.is_empty() { None } else { masked(bytes, &behind, !on).find(|&(_, byte)| byte != dull) }
        });
        Ok(match hit {
            Some((at, byte)) => {
                let byte = if on { byte } else { !byte };
                (at + u64::from(byte.leading_zeros())) as i64
            }
            // To the right of a value there are zeros, unless its end was named.
            None if !on && span.is_none_or(|span| span.end.is_none()) => range.end as i64,
            None => -1,
        })
    });
    pass.executor.note_work(work_of(&passed));
    match found {
        Ok(at) => write::integer(pass.direct(), at),
        Err(error) => pass.error(error),
    }
}

/// Combines a value, behind which there are zeros, with the result so far.
fn each(result: &mut [u8], bytes: &[u8], combine: impl Fn(u8, u8) -> u8) {
    let (here, beyond) = result.split_at_mut(bytes.len());
    for (a, b) in here.iter_mut().zip(bytes) {
        *a = combine(*a, *b);
    }
    for a in beyond {
        *a = combine(*a, 0);
    }
}

/// `BITOP AND | OR | XOR | NOT destination key...`
pub(super) fn bitop<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (operation, destination) = two(&args);
    let sources = args.iter().skip(3);
    let combine: fn(&mut [u8], &[u8]) = if is(operation, "AND") {
        |result, bytes| each(result, bytes, |a, b| a & b)
    } else if is(operation, "OR") {
        |result, bytes| each(result, bytes, |a, b| a | b)
    } else if is(operation, "XOR") {
        |result, bytes| each(result, bytes, |a, b| a ^ b)
    } else if is(operation, "NOT") {
        if sources.clone().nth(1).is_some() {
            return pass.error("ERR BITOP NOT must be called with a single source key.");
        }
        |result, _| each(result, &[], |a, _| !a)
    } else {
        return pass.syntax_error();
    };
    if args.len() > TOGETHER_MAX + 3 {
        return pass.error(&format!("ERR BITOP takes at most {TOGETHER_MAX} keys"));
    }
    pass.executor.note_work(args.len() * 300);
    let done = pass.alone(|pass| {
        let lens = sources.clone().map(|key| pass.peek(key, |value| value.bytes().len()).unwrap_or(0));
        let (sum, longest) = lens.fold((0, 0), |(sum, longest), len| (sum + len, longest.max(len)));
        if sum > OPERANDS_LEN_MAX {
            return Ok(None);
        }
        // The first is copied, into new memory.
        pass.executor.note_work(sum / 4 + longest / 2);
        let mut result = Vec::new();
        for (number, key) in sources.enumerate() {
            read(key, pass, |bytes| {
                let bytes = bytes.unwrap_or_default();
                if number == 0 {
                    result = grown(bytes, longest);
                } else {
                    combine(&mut result, bytes);
                }
            });
        }
        if is(operation, "NOT") {
            combine(&mut result, &[]);
        }
        change(destination, pass, |_| {
            if result.is_empty() {
                Change::Remove
            } else {
                Change::Write((&result[..]).into(), Expiry::Never)
            }
        })
        .map(|()| Some(longest))
    });
    match done {
        Ok(Some(len)) => write::integer(pass.direct(), len as i64),
        Ok(None) => pass.error(&format!(
            "ERR the values are too long for BITOP: they may have {OPERANDS_LEN_MAX} bytes together"
        )),
        Err(error) => reply::refuse(pass, error),
    }
}

/// A number in a value.
#[derive(Clone, Copy, Debug)]
struct Field {
    signed: bool,
    bits: u32,
    at: u64,
}

/// What becomes of a number that does not fit.
#[derive(Clone, Copy, Debug)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Get,
    Set(i64),
    Add(i64),
}

impl Field {
    fn read(kind: &[u8], offset: &[u8]) -> Result<Self, &'static str> {
        let (signed, bits) = match kind.split_first() {
            Some((b'i', bits)) => (true, bits),
            Some((b'u', bits)) => (false, bits),
            _ => return Err(NO_TYPE),
        };
        let most = if signed { 64 } else { 63 };
        let bits = parse_i64(bits).filter(|bits| (1..=most).contains(bits)).ok_or(NO_TYPE)? as u32;
        let at = match offset.strip_prefix(b"#") {
            Some(number) => parse_i64(number).and_then(|number| number.checked_mul(bits.into())),
            None => parse_i64(offset),
        };
        let at = at.and_then(|at| u64::try_from(at).ok()).filter(|&at| at < BITS_MAX).ok_or(NO_OFFSET)?;
        Ok(Self { signed, bits, at })
    }

    fn get(self, bytes: &[u8]) -> i128 {
        // It lies in at most nine bytes; behind the value there are zeros.
        let window = (self.first()..self.first() + 9)
            .fold(0_u128, |window, at| window << 8 | u128::from(bytes.get(at).copied().unwrap_or(0)));
        self.read_as((window >> self.below()) as u64)
    }

    /// The first of the nine bytes that it lies in.
    fn first(self) -> usize {
        (self.at / 8) as usize
    }

    /// How many of their bits are behind it.
    fn below(self) -> u32 {
        72 - (self.at % 8) as u32 - self.bits
    }

    /// What these bits mean.
    fn read_as(self, raw: u64) -> i128 {
        let spare = 64 - self.bits;
        if self.signed { ((raw << spare) as i64 >> spare).into() } else { (raw << spare >> spare).into() }
    }

    fn set(self, bytes: &mut [u8], number: i128) {
        let mask = ((1_u128 << self.bits) - 1) << self.below();
        let (mask, window) = (mask.to_be_bytes(), ((number as u128) << self.below()).to_be_bytes());
        // The last nine of the sixteen; those behind the value are none of the field's.
        for ((byte, mask), new) in bytes[self.first()..].iter_mut().zip(&mask[7..]).zip(&window[7..]) {
            *byte = *byte & !mask | new & mask;
        }
    }

    /// A number as this field can hold it; none if it is not to be written.
    fn fit(self, number: i128, overflow: Overflow) -> Option<i128> {
        let (least, most) = if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1_i128 << self.bits) - 1)
        };
        match overflow {
            _ if (least..=most).contains(&number) => Some(number),
            Overflow::Wrap => Some(self.read_as(number as u64)),
            Overflow::Saturate => Some(number.clamp(least, most)),
            Overflow::Fail => None,
        }
    }

    /// Carries a step out; gives what is answered.
    fn apply(self, step: Step, overflow: Overflow, bytes: &mut [u8]) -> Option<i64> {
        let old = self.get(bytes);
        let (new, answered) = match step {
            Step::Get => return Some(old as i64),
            // A negative number is a large one where there is no sign.
            Step::Set(number) if !self.signed => (self.fit((number as u64).into(), overflow)?, old),
            Step::Set(number) => (self.fit(number.into(), overflow)?, old),
            Step::Add(number) => {
                let new = self.fit(old + i128::from(number), overflow)?;
                (new, new)
            }
        };
        self.set(bytes, new);
        Some(answered as i64)
    }
}

/// `BITFIELD key [GET type offset | [OVERFLOW WRAP | SAT | FAIL] SET type offset value | INCRBY type offset increment]...`
pub(super) fn bitfield<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    steps(&args, false, pass);
}

/// `BITFIELD_RO key [GET type offset]...`
pub(super) fn bitfield_ro<'a>(args: Args<'a>, _: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    steps(&args, true, pass);
}

fn steps(args: &Args<'_>, only_reads: bool, pass: &mut Pass<'_, '_, '_>) {
    let steps = match parse_steps(args) {
        Ok(steps) => steps,
        Err(error) => return pass.error(error),
    };
    let written = steps.iter().filter(|(_, step, _)| !matches!(step, Step::Get));
    let end = written.map(|(field, ..)| field.at + u64::from(field.bits)).max();
    if only_reads && end.is_some() {
        return pass.error("ERR BITFIELD_RO only supports the GET subcommand");
    }
    pass.executor.note_work(steps.len() * 100);
    let mut answers = Vec::with_capacity(steps.len());
    let done = match end {
        None => {
            read(one(args), pass, |bytes| {
                let bytes = bytes.unwrap_or_default();
                answers.extend(steps.iter().map(|(field, ..)| Some(field.get(bytes) as i64)));
            });
            Ok(())
        }
        Some(end) => {
            let (len, max) = (end.div_ceil(8) as usize, pass.shared().bounds.item_len_max);
            if len > max {
                return pass.error(&reply::too_large(max));
            }
            let mut compared = 0;
            let done = change(one(args), pass, |old| {
                let mut new = grown(old.unwrap_or_default(), len);
                answers.clear();
                answers.extend(
                    steps.iter().map(|(field, step, overflow)| field.apply(*step, *overflow, &mut new)),
                );
                replace(old, new, &mut compared)
            });
            pass.executor.note_work(compared);
            done
        }
    };
    if let Err(error) = done {
        return reply::refuse(pass, error);
    }
    let version = pass.version;
    let out = pass.direct();
    write::array(out, answers.len());
    for answer in answers {
        match answer {
            Some(number) => write::integer(out, number),
            None => write::nil(out, version),
        }
    }
}

fn parse_steps(args: &Args<'_>) -> Result<Vec<(Field, Step, Overflow)>, &'static str> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut words = args.iter().skip(2);
    while let Some(word) = words.next() {
        let mut ahead = words.clone();
        let mut next = || ahead.next().ok_or("ERR syntax error");
        if is(word, "OVERFLOW") {
            let kind = next()?;
            overflow = if is(kind, "WRAP") {
                Overflow::Wrap
            } else if is(kind, "SAT") {
                Overflow::Saturate
            } else if is(kind, "FAIL") {
                Overflow::Fail
            } else {
                return Err("ERR Invalid OVERFLOW type specified");
            };
        } else if is(word, "GET") {
            let (kind, offset) = (next()?, next()?);
            steps.push((Field::read(kind, offset)?, Step::Get, overflow));
        } else if is(word, "SET") || is(word, "INCRBY") {
            let (kind, offset, number) = (next()?, next()?, next()?);
            let field = Field::read(kind, offset)?;
            let number = parse_i64(number).ok_or("ERR value is not an integer or out of range")?;
            steps.push((
                field,
                if is(word, "SET") { Step::Set(number) } else { Step::Add(number) },
                overflow,
            ));
        } else {
            return Err("ERR syntax error");
        }
        words = ahead;
    }
    Ok(steps)
}

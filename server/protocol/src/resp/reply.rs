//! Replies, read: for clients, the command line, and tests.
//!
//! A reply may hold replies. It is first walked from end to end without recursion, counting for each open aggregate how
//! many elements it still lacks; then handed out as a view that is walked again on demand. No memory is allocated.
//!
//! ```text
//! *2\r\n :1\r\n *2\r\n +a\r\n | not here yet          lacking: [1 reply, 1 element of the outer, 1 of the inner]
//! ```
//! Attributes (`|`) are skipped: nothing that we know of sends them unasked. Streamed types (`$?`) are refused.

use super::frame::{self, Header};
use crate::{Limits, Parsed, number};
use core::fmt;

/// Deepest nesting of aggregates.
pub const DEPTH_MAX: usize = 16;

/// Length of the shortest reply, `_\r\n`, in bytes.
const REPLY_LEN_MIN: usize = 3;

/// One reply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reply<'a> {
    /// `+`: a simple string.
    Simple(&'a [u8]),
    /// `-` or `!`: an error; its text starts with its code.
    Error(&'a [u8]),
    /// `:`: an integer.
    Integer(i64),
    /// `$`: a bulk string.
    Bulk(&'a [u8]),
    /// `_`, or the nil bulk string or array of RESP2.
    Nil,
    /// `,`: a floating-point number.
    Double(f64),
    /// `#`: a truth value.
    Boolean(bool),
    /// `(`: an integer of any length, in decimal.
    BigNumber(&'a [u8]),
    /// `=`: text to show as it is.
    Verbatim {
        /// `txt` or `mkd`.
        format: [u8; 3],
        /// The text.
        text: &'a [u8],
    },
    /// `*`: an array.
    Array(Items<'a>),
    /// `%`: a map; its items are keys and values in turn.
    Map(Items<'a>),
    /// `~`: a set.
    Set(Items<'a>),
    /// `>`: a push message, which answers no request.
    Push(Items<'a>),
}

/// Why a reply cannot be read. The position in the stream is lost: close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// No type starts with this byte.
    UnknownType(u8),
    /// A length is not a number, or larger than allowed.
    InvalidLength,
    /// A line is longer than allowed, or holds a lone line break.
    InvalidLine,
    /// The text is not of the announced type.
    InvalidValue,
    /// A body is not followed by CRLF.
    Unterminated,
    /// Aggregates are nested deeper than [`DEPTH_MAX`].
    TooDeep,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(byte) => write!(f, "no reply starts with byte 0x{byte:02x}"),
            Self::InvalidLength => f.write_str("invalid length in reply"),
            Self::InvalidLine => f.write_str("invalid line in reply"),
            Self::InvalidValue => f.write_str("invalid value in reply"),
            Self::Unterminated => f.write_str("expected CRLF after body of reply"),
            Self::TooDeep => write!(f, "reply nested deeper than {DEPTH_MAX}"),
        }
    }
}

impl core::error::Error for ParseError {}

/// How far into one unfinished reply the parser has come; the default is its start. As with requests, keep it with the
/// bytes.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Everything before this is checked.
    offset: usize,
    /// Index of the innermost open aggregate in `lacking`.
    depth: usize,
    /// Elements to come, the open one included; `lacking[0]` counts the reply itself.
    lacking: [usize; DEPTH_MAX + 1],
}

impl Default for Progress {
    fn default() -> Self {
        let mut lacking = [0; DEPTH_MAX + 1];
        lacking[0] = 1;
        Self { offset: 0, depth: 0, lacking }
    }
}

/// Reads the reply at the head of `input`.
///
/// `value_len_max` bounds each body, `line_len_max` each line, `args_max` the elements of each aggregate.
pub fn parse<'a>(
    input: &'a [u8],
    limits: &Limits,
    progress: &mut Progress,
) -> Result<Parsed<Reply<'a>>, ParseError> {
    if let Some(at_least) = progress.walk(input, limits)? {
        return Ok(Parsed::Incomplete { at_least });
    }
    let consumed = core::mem::take(progress).offset;
    let mut items = Items { bytes: &input[..consumed], len: 1 }.iter();
    match items.next() {
        Some(value) => Ok(Parsed::Complete { value, consumed }),
        None => Err(ParseError::InvalidValue),
    }
}

impl Progress {
    /// Walks on to the end of the reply (`None`), or tells the length that the input must at least reach.
    fn walk(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, ParseError> {
        while self.lacking[0] > 0 {
            match element(input.get(self.offset..).unwrap_or_default(), limits)? {
                Element::Whole { len, .. } => {
                    self.offset += len;
                    self.close();
                }
                Element::Open { header_len, len, kind } => {
                    self.offset += header_len;
                    if kind == Kind::Attribute {
                        // It is no element of anything: what holds it lacks as much after it as before.
                        self.lacking[self.depth] += 1;
                    }
                    if len == 0 {
                        self.close();
                    } else if self.depth == DEPTH_MAX {
                        return Err(ParseError::TooDeep);
                    } else {
                        self.depth += 1;
                        self.lacking[self.depth] = len;
                    }
                }
                Element::Partial { at_least } => {
                    let open = &self.lacking[..=self.depth];
                    let others = open.iter().fold(0_usize, |sum, &lacking| sum.saturating_add(lacking - 1));
                    let others = others.saturating_mul(REPLY_LEN_MIN);
                    return Ok(Some(self.offset.saturating_add(at_least).saturating_add(others)));
                }
            }
        }
        Ok(None)
    }

    /// One element is whole; so may be what holds it.
    fn close(&mut self) {
        loop {
            self.lacking[self.depth] -= 1;
            if self.lacking[self.depth] > 0 || self.depth == 0 {
                return;
            }
            self.depth -= 1;
        }
    }
}

/// The elements of an aggregate.
///
/// Invariant: `bytes` holds exactly `len` well-formed replies (and attributes), nested no deeper than [`DEPTH_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Items<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Items<'a> {
    /// How many there are; a map has two per pair.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements in order.
    #[must_use]
    pub fn iter(self) -> ItemsIter<'a> {
        ItemsIter { bytes: self.bytes, len: self.len }
    }

    /// The elements two by two: the pairs of a map.
    pub fn pairs(&self) -> impl Iterator<Item = (Reply<'a>, Reply<'a>)> {
        let mut items = self.iter();
        core::iter::from_fn(move || Some((items.next()?, items.next()?)))
    }
}

impl<'a> IntoIterator for Items<'a> {
    type Item = Reply<'a>;
    type IntoIter = ItemsIter<'a>;

    fn into_iter(self) -> ItemsIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Items`].
#[derive(Clone, Debug)]
pub struct ItemsIter<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Iterator for ItemsIter<'a> {
    type Item = Reply<'a>;

    fn next(&mut self) -> Option<Reply<'a>> {
        loop {
            let (value, len) = match element(self.bytes, &CHECKED).ok()? {
                Element::Whole { value, len } => (Some(value), len),
                Element::Open { header_len, len, kind } => {
                    let mut inner = Progress { offset: header_len, ..Progress::default() };
                    inner.lacking[0] = len;
                    inner.walk(self.bytes, &CHECKED).ok()?;
                    let items = Items { bytes: self.bytes.get(header_len..inner.offset)?, len };
                    (kind.reply(items), inner.offset)
                }
                Element::Partial { .. } => return None,
            };
            self.bytes = &self.bytes[len..];
            if value.is_some() {
                self.len -= 1;
                return value;
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl ExactSizeIterator for ItemsIter<'_> {}
impl core::iter::FusedIterator for ItemsIter<'_> {}

/// For bytes that have been held against the real limits before.
const CHECKED: Limits = Limits {
    key_len_max: usize::MAX,
    value_len_max: usize::MAX,
    args_max: usize::MAX,
    line_len_max: usize::MAX,
};

/// What stands next: a reply, or the header of an aggregate.
enum Element<'a> {
    Whole { value: Reply<'a>, len: usize },
    Open { header_len: usize, len: usize, kind: Kind },
    Partial { at_least: usize },
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Array,
    Map,
    Set,
    Push,
    Attribute,
}

impl Kind {
    /// `None` for an attribute, which is no reply.
    fn reply(self, items: Items<'_>) -> Option<Reply<'_>> {
        match self {
            Self::Array => Some(Reply::Array(items)),
            Self::Map => Some(Reply::Map(items)),
            Self::Set => Some(Reply::Set(items)),
            Self::Push => Some(Reply::Push(items)),
            Self::Attribute => None,
        }
    }
}

fn element<'a>(input: &'a [u8], limits: &Limits) -> Result<Element<'a>, ParseError> {
    match input.first() {
        None => Ok(Element::Partial { at_least: REPLY_LEN_MIN }),
        Some(b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(') => line(input, limits),
        Some(b'$' | b'!' | b'=') => body(input, limits),
        Some(b'*') => open(input, limits, Kind::Array),
        Some(b'%') => open(input, limits, Kind::Map),
        Some(b'~') => open(input, limits, Kind::Set),
        Some(b'>') => open(input, limits, Kind::Push),
        Some(b'|') => open(input, limits, Kind::Attribute),
        Some(&other) => Err(ParseError::UnknownType(other)),
    }
}

/// A reply that is one line.
fn line<'a>(input: &'a [u8], limits: &Limits) -> Result<Element<'a>, ParseError> {
    let Some(end) = memchr::memchr2(b'\r', b'\n', input).filter(|&end| end + 1 < input.len()) else {
        if input.len() > limits.line_len_max {
            return Err(ParseError::InvalidLine);
        }
        return Ok(Element::Partial { at_least: REPLY_LEN_MIN.max(input.len() + 1) });
    };
    if end > limits.line_len_max || input[end..end + 2] != *b"\r\n" {
        return Err(ParseError::InvalidLine);
    }
    let text = &input[1..end];
    let value = match input[0] {
        b'+' => Some(Reply::Simple(text)),
        b'-' => Some(Reply::Error(text)),
        b':' => number::parse_i64_lenient(text).map(Reply::Integer),
        b'_' => text.is_empty().then_some(Reply::Nil),
        b',' => core::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).map(Reply::Double),
        b'#' => match text {
            b"t" => Some(Reply::Boolean(true)),
            b"f" => Some(Reply::Boolean(false)),
            _ => None,
        },
        _ => {
            let digits = text.strip_prefix(b"-").unwrap_or(text);
            let good = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            good.then_some(Reply::BigNumber(text))
        }
    };
    Ok(Element::Whole { value: value.ok_or(ParseError::InvalidValue)?, len: end + 2 })
}

/// A reply whose length is told.
fn body<'a>(input: &'a [u8], limits: &Limits) -> Result<Element<'a>, ParseError> {
    let (start, body_len) = match header(input)? {
        Ok(header) => header,
        Err(partial) => return Ok(partial),
    };
    if body_len == -1 && input[0] == b'$' {
        return Ok(Element::Whole { value: Reply::Nil, len: start });
    }
    let body_len = usize::try_from(body_len).map_err(|_| ParseError::InvalidLength)?;
    if body_len > limits.value_len_max || body_len > isize::MAX as usize {
        return Err(ParseError::InvalidLength);
    }
    let end = start + body_len;
    match input.get(end..end + 2) {
        None => return Ok(Element::Partial { at_least: end + 2 }),
        Some(b"\r\n") => {}
        Some(_) => return Err(ParseError::Unterminated),
    }
    let body = &input[start..end];
    let value = match (input[0], body) {
        (b'$', _) => Reply::Bulk(body),
        (b'!', _) => Reply::Error(body),
        (_, &[a, b, c, b':', ref text @ ..]) => Reply::Verbatim { format: [a, b, c], text },
        _ => return Err(ParseError::InvalidValue),
    };
    Ok(Element::Whole { value, len: end + 2 })
}

/// The header of an aggregate.
fn open<'a>(input: &'a [u8], limits: &Limits, kind: Kind) -> Result<Element<'a>, ParseError> {
    let (header_len, len) = match header(input)? {
        Ok(header) => header,
        Err(partial) => return Ok(partial),
    };
    if len == -1 && kind == Kind::Array {
        return Ok(Element::Whole { value: Reply::Nil, len: header_len });
    }
    let per_entry = if matches!(kind, Kind::Map | Kind::Attribute) { 2 } else { 1 };
    let len = usize::try_from(len).ok().filter(|&len| len <= limits.args_max);
    let len = len.and_then(|len| len.checked_mul(per_entry)).ok_or(ParseError::InvalidLength)?;
    Ok(Element::Open { header_len, len, kind })
}

/// The length of a header and the number in it, or how much is missing.
fn header(input: &[u8]) -> Result<Result<(usize, i64), Element<'static>>, ParseError> {
    match frame::header(input) {
        Header::Number { value, len } => Ok(Ok((len, value))),
        Header::Partial { missing } => Ok(Err(Element::Partial { at_least: input.len() + missing })),
        Header::TooLong | Header::NotANumber => Err(ParseError::InvalidLength),
    }
}

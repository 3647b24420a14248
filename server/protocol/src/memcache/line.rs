//! A command line and its words.
//!
//! ```text
//! input | get  a b \r\n | ...            line = "get  a b ", words = get, a, b
//! ```

use super::{KEY_LEN_MAX, LINE_LEN_MAX, ParseError};
use crate::Limits;

/// The line at the head of `input`, without its end, and the length it takes with it; `None` if it has not ended.
///
/// A line is measured whether or not it has ended, so that it does not matter in which pieces it comes.
pub(super) fn split<'a>(input: &'a [u8], limits: &Limits) -> Result<Option<(&'a [u8], usize)>, ParseError> {
    let end = match memchr::memchr(b'\n', &input[..input.len().min(LINE_LEN_MAX + 1)]) {
        Some(end) => end,
        None if input.len() <= LINE_LEN_MAX => return Ok(None),
        None if !is_retrieval(input) => return Err(ParseError::LineTooLong),
        None => {
            let len_max = limits.line_len_max.max(LINE_LEN_MAX);
            match memchr::memchr(b'\n', &input[..input.len().min(len_max.saturating_add(1))]) {
                Some(end) => end,
                None if input.len() <= len_max => return Ok(None),
                None => return Err(ParseError::LineTooLong),
            }
        }
    };
    let line = &input[..end];
    Ok(Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1)))
}

/// Whether the line asks for keys, of which there may be many.
fn is_retrieval(input: &[u8]) -> bool {
    let (verb, _) = split_word(input);
    matches!(verb, b"get" | b"gets" | b"gat" | b"gats")
}

/// The first word and what follows it. Without a word both are empty.
#[inline]
pub(super) fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    let start = line.iter().position(|&byte| byte != b' ').unwrap_or(line.len());
    let line = &line[start..];
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    line.split_at(end)
}

/// `text` without the blanks at either end.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    let start = text[..end].iter().position(|&byte| byte != b' ').unwrap_or(end);
    &text[start..end]
}

/// Most words after the verb that any command but the retrievals takes, and one more.
pub(super) const WORDS_MAX: usize = 7;

/// The words of `text`; a slice as long as `into` stands for that many or more.
pub(super) fn words<'a, 'w>(mut text: &'a [u8], into: &'w mut [&'a [u8]; WORDS_MAX]) -> &'w [&'a [u8]] {
    let mut len = 0;
    for place in into.iter_mut() {
        (*place, text) = split_word(text);
        if place.is_empty() {
            break;
        }
        len += 1;
    }
    &into[..len]
}

/// Iterator over the words of a text.
#[derive(Clone, Debug)]
pub(super) struct WordsIter<'a> {
    text: &'a [u8],
}

impl<'a> WordsIter<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text }
    }
}

impl<'a> Iterator for WordsIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (word, rest) = split_word(self.text);
        self.text = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// Whether `key` may be a key: short enough, no blanks, no control characters.
///
/// memcached lets control characters pass, against its own `protocol.txt`; we hold to the document.
#[inline]
pub(super) fn is_key(key: &[u8], limits: &Limits) -> bool {
    (1..=key_len_max(limits)).contains(&key.len()) && key_end(key) == key.len()
}

#[inline]
pub(super) fn key_len_max(limits: &Limits) -> usize {
    limits.key_len_max.min(KEY_LEN_MAX)
}

/// How many of the first bytes of `text` can be part of a key: up to the first blank or control character.
#[inline]
pub(super) fn key_end(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut rest = text;
    while let Some((chunk, after)) = rest.split_first_chunk() {
        // Eight bytes at once: a byte's top bit is set where the byte is foreign. A borrow can only set bits above the
        // first of them, and the first is all we ask for.
        let bytes = u64::from_le_bytes(*chunk);
        let delete = bytes ^ (ONES * 0x7f);
        let below = bytes.wrapping_sub(ONES * 0x21) & !bytes;
        let equal = delete.wrapping_sub(ONES) & !delete;
        let foreign = (below | equal) & (ONES * 0x80);
        if foreign != 0 {
            return text.len() - rest.len() + foreign.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    let end = rest.iter().position(|&byte| byte <= b' ' || byte == 0x7f);
    text.len() - rest.len() + end.unwrap_or(rest.len())
}

/// The keys of a retrieval: words that are all keys. There may be none (`gat 0`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys<'a> {
    text: &'a [u8],
}

impl<'a> Keys<'a> {
    /// The words of `text`, if each of them is a key.
    pub(super) fn new(text: &'a [u8], limits: &Limits) -> Option<Self> {
        let keys = Self { text: trim(text) };
        let mut iter = keys.iter();
        let good = iter.by_ref().all(|key| key.len() <= key_len_max(limits));
        // The walk ends early where a word goes on with a byte that no key has.
        (good && iter.text.is_empty()).then_some(keys)
    }

    /// One key, already known to be one.
    #[inline]
    pub(super) fn single(key: &'a [u8]) -> Self {
        Self { text: key }
    }

    /// The keys, in the order they were asked for.
    #[inline]
    #[must_use]
    pub fn iter(self) -> KeysIter<'a> {
        KeysIter { text: self.text }
    }
}

impl<'a> IntoIterator for Keys<'a> {
    type Item = &'a [u8];
    type IntoIter = KeysIter<'a>;

    #[inline]
    fn into_iter(self) -> KeysIter<'a> {
        self.iter()
    }
}

/// Iterator over [`Keys`].
#[derive(Clone, Debug)]
pub struct KeysIter<'a> {
    text: &'a [u8],
}

impl<'a> Iterator for KeysIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let mut text = self.text;
        while let [b' ', after @ ..] = text {
            text = after;
        }
        let (key, rest) = text.split_at(key_end(text));
        self.text = rest;
        (!key.is_empty()).then_some(key)
    }
}

impl core::iter::FusedIterator for KeysIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn key_end_knows_every_byte_at_every_place() {
        for at in 0..20 {
            for byte in 0..=255_u8 {
                let mut text = [b'k'; 20];
                text[at] = byte;
                let foreign = byte <= b' ' || byte == 0x7f;
                assert_eq!(key_end(&text), if foreign { at } else { 20 }, "{byte} at {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn key_end_equals_bytewise(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let bytewise = text.iter().position(|&byte| byte <= b' ' || byte == 0x7f).unwrap_or(text.len());
            prop_assert_eq!(key_end(&text), bytewise);
        }
    }
}

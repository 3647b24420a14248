//! Globs: what the matcher says is what trying everything says, and it takes no more steps than both lengths allow.
#![no_main]

use arbitrary::Arbitrary;
use crabcache_protocol::resp::glob::{matches, matches_within};
use libfuzzer_sys::fuzz_target;

/// Short enough to try everything.
const PATTERN_LEN_MAX: usize = 12;
const TEXT_LEN_MAX: usize = 20;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Makes bytes that mean something out of all bytes.
    narrows: bool,
    pattern: &'a [u8],
    text: &'a [u8],
}

/// A part of a pattern.
enum Token {
    Star,
    Any,
    Byte(u8),
    Class { negated: bool, ranges: Vec<(i8, i8)> },
}

impl Token {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Star => false,
            Self::Any => true,
            Self::Byte(own) => *own == byte,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|&(from, to)| (from..=to).contains(&(byte as i8))) != *negated
            }
        }
    }
}

fn tokens(mut pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let [first, rest @ ..] = pattern {
        pattern = rest;
        tokens.push(match (first, rest) {
            (b'*', _) => Token::Star,
            (b'?', _) => Token::Any,
            (b'[', _) => class(&mut pattern),
            (b'\\', [byte, rest @ ..]) => {
                pattern = rest;
                Token::Byte(*byte)
            }
            (byte, _) => Token::Byte(*byte),
        });
    }
    tokens
}

fn class(pattern: &mut &[u8]) -> Token {
    let negated = pattern.first() == Some(&b'^');
    if negated {
        *pattern = &pattern[1..];
    }
    let mut ranges = Vec::new();
    loop {
        let (range, rest) = match *pattern {
            [] => break,
            [b']', rest @ ..] => {
                *pattern = rest;
                break;
            }
            [b'\\', byte, rest @ ..] => ((*byte, *byte), rest),
            [from, b'-', to, rest @ ..] => ((*from, *to), rest),
            [byte, rest @ ..] => ((*byte, *byte), rest),
        };
        let (from, to) = (range.0 as i8, range.1 as i8);
        ranges.push((from.min(to), from.max(to)));
        *pattern = rest;
    }
    Token::Class { negated, ranges }
}

/// Tries everything.
fn oracle(tokens: &[Token], text: &[u8]) -> bool {
    match (tokens, text) {
        ([], text) => text.is_empty(),
        ([Token::Star, rest @ ..], text) => (0..=text.len()).any(|skipped| oracle(rest, &text[skipped..])),
        ([token, rest @ ..], [byte, text @ ..]) => token.takes(*byte) && oracle(rest, text),
        (_, []) => false,
    }
}

fn narrow(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| b"ab]-[^\\*?\xFF"[usize::from(*byte) % 10]).collect()
}

fuzz_target!(|input: Input<'_>| {
    let Input { narrows, pattern, text } = input;
    let (pattern, text) =
        if narrows { (narrow(pattern), narrow(text)) } else { (pattern.to_vec(), text.to_vec()) };
    let mut steps = usize::MAX;
    let matched = matches_within(&pattern, &text, &mut steps);
    assert_eq!(matched, Some(matches(&pattern, &text)));
    let taken = usize::MAX - steps;
    assert!(taken <= 2 * (pattern.len() + 1) * (pattern.len() + text.len() + 1));
    // With fewer steps it says the same, or that they were not enough.
    let hurried = matches_within(&pattern, &text, &mut (taken / 2));
    assert!(hurried.is_none() || hurried == matched);
    let (pattern, text) =
        (&pattern[..pattern.len().min(PATTERN_LEN_MAX)], &text[..text.len().min(TEXT_LEN_MAX)]);
    // No pattern but the empty one matches an empty text.
    let expected = if text.is_empty() { pattern.is_empty() } else { oracle(&tokens(pattern), text) };
    assert_eq!(matches(pattern, text), expected);
});

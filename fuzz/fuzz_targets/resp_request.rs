//! RESP requests: pieces with and without memory of the last ones, values on their way, inline commands rewritten.
#![no_main]

use crabcache_fuzz::{limits::LIMITS, split};
use crabcache_protocol::resp::{self, Progress, Request, inline, parse};
use crabcache_protocol::{Limits, Parsed, Usual};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for limits in LIMITS {
        let afresh = |input| parse(input, &limits, &mut Progress::default());
        split::check_stream(input, afresh, |_| 0);
        in_pieces(input, &limits, |len| len + 1);
        in_pieces(input, &limits, |len| len * 2 + 1);
        replies(input, &limits);
        let Some((request, consumed)) = split::check(input, afresh) else { continue };
        incoming(&input[..consumed], &request, &limits);
        match request {
            Request::Command(args) => {
                assert_eq!(args.iter().count(), args.len());
                assert!(input[..consumed].ends_with(args.as_bytes()));
            }
            Request::Inline(line) => rewrite(line),
            _ => {}
        }
    }
});

/// One progress for all pieces of a request ends with what one look at the whole gives.
fn in_pieces(input: &[u8], limits: &Limits, next: impl Fn(usize) -> usize) {
    let whole = parse(input, limits, &mut Progress::default());
    let mut progress = Progress::default();
    let mut len = 0;
    loop {
        let part = parse(&input[..len], limits, &mut progress);
        split::check_part(&whole, len, part);
        match part {
            Ok(Parsed::Complete { .. }) => {
                assert_eq!(progress, Progress::default(), "not at its start after a whole request");
                return;
            }
            Ok(Parsed::Incomplete { .. }) if len < input.len() => len = next(len).min(input.len()),
            _ => return,
        }
    }
}

/// Whenever a SET can be read up to its value, it is the SET that the whole is.
fn incoming(input: &[u8], whole: &Request<'_>, limits: &Limits) {
    for len in 0..input.len() {
        let Some(set) = resp::incoming_set(&input[..len], limits) else { continue };
        let (key, value) = match *whole {
            Request::Usual(Usual::Set { key, value }) => (key, value),
            Request::Command(args) if set.has_option && args.len() == 5 => {
                (args.get(1).expect("a key"), args.get(2).expect("a value"))
            }
            _ => panic!("{set:?} of {whole:?}"),
        };
        assert_eq!((set.key, set.value_len), (key, value.len()));
        assert!(input[set.value_start..].starts_with(value));
        assert_eq!(set.value_start + value.len() + 2 == input.len(), !set.has_option);
    }
}

/// What an inline command is rewritten to is one request, with the same meaning however often it is read.
fn rewrite(line: &[u8]) {
    let mut out = Vec::new();
    if inline::rewrite(line, &mut out).is_err() {
        return;
    }
    let limits =
        Limits { key_len_max: 1 << 30, value_len_max: 1 << 30, args_max: 1 << 30, line_len_max: 1 << 30 };
    match parse(&out, &limits, &mut Progress::default()) {
        Ok(Parsed::Complete { value, consumed }) => {
            assert_eq!(consumed, out.len());
            assert!(!matches!(value, Request::Inline(_)));
        }
        other => panic!("{}: {other:?}", out.escape_ascii()),
    }
}

/// The reader of replies shares the frames; it must not panic, whatever it reads.
fn replies(input: &[u8], limits: &Limits) {
    let mut progress = resp::reply::Progress::default();
    if let Ok(Parsed::Complete { value, consumed }) = resp::reply::parse(input, limits, &mut progress) {
        assert!((1..=input.len()).contains(&consumed));
        walk(&value);
    }
}

fn walk(reply: &resp::reply::Reply<'_>) {
    use resp::reply::Reply::{Array, Map, Push, Set};
    if let Array(items) | Map(items) | Set(items) | Push(items) = reply {
        assert_eq!(items.iter().count(), items.len());
        items.iter().for_each(|item| walk(&item));
    }
}

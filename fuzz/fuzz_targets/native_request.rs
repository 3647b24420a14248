//! Native requests: pieces, PUT heads, and back into bytes.
#![no_main]

use crabcache_fuzz::{limits::LIMITS, split};
use crabcache_protocol::native::request::{self, parse};
use crabcache_protocol::native::{Command, EncodeError, Request};
use crabcache_protocol::{Limits, Parsed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for limits in LIMITS {
        split::check_stream(input, |input| parse(input, &limits), skip);
        if let Some((request, consumed)) = split::check(input, |input| parse(input, &limits)) {
            put_heads(&input[..consumed], &request, &limits);
            round_trip(&request, &limits);
        }
    }
});

fn skip(request: &Request<'_>) -> u64 {
    match request.command {
        Command::Refused { skip, .. } => skip,
        Command::MultiGet { keys, .. } => {
            assert_eq!(keys.iter().count(), keys.len());
            0
        }
        Command::MultiPut { pairs, .. } => {
            assert_eq!(pairs.iter().count(), pairs.len());
            0
        }
        _ => 0,
    }
}

/// Whenever a PUT can be read up to its value, it is the PUT that the whole is.
fn put_heads(input: &[u8], whole: &Request<'_>, limits: &Limits) {
    for len in 0..=input.len() {
        let Some(head) = request::put_head(&input[..len], limits) else { continue };
        let Command::Put(put) = whole.command else { panic!("{head:?} of {whole:?}") };
        assert_eq!((head.opaque, head.quiet), (whole.opaque, whole.quiet));
        assert_eq!((head.value_len, head.value_at + head.value_len), (put.value.len(), input.len()));
        assert_eq!(head.put.value, &input[head.value_at..len]);
        assert_eq!(request::Put { value: put.value, ..head.put }, put);
    }
}

fn round_trip(request: &Request<'_>, limits: &Limits) {
    let mut bytes = Vec::new();
    match request.encode(&mut bytes) {
        Ok(()) => {
            let again = parse(&bytes, limits);
            assert_eq!(again, Ok(Parsed::Complete { value: *request, consumed: bytes.len() }));
            let mut before = Vec::new();
            assert_eq!(request.encode_before_value(&mut before), Ok(()));
            assert!(bytes.starts_with(&before));
        }
        Err(error) => {
            assert_eq!(error, EncodeError::NotARequest);
            assert!(matches!(request.command, Command::Refused { .. }), "{request:?}");
        }
    }
}

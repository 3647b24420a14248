//! memcached requests: pieces, and values on their way.
#![no_main]

use crabcache_fuzz::{limits::LIMITS, split};
use crabcache_protocol::Limits;
use crabcache_protocol::memcache::{
    Flags, KEY_LEN_MAX, Refusal, Request, Store, Verb, base64, incoming_store, parse,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for limits in LIMITS {
        split::check_stream(input, |input| parse(input, &limits), skip);
        if let Some((request, consumed)) = split::check(input, |input| parse(input, &limits)) {
            incoming(&input[..consumed], &request, &limits);
            keys(&request, &limits);
        }
    }
});

fn skip(request: &Request<'_>) -> u64 {
    if let Request::Refused(refused) = request { refused.skip } else { 0 }
}

/// Whenever a storage command can be read up to its value, it is the command that the whole is.
fn incoming(input: &[u8], whole: &Request<'_>, limits: &Limits) {
    for len in 0..input.len() {
        let Some(incoming) = incoming_store(&input[..len], limits) else { continue };
        assert_eq!(incoming.value_start + incoming.value_len + 2, input.len());
        let value = &input[incoming.value_start..][..incoming.value_len];
        assert!(value.starts_with(incoming.store.value));
        match whole {
            Request::Store(store) => assert_eq!(Store { value, ..incoming.store }, *store),
            Request::Refused(refused) => assert_eq!(refused.refusal, Refusal::BadDataChunk),
            other => panic!("{incoming:?} of {other:?}"),
        }
    }
}

fn keys(request: &Request<'_>, limits: &Limits) {
    let check = |key: &[u8]| {
        assert!((1..=limits.key_len_max.min(250)).contains(&key.len()), "{request:?}");
        assert!(key.iter().all(|&byte| byte > b' ' && byte != 0x7f), "{request:?}");
    };
    match request {
        Request::Get { keys, .. } | Request::GetAndTouch { keys, .. } => keys.iter().for_each(check),
        Request::Store(store) => {
            check(store.key);
            assert!(store.value.len() <= limits.value_len_max);
        }
        Request::Delete { key, .. }
        | Request::Increment { key, .. }
        | Request::Decrement { key, .. }
        | Request::Touch { key, .. } => check(key),
        Request::Meta(meta) => {
            if meta.verb != Verb::NoOp {
                check(meta.key);
            }
            assert!(
                meta.value.is_empty() || meta.verb == Verb::Set && meta.value.len() <= limits.value_len_max
            );
            let decoded = base64::decode(meta.key, &mut [0; KEY_LEN_MAX]).is_some();
            assert!(decoded || !meta.options.binary);
            // Flags are those of the line, wherever its text is taken from.
            assert!(meta.flags.into_iter().eq(Flags::new(meta.flags.text())), "{meta:?}");
        }
        Request::Refused(refused) => {
            if let Some(key) = refused.stale_key {
                check(key);
                assert_eq!(refused.refusal, Refusal::TooLarge);
            }
        }
        _ => {}
    }
}

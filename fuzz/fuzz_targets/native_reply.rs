//! Native replies: pieces, and every reading of their bodies.
#![no_main]

use crabcache_fuzz::split;
use crabcache_protocol::native::reply::{self, Reply, parse};
use crabcache_protocol::native::{Meta, ReplyHeader, Status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    for body_len_max in [20, 1 << 20] {
        split::check_stream(input, |input| parse(input, body_len_max), |_| 0);
        if let Some((reply, consumed)) = split::check(input, |input| parse(input, body_len_max)) {
            assert!(reply.body.len() <= body_len_max);
            read_body(&reply);
            let Reply { status, opaque, body } = reply;
            let header = ReplyHeader { status, opaque, body_len: body.len() as u32 };
            assert_eq!([&header.encode()[..], body].concat(), input[..consumed]);
        }
    }
});

fn read_body(reply: &Reply<'_>) {
    let body = reply.body;
    if let Ok(number) = reply.number() {
        assert_eq!(number.to_le_bytes(), body);
    }
    if let Ok(len) = reply.length() {
        assert_eq!(len.to_le_bytes(), body);
    }
    if let Ok(hello) = reply.hello() {
        let mut again = Vec::new();
        reply::hello(&mut again, reply.opaque, &hello);
        assert_eq!(again.len(), 8 + body.len());
    }
    if let Ok((meta, value)) = Meta::split(body) {
        assert_eq!([&meta.encode()[..], value].concat(), body);
    }
    for meta in [false, true] {
        entries(reply, meta);
        if let Ok(leased) = reply.lease(meta) {
            let mut again = Vec::new();
            let value = leased.value.map(|value| (leased.meta.as_ref(), value));
            reply::lease(&mut again, reply.opaque, Status::Won, leased.number, value);
            assert_eq!(again[8..], *body);
        }
    }
    if let Ok((cursor, keys)) = reply.scan() {
        let mut again = Vec::new();
        let writer = reply::ListWriter::begin(&mut again, reply.opaque);
        writer.cursor(&mut again, cursor);
        keys.iter().for_each(|key| writer.key(&mut again, key));
        assert_eq!(again[8..], *body);
    }
}

/// Entries that are all readable are, written again, the body.
fn entries(reply: &Reply<'_>, meta: bool) {
    let mut again = Vec::new();
    let writer = reply::ListWriter::begin(&mut again, reply.opaque);
    let (mut plain, mut failed) = (true, 0);
    for entry in reply.entries(meta) {
        assert_eq!(failed, 0, "it goes on after an error");
        let Ok(entry) = entry else {
            failed += 1;
            continue;
        };
        if entry.status == Status::Ok {
            writer.hit(&mut again, entry.meta.as_ref(), entry.value);
            assert_eq!(entry.meta.is_some(), meta);
        } else {
            plain &= entry.value.is_empty();
            writer.without(&mut again, entry.status);
        }
    }
    if plain && failed == 0 {
        writer.finish(&mut again);
        assert_eq!(again[8..], *reply.body);
    }
}

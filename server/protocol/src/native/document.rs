//! The examples of PROTOCOL.md as tests: what stands there is what the encoder writes and the parser reads.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::reply::{self, Hello, Leased, ListWriter};
use super::{
    Command, Condition, End, FEATURES, Fault, Keys, Meta, Pair, Pairs, ParseError, Put, Request, Status,
    TouchCondition, Ttl, request,
};
use crate::{Limits, Parsed};

const DOCUMENT: &str = include_str!("../../../../PROTOCOL.md");
const LIMITS: Limits = Limits { key_len_max: 250, value_len_max: 1 << 20, args_max: 100, line_len_max: 100 };

type Write<'a> = &'a dyn Fn(&mut Vec<u8>);

/// The hex blocks of this kind ("request", "reply"), by name.
fn examples(kind: &str) -> BTreeMap<&'static str, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```").and_then(|info| info.strip_prefix(kind)) else { continue };
        let bytes = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .flat_map(|line| line.split(';').next().unwrap().split_whitespace())
            .map(|hex| u8::from_str_radix(hex, 16).unwrap())
            .collect();
        assert!(found.insert(name.trim(), bytes).is_none(), "{name} comes twice");
    }
    found
}

fn requests() -> Vec<(&'static str, Request<'static>)> {
    const NOW: bool = false;
    const QUIET: bool = true;
    let put = Put { key: b"hello", value: b"world", ..Put::default() };
    let everything =
        Put { key: b"k", value: b"v", flags: 5, ttl: Ttl::After(10_000), condition: Condition::Version(7) };
    let absent = Put { key: b"k", value: b"v", flags: 0, ttl: Ttl::Keep, condition: Condition::Absent };
    let keys: &[&[u8]] = &[b"a", b"bb"];
    let pairs: &[Pair<'_>] = &[(b"a", b"one"), (b"bb", b"")];
    let fulfilled = Put { key: b"k", value: b"v", condition: Condition::Version(41), ..Put::default() };
    let touch = Command::Touch { key: b"k", ttl: Ttl::After(60_000), condition: TouchCondition::Later };
    [
        ("hello", 1, NOW, Command::Hello { version_min: 1, version_max: 1, client: b"cli/1" }),
        ("ping", 2, NOW, Command::Ping { payload: b"hi" }),
        ("get", 42, NOW, Command::Get { key: b"hello", meta: false }),
        ("get-meta-quiet", 3, QUIET, Command::Get { key: b"k", meta: true }),
        ("put", 4, NOW, Command::Put(put)),
        ("put-everything", 5, QUIET, Command::Put(everything)),
        ("put-absent-keep", 6, NOW, Command::Put(absent)),
        ("del", 7, NOW, Command::Delete { key: b"k", version: None }),
        ("del-version", 8, NOW, Command::Delete { key: b"k", version: Some(7) }),
        ("touch", 9, NOW, touch),
        ("incr", 10, NOW, Command::Increment { key: b"n", delta: -1, initial: Some(100), ttl: Ttl::Keep }),
        ("append", 11, NOW, Command::Concat { key: b"k", bytes: b"!!", end: End::Back, create: true }),
        (
            "prepend-present",
            12,
            NOW,
            Command::Concat { key: b"k", bytes: b">", end: End::Front, create: false },
        ),
        ("mget", 13, NOW, Command::MultiGet { keys: Keys::from_slice(keys), meta: false }),
        ("mput", 19, NOW, Command::MultiPut { pairs: Pairs::from_slice(pairs), ttl: Ttl::After(10_000) }),
        ("lease", 20, NOW, Command::Lease { key: b"k", lease_ms: 2000, early_ms: 0, meta: false }),
        ("lease-fulfilled", 21, NOW, Command::Put(fulfilled)),
        ("lease-early", 22, NOW, Command::Lease { key: b"k", lease_ms: 2000, early_ms: 100, meta: true }),
        ("stale", 23, NOW, Command::Stale { key: b"k", ttl: Ttl::After(60_000), version: None }),
        ("scan", 24, NOW, Command::Scan { prefix: b"a:", cursor: 0, count: 100 }),
        ("stats", 14, NOW, Command::Stats),
        ("flush", 15, NOW, Command::Flush),
        ("sample", 25, NOW, Command::Sample),
    ]
    .into_iter()
    .map(|(name, opaque, quiet, command)| (name, Request { opaque, quiet, command }))
    .collect()
}

#[test]
fn document_requests_encode_and_parse() {
    let mut examples = examples("request ");
    for (name, request) in requests() {
        let bytes = examples.remove(name).unwrap_or_else(|| panic!("{name} is not in PROTOCOL.md"));
        let mut out = Vec::new();
        request.encode(&mut out).unwrap();
        assert_eq!(out, bytes, "{name}");
        let parsed = request::parse(&bytes, &LIMITS);
        assert_eq!(parsed, Ok(Parsed::Complete { value: request, consumed: bytes.len() }), "{name}");
    }

    let command = Command::Refused { status: Status::UnknownOperation, skip: 3 };
    let refused = Request { opaque: 16, quiet: false, command };
    let unknown = examples.remove("unknown").unwrap();
    assert_eq!(unknown.len(), 12 + 3);
    assert_eq!(request::parse(&unknown, &LIMITS), Ok(Parsed::Complete { value: refused, consumed: 12 }));

    let malformed = ParseError::Malformed { opaque: 17, fault: Fault::ReservedFlag };
    assert_eq!(request::parse(&examples.remove("bad-flag").unwrap(), &LIMITS), Err(malformed));
    let magic = ParseError::Magic { found: 0xC3 };
    assert_eq!(request::parse(&examples.remove("bad-magic").unwrap(), &LIMITS), Err(magic));
    assert!(examples.is_empty(), "untested: {:?}", examples.keys());
}

#[test]
fn document_replies_encode_and_parse() {
    let meta = Meta { version: 7, flags: 5, ttl_ms: None };
    let hello = Hello {
        version: 1,
        key_len_max: 250,
        value_len_max: 1 << 20,
        features: FEATURES,
        server: b"crabcache/1",
    };
    let mget = |out: &mut Vec<u8>| {
        let writer = ListWriter::begin(out, 13);
        writer.hit(out, None, b"one");
        writer.without(out, Status::Miss);
        assert_eq!(writer.body_len(out), 13);
        writer.finish(out);
    };
    let bad_flag = ParseError::Malformed { opaque: 17, fault: Fault::ReservedFlag };
    let bad_magic = ParseError::Magic { found: 0xC3 };
    let refuse = |out: &mut Vec<u8>, error: ParseError| {
        reply::refusal(out, error.opaque(), error.status(), &error.to_string());
    };
    let mput = |out: &mut Vec<u8>| {
        let writer = ListWriter::begin(out, 19);
        writer.status(out, Status::Ok);
        writer.status(out, Status::Ok);
        writer.finish(out);
    };
    let scan = |out: &mut Vec<u8>| {
        let writer = ListWriter::begin(out, 24);
        writer.cursor(out, 0);
        writer.key(out, b"a:1");
        writer.cursor(out, 5);
        writer.finish(out);
    };
    let sample = |out: &mut Vec<u8>| {
        let writer = ListWriter::begin(out, 25);
        writer.key(out, b"a");
        writer.key(out, b"bb");
        writer.key(out, b"a");
        writer.finish(out);
    };
    let cases: [(&str, Status, u16, Write<'_>); 20] = [
        ("hello", Status::Ok, 1, &|out| reply::hello(out, 1, &hello)),
        ("ping", Status::Ok, 2, &|out| reply::value(out, 2, b"hi")),
        ("get-hit", Status::Ok, 42, &|out| reply::value(out, 42, b"world")),
        ("get-miss", Status::Miss, 42, &|out| reply::status(out, 42, Status::Miss)),
        ("get-meta", Status::Ok, 3, &|out| reply::value_with_meta(out, 3, &meta, b"v")),
        ("put", Status::Ok, 4, &|out| reply::status(out, 4, Status::Ok)),
        ("not-stored", Status::NotStored, 5, &|out| reply::status(out, 5, Status::NotStored)),
        ("too-large", Status::TooLarge, 6, &|out| reply::status(out, 6, Status::TooLarge)),
        ("incr", Status::Ok, 10, &|out| reply::number(out, 10, 99)),
        ("append", Status::Ok, 11, &|out| reply::length(out, 11, 3)),
        ("mget", Status::Ok, 13, &mget),
        ("mput", Status::Ok, 19, &mput),
        ("lease-won", Status::Won, 20, &|out| reply::lease(out, 20, Status::Won, 41, None)),
        ("lease-wait", Status::Wait, 22, &|out| {
            reply::lease(out, 22, Status::Wait, 1500, Some((Some(&meta), b"v")));
        }),
        ("scan", Status::Ok, 24, &scan),
        ("sample", Status::Ok, 25, &sample),
        ("stats", Status::Ok, 14, &|out| reply::value(out, 14, b"items=3\n")),
        ("unknown", Status::UnknownOperation, 16, &|out| reply::status(out, 16, Status::UnknownOperation)),
        ("bad-flag", bad_flag.status(), 17, &|out| refuse(out, bad_flag)),
        ("bad-magic", bad_magic.status(), 0, &|out| refuse(out, bad_magic)),
    ];
    let mut examples = examples("reply ");
    for (name, status, opaque, write) in cases {
        let bytes = examples.remove(name).unwrap_or_else(|| panic!("{name} is not in PROTOCOL.md"));
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(out, bytes, "{name}");
        let Ok(Parsed::Complete { value: reply, consumed }) = reply::parse(&bytes, 100) else {
            panic!("{name}")
        };
        assert_eq!((reply.status, reply.opaque, consumed), (status, opaque, bytes.len()), "{name}");
        match name {
            "hello" => assert_eq!(reply.hello(), Ok(hello)),
            "get-meta" => assert_eq!(Meta::split(reply.body), Ok((meta, &b"v"[..]))),
            "incr" => assert_eq!(reply.number(), Ok(99)),
            "append" => assert_eq!(reply.length(), Ok(3)),
            "mget" => {
                let entries: Vec<_> = reply.entries(false).map(|entry| entry.unwrap()).collect();
                assert_eq!((entries[0].status, entries[0].value), (Status::Ok, &b"one"[..]));
                assert_eq!((entries[1].status, entries[1].value), (Status::Miss, &b""[..]));
                assert_eq!(entries.len(), 2);
            }
            "mput" => assert!(reply.statuses().eq([Ok(Status::Ok), Ok(Status::Ok)])),
            "lease-won" => {
                assert_eq!(reply.lease(false), Ok(Leased { number: 41, meta: None, value: None }));
            }
            "lease-wait" => {
                let leased = Leased { number: 1500, meta: Some(meta), value: Some(b"v") };
                assert_eq!(reply.lease(true), Ok(leased));
            }
            "sample" => assert!(reply.sample().unwrap().iter().eq([&b"a"[..], b"bb", b"a"])),
            "scan" => {
                let (cursor, keys) = reply.scan().unwrap();
                assert!(cursor == 5 && keys.iter().eq([b"a:1"]));
            }
            _ => {}
        }
    }
    assert!(examples.is_empty(), "untested: {:?}", examples.keys());
}

/// The tables of opcodes and statuses are the code's.
#[test]
fn document_tables_are_complete() {
    for (number, line) in DOCUMENT.lines().filter_map(|line| {
        let hex = line.strip_prefix("| 0x")?.get(..2)?;
        Some((u8::from_str_radix(hex, 16).ok()?, line))
    }) {
        if let Some(status) =
            Status::from_byte(number).filter(|_| line.ends_with("stays |") || line.ends_with("closes |"))
        {
            assert!(line.contains(&alloc::format!("{status:?}")), "{line}");
            assert_eq!(status.closes(), line.ends_with("closes |"), "{line}");
        } else {
            let reserved = line.contains("reserved");
            assert_eq!(super::Opcode::from_byte(number).is_none(), reserved, "{line}");
        }
    }
}

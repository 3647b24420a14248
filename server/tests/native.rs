//! The native protocol does what PROTOCOL.md says.

mod support;

use std::io::Read;

use crabcache_protocol::Parsed;
use crabcache_protocol::native::{
    Command, Condition, End, Keys, Pairs, Put, Request, Status, TouchCondition, Ttl, reply, request,
};
use support::{Client, Started, start};

/// A client that keeps what it has read.
struct Native {
    client: Client,
    buffer: Vec<u8>,
    opaque: u16,
}

impl Native {
    fn new(server: &Started) -> Self {
        Self { client: Client::new(server), buffer: Vec::new(), opaque: 0 }
    }

    fn send(&mut self, quiet: bool, command: Command<'_>) {
        self.opaque += 1;
        let mut bytes = Vec::new();
        Request { opaque: self.opaque, quiet, command }.encode(&mut bytes).unwrap();
        self.client.send(bytes);
    }

    /// The next reply: its status, number and body.
    fn reply(&mut self) -> (Status, u16, Vec<u8>) {
        loop {
            if let Parsed::Complete { value, consumed } = reply::parse(&self.buffer, 1 << 26).unwrap() {
                let answer = (value.status, value.opaque, value.body.to_vec());
                self.buffer.drain(..consumed);
                return answer;
            }
            let mut more = [0; 4096];
            let len = self.client.0.read(&mut more).expect("an answer");
            assert_ne!(len, 0, "closed");
            self.buffer.extend_from_slice(&more[..len]);
        }
    }

    fn ask(&mut self, command: Command<'_>) -> (Status, Vec<u8>) {
        self.send(false, command);
        let (status, opaque, body) = self.reply();
        assert_eq!(opaque, self.opaque);
        (status, body)
    }
}

fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Command<'a> {
    Command::Put(Put { key, value, ..Put::default() })
}

fn get(key: &[u8]) -> Command<'_> {
    Command::Get { key, meta: false }
}

#[test]
fn every_command() {
    let server = start();
    let mut client = Native::new(&server);
    let (status, body) = client.ask(Command::Hello { version_min: 1, version_max: 3, client: b"test" });
    let hello = reply::Reply { status, opaque: 0, body: &body };
    let hello = hello.hello().unwrap();
    assert_eq!((status, hello.version, hello.key_len_max), (Status::Ok, 1, 65_535));
    assert!(hello.server.starts_with(b"crabcache"));
    assert_eq!(client.ask(Command::Ping { payload: b"x" }), (Status::Ok, b"x".to_vec()));
    assert_eq!(client.ask(get(b"a")), (Status::Miss, vec![]));
    let conditional = |condition| Command::Put(Put { key: b"a", value: b"two", condition, ..Put::default() });
    assert_eq!(client.ask(conditional(Condition::Present)).0, Status::Miss);
    assert_eq!(client.ask(conditional(Condition::Version(1))).0, Status::Miss);
    assert_eq!(client.ask(put(b"a", b"one")), (Status::Ok, vec![]));
    assert_eq!(client.ask(get(b"a")), (Status::Ok, b"one".to_vec()));
    assert_eq!(client.ask(conditional(Condition::Absent)).0, Status::NotStored);
    assert_eq!(client.ask(conditional(Condition::Present)).0, Status::Ok);
    let concat = |end| Command::Concat { key: b"a", bytes: b"!", end, create: false };
    assert_eq!(client.ask(concat(End::Back)), (Status::Ok, 4_u64.to_le_bytes().to_vec()));
    assert_eq!(client.ask(concat(End::Front)), (Status::Ok, 5_u64.to_le_bytes().to_vec()));
    assert_eq!(client.ask(get(b"a")).1, b"!two!");
    assert_eq!(client.ask(Command::Delete { key: b"a", version: None }).0, Status::Ok);
    assert_eq!(client.ask(Command::Delete { key: b"a", version: None }).0, Status::Miss);
    assert_eq!(client.ask(concat(End::Back)).0, Status::Miss);
    let count = |delta, initial| Command::Increment { key: b"n", delta, initial, ttl: Ttl::Keep };
    assert_eq!(client.ask(count(1, None)).0, Status::Miss);
    assert_eq!(client.ask(count(1, Some(10))), (Status::Ok, 10_i64.to_le_bytes().to_vec()));
    assert_eq!(client.ask(count(-11, None)), (Status::Ok, (-1_i64).to_le_bytes().to_vec()));
    assert_eq!(client.ask(put(b"n", b"x")).0, Status::Ok);
    assert_eq!(client.ask(count(1, None)).0, Status::NotANumber);
    assert_eq!(client.ask(put(b"n", i64::MAX.to_string().as_bytes())).0, Status::Ok);
    assert_eq!(client.ask(count(1, None)).0, Status::Overflow);
    let (status, body) = client.ask(Command::Stats);
    assert_eq!(status, Status::Ok);
    assert!(String::from_utf8(body).unwrap().lines().any(|line| line == "items=1"));
    assert_eq!(client.ask(Command::Flush).0, Status::Ok);
    assert_eq!(client.ask(get(b"n")).0, Status::Miss);
}

#[test]
fn statistics_tell_latencies_once_a_turn_was_timed() {
    let server = start();
    let mut client = Native::new(&server);
    let mut latency = |name: &str| {
        let (_, body) = client.ask(Command::Stats);
        let text = String::from_utf8(body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).map(|n| n.parse::<u64>().unwrap());
        assert_eq!(client.ask(get(b"n")).0, Status::Miss);
        line
    };
    // Each request is a turn; at least one of 64 is timed.
    let p50 = (0..200).find_map(|_| latency("latency_p50_ns=")).unwrap();
    let (p99, p999) = (latency("latency_p99_ns=").unwrap(), latency("latency_p99.9_ns=").unwrap());
    assert!(p50 > 0 && p99 >= p50 && p999 >= p99, "{p50} {p99} {p999}");
}

#[test]
fn versions_flags_and_expiry() {
    let server = start();
    let mut client = Native::new(&server);
    let command =
        Command::Put(Put { key: b"a", value: b"v", flags: 7, ttl: Ttl::After(60_000), ..Put::default() });
    assert_eq!(client.ask(command).0, Status::Ok);
    let (status, body) = client.ask(Command::Get { key: b"a", meta: true });
    let (meta, value) = crabcache_protocol::native::Meta::split(&body).unwrap();
    assert_eq!((status, value, meta.flags), (Status::Ok, b"v".as_slice(), 7));
    assert!((50_000..=60_000).contains(&meta.ttl_ms.unwrap()));
    let swap = |version| {
        let condition = Condition::Version(version);
        Command::Put(Put { key: b"a", value: b"w", condition, ..Put::default() })
    };
    assert_eq!(client.ask(swap(meta.version)).0, Status::Ok);
    assert_eq!(client.ask(swap(meta.version)).0, Status::NotStored);
    assert_eq!(client.ask(Command::Delete { key: b"a", version: Some(meta.version) }).0, Status::NotStored);
    let touch = |ttl, condition| Command::Touch { key: b"a", ttl, condition };
    assert_eq!(client.ask(touch(Ttl::After(1000), TouchCondition::Expiring)).0, Status::NotStored);
    assert_eq!(client.ask(touch(Ttl::After(0), TouchCondition::Permanent)).0, Status::Ok);
    assert_eq!(client.ask(touch(Ttl::Never, TouchCondition::Always)).0, Status::Miss);
}

#[test]
fn several_keys_and_quiet_requests() {
    let server = start();
    let mut client = Native::new(&server);
    let keys: Vec<String> = (0..100).map(|i| format!("key{i}")).collect();
    for key in keys.iter().step_by(2) {
        client.send(true, put(key.as_bytes(), key.as_bytes()));
    }
    let slices: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let (status, body) = client.ask(Command::MultiGet { keys: Keys::from_slice(&slices), meta: false });
    assert_eq!(status, Status::Ok);
    let parsed = reply::Reply { status, opaque: 0, body: &body };
    let entries: Vec<_> = parsed.entries(false).map(Result::unwrap).collect();
    assert_eq!(entries.len(), 100);
    for (at, entry) in entries.iter().enumerate() {
        if at % 2 == 0 {
            assert_eq!((entry.status, entry.value), (Status::Ok, keys[at].as_bytes()));
        } else {
            assert_eq!(entry.status, Status::Miss);
        }
    }
    client.send(true, get(b"none"));
    client.send(true, get(b"key0"));
    let (status, opaque, body) = client.reply();
    assert_eq!((status, opaque, body.as_slice()), (Status::Ok, client.opaque, b"key0".as_slice()));
}

#[test]
fn what_is_not_taken_is_refused_and_skipped() {
    let server = start();
    let mut client = Native::new(&server);
    let large = vec![0; 20 << 20];
    assert_eq!(client.ask(put(b"large", &large)).0, Status::TooLarge);
    assert_eq!(client.ask(put(b"small", b"1")).0, Status::Ok);
    assert_eq!(client.ask(get(b"large")).0, Status::Miss);
    // Keys that begin so are kept with two bytes more.
    let key = vec![0xFF; 65_535];
    assert_eq!(client.ask(put(&key, b"1")).0, Status::KeyTooLong);
    let lease = |key| Command::Lease { key, lease_ms: 1000, early_ms: 0, meta: false };
    assert_eq!(client.ask(lease(&key)), (Status::KeyTooLong, vec![]));
    assert_eq!(client.ask(lease(&key[2..])).0, Status::Won);
    let pairs: &[(&[u8], &[u8])] = &[(&key, b"1"), (b"small", b"2")];
    let (status, body) = client.ask(Command::MultiPut { pairs: Pairs::from_slice(pairs), ttl: Ttl::Never });
    assert_eq!((status, body), (Status::Ok, vec![Status::KeyTooLong as u8, Status::Ok as u8]));
    assert_eq!(client.ask(put(b"small", b"1")).0, Status::Ok);
    // An unknown operation, with a key that is left out.
    client.client.send([0xC1, 0x7F, 0, 0, 3, 0, 9, 0, 0, 0, 0, 0, b'k', b'e', b'y']);
    let (status, opaque, _) = client.reply();
    assert_eq!((status, opaque), (Status::UnknownOperation, 9));
    assert_eq!(client.ask(get(b"small")).1, b"1");
    // A strange first byte ends it.
    client.client.send([0x80; 12]);
    let (status, opaque, text) = client.reply();
    assert_eq!((status, opaque), (Status::UnsupportedVersion, 0));
    assert_eq!(text, b"0x80 does not begin a message of version 1");
    assert!(client.client.rest().is_empty());
}

#[test]
fn a_version_that_nobody_speaks_closes() {
    let server = start();
    let mut client = Native::new(&server);
    let (status, _) = client.ask(Command::Hello { version_min: 2, version_max: 3, client: b"" });
    assert_eq!(status, Status::UnsupportedVersion);
    assert!(client.client.rest().is_empty());
}

#[test]
fn requests_may_come_byte_by_byte() {
    let server = start();
    let mut client = Native::new(&server);
    let mut bytes = Vec::new();
    Request { opaque: 1, quiet: false, command: put(b"key", b"value") }.encode(&mut bytes).unwrap();
    Request { opaque: 2, quiet: false, command: get(b"key") }.encode(&mut bytes).unwrap();
    assert!(matches!(
        request::parse(
            &bytes,
            &crabcache_protocol::Limits {
                key_len_max: 100,
                value_len_max: 100,
                args_max: 10,
                line_len_max: 10
            }
        ),
        Ok(Parsed::Complete { .. })
    ));
    for byte in bytes {
        client.client.send([byte]);
    }
    assert_eq!(client.reply(), (Status::Ok, 1, vec![]));
    assert_eq!(client.reply(), (Status::Ok, 2, b"value".to_vec()));
}

fn lease(key: &[u8], lease_ms: u64) -> Command<'_> {
    Command::Lease { key, lease_ms, early_ms: 0, meta: false }
}

/// The number and the old value of an answer to LEASE.
fn leased(body: &[u8]) -> (u64, Option<Vec<u8>>) {
    let reply = reply::Reply { status: Status::Won, opaque: 0, body };
    let leased = reply.lease(false).expect("a lease");
    (leased.number, leased.value.map(<[u8]>::to_vec))
}

fn fulfil(key: &'static [u8], value: &'static [u8], token: u64) -> Command<'static> {
    Command::Put(Put { key, value, condition: Condition::Version(token), ..Put::default() })
}

#[test]
fn one_of_those_who_miss_is_to_store() {
    let server = start();
    let (mut winner, mut other) = (Native::new(&server), Native::new(&server));
    let (status, body) = winner.ask(lease(b"k", 60_000));
    let (token, old) = leased(&body);
    assert_eq!((status, old), (Status::Won, None));
    let (status, body) = other.ask(lease(b"k", 60_000));
    let (left, old) = leased(&body);
    assert_eq!((status, old), (Status::Wait, None));
    assert!((50_000..=60_000).contains(&left), "{left}");
    assert_eq!(other.ask(get(b"k")).0, Status::Miss);
    assert_eq!(other.ask(fulfil(b"k", b"x", token + 1)).0, Status::Miss);
    assert_eq!(winner.ask(fulfil(b"k", b"v", token)).0, Status::Ok);
    assert_eq!(other.ask(lease(b"k", 60_000)), (Status::Ok, b"v".to_vec()));
}

#[test]
fn a_lease_that_ends_or_is_removed_is_won_by_the_next() {
    let server = start();
    let mut client = Native::new(&server);
    let (_, body) = client.ask(lease(b"k", 50));
    let first = leased(&body).0;
    std::thread::sleep(std::time::Duration::from_millis(80));
    let (status, body) = client.ask(lease(b"k", 60_000));
    assert_eq!(status, Status::Won);
    let second = leased(&body).0;
    assert_eq!(client.ask(fulfil(b"k", b"late", first)).0, Status::Miss);
    assert_eq!(client.ask(Command::Delete { key: b"k", version: None }).0, Status::Miss);
    assert_eq!(client.ask(fulfil(b"k", b"old", second)).0, Status::Miss);
    assert_eq!(client.ask(lease(b"k", 60_000)).0, Status::Won);
}

#[test]
fn a_stale_value_serves_while_one_stores() {
    let server = start();
    let mut client = Native::new(&server);
    let stale = || Command::Stale { key: b"k", ttl: Ttl::Keep, version: None };
    assert_eq!(client.ask(stale()).0, Status::Miss);
    assert_eq!(client.ask(put(b"k", b"old")).0, Status::Ok);
    assert_eq!(client.ask(stale()).0, Status::Ok);
    assert_eq!(client.ask(get(b"k")), (Status::Ok, b"old".to_vec()));
    let (status, body) = client.ask(lease(b"k", 60_000));
    let (token, old) = leased(&body);
    assert_eq!((status, old.as_deref()), (Status::Won, Some(&b"old"[..])));
    let (status, body) = client.ask(lease(b"k", 60_000));
    assert_eq!((status, leased(&body).1.as_deref()), (Status::Wait, Some(&b"old"[..])));
    // What was computed before it was stale again is not stored.
    assert_eq!(client.ask(stale()).0, Status::Ok);
    assert_eq!(client.ask(fulfil(b"k", b"new", token)).0, Status::NotStored);
    let (status, body) = client.ask(lease(b"k", 60_000));
    assert_eq!(status, Status::Won);
    assert_eq!(client.ask(fulfil(b"k", b"new", leased(&body).0)).0, Status::Ok);
    assert_eq!(client.ask(lease(b"k", 60_000)), (Status::Ok, b"new".to_vec()));
}

#[test]
fn one_stores_anew_what_expires_soon() {
    let server = start();
    let mut client = Native::new(&server);
    let soon = Command::Put(Put { key: b"k", value: b"v", ttl: Ttl::After(60_000), ..Put::default() });
    assert_eq!(client.ask(soon).0, Status::Ok);
    let early = |early_ms| Command::Lease { key: b"k", lease_ms: 60_000, early_ms, meta: false };
    assert_eq!(client.ask(early(1000)), (Status::Ok, b"v".to_vec()));
    let (status, body) = client.ask(early(90_000));
    assert_eq!((status, leased(&body).1.as_deref()), (Status::Won, Some(&b"v"[..])));
    // To the others it is a value as any.
    assert_eq!(client.ask(early(90_000)), (Status::Ok, b"v".to_vec()));
}

#[test]
fn samples_have_the_keys_of_requests_of_every_protocol() {
    let server = start();
    let mut client = Native::new(&server);
    let mut sample = || {
        let (status, body) = client.ask(Command::Sample);
        assert_eq!(status, Status::Ok);
        let keys = reply::Reply { status, opaque: 0, body: &body }.sample().expect("keys");
        keys.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    assert!(sample().is_empty(), "nobody had asked");
    // A worker hears of it a moment later.
    let mut other = Client::new(&server);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        other.check("SET set 1\r\nSELECT 1\r\nGET other\r\n", "+OK\r\n+OK\r\n$-1\r\n");
        other.check("SELECT 0\r\nSTRLEN len\r\n", "+OK\r\n:0\r\n");
        seen.extend(sample());
    }
    assert!(seen.iter().eq([&b"len"[..], b"other", b"set"]), "{seen:?}");
}

#[test]
fn several_at_once_and_a_walk_by_prefix() {
    let server = start();
    let mut client = Native::new(&server);
    let keys: Vec<String> =
        (0..500).map(|i| format!("{}:{i}", if i % 2 == 0 { "even" } else { "odd" })).collect();
    let pairs: Vec<(&[u8], &[u8])> = keys.iter().map(|key| (key.as_bytes(), key.as_bytes())).collect();
    let (status, body) =
        client.ask(Command::MultiPut { pairs: Pairs::from_slice(&pairs), ttl: Ttl::After(60_000) });
    assert_eq!((status, body), (Status::Ok, vec![Status::Ok as u8; 500]));
    let large = vec![b'x'; 8 << 20];
    let pair: [(&[u8], &[u8]); 1] = [(b"large", &large)];
    let too_large = Command::MultiPut { pairs: Pairs::from_slice(&pair), ttl: Ttl::Never };
    assert_eq!(client.ask(too_large).0, Status::TooLarge);
    assert_eq!(client.ask(get(b"odd:7")), (Status::Ok, b"odd:7".to_vec()));
    let empty = Command::MultiPut { pairs: Pairs::from_slice(&[]), ttl: Ttl::Never };
    assert_eq!(client.ask(empty), (Status::Ok, vec![]));
    let (mut cursor, mut found) = (0, std::collections::BTreeSet::new());
    loop {
        let (status, body) = client.ask(Command::Scan { prefix: b"even:", cursor, count: 50 });
        assert_eq!(status, Status::Ok);
        let (next, keys) = reply::Reply { status, opaque: 0, body: &body }.scan().expect("keys");
        found.extend(keys.iter().map(<[u8]>::to_vec));
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let expected = keys.iter().filter(|key| key.starts_with("even")).map(|key| key.clone().into_bytes());
    assert_eq!(found, expected.collect());
}

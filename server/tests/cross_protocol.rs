//! The same keys through every protocol, on one port.

mod support;

use crabcache_protocol::native::{Command, Put, Request};
use support::{Client, start};

fn native(command: Command<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Request { opaque: 1, quiet: false, command }.encode(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_one_stores_the_others_read() {
    let server = start();
    let (mut redis, mut memcached, mut crab) =
        (Client::new(&server), Client::new(&server), Client::new(&server));
    redis.resp("SET a from-redis", "+OK\r\n");
    memcached.check("get a\r\n", "VALUE a 0 10\r\nfrom-redis\r\nEND\r\n");
    crab.check(
        native(Command::Get { key: b"a", meta: false }),
        b"\xC2\x00\x01\x00\x0A\x00\x00\x00from-redis",
    );

    memcached.check("set b 42 0 4\r\n1234\r\n", "STORED\r\n");
    redis.resp("INCR b", ":1235\r\n");
    memcached.check("incr b 5\r\nget b\r\n", "1240\r\nVALUE b 42 4\r\n1240\r\nEND\r\n");

    crab.check(
        native(Command::Put(Put {
            key: b"c",
            value: b"x",
            ttl: crabcache_protocol::native::Ttl::After(100_000),
            ..Put::default()
        })),
        b"\xC2\x00\x01\x00\x00\x00\x00\x00",
    );
    redis.resp("TTL c", ":100\r\n");
    redis.resp("APPEND c y", ":2\r\n");
    memcached.check("get c\r\n", "VALUE c 0 2\r\nxy\r\nEND\r\n");
    memcached.check("delete c\r\n", "DELETED\r\n");
    redis.resp("GET c", "$-1\r\n");
    redis.resp("FLUSHALL", "+OK\r\n");
    memcached.check("get a b\r\n", "END\r\n");
}

#[test]
fn every_worker_serves_every_key() {
    let server = start();
    let mut clients: Vec<Client> = (0..8).map(|_| Client::new(&server)).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.resp(&format!("SET key{i} value{i}"), "+OK\r\n");
    }
    for client in &mut clients {
        for i in 0..8 {
            client.resp(&format!("GET key{i}"), &format!("$6\r\nvalue{i}\r\n"));
        }
    }
}

/// A key under a lease that has no value yet is absent to everybody else, and what they do to it ends the lease.
#[test]
fn leases_are_seen_by_those_who_ask_for_them() {
    let server = start();
    let (mut redis, mut memcached) = (Client::new(&server), Client::new(&server));
    for (act, answer) in [("DEL k", ":0\r\n"), ("SET k mine", "+OK\r\n"), ("GETSET k mine", "$-1\r\n")] {
        memcached.send("mg k N60 c\r\n");
        let line = memcached.line();
        let cas = line.strip_prefix("HD c").and_then(|rest| rest.strip_suffix(" W")).expect("it wins");
        redis.resp("GET k", "$-1\r\n");
        redis.resp("EXISTS k", ":0\r\n");
        redis.resp("KEYS *", "*0\r\n");
        redis.resp(act, answer);
        memcached.send(format!("ms k 3 C{cas}\r\nold\r\n"));
        assert_ne!(memcached.line(), "HD", "{act}");
        redis.resp("FLUSHALL", "+OK\r\n");
    }
    // A lease changes nothing that WATCH is about; a new expiry does.
    redis.resp("SET k v", "+OK\r\n");
    redis.resp("WATCH k", "+OK\r\n");
    memcached.check("mg k v R30\r\n", "VA 1\r\nv\r\n");
    redis.check("MULTI\r\nGET k\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n$1\r\nv\r\n");
    redis.resp("WATCH k", "+OK\r\n");
    memcached.check("mg k T60\r\n", "HD\r\n");
    redis.check("MULTI\r\nGET k\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
}

/// memcached's leases on stale values have no end, which the native protocol has a word for.
#[test]
fn a_lease_without_an_end_is_told_as_that() {
    let server = start();
    let (mut memcached, mut crab) = (Client::new(&server), Client::new(&server));
    memcached.check("ms k 1\r\nv\r\nmd k I T60\r\nmg k v\r\n", "HD\r\nHD\r\nVA 1 X W\r\nv\r\n");
    crab.check(
        native(Command::Lease { key: b"k", lease_ms: 1000, early_ms: 0, meta: false }),
        [&b"\xC2\x04\x01\x00\x0A\x00\x00\x00"[..], &[0xFF; 8], b"\x01v"].concat(),
    );
}

//! DUMP and RESTORE beside other clients and protocols. What they answer is in `redis/dump.txt`, as a Redis answers.

mod support;

use crabcache_protocol::rdb::{crc64, dump};
use support::{Client, resp, start};

/// What DUMP answers.
fn dumped(value: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    dump(&mut payload, value);
    payload
}

/// A payload with a footer that is right.
fn sealed(string: &[u8]) -> Vec<u8> {
    let mut payload = [string, &[10, 0]].concat();
    let sum = crc64(&payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    payload
}

#[test]
fn a_value_goes_to_another_server_and_back() {
    let (one, other) = (start(), start());
    let (mut here, mut there) = (Client::new(&one), Client::new(&other));
    let lens = [0, 63, 64, 0x3FFF, 0x4000, 256 << 10, 1_000_000];
    for value in lens.map(|len| (0..len).map(|at: usize| (at * at / 7) as u8).collect::<Vec<u8>>()) {
        here.check(resp(&[b"SET", b"k", &value]), "+OK\r\n");
        here.send(resp(&[b"DUMP", b"k"]));
        let payload = here.bulk();
        assert_eq!(payload, dumped(&value));
        there.check(resp(&[b"RESTORE", b"k", b"0", &payload, b"REPLACE"]), "+OK\r\n");
        there.send(resp(&[b"GET", b"k"]));
        assert_eq!(there.bulk(), value);
        let broken = [&payload[..payload.len() - 1], &[payload[payload.len() - 1] ^ 1]].concat();
        there.check(
            resp(&[b"RESTORE", b"broken", b"0", &broken]),
            "-ERR DUMP payload version or checksum are wrong\r\n",
        );
    }
}

#[test]
fn what_would_unpack_to_more_than_an_item_is_refused_before() {
    let server = start();
    let mut client = Client::new(&server);
    // 16 MiB of one byte, in 190 KiB.
    let copies = (16 << 20) / 264;
    let packed = [&b"\x00a"[..], &b"\xE0\xFF\x00".repeat(copies)].concat();
    let head = |len: usize| {
        let (before, len) = ((packed.len() as u32).to_be_bytes(), (len as u32).to_be_bytes());
        [b"\x00\xC3\x80", &before[..], b"\x80", &len[..]].concat()
    };
    let bomb = sealed(&[head(1 + copies * 264), packed.clone()].concat());
    client.send(resp(&[b"RESTORE", b"k", b"0", &bomb]));
    let answer = client.line();
    assert!(answer.starts_with("-ERR item is too large"), "{answer}");
    // It says that it is small, and is not.
    let liar = sealed(&[head(1000), packed.clone()].concat());
    client.check(resp(&[b"RESTORE", b"k", b"0", &liar]), "-ERR Bad data format\r\n");
    client.resp("EXISTS k", ":0\r\n");
}

#[test]
fn restoring_is_a_write_to_whoever_watches_or_uses_another_database_or_protocol() {
    let server = start();
    let (mut client, mut other, mut memcached) =
        (Client::new(&server), Client::new(&server), Client::new(&server));
    let payload = dumped(b"new");
    memcached.check("set k 7 0 3\r\nold\r\n", "STORED\r\n");
    client.resp("WATCH k", "+OK\r\n");
    other.check(resp(&[b"RESTORE", b"k", b"0", &payload, b"REPLACE"]), "+OK\r\n");
    client.resp("MULTI", "+OK\r\n");
    client.resp("PING", "+QUEUED\r\n");
    client.resp("EXEC", "*-1\r\n");
    memcached.check("get k\r\n", "VALUE k 0 3\r\nnew\r\nEND\r\n");

    // One that has expired when it comes takes the key away.
    client.resp("WATCH k", "+OK\r\n");
    other.check(resp(&[b"RESTORE", b"k", b"1", &payload, b"REPLACE", b"ABSTTL"]), "+OK\r\n");
    client.resp("MULTI", "+OK\r\n");
    client.check(resp(&[b"RESTORE", b"k", b"0", &payload]), "+QUEUED\r\n");
    client.resp("EXEC", "*-1\r\n");
    client.resp("EXISTS k", ":0\r\n");

    client.resp("SELECT 3", "+OK\r\n");
    client.resp("DUMP k", "$-1\r\n");
    client.resp("MULTI", "+OK\r\n");
    client.check(resp(&[b"RESTORE", b"k", b"0", &payload]), "+QUEUED\r\n");
    client.check(resp(&[b"RESTORE", b"k", b"0", &payload]), "+QUEUED\r\n");
    client.resp("DUMP k", "+QUEUED\r\n");
    let dump = [format!("${}\r\n", payload.len()).as_bytes(), &payload, b"\r\n"].concat();
    let answers = [b"*3\r\n+OK\r\n-BUSYKEY Target key name already exists.\r\n".as_slice(), &dump].concat();
    client.check(resp(&[b"EXEC"]), answers);
    other.resp("DUMP k", "$-1\r\n");

    // One that takes several turns is carried out in a transaction as well, and is not there before its end.
    let large = dumped(&vec![b'l'; 700_000]);
    client.resp("MULTI", "+OK\r\n");
    client.check(resp(&[b"RESTORE", b"l", b"0", &large]), "+QUEUED\r\n");
    client.check(resp(&[b"RESTORE", b"l", b"0", &large]), "+QUEUED\r\n");
    client.resp("DUMP l", "+QUEUED\r\n");
    client.resp("STRLEN l", "+QUEUED\r\n");
    client.resp("EXEC", "*4\r\n+OK\r\n-BUSYKEY Target key name already exists.\r\n");
    assert_eq!(client.bulk(), large);
    client.expect(":700000\r\n");
}

#[test]
fn large_ones_in_a_pipeline_are_answered_in_order() {
    let server = start();
    let mut client = Client::new(&server);
    let value = vec![b'v'; 400_000];
    let payload = dumped(&value);
    client.check(resp(&[b"SET", b"k", &value]), "+OK\r\n");
    let asked = [resp(&[b"DUMP", b"k"]), resp(&[b"ECHO", b"between"])].concat();
    client.send(asked.repeat(50));
    let dump = [format!("${}\r\n", payload.len()).as_bytes(), &payload, b"\r\n"].concat();
    for _ in 0..50 {
        client.expect_in_pieces(&dump);
        client.expect("$7\r\nbetween\r\n");
    }
}

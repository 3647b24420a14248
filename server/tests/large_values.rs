//! Large values, which are received straight into the arena: the same is stored and answered as of small ones, whatever else
//! happens while they arrive, and nothing is left of those that do not arrive.

mod support;

use std::thread;
use std::time::Duration;

use crabcache_protocol::native::{Command, Condition, Put, Request, Status, reply};
use support::{Client, Started, config, resp, start, start_with};

/// Longer than what a server reads at once.
const LEN: usize = 300_000;

fn value(seed: usize) -> Vec<u8> {
    (0..LEN).map(|at| (at * 31 + seed + at / 251) as u8).collect()
}

fn bulk(value: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

/// Sends in pieces, with time to be read between the first ones.
fn trickle(client: &mut Client, bytes: &[u8], piece: usize) {
    for (at, piece) in bytes.chunks(piece).enumerate() {
        client.send(piece);
        if at < 8 {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The first part of a request, long enough that its value has its place in the arena.
fn begin(client: &mut Client, request: &[u8]) -> usize {
    let half = request.len() / 2;
    client.send(&request[..half]);
    thread::sleep(Duration::from_millis(50));
    half
}

#[test]
fn values_arrive_in_any_pieces_with_requests_before_and_behind_them() {
    let server = start();
    for piece in [1000, 4096, 65_536, 100_000, LEN - 1, 3 * LEN] {
        let mut client = Client::new(&server);
        let value = value(piece);
        let mut bytes = resp(&[b"PING"]);
        bytes.extend(resp(&[b"SET", b"large", &value]));
        bytes.extend(resp(&[b"GET", b"large"]));
        bytes.extend(resp(&[b"SET", b"large:2", &value[1..]]));
        bytes.extend(resp(&[b"PING"]));
        bytes.extend(resp(&[b"GET", b"large:2"]));
        trickle(&mut client, &bytes, piece);
        client.expect("+PONG\r\n+OK\r\n");
        client.expect(bulk(&value));
        client.expect("+OK\r\n+PONG\r\n");
        client.expect(bulk(&value[1..]));
    }
}

#[test]
fn options_behind_a_value_say_what_they_always_say() {
    let server = start();
    let mut client = Client::new(&server);
    let value = value(1);
    let set = |options: [&[u8]; 2]| resp(&[b"SET", b"k", &value, options[0], options[1]]);
    for option in [[b"EX".as_slice(), b"100"], [b"px", b"100000"]] {
        trickle(&mut client, &set(option), 90_000);
        client.expect("+OK\r\n");
        client.resp("TTL k", ":100\r\n");
    }
    trickle(&mut client, &set([b"NX", b"GET"]), 90_000);
    client.expect(bulk(&value));
    trickle(&mut client, &set([b"XX", b"KEEPTTL"]), 90_000);
    client.expect("+OK\r\n");
    client.resp("TTL k", ":100\r\n");
    for (option, error) in [
        ([b"EX".as_slice(), b"0"], "-ERR invalid expire time in 'set' command\r\n"),
        ([b"EX", b"x"], "-ERR value is not an integer or out of range\r\n"),
        ([b"NO", b"10"], "-ERR syntax error\r\n"),
        ([b"EX", &[b'1'; 80]], "-ERR value is not an integer or out of range\r\n"),
    ] {
        trickle(&mut client, &set(option), 90_000);
        client.expect(error);
    }
    client.resp("STRLEN k", &format!(":{LEN}\r\n"));
    // A byte at a time at the end.
    let request = set([b"PXAT", b"99999999999999"]);
    let end = request.len() - 40;
    trickle(&mut client, &request[..end], 90_000);
    for byte in &request[end..] {
        client.send([*byte]);
    }
    client.expect("+OK\r\n");
    client.resp("PEXPIRETIME k", ":99999999999999\r\n");
}

#[test]
fn memcached_and_native_values_arrive_the_same_way() {
    let server = start();
    let mut client = Client::new(&server);
    let value = value(2);
    let store = |verb: &str, end: &str| {
        [format!("{verb} k 7 0 {LEN}\r\n").as_bytes(), &value, end.as_bytes()].concat()
    };
    trickle(&mut client, &store("set", "\r\n"), 90_000);
    client.expect("STORED\r\n");
    trickle(&mut client, &store("add", "\r\n"), 90_000);
    client.expect("NOT_STORED\r\n");
    trickle(&mut client, &store("replace", "\r\nget k\r\n"), 90_000);
    client.expect(format!("STORED\r\nVALUE k 7 {LEN}\r\n"));
    client.expect(&value);
    client.expect("\r\nEND\r\n");
    trickle(&mut client, &store("set", "xx"), 90_000);
    client.expect("CLIENT_ERROR bad data chunk\r\n");

    let mut client = Client::new(&server);
    for (condition, status) in [(Condition::Present, Status::Ok), (Condition::Absent, Status::NotStored)] {
        let command = Command::Put(Put { key: b"k", value: &value[5..], condition, ..Put::default() });
        let mut bytes = Vec::new();
        Request { opaque: 9, quiet: false, command }.encode(&mut bytes).expect("it can be written");
        trickle(&mut client, &bytes, 90_000);
        let mut answer = Vec::new();
        reply::status(&mut answer, 9, status);
        client.expect(answer);
    }
    let mut client = Client::new(&server);
    client.check(resp(&[b"GET", b"k"]), bulk(&value[5..]));
}

/// What a worker may reserve is a sixteenth of 16 MiB, shared by two: one value of this length. Others are gathered.
#[test]
fn many_values_that_arrive_at_once_are_all_stored() {
    let server = start();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::new(&server)).collect();
    let requests: Vec<Vec<u8>> =
        (0..clients.len()).map(|at| resp(&[b"SET", format!("k{at}").as_bytes(), &value(at)])).collect();
    let halves: Vec<usize> =
        clients.iter_mut().zip(&requests).map(|(client, request)| begin(client, request)).collect();
    for ((client, request), half) in clients.iter_mut().zip(&requests).zip(halves) {
        client.check(&request[half..], "+OK\r\n");
    }
    for (at, client) in clients.iter_mut().enumerate() {
        client.check(resp(&[b"GET", format!("k{at}").as_bytes()]), bulk(&value(at)));
    }
}

#[test]
fn who_leaves_in_the_middle_leaves_nothing_behind() {
    let server = start();
    // Four times the memory of the server, if it were kept.
    for round in 0..200 {
        let mut client = Client::new(&server);
        let request = resp(&[b"SET", b"k", &value(round)]);
        client.send(&request[..request.len() - 1 - round * 100]);
        if round % 2 == 0 {
            client.0.shutdown(std::net::Shutdown::Write).expect("it can be said");
            assert!(client.rest().is_empty());
        }
    }
    let mut client = Client::new(&server);
    client.resp("EXISTS k", ":0\r\n");
    // As many as one shard of the two has room for: which one a key belongs to is drawn when a server starts.
    for at in 0..20 {
        client.check(resp(&[b"SET", format!("k{at}").as_bytes(), &value(at)]), "+OK\r\n");
    }
    for at in 0..20 {
        client.check(resp(&[b"GET", format!("k{at}").as_bytes()]), bulk(&value(at)));
    }
}

#[test]
fn a_value_that_does_not_go_on_is_refused_in_time() {
    let server = start_with(support::Config { request_ms_max: 1000, ..config() });
    let mut client = Client::new(&server);
    begin(&mut client, &resp(&[b"SET", b"k", &value(3)]));
    let line = "-ERR Protocol error: the rest of the request did not come in time\r\n";
    assert_eq!(String::from_utf8_lossy(&client.rest()), line);
    let mut client = Client::new(&server);
    client.resp("EXISTS k", ":0\r\n");
}

fn two(server: &Started) -> (Client, Client) {
    (Client::new(server), Client::new(server))
}

#[test]
fn who_begins_to_look_while_a_value_arrives_sees_it() {
    let server = start();
    let (mut client, mut other) = two(&server);
    let value = value(4);
    let request = resp(&[b"SET", b"k", &value]);

    let half = begin(&mut client, &request);
    other.resp("MONITOR", "+OK\r\n");
    client.check(&request[half..], "+OK\r\n");
    assert!(other.line().contains("\"SET\" \"k\" "));

    let (mut client, mut other) = two(&server);
    other.resp("WATCH k", "+OK\r\n");
    other.resp("MULTI", "+OK\r\n");
    let half = begin(&mut client, &request);
    client.check(&request[half..], "+OK\r\n");
    other.resp("EXEC", "*-1\r\n");

    let (mut client, mut other) = two(&server);
    let half = begin(&mut client, &request);
    other.resp("CLIENT PAUSE 60000 WRITE", "+OK\r\n");
    client.send(&request[half..]);
    other.resp("DEL k", "");
    let mut third = Client::new(&server);
    third.resp("STRLEN k", &format!(":{LEN}\r\n"));
    third.resp("CLIENT UNPAUSE", "+OK\r\n");
    client.expect("+OK\r\n");
}

#[test]
fn a_value_is_stored_where_its_database_is_when_it_has_arrived() {
    let server = start();
    let (mut client, mut other) = two(&server);
    client.resp("SELECT 3", "+OK\r\n");
    let request = resp(&[b"SET", b"k", &value(5)]);
    let half = begin(&mut client, &request);
    client.check(&request[half..], "+OK\r\n");
    other.resp("EXISTS k", ":0\r\n");
    client.resp("STRLEN k", &format!(":{LEN}\r\n"));
    client.resp("DEL k", ":1\r\n");

    let half = begin(&mut client, &request);
    other.resp("SWAPDB 0 3", "+OK\r\n");
    client.check(&request[half..], "+OK\r\n");
    client.resp("STRLEN k", &format!(":{LEN}\r\n"));
    other.resp("EXISTS k", ":0\r\n");
}

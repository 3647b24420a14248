//! However many requests are sent at once, and in whatever pieces: each gets its answer, in order.

mod support;

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::thread;

use support::{Client, config, resp, start, start_with};

/// Sends and receives at the same time, so that neither side's buffers can stop the other, and looks for the first
/// difference.
fn exchange(client: &Client, requests: &[u8], expected: &[u8], who: &str) {
    thread::scope(|scope| {
        let mut sender = client.0.try_clone().unwrap();
        scope.spawn(move || sender.write_all(requests).unwrap());
        let mut answers = vec![0; expected.len()];
        let mut filled = 0;
        while filled < expected.len() {
            let read = (&client.0).read(&mut answers[filled..]);
            let end = filled + read.as_ref().map_or(0, |len| *len);
            if answers[filled..end] != expected[filled..end] || !matches!(read, Ok(1..)) {
                let fresh = answers[filled..end].iter().zip(&expected[filled..]);
                let at = filled + fresh.take_while(|(got, expected)| got == expected).count();
                let from = at.saturating_sub(100);
                let (got, expected) =
                    (&answers[from..end.min(at + 100)], &expected[from..expected.len().min(at + 100)]);
                panic!(
                    "{who}: {read:?} at {at}: got {:?}, expected {:?}",
                    support::text(got),
                    support::text(expected)
                );
            }
            filled = end;
        }
    });
}

#[test]
fn ten_thousand_requests_over_several_connections() {
    let server = start();
    thread::scope(|scope| {
        for number in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let client = Client::new(server);
                let (mut requests, mut expected) = (Vec::new(), Vec::new());
                for i in 0..10_000 {
                    let (key, value) = (format!("{number}:{}", i % 1000), format!("value{i}"));
                    match i % 5 {
                        0 => {
                            requests.extend(resp(&[b"SET", key.as_bytes(), value.as_bytes()]));
                            expected.extend_from_slice(b"+OK\r\n");
                        }
                        1 => {
                            requests.extend(resp(&[b"ECHO", value.as_bytes()]));
                            expected.extend(format!("${}\r\n{value}\r\n", value.len()).into_bytes());
                        }
                        2 => {
                            let (key, value) =
                                (format!("{number}:{}", (i - 2) % 1000), format!("value{}", i - 2));
                            requests.extend(resp(&[b"GET", key.as_bytes()]));
                            expected.extend(format!("${}\r\n{value}\r\n", value.len()).into_bytes());
                        }
                        3 => {
                            requests.extend(resp(&[b"GET", b"none"]));
                            expected.extend_from_slice(b"$-1\r\n");
                        }
                        _ => {
                            requests.extend(resp(&[b"INCR", format!("count{number}").as_bytes()]));
                            expected.extend(format!(":{}\r\n", i / 5 + 1).into_bytes());
                        }
                    }
                }
                exchange(&client, &requests, &expected, &format!("connection {number}"));
            });
        }
    });
}

#[test]
fn requests_in_pieces_of_any_size() {
    let server = start();
    let requests = [
        resp(&[b"SET", b"key", &[b'v'; 300]]),
        resp(&[b"GET", b"key"]),
        b"PING\r\n".to_vec(),
        resp(&[b"MGET", b"key", b"none"]),
        resp(&[b"STRLEN", b"key"]),
    ]
    .concat();
    let value = [b"$300\r\n".as_slice(), &[b'v'; 300], b"\r\n"].concat();
    let expected = [b"+OK\r\n".as_slice(), &value, b"+PONG\r\n*2\r\n", &value, b"$-1\r\n:300\r\n"].concat();
    for piece in [1, 2, 3, 7, 64, 100, 333] {
        let mut client = Client::new(&server);
        for piece in requests.chunks(piece) {
            client.send(piece);
        }
        client.expect(&expected);
    }
}

#[test]
fn large_values_pipelined_both_ways() {
    let mut config = config();
    config.memory_bytes = 128 << 20;
    let server = start_with(config);
    let client = Client::new(&server);
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for i in 0..24_u8 {
        let value = vec![b'a' + i; 1 << 20];
        requests.extend(resp(&[b"SET", b"large", &value]));
        requests.extend(resp(&[b"GET", b"large"]));
        requests.extend(resp(&[b"GET", b"large"]));
        expected.extend_from_slice(b"+OK\r\n");
        for _ in 0..2 {
            expected.extend(format!("${}\r\n", value.len()).into_bytes());
            expected.extend_from_slice(&value);
            expected.extend_from_slice(b"\r\n");
        }
    }
    exchange(&client, &requests, &expected, "the client");
}

#[test]
fn a_client_that_does_not_read_is_not_read_either() {
    let server = start();
    let mut client = Client::new(&server);
    client.check(resp(&[b"SET", b"key", &vec![b'v'; 100_000]]), "+OK\r\n");
    // 2000 answers of 100 kB: far more than any buffer takes. Others are served meanwhile.
    let requests = resp(&[b"GET", b"key"]).repeat(2000);
    client.send(&requests);
    thread::sleep(std::time::Duration::from_millis(200));
    Client::new(&server).resp("PING", "+PONG\r\n");
    let answer = [b"$100000\r\n".as_slice(), &vec![b'v'; 100_000], b"\r\n"].concat();
    for _ in 0..2000 {
        client.expect(&answer);
    }
    client.resp("PING", "+PONG\r\n");
}

#[test]
fn memcached_pipelines_keep_their_order() {
    let server = start();
    let client = Client::new(&server);
    let (mut requests, mut expected) = (String::new(), String::new());
    for i in 0..5000 {
        write!(requests, "set k{} 0 0 5\r\n{i:05}\r\nget k{0} none\r\n", i % 50).unwrap();
        write!(expected, "STORED\r\nVALUE k{} 0 5\r\n{i:05}\r\nEND\r\n", i % 50).unwrap();
    }
    exchange(&client, requests.as_bytes(), expected.as_bytes(), "the client");
}

/// Somebody who walks through all keys in one pipeline gets some answers a turn; others come in between.
#[test]
fn scans_in_a_pipeline_do_not_hold_others_up() {
    const SCANS: usize = 1000;
    let server = start_with(support::Config { workers: 1, ..config() });
    let mut client = Client::new(&server);
    for round in 0..10 {
        let sets: Vec<u8> =
            (0..2000).flat_map(|at| resp(&[b"SET", format!("{round}:{at}").as_bytes(), b"v"])).collect();
        client.check(sets, "+OK\r\n".repeat(2000));
    }
    let mut scanner = Client::new(&server);
    scanner.send(resp(&[b"SCAN", b"0", b"COUNT", b"4000", b"MATCH", b"none*"]).repeat(SCANS));
    assert_eq!(scanner.line(), "*2");
    client.resp("PING", "+PONG\r\n");
    scanner.0.set_nonblocking(true).expect("an option");
    let mut answers = Vec::new();
    let read = scanner.0.read_to_end(&mut answers);
    assert!(read.is_err(), "more is to come");
    let count = answers.windows(4).filter(|window| window == b"*2\r\n").count();
    assert!(count < SCANS / 2, "{count} were answered before");
}

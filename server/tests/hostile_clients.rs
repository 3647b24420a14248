//! Clients that connect, send, read and leave as nobody should: nobody else notices.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use support::program::Program;
use support::siege::{STOPPED, besiege, wait_until};
use support::{Client, resp};

/// Closes with a reset instead of an end.
fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("an option");
}

fn large_set(key: &str, len: usize) -> Vec<u8> {
    resp(&[b"SET", key.as_bytes(), &vec![b'v'; len]])
}

/// The number behind `name:` in what INFO says.
fn info(program: &Program, name: &str) -> u64 {
    let mut client = Client::to(program.address);
    client.send(resp(&[b"INFO", b"everything"]));
    let info = String::from_utf8(client.bulk()).expect("text");
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in {info}"))
}

#[test]
fn answers_that_are_never_read() {
    besiege(64, &[], |program| {
        let mut clients: Vec<Client> = (0..20).map(|_| Client::to(program.address)).collect();
        clients[0].check(large_set("large", 1 << 20), "+OK\r\n");
        for client in &mut clients {
            client.send(resp(&[b"GET", b"large"]).repeat(800));
        }
        thread::sleep(Duration::from_secs(2));
        // Others with large values have to wait, but not for ever.
        let mut patient = Client::to(program.address);
        patient.0.set_read_timeout(Some(Duration::from_secs(40))).expect("an option");
        patient.send(resp(&[b"GET", b"large"]));
        assert_eq!(patient.bulk().len(), 1 << 20);
    });
}

#[test]
fn requests_that_never_end() {
    besiege(16, &["--request-timeout", "1"], |program| {
        let beginnings: [&[u8]; 4] =
            [b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n", b"set k 0 0 9999\r\n", b"GET k", b"*"];
        let mut clients: Vec<Client> = (0..200).map(|_| Client::to(program.address)).collect();
        for (client, beginning) in clients.iter_mut().zip(beginnings.iter().cycle()) {
            client.send(beginning);
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            for client in &mut clients {
                // It may be closed already.
                let _ = client.0.write(b"1");
            }
            thread::sleep(Duration::from_millis(100));
        }
        wait_until("slow clients are closed", || info(program, "connected_clients") <= 2);
    });
}

#[test]
fn ends_of_every_kind_at_every_moment() {
    besiege(16, &[], |program| {
        let requests = [
            resp(&[b"SET", b"k", &[b'v'; 300]]),
            resp(&[b"GET", b"k"]).repeat(20),
            large_set("l", 100_000),
            resp(&[b"GET", b"l"]).repeat(30),
        ]
        .concat();
        for step in 0..60 {
            let cut = requests.len() * step / 59;
            let connect = || {
                let mut stream = TcpStream::connect(program.address).expect("it accepts");
                stream.write_all(&requests[..cut]).expect("it is read");
                stream
            };
            // Gone at once, by a reset, by half, while it is answered, twice over.
            drop(connect());
            reset(connect());
            connect().shutdown(Shutdown::Both).expect("it is connected");
            let mut half = connect();
            half.shutdown(Shutdown::Write).expect("it is connected");
            half.read_to_end(&mut Vec::new()).expect("answers, and an end");
            let mut deaf = connect();
            deaf.set_read_timeout(Some(Duration::from_millis(20))).expect("an option");
            let _ = deaf.read(&mut [0; 10]);
            deaf.shutdown(Shutdown::Read).expect("it is connected");
            // It may be closed by now.
            let _ = deaf.write_all(&requests[cut..]);
            reset(deaf);
        }
    });
}

#[test]
fn a_byte_at_a_time_both_ways() {
    besiege(16, &[], |program| {
        thread::scope(|scope| {
            for number in 0..8 {
                scope.spawn(move || {
                    let client = Client::to(program.address);
                    let key = format!("key{number}");
                    let requests =
                        [resp(&[b"SET", key.as_bytes(), b"value"]), resp(&[b"GET", key.as_bytes()])].concat();
                    let expected = b"+OK\r\n$5\r\nvalue\r\n".repeat(20);
                    let mut sender = client.0.try_clone().expect("a socket");
                    scope.spawn(move || {
                        for byte in requests.repeat(20) {
                            sender.write_all(&[byte]).expect("it is read");
                        }
                    });
                    for (at, expected) in expected.into_iter().enumerate() {
                        let mut byte = [0];
                        (&client.0).read_exact(&mut byte).expect("an answer");
                        assert_eq!(byte[0], expected, "byte {at}");
                    }
                });
            }
        });
    });
}

#[test]
fn ten_thousand_clients_that_come_and_go() {
    besiege(16, &[], |program| {
        thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for number in 0..2500 {
                        let mut stream = TcpStream::connect(program.address).expect("it accepts");
                        match (thread + number) % 4 {
                            0 => drop(stream),
                            1 => reset(stream),
                            2 => drop(stream.write_all(b"PING\r\n")),
                            _ => {
                                stream.write_all(b"PING\r\n").expect("it is read");
                                stream.read_exact(&mut [0; 7]).expect("it is answered");
                                // By a reset: thousands of ports that wait for stray packets would be in everybody's way.
                                reset(stream);
                            }
                        }
                    }
                });
            }
        });
        // The bystander, and who asks.
        wait_until("all are forgotten", || info(program, "connected_clients") == 2);
    });
}

#[test]
fn no_files_left_to_accept_with() {
    besiege(16, &["--max-connections", "1000"], |program| {
        let most = program.files() + 20;
        let limit = |files: usize| {
            let set = Command::new("prlimit")
                .args([format!("--pid={}", program.child.id()), format!("--nofile={files}:4096")])
                .status();
            assert!(set.expect("prlimit").success());
        };
        limit(most);
        let mut clients: Vec<Client> = (0..100).map(|_| Client::to(program.address)).collect();
        thread::sleep(Duration::from_millis(500));
        // It does not spin while it can accept nobody.
        let before = program.ticks();
        thread::sleep(Duration::from_secs(1));
        let spent = program.ticks() - before;
        assert!(spent < 50, "{spent} ticks in a second");
        // Those that were accepted are served; once they have gone, the others are.
        for client in clients.drain(..10) {
            let mut client = client;
            client.resp("PING", "+PONG\r\n");
        }
        limit(4096);
        for client in &mut clients {
            client.resp("PING", "+PONG\r\n");
        }
    });
}

#[test]
fn more_clients_than_are_allowed() {
    besiege(16, &["--max-connections", "50"], |program| {
        let connect = |_| loop {
            let mut client = Client::to(program.address);
            client.send(resp(&[b"PING"]));
            // Whoever had the place before may not be forgotten yet.
            if client.rest_or_line() == "+PONG" {
                break client;
            }
        };
        let _clients: Vec<Client> = (0..49).map(connect).collect();
        for (request, answer) in [
            (&b"*1\r\n$4\r\nPING\r\n"[..], &b"-ERR max number of clients reached\r\n"[..]),
            (b"get k\r\n", b"ERROR Too many open connections\r\n"),
            (b"\xc1\x02\0\0\0\0\0\0\0\0\0\0", b"\xc2\x82\0\0\0\0\0\0"),
        ] {
            // Whoever has not said yet what it speaks when it is refused is told in RESP; some come early enough.
            let resp = b"-ERR max number of clients reached\r\n".as_slice();
            for attempt in 0..200 {
                let mut client = Client::to(program.address);
                if attempt % 2 == 0 {
                    assert_eq!(support::text(&client.rest()), support::text(resp));
                    continue;
                }
                // Whoever says something to a connection that is closed by then may not hear why.
                let _ = client.0.write_all(request);
                let told = client.rest();
                assert!(told.is_empty() || told == answer || told == resp, "{:?}", support::text(&told));
            }
        }
    });
}

#[test]
fn signals_that_mean_nothing() {
    besiege(16, &[], |program| {
        let mut client = Client::to(program.address);
        for round in 0..100 {
            for name in ["-WINCH", "-URG", "-CHLD", "-CONT", "-PIPE"] {
                program.signal(name);
            }
            client.check(
                resp(&[b"ECHO", &[b'e'; 10_000]]).repeat(5),
                [&b"$10000\r\n"[..], &[b'e'; 10_000], b"\r\n"].concat().repeat(5),
            );
            if round % 10 == 0 {
                let stopped = STOPPED.write().unwrap_or_else(PoisonError::into_inner);
                program.signal("-STOP");
                client.send("PING\r\n");
                thread::sleep(Duration::from_millis(50));
                program.signal("-CONT");
                drop(stopped);
                client.expect("+PONG\r\n");
            }
        }
    });
}

//! Who is idle, or does not come to the end of a request, is let go: as far as it is asked for, and nobody else.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use support::{Client, Started, config, resp, start_with};

fn start(idle_seconds_max: u64, request_ms_max: u64) -> Started {
    let mut config = config();
    config.idle_seconds_max = idle_seconds_max;
    config.request_ms_max = request_ms_max;
    start_with(config)
}

#[test]
fn idle_clients_are_closed_and_busy_ones_are_not() {
    let server = start(2, 0);
    let mut idle = Client::new(&server);
    idle.resp("PING", "+PONG\r\n");
    let mut silent = Client::new(&server);
    let mut busy = Client::new(&server);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        busy.resp("PING", "+PONG\r\n");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(idle.rest().is_empty());
    assert!(silent.rest().is_empty());
    busy.resp("PING", "+PONG\r\n");
    busy.check("*1\r\n", "");
    assert!(busy.rest().is_empty(), "half a request does not keep it");
}

#[test]
fn a_request_that_does_not_come_to_its_end_is_refused_in_the_words_of_its_protocol() {
    let server = start(0, 1000);
    let line = "the rest of the request did not come in time\r\n";
    let native = [0xc2, 0x80, 0, 0, 0, 0, 0, 0];
    let answers = [
        (b"*2\r\n$3\r\nGET\r\n$5\r\n".as_slice(), format!("-ERR Protocol error: {line}").into_bytes()),
        (b"set key 0 0 100\r\n", format!("CLIENT_ERROR {line}").into_bytes()),
        (b"\xc1\x10\0\0\x05\0\0\0", native.to_vec()),
        (b"*", format!("-ERR Protocol error: {line}").into_bytes()),
    ];
    let mut clients: Vec<Client> = answers.iter().map(|_| Client::new(&server)).collect();
    for (client, (beginning, _)) in clients.iter_mut().zip(&answers) {
        client.send(beginning);
    }
    // A byte now and then is no progress.
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(100));
        for client in &mut clients[1..2] {
            // It may be closed already.
            let _ = std::io::Write::write(&mut client.0, b"x");
        }
    }
    for (client, (beginning, answer)) in clients.iter_mut().zip(&answers) {
        assert_eq!(client.rest(), *answer, "{:?}", beginning.escape_ascii());
    }
}

#[test]
fn a_large_request_may_take_its_time_as_long_as_it_comes_on() {
    let server = start(0, 2500);
    let mut client = Client::new(&server);
    let value = vec![b'v'; 1 << 20];
    let request = resp(&[b"SET", b"k", &value]);
    for piece in request.chunks(80 << 10) {
        client.send(piece);
        thread::sleep(Duration::from_millis(300));
    }
    client.expect("+OK\r\n");
    // Between requests there is no deadline.
    thread::sleep(Duration::from_secs(3));
    client.resp("STRLEN k", ":1048576\r\n");
}

#[test]
fn a_client_that_never_takes_its_last_answers_leaves_its_place() {
    let server = start(0, 0);
    let mut client = Client::new(&server);
    client.check(resp(&[b"SET", b"k", &vec![b'v'; 100_000]]), "+OK\r\n");
    // The last of so many answers come in one turn with the end, and a socket takes only some of those.
    let deaf: Vec<_> = (20..42)
        .step_by(2)
        .map(|count| {
            let deaf = support::deaf(server.address);
            deaf.send(&[resp(&[b"GET", b"k"]).repeat(count), resp(&[b"QUIT"])].concat()).unwrap();
            deaf
        })
        .collect();
    let mut closing = || {
        client.send(resp(&[b"CLIENT", b"LIST"]));
        let list = String::from_utf8(client.bulk()).unwrap();
        list.lines().filter(|line| line.contains(" flags=c ") && !line.contains(" omem=0 ")).count()
    };
    let begun = Instant::now();
    while closing() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(5), "sockets take all answers");
    }
    while closing() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(25), "they keep their places for ever");
        thread::sleep(Duration::from_millis(100));
    }
    drop(deaf);
}

#[test]
fn a_client_that_takes_no_answers_is_idle_whatever_it_has_asked_for() {
    let server = start(2, 0);
    let mut client = Client::new(&server);
    client.check(resp(&[b"SET", b"k", &vec![b'v'; 1 << 20]]), "+OK\r\n");
    let deaf = support::deaf(server.address);
    deaf.send(&resp(&[b"GET", b"k"]).repeat(100)).unwrap();
    let begun = Instant::now();
    let mut clients = || {
        client.send(resp(&[b"INFO", b"clients"]));
        String::from_utf8(client.bulk()).unwrap()
    };
    while !clients().contains("connected_clients:2\r\n") {}
    while !clients().contains("connected_clients:1\r\n") {
        assert!(begun.elapsed() < Duration::from_secs(25), "it keeps its place for ever");
        thread::sleep(Duration::from_millis(100));
    }
}

//! Clients that are sent what they have not asked for at that moment, and those that do not take it.

mod support;

use std::io::Write;
use std::thread;
use std::time::Duration;

use support::siege::{besiege_once, wait_until};
use support::{Client, config, resp, start, start_with};

/// The number behind `name:` in INFO.
fn info(client: &mut Client, name: &str) -> usize {
    client.send(resp(&[b"INFO", b"everything"]));
    let info = String::from_utf8(client.bulk()).expect("text");
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in {info}"))
}

fn subscribe(client: &mut Client, verb: &str, name: &str, count: usize) {
    client.resp(
        &format!("{} {name}", verb.to_uppercase()),
        &format!("*3\r\n${}\r\n{verb}\r\n${}\r\n{name}\r\n:{count}\r\n", verb.len(), name.len()),
    );
}

fn message(channel: &str, text: &[u8]) -> Vec<u8> {
    let head = format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n${}\r\n", channel.len(), text.len());
    [head.as_bytes(), text, b"\r\n"].concat()
}

#[test]
fn a_message_that_matches_many_patterns_of_a_client_that_reads_nothing() {
    besiege_once(16, &[], |program| {
        // One of them is served by the worker of who publishes, so that it receives nothing before that is done.
        let mut deaf = [Client::to(program.address), Client::to(program.address)];
        for client in &mut deaf {
            for count in 1..=500 {
                subscribe(client, "psubscribe", &format!("c{}", "*".repeat(count)), count);
            }
        }
        let mut publisher = Client::to(program.address);
        publisher.check(resp(&[b"PUBLISH", b"channel", &vec![b'm'; 1 << 20]]), ":1000\r\n");
        wait_until("they are closed", || info(&mut Client::to(program.address), "connected_clients") == 3);
        publisher.resp("PUBLISH channel m", ":0\r\n");
        assert_eq!(info(&mut publisher, "client_output_buffer_limit_disconnections"), 2);
    });
}

#[test]
fn many_messages_for_many_clients_that_read_nothing() {
    besiege_once(16, &[], |program| {
        let mut deaf: Vec<Client> = (0..200).map(|_| Client::to(program.address)).collect();
        for client in &mut deaf {
            subscribe(client, "subscribe", "c", 1);
        }
        let mut publisher = Client::to(program.address);
        publisher.0.set_write_timeout(Some(Duration::from_secs(30))).expect("an option");
        publisher.0.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
        let publish = resp(&[b"PUBLISH", b"c", &[b'm'; 1000]]).repeat(1000);
        for _ in 0..20 {
            publisher.send(&publish);
            for _ in 0..1000 {
                assert!(publisher.line().starts_with(':'));
            }
        }
    });
}

#[test]
fn invalidations_and_requests_shown_to_clients_that_read_nothing() {
    besiege_once(16, &[], |program| {
        let mut deaf: Vec<Client> = (0..20).map(|_| Client::to(program.address)).collect();
        for client in &mut deaf[..10] {
            client.send(resp(&[b"HELLO", b"3"]));
            while client.line() != "*0" {}
            client.resp("CLIENT TRACKING ON BCAST", "+OK\r\n");
        }
        for client in &mut deaf[10..] {
            client.resp("MONITOR", "+OK\r\n");
        }
        let mut writer = Client::to(program.address);
        writer.0.set_read_timeout(Some(Duration::from_secs(30))).expect("an option");
        let set = resp(&[b"SET", &[b'k'; 500], b"v"]).repeat(500);
        for _ in 0..40 {
            writer.check(&set, "+OK\r\n".repeat(500));
        }
    });
}

#[test]
fn clients_that_read_get_all_messages_in_order() {
    let server = start_with(support::Config { workers: 2, ..config() });
    thread::scope(|scope| {
        let mut clients: Vec<Client> = (0..8).map(|_| Client::new(&server)).collect();
        for client in &mut clients {
            subscribe(client, "subscribe", "c", 1);
        }
        // Small ones that go together, and large ones that go at once.
        let text =
            |at: usize| vec![b'a' + (at % 26) as u8; if at.is_multiple_of(3) { 200_000 } else { 10 + at }];
        let mut publisher = Client::new(&server);
        for mut client in clients {
            scope.spawn(move || (0..100).for_each(|at| client.expect(message("c", &text(at)))));
        }
        for at in 0..100 {
            publisher.check(resp(&[b"PUBLISH", b"c", &text(at)]), ":8\r\n");
            if at % 10 == 9 {
                // They may need a moment to read two megabytes.
                thread::sleep(Duration::from_millis(20));
            }
        }
    });
}

#[test]
fn a_client_that_overruns_is_closed_and_the_others_are_not() {
    let server = start_with(support::Config { workers: 1, ..config() });
    let mut deaf = Client::new(&server);
    subscribe(&mut deaf, "subscribe", "c", 1);
    let mut other = Client::new(&server);
    subscribe(&mut other, "subscribe", "c", 1);
    let mut publisher = Client::new(&server);
    let text = vec![b'm'; 100_000];
    let mut receivers = 2;
    for _ in 0..400 {
        publisher.send(resp(&[b"PUBLISH", b"c", &text]));
        let answer = publisher.line();
        other.expect(message("c", &text));
        receivers = answer[1..].parse().expect("a number");
        if receivers == 1 {
            break;
        }
    }
    assert_eq!(receivers, 1);
    assert_eq!(info(&mut publisher, "client_output_buffer_limit_disconnections"), 1);
}

#[test]
fn what_a_client_can_ask_to_be_told_of_is_bounded() {
    let server = start();
    let mut client = Client::new(&server);
    let patterns: Vec<String> = (0..1024).map(|at| format!("p{at}")).collect();
    for some in patterns.chunks(512) {
        let words: Vec<&[u8]> =
            std::iter::once(&b"PSUBSCRIBE"[..]).chain(some.iter().map(String::as_bytes)).collect();
        client.send(resp(&words));
        for _ in 0..some.len() * 6 {
            client.line();
        }
    }
    client.resp("PSUBSCRIBE one", "-ERR a client can subscribe to at most 1024 patterns\r\n");
    client.resp("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");

    let mut client = Client::new(&server);
    let prefixes = |from: usize, to: usize| {
        let mut words: Vec<Vec<u8>> =
            vec![b"CLIENT".into(), b"TRACKING".into(), b"ON".into(), b"BCAST".into()];
        for at in from..to {
            words.extend([b"PREFIX".to_vec(), format!("{at:03}{}", "x".repeat(5000)).into_bytes()]);
        }
        resp(&words.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    client.check(prefixes(0, 129), "-ERR a client can track at most 128 prefixes\r\n");
    client.check(prefixes(0, 100), "+OK\r\n");
    client.check(prefixes(100, 129), "-ERR a client can track at most 128 prefixes\r\n");
    client.send(resp(&[b"CLIENT", b"INFO"]));
    let line = String::from_utf8(client.bulk()).expect("text");
    let held = line.split(" tot-mem=").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
    assert!(held.expect("a number") > 2 * 100 * 5000, "{line}");
}

#[test]
fn patterns_that_take_long_do_not_hold_others_up() {
    besiege_once(16, &[], |program| {
        let mut subscribers: Vec<Client> = (0..5).map(|_| Client::to(program.address)).collect();
        for (number, client) in subscribers.iter_mut().enumerate() {
            for count in 0..200 {
                let pattern = format!("{}{number}{count}", "*a".repeat(100));
                client.send(resp(&[b"PSUBSCRIBE", pattern.as_bytes()]));
                (0..6).for_each(|_| drop(client.line()));
            }
        }
        subscribe(&mut subscribers[0], "psubscribe", "a*a", 201);
        let mut publisher = Client::to(program.address);
        for _ in 0..20 {
            publisher.check(resp(&[b"PUBLISH", &[b'a'; 2000], b"m"]), ":1\r\n");
        }
        publisher.0.flush().expect("it is sent");
    });
}

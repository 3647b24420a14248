//! A transaction is carried out as one, whichever worker serves it, and what it queues is bounded.

mod support;

use std::thread;

use support::{Client, config, resp, start, start_with};

/// Two counters that are only ever changed together, by clients of all workers, are never seen apart.
#[test]
fn others_see_all_of_a_transaction_or_nothing() {
    const ROUNDS: usize = 300;
    let server = start_with(support::Config { workers: 3, ..config() });
    thread::scope(|scope| {
        for number in 0..6 {
            let server = &server;
            scope.spawn(move || {
                let mut caller = Client::new(server);
                for _ in 0..ROUNDS {
                    if number % 2 == 0 {
                        let requests = ["MULTI", "INCR a", "INCR b", "INCR c", "EXEC"];
                        caller.send(requests.join("\r\n") + "\r\n");
                        caller.expect("+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n");
                        let counts = [caller.line(), caller.line(), caller.line()];
                        assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
                    } else {
                        caller.check("MULTI\r\nGET c\r\n", "+OK\r\n+QUEUED\r\n");
                        caller.check("GET a\r\nEXEC\r\n", "+QUEUED\r\n*2\r\n");
                        assert_eq!(caller.value(), caller.value());
                    }
                }
            });
        }
    });
    let mut client = Client::new(&server);
    client.resp("MGET a b c", &format!("*3\r\n{}", format!("$3\r\n{}\r\n", 3 * ROUNDS).repeat(3)));
}

/// The classic use of WATCH: nobody's change is lost.
#[test]
fn read_change_write_loses_no_change() {
    const ROUNDS: usize = 100;
    let server = start();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::new(&server);
                let mut done = 0;
                while done < ROUNDS {
                    client.check("WATCH n\r\n", "+OK\r\n");
                    client.send("GET n\r\n");
                    let n = client.value().expect("a value").map_or(0, |n| {
                        String::from_utf8(n).expect("digits").parse::<usize>().expect("a number")
                    });
                    client.check(format!("MULTI\r\nSET n {}\r\n", n + 1), "+OK\r\n+QUEUED\r\n");
                    client.send("EXEC\r\n");
                    match client.line().as_str() {
                        "*1" => client.expect("+OK\r\n"),
                        "*-1" => continue,
                        other => panic!("{other}"),
                    }
                    done += 1;
                }
            });
        }
    });
    Client::new(&server).resp("GET n", &format!("$3\r\n{}\r\n", 4 * ROUNDS));
}

#[test]
fn whoever_queues_too_much_is_closed_and_others_go_on() {
    let server = start_with(support::Config { client_memory_bytes: 8 << 20, ..config() });
    let mut client = Client::new(&server);
    client.resp("MULTI", "+OK\r\n");
    let set = resp(&[b"SET", b"k", &vec![b'v'; 60_000]]);
    for _ in 0..1000 {
        if std::io::Write::write_all(&mut client.0, &set).is_err() {
            break;
        }
    }
    let rest = client.rest();
    let queued = rest.windows(9).filter(|window| window == b"+QUEUED\r\n").count();
    assert!((60..300).contains(&queued), "{queued} requests were queued");
    Client::new(&server).resp("GET k", "$-1\r\n");
}

/// What ends with its client is no longer watched, and no longer costs anything.
#[test]
fn a_client_that_leaves_watches_no_longer() {
    let server = start();
    for round in 0..50 {
        let mut client = Client::new(&server);
        client.resp("WATCH a b c", "+OK\r\n");
        client.resp("MULTI", "+OK\r\n");
        client.resp("SET a 1", "+QUEUED\r\n");
        drop(client);
        let mut other = Client::new(&server);
        other.resp(&format!("SET a {round}"), "+OK\r\n");
    }
    Client::new(&server).resp("GET a", "$2\r\n49\r\n");
}

#[test]
fn lines_typed_by_hand_and_values_of_every_protocol_are_watched() {
    let server = start();
    let (mut client, mut other) = (Client::new(&server), Client::new(&server));
    client.check("WATCH k\r\nMULTI\r\nSET k \"a b\"\r\nGET k\r\n", "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    client.check("EXEC\r\n", "*2\r\n+OK\r\n$3\r\na b\r\n");
    client.check("WATCH k\r\n", "+OK\r\n");
    other.check("set k 0 0 1\r\nx\r\n", "STORED\r\n");
    client.check("MULTI\r\nGET k\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
    client.check("WATCH k\r\n", "+OK\r\n");
    other.check("flush_all\r\n", "OK\r\n");
    client.check("MULTI\r\nGET k\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*-1\r\n");
}

//! A transaction is carried out as one, whichever worker serves it, and what it queues is bounded.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
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
fn a_transaction_that_is_too_large_is_refused_and_the_next_one_is_not() {
    let server = start_with(support::Config { client_memory_bytes: 8 << 20, ..config() });
    let mut client = Client::new(&server);
    client.resp("MULTI", "+OK\r\n");
    let mut refused = 0;
    for at in 0..200 {
        client.send(resp(&[b"SET", b"k", &vec![b'v'; 60_000]]));
        let answer = client.line();
        if answer != "+QUEUED" {
            assert_eq!(
                answer,
                "-ERR the transaction is too large: its requests may have 4194304 bytes together"
            );
            assert_eq!(at, 4_194_304 / 60_032, "as many as there is room for");
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    client.resp("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    client.resp("GET k", "$-1\r\n");
    client.resp("MULTI", "+OK\r\n");
    client.resp("SET k v", "+QUEUED\r\n");
    client.resp("EXEC", "*1\r\n+OK\r\n");
}

#[test]
fn many_that_queue_much_make_place_for_each_other() {
    let server = start_with(support::Config { client_memory_bytes: 8 << 20, ..config() });
    let mut clients: Vec<Client> = (0..10).map(|_| Client::new(&server)).collect();
    let set = resp(&[b"SET", b"k", &vec![b'v'; 60_000]]);
    for client in &mut clients {
        client.send("MULTI\r\n");
        for _ in 0..60 {
            // It may be closed by now.
            if std::io::Write::write_all(&mut client.0, &set).is_err() {
                break;
            }
        }
    }
    let told = clients.iter_mut().map(|client| {
        let _ = client.0.shutdown(std::net::Shutdown::Write);
        client.rest()
    });
    let closed = told.filter(|told| told != &[&b"+OK\r\n"[..], &b"+QUEUED\r\n".repeat(60)].concat()).count();
    assert!((2..10).contains(&closed), "{closed} were closed");
    Client::new(&server).resp("GET k", "$-1\r\n");
}

/// A transaction that is carried out cannot stop in the middle, and its answer cannot grow for ever.
#[test]
fn an_answer_that_is_too_long_is_dropped_and_the_transaction_is_not() {
    let server = start_with(support::Config { memory_bytes: 64 << 20, ..config() });
    let mut client = Client::new(&server);
    let mut requests = resp(&[b"MULTI"]);
    for _ in 0..60 {
        requests.extend(resp(&[b"SETRANGE", b"k", b"999999", b"x"]));
        requests.extend(resp(&[b"GETDEL", b"k"]));
    }
    requests.extend(resp(&[b"INCR", b"n"]));
    client.check(requests, ["+OK\r\n", &"+QUEUED\r\n".repeat(121)].concat());
    client.resp("EXEC", "-ERR the transaction was carried out, but its answer is too long to be given\r\n");
    client.resp("GET n", "$1\r\n1\r\n");
    client.resp("EXISTS k", ":0\r\n");
}

/// What is answered before a request that takes several turns waits for that.
#[test]
fn an_answer_that_waits_has_no_more_memory_than_a_workers_clients() {
    let server = start_with(support::Config {
        memory_bytes: 64 << 20,
        client_memory_bytes: 8 << 20,
        workers: 1,
        ..config()
    });
    let mut client = Client::new(&server);
    let keys: Vec<String> = (0..20_000).map(|at| format!("k{at}")).collect();
    let pairs = keys.iter().flat_map(|key| [key.as_bytes(), b"v"]);
    client.check(resp(&[&b"MSET"[..]].into_iter().chain(pairs).collect::<Vec<_>>()), "+OK\r\n");
    client.check(resp(&[b"SET", b"large", &vec![b'v'; 1_000_000]]), "+OK\r\n");
    for (times, fits) in [(3, true), (10, false)] {
        let requests =
            [resp(&[b"MULTI"]), resp(&[b"GET", b"large"]).repeat(times), resp(&[b"KEYS", b"none"])].concat();
        client.check(requests, ["+OK\r\n", &"+QUEUED\r\n".repeat(times + 1)].concat());
        if fits {
            client.send(resp(&[b"EXEC"]));
            client.expect(format!("*{}\r\n", times + 1));
            (0..times).for_each(|_| assert_eq!(client.bulk().len(), 1_000_000));
            client.expect("*0\r\n");
        } else {
            let error = "-ERR the transaction was carried out, but its answer is too long to be given\r\n";
            client.resp("EXEC", error);
        }
    }
}

#[test]
fn what_is_taken_out_and_cannot_be_answered_is_not_taken_out() {
    // None of them is evicted, whichever shards they are drawn into.
    let server = start_with(support::Config { memory_bytes: 1 << 30, ..config() });
    let mut client = Client::new(&server);
    let large = vec![b'v'; 1 << 20];
    let keys: Vec<String> = (0..40).map(|at| format!("k{at}")).collect();
    for key in &keys {
        client.check(resp(&[b"SET", key.as_bytes(), &large]), "+OK\r\n");
    }
    client.resp("MULTI", "+OK\r\n");
    client.resp("SET other v", "+QUEUED\r\n");
    for key in &keys {
        client.resp(&format!("GETDEL {key}"), "+QUEUED\r\n");
    }
    client.resp(
        "EXEC",
        "-EXECABORT Transaction discarded because the values it takes are too much for one answer.\r\n",
    );
    client.check(
        resp(&[&[&b"EXISTS"[..]], &*keys.iter().map(String::as_bytes).collect::<Vec<_>>()].concat()),
        ":40\r\n",
    );
    client.resp("EXISTS other", ":0\r\n");
    client.resp("MULTI", "+OK\r\n");
    client.resp("GETDEL k0", "+QUEUED\r\n");
    client.resp("EXEC", "*1\r\n$1048576\r\n");
}

/// Memory is short because of what the client itself has queued, while somebody else does not take an answer.
#[test]
fn a_transaction_does_not_wait_for_the_memory_of_its_own_requests() {
    let server = start_with(support::Config {
        memory_bytes: 64 << 20,
        client_memory_bytes: 8 << 20,
        workers: 1,
        ..config()
    });
    let mut client = Client::new(&server);
    client.check(resp(&[b"SET", b"large", &vec![b'v'; 300_000]]), "+OK\r\n");
    let lazy = support::deaf(server.address);
    let mut has_left_some = || {
        client.send(resp(&[b"CLIENT", b"LIST"]));
        let list = String::from_utf8(client.bulk()).unwrap();
        list.lines().any(|line| !line.contains(" omem=0 "))
    };
    while !has_left_some() {
        lazy.send(&resp(&[b"GET", b"large"])).unwrap();
    }
    client.resp("MULTI", "+OK\r\n");
    client.check(resp(&[b"SET", b"k", &vec![b'v'; 3_300_000]]), "+QUEUED\r\n");
    client.resp("GET large", "+QUEUED\r\n");
    client.send(resp(&[b"EXEC"]));
    client.expect("*2\r\n+OK\r\n");
    assert_eq!(client.bulk().len(), 300_000);
}

/// A flag that is raised when this goes, for whatever reason.
struct Raised<'f>(&'f AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Who waits until nobody else does anything carries out nothing once a pause has begun.
#[test]
fn a_pause_that_has_begun_holds_transactions_that_wait() {
    let server = start_with(support::Config { workers: 3, ..config() });
    Client::new(&server).resp("SET n 0", "+OK\r\n");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = Raised(&over);
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = Client::new(&server);
                while !over.load(Ordering::Relaxed) {
                    client.check("MULTI\r\nINCR n\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n");
                    client.line();
                }
            });
        }
        let mut observer = Client::new(&server);
        let mut pauser = Client::new(&server);
        for _ in 0..100 {
            pauser.check(
                "MULTI\r\nCLIENT PAUSE 100000 WRITE\r\nGET n\r\nEXEC\r\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n",
            );
            let when_it_began = support::text(&pauser.bulk());
            observer.resp("GET n", &format!("${}\r\n{when_it_began}\r\n", when_it_began.len()));
            pauser.resp("CLIENT UNPAUSE", "+OK\r\n");
        }
    });
}

#[test]
fn how_many_keys_are_watched_is_bounded() {
    let server = start();
    let mut client = Client::new(&server);
    let keys: Vec<String> = (0..4096).map(|at| at.to_string()).collect();
    let watch: Vec<&[u8]> = std::iter::once(&b"WATCH"[..]).chain(keys.iter().map(String::as_bytes)).collect();
    client.check(resp(&watch), "+OK\r\n");
    client.resp("WATCH one", "-ERR a client can watch at most 4096 keys\r\n");
    client.check("SET 4095 v\r\nMULTI\r\nEXEC\r\n", "+OK\r\n+OK\r\n*-1\r\n");
    client.resp("WATCH one", "+OK\r\n");
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

//! At every limit there is a clear answer, and the server goes on.

mod support;

use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use crabcache_server::{Config, ConfigError, Server, ServerError};
use support::program::Program;
use support::{Client, config, resp, start, start_with};

#[test]
fn a_full_arena_keeps_serving() {
    let mut config = config();
    config.memory_bytes = 4 << 20;
    let server = start_with(config);
    thread::scope(|scope| {
        for number in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut client = Client::new(server);
                let (mut stored, mut round) = (0, 0);
                while stored < 20_000 {
                    round += 1;
                    assert!(round < 4000, "of {round} times 100, {stored} were stored");
                    let keys: Vec<String> = (0..100).map(|i| format!("{number}:{round}:{i}")).collect();
                    let value = |i: usize| vec![b'v'; 100 + i * 7];
                    let sets = keys.iter().enumerate();
                    client.send(
                        sets.flat_map(|(i, key)| resp(&[b"SET", key.as_bytes(), &value(i)]))
                            .collect::<Vec<u8>>(),
                    );
                    for _ in &keys {
                        // Where the other worker is not run for a while, it holds memory back; more are stored later.
                        let answer = client.line();
                        assert!(answer == "+OK" || answer.starts_with("-OOM"), "{answer}");
                        stored += usize::from(answer == "+OK");
                    }
                    client.send(resp(&[b"GET", keys[99].as_bytes()]));
                    let got = client.value().expect("an answer");
                    assert!(got.is_none_or(|got| got == value(99)));
                }
            });
        }
    });
    let mut client = Client::new(&server);
    client.send(resp(&[b"INFO", b"stats"]));
    let info = String::from_utf8(client.bulk()).unwrap();
    assert!(info.contains("evicted_keys:") && !info.contains("evicted_keys:0\r\n"), "{info}");
}

#[test]
fn a_value_larger_than_the_arena_is_refused_and_the_client_goes_on() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("SET k old", "+OK\r\n");
    for len in [5 << 20, 17 << 20, 64 << 20] {
        client.send(resp(&[b"SET", b"k", &vec![b'v'; len]]));
        let line = client.line();
        assert!(line.starts_with("-ERR item is too large: key and value may have "), "{line}");
        client.resp("GET k", "$3\r\nold\r\n");
    }
    // Whatever else has so large an argument, or several.
    let value = vec![b'v'; 17 << 20];
    for words in [
        &[&b"APPEND"[..], b"k", &value[..5 << 20]][..],
        &[b"APPEND", b"k", &value],
        &[b"SET", b"k", &value, b"EX", b"10"],
        &[b"SET", b"k", &value, b"NX", b"GET", b"PX", b"1000000"],
        &[b"SETEX", b"k", b"10", &value],
        &[b"MSET", b"k", &value, b"l", &value, b"m", b"v"],
    ] {
        client.send(resp(words));
        let line = client.line();
        assert!(line.starts_with("-ERR item is too large: key and value may have "), "{line}");
        client.resp("GET k", "$3\r\nold\r\n");
    }
    // Each of them would do, but not all together.
    let mut words: Vec<&[u8]> = vec![b"MSET"];
    words.extend([&b"k"[..], &value[..1 << 20]].repeat(16));
    client.send([resp(&words), resp(&[b"GET", b"k"])].concat());
    let line = client.line();
    assert!(line.starts_with("-ERR the request is too large: it may have "), "{line}");
    client.expect("$3\r\nold\r\n");
    // It is answered before it is here.
    client.send("*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$100000000\r\n");
    assert!(client.line().starts_with("-ERR item is too large"));
    client.send([&b"v".repeat(100_000_000)[..], b"\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"].concat());
    client.expect("$3\r\nold\r\n");
    // What is left of it is none.
    client.send(&resp(&[b"MSET", b"k", &value, b"l", b""])[..(17 << 20) + 41]);
    assert!(client.line().starts_with("-ERR item is too large"));
    client.send("what");
    assert!(client.rest().starts_with(b"-ERR Protocol error: expected '$', got 'w'\r\n"));
    let mut client = Client::new(&server);
    client.send("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000000\r\n");
    assert!(client.rest().starts_with(b"-ERR Protocol error: invalid bulk length\r\n"));
}

#[test]
fn a_key_of_64_kib_is_too_long_by_one() {
    let server = start();
    let mut client = Client::new(&server);
    let key = vec![b'k'; 65_535];
    client.check(resp(&[b"SET", &key, b"v"]), "+OK\r\n");
    client.check(resp(&[b"GET", &key]), "$1\r\nv\r\n");
    let key = vec![b'k'; 65_536];
    let refusal = "-ERR key is too long: it may have 65535 bytes\r\n";
    client.check(resp(&[b"SET", &key, b"v"]), refusal);
    client.check(resp(&[b"APPEND", &key, b"v"]), refusal);
    // Nothing can be stored under it, so it is absent.
    client.check(resp(&[b"GET", &key]), "$-1\r\n");
    client.check(resp(&[b"EXISTS", &key, b"none"]), ":0\r\n");
    client.resp("PING", "+PONG\r\n");
}

#[test]
fn clients_that_leave_in_the_middle_leave_nothing_behind() {
    let server = start();
    for cut in [1, 4, 13, 20, 30] {
        let request = resp(&[b"SET", b"half", b"a value that does not arrive"]);
        let mut client = Client::new(&server);
        client.send(&request[..cut]);
        drop(client);
        let mut client = Client::new(&server);
        client.send(&request[..cut]);
        client.0.shutdown(Shutdown::Write).unwrap();
        assert!(client.rest().is_empty());
    }
    // One that leaves without taking its answers.
    for _ in 0..20 {
        let mut client = Client::new(&server);
        client.send(resp(&[b"SET", b"k", &vec![b'v'; 50_000]]));
        client.send(resp(&[b"GET", b"k"]).repeat(100));
    }
    let mut client = Client::new(&server);
    client.resp("GET half", "$-1\r\n");
    for _ in 0..400 {
        client.send(resp(&[b"INFO", b"clients"]));
        if String::from_utf8(client.bulk()).unwrap().contains("connected_clients:1\r\n") {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("clients that have left still count");
}

#[test]
fn a_client_that_only_half_closes_gets_its_answers() {
    let server = start();
    let mut client = Client::new(&server);
    client.send(resp(&[b"SET", b"k", b"v"]).repeat(1000));
    client.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"+OK\r\n".repeat(1000));
}

#[test]
fn garbage_first_lines_get_an_error_and_an_end() {
    let server = start();
    for (garbage, answer) in [
        (b"*3\r\nhello\r\n".as_slice(), "-ERR Protocol error: expected '$', got 'h'\r\n"),
        (b"*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"),
        (b"\x16\x03\x01\x02\x00\x01", "-ERR Protocol error: this port does not speak TLS\r\n"),
        (b"\x01\x02\x03", "-ERR Protocol error: no known protocol starts with byte 0x01\r\n"),
    ] {
        let mut client = Client::new(&server);
        client.send(garbage);
        assert_eq!(support::text(&client.rest()), answer);
    }
    let mut client = Client::new(&server);
    client.send(vec![b'x'; 100_000]);
    assert_eq!(support::text(&client.rest()), "-ERR Protocol error: too big inline request\r\n");
    let mut client = Client::new(&server);
    client
        .check("what is this\r\n", "-ERR unknown command 'what', with args beginning with: 'is' 'this' \r\n");
}

#[test]
fn a_web_page_cannot_smuggle_commands() {
    let server = start();
    Client::new(&server).resp("SET k v", "+OK\r\n");
    for request in [
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:7001\r\n\r\nFLUSHALL\r\nSET k evil\r\n",
        "GET /index.html HTTP/1.1\r\nHost: x\r\n\r\nSET k evil\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\nSET k evil\r\n",
    ] {
        let mut client = Client::new(&server);
        client.send(request);
        assert_eq!(support::text(&client.rest()), "-ERR this is a cache, not a web server\r\n");
    }
    let mut client = Client::new(&server);
    client.resp("GET k", "$1\r\nv\r\n");
    // Which does not send arrays: to a client that does, these are commands like others.
    for word in ["DELETE", "post"] {
        client.resp(
            &format!("{word} k"),
            &format!("-ERR unknown command '{word}', with args beginning with: 'k' \r\n"),
        );
    }
    client.resp("GET k", "$1\r\nv\r\n");
    client.send("DELETE k\r\n");
    assert_eq!(support::text(&client.rest()), "-ERR this is a cache, not a web server\r\n");
}

#[test]
fn too_many_clients_are_told_so() {
    let mut config = config();
    config.connections_max = 3;
    let server = start_with(config);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::new(&server)).collect();
    for client in &mut clients {
        client.resp("PING", "+PONG\r\n");
    }
    let mut refused = Client::new(&server);
    assert_eq!(refused.rest(), b"-ERR max number of clients reached\r\n");
    clients.pop();
    for attempt in 0.. {
        let mut client = Client::new(&server);
        client.send(resp(&[b"PING"]));
        if client.rest_or_line() == "+PONG" {
            break;
        }
        assert!(attempt < 1000, "a place that was left is not given again");
        thread::sleep(Duration::from_millis(20));
    }
    clients[0].send(resp(&[b"INFO", b"stats"]));
    assert!(!String::from_utf8(clients[0].bulk()).unwrap().contains("rejected_connections:0\r\n"));
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let tiny = Config { memory_bytes: 1024, ..config() };
    let error = Server::start(tiny).unwrap_err();
    assert!(matches!(error, ServerError::Config(ConfigError::MemoryTooSmall { len: 1024, .. })));
    let text = error.to_string();
    assert!(text.contains("--memory") && text.contains("smallest accepted"), "{text}");
    let taken = start();
    let listen = vec![taken.address.to_string().parse().unwrap()];
    let error = Server::start(Config { listen, ..config() }).unwrap_err();
    assert!(matches!(error, ServerError::Bind { .. }) && error.to_string().contains("--listen"), "{error}");
    let error = Server::start(Config { connections_max: 0, ..config() }).unwrap_err();
    assert!(error.is_config() && error.to_string().contains("--max-connections"));
}

#[test]
fn a_full_arena_never_answers_with_an_old_value() {
    let mut config = config();
    config.memory_bytes = 2 << 20;
    let server = start_with(config);
    thread::scope(|scope| {
        for number in 0..6 {
            let server = &server;
            scope.spawn(move || {
                let mut client = Client::new(server);
                // What each key may hold: the last value that was stored, or nothing if it was evicted.
                let mut stored: Vec<Option<Vec<u8>>> = vec![None; 8];
                for round in 0..150 {
                    let mut requests = Vec::new();
                    let values: Vec<Vec<u8>> = (0..64)
                        .map(|i| {
                            format!("{number}:{round}:{i}:")
                                .repeat(1 + (round * 7 + i * 13) % 400)
                                .into_bytes()
                        })
                        .collect();
                    for (i, value) in values.iter().enumerate() {
                        let key = format!("{number}:{}", i % 8);
                        requests.extend(resp(&[b"SET", key.as_bytes(), value]));
                        requests.extend(resp(&[b"GET", key.as_bytes()]));
                    }
                    client.send(&requests);
                    for (i, value) in values.into_iter().enumerate() {
                        match client.line().as_str() {
                            "+OK" => stored[i % 8] = Some(value),
                            refused => assert!(refused.starts_with("-OOM"), "{refused}"),
                        }
                        match client.value() {
                            Ok(Some(got)) => {
                                assert_eq!(
                                    Some(support::text(&got)),
                                    stored[i % 8].as_deref().map(support::text)
                                );
                            }
                            Ok(None) => {}
                            Err(refused) => assert!(refused.starts_with("-OOM"), "{refused}"),
                        }
                    }
                }
            });
        }
    });
}

#[test]
fn answers_larger_than_memory_are_refused_not_gathered() {
    let mut config = config();
    config.memory_bytes = 64 << 20;
    let server = start_with(config);
    let mut client = Client::new(&server);
    client.check(resp(&[b"SET", b"k", &vec![b'v'; 300_000]]), "+OK\r\n");
    // 2000 times 300 kB in one answer would be 600 MB.
    let mut words: Vec<&[u8]> = vec![b"MGET"];
    words.resize(2001, b"k");
    client.send(resp(&words));
    assert_eq!(client.line(), "*2000");
    let (mut values, mut errors) = (0, 0);
    for _ in 0..2000 {
        match client.value() {
            Ok(Some(value)) if value.len() == 300_000 => values += 1,
            Err(line) if line.starts_with("-ERR the answers of this pipeline are too large") => errors += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(values > 100 && errors > 1000, "{values} {errors}");
    client.resp("PING", "+PONG\r\n");
}

#[test]
fn memcached_is_given_more_than_a_turn_may_gather() {
    let mut config = config();
    config.memory_bytes = 64 << 20;
    let server = start_with(config);
    let mut client = Client::new(&server);
    client.check(resp(&[b"SET", b"k", &vec![b'v'; 1 << 20]]), "+OK\r\n");
    let mut client = Client::new(&server);
    // 60 times 1 MiB: they are answered in slices.
    client.send(format!("get{}\r\nmn\r\nget s\r\n", " k".repeat(60)));
    let mut values = 0;
    loop {
        match client.line().as_str() {
            "VALUE k 0 1048576" => {
                client.expect([&vec![b'v'; 1 << 20], &b"\r\n"[..]].concat());
                values += 1;
            }
            line => break assert_eq!(line, "END"),
        }
    }
    assert_eq!(values, 60);
    // What comes next is the answer to the next request.
    client.expect("MN\r\nEND\r\n");
}

/// No client was closed because all of them together held too much.
#[track_caller]
fn nobody_was_closed(client: &mut Client) {
    client.send(resp(&[b"INFO", b"stats"]));
    let info = String::from_utf8(client.bulk()).unwrap();
    assert!(info.contains("client_output_buffer_limit_disconnections:0\r\n"), "{info}");
}

/// A SET of a value of this many bytes.
fn large_set(key: &str, len: usize) -> Vec<u8> {
    resp(&[b"SET", key.as_bytes(), &vec![b'v'; len]])
}

#[test]
fn many_large_requests_at_once_wait_for_each_other_within_the_memory() {
    const MEMORY: usize = 64 << 20;
    const ALLOWANCE: usize = 48 << 20;
    let program = Program::start(&["--memory", "64mb", "--workers", "2"]);
    let address = program.address;
    thread::scope(|scope| {
        for number in 0..50 {
            scope.spawn(move || {
                let mut client = Client::to(address);
                client.0.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
                client.0.set_write_timeout(Some(Duration::from_mins(1))).unwrap();
                let set = large_set(&format!("k{number}"), 1 << 20).repeat(4);
                for _ in 0..3 {
                    client.send(&set);
                    for _ in 0..4 {
                        // The arena may be full for a moment where the machine is busy; that is not what this is about.
                        let line = client.line();
                        assert!(line == "+OK" || line.starts_with("-OOM"), "{line}");
                    }
                }
            });
        }
    });
    let highest = program.resident_max();
    assert!(highest <= MEMORY + ALLOWANCE, "{} MiB", highest >> 20);
    nobody_was_closed(&mut Client::to(address));
}

#[test]
fn answers_that_nobody_takes_are_bounded_and_others_go_on() {
    const MEMORY: usize = 64 << 20;
    const ALLOWANCE: usize = 48 << 20;
    let program = Program::start(&["--memory", "64mb", "--workers", "1"]);
    let address = program.address;
    let mut client = Client::to(address);
    client.check(large_set("k", 1 << 20), "+OK\r\n");
    let mut lazy: Vec<Client> = (0..50).map(|_| Client::to(address)).collect();
    for (number, client) in lazy.iter_mut().enumerate() {
        // Typed by hand it is the same.
        let get = if number % 2 == 0 { resp(&[b"GET", b"k"]) } else { b"GET k\r\n".to_vec() };
        client.send(get.repeat(30));
    }
    for _ in 0..100 {
        client.resp("STRLEN k", ":1048576\r\n");
    }
    let highest = program.resident_max();
    assert!(highest <= MEMORY + ALLOWANCE, "{} MiB", highest >> 20);
    // Those who take their answers get all of them.
    let mut expected = b"$1048576\r\n".to_vec();
    expected.resize(expected.len() + (1 << 20), b'v');
    expected.extend_from_slice(b"\r\n");
    thread::scope(|scope| {
        for client in &mut lazy {
            // Made before it is needed: who takes nothing for some seconds is closed.
            scope.spawn(|| (0..30).for_each(|_| client.expect_in_pieces(&expected)));
        }
    });
}

#[test]
fn idle_clients_hold_no_buffers() {
    let program = Program::start(&["--memory", "16mb", "--workers", "2"]);
    let (set, get) = (large_set("k", 60_000), resp(&[b"GET", b"k"]));
    let answer = [b"$60000\r\n".as_slice(), &vec![b'v'; 60_000], b"\r\n"].concat();
    let use_all = |clients: &mut [Client]| {
        for client in clients {
            // In two pieces, so that the first has to be kept.
            client.send(&set[..50_000]);
            client.check(&set[50_000..], "+OK\r\n");
            client.check(&get, &answer);
        }
    };
    let connect = |count: usize| (0..count).map(|_| Client::to(program.address)).collect::<Vec<_>>();
    let mut clients = connect(30);
    for _ in 0..10 {
        use_all(&mut clients);
    }
    let before = program.resident();
    let mut more = connect(400);
    use_all(&mut more);
    let grown = program.resident().saturating_sub(before);
    assert!(grown < 4 << 20, "400 idle clients hold {} KiB", grown >> 10);
}

#[test]
fn answers_larger_than_the_clients_memory_are_whole_for_everybody() {
    const LEN: usize = 5 << 20;
    let mut config = config();
    config.memory_bytes = 512 << 20;
    config.client_memory_bytes = 8 << 20;
    let server = start_with(config);
    Client::new(&server).check(large_set("k", LEN), "+OK\r\n");
    Client::new(&server).resp("SET s v", "+OK\r\n");
    let value = vec![b'v'; LEN];
    let resp_answer = [format!("${LEN}\r\n").as_bytes(), &value, b"\r\n"].concat();
    // Made before they are needed: who takes nothing for some seconds is closed.
    let questions = [
        (resp(&[b"GET", b"k"]).repeat(2), resp_answer.repeat(2)),
        (resp(&[b"MGET", b"k", b"k"]), [b"*2\r\n", &*resp_answer.repeat(2)].concat()),
        (b"get k\r\n".to_vec(), [format!("VALUE k 0 {LEN}\r\n").as_bytes(), &value, b"\r\nEND\r\n"].concat()),
    ];
    thread::scope(|scope| {
        for number in 0..9 {
            let (server, (request, answer)) = (&server, &questions[number % 3]);
            scope.spawn(move || {
                let mut client = Client::new(server);
                client.0.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
                for _ in 0..3 {
                    client.send(request);
                    client.expect_in_pieces(answer);
                }
            });
        }
        // Small answers come in between.
        let mut small = Client::new(&server);
        for _ in 0..200 {
            small.resp("GET s", "$1\r\nv\r\n");
        }
    });
    nobody_was_closed(&mut Client::new(&server));
}

/// What clients have sent before they were told to wait is memory that they give back only when they are served.
#[test]
fn clients_do_not_wait_for_themselves_or_for_each_other() {
    let mut config = config();
    config.memory_bytes = 64 << 20;
    config.workers = 1;
    config.client_memory_bytes = 4 << 20;
    let server = start_with(config);
    Client::new(&server).check(large_set("big", 1 << 20), "+OK\r\n");
    let answer = [b"$1048576\r\n", &*vec![b'v'; 1 << 20], b"\r\n"].concat();
    let expected = [answer.repeat(3), b"+OK\r\n".repeat(8)].concat();
    thread::scope(|scope| {
        for number in 0..60 {
            let (server, expected) = (&server, &expected);
            scope.spawn(move || {
                let mut client = Client::new(server);
                client.0.set_read_timeout(Some(Duration::from_secs(25))).unwrap();
                let set = resp(&[b"SET", format!("small{number}").as_bytes(), &vec![b's'; 30_000]]);
                client.check([resp(&[b"GET", b"big"]).repeat(3), set.repeat(8)].concat(), expected);
            });
        }
    });
    nobody_was_closed(&mut Client::new(&server));
}

#[test]
fn who_holds_memory_and_does_nothing_makes_place_for_who_waits() {
    let mut config = config();
    config.memory_bytes = 64 << 20;
    config.workers = 1;
    config.client_memory_bytes = 4 << 20;
    let server = start_with(config);
    let mut lazy = Client::new(&server);
    // Not a SET, whose value would lie in the memory for items.
    lazy.send(&resp(&[b"APPEND", b"lazy", &vec![b'v'; 4 << 20]])[..1 << 20]);
    // Until it is read as far as it goes.
    thread::sleep(Duration::from_secs(1));
    let mut client = Client::new(&server);
    client.0.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client.resp("SET small v", "+OK\r\n");
    client.check(large_set("k", 2 << 20), "+OK\r\n");
    client.resp("STRLEN k", ":2097152\r\n");
    assert_eq!(lazy.line(), "-ERR the requests of all clients take too much memory");
}

//! Clients that keep copies are told when the keys change, over two workers and in both versions of RESP.

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use support::{Client, Started, resp, start};

/// A client that speaks RESP3.
fn third(server: &Started) -> Client {
    let mut client = Client::new(server);
    client.send(resp(&[b"HELLO", b"3"]));
    while client.line() != "*0" {}
    client
}

fn invalidation(key: &str) -> String {
    format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{key}\r\n", key.len())
}

/// Keys that change together may be told of together.
#[track_caller]
fn expect_keys<K: AsRef<str>>(client: &mut Client, keys: &[K]) {
    let mut left = keys;
    while !left.is_empty() {
        client.expect(">2\r\n$10\r\ninvalidate\r\n");
        let count = client.line()[1..].parse().expect("a number of keys");
        let (some, rest) = left.split_at(count);
        for key in some {
            assert_eq!(client.bulk(), key.as_ref().as_bytes());
        }
        left = rest;
    }
}

#[track_caller]
fn expect_nothing(client: &mut Client) {
    // What was under way would come before the answer.
    client.resp("PING", "+PONG\r\n");
    client.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(client.0.read(&mut [0]).is_err());
    client.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
}

#[test]
fn whoever_has_read_a_key_is_told_once() {
    let server = start();
    let (mut reader, mut writer) = (third(&server), Client::new(&server));
    writer.resp("SET a 1", "+OK\r\n");
    reader.resp("CLIENT TRACKING ON", "+OK\r\n");
    reader.resp("GET a", "$1\r\n1\r\n");
    reader.resp("MGET b c", "*2\r\n_\r\n_\r\n");
    writer.resp("SET a 2", "+OK\r\n");
    reader.expect(invalidation("a"));
    writer.resp("SET a 3", "+OK\r\n");
    writer.resp("SET d 1", "+OK\r\n");
    expect_nothing(&mut reader);
    for (write, answer, key) in [
        ("MSET c 1 x 1", "+OK\r\n", "c"),
        ("INCR n", ":1\r\n", "n"),
        ("DEL a", ":1\r\n", "a"),
        ("EXPIRE n 100", ":1\r\n", "n"),
    ] {
        reader.send(resp(&[b"EXISTS", key.as_bytes()]));
        reader.line();
        writer.resp(write, answer);
        reader.expect(invalidation(key));
    }
    // A write that changes nothing is none.
    reader.resp("GET n", "$1\r\n1\r\n");
    writer.resp("SETNX n 2", ":0\r\n");
    expect_nothing(&mut reader);
    // Its own writes, too; and what other protocols write.
    reader.send(resp(&[b"SET", b"n", b"2"]));
    reader.expect(format!("+OK\r\n{}", invalidation("n")));
    reader.resp("GET n", "$1\r\n2\r\n");
    Client::new(&server).check("set n 0 0 1\r\n3\r\n", "STORED\r\n");
    reader.expect(invalidation("n"));
    reader.resp("GET n", "$1\r\n3\r\n");
    writer.resp("FLUSHALL", "+OK\r\n");
    reader.expect(">2\r\n$10\r\ninvalidate\r\n_\r\n");
    // So it is of one of several databases, and not once for each of its keys, to whoever is told of all.
    let mut broadcast = third(&server);
    writer.check("SET k 1\r\nSELECT 1\r\nMSET a 1 b 1 c 1\r\n", "+OK\r\n+OK\r\n+OK\r\n");
    broadcast.resp("CLIENT TRACKING ON BCAST", "+OK\r\n");
    writer.check("FLUSHDB\r\nSELECT 0\r\n", "+OK\r\n+OK\r\n");
    for client in [&mut reader, &mut broadcast] {
        client.expect(">2\r\n$10\r\ninvalidate\r\n_\r\n");
        expect_nothing(client);
    }
    reader.resp("CLIENT TRACKING OFF", "+OK\r\n");
    reader.resp("GET n", "_\r\n");
    writer.resp("SET n 1", "+OK\r\n");
    expect_nothing(&mut reader);
}

/// Begins a transaction that reads `a` and `b`.
fn queue_gets(reader: &mut Client) {
    reader.resp("MULTI", "+OK\r\n");
    reader.resp("GET a", "+QUEUED\r\n");
    reader.resp("GET b", "+QUEUED\r\n");
}

#[test]
fn transactions_and_pipelines_are_told_of() {
    let server = start();
    let (mut reader, mut writer) = (third(&server), Client::new(&server));
    reader.resp("CLIENT TRACKING ON NOLOOP", "+OK\r\n");
    queue_gets(&mut reader);
    reader.resp("EXEC", "*2\r\n_\r\n_\r\n");
    reader.resp("SET b 1", "+OK\r\n");
    // What is read, and then written.
    reader.resp("MGET c d", "*2\r\n_\r\n_\r\n");
    reader.resp("SETRANGE c 0 v", ":1\r\n");
    reader.resp("MSETNX d 1 e 1", ":1\r\n");
    expect_nothing(&mut reader);
    writer.resp("MULTI", "+OK\r\n");
    writer.resp("SET a 1", "+QUEUED\r\n");
    writer.resp("EXEC", "*1\r\n+OK\r\n");
    reader.expect(invalidation("a"));
    let keys: Vec<String> = (0..100).map(|at| format!("k{at}")).collect();
    for key in &keys {
        reader.send(resp(&[b"GET", key.as_bytes()]));
    }
    reader.expect("_\r\n".repeat(keys.len()));
    writer.send(keys.iter().flat_map(|key| resp(&[b"SET", key.as_bytes(), b"1"])).collect::<Vec<u8>>());
    writer.expect("+OK\r\n".repeat(keys.len()));
    expect_keys(&mut reader, &keys);
}

#[test]
fn options_choose_the_keys() {
    let server = start();
    let (mut reader, mut writer) = (third(&server), Client::new(&server));
    reader.resp("CLIENT TRACKING ON OPTIN", "+OK\r\n");
    reader.resp("GET a", "_\r\n");
    reader.resp("CLIENT CACHING YES", "+OK\r\n");
    reader.resp("GET b", "_\r\n");
    reader.resp("GET c", "_\r\n");
    writer.resp("MSET a 1 b 1 c 1", "+OK\r\n");
    reader.expect(invalidation("b"));
    expect_nothing(&mut reader);
    reader.resp("CLIENT TRACKING OFF", "+OK\r\n");
    reader.resp("CLIENT TRACKING ON OPTOUT", "+OK\r\n");
    reader.resp("CLIENT CACHING NO", "+OK\r\n");
    reader.resp("GET a", "$1\r\n1\r\n");
    reader.resp("GET b", "$1\r\n1\r\n");
    writer.resp("MSET a 1 b 1 c 1", "+OK\r\n");
    reader.expect(invalidation("b"));
    expect_nothing(&mut reader);
    reader.resp("CLIENT TRACKING OFF", "+OK\r\n");
    reader.resp("CLIENT TRACKING ON BCAST PREFIX user: PREFIX job: NOLOOP", "+OK\r\n");
    writer.resp("MSET user:1 1 a 1 job:1 1", "+OK\r\n");
    expect_keys(&mut reader, &["user:1", "job:1"]);
    reader.resp("SET user:2 1", "+OK\r\n");
    writer.resp("SET user:1 2", "+OK\r\n");
    reader.expect(invalidation("user:1"));
    // Without a prefix it is all keys, also for who had some.
    reader.resp("CLIENT TRACKING ON BCAST", "+OK\r\n");
    writer.resp("SET a 2", "+OK\r\n");
    reader.expect(invalidation("a"));
    writer.send(resp(&[b"INFO", b"clients"]));
    assert!(String::from_utf8(writer.bulk()).unwrap().contains("tracking_clients:1\r\n"));
}

/// What CLIENT CACHING says holds for a transaction as a whole, and no longer.
#[test]
fn a_transaction_is_one_command_to_client_caching() {
    let server = start();
    let (mut reader, mut writer) = (third(&server), Client::new(&server));
    reader.resp("CLIENT TRACKING ON OPTIN", "+OK\r\n");
    reader.resp("CLIENT CACHING YES", "+OK\r\n");
    queue_gets(&mut reader);
    reader.resp("EXEC", "*2\r\n_\r\n_\r\n");
    reader.resp("GET c", "_\r\n");
    for key in ["a", "b"] {
        writer.resp(&format!("SET {key} 1"), "+OK\r\n");
        reader.expect(invalidation(key));
    }
    writer.resp("SET c 1", "+OK\r\n");
    expect_nothing(&mut reader);
    reader.resp("CLIENT TRACKING OFF", "+OK\r\n");
    reader.resp("CLIENT TRACKING ON OPTOUT", "+OK\r\n");
    reader.resp("CLIENT CACHING NO", "+OK\r\n");
    queue_gets(&mut reader);
    reader.resp("EXEC", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
    writer.resp("MSET a 2 b 2", "+OK\r\n");
    expect_nothing(&mut reader);
}

#[test]
fn what_a_script_reads_is_noted() {
    // The one of rate-limit-redis that looks at a counter and the time that it has left.
    const LOOK: &str = "EVALSHA 6aeb97ed6086dcdeafdc6fda3999a0d0e38ec96a 1";
    let server = start();
    let (mut reader, mut writer) = (third(&server), Client::new(&server));
    writer.resp("SET counter 5", "+OK\r\n");
    reader.resp("CLIENT TRACKING ON", "+OK\r\n");
    reader.resp(&format!("{LOOK} counter"), "*2\r\n$1\r\n5\r\n:-1\r\n");
    writer.resp("SET counter 6", "+OK\r\n");
    reader.expect(invalidation("counter"));
}

#[test]
fn another_client_receives_for_one_that_speaks_resp2() {
    let server = start();
    let (mut reader, mut receiver, mut writer) =
        (Client::new(&server), Client::new(&server), Client::new(&server));
    receiver.send(resp(&[b"CLIENT", b"ID"]));
    let id = receiver.line()[1..].to_owned();
    receiver.resp(
        "SUBSCRIBE __redis__:invalidate",
        "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n",
    );
    reader.resp(&format!("CLIENT TRACKING ON REDIRECT {id}"), "+OK\r\n");
    reader.resp("CLIENT GETREDIR", &format!(":{id}\r\n"));
    reader.resp("GET a", "$-1\r\n");
    writer.resp("SET a 1", "+OK\r\n");
    receiver.expect("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\na\r\n");
    writer.resp("FLUSHALL", "+OK\r\n");
    receiver.expect("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n");
    // One that speaks RESP3 is told when its receiver is gone.
    let mut other = third(&server);
    other.resp(&format!("CLIENT TRACKING ON REDIRECT {id}"), "+OK\r\n");
    other.resp("GET a", "_\r\n");
    writer.resp(&format!("CLIENT KILL ID {id}"), ":1\r\n");
    assert!(receiver.rest().is_empty());
    writer.resp("SET a 1", "+OK\r\n");
    other.expect(format!(">2\r\n$21\r\ntracking-redir-broken\r\n:{id}\r\n"));
    other.send(resp(&[b"CLIENT", b"TRACKINGINFO"]));
    other.expect("%3\r\n$5\r\nflags\r\n~2\r\n$2\r\non\r\n$15\r\nbroken_redirect\r\n");
}

#[test]
fn the_table_is_bounded() {
    let server = start();
    let mut reader = third(&server);
    reader.resp("CONFIG SET tracking-table-max-keys 2", "+OK\r\n");
    reader.resp("CLIENT TRACKING ON", "+OK\r\n");
    reader.resp("GET a", "_\r\n");
    reader.resp("GET b", "_\r\n");
    reader.send(resp(&[b"GET", b"c"]));
    reader.expect(format!("_\r\n{}", invalidation("a")));
    reader.send(resp(&[b"INFO", b"stats"]));
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") && text.len() < 10_000 {
        text += &(reader.line() + "\r\n");
        if text.contains("tracking_total_prefixes") {
            break;
        }
    }
    assert!(text.contains("tracking_total_keys:2\r\ntracking_total_items:2\r\n"), "{text}");
}

#[test]
fn what_one_request_makes_go_is_told_of_however_much_that_is() {
    const KEPT: usize = 2;
    let server = start();
    let mut reader = third(&server);
    reader.resp(&format!("CONFIG SET tracking-table-max-keys {KEPT}"), "+OK\r\n");
    reader.resp("CLIENT TRACKING ON", "+OK\r\n");
    let keys: Vec<String> = (0..120_000).map(|at| format!("{at:06}")).collect();
    let words: Vec<&[u8]> = std::iter::once(&b"MGET"[..]).chain(keys.iter().map(String::as_bytes)).collect();
    reader.send(resp(&words));
    reader.expect_in_pieces(format!("*{}\r\n", keys.len()) + &"_\r\n".repeat(keys.len()));
    expect_keys(&mut reader, &keys[..keys.len() - KEPT]);
    expect_nothing(&mut reader);
}

#[test]
fn copies_of_keys_that_expire_go_with_them() {
    let server = start();
    let (mut reader, mut writer) = (third(&server), Client::new(&server));
    let begun = Instant::now();
    writer.resp("SET a 1 PX 1000", "+OK\r\n");
    writer.resp("SET b 1 PX 100000", "+OK\r\n");
    reader.resp("CLIENT TRACKING ON", "+OK\r\n");
    reader.resp("MGET a b", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
    reader.expect(invalidation("a"));
    assert!(begun.elapsed() >= Duration::from_millis(990), "it has not expired yet");
    expect_nothing(&mut reader);
    writer.resp("PERSIST b", ":1\r\n");
    reader.expect(invalidation("b"));
}

#[test]
fn copies_of_keys_that_make_room_for_others_go_with_them() {
    let server = support::start_with(support::Config { memory_bytes: 4 << 20, ..support::config() });
    let (mut reader, mut all, mut writer) = (third(&server), third(&server), Client::new(&server));
    let value = vec![b'v'; 3000];
    let fill = |writer: &mut Client, name: &str| {
        for round in 0..500 {
            let sets =
                (0..10).flat_map(|at| resp(&[b"SET", format!("{name}{round}:{at}").as_bytes(), &value]));
            writer.send(sets.collect::<Vec<u8>>());
            for _ in 0..10 {
                writer.line();
            }
        }
    };
    // Newcomers to a full cache go first.
    fill(&mut writer, "before");
    writer.check(resp(&[b"SET", b"victim", &value]), "+OK\r\n");
    reader.resp("CLIENT TRACKING ON", "+OK\r\n");
    reader.resp("STRLEN victim", ":3000\r\n");
    all.resp("CLIENT TRACKING ON BCAST PREFIX victim", "+OK\r\n");
    fill(&mut writer, "behind");
    writer.resp("EXISTS victim", ":0\r\n");
    reader.expect(invalidation("victim"));
    all.expect(invalidation("victim"));
    expect_nothing(&mut reader);
    expect_nothing(&mut all);
}

#[test]
fn who_asks_for_all_changes_is_told_of_keys_that_expire() {
    let server = start();
    let (mut all, mut writer) = (third(&server), Client::new(&server));
    all.resp("CLIENT TRACKING ON BCAST PREFIX a PREFIX b", "+OK\r\n");
    writer.resp("SET a 1 PX 50", "+OK\r\n");
    all.expect(invalidation("a"));
    all.expect(invalidation("a"));
    // Also where somebody comes across it first.
    writer.resp("SET b 1 PX 1", "+OK\r\n");
    std::thread::sleep(Duration::from_millis(5));
    writer.resp("DEL b", ":0\r\n");
    expect_keys(&mut all, &["b", "b"]);
    expect_nothing(&mut all);
}

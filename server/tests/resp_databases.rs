//! Databases are keyspaces of their own; database 0 is the one that all protocols share.

mod support;

use std::fmt::Write;

use crabcache_protocol::native::{Command, Put, Request};
use support::{Client, config, resp, start, start_with};

#[test]
fn keys_that_look_like_stored_ones_are_what_they_are_in_every_protocol() {
    let server = start();
    let (mut redis, mut memcached) = (Client::new(&server), Client::new(&server));
    let stored: &[u8] = b"\xFF\x01key";
    redis.check(resp(&[b"SET", stored, b"zero"]), "+OK\r\n");
    redis.resp("SELECT 1", "+OK\r\n");
    redis.resp("GET key", "$-1\r\n");
    redis.resp("SET key one", "+OK\r\n");
    redis.resp("SELECT 0", "+OK\r\n");
    redis.check(resp(&[b"GETDEL", stored]), "$4\r\nzero\r\n");
    // memcached's keys have no control bytes.
    let key: &[u8] = b"\xFF!key";
    redis.check(resp(&[b"SET", key, b"zero"]), "+OK\r\n");
    memcached.check([b"set ", key, b" 7 0 1\r\nm\r\n"].concat(), "STORED\r\n");
    memcached.check([b"get ", key, b"\r\n"].concat(), [b"VALUE ", key, b" 7 1\r\nm\r\nEND\r\n"].concat());
    redis.check(resp(&[b"KEYS", b"*"]), [b"*1\r\n$5\r\n", key, b"\r\n"].concat());
    redis.check(resp(&[b"MGET", key, b"key", key]), "*3\r\n$1\r\nm\r\n$-1\r\n$1\r\nm\r\n");
    memcached.check([b"delete ", key, b"\r\n"].concat(), "DELETED\r\n");
    redis.check(resp(&[b"GET", key]), "$-1\r\n");
    redis.resp("SELECT 1", "+OK\r\n");
    redis.resp("GET key", "$3\r\none\r\n");
}

#[test]
fn native_clients_see_database_0_only() {
    let ask = |command| {
        let mut bytes = Vec::new();
        Request { opaque: 1, quiet: false, command }.encode(&mut bytes).expect("a request");
        bytes
    };
    let server = start();
    let (mut redis, mut native) = (Client::new(&server), Client::new(&server));
    let key: &[u8] = b"\xFF\x01key";
    let (put, get) = (
        ask(Command::Put(Put { key, value: b"native", ..Put::default() })),
        ask(Command::Get { key, meta: false }),
    );
    let (stored, found) = (
        b"\xC2\x00\x01\x00\x00\x00\x00\x00".as_slice(),
        b"\xC2\x00\x01\x00\x06\x00\x00\x00native".as_slice(),
    );
    native.check(put, stored);
    redis.check(resp(&[b"GET", key]), "$6\r\nnative\r\n");
    redis.resp("SELECT 1", "+OK\r\n");
    redis.resp("GET key", "$-1\r\n");
    redis.resp("SWAPDB 1 0", "+OK\r\n");
    redis.check(resp(&[b"GET", key]), "$6\r\nnative\r\n");
    native.check(&get, b"\xC2\x01\x01\x00\x00\x00\x00\x00");
    redis.resp("SWAPDB 0 1", "+OK\r\n");
    native.check(&get, found);
}

/// Several slices long, and each database on its own.
#[test]
fn walks_find_all_of_a_database_and_nothing_else() {
    const ITEMS: usize = 10_000;
    let server = start_with(support::Config { memory_bytes: 64 << 20, ..config() });
    let mut client = Client::new(&server);
    for database in [0, 3] {
        let mut requests = format!("SELECT {database}\r\n");
        for item in 0..ITEMS + database {
            write!(requests, "SET item:{database}:{item} {item}\r\n").unwrap();
        }
        client.check(requests, "+OK\r\n".repeat(ITEMS + database + 1));
    }
    client.resp("DBSIZE", ":10003\r\n");
    client.send("INFO keyspace\r\n");
    let info = String::from_utf8(client.bulk()).expect("text");
    assert_eq!(
        info,
        "# Keyspace\r\ndb0:keys=10000,expires=0,avg_ttl=0\r\ndb3:keys=10003,expires=0,avg_ttl=0\r\n"
    );
    client.send("KEYS item:3:*\r\n");
    assert_eq!(client.line(), "*10003");
    for _ in 0..10_003 {
        assert!(client.bulk().starts_with(b"item:3:"));
    }
    client.send("RANDOMKEY\r\n");
    assert!(client.bulk().starts_with(b"item:3:"));
    client.resp("KEYS item:0:*", "*0\r\n");
    // What follows on the same connection comes after it.
    client.check("FLUSHDB\r\nDBSIZE\r\nSELECT 0\r\nDBSIZE\r\n", "+OK\r\n:0\r\n+OK\r\n:10000\r\n");
    client.check(
        "SELECT 3\r\nRANDOMKEY\r\nFLUSHALL\r\nSELECT 0\r\nDBSIZE\r\n",
        "+OK\r\n$-1\r\n+OK\r\n+OK\r\n:0\r\n",
    );
}

#[test]
fn a_pattern_that_takes_too_long_is_refused() {
    let server = start_with(support::Config { memory_bytes: 64 << 20, ..config() });
    let mut client = Client::new(&server);
    client.check(resp(&[b"SET", &vec![b'a'; 60_000], b"1"]), "+OK\r\n");
    let pattern = [b"a*".repeat(5000), vec![b'a'; 5000], b"b".to_vec()].concat();
    let refused = "-ERR the pattern takes too long to match\r\n";
    client.check(resp(&[b"KEYS", &pattern]), refused);
    client.check(resp(&[b"SCAN", b"0", b"MATCH", &pattern, b"COUNT", b"1000"]), refused);
    client.check(resp(&[b"KEYS", b"*b"]), "*0\r\n");
}

/// So long that a slice cannot hold what it looks at.
#[test]
fn walks_over_long_keys() {
    let server = start_with(support::Config { memory_bytes: 256 << 20, ..config() });
    let mut client = Client::new(&server);
    client.resp("SELECT 2", "+OK\r\n");
    for item in 0..300 {
        let key = [format!("{item}:").as_bytes(), &vec![b'k'; 50_000]].concat();
        client.check(resp(&[b"SET", &key, b"1"]), "+OK\r\n");
    }
    client.resp("KEYS 1", "*0\r\n");
    client.resp("KEYS *", "-ERR too many keys match; use SCAN\r\n");
    let (mut cursor, mut seen) = ("0".to_owned(), 0);
    loop {
        client.send(format!("SCAN {cursor} COUNT 5000\r\n"));
        client.expect("*2\r\n");
        cursor = String::from_utf8(client.bulk()).expect("a number");
        let here: usize = client.line()[1..].parse().expect("a number");
        (0..here).for_each(|_| assert!(client.bulk().len() > 50_000));
        seen += here;
        if cursor == "0" {
            break;
        }
    }
    assert!(seen >= 300);
    client.resp("DBSIZE", ":300\r\n");
    client.check("SET other 1\r\nFLUSHDB\r\nDBSIZE\r\n", "+OK\r\n+OK\r\n:0\r\n");
}

#[test]
fn clients_are_listed_with_their_databases() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("SELECT 7", "+OK\r\n");
    for (request, database) in [("CLIENT INFO\r\n", " db=7 "), ("RESET\r\nCLIENT INFO\r\n", " db=0 ")] {
        client.send(request);
        if request.starts_with("RESET") {
            client.expect("+RESET\r\n");
        }
        let line = String::from_utf8(client.bulk()).expect("text");
        assert!(line.contains(database), "{line}");
    }
}

/// A key may have two bytes less where it is not stored as it is, and is refused rather than cut.
#[test]
fn the_longest_keys() {
    let server = start();
    let mut client = Client::new(&server);
    let key = vec![b'k'; 65_535];
    client.check(resp(&[b"SET", &key, b"1"]), "+OK\r\n");
    client.resp("SELECT 1", "+OK\r\n");
    client.check(resp(&[b"SET", &key, b"1"]), "-ERR key is too long: it may have 65535 bytes\r\n");
    client.check(resp(&[b"GET", &key]), "$-1\r\n");
    client.check(resp(&[b"SET", &key[2..], b"1"]), "+OK\r\n");
    client.check(resp(&[b"GET", &key[2..]]), "$1\r\n1\r\n");
    client.resp("SELECT 0", "+OK\r\n");
    client.check(resp(&[b"MOVE", &key, b"1"]), "-ERR key is too long: it may have 65535 bytes\r\n");
    client.check(resp(&[b"EXISTS", &key]), ":1\r\n");
}

/// Whoever has waited until it is alone looks again where the databases are.
#[test]
fn transactions_see_a_swap_wholly_or_not_at_all() {
    const ROUNDS: usize = 1000;
    let server = start_with(support::Config { workers: 2, ..config() });
    let mut client = Client::new(&server);
    client.check("SET k even\r\nSELECT 1\r\nSET k odd\r\nSELECT 2\r\nSET swaps 0\r\n", "+OK\r\n".repeat(5));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = Client::new(&server);
                for _ in 0..ROUNDS {
                    client.check(
                        "MULTI\r\nSWAPDB 0 1\r\nSELECT 2\r\nINCR swaps\r\nSELECT 0\r\nEXEC\r\n",
                        ["+OK\r\n", &"+QUEUED\r\n".repeat(4), "*4\r\n+OK\r\n+OK\r\n"].concat(),
                    );
                    client.line();
                    client.expect("+OK\r\n");
                }
            });
            scope.spawn(|| {
                let mut client = Client::new(&server);
                for _ in 0..ROUNDS {
                    client.check(
                        "MULTI\r\nGET k\r\nSELECT 2\r\nGET swaps\r\nSELECT 0\r\nEXEC\r\n",
                        ["+OK\r\n", &"+QUEUED\r\n".repeat(4), "*4\r\n"].concat(),
                    );
                    let word = client.bulk();
                    client.expect("+OK\r\n");
                    let swaps: usize = String::from_utf8(client.bulk()).unwrap().parse().unwrap();
                    client.expect("+OK\r\n");
                    assert_eq!(support::text(&word), ["even", "odd"][swaps % 2]);
                }
            });
        }
    });
}

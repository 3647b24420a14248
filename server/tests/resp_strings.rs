//! RESP commands that read and write values answer as Redis 7 does, to the byte.

mod support;

use std::fmt::Write;

use support::{Client, config, resp, start, start_with};

#[test]
fn set_and_get_with_every_option() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("GET k", "$-1\r\n");
    client.resp("SET k v", "+OK\r\n");
    client.resp("GET k", "$1\r\nv\r\n");
    client.resp("set k w nx", "$-1\r\n");
    client.resp("SET k w XX", "+OK\r\n");
    client.resp("SET other w XX", "$-1\r\n");
    client.resp("SET new 1 NX", "+OK\r\n");
    client.resp("SET k x GET", "$1\r\nw\r\n");
    client.resp("SET k y NX GET", "$1\r\nx\r\n");
    client.resp("SET none y XX GET", "$-1\r\n");
    client.resp("SET none y NX GET", "$-1\r\n");
    client.resp("GET none", "$1\r\ny\r\n");
    client.resp("GETSET k z", "$1\r\nx\r\n");
    client.resp("GETDEL k", "$1\r\nz\r\n");
    client.resp("GETDEL k", "$-1\r\n");
    client.resp("SETNX k 1", ":1\r\n");
    client.resp("SETNX k 2", ":0\r\n");
    client.resp("STRLEN none", ":1\r\n");
    client.resp("STRLEN nothing", ":0\r\n");
    client.resp("APPEND k 23", ":3\r\n");
    client.resp("APPEND fresh 23", ":2\r\n");
    client.resp("GET k", "$3\r\n123\r\n");
    client.resp("GETRANGE k 0 -2", "$2\r\n12\r\n");
    client.resp("GETRANGE k -2 -1", "$2\r\n23\r\n");
    client.resp("GETRANGE k 5 9", "$0\r\n\r\n");
    client.resp("SUBSTR k 1 1", "$1\r\n2\r\n");
}

#[test]
fn wrong_arguments_get_the_texts_of_redis() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("GET", "-ERR wrong number of arguments for 'get' command\r\n");
    client.resp("get a b", "-ERR wrong number of arguments for 'get' command\r\n");
    client.resp("SET a", "-ERR wrong number of arguments for 'set' command\r\n");
    client.resp("SET a b NX XX", "-ERR syntax error\r\n");
    client.resp("SET a b EX", "-ERR syntax error\r\n");
    client.resp("SET a b EX 10 PX 10", "-ERR syntax error\r\n");
    client.resp("SET a b EX 10 KEEPTTL", "-ERR syntax error\r\n");
    client.resp("SET a b EX ten", "-ERR value is not an integer or out of range\r\n");
    client.resp("SET a b EX 0", "-ERR invalid expire time in 'set' command\r\n");
    client.resp("SET a b PX -5", "-ERR invalid expire time in 'set' command\r\n");
    client.resp("SET a b EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n");
    client.resp("SETEX a 0 b", "-ERR invalid expire time in 'setex' command\r\n");
    client.resp("PSETEX a x b", "-ERR value is not an integer or out of range\r\n");
    client.resp("GETEX a EX 0", "$-1\r\n");
    client.resp("GETEX a NOW", "-ERR syntax error\r\n");
    client.resp("MSET a b c", "-ERR wrong number of arguments for 'mset' command\r\n");
    client.resp("INCRBY a b", "-ERR value is not an integer or out of range\r\n");
    client.resp("FOO bar baz", "-ERR unknown command 'FOO', with args beginning with: 'bar' 'baz' \r\n");
    client.resp("FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n");
    client.resp("GET a", "$-1\r\n");
}

#[test]
fn counters_count_as_those_of_redis() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("INCR n", ":1\r\n");
    client.resp("INCRBY n 41", ":42\r\n");
    client.resp("DECR n", ":41\r\n");
    client.resp("DECRBY n 51", ":-10\r\n");
    client.resp("DECR fresh", ":-1\r\n");
    client.resp("GET n", "$3\r\n-10\r\n");
    client.resp("SET n 9223372036854775807", "+OK\r\n");
    client.resp("INCR n", "-ERR increment or decrement would overflow\r\n");
    client.resp("GET n", "$19\r\n9223372036854775807\r\n");
    client.resp("DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n");
    for text in ["abc", "1.5", "01", "+1", "9223372036854775808"] {
        client.check(resp(&[b"SET", b"n", text.as_bytes()]), "+OK\r\n");
        client.resp("INCR n", "-ERR value is not an integer or out of range\r\n");
    }
}

#[test]
fn commands_over_several_keys() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("MSET a 1 b 2 c 3", "+OK\r\n");
    client.resp("MGET a none b c", "*4\r\n$1\r\n1\r\n$-1\r\n$1\r\n2\r\n$1\r\n3\r\n");
    client.resp("MGET a", "*1\r\n$1\r\n1\r\n");
    client.resp("EXISTS a a none b", ":3\r\n");
    client.resp("EXISTS a", ":1\r\n");
    client.resp("TOUCH a none", ":1\r\n");
    client.resp("DEL a none b", ":2\r\n");
    client.resp("UNLINK c", ":1\r\n");
    client.resp("DEL c", ":0\r\n");
    // Several batches long.
    let keys: Vec<String> = (0..200).map(|i| format!("key{i}")).collect();
    let mut words: Vec<&[u8]> = vec![b"MSET"];
    for key in &keys {
        words.extend([key.as_bytes(), key.as_bytes()]);
    }
    client.check(resp(&words), "+OK\r\n");
    let mut words: Vec<&[u8]> = vec![b"MGET"];
    words.extend(keys.iter().map(String::as_bytes));
    let mut all = String::new();
    for key in &keys {
        write!(all, "${}\r\n{key}\r\n", key.len()).unwrap();
    }
    client.check(resp(&words), format!("*200\r\n{all}"));
    words[0] = b"DEL";
    client.check(resp(&words), ":200\r\n");
}

#[test]
fn keys_and_values_are_any_bytes() {
    let server = start();
    let mut client = Client::new(&server);
    let bytes: Vec<u8> = (0..=255).collect();
    client.check(resp(&[b"SET", &bytes, &bytes]), "+OK\r\n");
    let expected = [b"$256\r\n".as_slice(), &bytes, b"\r\n"].concat();
    client.check(resp(&[b"GET", &bytes]), expected);
    client.check(resp(&[b"SET", b"", b""]), "+OK\r\n");
    client.check(resp(&[b"GET", b""]), "$0\r\n\r\n");
    for len in [0, 1, 99, 100, 9_999, 65_536, 200_000, 900_000] {
        let value = vec![b'v'; len];
        client.check(resp(&[b"SET", b"long", &value]), "+OK\r\n");
        let expected = [format!("${len}\r\n").as_bytes(), &value, b"\r\n"].concat();
        client.check(resp(&[b"GET", b"long"]), expected);
    }
}

#[test]
fn walking_and_emptying_the_keyspace() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("DBSIZE", ":0\r\n");
    for i in 0..1000 {
        client.resp(&format!("SET key:{i} {i}"), "+OK\r\n");
    }
    client.resp("SET other 1", "+OK\r\n");
    client.resp("DBSIZE", ":1001\r\n");
    client.resp("TYPE other", "+string\r\n");
    client.resp("TYPE none", "+none\r\n");
    let mut seen = std::collections::HashSet::new();
    let mut cursor = "0".to_owned();
    loop {
        client.send(resp(&[b"SCAN", cursor.as_bytes(), b"MATCH", b"key:*", b"COUNT", b"100"]));
        assert_eq!(client.line(), "*2");
        cursor = String::from_utf8(client.bulk()).unwrap();
        let len: usize = client.line()[1..].parse().unwrap();
        for _ in 0..len {
            seen.insert(client.bulk());
        }
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 1000);
    client.resp("SCAN 0 TYPE list COUNT 5000", "*2\r\n$1\r\n0\r\n*0\r\n");
    client.resp("SCAN x", "-ERR invalid cursor\r\n");
    client.resp("KEYS oth*", "*1\r\n$5\r\nother\r\n");
    client.send(resp(&[b"KEYS", b"*"]));
    assert_eq!(client.line(), "*1001");
    for _ in 0..1001 {
        client.bulk();
    }
    // What follows a flush on the same connection comes after it.
    client.check(
        [resp(&[b"FLUSHALL"]), resp(&[b"SET", b"a", b"1"]), resp(&[b"DBSIZE"]), resp(&[b"GET", b"a"])]
            .concat(),
        "+OK\r\n+OK\r\n:1\r\n$1\r\n1\r\n",
    );
    client.resp("FLUSHDB ASYNC", "+OK\r\n");
    client.resp("FLUSHALL NOW", "-ERR syntax error\r\n");
    client.resp("DBSIZE", ":0\r\n");
}

/// What Valkey added to Redis' SET.
#[test]
fn values_are_set_and_removed_if_they_are_as_expected() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("SET k new IFEQ old", "$-1\r\n");
    client.resp("SET k old", "+OK\r\n");
    client.resp("SET k new IFEQ other", "$-1\r\n");
    client.resp("SET k new IFEQ other GET", "$3\r\nold\r\n");
    client.resp("SET k new ifeq old EX 100", "+OK\r\n");
    client.resp("TTL k", ":100\r\n");
    client.resp("SET k newer IFEQ new GET KEEPTTL", "$3\r\nnew\r\n");
    client.resp("TTL k", ":100\r\n");
    client.resp("SET k newest IFEQ newer", "+OK\r\n");
    client.resp("TTL k", ":-1\r\n");
    client.resp("SET none x IFEQ y GET", "$-1\r\n");
    client.resp("SET k x IFEQ newest NX", "-ERR syntax error\r\n");
    client.resp("SET k x XX IFEQ newest", "-ERR syntax error\r\n");
    client.resp("SET k x IFEQ", "-ERR syntax error\r\n");
    client.resp("DELIFEQ k x", ":0\r\n");
    client.resp("DELIFEQ k newest", ":1\r\n");
    client.resp("DELIFEQ k newest", ":0\r\n");
    client.resp("SELECT 2", "+OK\r\n");
    client.resp("SET k 1", "+OK\r\n");
    client.resp("SET k 2 IFEQ 1", "+OK\r\n");
    client.resp("DELIFEQ k 2", ":1\r\n");
}

/// What is read and written again loses nothing that others write in between.
#[test]
fn changes_by_several_workers_all_count() {
    const ROUNDS: usize = 200;
    let server = start();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let mut client = Client::new(server);
                for round in 0..ROUNDS {
                    client.send(resp(&[b"INCRBYFLOAT", b"sum", b"0.25"]));
                    client.bulk();
                    client.send(format!("SETRANGE bytes {} x\r\n", number * ROUNDS + round));
                    client.line();
                    client
                        .send(format!("MSETNX a {number} b {number}\r\nMGET a b\r\nDELIFEQ a {number}\r\n"));
                    client.line();
                    assert_eq!(client.line(), "*2");
                    client.value().expect("a or nothing");
                    client.value().expect("b or nothing");
                    client.line();
                }
            });
        }
    });
    let mut client = Client::new(&server);
    client.resp("GET sum", "$3\r\n200\r\n");
    client.check("GET bytes\r\n", format!("$800\r\n{}\r\n", "x".repeat(800)));
}

#[test]
fn what_would_be_too_large_is_refused_and_changes_nothing() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("SET k v", "+OK\r\n");
    client.send("SETRANGE k 500000000 x\r\n");
    assert!(client.line().starts_with("-ERR item is too large"));
    client.resp("GET k", "$1\r\nv\r\n");
    let key = "k".repeat(65_536);
    let too_long = "-ERR key is too long: it may have 65535 bytes\r\n";
    client.check(resp(&[b"MSETNX", b"m", b"1", b"n", b"2", b"m", b"3", key.as_bytes(), b"4"]), too_long);
    client.resp("EXISTS m n", ":0\r\n");
    let long = vec![b'a'; 5000];
    client.check(resp(&[b"MSET", b"a", &long, b"b", &long]), "+OK\r\n");
    client.resp(
        "LCS a b LEN",
        "-ERR the values are too long for LCS: the product of their lengths may be about 8388608\r\n",
    );
    let (half, half_len) =
        (&long[..2500], "*4\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:0\r\n:2499\r\n*2\r\n:0\r\n:2499\r\n");
    client.check(resp(&[b"MSET", b"a", half, b"b", half]), "+OK\r\n");
    client.resp("LCS a b IDX", &format!("{half_len}$3\r\nlen\r\n:2500\r\n"));
}

#[test]
fn bits_beyond_what_an_item_may_have_are_refused() {
    let server = start_with(support::Config { memory_bytes: 64 << 20, workers: 1, ..config() });
    let mut client = Client::new(&server);
    for request in ["SETBIT k 4294967295 1", "BITFIELD k GET u8 0 INCRBY u8 #536870910 1"] {
        client.send(resp(&request.split(' ').map(str::as_bytes).collect::<Vec<_>>()));
        let line = client.line();
        assert!(line.starts_with("-ERR item is too large: key and value may have "), "{request}: {line}");
    }
    client.resp("EXISTS k", ":0\r\n");
    client.resp("SETBIT k 15999999 1", ":0\r\n");
    client.resp("STRLEN k", ":2000000\r\n");
    client.resp("BITCOUNT k", ":1\r\n");
    client.resp("BITPOS k 1", ":15999999\r\n");
    client.resp("BITOP OR d k k k k k k k k", ":2000000\r\n");
    client.resp("GETBIT d 15999999", ":1\r\n");
    client.send(resp(&[&[b"BITOP".as_slice(), b"OR", b"d"], &[b"k".as_slice(); 9][..]].concat()));
    let line = client.line();
    assert!(line.starts_with("-ERR the values are too long for BITOP: "), "{line}");
}

/// Commands that do something to all of their keys or to none hold others up until that is done.
#[test]
fn commands_that_cannot_be_carried_out_in_slices_have_few_keys() {
    let server = start();
    let mut client = Client::new(&server);
    let keys: Vec<String> = (0..8193).map(|key| format!("key{key}")).collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let pairs: Vec<&[u8]> = keys.iter().flat_map(|key| [*key, b"v"]).collect();
    client.check(resp(&[&[&b"MSETNX"[..]], &pairs[..]].concat()), "-ERR MSETNX takes at most 8192 keys\r\n");
    client.check(resp(&[&[&b"MSETNX"[..]], &pairs[2..]].concat()), ":1\r\n");
    let bitop = [&b"BITOP"[..], b"OR", b"d"];
    client.check(resp(&[&bitop, &keys[..]].concat()), "-ERR BITOP takes at most 8192 keys\r\n");
    client.check(resp(&[&bitop, &keys[1..]].concat()), ":1\r\n");
    // Nor has any that does not take any number of keys very many words.
    let gets = [&b"GET"[..], b"u8", b"0"].repeat(5461);
    let bitfield = [&[&b"BITFIELD"[..], b"key1"], &gets[..]].concat();
    client.check(resp(&bitfield), "-ERR wrong number of arguments for 'bitfield' command\r\n");
    client.send(resp(&bitfield[..bitfield.len() - 3]));
    assert_eq!(client.line(), "*5460");
}

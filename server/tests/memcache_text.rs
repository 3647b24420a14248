//! memcached's text protocol answers as memcached 1.6 does, to the byte.

mod support;

use std::thread::sleep;
use std::time::Duration;

use support::{Client, resp, start};

#[test]
fn storage_commands() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("get a\r\n", "END\r\n");
    client.check("set a 5 0 3\r\nabc\r\n", "STORED\r\n");
    client.check("get a\r\n", "VALUE a 5 3\r\nabc\r\nEND\r\n");
    client.check("add a 0 0 1\r\nx\r\n", "NOT_STORED\r\n");
    client.check("add b 0 0 1\r\nx\r\n", "STORED\r\n");
    client.check("replace none 0 0 1\r\nx\r\n", "NOT_STORED\r\n");
    client.check("replace b 0 0 1\r\ny\r\n", "STORED\r\n");
    client.check("append a 9 9 2\r\nde\r\n", "STORED\r\n");
    client.check("prepend a 9 9 1\r\n_\r\n", "STORED\r\n");
    client.check("append none 0 0 1\r\nx\r\n", "NOT_STORED\r\n");
    client.check("get a none b\r\n", "VALUE a 5 6\r\n_abcde\r\nVALUE b 0 1\r\ny\r\nEND\r\n");
    client.check("get a \r\n", "VALUE a 5 6\r\n_abcde\r\nEND\r\n");
    client.check("delete b\r\n", "DELETED\r\n");
    client.check("delete b\r\n", "NOT_FOUND\r\n");
    client.check("set e 0 0 0\r\n\r\n", "STORED\r\n");
    client.check("get e\r\n", "VALUE e 0 0\r\n\r\nEND\r\n");
}

#[test]
fn compare_and_swap() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("cas a 0 0 1 1\r\nx\r\n", "NOT_FOUND\r\n");
    client.check("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    let unique = |client: &mut Client| {
        client.send("gets a\r\n");
        let line = client.line();
        client.line();
        assert_eq!(client.line(), "END");
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let first = unique(&mut client);
    assert_eq!(first, unique(&mut client));
    client.check(format!("cas a 0 0 1 {first}\r\ny\r\n"), "STORED\r\n");
    client.check(format!("cas a 0 0 1 {first}\r\nz\r\n"), "EXISTS\r\n");
    client.check("get a\r\n", "VALUE a 0 1\r\ny\r\nEND\r\n");
    assert_ne!(first, unique(&mut client));
}

#[test]
fn counters() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("incr n 1\r\n", "NOT_FOUND\r\n");
    client.check("set n 0 0 2\r\n10\r\n", "STORED\r\n");
    client.check("incr n 5\r\n", "15\r\n");
    client.check("decr n 6\r\n", "9\r\n");
    client.check("decr n 100\r\n", "0\r\n");
    client.check("incr n 18446744073709551615\r\n", "18446744073709551615\r\n");
    client.check("incr n 2\r\n", "1\r\n");
    client.check("set n 0 0 3\r\nabc\r\n", "STORED\r\n");
    client.check("incr n 1\r\n", "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    client.check("incr n abc\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n");
    // A number with white space and a plus before it, and anything behind white space.
    client.check(
        "set n 0 0 7\r\n +04 xx\r\nincr n 1\r\nget n\r\n",
        "STORED\r\n5\r\nVALUE n 0 1\r\n5\r\nEND\r\n",
    );
}

#[test]
fn expiry_and_touch() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("set a 0 1 1\r\nx\r\n", "STORED\r\n");
    client.check("set gone 0 -1 1\r\nx\r\n", "STORED\r\n");
    client.check("set past 0 3000000 1\r\nx\r\n", "STORED\r\n");
    client.check("get a gone past\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
    client.check("set b 7 1 1\r\nx\r\n", "STORED\r\n");
    client.check("touch b 100\r\n", "TOUCHED\r\n");
    client.check("touch none 100\r\n", "NOT_FOUND\r\n");
    client.check("set c 7 1 1\r\nx\r\n", "STORED\r\n");
    client.check("gat 100 c none\r\n", "VALUE c 7 1\r\nx\r\nEND\r\n");
    sleep(Duration::from_millis(1200));
    client.check("get a b c\r\n", "VALUE b 7 1\r\nx\r\nVALUE c 7 1\r\nx\r\nEND\r\n");
    client.send("gats 0 b\r\n");
    assert_eq!(client.line().split(' ').count(), 5);
    client.line();
    client.expect("END\r\n");
}

#[test]
fn flush_now_and_later() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    client.check("flush_all\r\nget a\r\n", "OK\r\nEND\r\n");
    client.check("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    client.check("flush_all 1\r\nget a\r\n", "OK\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    sleep(Duration::from_millis(1500));
    client.check("get a\r\n", "END\r\n");
    client.check("flush_all noreply\r\nversion\r\n", "VERSION 1.6.40\r\n");
    // Nobody deleted anything.
    client.send("stats\r\nquit\r\n");
    let stats = String::from_utf8(client.rest()).unwrap();
    assert!(stats.contains("STAT delete_hits 0\r\n"), "{stats}");
}

#[test]
fn noreply_says_nothing() {
    let server = start();
    let mut client = Client::new(&server);
    client.check(
        "set a 0 0 1 noreply\r\n1\r\nadd a 0 0 1 noreply\r\n2\r\nincr a 4 noreply\r\ndecr a 1 noreply\r\n\
         touch a 0 noreply\r\nappend a 0 0 1 noreply\r\n0\r\ndelete none noreply\r\nverbosity 1 noreply\r\nget a\r\n",
        "VALUE a 0 2\r\n40\r\nEND\r\n",
    );
    client.check("delete a noreply\r\nget a\r\n", "END\r\n");
    // A word is missing, so that it stands for another.
    client.check("append a 0  1 noreply\r\nversion\r\n", "VERSION 1.6.40\r\n");
    client.check("delete noreply\r\n", "NOT_FOUND\r\n");
}

#[test]
fn mistakes_are_told_and_survived() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("set a 0 0 x\r\n", "CLIENT_ERROR bad command line format\r\n");
    client.check("get\r\ndelete\r\n", "ERROR\r\nERROR\r\n");
    client.check("nonsense\r\n", "ERROR\r\n");
    client.check(format!("get {}\r\n", "k".repeat(251)), "CLIENT_ERROR bad command line format\r\n");
    client.check(format!("get {}\r\n", "k".repeat(250)), "END\r\n");
    client.check("set a 0 0 3\r\nabcde\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n");
    client.check("get a\r\n", "END\r\n");
    client.check("verbosity 1\r\n", "OK\r\n");
    // The value of a store that is too large is never taken for commands, and the old value does not stay.
    client.check("set a 0 0 1\r\nx\r\n", "STORED\r\n");
    let large = "get a\r\n".repeat(3 << 20);
    client.send(format!("set a 0 0 {}\r\n", large.len()));
    client.expect("SERVER_ERROR object too large for cache\r\n");
    client.check([large.as_str(), "\r\nget a\r\n"].concat(), "END\r\n");
    client.send("quit\r\n");
    assert!(client.rest().is_empty());
}

#[test]
fn a_value_that_is_too_large_with_its_key_leaves_no_old_one_either() {
    let server = start();
    let mut client = Client::new(&server);
    client.send(resp(&[b"CONFIG", b"GET", b"proto-max-bulk-len"]));
    client.expect("*2\r\n$18\r\nproto-max-bulk-len\r\n");
    let len_max: usize = String::from_utf8(client.bulk()).unwrap().parse().unwrap();
    let mut client = Client::new(&server);
    let value = "v".repeat(len_max - 1);
    for (set, answer) in [
        (format!("set aa 0 0 {}\r\n", value.len()), "STORED\r\n"),
        (format!("set aa 9 0 {} \r\n", value.len()), "STORED\r\n"),
        (format!("ms aa {}\r\n", value.len()), "HD\r\n"),
        (format!("ms YWE= {} b c\r\n", value.len()), "HD\r\n"),
    ] {
        client.check("set aa 0 0 3\r\nold\r\n", "STORED\r\n");
        client.send([&set, &value, "\r\nget aa\r\n"].concat());
        client.expect("SERVER_ERROR object too large for cache\r\nEND\r\n");
        // With a key that is shorter by one it would do.
        let set = set.replacen("aa", "a", 1).replacen("YWE=", "YQ==", 1);
        client.send([&set, &value, "\r\ndelete a\r\n"].concat());
        assert!(client.line().starts_with(answer.trim_end()));
        client.expect("DELETED\r\n");
    }
    // One that is to be new or another's leaves what there is.
    client.check("set aa 0 0 3\r\nold\r\n", "STORED\r\n");
    client.send([&format!("replace aa 0 0 {}\r\n", value.len()), &value, "\r\nget aa\r\n"].concat());
    client.expect("SERVER_ERROR object too large for cache\r\nVALUE aa 0 3\r\nold\r\nEND\r\n");
}

#[test]
fn a_line_may_ask_for_thousands_of_keys() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("set last 0 0 1\r\nx\r\n", "STORED\r\n");
    let key = "k".repeat(78);
    let line = |keys: usize| format!("gets{} last\r\n", format!(" {key}").repeat(keys));
    for piece_len in [usize::MAX, 1 << 16, 1000] {
        let requests = line(5000) + "set last 0 0 1\r\nx\r\n" + &line(2000) + "get last\r\nmn\r\n";
        requests.as_bytes().chunks(piece_len.min(requests.len())).for_each(|piece| client.send(piece));
        for answer in ["VALUE last 0 1 ", "STORED", "VALUE last 0 1 ", "VALUE last 0 1", "MN"] {
            let line = client.line();
            assert!(line.starts_with(answer), "{line}");
            if answer.starts_with("VALUE") {
                client.expect("x\r\nEND\r\n");
            }
        }
    }
    client.send(&line(14_000)[..=1 << 20]);
    assert_eq!(client.rest(), b"CLIENT_ERROR line too long\r\n");
}

#[test]
fn statistics_for_monitors() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("set a 0 0 1\r\nx\r\nget a\r\nget b\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nEND\r\n");
    let mut stats = |request: &str| {
        client.send(request);
        let mut lines = Vec::new();
        loop {
            let line = client.line();
            if line == "END" {
                return lines.join("\n");
            }
            assert!(line.starts_with("STAT "), "{line}");
            lines.push(line);
        }
    };
    let general = stats("stats\r\n");
    for name in ["pid", "uptime", "curr_items 1", "get_hits 1", "get_misses 1", "limit_maxbytes", "threads 2"]
    {
        assert!(general.contains(&format!("STAT {name}")), "{name} in {general}");
    }
    assert!(stats("stats settings\r\n").contains("STAT maxconns 10000"));
    assert!(stats("stats items\r\n").contains("items:1:number 1"));
    assert!(stats("stats slabs\r\n").contains("active_slabs 1"));
    client.check("stats nonsense\r\n", "ERROR\r\n");
}

#[test]
fn words_of_operators() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("slabs automove 1\r\nlru_crawler enable\r\nlru mode flat\r\n", "OK\r\nOK\r\nERROR\r\n");
    client.check("slabs reassign 1 2\r\n", "CLIENT_ERROR slab reassignment disabled\r\n");
    client.check("watch fetchers\r\n", "CLIENT_ERROR watch commands not allowed\r\n");
    client.check("cache_memlimit 16\r\ncache_memlimit x\r\n", "OK\r\nERROR\r\n");
    client.check("cache_memlimit 1\r\n", "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n");
    client.check("cache_memlimit 4096\r\n", "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n");
    client.check("shutdown\r\n", "ERROR: shutdown not enabled\r\n");
    let port = server.address.port();
    let payload = format!("1\n127.0.0.1|127.0.0.1|{port}\n");
    let expected = format!("CONFIG cluster 0 {}\r\n{payload}\r\nEND\r\n", payload.len());
    client.check("config get cluster\r\n", expected);
    // A proxy leaves a blank behind the last word.
    client.check(
        "set a 0 0 1 \r\nx\r\nget a b \r\ndelete a \r\n",
        "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nDELETED\r\n",
    );
}

#[test]
fn shutdown_stops_a_server_that_allows_it() {
    let config = crabcache_server::Config { shutdown_command: true, ..support::config() };
    let server = support::start_with(config);
    let mut client = Client::new(&server);
    // The word alone might be Redis' as well.
    client.check("mn\r\nshutdown now\r\n", "MN\r\nCLIENT_ERROR invalid shutdown mode\r\n");
    client.send("shutdown graceful\r\n");
    assert!(client.rest().is_empty());
}

#[test]
fn all_items_are_dumped() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("ms a:1 1 E7\r\nx\r\n", "HD\r\n");
    client
        .check("lru_crawler metadump all\r\n", "key=a%3A1 exp=-1 la=0 cas=7 fetch=no cls=1 size=32\nEND\r\n");
    client.check("lru_crawler mgdump all\r\nmn\r\n", "mg a:1\r\nEN\r\nMN\r\n");
    client.check(
        "delete a:1\r\nms AP8= 1 b\r\nx\r\nlru_crawler mgdump all\r\n",
        "DELETED\r\nHD\r\nmg AP8= b\r\nEN\r\n",
    );
    // Keys that other protocols know and this one has no words for.
    let mut other = Client::new(&server);
    for key in [&b""[..], &[b'k'; 251], &[0xFE; 188]] {
        other.check(resp(&[b"SET", key, b"v"]), "+OK\r\n");
    }
    client.check("lru_crawler mgdump all\r\n", "mg AP8= b\r\nEN\r\n");
    other.check(resp(&[b"FLUSHALL"]), "+OK\r\n");
    client.check("ms AP8= 1 b\r\nx\r\n", "HD\r\n");
    for number in 0..2000 {
        client.check(format!("set {number} 0 0 1\r\nx\r\n"), "STORED\r\n");
    }
    client.send("lru_crawler mgdump hash\r\n");
    let lines: std::collections::BTreeSet<_> =
        std::iter::from_fn(|| Some(client.line()).filter(|line| line != "EN")).collect();
    assert_eq!(lines.len(), 2001);
}

#[test]
fn the_binary_protocol_is_refused_in_its_own_words() {
    let server = start();
    let mut client = Client::new(&server);
    let mut request = [0; 24];
    (request[0], request[1]) = (0x80, 0x0b);
    request[12..16].copy_from_slice(b"1234");
    client.send(&request[..10]);
    client.send(&request[10..]);
    let answer = client.rest();
    assert_eq!((&answer[..8], &answer[12..16]), (&[0x81, 0x0b, 0, 0, 0, 0, 0, 0x81][..], &b"1234"[..]));
    assert_eq!(answer.len(), 24 + usize::from(answer[11]));
}

#[test]
fn outcomes_are_counted() {
    let server = start();
    let mut client = Client::new(&server);
    client.check(
        "set n 0 0 1\r\n1\r\nincr n 1\r\ndecr none 1\r\nma n MD\r\n",
        "STORED\r\n2\r\nNOT_FOUND\r\nHD\r\n",
    );
    client.check("delete none\r\ntouch n 0\r\ntouch none 0 noreply\r\n", "NOT_FOUND\r\nTOUCHED\r\n");
    client.check("cas n 0 0 1 5\r\n1\r\ncas none 0 0 1 5\r\n1\r\n", "EXISTS\r\nNOT_FOUND\r\n");
    // Counted when the turn ends.
    client.check("mn\r\n", "MN\r\n");
    client.send("stats\r\n");
    let lines: Vec<_> = std::iter::from_fn(|| Some(client.line()).filter(|line| line != "END")).collect();
    for expected in [
        "incr_hits 1",
        "incr_misses 0",
        "decr_hits 1",
        "decr_misses 1",
        "delete_misses 1",
        "touch_hits 1",
        "touch_misses 1",
        "cmd_touch 2",
        "cas_badval 1",
        "cmd_set 5",
        "cas_misses 1",
    ] {
        assert!(lines.contains(&format!("STAT {expected}")), "{expected} in {lines:?}");
    }
    client.check("stats reset\r\n", "RESET\r\n");
    client.send("stats\r\n");
    let lines: Vec<_> = std::iter::from_fn(|| Some(client.line()).filter(|line| line != "END")).collect();
    assert!(
        lines.contains(&"STAT incr_hits 0".to_owned()) && lines.contains(&"STAT curr_items 1".to_owned())
    );
}

#[test]
fn cas_uniques_fit_signed_numbers() {
    let server = start();
    let mut client = Client::new(&server);
    for number in 0..64 {
        client.check(format!("set k 0 0 2\r\n{number:02}\r\n"), "STORED\r\n");
        client.send("gets k\r\n");
        let line = client.line();
        let unique = line.rsplit(' ').next().map(str::parse::<i64>);
        assert!(unique.is_some_and(|unique| unique.is_ok_and(|unique| unique > 0)), "{line}");
        client.expect(format!("{number:02}\r\nEND\r\n"));
    }
}

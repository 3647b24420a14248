//! memcached's text protocol answers as memcached 1.6 does, to the byte.

mod support;

use std::thread::sleep;
use std::time::Duration;

use support::{Client, start};

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
    client.check("flush_all noreply\r\nversion\r\n", format!("VERSION {}\r\n", env!("CARGO_PKG_VERSION")));
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
}

#[test]
fn mistakes_are_told_and_survived() {
    let server = start();
    let mut client = Client::new(&server);
    client.check("set a 0 0 x\r\n", "CLIENT_ERROR bad command line format\r\n");
    client.check("get\r\n", "ERROR\r\n");
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

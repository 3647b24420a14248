//! Clients that look at each other, close each other, wait for each other, and send each other messages, over two workers.

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use support::{Client, Started, resp, start};

fn id(client: &mut Client) -> String {
    client.send(resp(&[b"CLIENT", b"ID"]));
    client.line()[1..].to_owned()
}

fn list(client: &mut Client, options: &str) -> Vec<String> {
    client.send(resp(&format!("CLIENT LIST{options}").split(' ').map(str::as_bytes).collect::<Vec<_>>()));
    String::from_utf8(client.bulk()).unwrap().lines().map(str::to_owned).collect()
}

/// Two clients of different workers.
fn pair(server: &Started) -> (Client, Client) {
    let (mut one, mut two) = (Client::new(server), Client::new(server));
    one.resp("PING", "+PONG\r\n");
    two.resp("PING", "+PONG\r\n");
    (one, two)
}

#[test]
fn lists_tell_how_clients_of_all_workers_are() {
    let server = start();
    let (mut one, mut two) = pair(&server);
    two.resp("CLIENT SETNAME two", "+OK\r\n");
    two.resp("MULTI", "+OK\r\n");
    two.resp("GET a", "+QUEUED\r\n");
    two.send("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100\r\nxyz");
    let mut lines = Vec::new();
    // The unfinished request is seen once it has arrived.
    for _ in 0..1000 {
        lines = list(&mut one, "");
        if lines.iter().any(|line| line.contains("name=two") && line.contains(" qbuf=29 ")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(lines.len(), 2, "{lines:?}");
    let line = lines.iter().find(|line| line.contains(" name=two ")).unwrap();
    let local = format!(" laddr={} ", server.address);
    for field in [" flags=x ", " multi=1 ", " qbuf=29 ", " cmd=get ", " resp=2 ", &local] {
        assert!(line.contains(field), "{field} in {line}");
    }
    let own = lines.iter().find(|line| line.contains(" name= ")).unwrap();
    assert!(own.contains(" flags=N ") && own.contains(" cmd=client|list "), "{own}");
    let number = id(&mut one);
    assert_eq!(list(&mut one, &format!(" ID {number} 12345")).len(), 1);
    assert!(list(&mut one, " TYPE pubsub").is_empty());
    one.send(resp(&[b"CLIENT", b"INFO"]));
    let info = String::from_utf8(one.bulk()).unwrap();
    assert!(info.starts_with(&format!("id={number} ")) && info.contains(" cmd=client|info "), "{info}");
}

#[test]
fn killed_clients_are_closed_and_others_stay() {
    let server = start();
    let (mut one, mut two) = pair(&server);
    let (_three, mut four) = pair(&server);
    let address = two.0.local_addr().unwrap();
    one.resp(&format!("CLIENT KILL {address}"), "+OK\r\n");
    assert!(two.rest().is_empty());
    let number = id(&mut four);
    one.resp(&format!("CLIENT KILL ID {number} ADDR 1.2.3.4:5"), ":0\r\n");
    one.resp(&format!("CLIENT KILL ID {number} TYPE normal USER default MAXAGE 1000"), ":0\r\n");
    one.resp(&format!("CLIENT KILL ID {number} LADDR {} TYPE normal", server.address), ":1\r\n");
    assert!(four.rest().is_empty());
    // A client is killed once.
    let kill = resp(&[b"CLIENT", b"KILL", b"TYPE", b"normal"]);
    one.send([&kill[..], &kill[..], b"PING\r\n"].concat());
    one.expect(":1\r\n:0\r\n+PONG\r\n");
    one.send([resp(&[b"CLIENT", b"KILL", b"SKIPME", b"no", b"TYPE", b"normal"]), resp(&[b"PING"])].concat());
    assert_eq!(one.rest(), b":1\r\n");
}

#[test]
fn replies_are_left_out_as_asked() {
    let server = start();
    let mut client = Client::new(&server);
    client.send(resp(&[b"CLIENT", b"REPLY", b"OFF"]));
    client.send(resp(&[b"SET", b"a", b"1"]));
    client.send("GET a\r\n");
    client.send(resp(&[b"NOSUCH"]));
    client.send(resp(&[b"KEYS", b"*"]));
    client.send(resp(&[b"MGET", b"a", b"b"]));
    client.resp("CLIENT REPLY ON", "+OK\r\n");
    client.send([resp(&[b"CLIENT", b"REPLY", b"SKIP"]), resp(&[b"GET", b"a"])].concat());
    client.resp("GET a", "$1\r\n1\r\n");
    client.send([resp(&[b"CLIENT", b"REPLY", b"SKIP"]), resp(&[b"KEYS", b"*"])].concat());
    client.resp("KEYS *", "*1\r\n$1\r\na\r\n");
    // Values that are sent from where they lie, before and among what is left out.
    let long = "x".repeat(5000);
    client.send(resp(&[b"SET", b"long", long.as_bytes()]));
    client.expect("+OK\r\n");
    let (get, rename) = (resp(&[b"GET", b"long"]), resp(&[b"RENAME", b"long", b"longer"]));
    let off = resp(&[b"CLIENT", b"REPLY", b"OFF"]);
    let on = resp(&[b"CLIENT", b"REPLY", b"ON"]);
    client.send([&get[..], &off[..], &get[..], &rename[..], &on[..], b"GET longer\r\n"].concat());
    client.expect(format!("$5000\r\n{long}\r\n+OK\r\n$5000\r\n{long}\r\n"));
}

/// As in Redis.
#[test]
fn what_ends_a_connection_or_resets_it_is_told_only_to_those_who_want_answers() {
    let server = start();
    for quiet in ["OFF", "SKIP"] {
        for broken in ["*1\r\nPING\r\n", "*a\r\n", "GET \"a\r\n"] {
            let mut client = Client::new(&server);
            client.send(format!("CLIENT REPLY {quiet}\r\n{broken}"));
            assert_eq!(client.rest(), b"", "{quiet} {broken}");
        }
        let mut client = Client::new(&server);
        let too_large = resp(&[b"APPEND", b"a", &vec![b'x'; 20_000_000]]);
        client.send([format!("CLIENT REPLY {quiet}\r\n").as_bytes(), &too_large].concat());
        match quiet {
            "OFF" => client.resp("CLIENT REPLY ON", "+OK\r\n"),
            _ => client.resp("PING", "+PONG\r\n"),
        }
    }
    let mut client = Client::new(&server);
    client.send("CLIENT REPLY SKIP\r\nRESET\r\nPING\r\n");
    client.expect("+PONG\r\n");
    client.send("CLIENT REPLY OFF\r\nPING\r\nRESET\r\nPING\r\n");
    client.expect("+RESET\r\n+PONG\r\n");
}

/// As in Redis: what a client subscribes to is pushed to it, and so is the confirmation.
#[test]
fn subscriptions_are_confirmed_also_without_replies() {
    let server = start();
    let mut client = Client::new(&server);
    client.send("SUBSCRIBE a\r\nUNSUBSCRIBE a\r\nCLIENT REPLY OFF\r\nSET a 1\r\nSUBSCRIBE b\r\nPING\r\nUNSUBSCRIBE b\r\n");
    client.send("GET a\r\nCLIENT REPLY ON\r\n");
    for (verb, channel, count) in
        [("subscribe", "a", 1), ("unsubscribe", "a", 0), ("subscribe", "b", 1), ("unsubscribe", "b", 0)]
    {
        client.expect(format!("*3\r\n${}\r\n{verb}\r\n$1\r\n{channel}\r\n:{count}\r\n", verb.len()));
    }
    client.expect("+OK\r\n");
}

#[test]
fn a_pause_lets_requests_wait_and_loses_none() {
    let server = start();
    let (mut one, mut two) = pair(&server);
    one.resp("CLIENT PAUSE 60000 WRITE", "+OK\r\n");
    two.resp("GET a", "$-1\r\n");
    two.send([resp(&[b"SET", b"a", b"1"]), resp(&[b"GET", b"a"]), resp(&[b"INCR", b"a"])].concat());
    one.resp("GET a", "$-1\r\n");
    two.0.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(two.0.read(&mut [0]).is_err(), "it waits");
    two.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    one.resp("CLIENT UNPAUSE", "+OK\r\n");
    two.expect("+OK\r\n$1\r\n1\r\n:2\r\n");
    // One that ends by itself, and holds up everything.
    let begun = Instant::now();
    one.resp("CLIENT PAUSE 300", "+OK\r\n");
    one.resp("PING", "+PONG\r\n");
    assert!(begun.elapsed() >= Duration::from_millis(290));
    two.resp("GET a", "$1\r\n2\r\n");
    // One that would not end.
    one.resp("CLIENT PAUSE 9223372036854775807", "-ERR timeout is out of range\r\n");
    one.resp("CLIENT PAUSE -1", "-ERR timeout is negative\r\n");
    two.resp("INCR a", ":3\r\n");
}

#[test]
fn messages_reach_their_subscribers() {
    let server = start();
    let (mut one, mut two) = pair(&server);
    let (mut three, mut four) = pair(&server);
    two.resp("SUBSCRIBE news", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    two.resp("PSUBSCRIBE n?ws", "*3\r\n$10\r\npsubscribe\r\n$4\r\nn?ws\r\n:2\r\n");
    three.send(resp(&[b"HELLO", b"3"]));
    while three.line() != "*0" {}
    three.resp("SUBSCRIBE news", ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    four.resp("SSUBSCRIBE news", "*3\r\n$10\r\nssubscribe\r\n$4\r\nnews\r\n:1\r\n");
    one.resp("PUBLISH news hello", ":3\r\n");
    two.expect("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
    two.expect("*4\r\n$8\r\npmessage\r\n$4\r\nn?ws\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
    three.expect(">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
    // RESP3 has room for requests beside messages.
    three.resp("GET a", "_\r\n");
    one.resp("SPUBLISH news x", ":1\r\n");
    four.expect("*3\r\n$8\r\nsmessage\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    one.resp("PUBSUB NUMSUB news", "*2\r\n$4\r\nnews\r\n:2\r\n");
    one.resp("CLIENT KILL TYPE pubsub", ":3\r\n");
    assert!(two.rest().is_empty() && three.rest().is_empty() && four.rest().is_empty());
    one.resp("PUBLISH news hello", ":0\r\n");
    one.resp("PUBSUB CHANNELS", "*0\r\n");
}

#[test]
fn a_subscriber_that_takes_nothing_is_closed() {
    let server = start();
    let (mut one, mut two) = pair(&server);
    two.resp("SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    let message = vec![b'x'; 256 << 10];
    let mut received = Vec::new();
    for _ in 0..200 {
        one.send(resp(&[b"PUBLISH", b"c", &message]));
        received.push(one.line());
    }
    assert_eq!((received[0].as_str(), received[199].as_str()), (":1", ":0"));
    let mut rest = Vec::new();
    let _ = two.0.read_to_end(&mut rest);
    assert!(rest.len() < 200 * message.len());
}

#[test]
fn monitors_see_what_all_workers_do() {
    let server = start();
    let (mut one, mut two) = pair(&server);
    let mut monitor = Client::new(&server);
    monitor.resp("MONITOR", "+OK\r\n");
    let seen =
        |monitor: &mut Client| monitor.line().split_once("] ").map(|(_, seen)| seen.to_owned()).unwrap();
    one.resp("SET a \"1\"", "+OK\r\n");
    assert_eq!(seen(&mut monitor), "\"SET\" \"a\" \"\\\"1\\\"\"");
    two.check("get a\r\n", "$3\r\n\"1\"\r\n");
    assert_eq!(seen(&mut monitor), "\"GET\" \"a\"");
    two.resp("MULTI", "+OK\r\n");
    two.resp("incrby n 2", "+QUEUED\r\n");
    two.resp("EXEC", "*1\r\n:2\r\n");
    assert_eq!(seen(&mut monitor), "\"MULTI\"");
    assert_eq!([seen(&mut monitor), seen(&mut monitor)], ["\"incrby\" \"n\" \"2\"", "\"EXEC\""]);
    one.resp("AUTH default secret", "+OK\r\n");
    assert_eq!(seen(&mut monitor), "\"AUTH\" \"(redacted)\" \"(redacted)\"");
    // About the server it is not told.
    one.resp("CONFIG GET nothing", "*0\r\n");
    one.resp("PING", "+PONG\r\n");
    assert_eq!(seen(&mut monitor), "\"PING\"");
    monitor.resp("GET a", "-ERR Replica can't interact with the keyspace\r\n");
    monitor.resp("RESET", "+RESET\r\n");
    one.resp("PING", "+PONG\r\n");
    monitor.resp("ECHO x", "$1\r\nx\r\n");
}

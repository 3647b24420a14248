//! Bytes that nobody should send: each client gets an error or an end, nobody else notices.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use support::program::Program;
use support::siege::besiege;
use support::{Client, resp};

/// Numbers at the edges of everything that a length may be kept in.
const EDGES: [&str; 24] = [
    "-9223372036854775809",
    "-9223372036854775808",
    "-2147483649",
    "-2",
    "-1",
    "-0",
    "0",
    "00",
    "01",
    "+1",
    " 1",
    "1 ",
    "0x10",
    "1e9",
    "",
    "65535",
    "65536",
    "1048577",
    "2147483647",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999",
];

/// Sends something, says that no more comes, and reads whatever is answered. A reset is an answer, too.
fn give_and_take(program: &Program, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(program.address).expect("it accepts");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
    // It may be closed before all is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("{:?} has no end", support::text(bytes))
        }
        _ => answer,
    }
}

#[test]
fn declared_lengths_at_every_edge() {
    besiege(16, &[], |program| {
        for edge in EDGES {
            for request in [
                format!("*{edge}\r\n"),
                format!("*{edge}\r\n$4\r\nPING\r\n"),
                format!("*1\r\n${edge}\r\n"),
                format!("*2\r\n$3\r\nGET\r\n${edge}\r\nkey\r\n"),
                format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${edge}\r\nvalue\r\n"),
                format!("set k 0 0 {edge}\r\nvalue\r\n"),
                format!("set k {edge} 0 5\r\nvalue\r\n"),
                format!("set k 0 {edge} 5\r\nvalue\r\n"),
                format!("cas k 0 0 5 {edge}\r\nvalue\r\n"),
                format!("incr k {edge}\r\n"),
                format!("touch k {edge}\r\n"),
            ] {
                give_and_take(program, request.as_bytes());
            }
        }
        for opcode in 0..=0x20 {
            for (key_len, value_len) in
                [(0, u32::MAX), (u16::MAX, u32::MAX), (1, 1 << 31), (u16::MAX, 0), (0, 3)]
            {
                let mut request = vec![0xc1, opcode, 0xff, 0xff];
                request.extend(key_len.to_le_bytes());
                request.extend([1, 2]);
                request.extend(value_len.to_le_bytes());
                request.extend([0; 40]);
                give_and_take(program, &request);
                request[2] = 0;
                request[3] = 0;
                give_and_take(program, &request);
            }
        }
    });
}

#[test]
fn a_million_arguments_declared_and_none_sent() {
    besiege(16, &[], |program| {
        let mut clients: Vec<Client> = (0..100).map(|_| Client::to(program.address)).collect();
        for client in &mut clients {
            client.send("*1048576\r\n$4\r\nMGET\r\n");
        }
        // And some that send a few of them.
        for client in clients.iter_mut().take(20) {
            client.send("$1\r\nk\r\n".repeat(10_000));
        }
        thread::sleep(Duration::from_millis(500));
    });
}

#[test]
fn a_line_without_an_end() {
    besiege(16, &[], |program| {
        for beginning in ["", "get ", "set k 0 0 ", "*", "*1\r\n$", "SET "] {
            for _ in 0..3 {
                let endless = [beginning.as_bytes(), &vec![b'1'; 4 << 20]].concat();
                give_and_take(program, &endless);
            }
        }
    });
}

#[test]
fn carriage_returns_line_ends_and_nulls_everywhere() {
    besiege(16, &[], |program| {
        let requests: [&[u8]; 4] = [
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
            b"set k 0 0 1\r\nv\r\n",
            b"GET k\r\n",
            b"\xc1\x11\0\0\x01\0\0\0\x01\0\0\0kv",
        ];
        for request in requests {
            for at in 0..=request.len() {
                for junk in [&b"\r"[..], b"\n", b"\0", b"\r\n", b"\n\r", b"\r\n\r\n", b"\0\r\n"] {
                    give_and_take(program, &[&request[..at], junk, &request[at..], request].concat());
                }
            }
        }
    });
}

#[test]
fn first_bytes_of_other_protocols() {
    besiege(16, &[], |program| {
        let others: [&[u8]; 14] = [
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"EHLO example.org\r\n",
            b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
            b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
            b"\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test",
            b"CONNECT {\"verbose\":false}\r\n",
            b"<stream:stream xmlns='jabber:client'>",
            b"OPTIONS sip:a@b SIP/2.0\r\n\r\n",
            b"\x00",
            b"\xff\xff\xff\xff",
        ];
        for bytes in others {
            give_and_take(program, bytes);
            give_and_take(program, &bytes.repeat(1000));
        }
    });
}

#[test]
fn what_is_not_a_request_is_not_carried_out() {
    besiege(16, &[], |program| {
        let mut client = Client::to(program.address);
        client.resp("SET k v", "+OK\r\n");
        let smuggled = "SET k smuggled\r\nset k 0 0 8\r\nsmuggled\r\n*1\r\n$8\r\nFLUSHALL\r\n";
        // What a web page can make a browser send.
        for method in ["POST", "GET", "PUT", "OPTIONS"] {
            for target in ["/", "/x", "http://x/"] {
                let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n");
                give_and_take(program, [head.as_bytes(), smuggled.repeat(50).as_bytes()].concat().as_slice());
            }
        }
        // And behind a first request that is one.
        give_and_take(program, format!("PING\r\nPOST / HTTP/1.1\r\nHost: x\r\n\r\n{smuggled}").as_bytes());
        give_and_take(program, format!("get k\r\nPOST / HTTP/1.1\r\nHost: x\r\n\r\n{smuggled}").as_bytes());
        client.resp("GET k", "$1\r\nv\r\n");

        // The body of a SET that is refused, in each protocol: it is left out, and what comes behind it is not.
        let body = smuggled.repeat((9 << 20) / smuggled.len());
        client.send(resp(&[b"SET", b"k", body.as_bytes()]));
        client.send(resp(&[b"GET", b"k"]));
        assert!(client.line().starts_with("-ERR item is too large"));
        client.expect("$1\r\nv\r\n");
        let mut memcache = Client::to(program.address);
        memcache.send(format!("set other 0 0 {}\r\n{body}\r\nget k\r\n", body.len()));
        memcache.expect("SERVER_ERROR object too large for cache\r\nVALUE k 0 1\r\nv\r\nEND\r\n");
        let mut native = Client::to(program.address);
        let mut request = vec![0xc1, 0x11, 0, 0, 1, 0, 7, 0];
        request.extend((body.len() as u32).to_le_bytes());
        native.send([&request, &b"k"[..], body.as_bytes(), b"\xc1\x10\0\0\x01\0\x08\0\0\0\0\0k"].concat());
        native.expect(b"\xc2\x10\x07\0\0\0\0\0\xc2\0\x08\0\x01\0\0\0v");
        client.resp("GET k", "$1\r\nv\r\n");
    });
}

#[test]
fn a_web_page_cannot_smuggle_commands_to_a_listener_of_one_protocol() {
    let server = |scheme: &str| {
        let mut config = support::config();
        config.listen.push(format!("{scheme}://127.0.0.1:0").parse().expect("an address"));
        support::start_with(config)
    };
    for (scheme, body, answer) in [
        ("resp", "SET k smuggled\r\n", "-ERR this is a cache, not a web server\r\n"),
        ("memcache", "set k 0 0 8\r\nsmuggled\r\n", "CLIENT_ERROR this is a cache, not a web server\r\n"),
    ] {
        let server = server(scheme);
        for method in ["POST", "GET", "HEAD", "BREW"] {
            let mut browser = Client::to(server.others[0]);
            browser.send(format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n{body}"));
            let told = support::text(&browser.rest());
            assert!(told.ends_with(answer), "{scheme} {method}: {told:?}");
        }
        Client::new(&server).resp("GET k", "$-1\r\n");
    }
}

#[test]
fn numbers_at_every_edge_in_every_command_that_takes_one() {
    besiege(16, &[], |program| {
        let mut client = Client::to(program.address);
        for edge in EDGES {
            for command in [
                "INCRBY n #",
                "DECRBY n #",
                "INCRBYFLOAT n #",
                "EXPIRE k #",
                "PEXPIRE k #",
                "EXPIREAT k #",
                "PEXPIREAT k #",
                "SETEX k # v",
                "PSETEX k # v",
                "SET k v EX #",
                "SET k v PX #",
                "SET k v EXAT #",
                "SET k v PXAT #",
                "GETEX k EX #",
                "GETEX k PXAT #",
                "GETRANGE k # #",
                "GETRANGE k 0 #",
                "SETRANGE k # v",
                "SCAN #",
                "SCAN 0 COUNT #",
                "SELECT #",
                "HELLO #",
                "CLIENT KILL ID #",
                "SLOWLOG GET #",
                "COMMAND GETKEYS #",
                "DEBUG SLEEP #",
                "LCS a b MINMATCHLEN #",
                "BITCOUNT k # #",
                "GETBIT k #",
                "SETBIT k # 1",
                "OBJECT FREQ #",
                "MEMORY USAGE k SAMPLES #",
                "WAIT # 0",
            ] {
                let words: Vec<Vec<u8>> =
                    command.split(' ').map(|word| word.replace('#', edge).into_bytes()).collect();
                let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                let mut single = Client::to(program.address);
                single.send([resp(&words), resp(&[b"QUIT"])].concat());
                let answer = single.rest();
                assert!(answer.ends_with(b"+OK\r\n"), "{command} with {edge}: {:?}", support::text(&answer));
            }
        }
        client.resp("PING", "+PONG\r\n");
    });
}

#[test]
fn numbers_at_every_edge_in_every_memcached_command_that_takes_one() {
    besiege(16, &[], |program| {
        for edge in EDGES {
            for command in [
                "set k # 0 1\r\nv",
                "set k 0 # 1\r\nv",
                "cas k 0 0 1 #\r\nv",
                "incr n #",
                "decr n #",
                "touch k #",
                "gat # k",
                "gats # k",
                "verbosity #",
                "cache_memlimit #",
                "slabs automove #",
                "lru_crawler crawl #",
                "mg k v t T# N# R# E# O#",
                "ms k 1 T# F# C# E# I\r\nv",
                "ms k # T0\r\nv",
                "md k T# C# E# q",
                "ma n D# J# N# T# E#",
            ] {
                let request = format!("{}\r\nmn\r\nquit\r\n", command.replace('#', edge));
                let told = give_and_take(program, request.as_bytes());
                // Whatever that is answered, what comes behind it is: unless a length takes it for a value.
                let counts = command.starts_with("ms k #");
                assert!(counts || told.ends_with(b"MN\r\n"), "{request:?}: {:?}", support::text(&told));
            }
        }
    });
}

/// Without a bystander, whose item would go, too.
#[test]
fn moments_at_every_edge_to_flush_at() {
    let server = support::start();
    for edge in EDGES {
        let mut client = Client::new(&server);
        client.send(format!("flush_all {edge}\r\nmn\r\nquit\r\n"));
        let told = support::text(&client.rest());
        assert!(told.ends_with("MN\r\n"), "{edge}: {told:?}");
    }
}

#[test]
fn patterns_that_take_long_do_not_hold_others_up() {
    besiege(16, &[], |program| {
        let mut client = Client::to(program.address);
        for number in 0..500 {
            let key = [b"a".repeat(200), format!("{number}").into_bytes()].concat();
            client.check(resp(&[b"SET", &key, b"v"]), "+OK\r\n");
        }
        let stars = "a*".repeat(400) + "b";
        let classes = "*[a-z]".repeat(100) + "!";
        let questions = "*?".repeat(300) + "!";
        for pattern in
            [stars.as_bytes(), classes.as_bytes(), questions.as_bytes(), b"[", b"[^", b"\\", b"[a-", b"*\\"]
        {
            client.check(resp(&[b"KEYS", pattern]), "*0\r\n");
            client.send(resp(&[b"SCAN", b"0", b"MATCH", pattern, b"COUNT", b"100000"]));
            client.expect("*2\r\n");
            client.bulk();
            client.expect("*0\r\n");
        }
    });
}

//! `crabcache-cli` against servers of RESP: commands are theirs.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, connect, listen, socket};
use serde_json::{Value, json};
use support::cache::Cache;
use support::{cli, outcome, program};

#[test]
fn commands_are_sent_as_they_are() {
    let cache = Cache::listening("resp://127.0.0.1:0");
    let addr = format!("redis://{}", cache.addr);
    let run = |args: &[&str]| outcome(&addr, args, "");
    let done = |text: &str| (0, text.to_owned(), String::new());
    assert_eq!(run(&["SET", "k", "--json", "ex", "100"]), done("OK\n"));
    assert_eq!(run(&["get", "k"]), done("--json"), "byte for byte");
    assert_eq!(run(&["get", "absent"]), (1, String::new(), String::new()));
    assert_eq!(run(&["mget", "k", "absent"]), done("--json\n\n"));
    assert_eq!(run(&["exists", "k"]), done("1\n"));
    let (code, out, err) = run(&["incr", "k"]);
    assert_eq!((code, out.as_str()), (4, ""));
    assert!(err.contains("ERR value is not an integer"), "{err}");

    let json = |args: &[&str]| -> Value {
        serde_json::from_slice(&cli(&addr, &[&["--json"], args].concat(), b"").stdout).unwrap()
    };
    assert_eq!(json(&["mget", "k", "absent"]), json!({"reply": ["--json", null]}));
    assert_eq!(json(&["stats"])["items"], json!(1));
    let lines = run(&["stats", "--watch", "--interval", "100ms", "--count", "2"]).1;
    assert_eq!(lines.lines().count(), 3, "{lines}");
}

/// The system lets connecting wait until there is room in the server's queue.
#[test]
fn a_unix_socket_that_nobody_accepts_on_is_given_up() {
    let path = std::env::temp_dir().join(format!("crabcache-cli-{}-queue.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let address = SocketAddrUnix::new(&path).unwrap();
    let [server, waiting] = [(); 2].map(|()| socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap());
    bind(&server, &address).unwrap();
    listen(&server, 0).unwrap();
    connect(&waiting, &address).unwrap();
    let addr = format!("redis+unix://{}", path.display());
    let (code, _, err) = outcome(&addr, &["--timeout", "100ms", "get", "k"], "");
    assert!(code == 3 && err.ends_with(": cannot connect: timed out\n"), "{code} {err}");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn bench_puts_gets_and_removes_what_it_has_put() {
    let cache = Cache::listening("resp://127.0.0.1:0");
    let addr = format!("redis://{}", cache.addr);
    // Requests of more than a window, and replies of more than a read.
    let args = ["--json", "bench", "--time", "10ms", "--depth", "40", "--value-len", "5000", "--keys", "100"];
    let (code, out, err) = outcome(&addr, &args, "");
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["command"], &lines[1]["command"]), (&json!("PUT"), &json!("GET")));
    assert!(lines.iter().all(|line| line["requests"].as_u64() >= Some(160)), "{out}");
    assert_eq!(outcome(&addr, &["dbsize"], "").1, "0\n");
    // An error of the server is one of ours.
    let (code, _, err) = outcome(&saying(b"-ERR no\r\n"), &["bench", "--connections", "1"], "");
    assert!(code == 4 && err.contains("ERR no"), "{err}");
}

#[test]
fn sessions_are_raw() {
    let cache = Cache::start();
    let addr = format!("redis://{}/3", cache.addr);
    let script =
        "set \"two words\" \"\\x00\\n\"\nget \"two words\"\nstrlen 'two words'\nmulti\nget none\nexec\n";
    assert_eq!(outcome(&addr, &[], script), (0, "OK\n\0\n\n2\nOK\nQUEUED\n\n".to_owned(), String::new()));
    let (code, out, err) = outcome(&addr, &[], "nonsense\ndbsize\nhelp get\n");
    assert_eq!(code, 4);
    assert!(out.starts_with("1\nGET key\n"), "{out}");
    assert!(err.starts_with("line 1: ") && err.contains("unknown command"), "{err}");
    // RESP3 has a type of its own for INFO's text.
    let (code, out, err) = outcome(&addr, &[], "hello 3\nstats\n");
    assert!(code == 0 && out.contains("\ncrabcache_version="), "{out}{err}");
    let (code, _, err) = outcome(&addr, &["PUT", "k", "v"], "");
    assert!(code == 2 && err.contains("SET key value"), "{code} {err}");
}

#[test]
fn subscriptions_are_followed() {
    let cache = Cache::start();
    let addr = format!("redis://{}", cache.addr);
    let mut child = program(&addr, &["--json", "subscribe", "news"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert_eq!(lines.next(), Some(json!({"reply": ["subscribe", "news", 1]})));
    assert_eq!(outcome(&addr, &["publish", "news", "hello"], "").1, "1\n");
    assert_eq!(lines.next(), Some(json!({"reply": ["message", "news", "hello"]})));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A server that says `answer` to whatever comes, and then keeps the connection open.
fn saying(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = [0; 1024];
        while let Ok(1..) = stream.read(&mut bytes) {
            stream.write_all(answer).unwrap();
        }
    });
    addr
}

#[test]
fn errors_have_codes_and_say_why() {
    let failed = |addr: &str, args: &[&str], code: i32| {
        let (found, _, err) = outcome(addr, &[&["--timeout", "200ms"], args].concat(), "");
        assert_eq!(found, code, "{err}");
        err
    };
    assert!(failed(&saying(b"HTTP/1.1 400\r\n"), &["get", "k"], 3).contains("does not speak RESP"));
    assert!(failed(&saying(b""), &["get", "k"], 3).contains("no answer in time"));
    assert!(failed(&saying(b"-ERR no\r\n"), &["get", "k"], 4).contains("ERR no"));
    assert!(failed("redis://nobody.invalid", &["get", "k"], 3).contains("cannot look up the host"));
    let absent = failed("redis+unix:///nowhere", &["get", "k"], 3);
    assert!(absent.contains("cannot connect: there is no such socket"), "{absent}");
    let err = failed("redis://:secret@h:x", &["get", "k"], 2);
    assert!(err.contains("not an address of RESP") && !err.contains("secret"), "{err}");
    assert!(
        failed(&saying(b"-WRONGPASS\r\n").replace("//", "//me:secret@"), &["get", "k"], 4)
            .contains("WRONGPASS")
    );

    // A Redis does not answer what it takes for half a line.
    let silent = failed(saying(b"").trim_start_matches("redis://"), &["get", "k"], 3);
    assert!(silent.contains("no answer in time") && silent.contains("--addr redis://"), "{silent}");
    let cache = Cache::listening("resp://127.0.0.1:0");
    let addr = cache.addr.to_string();
    let err = failed(&addr, &["get", "k"], 3);
    assert!(err.contains("RESP") && err.contains("--addr redis://"), "{err}");
    let late = failed(&addr, &["get", "k", "--addr", &format!("redis://{addr}")], 2);
    assert!(late.contains("--addr has to stand before"), "{late}");
}

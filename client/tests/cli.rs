//! `crabcache-cli` as shell scripts see it: bytes out, exit codes.

mod support;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use support::Server;

fn cli(addr: &str, args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_crabcache-cli"))
        .args(args)
        .env("CRABCACHE_ADDR", addr)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn commands_print_and_exit_as_documented() {
    let server = Server::start();
    let addr = server.addr.to_string();
    let run = |args: &[&str], stdin: &[u8]| {
        let output = cli(&addr, args, stdin);
        assert_eq!(output.stderr, b"", "{args:?}");
        (output.status.code().unwrap(), output.stdout)
    };
    let bytes = b"any\0bytes\xFF, no newline".as_slice();
    assert!(run(&["ping"], b"").1.starts_with(b"PONG "));
    assert_eq!(run(&["get", "k"], b""), (1, vec![]));
    assert_eq!(run(&["put", "k"], bytes), (0, vec![]));
    assert_eq!(run(&["get", "k"], b""), (0, bytes.to_vec()));
    assert_eq!(run(&["put", "k", "-"], b"x\n"), (0, vec![]));
    assert_eq!(run(&["get", "k"], b""), (0, b"x\n".to_vec()));
    assert_eq!(run(&["put", "k", "v", "--if-absent"], b""), (1, vec![]));
    assert_eq!(run(&["put", "new", "v", "--if-present"], b""), (1, vec![]));
    assert_eq!(run(&["put", "new", "v", "--if-absent", "--ttl", "1m"], b""), (0, vec![]));
    assert_eq!(run(&["append", "new", "w"], b""), (0, b"2\n".to_vec()));
    assert_eq!(run(&["mget", "new", "absent"], b""), (1, b"new\tvw\n".to_vec()));
    assert_eq!(run(&["incr", "n"], b""), (0, b"1\n".to_vec()));
    assert_eq!(run(&["incr", "n", "-5"], b""), (0, b"-4\n".to_vec()));
    assert_eq!(run(&["touch", "n", "--ttl", "10s"], b""), (0, vec![]));
    assert_eq!(run(&["touch", "absent"], b""), (1, vec![]));
    assert_eq!(run(&["stats"], b""), (0, b"items=3\n".to_vec()));
    assert_eq!(run(&["del", "n", "absent"], b""), (1, b"1\n".to_vec()));
    assert_eq!(run(&["flush"], b""), (0, vec![]));
    assert_eq!(run(&["get", "k"], b""), (1, vec![]));
    assert_eq!(run(&["--addr", &addr, "del", "k"], b"").0, 1);
}

#[test]
fn errors_exit_with_two_and_say_why() {
    let server = Server::start();
    let addr = server.addr.to_string();
    let failed = |args: &[&str]| {
        let output = cli(&addr, args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(output.stdout, b"");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(failed(&["put", "k", "v", "--ttl", "10"]).contains("10s"));
    assert!(failed(&["nonsense"]).contains("nonsense"));
    assert!(failed(&["--addr", "nonsense", "ping"]).contains("not an address"));
    cli(&addr, &["put", "text", "abc"], b"");
    assert!(failed(&["incr", "text"]).contains("not a number"));
    // Not the address of a stopped server: a child that another test has just forked may still hold its socket.
    assert!(failed(&["--addr", "unix:///nowhere/crab.sock", "get", "k"]).contains("cannot connect"));

    let help = cli(&addr, &["--help"], b"");
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("Examples:") && help.contains("Exit codes:") && help.contains("CRABCACHE_ADDR"));
}

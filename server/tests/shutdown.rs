//! The real program, started and ended as an operator would.

mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::program::{Program, program};
use support::siege::wait_until;
use support::{Client, resp};

fn start() -> Program {
    Program::start(&["--memory", "16mb", "--workers", "2"])
}

#[test]
fn the_first_line_tells_a_person_what_started() {
    let mut program = start();
    for part in ["crabcache ", env!("CARGO_PKG_VERSION"), "127.0.0.1:", "16 MiB", "2 workers", "SIMD "] {
        assert!(program.line.contains(part), "{part} in {}", program.line);
    }
    program.signal("-INT");
    assert_eq!(program.code(), Some(0));
}

#[test]
fn exit_codes() {
    let run = |arguments: &[&str]| {
        let output = program(arguments).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, text) = run(&["--version"]);
    assert_eq!((code, text.trim()), (Some(0), concat!("crabcache-server ", env!("CARGO_PKG_VERSION"))));
    let (code, text) = run(&["--help"]);
    assert!(code == Some(0) && text.contains("Examples:") && text.contains("CRABCACHE_MEMORY"), "{text}");
    let (code, text) = run(&["--memory", "lots"]);
    assert!(code == Some(2) && text.contains("--memory"), "{text}");
    let (code, text) = run(&["--memory", "1k", "--listen", "127.0.0.1:0"]);
    assert!(code == Some(78) && text.contains("--memory") && text.contains("smallest"), "{text}");
    let twice = "127.0.0.1:7001,127.0.0.1:7001";
    let (code, text) = run(&["--listen", twice]);
    assert!(code == Some(78) && text.contains("127.0.0.1:7001: this address is given twice"), "{text}");
    let taken = start();
    let (code, text) = run(&["--listen", &taken.address.to_string()]);
    let address = taken.address;
    let line =
        format!("{address}: another process listens there already; choose another address by --listen");
    assert_eq!((code, text), (Some(1), format!("crabcache-server: {line}\n")));
    let mut taken = taken;
    taken.signal("-TERM");
    assert_eq!(taken.code(), Some(0));
}

#[test]
fn memory_as_memcached_has_it_is_told_what_it_is_here() {
    let output = program(&["-m", "64", "--listen", "127.0.0.1:0"]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("too small") && text.contains("-m 64 is 64mb here"), "{text}");
    let mut child = program(&["-m", "65536", "--listen", "127.0.0.1:0"]).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let lines: Vec<_> = lines.take(2).collect::<Result<_, _>>().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines[1].contains("warning: --memory 65536 is 64 KiB; memcached's -m"), "{lines:?}");
}

#[test]
fn a_variable_is_named_where_it_is_wrong_and_is_none_where_it_is_empty() {
    let run = |memory: &str, arguments: &[&str]| {
        let mut program = program(arguments);
        let output = program.envs([("CRABCACHE_MEMORY", memory), ("CRABCACHE_LISTEN", "")]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run("1xb", &[]);
    assert!(code == Some(2) && text.contains("'1xb' for 'CRABCACHE_MEMORY'"), "{text}");
    let (code, text) = run("1mb", &["--memory", "2xb"]);
    assert!(code == Some(2) && text.contains("'2xb' for '--memory <SIZE>'"), "{text}");
    let (code, text) = run("", &["--memory", "1k"]);
    assert!(code == Some(78) && text.contains("too small"), "{text}");
}

#[test]
fn a_command_stops_it_only_where_that_is_allowed() {
    let mut program = start();
    let mut client = Client::to(program.address);
    client.resp("SHUTDOWN", "-ERR SHUTDOWN is not allowed here; start the server with --allow-shutdown\r\n");
    client.resp("SHUTDOWN NOSAVE SAVE", "-ERR syntax error\r\n");
    client.resp("SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
    client.resp("PING", "+PONG\r\n");
    program.signal("-TERM");
    assert_eq!(program.code(), Some(0));
    let mut program = Program::start(&["--memory", "16mb", "--allow-shutdown"]);
    let mut client = Client::to(program.address);
    client.send([resp(&[b"SET", b"a", b"1"]), resp(&[b"SHUTDOWN", b"NOSAVE"])].concat());
    assert_eq!(client.rest(), b"+OK\r\n");
    assert_eq!(program.code(), Some(0));
}

#[test]
fn sigterm_under_load_loses_no_answer() {
    let mut program = start();
    let address = program.address;
    let begun = Arc::new(AtomicU32::new(0));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let begun = Arc::clone(&begun);
            thread::spawn(move || {
                let mut client = Client::to(address);
                let mut done = 0;
                let requests = resp(&[b"SET", format!("key{number}").as_bytes(), &[b'v'; 100]]).repeat(50);
                let answers = "+OK\r\n".repeat(50);
                loop {
                    if std::io::Write::write_all(&mut client.0, &requests).is_err() {
                        return (done, 0);
                    }
                    let mut got = vec![0; answers.len()];
                    let mut filled = 0;
                    while filled < got.len() {
                        match client.0.read(&mut got[filled..]) {
                            // The end comes after a whole answer, and not as a reset that may swallow some.
                            Ok(0) => return (done, filled % 5),
                            Ok(len) => filled += len,
                            Err(error) => panic!("{error} after {done} rounds and {filled} bytes"),
                        }
                    }
                    assert_eq!(got, answers.as_bytes());
                    done += 1;
                    begun.fetch_add(u32::from(done == 1), Ordering::Relaxed);
                }
            })
        })
        .collect();
    wait_until("all are served", || begun.load(Ordering::Relaxed) == 8);
    let begun = Instant::now();
    program.signal("-TERM");
    for client in clients {
        let (done, torn) = client.join().expect("no reset");
        assert!(done > 0 && torn == 0, "{done} rounds, torn {torn}");
    }
    assert_eq!(program.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn idle_clients_do_not_hold_up_a_stop() {
    let mut program = start();
    let mut idle: Vec<Client> = (0..50).map(|_| Client::to(program.address)).collect();
    for client in &mut idle {
        client.resp("PING", "+PONG\r\n");
    }
    let begun = Instant::now();
    program.signal("-TERM");
    assert_eq!(program.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    for client in &mut idle {
        assert!(client.rest().is_empty());
    }
}

/// A terminal that is closed sends it.
#[test]
fn sighup_ends_nothing() {
    let mut program = start();
    let mut client = Client::to(program.address);
    client.resp("PING", "+PONG\r\n");
    program.signal("-HUP");
    thread::sleep(Duration::from_millis(300));
    client.resp("PING", "+PONG\r\n");
    Client::to(program.address).resp("PING", "+PONG\r\n");
    program.signal("-TERM");
    assert_eq!(program.code(), Some(0));
}

/// Starts it where so few files may be open, and gives its first line.
fn with_files(limit: u32) -> String {
    let server = program(&["--listen", "127.0.0.1:0", "--memory", "16mb", "--workers", "1"]);
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={limit}")).arg(server.get_program()).args(server.get_args());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("prlimit");
    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("a pipe")).read_line(&mut line).expect("a line");
    child.kill().expect("it can be killed");
    child.wait().expect("it was a child");
    line
}

#[test]
fn where_few_files_may_be_open_it_is_told_what_to_do() {
    for limit in [6, 7, 8] {
        let line = with_files(limit);
        assert!(line.contains("raise the limit on open files (`ulimit -n`)"), "{limit}: {line}");
    }
    let line = with_files(20);
    assert!(line.contains(" | at most 1 client | "), "{line}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut program = start();
    // A client that takes no answers, and would hold up the stop.
    let mut client = Client::to(program.address);
    client.check(resp(&[b"SET", b"k", &vec![b'v'; 500_000]]), "+OK\r\n");
    client.send(resp(&[b"GET", b"k"]).repeat(200));
    thread::sleep(Duration::from_millis(300));
    program.signal("-TERM");
    thread::sleep(Duration::from_millis(300));
    assert!(program.child.try_wait().unwrap().is_none(), "it drains");
    let begun = Instant::now();
    program.signal("-TERM");
    assert_eq!(program.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

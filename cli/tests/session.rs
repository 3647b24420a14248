//! Sessions: a script on standard input, and a person on a terminal.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use support::cache::Cache;
use support::{outcome, program};

#[test]
fn scripts_go_on_after_failures_and_exit_with_the_highest_code() {
    let cache = Cache::start();
    let addr = cache.addr.to_string();
    let script =
        "put a 1\n\n# a remark\nget a\nget absent\nput \"b \\x41\" 'two words'\nget \"b A\"\nscan --prefix b";
    assert_eq!(outcome(&addr, &[], script), (1, "1\ntwo words\nb A\n".to_owned(), String::new()));
    let (code, out, err) = outcome(&addr, &[], "get \"a\ngte a\nput a text\nincr a\nget a\nquit\nget never");
    assert_eq!((code, out.as_str()), (4, "text\n"));
    let told: Vec<&str> = err.lines().filter(|line| line.starts_with("line ")).collect();
    assert_eq!(told.len(), 3, "{err}");
    assert!(told[0].starts_with("line 1: ") && told[0].contains("a quote is not closed"), "{err}");
    assert!(told[1].starts_with("line 2: error: unrecognized subcommand 'gte'"), "{err}");
    assert!(told[2].starts_with("line 4: ") && told[2].contains("not a number"), "{err}");
    // Standard input has commands, and so is no value.
    let (_, _, err) = outcome(&addr, &[], "put a\nput a -\nappend a");
    assert_eq!(err.matches("a session has no standard input").count(), 3, "{err}");
    let (code, out, err) = outcome(&addr, &[], "help quit\nHELP Set");
    assert!(code == 0 && out.contains("End the session") && out.contains("Store a value"), "{out}");
    assert!(out.contains("\n  put greeting hello --ttl 10s\n"), "{out}");
    assert!(!out.contains("crabcache-cli") && !out.contains("standard input"), "{out}");
    assert_eq!(err, "");
    let (_, _, err) = outcome(&addr, &[], "get \"a\"x\nnonsense\nput");
    assert!(err.starts_with("line 1: crabcache-cli: after a closing quote a blank has to follow"), "{err}");
    assert!(err.contains(&format!("--addr redis://{addr} nonsense")), "{err}");
    assert_eq!((err.matches("try 'help'").count(), err.matches("--help").count()), (2, 0), "{err}");

    let (code, out, err) = outcome(&addr, &["--json"], "get a\nincr n\nincr a\nget \"\ngte\n");
    let objects: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, &objects[0]["value"], &objects[1]), (4, &json!("text"), &json!({"number": 1})));
    let failures: Vec<Value> = err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<_> = failures.iter().map(|failure| (&failure["line"], &failure["code"])).collect();
    assert_eq!(codes, [(&json!(3), &json!(4)), (&json!(4), &json!(2)), (&json!(5), &json!(2))]);
    assert!(failures[0]["error"].as_str().unwrap().contains("not a number"), "{err}");
}

/// A person: keys go in, what the terminal shows comes out.
struct Person {
    keys: File,
    shown: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Person {
    /// Gives the program's side of the terminal, too.
    fn sit_down() -> (Self, File) {
        let keys = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let path = ptsname(&keys, Vec::new()).unwrap();
        let terminal = OpenOptions::new().read(true).write(true).open(path.to_str().unwrap()).unwrap();
        let (mut screen, (sender, shown)) = (keys.try_clone().unwrap(), channel());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len @ 1..) = screen.read(&mut bytes) {
                if sender.send(bytes[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        (Self { keys, shown, seen: Vec::new() }, terminal)
    }

    /// Types, and waits for what is to be seen then.
    fn types(&mut self, keys: &str, sees: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.sees(sees);
    }

    /// The same, until the editor listens again: what is typed before that is lost when it takes the terminal over.
    fn enters(&mut self, keys: &str, sees: &str) {
        self.types(keys, sees);
        self.sees("\x1b[?2004h");
    }

    /// Presses Ctrl-C while a command runs: the terminal, which is not the program's controlling one, sends no signal.
    fn interrupts(&mut self, child: &Child) {
        kill_process(Pid::from_child(child), Signal::INT).unwrap();
        self.sees("\x1b[?2004h");
    }

    /// Waits for this, and forgets all up to it.
    fn sees(&mut self, sees: &str) {
        loop {
            if let Some(at) = self.seen.windows(sees.len()).position(|window| window == sees.as_bytes()) {
                self.seen.drain(..at + sees.len());
                return;
            }
            let Ok(more) = self.shown.recv_timeout(Duration::from_secs(30)) else {
                panic!("{sees:?} was not to be seen in {:?}", String::from_utf8_lossy(&self.seen));
            };
            self.seen.extend_from_slice(&more);
        }
    }
}

#[test]
fn ctrl_c_ends_what_runs_and_not_the_session() {
    let cache = Cache::start();
    let state = std::env::temp_dir().join(format!("crabcache-cli-{}-ctrl-c", std::process::id()));
    for addr in [cache.addr.to_string(), format!("redis://{}", cache.addr)] {
        let (mut person, terminal) = Person::sit_down();
        let mut program = program(&addr, &[]);
        program.env("XDG_STATE_HOME", &state).env("TERM", "xterm").stderr(Stdio::null());
        program.stdin(terminal.try_clone().unwrap()).stdout(terminal);
        let mut child = program.spawn().unwrap();
        drop(program); // which holds the terminal open

        person.enters("", "crabcache");
        person.types("stats --watch --interval 1h\r", "answer took");
        person.interrupts(&child);
        person.types("top --watch --interval 1h\r", "no key was asked for");
        person.interrupts(&child);
        person.types("bench --time 1h\r", "\r\n");
        // It has begun once there are its keys.
        while outcome(&cache.addr.to_string(), &["scan"], "").1.is_empty() {}
        person.interrupts(&child);
        assert_eq!(outcome(&cache.addr.to_string(), &["scan"], "").1, "", "it removes its keys");
        if addr.starts_with("redis") {
            person.types("subscribe news\r", "news");
            person.interrupts(&child);
        }
        person.enters("ping\r", "PONG");
        person.types("\x04", "\n");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    fs::remove_dir_all(state).unwrap();
}

#[test]
fn without_a_session_ctrl_c_ends_the_program() {
    let cache = Cache::start();
    // A shell lets what it starts in the background ignore Ctrl-C, and so would the program.
    let mut child = Command::new("env")
        .args(["--default-signal=INT", env!("CARGO_BIN_EXE_crabcache-cli")])
        .args(["stats", "--watch", "--interval", "1h"])
        .env("CRABCACHE_ADDR", cache.addr.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("req/s"));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::INT.as_raw()));
}

/// Who has answered before is no Redis.
#[test]
fn a_server_that_falls_silent_is_not_taken_for_a_redis() {
    let mut cache = Cache::start();
    let (server, listener) = (cache.addr, TcpListener::bind("127.0.0.1:0").unwrap());
    let addr = listener.local_addr().unwrap().to_string();
    let (gone, left) = channel();
    // The first connection is the server's, until that stops; what comes then has no answer.
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(server).unwrap();
        let (mut requests, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || io::copy(&mut requests, &mut to));
        let _ = io::copy(&mut server, &mut client);
        let _ = client.shutdown(Shutdown::Both);
        gone.send(()).unwrap();
        let silent: Vec<_> = listener.incoming().collect();
        drop(silent);
    });
    let mut child = program(&addr, &["--timeout", "300ms"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"ping\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("PONG"), "{line}");
    cache.stop();
    left.recv().unwrap();
    thread::sleep(Duration::from_millis(20)); // a connection that was just used is not looked at
    input.write_all(b"incr n\n").unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err, format!("line 2: crabcache-cli: {addr}: no answer in time\n"));
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn an_interrupted_bench_tells_what_it_measured_and_that_it_was_interrupted() {
    let cache = Cache::start();
    let addr = cache.addr.to_string();
    for scheme in ["", "redis://"] {
        let mut program = Command::new("env");
        program.args(["--default-signal=INT", env!("CARGO_BIN_EXE_crabcache-cli"), "bench", "--time", "1h"]);
        program.env("CRABCACHE_ADDR", format!("{scheme}{addr}")).stdout(Stdio::piped());
        let child = program.spawn().unwrap();
        while outcome(&addr, &["scan"], "").1.is_empty() {}
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.starts_with("PUT ") && told.lines().count() == 1, "{told}");
        assert_eq!(output.status.code(), Some(130));
    }
}

/// A server with a password that tells of one command, but only to whom has said it.
fn locked() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let (mut request, mut open) = ([0; 1024], false);
        while let Ok(len @ 1..) = client.read(&mut request) {
            let asks = |word: &str| String::from_utf8_lossy(&request[..len]).contains(word);
            open |= asks("sesame");
            let answer: &[u8] = match open {
                true if asks("DOCS") => {
                    b"*2\r\n+zadd\r\n*2\r\n+arguments\r\n*1\r\n*4\r\n+name\r\n+set\r\n+type\r\n+key\r\n"
                }
                true => b"+OK\r\n",
                false => b"-NOAUTH no\r\n",
            };
            client.write_all(answer).unwrap();
        }
    });
    addr
}

#[test]
fn a_password_opens_what_completion_knows_and_the_prompt_tells_the_database() {
    let state = std::env::temp_dir().join(format!("crabcache-cli-{}-locked", std::process::id()));
    let (mut person, terminal) = Person::sit_down();
    let mut program = program(&locked(), &[]);
    program.env("XDG_STATE_HOME", &state).env("TERM", "xterm").stderr(Stdio::null());
    program.stdin(terminal.try_clone().unwrap()).stdout(terminal);
    let mut child = program.spawn().unwrap();
    drop(program); // which holds the terminal open

    person.sees("\x1b[?2004h");
    person.enters("auth sesame\r", "OK\r\n");
    person.types("za\t", "zadd \x1b[2mset");
    person.enters("\x15select 3\r", "OK\r\n");
    person.sees("/3> ");
    person.types("\x04", "\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    fs::remove_dir_all(state).unwrap();
}

#[test]
fn a_person_has_history_completion_and_hints() {
    let cache = Cache::start();
    let state = std::env::temp_dir().join(format!("crabcache-cli-{}", std::process::id()));
    let (mut person, terminal) = Person::sit_down();
    let mut program = program(&cache.addr.to_string(), &[]);
    program.env("XDG_STATE_HOME", &state).env("TERM", "xterm").stderr(Stdio::null());
    program.stdin(terminal.try_clone().unwrap()).stdout(terminal);
    let mut child = program.spawn().unwrap();
    drop(program); // which holds the terminal open

    person.enters("", "crabcache/");
    person.types("inc\t", "incr \x1b[2mkey [delta]");
    person.enters("n 41\r", "\r\n41\r\n");
    person.enters("\x1b[A\r", "\r\n82\r\n"); // the last line again
    person.enters("get \"\\x1b[2J\"\r", "(absent)");
    person.enters("put x \"\\x1b[2J\"\r", "OK\r\n");
    person.enters("get x\r", "\r\n\"\\x1b[2J\"\r\n");
    person.enters("half a line\x03", "\x1b[?2004l");
    person.enters(" ping\r", " ms\r\n");
    person.types("\x04", "\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let history = state.join("crabcache/history");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(history.parent().unwrap()), mode(&history)), (0o700, 0o600));
    let kept = fs::read_to_string(&history).unwrap();
    assert!(kept.lines().any(|line| line == "incr n 41") && !kept.contains("ping"), "{kept}");
    fs::remove_dir_all(state).unwrap();
}

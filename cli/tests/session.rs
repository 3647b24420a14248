//! Sessions: a script on standard input, and a person on a terminal.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

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
    let (code, out, _) = outcome(&addr, &[], "help quit\nHELP Set");
    assert!(code == 0 && out.contains("End the session") && out.contains("Store a value"), "{out}");

    let (code, out, _) = outcome(&addr, &["--json"], "get a\nincr n\n");
    let objects: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, &objects[0]["value"], &objects[1]), (0, &json!("text"), &json!({"number": 1})));
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

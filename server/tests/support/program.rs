//! The real program, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A server that runs in a process of its own; killed when the test ends.
pub struct Program {
    pub child: Child,
    pub address: SocketAddr,
    pub line: String,
}

/// The program with these arguments, not started yet.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crabcache-server"));
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

impl Program {
    /// Starts it on a port of the system's choice.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child =
            program(&["--listen", "127.0.0.1:0"]).args(arguments).spawn().expect("it can be started");
        let mut line = String::new();
        let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
        errors.read_line(&mut line).expect("a line");
        let address = line
            .split("ready on ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next())
            .and_then(|address| address.parse().ok())
            .expect("an address");
        Self { child, address, line }
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Waits for its exit code.
    pub fn code(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            if begun.elapsed() > Duration::from_secs(15) {
                self.child.kill().expect("it can be killed");
                panic!("it does not end");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The most memory that it has had resident so far, in bytes.
    pub fn resident_max(&self) -> usize {
        self.memory("VmHWM:")
    }

    /// The memory that it has resident now, in bytes.
    pub fn resident(&self) -> usize {
        self.memory("VmRSS:")
    }

    fn memory(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.split_whitespace().next().and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
    }

    /// Its open files.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    /// The processor time that it has used, in clock ticks of the system; there are usually 100 a second.
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let number = |at| fields.split(' ').nth(at).and_then(|field| field.parse::<u64>().ok());
        number(11).expect("user time") + number(12).expect("system time")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already, or is not needed any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The program, and a server for it.
#![allow(dead_code)] // each test file uses a part

#[path = "../../../client/tests/support/cache.rs"]
pub(crate) mod cache;

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// The program, with pipes.
pub(crate) fn program(addr: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crabcache-cli"));
    command.args(args).env("CRABCACHE_ADDR", addr);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) fn cli(addr: &str, args: &[&str], stdin: &[u8]) -> Output {
    let mut child = program(addr, args).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

/// Exit code, standard output and standard error.
pub(crate) fn outcome(addr: &str, args: &[&str], stdin: &str) -> (i32, String, String) {
    let output = cli(addr, args, stdin.as_bytes());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

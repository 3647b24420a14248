//! `crabcache-cli`: one command to a server, for people and shell scripts.
//!
//! Exit codes: 0 done; 1 the key is absent, or the condition did not hold; 2 usage; 3 no connection, or no answer in
//! time; 4 refused by the server, or anything else.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod print;
mod watch;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use crabcache_client::{Client, Error};

use crate::args::{Action, Arguments};
use crate::print::Printer;

const EXIT_ABSENT: u8 = 1;
const EXIT_USAGE: u8 = 2; // clap's
const EXIT_UNREACHABLE: u8 = 3;
const EXIT_OTHER: u8 = 4;

/// Why a command was not done.
enum Failure {
    Client(Error),
    Io(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse(); // usage errors exit with 2
    let addr = arguments.addr.clone();
    match run(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => EXIT_ABSENT.into(),
        // Whoever reads our output has seen enough.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => EXIT_OTHER.into(),
        Err(Failure::Io(error)) => fail(&error.to_string(), EXIT_OTHER),
        Err(Failure::Client(error)) => fail(&format!("{addr}: {error}"), exit_code(&error)),
    }
}

fn fail(text: &str, code: u8) -> ExitCode {
    eprintln!("crabcache-cli: {text}");
    code.into()
}

const fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Address(_) => EXIT_USAGE,
        Error::Lookup(_)
        | Error::Connect(_)
        | Error::NotNative(_)
        | Error::Refused(_)
        | Error::PoolExhausted { .. }
        | Error::Down { .. }
        | Error::Closed
        | Error::Timeout
        | Error::Io(_) => EXIT_UNREACHABLE,
        _ => EXIT_OTHER,
    }
}

/// True if the key was there, or the condition held.
fn run(arguments: Arguments) -> Result<bool, Failure> {
    if let Action::Completions { shell } = arguments.command {
        let mut command = Arguments::command();
        let name = command.get_name().to_owned();
        clap_complete::generate(shell, &mut command, name, &mut io::stdout());
        return Ok(true);
    }
    let client = Client::builder()
        .addr(arguments.addr)
        .connections_max(1)
        .connect_timeout(arguments.timeout)
        .request_timeout(Some(arguments.timeout))
        .build()?;
    let mut printer = Printer::new(arguments.json);
    let yes = commands::run(&client, &mut printer, arguments.command)?;
    printer.finish()?;
    Ok(yes)
}

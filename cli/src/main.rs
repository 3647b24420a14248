//! `crabcache-cli`: commands to a server, for people and shell scripts.
//!
//! Exit codes: 0 done; 1 the key is absent, or the condition did not hold; 2 usage; 3 no connection, or no answer in
//! time; 4 refused by the server, or anything else; 130 a bench that Ctrl-C ended. Of a script on standard input the
//! highest one.
#![forbid(unsafe_code)]

mod args;
mod bench;
mod commands;
mod console;
mod dashboard;
mod failure;
mod figures;
mod interrupt;
mod known;
mod native;
mod quote;
mod resp;
mod session;
mod tips;
mod top;
mod units;
mod watch;

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::args::{Action, Arguments, Raw, lower_name, without_empty_variables};
use crate::console::Console;
use crate::failure::{Context, EXIT_ABSENT, EXIT_INTERRUPTED, Failure};
use crate::native::Native;
use crate::resp::{Address, Resp};
use crate::tips::host_for_help;

fn main() -> ExitCode {
    let mut context = Context::default();
    match run(&mut context) {
        Ok(code) => code.into(),
        Err(failure) => {
            failure.report(&context);
            failure.exit_code().into()
        }
    }
}

/// Gives the exit code; `context` becomes that of failures.
fn run(context: &mut Context) -> Result<u8, Failure> {
    let mut line: Vec<OsString> = env::args_os().collect();
    // For a line that cannot be understood.
    context.json = line.iter().any(|word| word == "--json");
    let raw = without_empty_variables(Raw::command()).try_get_matches_from(&line);
    let raw = raw.and_then(|matches| Raw::from_arg_matches(&matches));
    let mut addr = String::new();
    if let Ok(Raw { options, words }) = &raw {
        if let Some(error) = host_for_help(words) {
            return Err(error.into());
        }
        addr.clone_from(&options.addr);
        let at = line.len() - words.len();
        lower_name(&mut line[at..]);
    }
    if let Ok(Raw { options, words }) = raw
        && let Some(address) = Address::parse(&options.addr)
        && let Some(name) = words.first()
        && resp::is_servers(name.as_encoded_bytes())
    {
        context.json = options.json;
        let (address, mut console) = (address?, Console::new(options.json));
        context.addr = address.to_string();
        let words: Vec<_> = words.into_iter().map(OsStringExt::into_vec).collect();
        return exit(Resp::new(address, options.timeout).send(&mut console, &words), &mut console);
    }
    let Arguments { options, command } = tips::parse(line, &addr)?;
    context.json = options.json;
    let mut console = Console::new(options.json);
    if let Some(Action::Completions { shell }) = command {
        return exit(commands::completions(&mut console, shell), &mut console);
    }
    if let Some(address) = Address::parse(&options.addr) {
        let mut resp = Resp::new(address?, options.timeout);
        context.addr = session::Target::addr(&resp);
        return match command {
            Some(command) => exit(resp.run_ours(&mut console, command), &mut console),
            None => Ok(session::run(&mut resp, &mut console)?),
        };
    }
    context.addr.clone_from(&options.addr);
    let mut native = Native::new(&options)?;
    match command {
        Some(command) => exit(commands::run(&native.client, &mut console, command), &mut console),
        None => Ok(session::run(&mut native, &mut console)?),
    }
}

fn exit(answer: Result<bool, Failure>, console: &mut Console) -> Result<u8, Failure> {
    let yes = answer?;
    console.out.flush()?;
    Ok(match yes {
        _ if console.interrupt.is_set() => EXIT_INTERRUPTED,
        true => 0,
        false => EXIT_ABSENT,
    })
}

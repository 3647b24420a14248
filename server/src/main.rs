//! `crabcache-server`: arguments, then a server until a signal or SHUTDOWN comes.
//!
//! Exit status: 0 stopped by one of these, 1 failed while running, 2 bad usage (clap), 78 bad configuration (sysexits'
//! `EX_CONFIG`).
#![deny(unsafe_code)]

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use crabcache_server::config::ConfigError;
use crabcache_server::config::cli::Arguments;
use crabcache_server::{Server, ServerError};

const RUN_TIME: u8 = 1;
const BAD_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let arguments = Arguments::of_process();
    let hint = arguments.memory_hint();
    let running = match Server::start(arguments.into_config()) {
        Ok(running) => running,
        Err(error) => {
            let code = fail(&error);
            if let (ServerError::Config(ConfigError::MemoryTooSmall { .. }), Some(hint)) = (&error, &hint) {
                say(&format_args!("crabcache-server: {hint}"));
            }
            return code;
        }
    };
    say(&running);
    for warning in hint.iter().chain(running.warnings()) {
        say(&format_args!("crabcache-server: warning: {warning}"));
    }
    match running.join() {
        Ok(()) => {
            say(&"crabcache stopped");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

fn fail(error: &ServerError) -> ExitCode {
    say(&format_args!("crabcache-server: {error}"));
    ExitCode::from(if error.is_config() { BAD_CONFIG } else { RUN_TIME })
}

/// A line on standard error. If nobody listens there any more, that is no reason to stop.
fn say(line: &dyn Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

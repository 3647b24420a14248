//! Why a command was not done, and the exit code that tells it to a script.

use std::io::Write;
use std::{fmt, io};

use crabcache_client::{Broken, CommandError, Error};
use serde_json::json;

pub(crate) const EXIT_ABSENT: u8 = 1;
const EXIT_USAGE: u8 = 2; // clap's
const EXIT_UNREACHABLE: u8 = 3;
const EXIT_OTHER: u8 = 4;
pub(crate) const EXIT_INTERRUPTED: u8 = 130; // as a shell has it

/// What a failure is told with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// Whom we talked to.
    pub(crate) addr: String,
    /// The line of a script.
    pub(crate) line: Option<u64>,
    /// Commands are those of a session.
    pub(crate) session: bool,
    /// As an object on a line of its own.
    pub(crate) json: bool,
}

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the client says.
    Client(Error),
    /// Reading or printing failed.
    Io(io::Error),
    /// The command cannot be understood; clap has the words.
    Usage(clap::Error),
    /// The command cannot be understood, or asks for what there is not.
    Wrong(String),
    /// No connection of RESP, or no answer in time.
    Unreachable(String),
    /// The server refused, or answered nonsense.
    Refused(String),
}

/// Writes to standard error. If nobody reads that, or its disk is full, the exit code has to do.
pub(crate) fn complain(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_fmt(text);
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Self::Client(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

impl Failure {
    /// Whether whoever reads our output has seen enough.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether the server is not there, or does not answer.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.exit_code() == EXIT_UNREACHABLE
    }

    /// Whether it is about the server, rather than about what was typed or a file.
    const fn is_servers(&self) -> bool {
        matches!(self, Self::Client(_) | Self::Unreachable(_) | Self::Refused(_))
    }

    /// Tells it on standard error.
    pub(crate) fn report(&self, context: &Context) {
        if self.is_broken_pipe() {
            return;
        }
        if context.json && self.exit_code() != 0 {
            return complain(format_args!("{}\n", self.as_json(context)));
        }
        if let Some(line) = context.line.filter(|_| self.exit_code() != 0) {
            complain(format_args!("line {line}: "));
        }
        let text = match self {
            // There, help is a command, and so is what clap tells about unknown ones.
            Self::Usage(error) if context.session && error.use_stderr() => {
                let text = error.to_string().replace("try '--help'", "try 'help'");
                return complain(format_args!("{text}"));
            }
            Self::Usage(error) => {
                let _ = error.print(); // help goes to standard output; if that is gone, nobody wants it
                return;
            }
            _ if self.is_servers() => format!("{}: {}", context.addr, self.text()),
            _ => self.text(),
        };
        complain(format_args!("crabcache-cli: {text}\n"));
    }

    /// Tells it to a person who knows whom we talk to.
    pub(crate) fn tell(&self, context: &Context) {
        match self {
            Self::Usage(_) => self.report(context),
            _ if context.json => self.report(context),
            _ => complain(format_args!("(error) {}\n", self.text())),
        }
    }

    fn as_json(&self, context: &Context) -> serde_json::Value {
        let mut object = json!({ "error": self.text().trim_end(), "code": self.exit_code() });
        if self.is_servers() {
            object["addr"] = context.addr.as_str().into();
        }
        if let Some(line) = context.line {
            object["line"] = line.into();
        }
        object
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Io(error) => error.to_string(),
            // What is wrong, without the usage and the tips for a person that follow.
            Self::Usage(error) => {
                let text = error.to_string();
                let wrong = text.split("\n\n").next().unwrap_or_default();
                let words: Vec<&str> = wrong.trim_start_matches("error: ").split_whitespace().collect();
                words.join(" ")
            }
            Self::Client(error @ Error::NotNative(b'-')) => format!("{error}; try --addr redis://host:port"),
            Self::Client(error @ Error::Handshake(Broken::Timeout)) => {
                format!("{error}; a Redis needs --addr redis://host:port")
            }
            Self::Client(Error::Address(_)) => {
                "not an address; expected host:port, unix:///path or redis://host:port".to_owned()
            }
            Self::Client(error) => error.to_string(),
            Self::Wrong(text) | Self::Unreachable(text) | Self::Refused(text) => text.clone(),
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(help) if !help.use_stderr() => 0,
            Self::Usage(_) | Self::Wrong(_) | Self::Client(Error::Address(_)) => EXIT_USAGE,
            Self::Unreachable(_)
            | Self::Client(
                Error::Lookup(_)
                | Error::Connect(_)
                | Error::TooManyFiles
                | Error::NotNative(_)
                | Error::Handshake(Broken::Closed | Broken::Timeout | Broken::Io(_))
                | Error::Refused(_)
                | Error::PoolExhausted { .. }
                | Error::Down { .. }
                | Error::Closed
                | Error::Timeout
                | Error::Io(_),
            ) => EXIT_UNREACHABLE,
            _ => EXIT_OTHER,
        }
    }
}

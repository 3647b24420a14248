//! Servers of RESP, such as a Redis: commands are theirs, and are sent as they are.

mod address;
mod connection;
mod docs;
mod load;
mod monitor;
mod show;

use std::io::{self, Write};
use std::time::Duration;

use crabcache_protocol::resp::reply::Reply;
use serde_json::json;

pub(crate) use address::Address;
use connection::{Connection, refused};

use crate::args::Action;
use crate::bench::bench;
use crate::commands::{completions, stats};
use crate::console::Console;
use crate::failure::Failure;
use crate::interrupt::SLICE;
use crate::known::Known;
use crate::session::{Target, typed};
use crate::top::top;
use crate::watch::watch;

/// Commands of ours, which are not sent.
const OURS: [&[u8]; 5] = [b"stats", b"top", b"bench", b"completions", b"help"];

/// Whether the server is to be sent the command.
pub(crate) fn is_servers(name: &[u8]) -> bool {
    !name.starts_with(b"-") && !OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

/// Commands that only the native protocol has, and what RESP has for them.
const NATIVE: [(&str, &str); 2] = [("put", "SET key value [EX seconds]"), ("flush", "FLUSHALL")];

/// A server of RESP.
pub(crate) struct Resp {
    connection: Connection,
    /// Its commands were given as this user and in this protocol may see them.
    is_known: bool,
}

impl Resp {
    pub(crate) fn new(address: Address, timeout: Duration) -> Self {
        Self { connection: Connection::new(address, timeout), is_known: false }
    }

    /// A command of ours.
    pub(crate) fn run_ours(&mut self, console: &mut Console, command: Action) -> Result<bool, Failure> {
        match command {
            Action::Stats { watch: true, pace } => {
                watch(console, &pace, &self.addr(), || self.info())?;
                Ok(true)
            }
            Action::Stats { .. } => stats(console, &self.info()?),
            Action::Top(arguments) => {
                let positions = monitor::Positions::of(&mut self.connection)?;
                top(console, arguments, |interrupt| {
                    monitor::sample(self.connection.another(), &positions, interrupt)
                })
            }
            Action::Bench(arguments) => bench(|| self.connection.connected(), console, &arguments),
            Action::Completions { shell } => completions(console, shell),
            _ => Err(Failure::Wrong(
                "with redis:// commands are the server's own: --addr has to stand before them".to_owned(),
            )),
        }
    }

    /// Sends a command and shows the reply. False if that is nil.
    pub(crate) fn send(&mut self, console: &mut Console, words: &[Vec<u8>]) -> Result<bool, Failure> {
        let name = words.first().map(Vec::as_slice).unwrap_or_default();
        if let Some((native, instead)) =
            NATIVE.iter().find(|(native, _)| name.eq_ignore_ascii_case(native.as_bytes()))
        {
            return Err(Failure::Wrong(format!("{native} is native; with redis:// it is {instead}")));
        }
        if STREAMS.iter().any(|stream| name.eq_ignore_ascii_case(stream)) {
            return self.follow(console, words);
        }
        let reply = self.connection.call(words)?;
        show(console, reply)?;
        let found = reply != Reply::Nil;
        self.connection.note(words)?;
        // A server with a password had told nothing before.
        if [&b"AUTH"[..], b"HELLO"].iter().any(|said| name.eq_ignore_ascii_case(said)) {
            self.is_known = false;
        }
        Ok(found)
    }

    /// Shows what comes until Ctrl-C, or the server hangs up.
    fn follow(&self, console: &mut Console, words: &[Vec<u8>]) -> Result<bool, Failure> {
        let mut connection = self.connection.another();
        connection.send(words)?;
        while !console.interrupt.is_set() {
            if connection.has_reply(SLICE)? {
                match connection.reply()? {
                    Reply::Error(text) => return Err(refused(text)),
                    reply => show(console, reply)?,
                }
            }
        }
        Ok(true)
    }

    /// The figures of INFO, and the number of items in all databases.
    fn info(&mut self) -> Result<Vec<(String, String)>, Failure> {
        let reply = self.connection.call(&["INFO", "everything"])?;
        let (Reply::Bulk(text) | Reply::Verbatim { text, .. }) = reply else {
            return Err(Failure::Refused("INFO is no text".to_owned()));
        };
        let text = String::from_utf8_lossy(text);
        let mut figures: Vec<(String, String)> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let items = figures.iter().filter_map(|(name, value)| {
            name.strip_prefix("db")?.parse::<u32>().ok()?;
            value.strip_prefix("keys=")?.split(',').next()?.parse::<u64>().ok()
        });
        let items = items.sum::<u64>();
        figures.push(("items".to_owned(), items.to_string()));
        Ok(figures)
    }
}

/// Commands that are answered for ever.
const STREAMS: [&[u8]; 4] = [b"MONITOR", b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE"];

fn show(console: &mut Console, reply: Reply<'_>) -> io::Result<()> {
    if console.json {
        return writeln!(console.out, "{}", json!({ "reply": show::as_json(reply) }));
    }
    if console.terminal {
        return writeln!(console.out, "{}", show::for_people(reply));
    }
    if reply == Reply::Nil && !console.session {
        return Ok(()); // a script has the exit code
    }
    let mut bytes = show::for_scripts(reply);
    // A value alone comes byte for byte.
    if console.session || !matches!(reply, Reply::Bulk(_)) {
        bytes.push(b'\n');
    }
    console.out.write_all(&bytes)
}

impl Target for Resp {
    fn run(&mut self, console: &mut Console, words: &[Vec<u8>]) -> Result<bool, Failure> {
        match words {
            [name] if name.eq_ignore_ascii_case(b"help") => {
                console.remark(HELP)?;
                Ok(true)
            }
            [name, rest @ ..] if name.eq_ignore_ascii_case(b"help") => {
                self.explain(console, &rest.join(&b' '))
            }
            [name, ..] if !is_servers(name) => self.run_ours(console, typed(words)?),
            _ => self.send(console, words),
        }
    }

    fn addr(&self) -> String {
        self.connection.here().to_string()
    }

    fn greeting(&mut self) -> Result<String, Failure> {
        let info = self.info()?;
        let figure =
            |wanted: &str| info.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let name = figure("server_name").unwrap_or("redis");
        let version = figure(&format!("{name}_version")).or(figure("redis_version")).unwrap_or("?");
        Ok(format!("{name} {version}"))
    }

    fn known(&mut self) -> Option<Vec<Known>> {
        // In a transaction the question would become a part of it.
        if self.is_known || self.connection.is_in_transaction() {
            return None;
        }
        self.is_known = true;
        Some(self.commands())
    }
}

const HELP: &str = "\
Every line is sent to the server as it is.
Words with blanks or any bytes: \"two words\", \"\\x00\\n\", 'as it is'.
help COMMAND explains a command; stats, stats --watch, top and bench are ours.
Tab completes; Ctrl-C ends what runs; quit ends.";

impl Resp {
    /// A server without COMMAND DOCS, or one that is away, leaves the editor without help.
    fn commands(&mut self) -> Vec<Known> {
        let mut known = self.connection.call(&["COMMAND", "DOCS"]).map(docs::read).unwrap_or_default();
        known.extend(crate::known::ours().into_iter().filter(|known| OURS.contains(&known.name.as_bytes())));
        known
    }

    fn explain(&mut self, console: &mut Console, name: &[u8]) -> Result<bool, Failure> {
        let name = String::from_utf8_lossy(name);
        let known = self.commands();
        let Some(found) = known.iter().find(|known| known.name.eq_ignore_ascii_case(&name)) else {
            return Err(Failure::Wrong(format!("the server has no help on {name}")));
        };
        let text = format!("{} {}\n{}", found.name, found.syntax.join(" "), found.summary);
        console.answer(|| json!({ "help": text }), text.as_bytes())?;
        Ok(true)
    }
}

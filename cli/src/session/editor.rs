//! Lines that a person types: with history, completion of commands and flags, and hints of arguments.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Helper};

use super::{Line, Lines, Target, history};
use crate::failure::complain;
use crate::known::Known;

/// Lines that are kept.
const HISTORY_LEN: usize = 1000;

/// An editor on the terminal.
pub(crate) struct Editor {
    inner: rustyline::Editor<Assistant, FileHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    pub(crate) fn new() -> io::Result<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY_LEN)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(io::Error::other)?
            .build();
        let past = FileHistory::with_config(&config);
        let mut inner = rustyline::Editor::with_history(config, past).map_err(io::Error::other)?;
        inner.set_helper(Some(Assistant::default()));
        // A session without its past is better than none.
        let history = history::path().unwrap_or_else(|error| {
            complain(format_args!("crabcache-cli: no history: {error}\n"));
            None
        });
        if let Some(path) = &history
            && let Err(error) = inner.load_history(path)
            && !matches!(&error, ReadlineError::Io(error) if error.kind() == io::ErrorKind::NotFound)
        {
            complain(format_args!("crabcache-cli: {}: {error}\n", path.display()));
        }
        Ok(Self { inner, history })
    }

    fn keep(&mut self, line: &str) {
        let Some(path) = self.history.as_ref().filter(|_| !history::is_secret(line)) else { return };
        let kept = self.inner.add_history_entry(line).and_then(|_| self.inner.append_history(path));
        if let Err(error) = kept {
            complain(format_args!("crabcache-cli: {}: {error}\n", path.display()));
            self.history = None;
        }
    }
}

impl Lines for Editor {
    fn next_line(&mut self, target: &mut dyn Target) -> io::Result<Line> {
        if let Some(known) = target.known() {
            self.inner.set_helper(Some(Assistant { known }));
        }
        match self.inner.readline(&format!("{}> ", target.addr())) {
            Ok(line) => {
                self.keep(&line);
                Ok(Line::Text(line.into_bytes()))
            }
            Err(ReadlineError::Interrupted) => Ok(Line::None),
            Err(ReadlineError::Eof) => Ok(Line::End),
            Err(ReadlineError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn is_typed(&self) -> bool {
        true
    }
}

/// Completes and hints.
#[derive(Default)]
struct Assistant {
    known: Vec<Known>,
}

impl Assistant {
    /// The command that the line begins with, and what follows its name.
    fn command<'l>(&self, line: &'l str) -> Option<(&Known, &'l str)> {
        let matching = self.known.iter().filter_map(|known| {
            let (name, rest) = line.split_at_checked(known.name.len())?;
            let whole = rest.is_empty() || rest.starts_with(' ');
            (whole && name.eq_ignore_ascii_case(&known.name)).then_some((known, rest))
        });
        matching.max_by_key(|(known, _)| known.name.len())
    }

    /// What may stand in place of the end of the line, with the blank that follows, and where that begins.
    fn candidates(&self, line: &str) -> (usize, Vec<String>) {
        let start = line.rfind(' ').map_or(0, |at| at + 1);
        let word = &line[start..];
        if word.starts_with("--")
            && let Some((known, _)) = self.command(line)
        {
            let flags = known.flags.iter().filter(|flag| flag.starts_with(word));
            return (start, flags.map(|flag| format!("{flag} ")).collect());
        }
        // Names may have two words, and are completed from the first.
        let is_begin =
            |name: &str| name.get(..line.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(line));
        let lower = line.chars().any(char::is_lowercase);
        let names = self.known.iter().map(|known| &known.name).filter(|name| is_begin(name));
        (0, names.map(|name| if lower { name.to_lowercase() + " " } else { format!("{name} ") }).collect())
    }

    /// Arguments that are still to come.
    fn hint_at(&self, line: &str) -> Option<String> {
        let (known, rest) = self.command(line)?;
        if !rest.is_empty() && !rest.ends_with(' ') {
            return None;
        }
        let missing = missing(known, rest.split(' ').filter(|word| !word.is_empty()));
        if missing.is_empty() {
            return None;
        }
        let missing = missing.join(" ");
        Some(if rest.is_empty() { format!(" {missing}") } else { missing })
    }
}

/// What these words leave of a command's syntax.
fn missing<'k>(known: &'k Known, words: impl Iterator<Item = &'k str>) -> Vec<&'k str> {
    let mut left: Vec<&str> = known.syntax.iter().map(String::as_str).collect();
    // The name of the value that a flag is to be followed by.
    let mut value = None;
    for word in words {
        if value.take().is_some() {
            continue;
        }
        // A flag's syntax is `[--flag]` or `[--flag VALUE]`.
        let is_flag = known.flags.iter().any(|flag| flag == word);
        let at = left.iter().position(|part| match part.strip_prefix("[--") {
            Some(_) => is_flag && part.trim_matches(['[', ']']).split(' ').next() == Some(word),
            None => !is_flag,
        });
        if let Some(at) = at {
            let part = left.remove(at);
            value = part.trim_matches(['[', ']']).split_once(' ').filter(|_| is_flag).map(|(_, name)| name);
        }
    }
    value.into_iter().chain(left).collect()
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(&line[..pos]))
    }
}

impl Hinter for Assistant {
    type Hint = String;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        if pos == line.len() { self.hint_at(line) } else { None }
    }
}

impl Highlighter for Assistant {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        format!("\x1b[2m{hint}\x1b[m").into()
    }
}

impl Validator for Assistant {}
impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    fn assistant() -> Assistant {
        let known = |name: &str, syntax: &[&str], flags: &[&str]| Known {
            name: name.to_owned(),
            syntax: syntax.iter().map(ToString::to_string).collect(),
            flags: flags.iter().map(ToString::to_string).collect(),
            ..Known::default()
        };
        let put =
            known("put", &["key", "[value]", "[--ttl TIME]", "[--if-absent]"], &["--ttl", "--if-absent"]);
        Assistant {
            known: vec![put, known("CONFIG GET", &["name"], &[]), known("CONFIG SET", &["name"], &[])],
        }
    }

    #[test]
    fn commands_and_flags_are_completed() {
        let candidates = |line: &str| assistant().candidates(line);
        assert_eq!(candidates("p"), (0, vec!["put ".to_owned()]));
        assert_eq!(candidates("CONFIG "), (0, vec!["CONFIG GET ".to_owned(), "CONFIG SET ".to_owned()]));
        assert_eq!(candidates("config s"), (0, vec!["config set ".to_owned()]));
        assert_eq!(candidates("put k --t"), (6, vec!["--ttl ".to_owned()]));
        assert_eq!(candidates("put k").1, Vec::<String>::new());
        assert_eq!(candidates("ä").1, Vec::<String>::new());
    }

    #[test]
    fn arguments_to_come_are_hinted_at() {
        let hint = |line: &str| assistant().hint_at(line);
        assert_eq!(hint("put").as_deref(), Some(" key [value] [--ttl TIME] [--if-absent]"));
        assert_eq!(hint("put k ").as_deref(), Some("[value] [--ttl TIME] [--if-absent]"));
        assert_eq!(hint("put k v --ttl ").as_deref(), Some("TIME [--if-absent]"));
        assert_eq!(hint("put --ttl 5s ").as_deref(), Some("key [value] [--if-absent]"));
        assert_eq!(hint("put k --if-absent ").as_deref(), Some("[value] [--ttl TIME]"));
        assert_eq!(hint("config get ").as_deref(), Some("name"));
        for nothing in ["", "pu", "put k", "put k v --if-absent --ttl 5s ", "putt ", "config get a "] {
            assert_eq!(hint(nothing), None, "{nothing}");
        }
    }
}

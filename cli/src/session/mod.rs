//! Commands one after the other: typed by a person, or from a file or pipe.
//!
//! ```text
//! Lines     where they come from: an editor, or standard input
//! inline    words, with quotes and escapes as redis-cli knows them
//! Target    carries them out, natively or in RESP
//! ```
//! A failure is told and does not end the session.

mod editor;
mod history;
mod piped;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStringExt;

use clap::FromArgMatches;
use crabcache_protocol::resp::inline;

use crate::args::{Action, Typed, lower_name, session_command};
use crate::console::Console;
use crate::failure::{Context, EXIT_ABSENT, Failure};
use crate::interrupt::Interrupt;
use crate::known::Known;

/// Carries out commands.
pub(crate) trait Target {
    /// True if the key was there, or the condition held.
    fn run(&mut self, console: &mut Console, words: &[Vec<u8>]) -> Result<bool, Failure>;
    /// Whom it talks to, at this moment.
    fn addr(&self) -> String;
    /// Who that is.
    fn greeting(&mut self) -> Result<String, Failure>;
    /// Its commands, where they may be others than those that it gave last.
    fn known(&mut self) -> Option<Vec<Known>>;
}

/// What a source of lines gives.
#[derive(Debug)]
pub(crate) enum Line {
    Text(Vec<u8>),
    /// Nothing, but go on.
    None,
    End,
}

/// A source of lines.
pub(crate) trait Lines {
    /// The next one, which is for `target`.
    fn next_line(&mut self, target: &mut dyn Target) -> io::Result<Line>;
    /// Whether a person types them.
    fn is_typed(&self) -> bool {
        false
    }
}

/// Carries out what is typed or piped. Gives the exit code: for a person 0, for a script the highest of all commands.
pub(crate) fn run(target: &mut dyn Target, console: &mut Console) -> io::Result<u8> {
    console.session = true;
    if !(io::stdin().is_terminal() && console.terminal) {
        return Ok(each(&mut piped::Piped::new(), target, console));
    }
    console.interrupt = Interrupt::listen()?;
    match target.greeting() {
        Ok(name) => console.remark(&format!("{name} at {}; help explains, quit ends", target.addr()))?,
        Err(failure) => {
            failure.tell(&Context { addr: target.addr(), json: console.json, ..Context::default() });
        }
    }
    each(&mut editor::Editor::new()?, target, console);
    Ok(0)
}

/// Gives the highest exit code. Failures of a script come with the number of their line.
fn each(lines: &mut dyn Lines, target: &mut dyn Target, console: &mut Console) -> u8 {
    let mut highest = 0;
    let mut context = Context { addr: target.addr(), json: console.json, line: None, session: true };
    for number in 1_u64.. {
        let line = match lines.next_line(target) {
            Ok(Line::Text(line)) => line,
            Ok(Line::None) => continue,
            Ok(Line::End) => break,
            Err(error) => {
                let failure = Failure::from(error);
                failure.report(&context);
                return failure.exit_code();
            }
        };
        console.interrupt.reset();
        let code = match one(&line, target, console) {
            Ok(Next::Go(yes)) => u8::from(!yes) * EXIT_ABSENT,
            Ok(Next::End) => break,
            Err(failure) if failure.is_broken_pipe() => return failure.exit_code(),
            Err(failure) if lines.is_typed() => {
                failure.tell(&context);
                0
            }
            Err(failure) => {
                context.line = Some(number);
                failure.report(&context);
                failure.exit_code()
            }
        };
        highest = highest.max(code);
    }
    highest
}

/// What comes after a line.
enum Next {
    /// The next one. True if the key was there, or the condition held.
    Go(bool),
    End,
}

fn one(line: &[u8], target: &mut dyn Target, console: &mut Console) -> Result<Next, Failure> {
    if line.trim_ascii_start().starts_with(b"#") {
        return Ok(Next::Go(true));
    }
    let words = inline::words(line).map_err(|_| Failure::Wrong(misquoted(line).to_owned()))?;
    match words.as_slice() {
        [] => Ok(Next::Go(true)),
        [word] if [&b"quit"[..], b"exit"].contains(&word.to_ascii_lowercase().as_slice()) => Ok(Next::End),
        words => Ok(Next::Go(target.run(console, words)?)),
    }
}

/// What is wrong with the quotes of a line.
fn misquoted(line: &[u8]) -> &'static str {
    // Behind a blank, a quote closes what is open also where the line ends with a backslash.
    if [&b" \""[..], b" '"].iter().any(|close| inline::words(&[line, close].concat()).is_ok()) {
        return "a quote is not closed";
    }
    "after a closing quote a blank has to follow; \\\" is a quote in \"a word\""
}

/// A command of ours.
pub(crate) fn typed(words: &[Vec<u8>]) -> Result<Action, clap::Error> {
    let mut words: Vec<_> = words.iter().map(|word| OsString::from_vec(word.clone())).collect();
    lower_name(&mut words);
    let mut matches = session_command().try_get_matches_from(words)?;
    Ok(Typed::from_arg_matches_mut(&mut matches)?.command)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    impl Lines for VecDeque<Line> {
        fn next_line(&mut self, _: &mut dyn Target) -> io::Result<Line> {
            Ok(self.pop_front().unwrap_or(Line::End))
        }
    }

    /// Notes what it is asked to do; `fail` fails, `absent` finds nothing.
    #[derive(Default)]
    struct Noting(Vec<Vec<Vec<u8>>>);

    impl Target for Noting {
        fn run(&mut self, _: &mut Console, words: &[Vec<u8>]) -> Result<bool, Failure> {
            self.0.push(words.to_vec());
            match words[0].as_slice() {
                b"fail" => Err(Failure::Refused("on purpose".to_owned())),
                name => Ok(name != b"absent"),
            }
        }

        fn addr(&self) -> String {
            "nowhere".to_owned()
        }

        fn greeting(&mut self) -> Result<String, Failure> {
            Ok(String::new())
        }

        fn known(&mut self) -> Option<Vec<Known>> {
            None
        }
    }

    fn session(lines: &[&str]) -> (u8, Vec<Vec<Vec<u8>>>) {
        let mut lines: VecDeque<Line> =
            lines.iter().map(|line| Line::Text(line.as_bytes().to_vec())).collect();
        lines.insert(lines.len() / 2, Line::None);
        let mut target = Noting::default();
        let code = each(&mut lines, &mut target, &mut Console::new(false));
        (code, target.0)
    }

    #[test]
    fn lines_become_words() {
        let (code, commands) =
            session(&["", " # a remark", r#"put "two words" "\x00\n""#, "get  'a b' ", "quit", "get never"]);
        let expected = [&[&b"put"[..], b"two words", b"\0\n"][..], &[b"get", b"a b"]];
        assert_eq!((code, commands.len()), (0, 2));
        assert!(commands.iter().zip(expected).all(|(words, expected)| words == expected), "{commands:?}");
    }

    #[test]
    fn wrong_quotes_are_told_from_open_ones() {
        for open in [r#"get "a"#, "get 'a", r#"get "a\"#, r"get 'a\", "get \"a 'b"] {
            assert_eq!(misquoted(open.as_bytes()), "a quote is not closed", "{open}");
        }
        for wrong in [r#"get "greeting"x"#, "get 'it's", r#"put "a"b "c"#] {
            assert!(misquoted(wrong.as_bytes()).starts_with("after a closing quote"), "{wrong}");
        }
    }

    #[test]
    fn failures_do_not_end_a_session_but_are_remembered() {
        assert_eq!(session(&["absent", "get k"]).0, 1);
        let (code, commands) = session(&["fail", "get \"unclosed", "absent", "get k"]);
        assert_eq!((code, commands.len()), (4, 3));
        assert_eq!(session(&["EXIT", "fail"]), (0, vec![]));
    }

    #[test]
    fn typed_commands_take_any_bytes_and_suggest() {
        let words = |line: &[u8]| inline::words(line).unwrap_or_default();
        let get = typed(&words(br#"get "\xff\x00""#));
        assert!(matches!(get, Ok(Action::Get { key }) if key.as_encoded_bytes() == b"\xFF\0"));
        assert!(matches!(typed(&words(b"SET K v")), Ok(Action::Put(put)) if put.key == "K"));
        assert!(matches!(typed(&words(b"FlushAll")), Ok(Action::Flush)));
        match typed(&words(b"scann")) {
            Err(error) => assert!(error.to_string().contains("'scan'"), "{error}"),
            Ok(_) => panic!("there is no scann"),
        }
    }
}

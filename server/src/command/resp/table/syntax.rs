//! The arguments of a command, written as people write them, and the form in which COMMAND DOCS tells them.
//!
//! ```text
//! sequence     item item ...
//! choice       sequence | sequence                  at the top, or within brackets
//! item         word, [choice] (optional), (choice); with ... behind it: once or several times, behind a bracket with its name
//! word         lower case: an argument;  upper case: itself, or the name of the argument or choice behind it
//! ```
//! So `key [EX seconds|KEEPTTL]` is a key, and perhaps either `EX` with a number or `KEEPTTL`.

use crabcache_protocol::resp::{Version, write};

/// One argument.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Argument {
    name: String,
    kind: &'static str,
    token: Option<String>,
    optional: bool,
    multiple: bool,
    /// Its token stands before each.
    multiple_token: bool,
    parts: Vec<Argument>,
}

/// The arguments that `syntax` tells of.
pub(super) fn arguments(syntax: &str) -> Vec<Argument> {
    let tokens = tokens(syntax);
    let mut left = tokens.as_slice();
    let mut choices = choices(&mut left);
    if choices.len() == 1 { choices.remove(0) } else { vec![one_of(choices)] }
}

fn tokens(syntax: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = syntax.trim_start();
    while !rest.is_empty() {
        let len = match rest.as_bytes()[0] {
            b'[' | b']' | b'(' | b')' | b'|' => 1,
            b'.' => rest.len() - rest.trim_start_matches('.').len(),
            _ => rest.find(['[', ']', '(', ')', '|', ' ', '.']).unwrap_or(rest.len()),
        };
        tokens.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    tokens
}

/// Sequences with bars between them, up to a closing bracket.
fn choices(left: &mut &[&str]) -> Vec<Vec<Argument>> {
    let mut choices = vec![sequence(left)];
    while let ["|", rest @ ..] = left {
        *left = rest;
        choices.push(sequence(left));
    }
    choices
}

fn sequence(left: &mut &[&str]) -> Vec<Argument> {
    let mut items = Vec::new();
    while let [token, rest @ ..] = left {
        if matches!(*token, "|" | "]" | ")") {
            break;
        }
        *left = rest;
        let mut item = item(token, left);
        if let ["...", rest @ ..] = left {
            *left = rest;
            item.multiple = true;
            item.multiple_token = token == &"[" && item.token.is_some();
        }
        items.push(item);
    }
    items
}

fn item(token: &str, left: &mut &[&str]) -> Argument {
    if matches!(token, "[" | "(") {
        let mut choices = choices(left);
        // The closing bracket.
        *left = left.get(1..).unwrap_or_default();
        let mut whole = match choices.as_mut_slice() {
            [only] if only.len() == 1 => only.remove(0),
            [only] => block(std::mem::take(only)),
            _ => one_of(choices),
        };
        whole.optional |= token == "[";
        return whole;
    }
    if token.starts_with(|first: char| first.is_ascii_uppercase()) {
        if let [next, rest @ ..] = left
            && next.starts_with(|first: char| first.is_ascii_lowercase())
        {
            *left = rest;
            return Argument { token: Some(token.to_owned()), ..argument(next) };
        }
        if let ["(", rest @ ..] = left {
            *left = rest;
            return Argument { token: Some(token.to_owned()), ..item("(", left) };
        }
        let name = token.to_ascii_lowercase();
        return Argument { name, kind: "pure-token", token: Some(token.to_owned()), ..Argument::default() };
    }
    argument(token)
}

fn argument(name: &str) -> Argument {
    let kind = match name {
        "key" | "key1" | "key2" | "source" | "destination" | "newkey" => "key",
        "pattern" => "pattern",
        "seconds" | "milliseconds" | "timeout" | "count" | "cursor" | "index" | "index1" | "index2"
        | "start" | "end" | "increment" | "decrement" | "client-id" | "maxage" | "port" | "protover"
        | "version" | "offset" | "db" | "destination-db" | "numkeys" | "numreplicas" | "min-match-len" => {
            "integer"
        }
        "unix-time-seconds" | "unix-time-milliseconds" => "unix-time",
        _ => "string",
    };
    Argument { name: name.to_owned(), kind, ..Argument::default() }
}

fn block(parts: Vec<Argument>) -> Argument {
    let name = parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join("_");
    Argument { name, kind: "block", parts, ..Argument::default() }
}

fn one_of(choices: Vec<Vec<Argument>>) -> Argument {
    let parts: Vec<Argument> = choices
        .into_iter()
        .map(|mut choice| if choice.len() == 1 { choice.remove(0) } else { block(choice) })
        .collect();
    Argument { kind: "oneof", ..block(parts) }
}

impl Argument {
    /// Writes it as COMMAND DOCS does.
    pub(super) fn write(&self, out: &mut Vec<u8>, version: Version) {
        let flags = [
            (self.optional, "optional"),
            (self.multiple, "multiple"),
            (self.multiple_token, "multiple_token"),
        ];
        let flags: Vec<_> = flags.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
        let is_key = self.kind == "key";
        let more = [is_key, self.token.is_some(), !flags.is_empty(), !self.parts.is_empty()];
        write::map(out, 2 + more.iter().filter(|has| **has).count(), version);
        pair(out, "name", &self.name);
        pair(out, "type", self.kind);
        if is_key {
            // Keys of which something else is done have a specification of their own.
            write::bulk(out, b"key_spec_index");
            write::integer(out, matches!(&*self.name, "destination" | "newkey").into());
        }
        if let Some(token) = &self.token {
            pair(out, "token", token);
        }
        if !flags.is_empty() {
            write::bulk(out, b"flags");
            super::super::flags(out, &flags, version);
        }
        if !self.parts.is_empty() {
            write::bulk(out, b"arguments");
            write::array(out, self.parts.len());
            for part in &self.parts {
                part.write(out, version);
            }
        }
    }
}

/// A name and a text.
pub(super) fn pair(out: &mut Vec<u8>, name: &str, text: &str) {
    write::bulk(out, name.as_bytes());
    write::bulk(out, text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::*;

    /// Back to text, with everything in its place.
    fn told(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let inner = match argument.kind {
                "oneof" => argument
                    .parts
                    .iter()
                    .map(|part| told(std::slice::from_ref(part)))
                    .collect::<Vec<_>>()
                    .join("|"),
                "block" => told(&argument.parts),
                "pure-token" => argument.token.clone().unwrap_or_default(),
                _ => argument.name.clone(),
            };
            let inner = match (&argument.token, argument.kind) {
                (Some(token), "oneof" | "block") => format!("{token} ({inner})"),
                (Some(token), kind) if kind != "pure-token" => format!("{token} {inner}"),
                _ => inner,
            };
            let bracketed = match (argument.optional, argument.kind) {
                (true, _) => format!("[{inner}]"),
                (false, "oneof" | "block") if argument.token.is_none() => format!("({inner})"),
                _ => inner,
            };
            bracketed + if argument.multiple { "..." } else { "" }
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for (written, read) in [
            ("key value [NX|XX] [GET]", "key value [NX|XX] [GET]"),
            ("[EX seconds|PERSIST]", "[EX seconds|PERSIST]"),
            ("(key value)...", "(key value)..."),
            ("ON|OFF", "(ON|OFF)"),
            ("[protover [AUTH username password]]", "[protover [AUTH username password]]"),
            ("[channel...]", "[channel]..."),
            ("[TYPE (NORMAL|MASTER)] ON", "[TYPE (NORMAL|MASTER)] ON"),
        ] {
            assert_eq!(told(&arguments(written)), read);
        }
        let set = arguments("key [EX seconds]");
        assert_eq!((set[0].kind, set[1].kind, set[1].token.as_deref()), ("key", "integer", Some("EX")));
        let copy = arguments("source destination [DB destination-db]");
        assert_eq!([copy[0].kind, copy[1].kind, copy[2].kind], ["key", "key", "integer"]);
        let several = arguments("[GET pattern]... [ID client-id...]");
        assert!(several.iter().all(|argument| argument.optional && argument.multiple));
        assert_eq!([several[0].multiple_token, several[1].multiple_token], [true, false]);
    }

    #[test]
    fn every_syntax_of_the_table_is_read_whole() {
        for found in all() {
            let syntax = found.command.syntax;
            let letters = |text: &str| text.replace(['[', ']', '(', ')', ' ', '.', '|'], "");
            assert_eq!(letters(&told(&arguments(syntax))), letters(syntax), "{}", found.command.name);
        }
    }
}

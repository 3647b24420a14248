//! Where answers go: standard output, in bytes as they are, with a newline only for people; or in JSON, an object a line.

use std::borrow::Cow;
use std::io::{self, IsTerminal, StdoutLock, Write};

use serde_json::{Map, Value};

use crate::interrupt::Interrupt;
use crate::quote::quoted;

/// Standard output; it is buffered by lines: a large value is written at once.
pub(crate) struct Console {
    pub(crate) out: StdoutLock<'static>,
    pub(crate) terminal: bool,
    pub(crate) json: bool,
    /// Commands come from standard input, one after the other.
    pub(crate) session: bool,
    pub(crate) interrupt: Interrupt,
}

impl Console {
    pub(crate) fn new(json: bool) -> Self {
        let out = io::stdout().lock();
        Self { terminal: out.is_terminal(), out, json, session: false, interrupt: Interrupt::default() }
    }

    /// An answer in one form or the other.
    pub(crate) fn answer<'t>(
        &mut self,
        json: impl FnOnce() -> Value,
        text: impl Into<Option<&'t [u8]>>,
    ) -> io::Result<()> {
        match text.into() {
            _ if self.json => writeln!(self.out, "{}", json()),
            Some(text) => {
                let line = [self.shown(text).as_ref(), b"\n"].concat();
                self.out.write_all(&line)
            }
            None => Ok(()),
        }
    }

    /// A value, byte for byte; with a newline after it for a person, and where other answers follow.
    pub(crate) fn value(&mut self, json: impl FnOnce() -> Value, value: &[u8]) -> io::Result<()> {
        if self.json || self.terminal || self.session {
            return self.answer(json, value);
        }
        self.out.write_all(value)
    }

    /// What only a person in a session is told; a script has the exit code.
    pub(crate) fn remark(&mut self, text: &str) -> io::Result<()> {
        if self.session && self.terminal && !self.json {
            return writeln!(self.out, "{text}");
        }
        Ok(())
    }

    /// The bytes for this output: a terminal gets none that would disturb it.
    fn shown<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        if self.terminal && !is_printable(text) {
            return quoted(text).into_bytes().into();
        }
        text.into()
    }
}

/// Whether a terminal can show it as it is.
pub(crate) fn is_printable(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok_and(|text| !text.contains(|c: char| c.is_control() && !"\t\r\n".contains(c)))
}

/// An object with these bytes: as text under the name, or in hexadecimal under the name with `_hex`.
pub(crate) fn with_bytes(mut object: Value, name: &str, bytes: &[u8]) -> Value {
    let (name, text) = match std::str::from_utf8(bytes) {
        Ok(text) => (name.to_owned(), text.to_owned()),
        Err(_) => (format!("{name}_hex"), hex(bytes)),
    };
    if let Value::Object(object) = &mut object {
        object.insert(name, text.into());
    }
    object
}

/// Statistics as one object; numbers where they are numbers.
pub(crate) fn stats_json(stats: &[(String, String)]) -> Value {
    let figure = |(name, value): &(String, String)| {
        (name.clone(), number(value).unwrap_or_else(|| value.as_str().into()))
    };
    Value::Object(stats.iter().map(figure).collect::<Map<_, _>>())
}

/// What is written as a number; not what only has digits, such as the hash 00000000.
fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    // JSON knows no zeros in front.
    serde_json::from_str(text).ok().filter(|_| is_plain)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|n| char::from_digit(n.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bytes_are_text_or_hexadecimal() {
        let object = with_bytes(with_bytes(json!({"n": 1}), "key", "ä\n".as_bytes()), "value", b"\xFF\x00a");
        assert_eq!(object, json!({"n": 1, "key": "ä\n", "value_hex": "ff0061"}));
        let stats = [("items".to_owned(), "3".to_owned()), ("version".to_owned(), "0.1.0".to_owned())];
        assert_eq!(stats_json(&stats), json!({"items": 3, "version": "0.1.0"}));
    }

    #[test]
    fn what_disturbs_a_terminal_is_not_printable() {
        for (bytes, printable) in
            [(&b"a\tb\r\n"[..], true), ("ä".as_bytes(), true), (b"\x1b[2J", false), (b"\xFF", false)]
        {
            assert_eq!(is_printable(bytes), printable, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn numbers_are_numbers() {
        let figures =
            ["12", "-1", "0", "12.66", "0.006125", "00000000", "1.2.3", "1e5", "-", "", "7.0.15", "a"];
        let stats: Vec<_> = figures.iter().map(|text| (format!("<{text}>"), (*text).to_owned())).collect();
        let object = stats_json(&stats);
        let numbers: Vec<_> = figures.iter().filter(|text| object[format!("<{text}>")].is_number()).collect();
        assert_eq!(numbers, [&"12", &"-1", &"0", &"12.66", &"0.006125"]);
        assert_eq!(object["<00000000>"], "00000000");
    }
}

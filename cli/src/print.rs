//! What goes to standard output: bytes as they are, and a newline only for people; or JSON, an object a line.

use std::io::{self, IsTerminal, StdoutLock, Write};

use serde_json::{Map, Value};

/// Standard output; it is unbuffered, so that every write of a large value is one.
pub(crate) struct Printer {
    pub(crate) out: StdoutLock<'static>,
    pub(crate) terminal: bool,
    json: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        let out = io::stdout().lock();
        Self { terminal: out.is_terminal(), out, json }
    }

    /// An answer in one form or the other.
    pub(crate) fn answer<'t>(
        &mut self,
        json: impl FnOnce() -> Value,
        text: impl Into<Option<&'t [u8]>>,
    ) -> io::Result<()> {
        match text.into() {
            _ if self.json => writeln!(self.out, "{}", json()),
            Some(text) => self.out.write_all(&[text, b"\n"].concat()),
            None => Ok(()),
        }
    }

    /// A value, byte for byte; on a terminal with a newline after it.
    pub(crate) fn value(&mut self, json: impl FnOnce() -> Value, value: &[u8]) -> io::Result<()> {
        if self.json {
            return writeln!(self.out, "{}", json());
        }
        self.out.write_all(value)?;
        if self.terminal {
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
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
        let value = value.parse::<u64>().map_or_else(|_| value.as_str().into(), Value::from);
        (name.clone(), value)
    };
    Value::Object(stats.iter().map(figure).collect::<Map<_, _>>())
}

fn hex(bytes: &[u8]) -> String {
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
}

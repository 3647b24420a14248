//! A reply for people, for scripts, and in JSON.

use crabcache_protocol::resp::reply::Reply;
use serde_json::{Value, json};

use crate::console::{hex, is_printable};
use crate::quote::quoted;

/// As redis-cli shows it: types are told, elements are numbered.
pub(crate) fn for_people(reply: Reply<'_>) -> String {
    described(reply, 0)
}

/// Lines after the first begin with so many blanks.
fn described(reply: Reply<'_>, indent: usize) -> String {
    match reply {
        Reply::Integer(number) => format!("(integer) {number}"),
        Reply::Nil => "(nil)".to_owned(),
        Reply::Error(text) => format!("(error) {}", String::from_utf8_lossy(text)),
        Reply::Double(number) => format!("(double) {number}"),
        Reply::Boolean(truth) => format!("({truth})"),
        Reply::BigNumber(digits) => String::from_utf8_lossy(digits).into_owned(),
        // A text of several lines is one that was made to be read.
        Reply::Bulk(text) if text.contains(&b'\n') && is_printable(text) => {
            String::from_utf8_lossy(text).trim_end().to_owned()
        }
        Reply::Simple(text) | Reply::Verbatim { text, .. } if is_printable(text) => {
            String::from_utf8_lossy(text).trim_end().to_owned()
        }
        Reply::Bulk(bytes) | Reply::Simple(bytes) | Reply::Verbatim { text: bytes, .. } => quoted(bytes),
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => {
            numbered(items.len(), indent, items.iter(), described)
        }
        Reply::Map(items) => numbered(items.len() / 2, indent, items.pairs(), |(key, value), indent| {
            format!("{} => {}", described(key, indent), described(value, indent + 4))
        }),
    }
}

/// A line for each of `len` elements, with its number.
fn numbered<T>(
    len: usize,
    indent: usize,
    elements: impl Iterator<Item = T>,
    describe: impl Fn(T, usize) -> String,
) -> String {
    if len == 0 {
        return "(empty)".to_owned();
    }
    let width = len.to_string().len();
    let inside = indent + width + 2;
    let lines: Vec<String> = elements
        .enumerate()
        .map(|(at, element)| format!("{:>width$}) {}", at + 1, describe(element, inside)))
        .collect();
    lines.join(&format!("\n{:indent$}", ""))
}

/// A line for each thing, as it is.
pub(crate) fn for_scripts(reply: Reply<'_>) -> Vec<u8> {
    match reply {
        Reply::Simple(bytes)
        | Reply::Error(bytes)
        | Reply::Bulk(bytes)
        | Reply::BigNumber(bytes)
        | Reply::Verbatim { text: bytes, .. } => bytes.to_vec(),
        Reply::Nil => Vec::new(),
        Reply::Integer(number) => number.to_string().into_bytes(),
        Reply::Double(number) => number.to_string().into_bytes(),
        Reply::Boolean(truth) => truth.to_string().into_bytes(),
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) | Reply::Map(items) => {
            items.iter().map(for_scripts).collect::<Vec<_>>().join(&b'\n')
        }
    }
}

/// Bytes that are no text become `{"hex": ...}`; a map whose keys are no text becomes a list of pairs.
pub(crate) fn as_json(reply: Reply<'_>) -> Value {
    match reply {
        Reply::Simple(bytes)
        | Reply::Bulk(bytes)
        | Reply::BigNumber(bytes)
        | Reply::Verbatim { text: bytes, .. } => text_or_hex(bytes),
        Reply::Error(text) => json!({ "error": text_or_hex(text) }),
        Reply::Nil => Value::Null,
        Reply::Integer(number) => number.into(),
        Reply::Double(number) => number.into(),
        Reply::Boolean(truth) => truth.into(),
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items.iter().map(as_json).collect(),
        Reply::Map(items) => {
            let pairs: Vec<_> = items.pairs().map(|(key, value)| (as_json(key), as_json(value))).collect();
            if pairs.iter().all(|(key, _)| key.is_string()) {
                let named = pairs
                    .into_iter()
                    .map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), value));
                return Value::Object(named.collect());
            }
            pairs.into_iter().map(|(key, value)| json!([key, value])).collect()
        }
    }
}

fn text_or_hex(bytes: &[u8]) -> Value {
    str::from_utf8(bytes).map_or_else(|_| json!({ "hex": hex(bytes) }), Value::from)
}

#[cfg(test)]
mod tests {
    use crabcache_protocol::resp::reply::{Progress, parse};
    use crabcache_protocol::{Limits, Parsed};

    use super::*;

    fn read<T>(bytes: &[u8], read: impl Fn(Reply<'_>) -> T) -> T {
        let limits = Limits { key_len_max: 99, value_len_max: 99, args_max: 99, line_len_max: 99 };
        match parse(bytes, &limits, &mut Progress::default()) {
            Ok(Parsed::Complete { value, consumed }) if consumed == bytes.len() => read(value),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn replies_are_shown() {
        let table: [(&[u8], &str, &str, Value); 9] = [
            (b"+OK\r\n", "OK", "OK", json!("OK")),
            (b":-7\r\n", "(integer) -7", "-7", json!(-7)),
            (b"$-1\r\n", "(nil)", "", json!(null)),
            (b"$3\r\na\"b\r\n", r#""a\"b""#, "a\"b", json!("a\"b")),
            (b"$4\r\na\r\nb\r\n", "a\r\nb", "a\r\nb", json!("a\r\nb")),
            (b"*0\r\n", "(empty)", "", json!([])),
            (
                b"*2\r\n*2\r\n:1\r\n$1\r\na\r\n#t\r\n",
                "1) 1) (integer) 1\n   2) \"a\"\n2) (true)",
                "1\na\ntrue",
                json!([[1, "a"], true]),
            ),
            (b"%1\r\n+k\r\n,1.5\r\n", "1) k => (double) 1.5", "k\n1.5", json!({"k": 1.5})),
            (b"%1\r\n:1\r\n:2\r\n", "1) (integer) 1 => (integer) 2", "1\n2", json!([[1, 2]])),
        ];
        for (bytes, people, scripts, value) in table {
            let name = bytes.escape_ascii().to_string();
            assert_eq!(read(bytes, for_people), people, "{name}");
            assert_eq!(read(bytes, for_scripts), scripts.as_bytes(), "{name}");
            assert_eq!(read(bytes, as_json), value, "{name}");
        }
        assert_eq!(read(b"$2\r\n\xFF\x1b\r\n", for_people), r#""\xff\x1b""#);
        assert_eq!(read(b"$1\r\n\xFF\r\n", as_json), json!({"hex": "ff"}));
    }
}

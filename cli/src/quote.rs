//! Any bytes as a word that can be typed in a session; the other way is `crabcache_protocol::resp::inline`.

use std::fmt::Write as _;

/// In double quotes, with escapes for what cannot be seen.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() => {
                    let mut bytes = [0; 4];
                    escape(&mut out, c.encode_utf8(&mut bytes).as_bytes());
                }
                c => out.push(c),
            }
        }
        escape(&mut out, chunk.invalid());
    }
    out.push('"');
    out
}

fn escape(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}"); // writing to a String cannot fail
    }
}

#[cfg(test)]
mod tests {
    use crabcache_protocol::resp::inline;

    use super::*;

    #[test]
    fn what_is_quoted_can_be_typed() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [&b""[..], b"two words", b"say \"hi\" \\", "ä\n\u{85}".as_bytes(), &all] {
            assert_eq!(inline::words(quoted(bytes).as_bytes()), Ok(vec![bytes.to_vec()]));
        }
        assert_eq!(quoted("ä\x1b\n\"".as_bytes()), r#""ä\x1b\n\"""#);
    }
}

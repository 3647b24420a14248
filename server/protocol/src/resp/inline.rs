//! Inline commands: what a person types into `nc`, read by the rules of Redis' `sdssplitargs`.
//!
//! ```text
//! set key "a\x00\n\"b" 'it\'s'      words at blanks; "..." with escapes; '...' with \' only
//! ```
//! A closing quote must be followed by a blank or the end of the line.

use super::{ParseError, write};
use alloc::vec::Vec;

/// Rewrites an inline command as the array of bulk strings that a client library would have sent.
///
/// `out` is emptied first, and then holds exactly one request for [`parse`](super::parse); a blank line becomes `*0`.
pub fn rewrite(line: &[u8], out: &mut Vec<u8>) -> Result<(), ParseError> {
    let mut count = 0;
    let mut rest = line;
    while let Some(after) = word(rest, |_| ())? {
        rest = after;
        count += 1;
    }
    out.clear();
    write::array(out, count);
    let mut rest = line;
    loop {
        let mut len = 0;
        if word(rest, |_| len += 1)?.is_none() {
            return Ok(());
        }
        write::header(out, b'$', len);
        rest = word(rest, |byte| out.push(byte))?.unwrap_or_default();
        out.extend_from_slice(b"\r\n");
    }
}

/// The words of a line; none of a blank one.
pub fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, ParseError> {
    let (mut words, mut rest) = (Vec::new(), line);
    loop {
        let mut bytes = Vec::new();
        match word(rest, |byte| bytes.push(byte))? {
            Some(after) => rest = after,
            None => return Ok(words),
        }
        words.push(bytes);
    }
}

/// C's `isspace`.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Emits the bytes of the first word and gives what follows it; `None` if there is no word.
fn word(line: &[u8], mut emit: impl FnMut(u8)) -> Result<Option<&[u8]>, ParseError> {
    let Some(start) = line.iter().position(|&byte| !is_space(byte)) else { return Ok(None) };
    let mut rest = &line[start..];
    loop {
        rest = match rest {
            [] | [b' ' | b'\t' | b'\n' | b'\r', ..] => return Ok(Some(rest)),
            [b'"', text @ ..] => return double_quoted(text, emit).map(Some),
            [b'\'', text @ ..] => return single_quoted(text, emit).map(Some),
            [byte, after @ ..] => {
                emit(*byte);
                after
            }
        }
    }
}

fn double_quoted(mut text: &[u8], mut emit: impl FnMut(u8)) -> Result<&[u8], ParseError> {
    loop {
        text = match text {
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                emit(hex(*high) << 4 | hex(*low));
                after
            }
            [b'\\', byte, after @ ..] => {
                emit(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    &other => other,
                });
                after
            }
            [b'"', after @ ..] => return closed(after),
            [byte, after @ ..] => {
                emit(*byte);
                after
            }
            [] => return Err(ParseError::UnbalancedQuotes),
        }
    }
}

fn single_quoted(mut text: &[u8], mut emit: impl FnMut(u8)) -> Result<&[u8], ParseError> {
    loop {
        text = match text {
            [b'\\', b'\'', after @ ..] => {
                emit(b'\'');
                after
            }
            [b'\'', after @ ..] => return closed(after),
            [byte, after @ ..] => {
                emit(*byte);
                after
            }
            [] => return Err(ParseError::UnbalancedQuotes),
        }
    }
}

fn closed(after: &[u8]) -> Result<&[u8], ParseError> {
    match after.first() {
        Some(&byte) if !is_space(byte) => Err(ParseError::UnbalancedQuotes),
        _ => Ok(after),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rewritten(line: &[u8]) -> Result<Vec<u8>, ParseError> {
        let mut out = b"left over".to_vec();
        rewrite(line, &mut out).map(|()| out)
    }

    /// Each of these was put to Redis 7.0.15.
    #[test]
    fn inline_rewrite_table() {
        let table: [(&[u8], &[u8]); 11] = [
            (b"", b"*0\r\n"),
            (b" \t ", b"*0\r\n"),
            (b"PING", b"*1\r\n$4\r\nPING\r\n"),
            (b"  PING  \r", b"*1\r\n$4\r\nPING\r\n"),
            (b"PING\x0b", b"*1\r\n$5\r\nPING\x0b\r\n"),
            (b"get \"\"", b"*2\r\n$3\r\nget\r\n$0\r\n\r\n"),
            (b"ping a\"b\"", b"*2\r\n$4\r\nping\r\n$2\r\nab\r\n"),
            (b"get 'a\\'b'", b"*2\r\n$3\r\nget\r\n$3\r\na'b\r\n"),
            (b"get 'a\\nb'", b"*2\r\n$3\r\nget\r\n$4\r\na\\nb\r\n"),
            (
                b"get \"\\x41\\n\\r\\t\\b\\a\\\\\\\"\\q\\xzz\"",
                b"*2\r\n$3\r\nget\r\n$12\r\nA\n\r\t\x08\x07\\\"qxzz\r\n",
            ),
            (b"get \"\\xfF\\x4\"", b"*2\r\n$3\r\nget\r\n$3\r\n\xffx4\r\n"),
        ];
        for (line, expected) in table {
            assert_eq!(rewritten(line).as_deref(), Ok(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn inline_unbalanced_quotes_table() {
        for line in
            [&b"set \"a"[..], b"set 'a", b"set \"a\"b", b"set 'a'b", b"\"", b"PING \"a\"\\", b"a \"\\\""]
        {
            assert_eq!(rewritten(line), Err(ParseError::UnbalancedQuotes), "{}", line.escape_ascii());
            assert_eq!(words(line), Err(ParseError::UnbalancedQuotes), "{}", line.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn quoted_words_round_trip(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5)) {
            let mut line = Vec::new();
            let mut expected = Vec::new();
            write::array(&mut expected, words.len());
            for word in &words {
                write::bulk(&mut expected, word);
                line.push(b'"');
                for &byte in word {
                    line.extend_from_slice(b"\\x");
                    line.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
                }
                line.extend_from_slice(b"\" ");
            }
            prop_assert_eq!(rewritten(&line), Ok(expected));
            prop_assert_eq!(super::words(&line), Ok(words));
        }

        #[test]
        fn any_line_is_rewritten_or_refused(line in "[a \"'\\\\x0n\t\r]{0,20}") {
            let _ = rewritten(line.as_bytes());
        }
    }
}

//! Who is speaking: the protocol of a connection, from its first bytes.
//!
//! ```text
//! 80                     memcached's binary protocol: refused by `memcache`
//! >= 81                  native
//! *                      RESP
//! lower-case word        memcached, if it is one of its commands: get, set, mg, ...
//! any other word         an inline command of RESP: PING, ping, GET, "get"
//! GET / HTTP/1.1, POST   a browser, perhaps one that a web page sent here: refuse
//! 16 03                  TLS: refuse, and say so in plain text
//! ```
//! Line ends before the first byte are skipped. `get`, `set`, `append`, `quit` and a few more are words of both
//! protocols: in lower case they are memcached's, since a person who types to Redis in lower case can type `GET`, but
//! a memcached client has no other word. So is the whole line `config get cluster`.

use core::fmt;

use crate::memcache::BINARY_MAGIC;

/// What the first bytes of a connection tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detection {
    /// Who is speaking.
    pub speaker: Speaker,
    /// Line ends to drop from the input, whoever speaks.
    pub skip: usize,
}

/// Who is speaking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// The native protocol.
    Native,
    /// RESP, as an array or an inline command.
    Resp,
    /// memcached's text protocol.
    Memcache,
    /// An HTTP client. Close: if a web page made a browser speak to us, its body would be taken for commands.
    Http,
    /// Nobody we know. Answer [`Unknown`] if you like, and close.
    Unknown(Unknown),
    /// It takes more bytes to tell.
    Undecided,
}

/// Bytes that start no protocol of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unknown {
    /// A TLS client hello.
    Tls,
    /// A control character.
    Control(u8),
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls => f.write_str("this port does not speak TLS"),
            Self::Control(byte) => write!(f, "no known protocol starts with byte 0x{byte:02x}"),
        }
    }
}

impl core::error::Error for Unknown {}

/// Looks at the first bytes of a connection.
#[must_use]
pub fn detect(input: &[u8]) -> Detection {
    let skip = input.iter().position(|&byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(input.len());
    let input = &input[skip..];
    let speaker = match *input {
        [] | [0x16] => Speaker::Undecided,
        // The binary protocol: memcached's words are the ones to refuse it with.
        [BINARY_MAGIC, ..] => Speaker::Memcache,
        [0x81..=0xff, ..] => Speaker::Native,
        [b'*' | b' ' | b'\t', ..] => Speaker::Resp,
        [0x16, 0x03, ..] => Speaker::Unknown(Unknown::Tls),
        [byte, ..] if byte.is_ascii_control() => Speaker::Unknown(Unknown::Control(byte)),
        _ => by_word(input),
    };
    Detection { speaker, skip }
}

/// The commands of memcached that we know, meta commands included.
const MEMCACHE_WORDS: [&[u8]; 29] = [
    b"get",
    b"gets",
    b"gat",
    b"gats",
    b"set",
    b"add",
    b"replace",
    b"append",
    b"prepend",
    b"cas",
    b"delete",
    b"incr",
    b"decr",
    b"touch",
    b"flush_all",
    b"version",
    b"verbosity",
    b"stats",
    b"quit",
    b"slabs",
    b"lru",
    b"lru_crawler",
    b"cache_memlimit",
    b"mg",
    b"ms",
    b"md",
    b"ma",
    b"mn",
    b"me",
];

/// The first line of memcached clients that look for the servers of a cluster by themselves; CONFIG alone is Redis'.
const AUTO_DISCOVERY: &[u8] = b"config get cluster";

/// First words of HTTP requests that are no commands of Redis; `Host:` is what Redis watches for as well.
const HTTP_WORDS: [&[u8]; 10] =
    [b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE", b"PRI", b"HOST:"];

/// Whether this is the first word of a line that HTTP clients send, and no command of ours. One that is met behind a
/// request that was answered, or where only one protocol is spoken, means that a web page made a browser speak to us.
#[must_use]
pub fn is_http_word(word: &[u8]) -> bool {
    HTTP_WORDS.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Longest line that is waited for to tell `GET key` from `GET /path HTTP/1.1`, in bytes.
const GET_LINE_LEN_MAX: usize = 8192;

fn by_word(input: &[u8]) -> Speaker {
    let end = input.iter().position(|&byte| matches!(byte, b' ' | b'\r' | b'\n'));
    let word = &input[..end.unwrap_or(input.len())];
    let starts = |known: &[u8]| known.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if end.is_none() {
        let open = MEMCACHE_WORDS.iter().any(|known| known.starts_with(word))
            || AUTO_DISCOVERY.starts_with(word)
            || HTTP_WORDS.iter().any(|known| starts(known))
            || starts(b"GET");
        return if open { Speaker::Undecided } else { Speaker::Resp };
    }
    if MEMCACHE_WORDS.contains(&word) {
        Speaker::Memcache
    } else if is_http_word(word) {
        Speaker::Http
    } else if word == b"GET" {
        by_get_line(input)
    } else if AUTO_DISCOVERY.starts_with(input) {
        Speaker::Undecided
    } else if matches!(input.strip_prefix(AUTO_DISCOVERY), Some([b' ' | b'\r' | b'\n', ..])) {
        Speaker::Memcache
    } else {
        Speaker::Resp
    }
}

/// `GET key` is Redis', `GET /path HTTP/1.1` is not.
fn by_get_line(input: &[u8]) -> Speaker {
    let Some(target) = input.strip_prefix(b"GET /") else {
        return if b"GET /".starts_with(input) { Speaker::Undecided } else { Speaker::Resp };
    };
    let line = target.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if line.windows(6).any(|window| window == b" HTTP/") {
        Speaker::Http
    } else if line.len() < target.len() || input.len() > GET_LINE_LEN_MAX {
        Speaker::Resp
    } else {
        Speaker::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::Speaker::{Http, Memcache, Native, Resp, Undecided};
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn speakers_table() {
        let table: [(&[u8], Speaker); 59] = [
            (b"", Undecided),
            (b"\r\n\r", Undecided),
            (b"\x80", Memcache),
            (b"\x81", Native),
            (b"\xffanything", Native),
            (b"*", Resp),
            (b"\r\n*1\r\n", Resp),
            (b"get", Undecided),
            (b"get ", Memcache),
            (b"get\r", Memcache),
            (b"gets a\r\n", Memcache),
            (b"set k 0 0 1\r\n", Memcache),
            (b"s", Undecided),
            (b"version\r\n", Memcache),
            (b"quit\n", Memcache),
            (b"flush_all", Undecided),
            (b"flush_all\n", Memcache),
            (b"mg k v\r\n", Memcache),
            (b"mn\r\n", Memcache),
            (b"GET", Undecided),
            (b"GET ", Undecided),
            (b"GET foo", Resp),
            (b"GET\n", Resp),
            (b"GET /foo", Undecided),
            (b"GET /foo\r\n", Resp),
            (b"GET / HTTP/1.1\r\n", Http),
            (b"GET / HTTP/", Http),
            (b"Get foo", Resp),
            (b"SET k v\r\n", Resp),
            (b"SE", Resp),
            (b"ping", Resp),
            (b"ping\r\n", Resp),
            (b"p", Undecided),
            (b"pin", Resp),
            (b"info\r\n", Resp),
            (b"hello 3\r\n", Resp),
            (b"PING\r\n", Resp),
            (b"\"get\" a\r\n", Resp),
            (b" get a\r\n", Resp),
            (b"getset a b\r\n", Resp),
            (b"setex", Resp),
            (b"P", Undecided),
            (b"POST", Undecided),
            (b"POST / HTTP/1.1\r\n", Http),
            (b"post /\r\n", Http),
            (b"Host: a\r\n", Http),
            (b"PRI * HTTP/2.0\r\n", Http),
            (b"DEL a\r\n", Resp),
            (b"con", Undecided),
            (b"config get ", Undecided),
            (b"config get cluster", Undecided),
            (b"config get cluster\r\n", Memcache),
            (b"config get cluster-enabled\r\n", Resp),
            (b"config get maxmemory\r\n", Resp),
            (b"CONFIG get cluster\r\n", Resp),
            (b"\x16", Undecided),
            (b"\x16\x03\x01", Speaker::Unknown(Unknown::Tls)),
            (b"\x16\x00", Speaker::Unknown(Unknown::Control(0x16))),
            (b"\0\0", Speaker::Unknown(Unknown::Control(0))),
        ];
        for (input, speaker) in table {
            assert_eq!(detect(input).speaker, speaker, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn unknown_speakers_are_told_why() {
        assert_eq!(Unknown::Tls.to_string(), "this port does not speak TLS");
        assert_eq!(Unknown::Control(0).to_string(), "no known protocol starts with byte 0x00");
    }

    #[test]
    fn line_ends_are_skipped() {
        assert_eq!(detect(b"\r\n\n*1"), Detection { speaker: Resp, skip: 3 });
        assert_eq!(detect(b"\r\n"), Detection { speaker: Undecided, skip: 2 });
    }

    #[test]
    fn nobody_is_waited_for_longer_than_a_line() {
        let endless = [b"GET /", [b'a'; GET_LINE_LEN_MAX].as_slice()].concat();
        assert_eq!(detect(&endless).speaker, Resp);
    }

    proptest! {
        /// Once decided, more bytes change nothing.
        #[test]
        fn a_decision_is_final(text in "\r?\n?([a-zA-Z:_]{0,12}|GET|POST|get|set|config|config get|config get cluster|\\*|\u{16}\u{3})( /?[a-z]{0,4}){0,2}( HTTP/1)?\r?\n?") {
            let input = text.as_bytes();
            let last = detect(input).speaker;
            for len in 0..input.len() {
                let speaker = detect(&input[..len]).speaker;
                prop_assert!(speaker == Undecided || speaker == last, "{len} of {text:?}: {speaker:?}, {last:?}");
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(detect(&input).skip <= input.len());
        }
    }
}

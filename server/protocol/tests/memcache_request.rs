//! memcached requests: what is accepted, what is refused and how, and that it does not matter in which pieces they come.

use crabcache_protocol::memcache::{
    Keys, LINE_LEN_MAX, ParseError, Refusal, Refused, Request, Store, StoreMode, parse, write,
};
use crabcache_protocol::{Limits, Parsed};
use proptest::prelude::*;

const LIMITS: Limits =
    Limits { key_len_max: 250, value_len_max: 1 << 20, args_max: 1024, line_len_max: 1 << 16 };

fn complete(input: &[u8]) -> (Request<'_>, usize) {
    match parse(input, &LIMITS) {
        Ok(Parsed::Complete { value, consumed }) => (value, consumed),
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn list(keys: Keys<'_>) -> Vec<&str> {
    keys.iter().map(|key| std::str::from_utf8(key).unwrap()).collect()
}

fn store(mode: StoreMode, key: &'static [u8], value: &'static [u8]) -> Store<'static> {
    Store { mode, key, flags: 0, exptime: 0, value, noreply: false }
}

#[test]
fn retrievals_table() {
    for (line, expected, cas, touch) in [
        ("get a\r\n", &["a"][..], false, None),
        ("get a\n", &["a"], false, None),
        ("get a b \r\n", &["a", "b"], false, None),
        ("  get   a   b\r\n", &["a", "b"], false, None),
        ("gets a b c\r\n", &["a", "b", "c"], true, None),
        ("gat 0 a\r\n", &["a"], false, Some(0)),
        ("gat -1 a b \r\n", &["a", "b"], false, Some(-1)),
        ("gats 2592001 ü\r\n", &["ü"], true, Some(2_592_001)),
        ("gat 0\r\n", &[], false, Some(0)),
    ] {
        let (request, consumed) = complete(line.as_bytes());
        assert_eq!(consumed, line.len());
        match request {
            Request::Get { keys, with_cas } => {
                assert_eq!((list(keys), with_cas, None), (expected.to_vec(), cas, touch), "{line:?}");
            }
            Request::GetAndTouch { exptime, keys, with_cas } => {
                assert_eq!(
                    (list(keys), with_cas, Some(exptime)),
                    (expected.to_vec(), cas, touch),
                    "{line:?}"
                );
            }
            other => panic!("{line:?}: {other:?}"),
        }
    }
}

#[test]
fn stores_table() {
    use StoreMode::{Add, Append, Cas, Prepend, Replace, Set};
    let table: [(&[u8], Store<'_>); 13] = [
        (b"set k 0 0 3\r\nabc\r\n", store(Set, b"k", b"abc")),
        (b"set k 0 0 3\nabc\r\n", store(Set, b"k", b"abc")),
        (b"set k 0 0 0\r\n\r\n", store(Set, b"k", b"")),
        (b"set k 0 0 7\r\nget a\r\n\r\n", store(Set, b"k", b"get a\r\n")),
        (b"add k 0 0 1\r\n1\r\n", store(Add, b"k", b"1")),
        (b"replace k 0 0 1\r\n1\r\n", store(Replace, b"k", b"1")),
        (b"append k 0 0 1\r\n1\r\n", store(Append, b"k", b"1")),
        (b"prepend k 0 0 1\r\n1\r\n", store(Prepend, b"k", b"1")),
        (b"cas k 0 0 1 18446744073709551615\r\n1\r\n", store(Cas(u64::MAX), b"k", b"1")),
        (b"cas k 0 0 1 5 noreply\r\n1\r\n", Store { noreply: true, ..store(Cas(5), b"k", b"1") }),
        (
            b"set k 4294967295 -1 1 noreply\r\n1\r\n",
            Store { flags: u32::MAX, exptime: -1, noreply: true, ..store(Set, b"k", b"1") },
        ),
        (b"set  k  +1 00  03 \r\nabc\r\n", Store { flags: 1, ..store(Set, b"k", b"abc") }),
        // memcached takes any word where it expects `noreply`.
        (b"set k 0 2592001 1 foo\r\n1\r\n", Store { exptime: 2_592_001, ..store(Set, b"k", b"1") }),
    ];
    for (input, expected) in table {
        assert_eq!(complete(input), (Request::Store(expected), input.len()), "{}", input.escape_ascii());
    }
}

#[test]
fn other_commands_table() {
    let key = &b"k"[..];
    for (line, expected) in [
        ("delete k\r\n", Request::Delete { key, noreply: false }),
        ("delete k 0\r\n", Request::Delete { key, noreply: false }),
        ("delete k noreply\r\n", Request::Delete { key, noreply: true }),
        ("delete noreply\r\n", Request::Delete { key: b"noreply", noreply: false }),
        ("delete k 0 noreply\r\n", Request::Delete { key, noreply: true }),
        ("incr k 5\r\n", Request::Increment { key, delta: 5, noreply: false }),
        ("incr k +01 foo\r\n", Request::Increment { key, delta: 1, noreply: false }),
        (
            "decr k 18446744073709551615 noreply\r\n",
            Request::Decrement { key, delta: u64::MAX, noreply: true },
        ),
        ("touch k -1\r\n", Request::Touch { key, exptime: -1, noreply: false }),
        ("touch k 60 noreply\r\n", Request::Touch { key, exptime: 60, noreply: true }),
        ("flush_all\r\n", Request::FlushAll { exptime: 0, noreply: false }),
        ("flush_all noreply\r\n", Request::FlushAll { exptime: 0, noreply: true }),
        ("flush_all 10\r\n", Request::FlushAll { exptime: 10, noreply: false }),
        ("flush_all -1 noreply\r\n", Request::FlushAll { exptime: -1, noreply: true }),
        ("version\r\n", Request::Version),
        ("version x\r\n", Request::Version),
        ("verbosity 1\r\n", Request::Verbosity { noreply: false }),
        ("verbosity 1 noreply\r\n", Request::Verbosity { noreply: true }),
        ("stats\r\n", Request::Stats { section: b"" }),
        ("stats  items \r\n", Request::Stats { section: b"items" }),
        ("quit\n", Request::Quit),
    ] {
        assert_eq!(complete(line.as_bytes()), (expected, line.len()), "{line:?}");
    }
}

/// Texts and noreply as memcached 1.6.18 gives them. What we skip after a refused storage command it reads as commands.
#[test]
fn refusals_table() {
    let long = "k".repeat(251);
    let with = |text: &str| text.replace('K', &long);
    for (input, text, noreply, skip) in [
        ("\r\n", "ERROR", false, 0),
        (" \r\n", "ERROR", false, 0),
        ("foo\r\n", "ERROR", false, 0),
        ("GET a\r\n", "ERROR", false, 0),
        ("get\r\n", "ERROR", false, 0),
        ("get \r\n", "ERROR", false, 0),
        ("gat\r\n", "ERROR", false, 0),
        ("gat x a\r\n", "CLIENT_ERROR invalid exptime argument", false, 0),
        ("get K\r\n", "CLIENT_ERROR bad command line format", false, 0),
        ("get a K b\r\n", "CLIENT_ERROR bad command line format", false, 0),
        ("set k\r\n", "ERROR", false, 0),
        ("set k 0 0\r\n", "ERROR", false, 0),
        ("set k 0 0 3 noreply x\r\n", "ERROR", false, 5),
        ("set K 0 0 3\r\n", "CLIENT_ERROR bad command line format", false, 5),
        ("set K 0 0 3 noreply\r\n", "CLIENT_ERROR bad command line format", true, 5),
        ("set k -1 0 3\r\n", "CLIENT_ERROR bad command line format", false, 5),
        ("set k 4294967296 0 3\r\n", "CLIENT_ERROR bad command line format", false, 5),
        ("set k 0 x 3\r\n", "CLIENT_ERROR bad command line format", false, 5),
        ("set k 0 0 -1\r\n", "CLIENT_ERROR bad command line format", false, 0),
        ("set k 0 0 x\r\n", "CLIENT_ERROR bad command line format", false, 0),
        ("set k 0 0 3x\r\n", "CLIENT_ERROR bad command line format", false, 0),
        ("set k 0 0 1048577\r\n", "SERVER_ERROR object too large for cache", false, 1_048_579),
        ("add k 0 0 1048577 noreply\r\n", "SERVER_ERROR object too large for cache", true, 1_048_579),
        ("set k 0 0 18446744073709551615\r\n", "SERVER_ERROR object too large for cache", false, u64::MAX),
        ("cas k 0 0 3\r\n", "ERROR", false, 5),
        ("cas k 0 0 3 x\r\n", "CLIENT_ERROR bad command line format", false, 5),
        ("cas k 0 0 3 -5 noreply\r\n", "CLIENT_ERROR bad command line format", true, 5),
        ("cas k 0 0 3 5 noreply x\r\n", "ERROR", false, 5),
        ("append k 0  3 noreply\r\n", "CLIENT_ERROR bad command line format", true, 0),
        ("cas k 0 0 3 noreply\r\n", "CLIENT_ERROR bad command line format", true, 5),
        ("set k 0 noreply\r\n", "ERROR", false, 0),
        ("set k 0 0 3\r\nabcde", "CLIENT_ERROR bad data chunk", false, 0),
        ("set k 0 0 3 noreply\r\nabc\ng", "CLIENT_ERROR bad data chunk", true, 0),
        ("delete\r\n", "ERROR", false, 0),
        ("delete K\r\n", "CLIENT_ERROR bad command line format", false, 0),
        ("delete K noreply\r\n", "CLIENT_ERROR bad command line format", true, 0),
        ("delete k 1\r\n", "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]", false, 0),
        (
            "delete k noreply 0\r\n",
            "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]",
            false,
            0,
        ),
        ("delete k 0 noreply x\r\n", "ERROR", false, 0),
        ("delete k 0 0 0 0 0 0 0 0 0 noreply\r\n", "ERROR", false, 0),
        ("incr k\r\n", "ERROR", false, 0),
        ("incr k x\r\n", "CLIENT_ERROR invalid numeric delta argument", false, 0),
        ("incr k -1\r\n", "CLIENT_ERROR invalid numeric delta argument", false, 0),
        ("incr k 18446744073709551616\r\n", "CLIENT_ERROR invalid numeric delta argument", false, 0),
        ("decr k x noreply\r\n", "CLIENT_ERROR invalid numeric delta argument", true, 0),
        ("incr K 1\r\n", "CLIENT_ERROR bad command line format", false, 0),
        ("incr k 1 noreply x\r\n", "ERROR", false, 0),
        ("touch k\r\n", "ERROR", false, 0),
        ("touch k x\r\n", "CLIENT_ERROR invalid exptime argument", false, 0),
        ("touch k x noreply\r\n", "CLIENT_ERROR invalid exptime argument", true, 0),
        ("flush_all x\r\n", "CLIENT_ERROR invalid exptime argument", false, 0),
        ("flush_all 0 noreply x\r\n", "ERROR", false, 0),
        ("verbosity\r\n", "ERROR", false, 0),
        ("verbosity x\r\n", "CLIENT_ERROR bad command line format", false, 0),
        ("verbosity noreply\r\n", "CLIENT_ERROR bad command line format", true, 0),
        // memcached takes control characters for parts of the key.
        ("get a\tb\r\n", "CLIENT_ERROR bad command line format", false, 0),
        ("get a\r\r\n", "CLIENT_ERROR bad command line format", false, 0),
        ("set a\u{7f} 0 0 1\r\n", "CLIENT_ERROR bad command line format", false, 3),
    ] {
        let input = with(input);
        let (Request::Refused(refused), consumed) = complete(input.as_bytes()) else { panic!("{input:?}") };
        let Refused { refusal, noreply: said_noreply, skip: said_skip, .. } = refused;
        assert_eq!((refusal.text(), said_noreply, said_skip), (text, noreply, skip), "{input:?}");
        assert_eq!(consumed, input.len(), "{input:?}");
        let mut answer = Vec::new();
        write::refusal(&mut answer, refusal);
        assert_eq!(answer, format!("{text}\r\n").as_bytes());
    }
}

#[test]
fn only_a_set_that_is_too_large_leaves_a_stale_key() {
    for (line, stale_key) in [
        ("set k 0 0 1048577\r\n", Some(&b"k"[..])),
        ("add k 0 0 1048577\r\n", None),
        ("cas k 0 0 1048577 1\r\n", None),
        ("set k x 0 1048577\r\n", None),
        ("ms k 1048577\r\n", Some(b"k")),
        ("ms aw== 1048577 b\r\n", Some(b"aw==")),
    ] {
        let (Request::Refused(refused), _) = complete(line.as_bytes()) else { panic!("{line:?}") };
        assert_eq!(refused.stale_key, stale_key, "{line:?}");
        assert_eq!(refused.binary, line.contains(" b"), "{line:?}");
    }
}

#[test]
fn long_lines_are_for_retrievals_only() {
    let keys = |verb: &str, len: usize| format!("{verb}{}", " key".repeat(len / 4));
    for verb in ["get", "gets", "gat 0", " get"] {
        let whole = keys(verb, 60_000) + "\r\n";
        assert_eq!(complete(whole.as_bytes()).1, whole.len());
        assert!(matches!(parse(keys(verb, 60_000).as_bytes(), &LIMITS), Ok(Parsed::Incomplete { .. })));
        for end in ["", "\r\n"] {
            let line = keys(verb, LIMITS.line_len_max) + end;
            assert_eq!(parse(line.as_bytes(), &LIMITS), Err(ParseError::LineTooLong));
        }
    }
    for (len, end, too_long) in [
        (LINE_LEN_MAX, "", false),
        (LINE_LEN_MAX, "\n", false),
        (LINE_LEN_MAX + 1, "", true),
        (LINE_LEN_MAX + 1, "\n", true),
    ] {
        let line = "x".repeat(len) + end;
        assert_eq!(
            parse(line.as_bytes(), &LIMITS) == Err(ParseError::LineTooLong),
            too_long,
            "{len} {end:?}"
        );
    }
    let mut answer = Vec::new();
    write::parse_error(&mut answer, ParseError::LineTooLong);
    assert_eq!(answer, b"CLIENT_ERROR line too long\r\n");
    assert_eq!(ParseError::LineTooLong.to_string(), "CLIENT_ERROR line too long");
}

#[test]
fn incomplete_tells_all_that_is_known() {
    for (input, at_least) in [
        ("", 1),
        ("get a", 6),
        ("get a\r", 7),
        ("set k 0 0 1000\r\n", 16 + 1002),
        ("set k 0 0 3\r\nabc\r", 18),
        ("cas k 0 0 1000000 1\nx", 20 + 1_000_002),
    ] {
        assert_eq!(parse(input.as_bytes(), &LIMITS), Ok(Parsed::Incomplete { at_least }), "{input:?}");
    }
}

#[test]
fn writers_table() {
    let written = |by: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        by(&mut out);
        String::from_utf8(out).unwrap()
    };
    for (text, expected) in [
        (written(&|out| write::value(out, b"k", 0, None, b"abc")), "VALUE k 0 3\r\nabc\r\n"),
        (written(&|out| write::value(out, b"k", u32::MAX, Some(7), b"")), "VALUE k 4294967295 0 7\r\n\r\n"),
        (written(&|out| write::value_line(out, b"k", 1, None, 1_048_576)), "VALUE k 1 1048576\r\n"),
        (written(&|out| write::number(out, u64::MAX)), "18446744073709551615\r\n"),
        (written(&|out| write::version(out, "0.1.0")), "VERSION 0.1.0\r\n"),
        (written(&|out| write::stat(out, "pid", b"1")), "STAT pid 1\r\n"),
        (written(&|out| write::client_error(out, "bad data chunk")), "CLIENT_ERROR bad data chunk\r\n"),
        (written(&|out| write::server_error(out, "a\r\nb")), "SERVER_ERROR a  b\r\n"),
        (written(&|out| write::refusal(out, Refusal::UnknownCommand)), "ERROR\r\n"),
    ] {
        assert_eq!(text, expected);
    }
}

/// A request of any kind, good or refused, as one message.
fn any_request() -> impl Strategy<Value = Vec<u8>> {
    let key = "[!-~]{1,12}";
    let end = prop::sample::select(vec!["\r\n", "\n"]);
    let noreply = prop::sample::select(vec!["", " noreply", " "]);
    let verb = prop::sample::select(vec!["set", "add", "replace", "append", "prepend"]);
    let value = prop::collection::vec(any::<u8>(), 0..200);
    let store = (verb, key, any::<u32>(), any::<i32>(), value, noreply, end.clone()).prop_map(
        |(verb, key, flags, exptime, value, noreply, end)| {
            let line = format!("{verb} {key} {flags} {exptime} {}{noreply}{end}", value.len());
            [line.as_bytes(), &value, b"\r\n"].concat()
        },
    );
    let plain = (key, prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(key, value)| {
        [format!("set {key} 0 0 {}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat()
    });
    let retrieval =
        (prop::sample::select(vec!["get", "gets", "gat 0"]), "( {1,2}[!-~]{1,12}){1,8} ?", end.clone())
            .prop_map(|(verb, keys, end)| format!("{verb}{keys}{end}").into_bytes());
    let other =
        ("(delete|incr|decr|touch|flush_all|version|verbosity|stats|quit|foo)( [a-z0-9-]{1,6}){0,5}", end)
            .prop_map(|(line, end)| (line + end).into_bytes());
    prop_oneof![store, plain, retrieval, other]
}

proptest! {
    #[test]
    fn whole_equals_split_at_any_byte(request in any_request(), after in prop::collection::vec(any::<u8>(), 0..20)) {
        let (value, consumed) = complete(&request);
        prop_assert_eq!(consumed, request.len());
        for len in 0..request.len() {
            match parse(&request[..len], &LIMITS) {
                Ok(Parsed::Incomplete { at_least }) => prop_assert!(at_least > len && at_least <= request.len()),
                other => panic!("{len} of {}: {other:?}", request.escape_ascii()),
            }
        }
        let input = [&request[..], &after].concat();
        prop_assert_eq!(complete(&input), (value, consumed));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..8),
                prop::sample::select(vec![
                    "get ", "gat ", "set k 0 0 ", "cas k 0 0 ", " ", "\r\n", "\n", "3\r\nabc\r\n", "noreply", "incr k ",
                    "18446744073709551615", "9223372036854775807\r\n", "-9223372036854775809",
                ]).prop_map(|text| text.as_bytes().to_vec()),
            ],
            0..8,
        ),
        value_len_max in prop::sample::select(vec![0, 3, 1 << 20, usize::MAX]),
    ) {
        let input = pieces.concat();
        let limits = Limits { value_len_max, ..LIMITS };
        let _ = crabcache_protocol::memcache::incoming_store(&input, &limits);
        match parse(&input, &limits) {
            Ok(Parsed::Complete { consumed, .. }) => prop_assert!(consumed > 0 && consumed <= input.len()),
            Ok(Parsed::Incomplete { at_least }) => prop_assert!(at_least > input.len()),
            // Any first byte but this one begins a line, and lines are short here.
            Err(error) => prop_assert!(matches!(error, ParseError::Binary { .. }) && input[0] == 0x80, "{}", error),
        }
    }
}

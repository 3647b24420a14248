//! RESP requests: what is accepted, what is refused and how, and that it does not matter in which pieces they come.

use crabcache_protocol::resp::{Args, ParseError, Progress, Request, parse, write};
use crabcache_protocol::{Limits, Parsed, Usual};
use proptest::prelude::*;

const LIMITS: Limits =
    Limits { key_len_max: 250, value_len_max: 512 << 20, args_max: 1 << 20, line_len_max: 65_536 };

fn read(input: &[u8]) -> Result<Parsed<Request<'_>>, ParseError> {
    parse(input, &LIMITS, &mut Progress::default())
}

fn complete(input: &[u8]) -> (Request<'_>, usize) {
    match read(input) {
        Ok(Parsed::Complete { value, consumed }) => (value, consumed),
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn words(args: Args<'_>) -> Vec<&[u8]> {
    args.iter().collect()
}

fn command(words: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    write::array(&mut out, words.len());
    for word in words {
        write::bulk(&mut out, word);
    }
    out
}

/// Each of these was put to Redis 7.0.15, except the last four, where we are stricter on purpose.
#[test]
fn protocol_errors_table() {
    let too_many = b"*1048577\r\n".as_slice();
    let count_without_end = format!("*{}", "1".repeat(70_000));
    let length_without_end = format!("*1\r\n${}", "1".repeat(70_000));
    let line_without_end = "x".repeat(70_000);
    let table: [(&[u8], &[u8]); 26] = [
        (b"*abc\r\n", b"invalid multibulk length"),
        (b"*\r\n", b"invalid multibulk length"),
        (b"*+1\r\n", b"invalid multibulk length"),
        (b"*01\r\n$4\r\nPING\r\n", b"invalid multibulk length"),
        (b"*-0\r\n", b"invalid multibulk length"),
        (b"*2147483648\r\n", b"invalid multibulk length"),
        (b"*3000000000000000000000\r\n", b"invalid multibulk length"),
        (too_many, b"invalid multibulk length"),
        (b"*1\r\n:3\r\n", b"expected '$', got ':'"),
        (b"*1\r\n\r\n$4\r\n", b"expected '$', got ' '"),
        (b"*1\r\n\x01\r\n", b"expected '$', got '\x01'"),
        (b"*1\r\n\xff\r\n", b"expected '$', got '\xff'"),
        (b"*2\r\n$3\r\nGET\r\nkey\r\n", b"expected '$', got 'k'"),
        (b"*1\r\n$x\r\n", b"invalid bulk length"),
        (b"*1\r\n$-1\r\n", b"invalid bulk length"),
        (b"*1\r\n$\r\n", b"invalid bulk length"),
        (b"*2\r\n$3\r\nGET\r\n$536870913\r\n", b"invalid bulk length"),
        (b"*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n", b"invalid bulk length"),
        (count_without_end.as_bytes(), b"too big mbulk count string"),
        (length_without_end.as_bytes(), b"too big bulk count string"),
        (line_without_end.as_bytes(), b"too big inline request"),
        (b"*0000000000000000000000000000000000001\r\n", b"too big mbulk count string"),
        // Redis takes any byte for the LF, and never looks at the CRLF after a bulk string.
        (b"*1\rx$4\r\nPING\r\n", b"invalid multibulk length"),
        (b"*1\r\n$4\rxPING\r\n", b"invalid bulk length"),
        (b"*1\r\n$4\r\nPINGxx", b"expected CRLF after bulk string"),
        (b"*2\r\n$3\r\nGET\r\n$3\r\nkeys\r\n", b"expected CRLF after bulk string"),
    ];
    for (input, text) in table {
        let error = read(input).unwrap_err();
        let mut answer = Vec::new();
        write::protocol_error(&mut answer, error);
        let expected = [b"-ERR Protocol error: ", text, b"\r\n"].concat();
        assert_eq!(answer.escape_ascii().to_string(), expected.escape_ascii().to_string());
        if text.is_ascii() {
            assert_eq!(format!("-ERR {error}\r\n").as_bytes(), expected);
        }
    }
}

#[test]
fn requests_table() {
    let get = |key| Request::Usual(Usual::Get { key });
    let set = |key, value| Request::Usual(Usual::Set { key, value });
    let long = [b'k'; 123];
    let get_long = command(&[b"GeT".to_vec(), long.to_vec()]);
    let table: [(&[u8], Request<'_>, usize); 16] = [
        (b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n*1\r\n", get(b"key"), 22),
        (b"*2\r\n$3\r\nget\r\n$0\r\n\r\n", get(b""), 19),
        (&get_long, get(&long), get_long.len()),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\n\r\n\0\r\n\r\n", set(b"k", b"\r\n\0\r\n"), 31),
        (b"*3\r\n$3\r\nsEt\r\n$1\r\nk\r\n$10\r\n0123456789\r\n", set(b"k", b"0123456789"), 37),
        (b"*0\r\n*1\r\n", Request::Nothing, 4),
        (b"*-1\r\n", Request::Nothing, 5),
        (b"*-5\r\nPING\r\n", Request::Nothing, 5),
        (b"\r\nPING\r\n", Request::Nothing, 2),
        (b"\n", Request::Nothing, 1),
        (b" \t \r\n", Request::Nothing, 5),
        (b"PING\r\nPING\r\n", Request::Inline(b"PING"), 6),
        (b"  PING  \n", Request::Inline(b"  PING  "), 9),
        (b"PING\r\r\n", Request::Inline(b"PING\r"), 7),
        (b"$3\r\n", Request::Inline(b"$3"), 4),
        (b"GET / HTTP/1.1\r\n", Request::Inline(b"GET / HTTP/1.1"), 16),
    ];
    for (input, request, consumed) in table {
        assert_eq!(complete(input), (request, consumed), "{}", input.escape_ascii());
    }
}

#[test]
fn other_commands_keep_their_arguments() {
    for expected in [
        &["GET"][..],
        &["GET", "a", "b"],
        &["SET", "k", "v", "EX", "10"],
        &["PING"],
        &["getx", "k"],
        &["", ""],
    ] {
        let input = command(&expected.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
        let (Request::Command(args), consumed) = complete(&input) else { panic!("{expected:?}") };
        assert_eq!(consumed, input.len());
        assert_eq!(args.name(), expected[0].as_bytes());
        assert_eq!(words(args), expected.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
    }
}

#[test]
fn incomplete_tells_all_that_is_known() {
    let table: [(&[u8], usize); 12] = [
        (b"", 1),
        (b"*", 4),
        (b"*1", 4),
        (b"*1\r", 4),
        (b"*2\r\n", 4 + 6 + 6),
        (b"*2\r\n$3\r\nGET\r\n", 13 + 6),
        (b"*2\r\n$3\r\nGET\r\n$1", 13 + 6),
        (b"*2\r\n$3\r\nGET\r\n$32\r\n", 13 + 5 + 32 + 2),
        (b"*3\r\n$3\r\nSET\r\n$1000\r\nk", 13 + 7 + 1000 + 2 + 6),
        (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n", 20 + 10 + 1_000_000 + 2),
        (b"*1000000\r\n", 10 + 6_000_000),
        (b"PING", 5),
    ];
    for (input, at_least) in table {
        assert_eq!(read(input), Ok(Parsed::Incomplete { at_least }), "{}", input.escape_ascii());
    }
}

#[test]
fn inline_limit_holds_however_the_line_comes() {
    let limits = Limits { line_len_max: 8, ..LIMITS };
    let whole = parse(b"12345678\n", &limits, &mut Progress::default());
    assert_eq!(whole, Ok(Parsed::Complete { value: Request::Inline(b"12345678"), consumed: 9 }));
    for input in [&b"123456789\n"[..], b"123456789"] {
        assert_eq!(parse(input, &limits, &mut Progress::default()), Err(ParseError::TooBigInline));
    }
}

/// A request as clients send it, or as people type it.
fn any_request() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec!["GET", "set", "SET", "DEL", "MGET", "PING"]);
    let word = prop::collection::vec(any::<u8>(), 0..130);
    let array = (name, prop::collection::vec(word, 0..6)).prop_map(|(name, mut words)| {
        words.insert(0, name.into());
        command(&words)
    });
    let line = "[A-Za-z \"'\\\\0-9]{0,40}\r?\n".prop_map(String::into_bytes);
    prop_oneof![8 => array, 2 => line, 1 => Just(b"*0\r\n".to_vec()), 1 => Just(b"*-1\r\n".to_vec())]
}

proptest! {
    #[test]
    fn whole_equals_split_at_any_byte(request in any_request(), after in prop::collection::vec(any::<u8>(), 0..20)) {
        let whole = read(&request);
        let Ok(Parsed::Complete { value, consumed }) = whole else { panic!("{whole:?}") };
        prop_assert_eq!(consumed, request.len());

        let mut kept = Progress::default();
        for len in 0..request.len() {
            for progress in [&mut Progress::default(), &mut kept] {
                match parse(&request[..len], &LIMITS, progress) {
                    Ok(Parsed::Incomplete { at_least }) => prop_assert!(at_least > len && at_least <= request.len()),
                    other => panic!("{len} of {}: {other:?}", request.escape_ascii()),
                }
            }
        }
        let input = [&request[..], &after].concat();
        prop_assert_eq!(parse(&input, &LIMITS, &mut kept), Ok(Parsed::Complete { value, consumed }));
        prop_assert_eq!(kept, Progress::default());
        prop_assert_eq!(read(&input), Ok(Parsed::Complete { value, consumed }));
    }

    #[test]
    fn arguments_round_trip(sent in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..130), 1..8)) {
        let input = command(&sent);
        match complete(&input).0 {
            Request::Command(args) => {
                prop_assert_eq!(args.len(), sent.len());
                prop_assert_eq!(words(args), sent.iter().map(Vec::as_slice).collect::<Vec<_>>());
                prop_assert_eq!(args.get(sent.len() - 1), sent.last().map(Vec::as_slice));
            }
            Request::Usual(Usual::Get { key }) => prop_assert_eq!(key, &sent[1]),
            Request::Usual(Usual::Set { key, value }) => {
                prop_assert_eq!((key, value), (&sent[1][..], &sent[2][..]));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..8),
                prop::sample::select(vec![
                    "*", "$", "\r\n", "*1\r\n", "*2\r\n$3\r\nGET\r\n$", "*3\r\n$3\r\nSET\r\n$", "3\r\nkey\r\n", "-1\r\n",
                    "9223372036854775807\r\n", "2147483647\r\n",
                ]).prop_map(|text| text.as_bytes().to_vec()),
            ],
            0..8,
        ),
        value_len_max in prop::sample::select(vec![0, 3, 1 << 20, usize::MAX]),
        args_max in prop::sample::select(vec![0, 3, usize::MAX]),
    ) {
        let input = pieces.concat();
        let limits = Limits { value_len_max, args_max, ..LIMITS };
        let mut progress = Progress::default();
        for len in [input.len() / 2, input.len()] {
            let _ = crabcache_protocol::resp::incoming_set(&input[..len], &limits);
            match parse(&input[..len], &limits, &mut progress) {
                Ok(Parsed::Complete { value, consumed }) => {
                    prop_assert!(consumed > 0 && consumed <= len);
                    if let Request::Command(args) = value {
                        prop_assert_eq!(args.iter().count(), args.len());
                    }
                    break;
                }
                Ok(Parsed::Incomplete { at_least }) => prop_assert!(at_least > len),
                Err(_) => break,
            }
        }
    }
}

//! RESP replies: what the writers write, for both versions, and that the parser reads it back from any pieces.

use crabcache_protocol::resp::Version::{Resp2, Resp3};
use crabcache_protocol::resp::reply::{DEPTH_MAX, ParseError, Progress, Reply, parse};
use crabcache_protocol::resp::{self, write};
use crabcache_protocol::{Limits, Parsed};
use proptest::prelude::*;

const LIMITS: Limits =
    Limits { key_len_max: 250, value_len_max: 1 << 20, args_max: 1 << 20, line_len_max: 1024 };

fn read(input: &[u8]) -> Result<Parsed<Reply<'_>>, ParseError> {
    parse(input, &LIMITS, &mut Progress::default())
}

fn complete(input: &[u8]) -> Reply<'_> {
    match read(input) {
        Ok(Parsed::Complete { value, consumed }) if consumed == input.len() => value,
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn written(by: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    by(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn writers_table() {
    for (text, expected) in [
        (written(|out| write::simple(out, b"PONG")), "+PONG\r\n"),
        (
            written(|out| write::error(out, b"ERR unknown command 'a\r\n+OK'")),
            "-ERR unknown command 'a  +OK'\r\n",
        ),
        (written(|out| write::integer(out, 0)), ":0\r\n"),
        (written(|out| write::integer(out, 42)), ":42\r\n"),
        (written(|out| write::integer(out, -1)), ":-1\r\n"),
        (written(|out| write::integer(out, i64::MIN)), ":-9223372036854775808\r\n"),
        (written(|out| write::bulk(out, b"")), "$0\r\n\r\n"),
        (written(|out| write::bulk(out, b"value")), "$5\r\nvalue\r\n"),
        (written(|out| write::bulk(out, b"0123456789")), "$10\r\n0123456789\r\n"),
        (written(|out| write::bulk_header(out, 1_048_576)), "$1048576\r\n"),
        (written(|out| write::nil(out, Resp2)), "$-1\r\n"),
        (written(|out| write::nil(out, Resp3)), "_\r\n"),
        (written(|out| write::nil_array(out, Resp2)), "*-1\r\n"),
        (written(|out| write::nil_array(out, Resp3)), "_\r\n"),
        (written(|out| write::array(out, 3)), "*3\r\n"),
        (written(|out| write::map(out, 3, Resp2)), "*6\r\n"),
        (written(|out| write::map(out, 3, Resp3)), "%3\r\n"),
        (written(|out| write::set(out, 3, Resp2)), "*3\r\n"),
        (written(|out| write::set(out, 3, Resp3)), "~3\r\n"),
        (written(|out| write::push(out, 3, Resp2)), "*3\r\n"),
        (written(|out| write::push(out, 3, Resp3)), ">3\r\n"),
        (written(|out| write::boolean(out, true, Resp2)), ":1\r\n"),
        (written(|out| write::boolean(out, false, Resp3)), "#f\r\n"),
        (written(|out| write::verbatim(out, *b"txt", b"hi", Resp2)), "$2\r\nhi\r\n"),
        (written(|out| write::verbatim(out, *b"txt", b"hi", Resp3)), "=6\r\ntxt:hi\r\n"),
        (written(|out| write::double(out, 1.5, Resp2)), "$3\r\n1.5\r\n"),
        (written(|out| write::double(out, 3.0, Resp3)), ",3\r\n"),
        (written(|out| write::double(out, -0.1, Resp3)), ",-0.1\r\n"),
        (written(|out| write::double(out, 1e300, Resp3)), ",1e300\r\n"),
        (written(|out| write::double(out, f64::NEG_INFINITY, Resp3)), ",-inf\r\n"),
        (written(|out| write::double(out, f64::NAN, Resp3)), ",nan\r\n"),
        (written(|out| write::double(out, 0.0, Resp3)), ",0\r\n"),
    ] {
        assert_eq!(text, expected);
    }
}

#[test]
fn replies_table() {
    for (input, expected) in [
        ("+OK\r\n", Reply::Simple(b"OK")),
        ("+\r\n", Reply::Simple(b"")),
        ("-ERR no\r\n", Reply::Error(b"ERR no")),
        ("!6\r\nERR\r\nx\r\n", Reply::Error(b"ERR\r\nx")),
        (":-7\r\n", Reply::Integer(-7)),
        (":+7\r\n", Reply::Integer(7)),
        ("$2\r\n\r\n\r\n", Reply::Bulk(b"\r\n")),
        ("$-1\r\n", Reply::Nil),
        ("*-1\r\n", Reply::Nil),
        ("_\r\n", Reply::Nil),
        ("#t\r\n", Reply::Boolean(true)),
        (",-1.5e3\r\n", Reply::Double(-1500.0)),
        (",inf\r\n", Reply::Double(f64::INFINITY)),
        ("(-123456789012345678901234567890\r\n", Reply::BigNumber(b"-123456789012345678901234567890")),
        ("=6\r\ntxt:hi\r\n", Reply::Verbatim { format: *b"txt", text: b"hi" }),
        ("|1\r\n+ttl\r\n:3\r\n+OK\r\n", Reply::Simple(b"OK")),
        ("|0\r\n+OK\r\n", Reply::Simple(b"OK")),
    ] {
        assert_eq!(complete(input.as_bytes()), expected, "{input:?}");
    }
}

#[test]
fn reply_errors_table() {
    let deep = "*1\r\n".repeat(DEPTH_MAX + 1);
    for (input, expected) in [
        ("x\r\n", ParseError::UnknownType(b'x')),
        ("$-2\r\n", ParseError::InvalidLength),
        ("$?\r\n", ParseError::InvalidLength),
        ("$1048577\r\n", ParseError::InvalidLength),
        ("*1048577\r\n", ParseError::InvalidLength),
        ("%-1\r\n", ParseError::InvalidLength),
        ("+a\nb\r\n", ParseError::InvalidLine),
        ("+a\rb\r\n", ParseError::InvalidLine),
        (":1x\r\n", ParseError::InvalidValue),
        ("#x\r\n", ParseError::InvalidValue),
        (",\r\n", ParseError::InvalidValue),
        ("(12a\r\n", ParseError::InvalidValue),
        ("_x\r\n", ParseError::InvalidValue),
        ("=2\r\nhi\r\n", ParseError::InvalidValue),
        ("$1\r\nabc", ParseError::Unterminated),
        (deep.as_str(), ParseError::TooDeep),
    ] {
        assert_eq!(read(input.as_bytes()), Err(expected), "{input:?}");
    }
    let line = vec![b'+'; LIMITS.line_len_max + 1];
    assert_eq!(read(&line), Err(ParseError::InvalidLine));
}

#[test]
fn nested_items_are_handed_out_in_order() {
    let input = b"*4\r\n*2\r\n:1\r\n*0\r\n%1\r\n+k\r\n|1\r\n+a\r\n+b\r\n+v\r\n*-1\r\n$1\r\nx\r\n";
    let Reply::Array(items) = complete(input) else { panic!() };
    let items: Vec<_> = items.iter().collect();
    let [Reply::Array(pair), Reply::Map(map), Reply::Nil, Reply::Bulk(b"x")] = items[..] else {
        panic!("{items:?}")
    };
    let [Reply::Integer(1), Reply::Array(empty)] = pair.iter().collect::<Vec<_>>()[..] else { panic!() };
    assert!(empty.is_empty() && empty.iter().next().is_none());
    assert_eq!(map.len(), 2);
    assert_eq!(map.pairs().collect::<Vec<_>>(), [(Reply::Simple(b"k"), Reply::Simple(b"v"))]);
}

#[test]
fn incomplete_reply_counts_every_open_aggregate() {
    let table = [
        ("", 3),
        ("+", 3),
        ("+OK\r", 5),
        ("$100\r\n", 108),
        ("*3\r\n", 4 + 3 * 3),
        ("*3\r\n*2\r\n:1\r\n", 12 + 3 + 2 * 3),
    ];
    for (input, at_least) in table {
        assert_eq!(read(input.as_bytes()), Ok(Parsed::Incomplete { at_least }), "{input:?}");
    }
}

/// A tree of replies, written by hand so that the writers are tested by the parser.
#[derive(Clone, Debug)]
enum Tree {
    Simple(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil,
    Double(f64),
    Boolean(bool),
    Array(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
}

fn any_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        "[ -~]{0,20}".prop_map(Tree::Simple),
        any::<i64>().prop_map(Tree::Integer),
        prop::collection::vec(any::<u8>(), 0..150).prop_map(Tree::Bulk),
        Just(Tree::Nil),
        prop::num::f64::NORMAL.prop_map(Tree::Double),
        any::<bool>().prop_map(Tree::Boolean),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::Array),
            prop::collection::vec((inner.clone(), inner), 0..3).prop_map(Tree::Map),
        ]
    })
}

fn write_tree(tree: &Tree, out: &mut Vec<u8>) {
    match tree {
        Tree::Simple(text) => write::simple(out, text.as_bytes()),
        Tree::Integer(value) => write::integer(out, *value),
        Tree::Bulk(value) => write::bulk(out, value),
        Tree::Nil => write::nil(out, Resp3),
        Tree::Double(value) => write::double(out, *value, Resp3),
        Tree::Boolean(value) => write::boolean(out, *value, Resp3),
        Tree::Array(items) => {
            write::array(out, items.len());
            for item in items {
                write_tree(item, out);
            }
        }
        Tree::Map(pairs) => {
            write::map(out, pairs.len(), Resp3);
            for (key, value) in pairs {
                write_tree(key, out);
                write_tree(value, out);
            }
        }
    }
}

fn same(tree: &Tree, reply: &Reply<'_>) -> bool {
    match (tree, reply) {
        (Tree::Simple(text), Reply::Simple(read)) => text.as_bytes() == *read,
        (Tree::Integer(value), Reply::Integer(read)) => value == read,
        (Tree::Bulk(value), Reply::Bulk(read)) => value == read,
        (Tree::Nil, Reply::Nil) => true,
        (Tree::Double(value), Reply::Double(read)) => value.to_bits() == read.to_bits(),
        (Tree::Boolean(value), Reply::Boolean(read)) => value == read,
        (Tree::Array(items), Reply::Array(read)) => {
            items.len() == read.iter().count()
                && items.iter().zip(*read).all(|(tree, reply)| same(tree, &reply))
        }
        (Tree::Map(pairs), Reply::Map(read)) => {
            pairs.len() == read.pairs().count()
                && pairs
                    .iter()
                    .zip(read.pairs())
                    .all(|(tree, reply)| same(&tree.0, &reply.0) && same(&tree.1, &reply.1))
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn replies_round_trip_from_any_pieces(tree in any_tree()) {
        let mut input = Vec::new();
        write_tree(&tree, &mut input);
        let mut kept = Progress::default();
        for len in 0..input.len() {
            for progress in [&mut Progress::default(), &mut kept] {
                match parse(&input[..len], &LIMITS, progress) {
                    Ok(Parsed::Incomplete { at_least }) => prop_assert!(at_least > len && at_least <= input.len()),
                    other => panic!("{len} of {}: {other:?}", input.escape_ascii()),
                }
            }
        }
        let reply = complete(&input);
        prop_assert!(same(&tree, &reply), "{reply:?}");
        let resumed = parse(&input, &LIMITS, &mut kept);
        prop_assert_eq!(resumed, Ok(Parsed::Complete { value: reply, consumed: input.len() }));
    }

    #[test]
    fn integer_and_lengths_equal_formatted(value: i64, len in prop_oneof![0..2000_usize, any::<usize>()]) {
        prop_assert_eq!(written(|out| write::integer(out, value)), format!(":{value}\r\n"));
        prop_assert_eq!(written(|out| write::bulk_header(out, len)), format!("${len}\r\n"));
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..6),
                prop::sample::select(vec![
                    "*2\r\n", "%1\r\n", "|1\r\n", "|0\r\n", "+a\r\n", "$3\r\nabc\r\n", "=5\r\ntxt:a\r\n", ":1\r\n", "_\r\n",
                    "*9223372036854775807\r\n", "%9223372036854775807\r\n", "$9223372036854775807\r\n", "|9223372036854775807\r\n",
                ]).prop_map(|text| text.as_bytes().to_vec()),
            ],
            0..12,
        ),
        max in prop::sample::select(vec![0, 3, 1 << 20, usize::MAX]),
    ) {
        let input = pieces.concat();
        let limits = Limits { key_len_max: max, value_len_max: max, args_max: max, line_len_max: max };
        let mut progress = Progress::default();
        match parse(&input, &limits, &mut progress) {
            Ok(Parsed::Complete { value, consumed }) => {
                prop_assert!(consumed > 0 && consumed <= input.len());
                if let Reply::Array(items) | Reply::Map(items) | Reply::Set(items) | Reply::Push(items) = value {
                    prop_assert_eq!(items.iter().count(), items.len());
                }
            }
            Ok(Parsed::Incomplete { at_least }) => prop_assert!(at_least > input.len()),
            Err(_) => {}
        }
    }
}

#[test]
fn version_starts_with_two() {
    assert_eq!(resp::Version::default(), Resp2);
}

//! What clients ask.

use crabcache_protocol::native::{Command, Status, reply};

use super::model::{OPAQUE, Op, Part, Protocol, Request, encode, literal, request, resp, status};
use super::random::Random;

/// What clients of a world are like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Values have up to so many bytes, most of them far fewer; or none does.
    pub(crate) value_len_max: usize,
    pub(crate) always_large: bool,
    /// The largest item that the server takes, and the largest request that it keeps.
    pub(crate) item_len_max: usize,
    pub(crate) request_len_max: usize,
    pub(crate) forgetful: bool,
    /// Clients may be without appetite for long.
    pub(crate) late_ms_max: u64,
}

/// A request of client `number`, its `at`th.
pub(crate) fn ask(
    number: usize,
    protocol: Protocol,
    at: usize,
    habits: &Habits,
    random: &mut Random,
) -> Request {
    let key = format!("c{number}:{}", random.below(4));
    let counter = format!("c{number}:n{}", random.below(2));
    let silent = protocol == Protocol::Memcache && !habits.forgetful && at > 0 && random.one_in(4);
    let write = |key: &str, op| request(protocol, key, op, silent);
    match random.below(16) {
        0..5 => request(protocol, &key, Op::Get, false),
        5..9 => write(&key, Op::Set(value(random, habits))),
        9 => write(&key, Op::Delete),
        10 => write(&key, Op::Append(b"more".to_vec())),
        11 => write(&counter, Op::Increment),
        12 if random.one_in(8) => too_large(protocol, &key, habits, random),
        _ if at == 0 => write(&key, Op::Set(value(random, habits))),
        _ => extra(protocol, &key, random),
    }
}

fn value(random: &mut Random, habits: &Habits) -> Vec<u8> {
    let len_max = match random.below(8) {
        _ if habits.always_large => habits.value_len_max,
        0 => habits.value_len_max,
        1..3 => habits.value_len_max.min(5000),
        _ => habits.value_len_max.min(100),
    };
    let bytes = b"\r\n\0\xffget x\r\n$-1\r\n*1END";
    let (start, len) = (random.below(bytes.len()), random.below(len_max + 1));
    fill(&bytes[start..], len)
}

/// So many bytes: these, again and again.
fn fill(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut filled = bytes.repeat(len / bytes.len() + 1);
    filled.truncate(len);
    filled
}

fn too_large(protocol: Protocol, key: &str, habits: &Habits, random: &mut Random) -> Request {
    // Only RESP keeps a request that is too large for an item, and only up to a bound.
    let more = if protocol == Protocol::Resp { habits.request_len_max } else { 10_000 };
    let len = habits.item_len_max + 1 + random.below(more);
    let answer = match protocol {
        Protocol::Resp => {
            let max = habits.item_len_max;
            format!("-ERR item is too large: key and value may have {max} bytes together\r\n").into_bytes()
        }
        Protocol::Memcache => b"SERVER_ERROR object too large for cache\r\n".to_vec(),
        Protocol::Native => status(Status::TooLarge),
    };
    // What it holds are requests: they must not be carried out.
    let command = request(protocol, key, Op::Append(b"smuggled".to_vec()), false).bytes;
    let value = fill(&command, len);
    request(protocol, key, Op::SetTooLarge { value, answer }, false)
}

/// Requests that are no operation on one key.
fn extra(protocol: Protocol, key: &str, random: &mut Random) -> Request {
    let get = || Part::Op { key: key.to_owned(), op: Op::Get, silent: false };
    match (protocol, random.below(6)) {
        (Protocol::Resp, 0) => literal("PING\r\n", "+PONG\r\n"),
        (Protocol::Resp, 1) => Request { bytes: format!("get {key}\r\n").into_bytes(), parts: vec![get()] },
        (Protocol::Resp, 2) => Request {
            bytes: resp(&[b"MGET", key.as_bytes(), b"none", key.as_bytes()]),
            parts: vec![Part::Literal(b"*3\r\n".to_vec()), get(), Part::Literal(b"$-1\r\n".to_vec()), get()],
        },
        (Protocol::Resp, 3) => literal(resp(&[b"KEYS", b"nothing*"]), "*0\r\n"),
        (Protocol::Resp, 4) => {
            literal(resp(&[b"NOPE"]), "-ERR unknown command 'NOPE', with args beginning with: \r\n")
        }
        (Protocol::Resp, _) => literal(resp(&[b"ECHO", b"a\r\nb"]), "$4\r\na\r\nb\r\n"),
        (Protocol::Memcache, 0..3) => literal("what is this\r\n", "ERROR\r\n"),
        (Protocol::Memcache, _) => literal("verbosity 1\r\n", "OK\r\n"),
        (Protocol::Native, _) => {
            let mut answer = Vec::new();
            reply::value(&mut answer, OPAQUE, b"ping");
            literal(encode(Command::Ping { payload: b"ping" }), answer)
        }
    }
}

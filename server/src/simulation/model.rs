//! What a client may ask, in each protocol, and what it must be answered: written down from the protocols, without a
//! look at how the server does it.

use std::collections::HashMap;

use crabcache_protocol::native::{Command, End, Put, Request as NativeRequest, Status, Ttl, reply};

/// The protocol of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Resp,
    Memcache,
    Native,
}

/// Something done to one key.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Get,
    Set(Vec<u8>),
    Delete,
    Append(Vec<u8>),
    Increment,
    /// A value that is larger than any item can be.
    SetTooLarge {
        value: Vec<u8>,
        answer: Vec<u8>,
    },
}

/// One answer, or a part of one.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Always these bytes.
    Literal(Vec<u8>),
    /// What comes of an operation.
    Op { key: String, op: Op, silent: bool },
}

/// A request and its answers.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    pub(crate) parts: Vec<Part>,
}

/// What a client's keys may hold. The keys of each client are its own.
#[derive(Debug)]
pub(crate) struct Contents {
    /// More than one possibility only where a write was not answered.
    keys: HashMap<String, Vec<Option<Vec<u8>>>>,
    /// The cache is too small for everything: it may forget at any time, and may refuse to write.
    forgetful: bool,
}

/// How far an answer agrees with what is expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// So many bytes of it, and all is there.
    Whole(usize),
    /// More has to come.
    Partial,
    /// It is wrong.
    No,
}

impl Contents {
    pub(crate) fn new(forgetful: bool) -> Self {
        Self { keys: HashMap::new(), forgetful }
    }

    /// Compares the next bytes that a client received with what `part` allows, and remembers what they say.
    pub(crate) fn check(&mut self, protocol: Protocol, part: &Part, got: &[u8]) -> Match {
        let (key, op, silent) = match part {
            Part::Literal(expected) => return compare(expected, got),
            Part::Op { key, op, silent } => (key, op, *silent),
        };
        let possible = self.possible(protocol, key, op);
        if silent {
            let mut after: Vec<_> = possible.into_iter().map(|(_, content)| content).collect();
            after.sort();
            after.dedup();
            self.keys.insert(key.clone(), after);
            return Match::Whole(0);
        }
        let mut best = Match::No;
        for (answer, content) in possible {
            match compare(&answer, got) {
                Match::Whole(len) => {
                    self.keys.insert(key.clone(), vec![content]);
                    return Match::Whole(len);
                }
                Match::Partial => best = Match::Partial,
                Match::No => {}
            }
        }
        best
    }

    /// Every answer that there may be, with what the key holds then.
    fn possible(&self, protocol: Protocol, key: &str, op: &Op) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut contents = self.keys.get(key).cloned().unwrap_or_else(|| vec![None]);
        if self.forgetful && !contents.contains(&None) {
            contents.push(None);
        }
        let mut possible: Vec<_> =
            contents.iter().map(|content| outcome(protocol, key, op, content.clone())).collect();
        if self.forgetful && !matches!(op, Op::Get | Op::SetTooLarge { .. }) {
            possible.extend(contents.into_iter().map(|content| (no_room(protocol, op), content)));
        }
        possible
    }
}

fn compare(expected: &[u8], got: &[u8]) -> Match {
    if got.starts_with(expected) {
        Match::Whole(expected.len())
    } else if expected.starts_with(got) {
        Match::Partial
    } else {
        Match::No
    }
}

/// What `op` answers, and leaves, where the key holds `content`.
fn outcome(protocol: Protocol, key: &str, op: &Op, content: Option<Vec<u8>>) -> (Vec<u8>, Option<Vec<u8>>) {
    match op {
        Op::Get => (value(protocol, key, content.as_deref()), content),
        Op::Set(new) => (stored(protocol), Some(new.clone())),
        Op::Delete => {
            let answer = match (protocol, content.is_some()) {
                (Protocol::Resp, there) => integer(u64::from(there)),
                (Protocol::Memcache, true) => b"DELETED\r\n".to_vec(),
                (Protocol::Memcache, false) => b"NOT_FOUND\r\n".to_vec(),
                (Protocol::Native, there) => status(if there { Status::Ok } else { Status::Miss }),
            };
            (answer, None)
        }
        Op::Append(more) => match (protocol, content) {
            (Protocol::Memcache, None) => (b"NOT_STORED\r\n".to_vec(), None),
            (Protocol::Native, None) => (status(Status::Miss), None),
            (_, content) => {
                let mut new = content.unwrap_or_default();
                new.extend_from_slice(more);
                let answer = match protocol {
                    Protocol::Resp => integer(new.len() as u64),
                    Protocol::Memcache => b"STORED\r\n".to_vec(),
                    Protocol::Native => native(|out| reply::length(out, OPAQUE, new.len() as u64)),
                };
                (answer, Some(new))
            }
        },
        Op::Increment => {
            let number = content.as_deref().map(|text| {
                std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok()).expect("a number")
            });
            if let (Protocol::Memcache, None) = (protocol, number) {
                return (b"NOT_FOUND\r\n".to_vec(), None);
            }
            let new = number.unwrap_or(0) + 1;
            let answer = match protocol {
                Protocol::Resp => integer(new),
                Protocol::Memcache => format!("{new}\r\n").into_bytes(),
                Protocol::Native => native(|out| reply::number(out, OPAQUE, new as i64)),
            };
            (answer, Some(new.to_string().into_bytes()))
        }
        // memcached drops what was there before, lest it be taken for the new value.
        Op::SetTooLarge { answer, .. } => {
            (answer.clone(), content.filter(|_| protocol != Protocol::Memcache))
        }
    }
}

fn no_room(protocol: Protocol, op: &Op) -> Vec<u8> {
    match (protocol, op) {
        (Protocol::Resp, _) => b"-OOM command not allowed when used memory > 'maxmemory'.\r\n".to_vec(),
        (Protocol::Memcache, Op::Increment) => b"SERVER_ERROR out of memory in incr\r\n".to_vec(),
        (Protocol::Memcache, _) => b"SERVER_ERROR out of memory storing object\r\n".to_vec(),
        (Protocol::Native, _) => status(Status::TryAgain),
    }
}

/// Every native request of the simulation has this number.
pub(crate) const OPAQUE: u16 = 0x5eed;

fn native(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

pub(crate) fn status(status: Status) -> Vec<u8> {
    native(|out| reply::status(out, OPAQUE, status))
}

fn integer(number: u64) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

fn bulk(value: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

fn stored(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::Resp => b"+OK\r\n".to_vec(),
        Protocol::Memcache => b"STORED\r\n".to_vec(),
        Protocol::Native => status(Status::Ok),
    }
}

fn value(protocol: Protocol, key: &str, content: Option<&[u8]>) -> Vec<u8> {
    match (protocol, content) {
        (Protocol::Resp, Some(value)) => bulk(value),
        (Protocol::Resp, None) => b"$-1\r\n".to_vec(),
        (Protocol::Memcache, Some(value)) => {
            [format!("VALUE {key} 0 {}\r\n", value.len()).as_bytes(), value, b"\r\nEND\r\n"].concat()
        }
        (Protocol::Memcache, None) => b"END\r\n".to_vec(),
        (Protocol::Native, Some(value)) => native(|out| reply::value(out, OPAQUE, value)),
        (Protocol::Native, None) => status(Status::Miss),
    }
}

/// A RESP command.
pub(crate) fn resp(words: &[&[u8]]) -> Vec<u8> {
    let words: Vec<Vec<u8>> = words.iter().map(|word| bulk(word)).collect();
    [format!("*{}\r\n", words.len()).into_bytes(), words.concat()].concat()
}

/// The request for an operation.
pub(crate) fn request(protocol: Protocol, key: &str, op: Op, silent: bool) -> Request {
    let bytes = match protocol {
        Protocol::Resp => {
            let key = key.as_bytes();
            match &op {
                Op::Get => resp(&[b"GET", key]),
                // So far ahead that it does not matter.
                Op::Set(value) if value.len() % 2 == 1 => {
                    resp(&[b"SET", key, value, b"PX", b"1000000000000"])
                }
                Op::Set(value) | Op::SetTooLarge { value, .. } => resp(&[b"SET", key, value]),
                Op::Delete => resp(&[b"DEL", key]),
                Op::Append(more) => resp(&[b"APPEND", key, more]),
                Op::Increment => resp(&[b"INCR", key]),
            }
        }
        Protocol::Memcache => {
            let noreply = if silent { " noreply" } else { "" };
            let store = |verb: &str, value: &[u8]| {
                [format!("{verb} {key} 0 0 {}{noreply}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
            };
            match &op {
                Op::Get => format!("get {key}\r\n").into_bytes(),
                Op::Set(value) | Op::SetTooLarge { value, .. } => store("set", value),
                Op::Append(more) => store("append", more),
                Op::Delete => format!("delete {key}{noreply}\r\n").into_bytes(),
                Op::Increment => format!("incr {key} 1{noreply}\r\n").into_bytes(),
            }
        }
        Protocol::Native => {
            let key = key.as_bytes();
            encode(match &op {
                Op::Get => Command::Get { key, meta: false },
                Op::Set(value) | Op::SetTooLarge { value, .. } => {
                    Command::Put(Put { key, value, ..Put::default() })
                }
                Op::Delete => Command::Delete { key, version: None },
                Op::Append(bytes) => Command::Concat { key, bytes, end: End::Back, create: false },
                Op::Increment => Command::Increment { key, delta: 1, initial: Some(1), ttl: Ttl::Keep },
            })
        }
    };
    Request { bytes, parts: vec![Part::Op { key: key.to_owned(), op, silent }] }
}

/// A native request.
pub(crate) fn encode(command: Command<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    NativeRequest { opaque: OPAQUE, quiet: false, command }.encode(&mut bytes).expect("it is small");
    bytes
}

/// A request that is always answered alike.
pub(crate) fn literal(bytes: impl Into<Vec<u8>>, answer: impl Into<Vec<u8>>) -> Request {
    Request { bytes: bytes.into(), parts: vec![Part::Literal(answer.into())] }
}

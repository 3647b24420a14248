//! Requests as they go over the wire.

use std::io::Write;
use std::str::FromStr;

use crabcache_protocol::native::{self, Command, Put, Ttl};

/// What a server is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Redis, version 2 of its protocol.
    Resp,
    /// memcached, text.
    Memcache,
    /// `CrabCache`'s own (PROTOCOL.md).
    Native,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value.
    Get,
    /// That a value be stored.
    Set,
    /// An answer, whatever it is: PING, over memcached's protocol `version`.
    Ping,
}

/// A text that names no protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one of resp, memcache, native")]
pub struct BadProtocol;

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Resp, Self::Memcache, Self::Native];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resp => "resp",
            Self::Memcache => "memcache",
            Self::Native => "native",
        }
    }

    /// Longest key that can be sent, in bytes.
    #[must_use]
    pub const fn key_len_max(self) -> u32 {
        match self {
            Self::Resp => 1 << 20,
            Self::Memcache => 250,
            Self::Native => 65_535,
        }
    }

    /// Appends a request. Of a GET the value is not looked at, of a PING neither. What is set expires after `ttl` seconds; 0: never.
    ///
    /// # Panics
    /// If a key is longer than the protocol allows.
    pub fn write(self, out: &mut Vec<u8>, kind: Kind, key: &[u8], value: &[u8], ttl: u32) {
        match self {
            Self::Resp => write_resp(out, kind, key, value, ttl),
            Self::Memcache => write_memcache(out, kind, key, value, ttl),
            Self::Native => write_native(out, kind, key, value, ttl),
        }
    }
}

impl FromStr for Protocol {
    type Err = BadProtocol;

    fn from_str(text: &str) -> Result<Self, BadProtocol> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == text).ok_or(BadProtocol)
    }
}

fn write_resp(out: &mut Vec<u8>, kind: Kind, key: &[u8], value: &[u8], ttl: u32) {
    let bulk = |out: &mut Vec<u8>, bytes: &[u8]| {
        number(out, b"$", bytes.len());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    };
    match kind {
        Kind::Get => {
            out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
            bulk(out, key);
        }
        Kind::Set => {
            number(out, b"*", if ttl == 0 { 3 } else { 5 });
            bulk(out, b"SET");
            bulk(out, key);
            bulk(out, value);
            if ttl != 0 {
                bulk(out, b"EX");
                bulk(out, ttl.to_string().as_bytes());
            }
        }
        Kind::Ping => out.extend_from_slice(b"*1\r\n$4\r\nPING\r\n"),
    }
}

fn write_memcache(out: &mut Vec<u8>, kind: Kind, key: &[u8], value: &[u8], ttl: u32) {
    match kind {
        Kind::Get => {
            out.extend_from_slice(b"get ");
            out.extend_from_slice(key);
        }
        Kind::Set => {
            out.extend_from_slice(b"set ");
            out.extend_from_slice(key);
            write!(out, " 0 {ttl}").expect("a vector takes everything");
            number(out, b" ", value.len());
            out.extend_from_slice(value);
        }
        Kind::Ping => out.extend_from_slice(b"version"),
    }
    out.extend_from_slice(b"\r\n");
}

fn write_native(out: &mut Vec<u8>, kind: Kind, key: &[u8], value: &[u8], ttl: u32) {
    let command = match kind {
        Kind::Get => Command::Get { key, meta: false },
        Kind::Set => {
            let ttl = if ttl == 0 { Ttl::Never } else { Ttl::After(u64::from(ttl) * 1000) };
            Command::Put(Put { key, value, ttl, ..Put::default() })
        }
        Kind::Ping => Command::Ping { payload: b"" },
    };
    native::Request { opaque: 0, quiet: false, command }
        .encode(out)
        .expect("key and value have lengths that can be sent");
}

/// Something, a length, and the end of the line.
fn number(out: &mut Vec<u8>, before: &[u8], number: usize) {
    out.extend_from_slice(before);
    write!(out, "{number}\r\n").expect("a vector takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, kind: Kind) -> Vec<u8> {
        let mut out = b"before".to_vec();
        protocol.write(&mut out, kind, b"key", b"some value", 0);
        out.split_off(6)
    }

    #[test]
    fn requests_as_servers_expect_them() {
        for (protocol, kind, bytes) in [
            (Protocol::Resp, Kind::Get, "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"),
            (Protocol::Resp, Kind::Set, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$10\r\nsome value\r\n"),
            (Protocol::Resp, Kind::Ping, "*1\r\n$4\r\nPING\r\n"),
            (Protocol::Memcache, Kind::Get, "get key\r\n"),
            (Protocol::Memcache, Kind::Set, "set key 0 0 10\r\nsome value\r\n"),
            (Protocol::Memcache, Kind::Ping, "version\r\n"),
        ] {
            assert_eq!(
                written(protocol, kind).escape_ascii().to_string(),
                bytes.as_bytes().escape_ascii().to_string()
            );
        }
        let mut out = Vec::new();
        Protocol::Resp.write(&mut out, Kind::Set, b"key", b"v", 60);
        assert_eq!(out, b"*5\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1\r\nv\r\n$2\r\nEX\r\n$2\r\n60\r\n");
        out.clear();
        Protocol::Memcache.write(&mut out, Kind::Set, b"key", b"v", 60);
        assert_eq!(out, b"set key 0 60 1\r\nv\r\n");
        assert_eq!(written(Protocol::Native, Kind::Get), b"\xC1\x10\0\0\x03\0\0\0\0\0\0\0key");
        assert_eq!(written(Protocol::Native, Kind::Set), b"\xC1\x11\0\0\x03\0\0\0\x0a\0\0\0keysome value");
        assert_eq!(written(Protocol::Native, Kind::Ping), b"\xC1\x02\0\0\0\0\0\0\0\0\0\0");
    }
}

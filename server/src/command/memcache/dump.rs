//! `lru_crawler metadump` and `mgdump`: a line for each item, so that a tool can look at or copy all of them.

use crabcache_engine::Value;
use crabcache_protocol::memcache::{Dump, KEY_LEN_MAX, base64, write};

use crate::reactor::batch::Pass;

/// A dump under way.
#[derive(Debug)]
pub(crate) struct Dumping {
    cursor: u64,
    form: Dump,
}

/// Items of a slice, and bytes of values: a version is made of all of them. It ends behind a few items more.
const ITEMS: usize = 512;
const BYTES: usize = 1 << 20;
const ITEMS_AT_ONCE: usize = 16;

impl Dumping {
    /// One that has just begun.
    pub(crate) fn new(form: Dump) -> Self {
        Self { cursor: 0, form }
    }

    /// Goes on for a slice; true when it is done.
    pub(crate) fn step(&mut self, pass: &mut Pass<'_, '_, '_>) -> bool {
        let (now, place, form) = (pass.now(), pass.place(), self.form);
        pass.run();
        let (handle, out) = pass.executor.own_handle();
        let (mut items, mut bytes) = (0, 0);
        loop {
            self.cursor = handle.scan(now, self.cursor, ITEMS_AT_ONCE, |key, value| {
                bytes += value.bytes().len();
                if let Some(key) = place.own(key) {
                    item(out, form, key, &value);
                }
            });
            items += ITEMS_AT_ONCE;
            if self.cursor == 0 || items >= ITEMS || bytes >= BYTES {
                break;
            }
        }
        handle.quiescent(now);
        if self.cursor == 0 {
            out.extend_from_slice(if form == Dump::Metadata { write::END } else { b"EN\r\n" });
        }
        self.cursor == 0
    }
}

/// Tells of an item.
fn item(out: &mut Vec<u8>, form: Dump, key: &[u8], value: &Value<'_>) {
    match form {
        Dump::Metadata => {
            out.extend_from_slice(b"key=");
            encode_uri(out, key);
            let expires = value.expires().map_or("-1".to_owned(), |at| (at.0 / 1000).to_string());
            let fetched = if value.is_used() { "yes" } else { "no" };
            let (cas, size) = (value.version(), value.item_bytes());
            let line = format!(" exp={expires} la=0 cas={cas} fetch={fetched} cls=1 size={size}\n");
            out.extend_from_slice(line.as_bytes());
        }
        Dump::Requests => {
            let before = out.len();
            out.extend_from_slice(b"mg ");
            let plain = key.iter().all(u8::is_ascii_graphic);
            if plain {
                out.extend_from_slice(key);
            } else {
                base64::encode(out, key);
            }
            let len = out.len() - before - b"mg ".len();
            if !(1..=KEY_LEN_MAX).contains(&len) {
                // Another protocol's, which this one has no words for.
                return out.truncate(before);
            }
            out.extend_from_slice(if plain { b"\r\n" } else { b" b\r\n" });
        }
    }
}

/// Bytes that mean something in a URI as `%` and two digits (RFC 3986, section 2.3).
fn encode_uri(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

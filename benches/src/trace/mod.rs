//! Traces of cache requests: format `CCTRACE1` in one zstd frame.
//!
//! ```text
//! | "CCTRACE1" | requests u64 | keys u64 | key length u32 | flags | keys | sizes | ttls | times |
//! column   | length in bytes u64 | bytes |                         little-endian
//! flags    one byte per request: bits 0-1 operation, 2 a size follows, 3 a ttl follows, 4 time moves on
//! keys     varint per request: 0 the next new key, d > 0 the key seen d ids before the newest plus one
//! sizes    varint where bit 2 is set, otherwise the key's last size
//! ttls     varint where bit 3 is set, otherwise the key's last ttl, which is 0 at first
//! times    varint where bit 4 is set: seconds since the request before
//! ```
//! All of it is read and checked at once, so that a replay measures the cache and not this.

mod columns;
#[cfg(test)]
pub(crate) mod encode;

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;

use columns::{Column, Reader};

/// What a zstd frame begins with.
const ZSTD: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Bytes that an item costs beyond key and value in the definition of a working set.
const ITEM_OVERHEAD: u64 = 16;

/// A trace, unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// In order of time.
    pub requests: Vec<Request>,
    /// How many different keys there are: their numbers are below this.
    pub keys: u32,
    /// A typical length of the keys, in bytes.
    pub key_len: u32,
}

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Seconds since the trace began.
    pub time: u32,
    /// Number of the key.
    pub key: u32,
    /// Bytes of the key's value at this time.
    pub size: u32,
    /// Seconds for which the key lives if it is stored by this request; 0: for ever.
    pub ttl: u32,
    /// What is asked for.
    pub kind: Kind,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Read; on a miss the client fetches and stores.
    Get,
    /// Write.
    Set,
    /// Remove.
    Delete,
}

/// Why a file is not a trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be read.
    #[error("{0}")]
    File(#[from] io::Error),
    /// It does not begin as a zstd frame.
    #[error("not a trace, which is a zstd frame")]
    NoFrame,
    /// It is not a whole zstd frame.
    #[error("a broken trace: its zstd frame does not unpack: {0}")]
    Zstd(String),
    /// It does not begin as a trace.
    #[error("not a trace: it does not begin with CCTRACE1")]
    Magic,
    /// It breaks a rule of the format.
    #[error("a broken trace: {0}")]
    Broken(&'static str),
}

impl Trace {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, TraceError> {
        Self::unpack(&fs::read(path)?)
    }

    /// Reads a trace as it is in a file.
    pub fn unpack(frame: &[u8]) -> Result<Self, TraceError> {
        if !frame.starts_with(&ZSTD) {
            return Err(TraceError::NoFrame);
        }
        let zstd = |error: &dyn std::fmt::Display| TraceError::Zstd(error.to_string());
        let mut decoder = StreamingDecoder::new(frame).map_err(|error| zstd(&error))?;
        let mut bytes = Vec::new();
        decoder.read_to_end(&mut bytes).map_err(|error| zstd(&error))?;
        Self::decode(&bytes)
    }

    /// Reads a trace that is unpacked already.
    pub fn decode(bytes: &[u8]) -> Result<Self, TraceError> {
        let mut reader = Reader(bytes.strip_prefix(b"CCTRACE1").ok_or(TraceError::Magic)?);
        let (count, keys, key_len) = (reader.u64()?, reader.u64()?, reader.u32()?);
        let keys =
            u32::try_from(keys).map_err(|_| TraceError::Broken("more keys than 32 bits can number"))?;
        let flags = reader.column()?;
        if flags.0.len() as u64 != count {
            return Err(TraceError::Broken("the flags are not one byte per request"));
        }
        // Each key comes first as a new one, so there are no more keys than requests.
        if u64::from(keys) > count {
            return Err(TraceError::Broken("more keys than requests"));
        }
        let mut decoder = Decoder {
            columns: [reader.column()?, reader.column()?, reader.column()?, reader.column()?],
            last: vec![(0, 0); keys as usize],
            seen: 0,
            time: 0,
        };
        let requests = flags.0.iter().map(|&flags| decoder.request(flags)).collect::<Result<Vec<_>, _>>()?;
        if decoder.seen != keys || !decoder.columns.iter().all(|column| column.0.is_empty()) {
            return Err(TraceError::Broken("the columns do not end with the last request"));
        }
        Ok(Self { requests, keys, key_len })
    }

    /// Sum over the keys of 16 + key length + first value size, rounded up to 8: what an ideal cache of everything
    /// would hold.
    #[must_use]
    pub fn working_set(&self) -> u64 {
        let mut seen = 0;
        let firsts = self.requests.iter().filter(|request| {
            // Keys are numbered in order of appearance.
            let first = request.key == seen;
            seen += u32::from(first);
            first
        });
        let cost =
            |size: u32| (ITEM_OVERHEAD + u64::from(self.key_len) + u64::from(size)).next_multiple_of(8);
        firsts.map(|request| cost(request.size)).sum()
    }

    /// The largest value, in bytes.
    #[must_use]
    pub fn value_len_max(&self) -> u32 {
        self.requests.iter().map(|request| request.size).max().unwrap_or(0)
    }
}

struct Decoder<'a> {
    /// Keys, sizes, ttls, times: what is left of them.
    columns: [Column<'a>; 4],
    /// Last size and ttl of each key.
    last: Vec<(u32, u32)>,
    seen: u32,
    time: u32,
}

impl Decoder<'_> {
    fn request(&mut self, flags: u8) -> Result<Request, TraceError> {
        let [keys, sizes, ttls, times] = &mut self.columns;
        let kind = match flags & 3 {
            0 => Kind::Get,
            1 => Kind::Set,
            2 => Kind::Delete,
            _ => return Err(TraceError::Broken("an unknown operation")),
        };
        let key = match keys.varint()? {
            0 => {
                self.seen += 1;
                Some(self.seen - 1)
            }
            back => self.seen.checked_sub(back),
        };
        let key = key.ok_or(TraceError::Broken("a key that was not seen yet"))?;
        let last = self.last.get_mut(key as usize).ok_or(TraceError::Broken("more keys than it says"))?;
        if flags & 4 != 0 {
            last.0 = sizes.varint()?;
        }
        if flags & 8 != 0 {
            last.1 = ttls.varint()?;
        }
        if flags & 16 != 0 {
            let passed = times.varint()?;
            self.time = self.time.checked_add(passed).ok_or(TraceError::Broken("time overflows"))?;
        }
        Ok(Request { time: self.time, key, size: last.0, ttl: last.1, kind })
    }
}

#[cfg(test)]
mod tests {
    use super::encode::{encode, frame};
    use super::*;

    fn request(time: u32, key: u32, size: u32, ttl: u32, kind: Kind) -> Request {
        Request { time, key, size, ttl, kind }
    }

    fn sample() -> Trace {
        let requests = vec![
            request(0, 0, 100, 0, Kind::Get),
            request(0, 1, 70_000, 60, Kind::Set),
            request(5, 0, 100, 0, Kind::Get),
            request(5, 0, 101, 0, Kind::Set),
            request(300, 1, 70_000, 60, Kind::Delete),
            request(300, 2, 0, 86_400, Kind::Get),
            request(301, 1, 70_000, 0, Kind::Get),
        ];
        Trace { requests, keys: 3, key_len: 12 }
    }

    #[test]
    fn trace_round_trip() {
        let trace = sample();
        assert_eq!(Trace::unpack(&frame(&encode(&trace))).unwrap(), trace);
        assert_eq!(Trace::unpack(&frame(&encode(&Trace::default()))).unwrap(), Trace::default());
    }

    /// More than a zstd block (128 KiB), and more than its window.
    #[test]
    fn trace_round_trip_of_many_blocks() {
        let requests =
            (0..200_000).map(|i| request(i / 7, i % 50_000, i % 50_000 % 999, 0, Kind::Get)).collect();
        let trace = Trace { requests, keys: 50_000, key_len: 16 };
        let bytes = encode(&trace);
        assert!(bytes.len() > 3 << 17);
        assert_eq!(Trace::unpack(&frame(&bytes)).unwrap(), trace);
    }

    #[test]
    fn working_set_counts_first_sizes() {
        // 16 + 12 + 100 = 128; 16 + 12 + 70000 = 70028 -> 70032; 16 + 12 + 0 = 28 -> 32.
        assert_eq!(sample().working_set(), 128 + 70_032 + 32);
        assert_eq!(sample().value_len_max(), 70_000);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_no_panic() {
        let bytes = encode(&sample());
        for len in 0..bytes.len() {
            assert!(Trace::decode(&bytes[..len]).is_err(), "{len}");
            assert!(Trace::unpack(&frame(&bytes)[..len]).is_err(), "{len}");
        }
        for at in 0..bytes.len() {
            for byte in [0, 1, 2, 3, 0x7f, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = byte;
                let _ = Trace::decode(&bytes);
            }
        }
    }
}

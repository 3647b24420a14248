//! The reverse of reading, for tests: columns by the rules, in a zstd frame that compresses nothing.

use super::{Kind, Trace};

/// The trace, not packed.
pub(crate) fn encode(trace: &Trace) -> Vec<u8> {
    let mut columns: [Vec<u8>; 5] = Default::default();
    let mut last = vec![(0, 0); trace.keys as usize];
    let (mut seen, mut time) = (0, 0);
    for request in &trace.requests {
        let [flags, keys, sizes, ttls, times] = &mut columns;
        let last = &mut last[request.key as usize];
        let (size, ttl, moved) = (request.size != last.0, request.ttl != last.1, request.time != time);
        let operation = match request.kind {
            Kind::Get => 0,
            Kind::Set => 1,
            Kind::Delete => 2,
        };
        flags.push(operation | u8::from(size) << 2 | u8::from(ttl) << 3 | u8::from(moved) << 4);
        assert!(request.key <= seen, "keys are numbered in order of appearance");
        varint(keys, seen - request.key);
        seen = seen.max(request.key + 1);
        if size {
            varint(sizes, request.size);
        }
        if ttl {
            varint(ttls, request.ttl);
        }
        if moved {
            varint(times, request.time - time);
        }
        (*last, time) = ((request.size, request.ttl), request.time);
    }
    let mut out = b"CCTRACE1".to_vec();
    out.extend_from_slice(&(trace.requests.len() as u64).to_le_bytes());
    out.extend_from_slice(&u64::from(trace.keys).to_le_bytes());
    out.extend_from_slice(&trace.key_len.to_le_bytes());
    for column in columns {
        out.extend_from_slice(&(column.len() as u64).to_le_bytes());
        out.extend_from_slice(&column);
    }
    out
}

/// A zstd frame of raw blocks (RFC 8878, 3.1.1): magic, descriptor 0 (no size, no checksum), window of 1 MiB, then
/// blocks of up to 128 KiB, each with a header of 3 bytes: last block 1 bit, type 2 bits, size 21 bits.
pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 10 << 3];
    let mut blocks = bytes.chunks(128 << 10).peekable();
    loop {
        let block = blocks.next().unwrap_or_default();
        let last = blocks.peek().is_none();
        out.extend_from_slice(&((block.len() as u32) << 3 | u32::from(last)).to_le_bytes()[..3]);
        out.extend_from_slice(block);
        if last {
            return out;
        }
    }
}

fn varint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

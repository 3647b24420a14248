//! Payloads of RESTORE: whatever bytes have a footer that is right. No panic, no value longer than it may be, and what is
//! written reads back the same.
#![no_main]

use arbitrary::Arbitrary;
use crabcache_protocol::rdb::{Fault, crc64, dump, restore};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    len_max: u16,
    /// Says where to break what was right.
    broken: u16,
    bytes: &'a [u8],
}

/// A payload of the string that `bytes` are, with a footer that is right.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut payload = [&[0], bytes, &[10, 0]].concat();
    let sum = crc64(&payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    payload
}

/// LZF, a byte at a time.
fn unpack(mut packed: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    while let [control, rest @ ..] = packed {
        packed = rest;
        if *control < 32 {
            for _ in 0..=*control {
                out.push(*packed.split_off_first()?);
            }
            continue;
        }
        let mut len = usize::from(control >> 5) + 2;
        if len == 9 {
            len += usize::from(*packed.split_off_first()?);
        }
        let distance = usize::from(control & 31) * 256 + usize::from(*packed.split_off_first()?) + 1;
        for _ in 0..len {
            out.push(*out.get(out.len().checked_sub(distance)?)?);
        }
    }
    Some(out)
}

fuzz_target!(|input: Input<'_>| {
    let Input { len_max, broken, bytes } = input;
    let len_max = usize::from(len_max);
    for payload in [bytes.to_vec(), sealed(bytes)] {
        if let Ok(value) = restore(&payload, len_max) {
            assert!(value.len() <= len_max);
        }
    }

    let mut payload = Vec::new();
    dump(&mut payload, bytes);
    match restore(&payload, len_max) {
        Ok(value) => assert_eq!(*value, *bytes),
        Err(fault) => assert!(fault == Fault::TooLarge && bytes.len() > len_max),
    }
    let at = usize::from(broken) % payload.len();
    payload[at] ^= 1 << (broken % 8);
    assert_eq!(restore(&payload, usize::MAX), Err(Fault::Footer));

    // The bytes as something compressed.
    let unpacked = unpack(bytes);
    let len = unpacked.as_ref().map_or(len_max, Vec::len) as u32;
    let head = [&[0xC3, 0x80][..], &(bytes.len() as u32).to_be_bytes(), &[0x80], &len.to_be_bytes()].concat();
    let read = restore(&sealed(&[&head, bytes].concat()), len_max).map(|value| value.into_owned());
    match unpacked {
        Some(value) if value.len() <= len_max => assert_eq!(read, Ok(value)),
        Some(_) => assert_eq!(read, Err(Fault::TooLarge)),
        // What is compressed to nothing is not looked at.
        None => assert_eq!(read, if len == 0 { Ok(Vec::new()) } else { Err(Fault::Format) }),
    }
});

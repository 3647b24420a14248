//! Properties of the native codec: whole == split, `consumed` within the input, no panic, round trip.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::reply::{self, ListWriter};
use super::{
    Command, Condition, EncodeError, End, Fault, Keys, Meta, Pairs, ParseError, Put, Request, Status,
    TouchCondition, Ttl, request,
};
use crate::{Limits, Parsed};

const LIMITS: Limits = Limits { key_len_max: 40, value_len_max: 300, args_max: 5, line_len_max: 100 };

/// An owned command, since strategies cannot borrow.
#[derive(Clone, Debug)]
struct Owned {
    kind: u8,
    key: Vec<u8>,
    value: Vec<u8>,
    keys: Vec<Vec<u8>>,
    number: u64,
    ttl: Ttl,
    choice: u8,
    yes: bool,
}

fn owned() -> impl Strategy<Value = Owned> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    let ttl = prop_oneof![Just(Ttl::Never), Just(Ttl::Keep), (0..u64::MAX).prop_map(Ttl::After)];
    let keys = prop::collection::vec(bytes(20), 0..5);
    (0_u8..16, bytes(41), bytes(200), keys, any::<u64>(), ttl, any::<u8>(), any::<bool>()).prop_map(
        |(kind, key, value, keys, number, ttl, choice, yes)| Owned {
            kind,
            key,
            value,
            keys,
            number,
            ttl,
            choice,
            yes,
        },
    )
}

impl Owned {
    fn with<R>(&self, opaque: u16, f: impl FnOnce(Request<'_>) -> R) -> R {
        let Self { ref key, ref value, number, ttl, yes, .. } = *self;
        let pairs: Vec<_> = self.keys.iter().map(|each| (&each[..], &value[..value.len().min(40)])).collect();
        let keys: Vec<&[u8]> = self.keys.iter().map(Vec::as_slice).collect();
        let condition =
            [Condition::Always, Condition::Absent, Condition::Present, Condition::Version(number)]
                [self.choice as usize % 4];
        let touch = [
            TouchCondition::Always,
            TouchCondition::Permanent,
            TouchCondition::Expiring,
            TouchCondition::Later,
            TouchCondition::Earlier,
        ][self.choice as usize % 5];
        let end = if self.choice & 1 == 0 { End::Front } else { End::Back };
        let flags = if yes { number as u32 } else { 0 };
        let initial = yes.then_some(i64::from(self.choice));
        let command = match self.kind {
            0 => Command::Hello { version_min: self.choice, version_max: 1, client: value },
            1 => Command::Ping { payload: value },
            2 if yes => Command::Sample,
            2 => Command::Stats,
            3 => Command::Flush,
            4 | 5 => Command::Get { key, meta: yes },
            6 => Command::Put(Put { key, value, flags, ttl, condition }),
            7 => Command::Delete { key, version: yes.then_some(number) },
            8 => Command::Touch { key, ttl, condition: touch },
            9 => Command::Increment { key, delta: number as i64, initial, ttl },
            10 => Command::Concat { key, bytes: value, end, create: yes },
            11 => Command::MultiPut { pairs: Pairs::from_slice(&pairs), ttl },
            12 => Command::Lease { key, lease_ms: number, early_ms: u64::from(self.choice), meta: yes },
            13 => Command::Stale { key, ttl, version: yes.then_some(number) },
            14 => Command::Scan { prefix: key, cursor: number, count: number as u32 },
            _ => Command::MultiGet { keys: Keys::from_slice(&keys), meta: yes },
        };
        let quiet = self.number & 1 == 1 && matches!(self.kind, 4..=10 | 13);
        f(Request { opaque, quiet, command })
    }
}

/// Every prefix of one message asks for more, or says already what the whole message says.
fn whole_is_split<T: PartialEq + core::fmt::Debug, E: PartialEq + core::fmt::Debug>(
    input: &[u8],
    parse: impl Fn(usize) -> Result<Parsed<T>, E>,
) -> Result<(), TestCaseError> {
    let whole = parse(input.len());
    for len in 0..input.len() {
        match parse(len) {
            Ok(Parsed::Incomplete { at_least }) => {
                prop_assert!(at_least > len);
                if let Ok(Parsed::Complete { consumed, .. }) = whole {
                    prop_assert!(at_least <= consumed);
                }
            }
            early => prop_assert_eq!(&early, &whole),
        }
    }
    match whole {
        Ok(Parsed::Complete { consumed, .. }) => prop_assert!(consumed <= input.len()),
        Ok(Parsed::Incomplete { at_least }) => prop_assert!(at_least > input.len()),
        Err(_) => {}
    }
    Ok(())
}

/// Bytes that look like a request up to their header, so that the later checks are reached.
fn nearly_a_request() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![0_u8..6, 0x0F_u8..0x19, 0x1F_u8..0x26, any::<u8>()];
    let small = prop_oneof![3 => 0_u32..30, 1 => any::<u32>()];
    (opcode, 0_u8..0x50, 0_u8..9, any::<u8>(), small, prop::collection::vec(any::<u8>(), 0..80)).prop_map(
        |(opcode, flags, condition, key_len, value_len, tail)| {
            let mut bytes = alloc::vec![0xC1, opcode, flags, condition, key_len % 50, 0, 1, 2];
            bytes.extend_from_slice(&value_len.to_le_bytes());
            bytes.extend_from_slice(&tail);
            bytes
        },
    )
}

proptest! {
    #[test]
    fn request_round_trip_and_split(owned in owned(), opaque: u16, more in prop::collection::vec(any::<u8>(), 0..20)) {
        owned.with(opaque, |request| {
            let mut bytes = Vec::new();
            request.encode(&mut bytes).unwrap();
            let mut parts = Vec::new();
            request.encode_before_value(&mut parts).unwrap();
            parts.extend_from_slice(request.value());
            if !matches!(request.command, Command::Increment { .. } | Command::Hello { .. } | Command::MultiGet { .. }
                | Command::MultiPut { .. } | Command::Lease { .. } | Command::Scan { .. }) {
                let head = request.head().unwrap();
                prop_assert_eq!(&[head.as_bytes(), request.key(), request.value()].concat(), &bytes);
            }
            prop_assert_eq!(&parts, &bytes);
            let len = bytes.len();
            whole_is_split(&bytes, |cut| request::parse(&bytes[..cut], &LIMITS))?;
            bytes.extend_from_slice(&more);
            let parsed = request::parse(&bytes, &LIMITS);
            prop_assert_eq!(parsed, Ok(Parsed::Complete { value: request, consumed: len }));
            Ok(())
        })?;
    }

    #[test]
    fn request_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        whole_is_split(&bytes, |cut| request::parse(&bytes[..cut], &LIMITS))?;
        let _ = request::put_head(&bytes, &LIMITS);
    }

    #[test]
    fn request_near_bytes_never_panic(bytes in nearly_a_request()) {
        whole_is_split(&bytes, |cut| request::parse(&bytes[..cut], &LIMITS))?;
        if let Ok(Parsed::Complete { value, consumed }) = request::parse(&bytes, &LIMITS) {
            let mut again = Vec::new();
            match value.encode(&mut again) {
                // A ttl of all ones, client flags of 0 and defaults spelled out have a shorter form.
                Ok(()) => {
                    prop_assert!(again.len() <= consumed);
                    let reparsed = request::parse(&again, &LIMITS);
                    prop_assert_eq!(reparsed, Ok(Parsed::Complete { value, consumed: again.len() }));
                }
                Err(error) => prop_assert_eq!(error, EncodeError::NotARequest),
            }
        }
    }

    #[test]
    fn put_head_agrees_with_parse(owned in owned(), cut in 0_usize..400) {
        owned.with(9, |request| {
            let mut bytes = Vec::new();
            request.encode(&mut bytes).unwrap();
            let here = &bytes[..cut.min(bytes.len())];
            let head = request::put_head(here, &LIMITS);
            let Command::Put(put) = request.command else {
                prop_assert_eq!(head, None);
                return Ok(());
            };
            let value_at = bytes.len() - put.value.len();
            prop_assert_eq!(head.is_some(), here.len() >= value_at);
            if let Some(head) = head {
                prop_assert_eq!((head.value_at, head.value_len), (value_at, put.value.len()));
                prop_assert_eq!((head.opaque, head.quiet), (9, request.quiet));
                prop_assert_eq!(head.put, Put { value: &here[value_at..], ..put });
            }
            Ok(())
        })?;
    }

    #[test]
    fn reply_split_and_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..60), real: bool, body_len in 0_u8..60) {
        if real && bytes.len() >= 8 {
            bytes[..2].copy_from_slice(&[0xC2, Status::Ok as u8]);
            bytes[4..8].copy_from_slice(&[body_len, 0, 0, 0]);
        }
        whole_is_split(&bytes, |cut| reply::parse(&bytes[..cut], 50))?;
        if let Ok(Parsed::Complete { value, .. }) = reply::parse(&bytes, 50) {
            let (_, _, _) = (value.number(), value.length(), value.hello());
            let (_, _) = (value.scan(), value.statuses().count());
            let _ = [value.lease(false), value.lease(true)];
            let _ = Meta::split(value.body);
            for meta in [false, true] {
                prop_assert!(value.entries(meta).count() <= value.body.len());
            }
        }
    }

    #[test]
    fn reply_mget_round_trip(
        values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..9)), 0..6),
        meta: bool,
        ttl_ms in prop::option::of(0..u64::MAX),
    ) {
        let about = meta.then_some(Meta { version: 3, flags: 4, ttl_ms });
        let mut out = alloc::vec![1, 2, 3];
        let writer = ListWriter::begin(&mut out, 7);
        for value in &values {
            match value {
                Some(value) => writer.hit(&mut out, about.as_ref(), value),
                None => writer.without(&mut out, Status::Miss),
            }
        }
        writer.finish(&mut out);
        let Ok(Parsed::Complete { value: reply, consumed }) = reply::parse(&out[3..], 1000) else { panic!() };
        prop_assert_eq!(consumed, out.len() - 3);
        let back: Vec<_> = reply.entries(meta).map(Result::unwrap).collect();
        prop_assert_eq!(back.len(), values.len());
        for (entry, value) in back.iter().zip(&values) {
            prop_assert_eq!((entry.status == Status::Ok).then_some(entry.value), value.as_deref());
            prop_assert_eq!(entry.meta, about.filter(|_| value.is_some()));
        }
    }
}

fn parse_one(bytes: &[u8]) -> Result<Parsed<Request<'_>>, ParseError> {
    request::parse(bytes, &LIMITS)
}

#[test]
fn refusals_need_only_the_header() {
    let refused = |bytes: &[u8]| match parse_one(bytes) {
        Ok(Parsed::Complete {
            value: Request { command: Command::Refused { status, skip }, opaque: 7, quiet: false },
            consumed: 12,
        }) => (status, skip),
        other => panic!("{other:?}"),
    };
    let large = [0xC1, 0x11, 0x0B, 0, 4, 0, 7, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    assert_eq!(refused(&large), (Status::TooLarge, 8 + 4 + 4 + 0xFFFF_FFFF));
    let long_key = [0xC1, 0x10, 0, 0, 41, 0, 7, 0, 0, 0, 0, 0];
    assert_eq!(refused(&long_key), (Status::KeyTooLong, 41));
    let unknown = [0xC1, 0x21, 1, 9, 2, 0, 7, 0, 3, 0, 0, 0];
    assert_eq!(refused(&unknown), (Status::UnknownOperation, 5));
}

#[test]
fn faults_are_named() {
    let fault = |head: [u8; 12]| match parse_one(&head) {
        Err(error @ ParseError::Malformed { fault, .. }) => {
            assert_eq!((error.opaque(), error.status()), (7, Status::BadRequest));
            fault
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(fault([0xC1, 0x10, 0x40, 0, 0, 0, 7, 0, 0, 0, 0, 0]), Fault::ReservedFlag);
    assert_eq!(fault([0xC1, 0x10, 0x02, 0, 0, 0, 7, 0, 0, 0, 0, 0]), Fault::Flag);
    assert_eq!(fault([0xC1, 0x10, 0, 1, 0, 0, 7, 0, 0, 0, 0, 0]), Fault::Condition);
    assert_eq!(fault([0xC1, 0x11, 0, 3, 0, 0, 7, 0, 0, 0, 0, 0]), Fault::VersionField);
    assert_eq!(fault([0xC1, 0x11, 4, 0, 0, 0, 7, 0, 0, 0, 0, 0]), Fault::VersionField);
    assert_eq!(fault([0xC1, 0x11, 0x22, 0, 0, 0, 7, 0, 0, 0, 0, 0]), Fault::TwoTtls);
    assert_eq!(fault([0xC1, 0x02, 0, 0, 1, 0, 7, 0, 0, 0, 0, 0]), Fault::Key);
    assert_eq!(fault([0xC1, 0x14, 0, 0, 1, 0, 7, 0, 9, 0, 0, 0]), Fault::ValueLen);
    assert_eq!(fault([0xC1, 0x10, 0, 0, 1, 0, 7, 0, 1, 0, 0, 0]), Fault::ValueLen);
    let mut list = alloc::vec![0xC1, 0x17, 0, 0, 0, 0, 7, 0, 3, 0, 0, 0, 2, 0, b'a'];
    assert_eq!(parse_one(&list), Err(ParseError::Malformed { opaque: 7, fault: Fault::KeyList }));
    list[12] = 1;
    assert!(matches!(parse_one(&list), Ok(Parsed::Complete { consumed: 15, .. })));
}

#[test]
fn mget_over_a_limit_is_refused_whole() {
    let refused = |keys: &[&[u8]]| {
        let command = Command::MultiGet { keys: Keys::from_slice(keys), meta: false };
        let mut bytes = Vec::new();
        Request { opaque: 1, quiet: false, command }.encode(&mut bytes).unwrap();
        match parse_one(&bytes) {
            Ok(Parsed::Complete {
                value: Request { command: Command::Refused { status, skip: 0 }, .. },
                consumed,
            }) => {
                assert_eq!(consumed, bytes.len());
                status
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&[b"a".as_slice(); 6]), Status::TooLarge);
    assert_eq!(refused(&[[0; 41].as_slice()]), Status::KeyTooLong);
}

#[test]
fn silence_follows_the_operation() {
    let get = Request { opaque: 0, quiet: true, command: Command::Get { key: b"", meta: false } };
    let put = Request { command: Command::Put(Put::default()), ..get };
    assert!(get.is_silent(Status::Miss) && !get.is_silent(Status::Ok));
    assert!(put.is_silent(Status::Ok) && !put.is_silent(Status::Miss) && !put.is_silent(Status::NotStored));
    assert!(!Request { quiet: false, ..put }.is_silent(Status::Ok));
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let key = alloc::vec![0; 65_536];
    let mut out = alloc::vec![1];
    let get = Request { opaque: 0, quiet: false, command: Command::Get { key: &key, meta: false } };
    assert_eq!(get.encode(&mut out), Err(EncodeError::KeyTooLong { len: 65_536 }));
    let keys: &[&[u8]] = &[b"a", &key];
    let command = Command::MultiGet { keys: Keys::from_slice(keys), meta: false };
    let mget = Request { command, ..get };
    assert_eq!(mget.encode(&mut out), Err(EncodeError::KeyTooLong { len: 65_536 }));
    assert_eq!(out, [1]);
}

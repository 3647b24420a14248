//! What does it cost to read a request? A buffer of 64 requests as a pipeline leaves it, read to its end; criterion's
//! throughput is requests. Keys of 11 bytes, values of 32, and for RESP one spelling that the fast path does not know.

#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use crabcache_protocol::{Limits, Parsed, memcache, native, resp};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const REQUESTS: usize = 64;
const LIMITS: Limits =
    Limits { key_len_max: 65_535, value_len_max: 64 << 20, args_max: 1 << 20, line_len_max: 65_536 };

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(REQUESTS as u64));
    let key = |i: usize| format!("key:{i:07}");
    let value = "v".repeat(32);

    let resp = |input: &mut &[u8]| {
        let mut progress = resp::Progress::default();
        take(input, resp::parse(input, &LIMITS, &mut progress));
    };
    let get = pipeline(|i| format!("*2\r\n$3\r\nGET\r\n$11\r\n{}\r\n", key(i)));
    group.bench_function("resp_get", |bencher| bencher.iter(|| all(&get, resp)));
    let set = pipeline(|i| format!("*3\r\n$3\r\nSET\r\n$11\r\n{}\r\n$32\r\n{value}\r\n", key(i)));
    group.bench_function("resp_set", |bencher| bencher.iter(|| all(&set, resp)));
    let incr = pipeline(|i| format!("*2\r\n$4\r\nINCR\r\n$11\r\n{}\r\n", key(i)));
    group.bench_function("resp_other", |bencher| bencher.iter(|| all(&incr, resp)));

    let memcache = |input: &mut &[u8]| take(input, memcache::parse(input, &LIMITS));
    let get = pipeline(|i| format!("get {}\r\n", key(i)));
    group.bench_function("memcache_get", |bencher| bencher.iter(|| all(&get, memcache)));
    let set = pipeline(|i| format!("set {} 0 0 32\r\n{value}\r\n", key(i)));
    group.bench_function("memcache_set", |bencher| bencher.iter(|| all(&set, memcache)));

    let native = |input: &mut &[u8]| take(input, native::request::parse(input, &LIMITS));
    let (mut get, mut put) = (Vec::new(), Vec::new());
    for i in 0..REQUESTS {
        let (key, value) = (key(i), value.as_bytes());
        let key = key.as_bytes();
        encode(native::Command::Get { key, meta: false }, &mut get);
        let command = native::Command::Put(native::Put { key, value, ..native::Put::default() });
        encode(command, &mut put);
    }
    group.bench_function("native_get", |bencher| bencher.iter(|| all(&get, native)));
    group.bench_function("native_put", |bencher| bencher.iter(|| all(&put, native)));
}

fn encode(command: native::Command<'_>, out: &mut Vec<u8>) {
    native::Request { opaque: 1, quiet: false, command }.encode(out).expect("it is short");
}

fn pipeline(request: impl Fn(usize) -> String) -> Vec<u8> {
    (0..REQUESTS).map(request).collect::<String>().into_bytes()
}

fn all(input: &[u8], mut parse: impl FnMut(&mut &[u8])) {
    let mut input = black_box(input);
    let mut requests = 0;
    while !input.is_empty() {
        parse(&mut input);
        requests += 1;
    }
    assert_eq!(requests, REQUESTS);
}

#[inline(always)]
fn take<T, E: std::fmt::Debug>(input: &mut &[u8], parsed: Result<Parsed<T>, E>) {
    match parsed {
        Ok(Parsed::Complete { value, consumed }) => {
            black_box(value);
            *input = &input[consumed..];
        }
        Ok(Parsed::Incomplete { .. }) => panic!("the requests are whole"),
        Err(error) => panic!("{error:?}"),
    }
}

/// For comparing on one machine, which drifts more than a longer run would average out.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = short(); targets = parse }
criterion_main!(benches);

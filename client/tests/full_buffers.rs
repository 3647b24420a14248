//! A pipeline of PUTs and GETs of 10 KiB against a server that reads nothing before its answers are taken, with the
//! smallest buffers that the system has, on both sides. A client that wrote first and read later would hang in the first
//! window; one that kept what it sends or receives would need gigabytes.

mod support;

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crabcache_client::{Builder, Client, Command, Put, ReplyRef};
use rustix::net::sockopt::{
    set_socket_recv_buffer_size, set_socket_send_buffer_size, socket_recv_buffer_size,
    socket_send_buffer_size,
};
use socket2::SockRef;
use support::{Server, Store, serve_client, serve_unix};

/// Asks for the system's minimum.
const LEAST: usize = 0;

fn shrink(stream: impl AsFd, buffer_bytes: usize) {
    set_socket_send_buffer_size(&stream, buffer_bytes).unwrap();
    set_socket_recv_buffer_size(&stream, buffer_bytes).unwrap();
    assert!(socket_send_buffer_size(&stream).unwrap() < 10_000);
    assert!(socket_recv_buffer_size(&stream).unwrap() < 10_000);
}

/// Every second command is a GET of what the one before has put.
fn put_and_get(count: usize, settings: Builder) {
    let client = settings.request_timeout(Some(Duration::from_mins(1))).connect().unwrap();
    let (key, value) = (b"key".as_slice(), vec![b'x'; 10 * 1024]);
    let commands = (0..count).map(|i| match i % 2 {
        0 => Command::Put(Put { key, value: &value, ..Put::default() }),
        _ => Command::Get { key, meta: false },
    });
    let (mut answered, start) = (0, Instant::now());
    client
        .run(commands, |index, result| {
            assert_eq!(index, answered);
            match result {
                Ok(ReplyRef::Done) => assert_eq!(index % 2, 0),
                Ok(ReplyRef::Value(bytes)) => assert!(index % 2 == 1 && bytes == value),
                other => panic!("{other:?}"),
            }
            answered += 1;
        })
        .unwrap();
    assert_eq!(answered, count);
    let bytes = (count / 2 * value.len()) as u64;
    assert!(client.pool_stats().bytes_out > bytes && client.pool_stats().bytes_in > bytes);
    println!("{count} commands in {:?}, at most {} KiB of memory", start.elapsed(), peak_memory_kib());
    assert!(peak_memory_kib() < 64 * 1024, "{} KiB", peak_memory_kib());
}

fn over_unix(count: usize) {
    let store = Mutex::new(Store::default());
    let path = serve_unix("full", move |stream| {
        shrink(stream, LEAST);
        serve_client(stream, &store);
    });
    let settings = Client::builder().addr(format!("unix://{}", path.display()));
    put_and_get(count, settings.socket_buffer_bytes(LEAST));
    std::fs::remove_file(path).unwrap();
}

/// Segments are of the size that they have on the way to other machines: one of loopback's does not fit into the buffer,
/// and the system goes on with it only by its timers.
fn over_tcp(count: usize, buffer_bytes: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).set_tcp_mss(536).unwrap();
    let store = Mutex::new(Store::default());
    let server = Server::script_on(listener, move |stream, _| {
        shrink(&stream, buffer_bytes);
        serve_client(&stream, &store);
    });
    put_and_get(count, server.builder().socket_buffer_bytes(buffer_bytes));
}

#[test]
fn full_socket_buffers_do_not_deadlock() {
    over_unix(20_000);
    over_tcp(200, LEAST);
}

/// `cargo test --release -p crabcache-client --test full_buffers -- --ignored --nocapture a_million`
#[test]
#[ignore = "takes minutes: cargo test -p crabcache-client --test full_buffers a_million -- --ignored"]
fn a_million_commands_through_full_socket_buffers() {
    over_unix(1_000_000);
    // With the least, TCP loses segments for which there is no room: milliseconds for each command.
    over_tcp(1_000_000, 4096);
}

/// Of the whole process: the server's is in it.
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

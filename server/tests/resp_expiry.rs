//! RESP commands about expiry answer as Redis 7 does, and what has expired is gone.

mod support;

use std::thread::sleep;
use std::time::Duration;

use support::{Client, start};

#[test]
fn expired_items_are_gone() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("SET short v PX 1000", "+OK\r\n");
    client.resp("PSETEX shorter 1000 v", "+OK\r\n");
    client.resp("SETEX long 100 v", "+OK\r\n");
    client.resp("GET short", "$1\r\nv\r\n");
    sleep(Duration::from_millis(1050));
    client.resp("GET short", "$-1\r\n");
    client.resp("EXISTS short shorter long", ":1\r\n");
    client.resp("TTL shorter", ":-2\r\n");
    client.resp("SET short w NX", "+OK\r\n");
    client.resp("TTL short", ":-1\r\n");
}

#[test]
fn expired_items_give_their_memory_back_unasked() {
    let server = start();
    let mut client = Client::new(&server);
    for i in 0..2000 {
        client.resp(&format!("SET key:{i} v PX 50"), "+OK\r\n");
    }
    client.resp("SET stays v", "+OK\r\n");
    for _ in 0..100 {
        sleep(Duration::from_millis(100));
        client.send(support::resp(&[b"DBSIZE"]));
        if client.line() == ":1" {
            return;
        }
    }
    panic!("expired items still count after 10 s");
}

#[test]
fn times_to_live_are_told() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("SET k v EX 100", "+OK\r\n");
    client.resp("TTL k", ":100\r\n");
    client.resp("TTL none", ":-2\r\n");
    client.resp("PTTL none", ":-2\r\n");
    client.resp("SET k v2 KEEPTTL", "+OK\r\n");
    client.resp("TTL k", ":100\r\n");
    client.resp("SET k v3", "+OK\r\n");
    client.resp("TTL k", ":-1\r\n");
    client.resp("PTTL k", ":-1\r\n");
    client.resp("EXPIRETIME k", ":-1\r\n");
    client.resp("EXPIREAT k 33177117420", ":1\r\n");
    client.resp("EXPIRETIME k", ":33177117420\r\n");
    client.resp("PEXPIRETIME k", ":33177117420000\r\n");
    client.resp("PEXPIREAT k 33177117421000", ":1\r\n");
    client.resp("EXPIRETIME k", ":33177117421\r\n");
    client.resp("EXPIRETIME none", ":-2\r\n");
    client.resp("APPEND k x", ":3\r\n");
    client.resp("EXPIRETIME k", ":33177117421\r\n");
    client.resp("PERSIST k", ":1\r\n");
    client.resp("PERSIST k", ":0\r\n");
    client.resp("PERSIST none", ":0\r\n");
    client.resp("GETEX k EX 50", "$3\r\nv3x\r\n");
    client.resp("TTL k", ":50\r\n");
    client.resp("GETEX k", "$3\r\nv3x\r\n");
    client.resp("TTL k", ":50\r\n");
    client.resp("GETEX k PERSIST", "$3\r\nv3x\r\n");
    client.resp("TTL k", ":-1\r\n");
    client.resp("GETEX none EX 50", "$-1\r\n");
    client.resp("SET n 1 EX 70", "+OK\r\n");
    client.resp("INCR n", ":2\r\n");
    client.resp("TTL n", ":70\r\n");
}

#[test]
fn expire_takes_its_conditions() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("EXPIRE none 10", ":0\r\n");
    client.resp("SET k v", "+OK\r\n");
    client.resp("EXPIRE k 100 XX", ":0\r\n");
    client.resp("EXPIRE k 100 GT", ":0\r\n");
    client.resp("EXPIRE k 100 XX LT", ":0\r\n");
    client.resp("EXPIRE k 100 NX", ":1\r\n");
    client.resp("EXPIRE k 200 NX", ":0\r\n");
    client.resp("EXPIRE k 50 GT", ":0\r\n");
    client.resp("EXPIRE k 200 GT", ":1\r\n");
    client.resp("EXPIRE k 300 LT", ":0\r\n");
    client.resp("EXPIRE k 150 XX LT", ":1\r\n");
    client.resp("PEXPIRE k 100000", ":1\r\n");
    client.resp("TTL k", ":100\r\n");
    client.resp(
        "EXPIRE k 10 NX GT",
        "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n",
    );
    client.resp("EXPIRE k 10 GT LT", "-ERR GT and LT options at the same time are not compatible\r\n");
    client.resp("EXPIRE k 10 ZZ", "-ERR Unsupported option ZZ\r\n");
    client.resp("EXPIRE k x", "-ERR value is not an integer or out of range\r\n");
    client.resp("EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
    client.resp("EXPIRE k -1", ":1\r\n");
    client.resp("EXISTS k", ":0\r\n");
    client.resp("SET k v PXAT 1", "+OK\r\n");
    client.resp("GET k", "$-1\r\n");
}

//! Whom the client does not get to talk to, and what it says then.

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use crabcache_client::{Client, Error};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use support::cache::Cache;

#[test]
fn servers_of_other_protocols_are_told_at_once() {
    for (listen, first) in [("resp://127.0.0.1:0", b'-'), ("memcache://127.0.0.1:0", b'E')] {
        let cache = Cache::listening(listen);
        // Waiting for the end of the time would be the failure.
        let builder = cache.builder().connect_timeout(Duration::from_mins(1));
        assert_eq!(builder.connect().unwrap_err(), Error::NotNative(first), "{listen}");
    }
}

#[test]
fn names_without_an_address_are_told_from_servers_that_are_away() {
    let error = Client::connect("nobody.invalid:7001").unwrap_err();
    assert!(matches!(&error, Error::Lookup(why) if !why.is_empty()), "{error}");
    assert!(error.to_string().starts_with("cannot look up the host: "), "{error}");
}

/// The system lets connecting wait until there is room in the server's queue.
#[test]
fn a_unix_socket_that_nobody_accepts_on_has_a_connect_timeout() {
    let path = std::env::temp_dir().join(format!("crabcache-client-{}-queue.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    let builder = Client::builder().addr(format!("unix://{}", path.display())).hello(false);
    let builder = builder.connect_timeout(Duration::from_millis(50));
    let mut waiting = Vec::new();
    let error = loop {
        assert!(waiting.len() < 10, "the queue has no end");
        match builder.clone().connect() {
            Ok(client) => waiting.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::Connect(ErrorKind::TimedOut));
    std::fs::remove_file(path).unwrap();
}

//! Whom the client does not get to talk to, and what it says then.

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use crabcache_client::{Client, Error};
use support::FullQueue;
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
    let queue = FullQueue::new("queue");
    let builder = Client::builder().addr(queue.addr()).connect_timeout(Duration::from_millis(50));
    assert_eq!(builder.connect().unwrap_err(), Error::Connect(ErrorKind::TimedOut));
}

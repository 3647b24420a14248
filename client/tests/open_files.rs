//! A process that may open no more files: that is told, and not that the server is down. Its limit is that of all threads, so
//! this test is alone.

mod support;

use crabcache_client::Error;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::Server;

#[test]
fn a_process_without_files_left_is_told() {
    let server = Server::start();
    let client = server.builder().build().unwrap();
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).unwrap();
    let refused = [client.ping(), client.ping()];
    setrlimit(Resource::Nofile, before).unwrap();
    assert_eq!(refused, [Err(Error::TooManyFiles), Err(Error::TooManyFiles)]);
    client.ping().unwrap();
}

//! Several servers: each key has its place, and one that fails costs the others nothing.

mod support;

use std::io::Read;
use std::process::Command;
use std::time::{Duration, Instant};

use crabcache_client::{Client, Cluster, CommandError, Error};
use support::Server;

const MS: Duration = Duration::from_millis(1);

fn keys_of<'k>(cluster: &Cluster, keys: &'k [String], server: &Server) -> Vec<&'k String> {
    let addr = server.addr.to_string();
    let client = cluster.nodes().find(|(name, _)| *name == addr).unwrap().1;
    keys.iter().filter(|key| std::ptr::eq(cluster.node_of(key), client)).collect()
}

#[test]
fn keys_are_spread_and_found_again() {
    let servers: Vec<Server> = (0..3).map(|_| Server::start()).collect();
    let names: Vec<String> = servers.iter().map(|server| server.addr.to_string()).collect();
    let weights = [1.0, 2.0, 1.0];
    let nodes = names.iter().map(String::as_str).zip(weights);
    let cluster = Cluster::new(&Client::builder(), nodes).unwrap();
    let pairs: Vec<(String, String)> = (0..3000).map(|i| (format!("key{i}"), format!("value{i}"))).collect();
    assert!(cluster.put_many(&pairs, None).iter().all(Result::is_ok));
    let keys: Vec<&String> = pairs.iter().map(|(key, _)| key).collect();
    for (found, (key, value)) in cluster.get_many(&keys).into_iter().zip(&pairs) {
        assert_eq!(found.unwrap().unwrap(), value.as_bytes());
        assert_eq!(cluster.node_of(key).get(key).unwrap().unwrap(), value.as_bytes());
    }
    let shares: Vec<usize> =
        cluster.nodes().map(|(_, client)| client.stats().unwrap()[0].1.parse().unwrap()).collect();
    assert_eq!(shares.iter().sum::<usize>(), 3000);
    assert!(shares[1] > 1300 && shares[1] < 1700, "{shares:?}");

    cluster.put("one", "1").unwrap();
    assert_eq!(cluster.get("one").unwrap().unwrap(), b"1");
    assert!(cluster.del("one").unwrap());
    // No node is to blame for this one.
    let too_large = Err(Error::Command(CommandError::TooLarge));
    assert_eq!(cluster.put("large", vec![0; (1 << 20) + 1]), too_large);
    assert_eq!(cluster.get_many::<&str>(&[]).len(), 0);
}

/// One node is gone, one takes connections and is silent: their keys fail, soon at once, the others are served.
#[test]
fn a_failing_node_does_not_slow_the_others() {
    let well = Server::start();
    let mut gone = Server::start();
    let silent = Server::script(|mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let names = [&well, &gone, &silent].map(|server| server.addr.to_string());
    let settings = Client::builder()
        .hello(false)
        .request_timeout(Some(1000 * MS))
        .timeouts_max(3)
        .backoff(Duration::from_mins(2), Duration::from_mins(2));
    let cluster = Cluster::new(&settings, names.iter().map(|name| (name.as_str(), 1.0))).unwrap();
    gone.stop();
    let keys: Vec<String> = (0..300).map(|i| format!("key{i}")).collect();
    let [of_well, of_gone, of_silent] =
        [&well, &gone, &silent].map(|server| keys_of(&cluster, &keys, server));
    assert!(of_well.len() > 50 && of_gone.len() > 50 && of_silent.len() > 50);

    for key in &of_well {
        cluster.put(key, key).unwrap();
    }
    // The node's name and its error.
    let failure = |error: Error| match error {
        Error::Node { name, error } => (name, *error),
        other => panic!("{other} names no node"),
    };
    let (name, error) = failure(cluster.get(of_gone[0]).unwrap_err());
    assert!(name == names[1] && matches!(error, Error::Connect(_)), "{name}: {error}");
    for _ in 0..3 {
        let error = cluster.get(of_silent[0]).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: no answer in time", names[2]));
        assert!(error.is_retryable() && error.may_have_executed() && !error.keeps_connection());
    }
    let start = Instant::now();
    for _ in 0..5 {
        for (key, result) in keys.iter().zip(cluster.get_many(&keys)) {
            if of_well.contains(&key) {
                assert_eq!(result.unwrap().unwrap(), key.as_bytes());
            } else {
                let (name, error) = failure(result.unwrap_err());
                assert_eq!(name, names[if of_gone.contains(&key) { 1 } else { 2 }]);
                assert!(matches!(error, Error::Down { .. }), "{error}");
            }
        }
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}: a timeout was waited for each time",
        start.elapsed()
    );
}

const ADDRS: &str = "CRABCACHE_TEST_NODES";

#[test]
#[ignore = "it is what the next test starts in a process of its own"]
fn asker_without_threads() {
    let Ok(addrs) = std::env::var(ADDRS) else { return };
    assert!(std::thread::Builder::new().spawn(|| ()).is_err(), "there are threads");
    let cluster = Cluster::new(&Client::builder(), addrs.split(' ').map(|addr| (addr, 1.0))).unwrap();
    let pairs: Vec<_> = (0..30).map(|i| (format!("key{i}"), "value")).collect();
    assert!(cluster.put_many(&pairs, None).iter().all(Result::is_ok));
    let keys: Vec<_> = pairs.iter().map(|(key, _)| key).collect();
    assert!(cluster.get_many(&keys).into_iter().all(|found| found.unwrap().unwrap() == b"value"));
}

#[test]
fn all_nodes_are_asked_where_no_thread_can_be_had() {
    let servers: Vec<Server> = (0..3).map(|_| Server::start()).collect();
    let addrs = servers.iter().map(|server| server.addr.to_string()).collect::<Vec<_>>().join(" ");
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "asker_without_threads", "--ignored", "--nocapture"]).env(ADDRS, addrs);
    // No thread can have a stack of this size.
    let status = process.env("RUST_MIN_STACK", (1_u64 << 60).to_string()).status().unwrap();
    assert!(status.success());
}

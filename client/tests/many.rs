//! Several keys in a call, and walks over keys. Against the real server.

mod support;

use std::collections::HashSet;
use std::time::Duration;

use crabcache_client::CommandError;
use support::cache::Cache;

#[test]
fn put_many_and_get_many_agree_whatever_the_sizes() {
    let cache = Cache::start();
    let client = cache.client();
    let pairs: Vec<(String, Vec<u8>)> =
        (0..1000_usize).map(|i| (format!("key{i}"), vec![i as u8; (i * i * i) % 50_000])).collect();
    let stored = client.put_many(&pairs[..400], Some(Duration::from_mins(1))).unwrap();
    assert_eq!(stored, vec![Ok(()); 400]);
    let keys: Vec<&String> = pairs.iter().map(|(key, _)| key).collect();
    let values = client.get_many(&keys).unwrap();
    for (i, (value, (_, expected))) in values.iter().zip(&pairs).enumerate() {
        assert!(value.as_ref() == (i < 400).then_some(expected), "{i}");
    }
    assert!(client.get_item("key7").unwrap().unwrap().ttl.is_some());
    assert_eq!(client.put_many::<&str, &str>(&[], None).unwrap(), []);
    assert_eq!(client.pool_stats().misses, 1);
}

#[test]
fn a_refused_pair_takes_nothing_from_the_others() {
    let cache = Cache::start();
    let client = cache.client();
    let unsendable = "k".repeat(70_000);
    let mut pairs = vec![("a", "1"), (&unsendable, "2"), ("c", "3")];
    let expected = vec![Ok(()), Err(CommandError::KeyTooLong), Ok(())];
    assert_eq!(client.put_many(&pairs, None).unwrap(), expected);
    assert_eq!(client.get_many(&["a", "c"]).unwrap(), [Some(b"1".to_vec()), Some(b"3".to_vec())]);

    let huge = "v".repeat(15 << 20);
    pairs[1] = ("b", &huge);
    let results = client.put_many(&pairs, None).unwrap();
    assert_eq!(results, [Ok(()), Err(CommandError::TooLarge), Ok(())]);
    assert_eq!(client.get("b").unwrap(), None);
}

#[test]
fn scan_finds_every_key_of_its_prefix() {
    let cache = Cache::start();
    let client = cache.client();
    let pairs: Vec<(String, &str)> =
        (0..5000).map(|i| (format!("{}:{i}", if i % 2 == 0 { "even" } else { "odd" }), "v")).collect();
    assert!(client.put_many(&pairs, None).unwrap().iter().all(Result::is_ok));
    let found: HashSet<Vec<u8>> = client.scan("even:").collect::<Result<_, _>>().unwrap();
    let expected: HashSet<Vec<u8>> = (0..5000).step_by(2).map(|i| format!("even:{i}").into_bytes()).collect();
    assert!(found == expected);
    assert_eq!(client.scan("").map(Result::unwrap).collect::<HashSet<_>>().len(), 5000);
    assert_eq!(client.scan("neither").count(), 0);
}

#[test]
fn long_keys_are_asked_for_in_lists_that_the_server_takes() {
    let cache = Cache::start();
    let client = cache.client();
    let keys: Vec<Vec<u8>> = (0..40).map(|i| vec![b'a' + i; 60_000]).collect();
    client.put(&keys[39], "v").unwrap();
    let found = client.get_many(&keys).unwrap();
    assert_eq!((found.len(), found[38].as_deref(), found[39].as_deref()), (40, None, Some(&b"v"[..])));
}

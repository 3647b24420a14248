//! What pipelines and single calls promise, against a server that behaves well but takes its time to read.

mod support;

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crabcache_client::{Client, CommandError, Condition, Error, Item, PutOptions, Reply, ReplyRef};
use support::{Server, Store, serve_client, serve_unix};

fn value(text: &str) -> Reply {
    Reply::Value(text.as_bytes().to_vec())
}

#[test]
fn every_call_answers() {
    let server = Server::start();
    let client = server.client();
    client.ping().unwrap();
    let hello = client.hello().unwrap();
    assert_eq!((hello.version, hello.key_len_max, hello.server.as_str()), (1, 250, "test/1"));

    assert_eq!(client.get("a").unwrap(), None);
    client.put("a", "1").unwrap();
    assert_eq!(client.get("a").unwrap().unwrap(), b"1");
    let mut out = vec![9; 3];
    assert!(client.get_into("a", &mut out).unwrap());
    assert_eq!(out, b"1");
    assert!(!client.get_into("absent", &mut out).unwrap());
    assert!(out.is_empty());

    let absent = PutOptions::new().condition(Condition::Absent).ttl(Duration::from_secs(90)).flags(7);
    assert!(!client.put_with("a", "2", absent).unwrap());
    assert!(client.put_with("b", "2", absent).unwrap());
    let Item { value, version, flags, ttl } = client.get_item("b").unwrap().unwrap();
    assert_eq!((value.as_slice(), flags), (&b"2"[..], 7));
    assert!(ttl.unwrap() > Duration::from_secs(80));
    assert!(
        client
            .put_with("b", "3", PutOptions::new().condition(Condition::Version(version)).keep_ttl())
            .unwrap()
    );
    assert!(!client.put_with("b", "4", PutOptions::new().condition(Condition::Version(version))).unwrap());
    let item = client.get_item("b").unwrap().unwrap();
    assert!(item.ttl.is_some() && item.value == b"3");
    assert!(!client.del_version("b", version).unwrap());
    assert!(client.touch("b", None).unwrap());
    assert_eq!(client.get_item("b").unwrap().unwrap().ttl, None);
    assert!(!client.touch("absent", Some(Duration::from_secs(1))).unwrap());
    assert!(client.del_version("b", item.version).unwrap());

    assert_eq!(client.incr("n", 5).unwrap(), 5);
    assert_eq!(client.incr("n", -7).unwrap(), -2);
    assert_eq!(client.incr_or("m", 1, 100).unwrap(), 100);
    assert_eq!(client.incr_existing("absent", 1).unwrap(), None);
    assert_eq!(client.append("s", "lo").unwrap(), 2);
    assert_eq!(client.prepend("s", "hel").unwrap(), 5);
    assert_eq!(client.get("s").unwrap().unwrap(), b"hello");
    assert_eq!(
        client.get_many(&["a", "absent", "s"]).unwrap(),
        [Some(b"1".to_vec()), None, Some(b"hello".to_vec())]
    );
    assert!(client.del("s").unwrap());
    assert!(!client.del("s").unwrap());
    assert_eq!(client.stats().unwrap(), [("items".to_owned(), "3".to_owned())]);
    client.flush().unwrap();
    assert_eq!(client.get("a").unwrap(), None);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn answers_are_in_order_and_failures_cost_only_themselves() {
    let server = Server::start();
    let client = server.client();
    let (long_key, unsendable, too_large) = (vec![b'k'; 251], vec![b'k'; 70_000], vec![0; (1 << 20) + 1]);
    let keys: &[&[u8]] = &[b"a", b"x"];
    let results = client
        .pipeline()
        .get(&unsendable)
        .put("a", "1")
        .put("big", &too_large)
        .get("a")
        .get(&long_key)
        .incr("n", 3)
        .put("text", "abc")
        .incr("text", 1)
        .get(&unsendable)
        .put_with("a", "2", PutOptions::new().condition(Condition::Absent))
        .del("a")
        .del("a")
        .append("text", "def")
        .get("text")
        .mget(keys)
        .ping()
        .execute()
        .unwrap();
    let expected = vec![
        Err(CommandError::KeyTooLong),
        Ok(Reply::Done),
        Err(CommandError::TooLarge),
        Ok(value("1")),
        Err(CommandError::KeyTooLong),
        Ok(Reply::Number(3)),
        Ok(Reply::Done),
        Err(CommandError::NotANumber),
        Err(CommandError::KeyTooLong),
        Ok(Reply::NotStored),
        Ok(Reply::Done),
        Ok(Reply::Miss),
        Ok(Reply::Length(6)),
        Ok(value("abcdef")),
        Ok(Reply::Values(vec![Ok(None), Ok(None)])),
        Ok(Reply::Pong(Vec::new())),
    ];
    assert_eq!(results, expected);
    assert_eq!(client.put("big", &too_large), Err(Error::Command(CommandError::TooLarge)));
    assert_eq!(client.get(&unsendable), Err(Error::Command(CommandError::KeyTooLong)));
    assert_eq!(client.pipeline().execute().unwrap(), []);
    assert_eq!(server.accepted(), 1, "none of these errors costs the connection");
    assert_eq!(client.pool_stats().broken, 0);
}

/// More commands than there are opaque numbers, and windows of every kind.
#[test]
fn long_pipelines_keep_their_order() {
    let server = Server::start();
    let client = server.builder().window_bytes(2000).connect().unwrap();
    let mut pipeline = client.pipeline();
    for _ in 0..150_000 {
        pipeline.incr("n", 1);
    }
    let mut next = 1;
    pipeline
        .execute_with(|index, result| {
            assert!(matches!(result, Ok(ReplyRef::Number(n)) if n == next && index as i64 + 1 == n));
            next += 1;
        })
        .unwrap();
    assert_eq!(next, 150_001);
}

#[test]
fn windows_and_values_of_all_sizes_arrive_whole() {
    let server = Server::start();
    let bytes: Vec<u8> = (0..300_000_u32).map(|i| (i / 3) as u8).collect();
    let lens = [0, 1, 511, 512, 513, 4096, 16_383, 16_384, 16_385, 70_000, 299_999];
    let names: Vec<String> = lens.iter().map(ToString::to_string).collect();
    for window_bytes in [0, 5000, 64 * 1024, usize::MAX] {
        let client = server.builder().window_bytes(window_bytes).connect().unwrap();
        let mut pipeline = client.pipeline();
        for _ in 0..5 {
            for (name, len) in names.iter().zip(lens) {
                pipeline.put(name, &bytes[..len]).get(name);
            }
        }
        let results = pipeline.execute().unwrap();
        assert_eq!(results.len(), 110);
        for (i, pair) in results.chunks(2).enumerate() {
            assert_eq!(pair[0], Ok(Reply::Done));
            assert!(matches!(&pair[1], Ok(Reply::Value(value)) if *value == bytes[..lens[i % 11]]));
        }
    }
}

#[test]
fn get_many_keys_asks_again_for_what_was_left_out() {
    let server = Server::start();
    server.store.lock().unwrap().mget_body_max = 5000;
    let client = server.client();
    let keys: Vec<String> = (0..500).map(|i| format!("key{i}")).collect();
    let values: Vec<Option<Vec<u8>>> = (0..500).map(|i| (i % 3 != 0).then(|| vec![b'v'; i])).collect();
    let mut pipeline = client.pipeline();
    for (key, value) in keys.iter().zip(&values) {
        if let Some(value) = value {
            pipeline.put(key, value);
        }
    }
    assert!(pipeline.execute().unwrap().iter().all(|result| *result == Ok(Reply::Done)));
    assert!(client.get_many(&keys).unwrap() == values);
    assert_eq!(client.get_many::<&str>(&[]).unwrap(), Vec::<Option<Vec<u8>>>::new());
}

#[test]
fn one_client_serves_many_threads() {
    fn is_shared<T: Send + Sync + Clone + 'static>(_: &T) {}
    let server = Server::start();
    let client = server.builder().connections_max(3).connect().unwrap();
    is_shared(&client);
    thread::scope(|scope| {
        for t in 0..8 {
            let client = client.clone();
            scope.spawn(move || {
                for i in 0..200 {
                    let key = format!("{t}.{i}");
                    client.put(&key, &key).unwrap();
                    assert_eq!(client.get(&key).unwrap().unwrap(), key.as_bytes());
                    client.incr("total", 1).unwrap();
                }
            });
        }
    });
    assert_eq!(client.incr("total", 0).unwrap(), 1600);
    assert!(server.accepted() <= 3);
}

#[test]
fn unix_sockets_work() {
    let store = Mutex::new(Store::default());
    let path = serve_unix("works", move |stream| serve_client(stream, &store));
    let client = Client::connect(&format!("unix://{}", path.display())).unwrap();
    client.put("k", "v").unwrap();
    assert_eq!(client.get("k").unwrap().unwrap(), b"v");
    std::fs::remove_file(&path).unwrap();
}

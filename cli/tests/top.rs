//! `top`, natively and by MONITOR.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use support::cache::Cache;
use support::outcome;

#[test]
fn the_keys_that_are_asked_for_most_come_first() {
    let cache = Cache::start();
    let mut stream = TcpStream::connect(cache.addr).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                stream.write_all(b"GET hot\r\nSTRLEN hot\r\nGET cold\r\n").unwrap();
                let mut answers = [0; b"$-1\r\n:0\r\n$-1\r\n".len()];
                stream.read_exact(&mut answers).unwrap();
            }
        });
        // A sample is short: one that finds the other thread asleep sees nothing.
        let hottest = ["", "redis://"].map(|scheme| {
            let addr = format!("{scheme}{}", cache.addr);
            (0..100).find_map(|_| {
                let out = outcome(&addr, &["--json", "top", "--keys", "1"], "").1;
                serde_json::from_str::<Value>(&out).ok().filter(|hottest| !hottest["key"].is_null())
            })
        });
        stop.store(true, Ordering::Relaxed);
        for hottest in hottest {
            let hottest = hottest.expect("no request was seen");
            assert_eq!(hottest["key"], "hot");
            assert!(
                hottest["share"].as_f64() > Some(0.5) && hottest["per_second"].as_f64() > Some(0.0),
                "{hottest}"
            );
        }
    });
}

#[test]
fn where_nothing_is_asked_for_that_is_said() {
    let cache = Cache::start();
    for scheme in ["", "redis://"] {
        let addr = format!("{scheme}{}", cache.addr);
        let shown = outcome(&addr, &["top", "--watch", "--count", "2", "--interval", "100ms"], "").1;
        assert_eq!(shown, "no key was asked for in 0.1 s\n".repeat(2));
        let shown = outcome(&addr, &["--json", "top"], "").1;
        assert_eq!(shown, "{\"key\":null,\"per_second\":0,\"seen\":0,\"share\":0}\n");
    }
}

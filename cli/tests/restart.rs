//! A session outlives its server. In a program of its own: a child that another test has just forked may still hold the
//! socket of a stopped server.

mod support;

use std::io::{BufRead, BufReader, Write};

use support::cache::{Cache, own_address};
use support::program;

#[test]
fn sessions_outlive_the_server() {
    for scheme in ["", "redis://"] {
        let mut cache = Cache::start_at(own_address());
        let addr = cache.addr;
        let mut child = program(&format!("{scheme}{addr}"), &[]).spawn().unwrap();
        let (mut input, mut output) =
            (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut count = |input: &mut dyn Write| {
            input.write_all(b"incr n\n").unwrap();
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            line
        };
        assert_eq!((count(&mut input).as_str(), count(&mut input).as_str()), ("1\n", "2\n"));
        let watch = ["stats", "--watch", "--interval", "100ms"];
        let mut watch = program(&format!("{scheme}{addr}"), &watch).spawn().unwrap();
        let mut looks = BufReader::new(watch.stdout.take().unwrap()).lines();
        assert!(looks.nth(1).unwrap().unwrap().contains('-'), "the first look");
        cache.stop();
        let mut missed = BufReader::new(watch.stderr.take().unwrap()).lines();
        let missed = missed.next().unwrap().unwrap();
        assert!(missed.starts_with(&format!("crabcache-cli: {addr}: ")), "{missed}");
        watch.kill().unwrap();
        watch.wait().unwrap();
        input.write_all(b"get n\n").unwrap();
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        assert!(line.starts_with("line 3: ") && line.contains(&addr.to_string()), "{line}");
        let again = Cache::start_at(addr);
        assert_eq!(count(&mut input), "1\n", "a new server has nothing");
        drop(input);
        assert_eq!(child.wait().unwrap().code(), Some(3));
        drop(again);
    }
}

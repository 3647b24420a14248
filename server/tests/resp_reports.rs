//! What the server tells about its commands, and about what it has done.

mod support;

use std::collections::HashMap;
use std::io::Read;
use std::time::{Duration, Instant};

use support::{Client, Started, config, resp, start, start_with};

fn info(client: &mut Client, section: &str) -> String {
    client.send(resp(&[b"INFO", section.as_bytes()]));
    String::from_utf8(client.bulk()).unwrap()
}

/// The fields of a line such as `cmdstat_get:calls=1,usec=2`.
fn fields(text: &str, name: &str) -> HashMap<String, f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    let line = line.unwrap_or_else(|| panic!("{name} in {text}"));
    let pairs = line.split(',').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, number)| (name.to_owned(), number.parse().unwrap())).collect()
}

#[test]
fn commands_are_documented() {
    let server = start();
    let mut client = Client::new(&server);
    client.send(resp(&[b"HELLO", b"3"]));
    while client.line() != "*0" {}
    client.send(resp(&[b"COMMAND", b"COUNT"]));
    let count: usize = client.line()[1..].parse().unwrap();
    client.send(resp(&[b"COMMAND", b"DOCS"]));
    assert_eq!(client.line(), format!("%{count}"));
    drop(client);
    let mut client = Client::new(&server);
    client.send(resp(&[b"COMMAND", b"DOCS", b"expire", b"nope"]));
    client.expect("*2\r\n$6\r\nexpire\r\n*10\r\n$7\r\nsummary\r\n");
    assert!(!client.bulk().is_empty());
    client.expect(
        "$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$7\r\ngeneric\r\n$10\r\ncomplexity\r\n$4\r\nO(1)\r\n",
    );
    client.expect("$9\r\narguments\r\n*3\r\n*6\r\n$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n");
    client.expect(
        "$14\r\nkey_spec_index\r\n:0\r\n*4\r\n$4\r\nname\r\n$7\r\nseconds\r\n$4\r\ntype\r\n$7\r\ninteger\r\n",
    );
    client.expect("*8\r\n$4\r\nname\r\n$11\r\nnx_xx_gt_lt\r\n$4\r\ntype\r\n$5\r\noneof\r\n$5\r\nflags\r\n*1\r\n+optional\r\n");
    client.expect("$9\r\narguments\r\n*4\r\n*6\r\n$4\r\nname\r\n$2\r\nnx\r\n");
}

#[test]
fn what_can_be_asked_at_once_is_bounded() {
    let server = start();
    let mut client = Client::new(&server);
    for (command, what) in [
        (&[&b"LATENCY"[..], b"HISTOGRAM"][..], "commands"),
        (&[b"COMMAND", b"INFO"], "commands"),
        (&[b"CONFIG", b"GET"], "patterns"),
        (&[b"INFO"], "sections"),
        (&[b"COMMAND", b"GETKEYS", b"DEL"], "arguments"),
        (&[b"COMMAND", b"GETKEYSANDFLAGS", b"DEL"], "arguments"),
        (&[b"SCRIPT", b"EXISTS"], "scripts"),
        (&[b"CLIENT", b"LIST", b"ID"], "client IDs"),
    ] {
        let mut words = command.to_vec();
        words.resize(1025, b"client");
        client.check(resp(&words), format!("-ERR too many {what} at once\r\n"));
    }
}

/// Where the keys stand is found out in one walk over the arguments.
#[test]
fn keys_among_many_arguments_are_found_at_once() {
    let server = start();
    let mut client = Client::new(&server);
    let mut words: Vec<&[u8]> = vec![b"COMMAND", b"GETKEYS", b"SORT", b"from"];
    words.resize(1000, b"ASC");
    words.extend([&b"STORE"[..], b"to"]);
    client.check(resp(&words), "*2\r\n$4\r\nfrom\r\n$2\r\nto\r\n");
    // They are looked for, too, if a client keeps copies.
    client.resp("CLIENT TRACKING ON BCAST", "+OK\r\n");
    let words = [&words[2..], &vec![&b"ASC"[..]; 15_000]].concat();
    client.check(resp(&words), ":0\r\n");
}

#[test]
fn help_names_every_subcommand() {
    let server = start();
    let mut client = Client::new(&server);
    client.send(resp(&[b"CONFIG", b"HELP"]));
    assert_eq!(client.line(), "*11");
    assert_eq!(client.line(), "+CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let lines: Vec<String> = (0..10).map(|_| client.line()).collect();
    assert_eq!(lines[0], "+GET parameter...");
    assert_eq!(&lines[8..], ["+HELP", "+    Prints this help."]);
}

#[test]
fn calls_are_counted_and_timed() {
    let server = start();
    let mut client = Client::new(&server);
    client.resp("SET a 1", "+OK\r\n");
    for _ in 0..3 {
        client.resp("GET a", "$1\r\n1\r\n");
    }
    client.check("GET a\r\n", "$1\r\n1\r\n");
    client.resp("GET", "-ERR wrong number of arguments for 'get' command\r\n");
    client.resp("MGET a b", "*2\r\n$1\r\n1\r\n$-1\r\n");
    client.resp("EXPIRE a x", "-ERR value is not an integer or out of range\r\n");
    client.resp("CONFIG GET nothing", "*0\r\n");
    let text = info(&mut client, "commandstats");
    let count = |name, field| fields(&text, name)[field] as u64;
    for (field, calls) in [("calls", 4), ("rejected_calls", 1), ("failed_calls", 0)] {
        assert_eq!(count("cmdstat_get", field), calls, "{field}");
    }
    // The first turn of a worker is timed, so that the mean is known.
    assert!(fields(&text, "cmdstat_get")["usec_per_call"] > 0.0);
    assert_eq!(count("cmdstat_set", "calls"), 1);
    assert_eq!(count("cmdstat_mget", "calls"), 1);
    assert_eq!(count("cmdstat_config|get", "calls"), 1);
    assert_eq!(count("cmdstat_expire", "failed_calls"), 1);
    let text = info(&mut client, "errorstats");
    assert_eq!(fields(&text, "errorstat_ERR")["count"] as u64, 2);
    let text = info(&mut client, "latencystats");
    let get = fields(&text, "latency_percentiles_usec_get");
    assert!(get["p50"] > 0.0 && get["p99.9"] >= get["p50"]);
    client.send(resp(&[b"LATENCY", b"HISTOGRAM", b"mget"]));
    client.expect("*2\r\n$4\r\nmget\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:");
    client.line();
    client.expect(":1\r\n");
    // Each is told of once, however often it is asked for.
    client.send(resp(&[b"LATENCY", b"HISTOGRAM", b"mget", b"nope", b"MGET"]));
    client.expect("*2\r\n$4\r\nmget\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:");
    client.line();
    client.expect(":1\r\n");
    client.resp("CONFIG SET latency-tracking no", "+OK\r\n");
    client.resp("LATENCY HISTOGRAM mget", "*0\r\n");
    client.resp("CONFIG RESETSTAT", "+OK\r\n");
    let text = info(&mut client, "everything");
    assert!(
        !text.contains("cmdstat_get:") && !text.contains("errorstat_") && text.contains("keyspace_hits:0")
    );
    assert!(text.contains("connected_clients:1"));
}

#[test]
fn sections_of_info() {
    let server = start();
    let mut client = Client::new(&server);
    let usual = info(&mut client, "default");
    let heads =
        |text: &str| text.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert!(heads(&usual).contains(&"# Errorstats".to_owned()) && !usual.contains("# Commandstats"));
    let all = info(&mut client, "all");
    assert!(heads(&all).len() == heads(&usual).len() + 2 && all.contains("# Latencystats"));
    client.send(resp(&[b"INFO", b"cpu", b"Server"]));
    let two = String::from_utf8(client.bulk()).unwrap();
    assert_eq!(heads(&two), ["# Server", "# CPU"]);
}

#[test]
fn slow_requests_are_remembered() {
    let server = start();
    let mut client = Client::new(&server);
    // Else one that a busy machine makes slow is counted, too.
    client.resp("CONFIG SET slowlog-log-slower-than -1", "+OK\r\n");
    client.resp("CLIENT SETNAME me", "+OK\r\n");
    client.resp("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 2", "+OK\r\n");
    client.resp("CONFIG GET slowlog-log-slower-than", "*2\r\n$23\r\nslowlog-log-slower-than\r\n$1\r\n0\r\n");
    client.resp("KEYS nothing", "*0\r\n");
    client.resp("MGET a b", "*2\r\n$-1\r\n$-1\r\n");
    client.resp("CONFIG SET slowlog-log-slower-than -1", "+OK\r\n");
    client.resp("MGET a b c", "*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    client.resp("SLOWLOG LEN", ":2\r\n");
    client.send(resp(&[b"SLOWLOG", b"GET"]));
    client.expect("*2\r\n*6\r\n:3\r\n");
    for _ in 0..2 {
        assert!(client.line()[1..].parse::<u64>().unwrap() < u64::MAX);
    }
    client.expect("*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert!(String::from_utf8(client.bulk()).unwrap().starts_with("127.0.0.1:"));
    client.expect("$2\r\nme\r\n*6\r\n:2\r\n");
    for _ in 0..2 {
        client.line();
    }
    client.expect("*2\r\n$4\r\nKEYS\r\n$7\r\nnothing\r\n");
    client.bulk();
    client.expect("$2\r\nme\r\n");
    client.resp("SLOWLOG RESET", "+OK\r\n");
    client.resp("SLOWLOG LEN", ":0\r\n");
}

#[test]
fn settings_take_effect_while_the_server_runs() {
    let server: Started = start_with(support::Config { connections_max: 8, ..config() });
    let mut client = Client::new(&server);
    client.resp(
        "CONFIG SET maxclients 9",
        "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - more than the server was started for\r\n",
    );
    client.resp("CONFIG SET maxclients 1 timeout 0", "+OK\r\n");
    assert_eq!(Client::new(&server).rest_or_line(), "-ERR max number of clients reached");
    client.resp("CONFIG SET timeout 5 maxclients 0", "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between 1 and 4294967295 inclusive\r\n");
    client.resp("CONFIG GET timeout", "*2\r\n$7\r\ntimeout\r\n$1\r\n0\r\n");
    client.resp("CONFIG SET maxclients 8 timeout 1", "+OK\r\n");
    let mut idle = Client::new(&server);
    let since = Instant::now();
    assert_eq!(idle.0.read(&mut [0]).unwrap(), 0, "closed");
    assert!(since.elapsed() >= Duration::from_millis(900));
}

#[test]
fn uses_are_counted_and_idle_time_is_not() {
    let server = start_with(config());
    let mut client = Client::new(&server);
    client.resp("SET k v", "+OK\r\n");
    client.resp("OBJECT FREQ k", ":0\r\n");
    for _ in 0..5 {
        client.resp("GET k", "$1\r\nv\r\n");
    }
    client.resp("OBJECT FREQ k", ":3\r\n");
    client.send(resp(&[b"OBJECT", b"IDLETIME", b"k"]));
    assert!(client.line().starts_with("-ERR An LFU maxmemory policy is selected, idle time not tracked."));
    client.resp("OBJECT IDLETIME none", "$-1\r\n");
    client.resp("CONFIG GET maxmemory-policy", "*2\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lfu\r\n");
}

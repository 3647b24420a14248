//! The program as it is run: servers as processes of their own, the load generator against them, exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crabcache_bench::churn::{self, Side};
use crabcache_bench::draw::Distribution;
use crabcache_bench::load::address::Address;
use crabcache_bench::load::script::Items;
use crabcache_bench::load::sizes::Sizes;
use crabcache_bench::peers::peer::{Given, floor};
use crabcache_bench::peers::workload::{Shape, Workload};
use crabcache_bench::peers::{Options, measure};
use crabcache_server::{Config, Running, Server};

const PROGRAM: &str = env!("CARGO_BIN_EXE_crabcache-bench");

/// A floor that runs until the test is over.
struct Floor {
    child: Child,
    address: String,
}

impl Floor {
    fn start() -> Self {
        let mut command = Command::new(PROGRAM);
        let mut child =
            command.args(["floor", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Whether it has ended already does not matter.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn load(address: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["load", "--connect", address, "--warm-up", "0", "--connections", "3"]).args(arguments);
    command.output().unwrap()
}

#[test]
fn replay_tells_what_it_needs() {
    let replay = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).arg("replay").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = replay(&["Cargo.toml"]);
    assert!(code == Some(2) && text.contains("--connect <ADDR>|--engine"), "{text}");
    for file in ["Cargo.toml", "no such file"] {
        let (code, text) = replay(&[file, "--engine", "--capacity", "1m"]);
        assert!(code == Some(1) && text.contains(&format!("{file}: ")), "{text}");
    }
    let (_, text) = replay(&["Cargo.toml", "--engine", "--capacity", "1m"]);
    assert!(text.ends_with("Cargo.toml: not a trace, which is a zstd frame\n"), "{text}");
}

#[cfg(not(feature = "embed"))]
#[test]
fn what_a_build_leaves_out_is_told_with_how_to_have_it() {
    let output = Command::new(PROGRAM).arg("embed").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("`cargo build --release --features crabcache-bench/full`"), "{text}");
}

#[test]
fn load_prints_what_it_counted() {
    let floor = Floor::start();
    let pid = floor.child.id().to_string();
    let all =
        ["--items", "100", "--requests", "1000", "--depth", "4", "--ratio", "1:1", "--pid", &pid, "--json"];
    let output = load(&floor.address, &all);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["requests"], 1000);
    assert_eq!(json["hits"].as_u64().unwrap() + json["misses"].as_u64().unwrap(), 1000 - sets(&json));
    assert!(json["server_cpu_ns"].as_f64().unwrap() > 0.0);
    assert!(json["latency_us"]["max"].as_f64() >= json["latency_us"]["p50"].as_f64());
}

/// SETs, by what was received: `+OK\r\n` for each, and 39 bytes for a value of 32.
fn sets(json: &serde_json::Value) -> u64 {
    let (requests, bytes) = (json["requests"].as_u64().unwrap(), json["bytes_in"].as_u64().unwrap());
    (requests * 39 - bytes) / (39 - 5)
}

#[test]
fn load_does_not_take_canned_values_for_what_it_stored() {
    let output = load(&Floor::start().address, &["--items", "100", "--requests", "500", "--verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("WRONG            500 values"), "{output:?}");
}

#[test]
fn what_does_not_work_is_told() {
    let address = {
        let floor = Floor::start();
        floor.address.clone()
    };
    let output = load(&address, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("no connection to {address}")));
    let output = load(&address, &["--items", "1000", "--key", "2"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("need keys of at least 3 bytes"), "{output:?}");
    assert_eq!(load(&address, &["--protocol", "http"]).status.code(), Some(2));
    let output = load("redis://127.0.0.1:1", &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("expected HOST:PORT or unix:///PATH; --protocol chooses"), "{text}");
}

/// A server in this process, of one worker.
fn server(listen: &str, connections_max: usize) -> (Running, String) {
    let listen = vec![listen.parse().unwrap()];
    let memory_bytes = 8 << 20;
    let config = Config { listen, memory_bytes, workers: 1, connections_max, ..Config::default() };
    let running = Server::start(config).unwrap();
    let address = running.addresses()[0].to_string();
    let address = address.rsplit('/').next().unwrap().to_owned();
    (running, address)
}

#[test]
fn a_server_that_is_full_or_speaks_something_else_is_told_by_what_it_sent() {
    let (_running, address) = server("127.0.0.1:0", 1);
    for arguments in [&["--items", "100"][..], &["--ping"], &["--ping", "--rate", "10"]] {
        let output = load(&address, &[arguments, &["--requests", "1000"]].concat());
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("it had answered: -ERR max number of clients reached"), "{text}");
    }
    let (_running, address) = server("memcache://127.0.0.1:0", 10);
    let text = String::from_utf8(load(&address, &["--requests", "1000"]).stderr).unwrap();
    let told = format!("{address}: the server sent something that is no reply of this protocol: ERROR");
    assert!(text.contains(&told) && text.contains("; --protocol resp, memcache or native chooses"), "{text}");
}

#[test]
fn exit_codes_are_kept_where_nobody_reads_failures() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(PROGRAM);
    let status = command.args(["load", "--connect", "127.0.0.1:1"]).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

/// Unread requests make the system reset its connections.
#[test]
fn a_server_that_dies_under_load_is_named_with_how_far_it_came() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.read_exact(&mut [0; "*1\r\n$4\r\nPING\r\n".len()]).unwrap();
            stream.write_all(b"+PONG\r\n").unwrap();
            stream.peek(&mut [0]).unwrap();
        }
    });
    let output = load(&address, &["--ping", "--requests", "1000"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("{address}: the server closed a connection after ")), "{text}");
}

#[test]
fn what_cannot_start_is_named_and_leaves_nothing_behind() {
    let address = Floor::start();
    let run = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) = run(&["floor", "--listen", &address.address]);
    assert!(code == Some(1) && text.contains(&format!("--listen {}: ", address.address)), "{text}");
    let out = std::env::temp_dir().join(format!("crabcache-bench-out-{}", std::process::id()));
    let peers = ["--no-pinning", "--peer", "crabcache=/nowhere/server"];
    let (code, text) = run(&[&["peers", "--out", out.to_str().unwrap()][..], &peers].concat());
    assert!(code == Some(1) && text.contains("crabcache did not start: /nowhere/server: "), "{text}");
    assert!(!out.exists());
    let (code, text) = run(&[&["peers", "--out", "/dev/null/results"][..], &peers].concat());
    assert!(code == Some(1) && text.contains("crabcache-bench: /dev/null/results: "), "{text}");
}

#[test]
fn servers_are_measured_side_by_side() {
    let other: Given =
        format!("other={PROGRAM} floor --listen 127.0.0.1:{{port}} --value 100").parse().unwrap();
    let (mut peers, _) = crabcache_bench::peers::peer::find(&[other], PROGRAM.as_ref());
    peers.retain(|peer| peer.name == "other");
    peers.push(floor(PROGRAM.as_ref()));
    let workload = |text: &str| {
        let shape: Shape = text.parse().unwrap();
        let Shape { mix, depth } = shape;
        Workload { name: shape.name(), mix, depth, connections: 4, requests: 2000 }
    };
    let options = Options {
        peers,
        workloads: vec![workload("G1"), workload("M16")],
        rounds: 3,
        items: Items::new(500, Sizes::fixed(11), Sizes::fixed(100)).unwrap(),
        distribution: Distribution::Zipf(0.99),
        server_cpu: None,
        client_cpu: None,
        limit: Duration::from_mins(1),
    };
    let mut steps = Vec::new();
    let outcomes = measure(&options, &mut |step| steps.push(step.to_owned())).unwrap();
    assert_eq!(outcomes.iter().map(|outcome| outcome.name.as_str()).collect::<Vec<_>>(), ["other", "floor"]);
    for round in outcomes.iter().flat_map(|outcome| &outcome.rounds).flatten() {
        assert!(round.cpu_ns > 0.0 && round.per_second > 0.0 && round.misses == 0);
        assert!(round.latency_us.is_sorted() && round.latency_us[0] > 0.0);
    }
    assert!(outcomes.iter().all(|outcome| outcome.rounds.iter().all(|rounds| rounds.len() == 3)));
    assert_eq!(steps.len(), 2 + 3 * 2);
}

/// In this process, so that its memory counts for all of them.
#[test]
fn a_full_cache_under_churn_evicts_and_answers_beside_one_where_everything_fits() {
    const MIB: u64 = 8;
    let [mixed, fixed] = churn::items(MIB).unwrap();
    let start = |mib: u64| {
        let config = Config {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            memory_bytes: (mib << 20) as usize,
            workers: 1,
            ..Config::default()
        };
        Server::start(config).unwrap()
    };
    let (full, fitting) = (start(MIB), start(8 * MIB));
    let value_len = fixed.value_sizes.max() as usize;
    let mut floor =
        crabcache_bench::floor::Floor::bind("127.0.0.1:0".parse().unwrap(), 11, value_len).unwrap();
    let floor_address = Address::Tcp(floor.address().unwrap().to_string());
    std::thread::spawn(move || floor.serve());
    let address = |running: &Running| running.addresses()[0].to_string().parse::<Address>().unwrap();
    let pid = std::process::id();
    let sides = [
        Side::new("full", address(&full), pid, mixed.clone()),
        Side::new("fitting", address(&fitting), pid, mixed),
        Side::new("floor", floor_address, pid, fixed),
    ];
    let mut steps = 0;
    let report = churn::measure(&sides, MIB << 20, Duration::from_millis(1500), &mut |_| steps += 1).unwrap();
    assert_eq!((report.rounds, steps), (2, 3 + 2));
    for outcome in &report.outcomes {
        let tally = &outcome.tally;
        assert!(
            tally.requests > 0 && tally.errors == 0 && outcome.resident_max > 0,
            "{}\n{report}",
            outcome.name
        );
        assert_eq!(tally.requests, tally.hits + tally.misses + tally.done);
        assert_eq!(tally.requests, tally.latency.len());
    }
    let [full, fitting, floor] = &report.outcomes;
    assert!(full.tally.misses > fitting.tally.misses && floor.tally.misses == 0, "{report}");
}

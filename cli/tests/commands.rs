//! `crabcache-cli` as shell scripts see it: bytes out, exit codes. Against the real server.

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use support::cache::Cache;
use support::{cli, outcome, program};

#[test]
fn commands_print_and_exit_as_documented() {
    let cache = Cache::start();
    let addr = cache.addr.to_string();
    let run = |args: &[&str], stdin: &[u8]| {
        let output = cli(&addr, args, stdin);
        assert_eq!(output.stderr, b"", "{args:?}");
        (output.status.code().unwrap(), output.stdout)
    };
    let bytes = b"any\0bytes\xFF, no newline".as_slice();
    assert!(run(&["ping"], b"").1.starts_with(b"PONG "));
    assert_eq!(run(&["get", "k"], b""), (1, vec![]));
    assert_eq!(run(&["put", "k"], bytes), (0, vec![]));
    assert_eq!(run(&["get", "k"], b""), (0, bytes.to_vec()));
    assert_eq!(run(&["put", "k", "-"], b"x\n"), (0, vec![]));
    assert_eq!(run(&["get", "k"], b""), (0, b"x\n".to_vec()));
    assert_eq!(run(&["put", "file", "--file", "Cargo.toml"], b""), (0, vec![]));
    assert_eq!(run(&["get", "file"], b""), (0, include_bytes!("../Cargo.toml").to_vec()));
    assert_eq!(run(&["put", "k", "v", "--if-absent"], b""), (1, vec![]));
    assert_eq!(run(&["put", "new", "v", "--if-present"], b""), (1, vec![]));
    assert_eq!(run(&["put", "new", "v", "--if-absent", "--ttl", "1m"], b""), (0, vec![]));
    assert_eq!(run(&["append", "new", "w"], b""), (0, b"2\n".to_vec()));
    assert_eq!(run(&["mget", "new", "absent"], b""), (1, b"new\tvw\n".to_vec()));
    assert_eq!(run(&["incr", "n"], b""), (0, b"1\n".to_vec()));
    assert_eq!(run(&["incr", "n", "-5"], b""), (0, b"-4\n".to_vec()));
    assert_eq!(run(&["ttl", "n"], b""), (0, b"never\n".to_vec()));
    assert_eq!(run(&["touch", "n", "--ttl", "10s"], b""), (0, vec![]));
    let left = String::from_utf8(run(&["ttl", "n"], b"").1).unwrap();
    assert!(
        left.trim_end().strip_suffix("ms").is_some_and(|ms| (1..=10_000).contains(&ms.parse().unwrap())),
        "{left}"
    );
    assert_eq!(run(&["ttl", "absent"], b""), (1, vec![]));
    assert_eq!(run(&["touch", "absent"], b""), (1, vec![]));
    assert_eq!(run(&["scan", "--prefix", "ne"], b""), (0, b"new\n".to_vec()));
    assert_eq!(String::from_utf8(run(&["scan"], b"").1).unwrap().lines().count(), 4);
    let stats = String::from_utf8(run(&["stats"], b"").1).unwrap();
    assert!(stats.lines().any(|line| line == "items=4"), "{stats}");
    assert_eq!(run(&["del", "n", "absent"], b""), (1, b"1\n".to_vec()));
    assert_eq!(run(&["flush"], b""), (0, vec![]));
    assert_eq!(run(&["get", "k"], b""), (1, vec![]));
    assert_eq!(run(&["--addr", &addr, "del", "k"], b"").0, 1);
}

#[test]
fn an_address_without_anything_in_it_is_none() {
    // Nobody needs to listen there.
    let (code, _, err) = outcome("", &["ping"], "");
    assert!(code == 0 || code == 3 && err.starts_with("crabcache-cli: 127.0.0.1:7001: "), "{code} {err}");
    let (code, _, err) = outcome("127.0.0.1:1", &["--addr", "", "ping"], "");
    assert!(code == 2 && err.contains("not an address"), "{code} {err}");
}

/// As behind `2>&1 | head -1`.
#[test]
fn exit_codes_are_kept_where_nobody_reads_failures() {
    let code = |args: &[&str], stdin: &[u8]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = program("127.0.0.1:1", args).stderr(writer).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        child.wait().unwrap().code()
    };
    for json in [&[][..], &["--json"]] {
        assert_eq!(code(&[json, &["get", "k"]].concat(), b""), Some(3));
        assert_eq!(code(&[json, &["nonsense"]].concat(), b""), Some(2));
        assert_eq!(code(json, b"get k\nnonsense\nget \"k\n"), Some(3));
    }
}

#[test]
fn names_are_known_in_any_case_and_as_redis_has_them() {
    let cache = Cache::start();
    let addr = cache.addr.to_string();
    let run = |args: &[&str]| {
        let output = cli("nowhere:1", args, b"");
        assert_eq!(output.stderr, b"", "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["--addr", &addr, "set", "GET", "Paris"]);
    assert_eq!(run(&["--addr", &addr, "GET", "GET"]), "Paris");
    assert_eq!(run(&["IncrBy", "n", "5", "--addr", &addr]), "5\n");
    assert!(run(&["INFO", "--addr", &addr]).contains("items=2\n"));
    assert_eq!(run(&["--addr", &addr, "UNLINK", "n"]), "1\n");
    run(&["--addr", &addr, "FLUSHALL"]);
    assert_eq!(run(&["--addr", &addr, "SCAN"]), "");
    assert!(run(&["HELP", "SET"]).contains("Store a value"));
    let help = run(&["--help"]);
    assert!(help.contains("[alias: set]") && !help.contains("unlink"), "few aliases are shown");
    assert!(run(&["-V"]).contains("crabcache-cli"));
}

#[test]
fn json_is_an_object_a_line() {
    let cache = Cache::start();
    let addr = cache.addr.to_string();
    let run = |args: &[&str], stdin: &[u8]| {
        let output = cli(&addr, &[&["--json"], args].concat(), stdin);
        let lines = String::from_utf8(output.stdout).unwrap();
        let objects = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
        (output.status.code().unwrap(), objects)
    };
    let hit = json!({"found": true, "flags": 0, "ttl_ms": null, "key": "k", "value_hex": "ff00"});
    let miss = json!({"found": false, "key": "absent", "value": null});
    assert_eq!(run(&["put", "k"], b"\xFF\0"), (0, vec![json!({"stored": true})]));
    assert_eq!(run(&["get", "k"], b""), (0, vec![hit]));
    assert_eq!(run(&["get", "absent"], b""), (1, vec![miss.clone()]));
    assert_eq!(run(&["put", "k", "v"], b""), (0, vec![json!({"stored": true})]));
    let hit = json!({"found": true, "key": "k", "value": "v"});
    assert_eq!(run(&["mget", "k", "absent"], b""), (1, vec![hit, miss]));
    assert_eq!(run(&["put", "k", "v", "--if-absent"], b""), (1, vec![json!({"stored": false})]));
    assert_eq!(run(&["incr", "n"], b""), (0, vec![json!({"number": 1})]));
    assert_eq!(run(&["append", "k", "w"], b""), (0, vec![json!({"length": 2})]));
    assert_eq!(run(&["touch", "k"], b""), (0, vec![json!({"found": true})]));
    assert_eq!(run(&["ttl", "k"], b""), (0, vec![json!({"found": true, "key": "k", "ttl_ms": null})]));
    assert_eq!(run(&["scan", "--prefix", "k"], b""), (0, vec![json!({"key": "k"})]));
    assert_eq!(run(&["del", "k"], b""), (0, vec![json!({"removed": 1})]));
    assert!(run(&["ping"], b"").1[0]["ms"].as_f64().unwrap() > 0.0);
    assert_eq!(run(&["stats"], b"").1[0]["items"], json!(1));
    let looks = run(&["stats", "--watch", "--interval", "100ms", "--count", "3"], b"").1;
    assert_eq!(looks.len(), 3);
    assert!(looks[0]["commands"].as_u64() < looks[2]["commands"].as_u64());
}

/// The example of `del`, as help has it, in a shell.
#[test]
fn keys_with_blanks_can_be_removed_by_prefix() {
    let cache = Cache::start();
    let addr = cache.addr.to_string();
    for key in ["tmp:x y", "y", "tmp:'z", "tmp:"] {
        cli(&addr, &["put", key, "v"], b"");
    }
    let help = String::from_utf8(cli(&addr, &["del", "--help"], b"").stdout).unwrap();
    let example = help.lines().find(|line| line.contains("scan --prefix tmp: | ")).unwrap();
    let program = format!("'{}'", env!("CARGO_BIN_EXE_crabcache-cli"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &example.replace("crabcache-cli", &program)]).env("CRABCACHE_ADDR", &addr);
    let output = shell.output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"3\n"[..]), "{output:?}");
    assert_eq!(cli(&addr, &["scan"], b"").stdout, b"y\n");
}

#[test]
fn every_figure_is_explained() {
    let cache = Cache::start();
    let addr = cache.addr.to_string();
    let text = |args: &[&str]| String::from_utf8(cli(&addr, args, b"").stdout).unwrap();
    text(&["get", "k"]); // so that there is a latency
    let (stats, help) = (text(&["stats"]), text(&["stats", "--help"]));
    let explained: Vec<&str> = help.split([' ', ',', '\n']).collect();
    let names: Vec<&str> =
        stats.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert!(names.contains(&"limbo_bytes"), "{stats}");
    for name in names {
        assert!(explained.contains(&name), "{name} is not in {help}");
    }
    let words: Vec<&str> = help.split_whitespace().collect();
    assert!(words.join(" ").contains("p99 us*) is the server's own time"), "{help}");
}

#[test]
fn help_fits_a_terminal() {
    for command in ["put", "stats", "top", "bench", "completions"] {
        let help = String::from_utf8(cli("nowhere:1", &["help", command], b"").stdout).unwrap();
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
    let help = String::from_utf8(cli("nowhere:1", &["--help"], b"").stdout).unwrap();
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    assert!(help.contains("crab://") && help.contains(".local/state/crabcache/history"), "{help}");
}

/// What redis-cli takes is no success, and is told apart from help.
#[test]
fn habits_of_redis_cli_are_told_what_is_meant() {
    let told = |addr: &str, args: &[&str], tip: &str| {
        let (code, out, err) = outcome(addr, args, "");
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains(&format!("  tip: {tip}\n")), "{args:?}: {err}");
    };
    let host = "the server is named by --addr HOST:PORT";
    for args in [
        &["-h", "127.0.0.1", "-p", "7001", "ping"][..],
        &["--json", "-h", "127.0.0.1", "ping"][1..],
        &["-p", "7001", "ping"],
        &["-p", "7001"],
        &["--port", "7001", "--host", "127.0.0.1", "ping"],
        &["--host", "127.0.0.1", "ping"],
    ] {
        told("127.0.0.1:1", args, host);
    }
    let in_address =
        |part: &str, rest: &str| format!("the {part} stands in the address: --addr redis://{rest}");
    told("127.0.0.1:1", &["-n", "5", "get", "k"], &in_address("database", "HOST:PORT/N"));
    told("127.0.0.1:1", &["-a", "sesame", "ping"], &in_address("password", ":PASSWORD@HOST:PORT"));
    told("127.0.0.1:1", &["--pass", "sesame", "ping"], &in_address("password", ":PASSWORD@HOST:PORT"));
    for args in [&["-h"][..], &["-h", "put"], &["put", "-h"], &["-h", "--json"]] {
        assert_eq!(outcome("127.0.0.1:1", args, "").0, 0, "{args:?}");
    }
    let redis = "if it is a command of Redis: crabcache-cli --addr redis";
    told("127.0.0.1:1", &["dbsize"], &format!("{redis}://127.0.0.1:1 dbsize"));
    told("crab://[::1]:1", &["--json", "DECR", "k"][1..], &format!("{redis}://[::1]:1 decr"));
    told("unix:///run/c.sock", &["keys", "*"], &format!("{redis}+unix:///run/c.sock keys"));
    for args in [&["touch", "k", "5m"][..], &["put", "k", "v", "5m"]] {
        told("127.0.0.1:1", args, "a time to live stands behind --ttl: --ttl 5m");
    }
    let (_, _, err) = outcome("127.0.0.1:1", &["put", "k", "two", "words"], "");
    assert!(!err.contains("tip: "), "{err}");
    for args in [&["put", "k", "v", "--ttl", "-1"][..], &["touch", "k", "--ttl", "-1"]] {
        let (code, _, err) = outcome("127.0.0.1:1", args, "");
        assert!(code == 2 && err.contains("expected a number of seconds") && !err.contains("tip: "), "{err}");
    }
}

#[test]
fn a_full_server_is_told_in_words() {
    // One that has its most clients, in the protocol of who asks.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 1024]);
            let _ = stream.read(&mut request);
            let refusal: &[u8] = match request[0] {
                b'*' => b"-ERR max number of clients reached\r\n",
                _ => b"\xC2\x82\0\0\0\0\0\0",
            };
            let _ = stream.write_all(refusal);
        }
    });
    let (code, _, err) = outcome(&addr, &["ping"], "");
    assert!(code == 3 && err.contains("it has its most clients (--max-connections)"), "{code} {err}");
    let (code, _, err) = outcome(&format!("redis://{addr}"), &["ping"], "");
    assert!(code == 3 && err.contains("max number of clients reached"), "{code} {err}");
}

#[test]
fn watch_prints_a_line_for_each_look() {
    let cache = Cache::start();
    let args = ["stats", "--watch", "--interval", "100ms", "--count", "2"];
    let output = cli(&cache.addr.to_string(), &args, b"");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows.len(), rows[0][0], rows[1][0]), (3, "req/s", "-"), "{text}");
    // Its own looks are requests, too.
    assert!(rows[2][0].parse::<f64>().is_ok_and(|rate| rate > 0.0), "{text}");
    assert!(!text.contains('\x1b'), "nothing for terminals in a pipe");
}

#[test]
fn bench_measures_and_cleans_up() {
    let cache = Cache::start();
    let addr = cache.addr.to_string();
    cli(&addr, &["put", "mine", "v"], b"");
    let args = ["--json", "bench", "--time", "20ms", "--keys", "100", "--depth", "4", "--connections", "2"];
    let output = cli(&addr, &args, b"");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let commands: Vec<_> = lines.iter().map(|line| line["command"].as_str().unwrap()).collect();
    assert_eq!(commands, ["PUT", "GET"]);
    assert!(
        lines.iter().all(|line| line["requests"].as_u64() >= Some(8) && line["p99_us"].as_f64() > Some(1.0))
    );
    assert_eq!(cli(&addr, &["scan"], b"").stdout, b"mine\n");
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = cli("nowhere:1", &["completions", shell], b"");
        assert_eq!(output.status.code(), Some(0));
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("crabcache-cli") && script.contains("if-absent"), "{shell}");
    }
}

/// What bash offers for the last word of a line.
#[test]
fn bash_completes_what_follows_a_command() {
    let script = String::from_utf8(cli("nowhere:1", &["completions", "bash"], b"").stdout).unwrap();
    for (words, offered) in [
        ("sca", "scan\n"),
        ("scan --pre", "--prefix\n"),
        ("--json put k --if-p", "--if-present\n"),
        ("help to", "touch\ntop\n"),
        ("--po", "\n"),
    ] {
        let asked = format!(
            "{script}\nCOMP_WORDS=(crabcache-cli {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _crabcache__cli crabcache-cli \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"\ncomplete -p crabcache-cli >&2"
        );
        let output = Command::new("bash").args(["--norc", "-c", &asked]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), offered, "{words}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("-F _crabcache__cli"));
    }
}

#[test]
fn errors_have_codes_and_say_why() {
    let cache = Cache::start();
    let addr = cache.addr.to_string();
    let failed = |args: &[&str], code: i32| {
        let output = cli(&addr, args, b"");
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert_eq!(output.stdout, b"");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(failed(&["put", "k", "v", "--ttl", "soon"], 2).contains("10s"));
    assert!(failed(&["put", "k", "v", "--ttl", "0s"], 2).contains("at least a millisecond"));
    assert!(failed(&["put", "k", "v", "--ttl", "999999999999d"], 2).contains("too long"));
    assert!(failed(&["--timeout", "0s", "ping"], 2).contains("at least a millisecond"));
    assert!(failed(&["bench", "--time", "0s"], 2).contains("at least a millisecond"));
    assert!(failed(&["stats", "--watch", "--interval", "0s"], 2).contains("at least 100ms"));
    assert!(failed(&["nonsense"], 2).contains("nonsense"));
    assert!(failed(&["stat"], 2).contains("'stats'"), "it tells what may have been meant");
    assert!(failed(&["put", "k", "v", "--file", "Cargo.toml"], 2).contains("--file"));
    assert!(failed(&["--addr", "nonsense", "ping"], 2).contains("nonsense: not an address; expected "));
    assert!(failed(&["put", "k", "--file", "no such file"], 4).contains("no such file: No such file"));
    cli(&addr, &["put", "text", "abc"], b"");
    assert!(failed(&["incr", "text"], 4).contains("not a number"));
    assert!(failed(&["--addr", "nobody.invalid:1", "ping"], 3).contains("cannot look up the host"));
    let large = vec![b'x'; 8 << 20];
    let refused = cli(&addr, &["put", "large"], &large);
    assert_eq!(refused.status.code(), Some(4));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("8388613 bytes") && why.contains("at most "), "{why}");
    // Not the address of a stopped server: a child that another test has just forked may still hold its socket.
    assert!(
        failed(&["--addr", "unix:///nowhere/crab.sock", "get", "k"], 3).contains("there is no such socket")
    );

    let help = cli(&addr, &["--help"], b"");
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    let own = String::from_utf8(cli(&addr, &["put", "--help"], b"").stdout).unwrap();
    let at = |option: &str| own.find(option).unwrap();
    assert!(at("  --if-present") < at("  --addr"), "what belongs to the command comes first");
    assert!(help.contains("Examples:") && help.contains("Exit codes (") && help.contains("CRABCACHE_ADDR"));
}

#[test]
fn with_json_failures_are_objects_too() {
    let failure = |addr: &str, args: &[&str], code: i32| -> Value {
        let (found, out, err) = outcome(addr, args, "");
        assert_eq!((found, out.as_str()), (code, ""), "{err}");
        let failure: Value = serde_json::from_str(&err).unwrap();
        assert_eq!(failure["code"], json!(code));
        failure
    };
    let error = |failure: &Value| failure["error"].as_str().unwrap().to_owned();
    let nobody = "127.0.0.1:1";
    let absent = failure(nobody, &["--json", "get", "k"], 3);
    assert_eq!(absent, json!({"error": "cannot connect: connection refused", "code": 3, "addr": nobody}));
    assert!(error(&failure(nobody, &["get", "k", "--json"], 3)).contains("refused"));
    assert_eq!(failure("redis://127.0.0.1:1", &["--json", "get", "k"], 3), absent);
    assert_eq!(error(&failure(nobody, &["--json", "gte"], 2)), "unrecognized subcommand 'gte'");
    let missing = error(&failure(nobody, &["--json", "get"], 2));
    assert_eq!(missing, "the following required arguments were not provided: <KEY>");
    let (code, out, err) = outcome(nobody, &["--json", "--help"], "");
    assert!(code == 0 && out.contains("Examples") && err.is_empty(), "help is for people");
}

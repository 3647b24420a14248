//! Conversations that were recorded with Redis 7.0.15 go the same way here, to the byte.
//!
//! A transcript (`redis/*.txt`) is made of lines `n> request`, said by client n, each followed by a line with the answer,
//! escaped; `sleep n` waits for n milliseconds, `#` begins a comment. To record them again, which shows in the diff where a
//! Redis differs:
//!
//! ```text
//! CRABCACHE_REDIS=127.0.0.1:6379 cargo test -p crabcache-server --test redis_transcripts -- --ignored
//! ```

mod support;

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use std::io::Read;

use crabcache_protocol::resp::{inline, reply};
use crabcache_protocol::{Limits, Parsed};
use support::{Client, config, start_with};

const LIMITS: Limits =
    Limits { key_len_max: 1 << 16, value_len_max: 1 << 24, args_max: 1 << 16, line_len_max: 1 << 16 };

/// One answer, escaped.
fn answer(client: &mut Client) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let parsed = reply::parse(&bytes, &LIMITS, &mut reply::Progress::default());
        if let Parsed::Complete { consumed, .. } = parsed.expect("an answer that can be read") {
            assert_eq!(consumed, bytes.len(), "more than one answer: {}", bytes.escape_ascii());
            return bytes.escape_ascii().to_string();
        }
        match client.0.read(&mut buffer).expect("an answer") {
            0 => return format!("{}(closed)", bytes.escape_ascii()),
            len => bytes.extend_from_slice(&buffer[..len]),
        }
    }
}

/// Says all requests of a transcript, and gives it with the answers that came.
fn play(transcript: &str, address: SocketAddr) -> String {
    let mut clients = HashMap::new();
    let mut played = String::new();
    let mut lines = transcript.lines();
    while let Some(line) = lines.next() {
        played.push_str(line);
        played.push('\n');
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(ms) = line.strip_prefix("sleep ") {
            std::thread::sleep(Duration::from_millis(ms.parse().expect("a number")));
            continue;
        }
        let (name, request) = line.split_once("> ").unwrap_or_else(|| panic!("no request: {line}"));
        let client = clients.entry(name.to_owned()).or_insert_with(|| Client::to(address));
        let mut bytes = Vec::new();
        inline::rewrite(request.as_bytes(), &mut bytes).expect("words");
        client.send(bytes);
        played.push_str(&answer(client));
        played.push('\n');
        lines.next();
    }
    played
}

fn transcripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redis");
    let entries = fs::read_dir(folder).expect("transcripts");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths
}

#[test]
fn transcripts_of_redis_are_played_to_the_byte() {
    let paths = transcripts();
    assert!(!paths.is_empty());
    for workers in [1, 2] {
        for path in &paths {
            let server = start_with(support::Config { workers, ..config() });
            let transcript = fs::read_to_string(path).expect("a transcript");
            let played = play(&transcript, server.address);
            let name = path.file_name().unwrap_or_default().display();
            let mut request = "";
            for (at, (expected, got)) in transcript.lines().zip(played.lines()).enumerate() {
                assert_eq!(got, expected, "{name}, line {}, {workers} workers: {request}", at + 1);
                request = expected;
            }
            assert_eq!(played.lines().count(), transcript.lines().count(), "{name}");
        }
    }
}

#[test]
#[ignore = "needs a Redis, and changes the transcripts"]
fn record_transcripts_from_redis() {
    let address = std::env::var("CRABCACHE_REDIS").expect("CRABCACHE_REDIS is set to the address of a Redis");
    let address = address.parse().expect("an address");
    for path in transcripts() {
        let mut client = Client::to(address);
        client.resp("FLUSHALL", "+OK\r\n");
        let transcript = fs::read_to_string(&path).expect("a transcript");
        fs::write(&path, play(&transcript, address)).expect("a file that can be written");
    }
}

//! What each command does and prints. True: the key was there, or the condition held.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use crabcache_client::{Client, Condition, PutOptions};
use serde_json::{Value, json};

use crate::Failure;
use crate::args::{Action, PutArguments};
use crate::print::{Printer, stats_json, with_bytes};
use crate::watch::watch;

type Answer = Result<bool, Failure>;

pub(crate) fn run(client: &Client, printer: &mut Printer, command: Action) -> Answer {
    match command {
        Action::Ping => ping(client, printer),
        Action::Get { key } => get(client, printer, &key.into_vec()),
        Action::Mget { keys } => mget(client, printer, keys),
        Action::Put(arguments) => put(client, printer, arguments),
        Action::Del { keys } => del(client, printer, keys),
        Action::Incr { key, delta } => {
            let number = client.incr(key.into_vec(), delta)?;
            printer.answer(|| json!({ "number": number }), number.to_string().as_bytes())?;
            Ok(true)
        }
        Action::Append { key, value } => {
            let len = client.append(key.into_vec(), value_or_stdin(value)?)?;
            printer.answer(|| json!({ "length": len }), len.to_string().as_bytes())?;
            Ok(true)
        }
        Action::Touch { key, ttl } => {
            let found = client.touch(key.into_vec(), ttl)?;
            printer.answer(|| json!({ "found": found }), None)?;
            Ok(found)
        }
        Action::Ttl { key } => ttl(client, printer, &key.into_vec()),
        Action::Scan { prefix } => {
            for key in client.scan(prefix.into_vec()) {
                let key = key?;
                printer.answer(|| with_bytes(json!({}), "key", &key), &key[..])?;
            }
            Ok(true)
        }
        Action::Stats { watch: true, interval, count } => {
            watch(client, printer, interval, count)?;
            Ok(true)
        }
        Action::Stats { .. } => {
            let stats = client.stats()?;
            let lines: Vec<String> = stats.iter().map(|(name, value)| format!("{name}={value}")).collect();
            printer.answer(|| stats_json(&stats), lines.join("\n").as_bytes())?;
            Ok(true)
        }
        Action::Flush => {
            client.flush()?;
            printer.answer(|| json!({}), None)?;
            Ok(true)
        }
        Action::Completions { .. } => Ok(true), // needs no server: see `main`
    }
}

fn ping(client: &Client, printer: &mut Printer) -> Answer {
    client.ping()?; // connects
    let start = Instant::now();
    client.ping()?;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    printer.answer(|| json!({ "ms": ms }), format!("PONG {ms:.3} ms").as_bytes())?;
    Ok(true)
}

fn get(client: &Client, printer: &mut Printer, key: &[u8]) -> Answer {
    let Some(item) = client.get_item(key)? else { return absent(printer, key) };
    let json = || {
        let about = json!({ "found": true, "flags": item.flags, "ttl_ms": ms(item.ttl) });
        with_bytes(with_bytes(about, "key", key), "value", &item.value)
    };
    printer.value(json, &item.value)?;
    Ok(true)
}

fn mget(client: &Client, printer: &mut Printer, keys: Vec<OsString>) -> Answer {
    let keys: Vec<Vec<u8>> = keys.into_iter().map(OsString::into_vec).collect();
    let values = client.get_many(&keys)?;
    for (key, value) in keys.iter().zip(&values) {
        let Some(value) = value else {
            absent(printer, key)?;
            continue;
        };
        let json = || with_bytes(with_bytes(json!({ "found": true }), "key", key), "value", value);
        printer.answer(json, [key, &b"\t"[..], value].concat().as_slice())?;
    }
    Ok(values.iter().all(Option::is_some))
}

fn put(client: &Client, printer: &mut Printer, arguments: PutArguments) -> Answer {
    let mut options = PutOptions::new();
    if let Some(ttl) = arguments.ttl {
        options = options.ttl(ttl);
    }
    if arguments.if_absent {
        options = options.condition(Condition::Absent);
    } else if arguments.if_present {
        options = options.condition(Condition::Present);
    }
    let value = match arguments.file {
        Some(path) => fs::read(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?,
        None => value_or_stdin(arguments.value)?,
    };
    let stored = client.put_with(arguments.key.into_vec(), value, options)?;
    printer.answer(|| json!({ "stored": stored }), None)?;
    Ok(stored)
}

fn del(client: &Client, printer: &mut Printer, keys: Vec<OsString>) -> Answer {
    let total = keys.len();
    let mut removed = 0;
    for key in keys {
        removed += usize::from(client.del(key.into_vec())?);
    }
    printer.answer(|| json!({ "removed": removed }), removed.to_string().as_bytes())?;
    Ok(removed == total)
}

fn ttl(client: &Client, printer: &mut Printer, key: &[u8]) -> Answer {
    let Some(item) = client.get_item(key)? else { return absent(printer, key) };
    let left = ms(item.ttl);
    let json = || with_bytes(json!({ "found": true, "ttl_ms": left }), "key", key);
    let text = left.map_or_else(|| "never".to_owned(), |left| format!("{left}ms"));
    printer.answer(json, text.as_bytes())?;
    Ok(true)
}

/// In text, nothing is printed for a key that is absent.
fn absent(printer: &mut Printer, key: &[u8]) -> Answer {
    printer.answer(|| with_bytes(json!({ "found": false, "value": Value::Null }), "key", key), None)?;
    Ok(false)
}

fn ms(ttl: Option<Duration>) -> Option<u64> {
    ttl.map(|ttl| ttl.as_millis() as u64)
}

fn value_or_stdin(value: Option<OsString>) -> io::Result<Vec<u8>> {
    match value {
        Some(value) if value != "-" => Ok(value.into_vec()),
        _ => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

//! What each command does and prints. True: the key was there, or the condition held.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, Instant};

use clap::CommandFactory;
use clap_complete::Shell;
use crabcache_client::{Broken, Client, CommandError, Condition, Error, PutOptions};
use serde_json::{Value, json};

use crate::args::{Action, Arguments, PutArguments};
use crate::bench::{bench, connected};
use crate::console::{Console, stats_json, with_bytes};
use crate::failure::Failure;
use crate::top::{sample, top};
use crate::watch::watch;

type Answer = Result<bool, Failure>;

pub(crate) fn run(client: &Client, console: &mut Console, command: Action) -> Answer {
    carry_out(client, console, command).map_err(|failure| match failure {
        // Who has answered HELLO once is no Redis, which never does.
        Failure::Client(Error::Handshake(Broken::Timeout)) if client.pool_stats().opened > 0 => {
            Error::Timeout.into()
        }
        failure => failure,
    })
}

fn carry_out(client: &Client, console: &mut Console, command: Action) -> Answer {
    match command {
        Action::Ping => ping(client, console),
        Action::Get { key } => get(client, console, &key.into_vec()),
        Action::Mget { keys } => mget(client, console, keys),
        Action::Put(arguments) => put(client, console, arguments),
        Action::Del { keys } => del(client, console, keys),
        Action::Incr { key, delta } => {
            let number = client.incr(key.into_vec(), delta)?;
            console.answer(|| json!({ "number": number }), number.to_string().as_bytes())?;
            Ok(true)
        }
        Action::Append { key, value } => append(client, console, &key.into_vec(), value),
        Action::Touch { key, ttl } => {
            let found = client.touch(key.into_vec(), ttl)?;
            console.answer(|| json!({ "found": found }), None)?;
            console.remark(if found { "OK" } else { ABSENT })?;
            Ok(found)
        }
        Action::Ttl { key } => ttl(client, console, &key.into_vec()),
        Action::Scan { prefix } => {
            for key in client.scan(prefix.into_vec()) {
                let key = key?;
                console.answer(|| with_bytes(json!({}), "key", &key), &key[..])?;
                if console.interrupt.is_set() {
                    break;
                }
            }
            Ok(true)
        }
        Action::Stats { watch: true, pace } => {
            watch(console, &pace, &client.addr().to_string(), || Ok(client.stats()?))?;
            Ok(true)
        }
        Action::Stats { .. } => stats(console, &client.stats()?),
        Action::Top(arguments) => top(console, arguments, |interrupt| sample(client, interrupt)),
        Action::Bench(arguments) => bench(|| connected(client), console, &arguments),
        Action::Flush => {
            client.flush()?;
            console.answer(|| json!({}), None)?;
            console.remark("OK")?;
            Ok(true)
        }
        Action::Completions { shell } => completions(console, shell),
    }
}

/// For a person; scripts see the exit code.
const ABSENT: &str = "(absent)";

/// All figures, as the server names them.
pub(crate) fn stats(console: &mut Console, stats: &[(String, String)]) -> Answer {
    let lines: Vec<String> = stats.iter().map(|(name, value)| format!("{name}={value}")).collect();
    console.answer(|| stats_json(stats), lines.join("\n").as_bytes())?;
    Ok(true)
}

/// The script for a shell.
pub(crate) fn completions(console: &mut Console, shell: Shell) -> Answer {
    let mut command = Arguments::command();
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut command, &name, &mut script); // panics where it cannot write
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Bash {
        // It takes the hyphen in our name for one between subcommands, but only in its labels, which then match nothing:
        // https://github.com/clap-rs/clap/issues/6421
        script = script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
    }
    console.out.write_all(script.as_bytes())?;
    Ok(true)
}

fn ping(client: &Client, console: &mut Console) -> Answer {
    client.ping()?; // connects
    let start = Instant::now();
    client.ping()?;
    let ms = (start.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    console.answer(|| json!({ "ms": ms }), format!("PONG {ms:.3} ms").as_bytes())?;
    Ok(true)
}

fn get(client: &Client, console: &mut Console, key: &[u8]) -> Answer {
    let Some(item) = client.get_item(key)? else { return absent(console, key) };
    let json = || {
        let about = json!({ "found": true, "flags": item.flags, "ttl_ms": ms(item.ttl) });
        with_bytes(with_bytes(about, "key", key), "value", &item.value)
    };
    console.value(json, &item.value)?;
    Ok(true)
}

fn mget(client: &Client, console: &mut Console, keys: Vec<OsString>) -> Answer {
    let keys: Vec<Vec<u8>> = keys.into_iter().map(OsString::into_vec).collect();
    let values = client.get_many(&keys)?;
    for (key, value) in keys.iter().zip(&values) {
        let Some(value) = value else {
            absent(console, key)?;
            continue;
        };
        let json = || with_bytes(with_bytes(json!({ "found": true }), "key", key), "value", value);
        console.answer(json, [key, &b"\t"[..], value].concat().as_slice())?;
    }
    Ok(values.iter().all(Option::is_some))
}

fn put(client: &Client, console: &mut Console, arguments: PutArguments) -> Answer {
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
        None => value_or_stdin(console, arguments.value)?,
    };
    let key = arguments.key.into_vec();
    let stored = client
        .put_with(&key, &value, options)
        .map_err(|error| with_limit(client, error, key.len() + value.len()))?;
    console.answer(|| json!({ "stored": stored }), None)?;
    console.remark(if stored { "OK" } else { "(not stored: the condition does not hold)" })?;
    Ok(stored)
}

fn append(client: &Client, console: &mut Console, key: &[u8], value: Option<OsString>) -> Answer {
    let bytes = value_or_stdin(console, value)?;
    let len =
        client.append(key, &bytes).map_err(|error| with_limit(client, error, key.len() + bytes.len()))?;
    console.answer(|| json!({ "length": len }), len.to_string().as_bytes())?;
    Ok(true)
}

/// What is too large, in numbers, if the server tells its limit.
fn with_limit(client: &Client, error: Error, item_len: usize) -> Failure {
    if error == Error::Command(CommandError::TooLarge)
        && let Ok(hello) = client.hello()
    {
        return Failure::Refused(format!(
            "the item is too large: {item_len} bytes of key and value were sent, and the server takes items of at most {}",
            hello.value_len_max
        ));
    }
    error.into()
}

fn del(client: &Client, console: &mut Console, keys: Vec<OsString>) -> Answer {
    let total = keys.len();
    let mut removed = 0;
    for key in keys {
        removed += usize::from(client.del(key.into_vec())?);
    }
    console.answer(|| json!({ "removed": removed }), removed.to_string().as_bytes())?;
    Ok(removed == total)
}

fn ttl(client: &Client, console: &mut Console, key: &[u8]) -> Answer {
    let Some(item) = client.get_item(key)? else { return absent(console, key) };
    let left = ms(item.ttl);
    let json = || with_bytes(json!({ "found": true, "ttl_ms": left }), "key", key);
    let text = left.map_or_else(|| "never".to_owned(), |left| format!("{left}ms"));
    console.answer(json, text.as_bytes())?;
    Ok(true)
}

/// In text, nothing is printed for a key that is absent.
fn absent(console: &mut Console, key: &[u8]) -> Answer {
    console.answer(|| with_bytes(json!({ "found": false, "value": Value::Null }), "key", key), None)?;
    console.remark(ABSENT)?;
    Ok(false)
}

fn ms(ttl: Option<Duration>) -> Option<u64> {
    ttl.map(|ttl| ttl.as_millis() as u64)
}

fn value_or_stdin(console: &Console, value: Option<OsString>) -> Result<Vec<u8>, Failure> {
    match value {
        Some(value) if value != "-" => Ok(value.into_vec()),
        _ if console.session => Err(Failure::Wrong(
            "a session has no standard input for a value: type it after the key; \"\" is the empty one"
                .to_owned(),
        )),
        _ => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}

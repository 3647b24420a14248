//! What a request costs the client: ours beside the crates `redis` and `memcache`, all blocking, all of one server, which
//! speaks the protocols of all. Counted is the CPU time of the calling thread, in interleaved rounds.
//!
//! Ours is measured as it is, and without the deadline that each of its requests has otherwise, as the others have none.
//! Beside them the floor: the bytes of the native protocol, made beforehand, written and read with a bare socket.

pub mod instructions;

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;

use crabcache_client::ReplyRef;
use crabcache_protocol::native::{Command, Put, REPLY_HEADER_LEN, Request};
use serde_json::{Value, json};

use crate::median::median;
use crate::process::CpuTime;

/// Requests in a round trip.
pub const DEPTHS: [usize; 4] = [1, 16, 64, 1024];
/// Keys that are asked for.
const KEYS: usize = 1024;
const VALUE: &[u8] = &[b'v'; 32];

/// Names in the report.
const OURS: &str = "crabcache-client";
const NO_DEADLINE: &str = "  without deadline";
const FLOOR: &str = "(write and read)";
/// Those of other projects.
const OTHERS: [&str; 2] = ["redis", "memcache"];

/// Whatever kept a client from its work.
pub type Failure = Box<dyn std::error::Error>;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read.
    Get,
    /// Write.
    Set,
}

impl Operation {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
        }
    }
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the server listens: host and port.
    pub addr: String,
    /// Rounds.
    pub rounds: u32,
    /// Requests of each client, operation and depth in a round.
    pub requests: u32,
}

/// A client under measurement. Each call is one round trip with all the keys; false if an answer was not the right one.
trait Client {
    fn name(&self) -> &'static str;
    fn get(&mut self, keys: &[String]) -> Result<bool, Failure>;
    /// None if this client cannot send several before it waits.
    fn set(&mut self, keys: &[String]) -> Option<Result<bool, Failure>>;
}

struct Ours {
    name: &'static str,
    client: crabcache_client::Client,
}

impl Client for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn get(&mut self, keys: &[String]) -> Result<bool, Failure> {
        if let [key] = keys {
            return Ok(self.client.get(key)?.as_deref() == Some(VALUE));
        }
        let (mut pipeline, mut right) = (self.client.pipeline(), true);
        for key in keys {
            pipeline.get(key);
        }
        pipeline.execute_with(|_, reply| {
            right &= matches!(reply, Ok(ReplyRef::Value(value)) if value == VALUE);
        })?;
        Ok(right)
    }

    fn set(&mut self, keys: &[String]) -> Option<Result<bool, Failure>> {
        if let [key] = keys {
            return Some(self.client.put(key, VALUE).map(|()| true).map_err(Failure::from));
        }
        let (mut pipeline, mut right) = (self.client.pipeline(), true);
        for key in keys {
            pipeline.put(key, VALUE);
        }
        let done = pipeline.execute_with(|_, reply| right &= matches!(reply, Ok(ReplyRef::Done)));
        Some(done.map(|()| right).map_err(Failure::from))
    }
}

impl Client for redis::Connection {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn get(&mut self, keys: &[String]) -> Result<bool, Failure> {
        if let [key] = keys {
            let value: Vec<u8> = redis::cmd("GET").arg(key).query(self)?;
            return Ok(value == VALUE);
        }
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("GET").arg(key);
        }
        let values: Vec<Vec<u8>> = pipeline.query(self)?;
        Ok(values.len() == keys.len() && values.iter().all(|value| value == VALUE))
    }

    fn set(&mut self, keys: &[String]) -> Option<Result<bool, Failure>> {
        if let [key] = keys {
            let done: Result<(), _> = redis::cmd("SET").arg(key).arg(VALUE).query(self);
            return Some(done.map(|()| true).map_err(Failure::from));
        }
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.cmd("SET").arg(key).arg(VALUE).ignore();
        }
        let done: Result<(), _> = pipeline.query(self);
        Some(done.map(|()| true).map_err(Failure::from))
    }
}

impl Client for memcache::Client {
    fn name(&self) -> &'static str {
        "memcache"
    }

    fn get(&mut self, keys: &[String]) -> Result<bool, Failure> {
        if let [key] = keys {
            let value: Option<Vec<u8>> = memcache::Client::get(self, key)?;
            return Ok(value.as_deref() == Some(VALUE));
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let values: std::collections::HashMap<String, Vec<u8>> = self.gets(&keys)?;
        Ok(keys.iter().all(|&key| values.get(key).is_some_and(|value| value == VALUE)))
    }

    fn set(&mut self, keys: &[String]) -> Option<Result<bool, Failure>> {
        let [key] = keys else { return None };
        Some(memcache::Client::set(self, key, VALUE, 0).map(|()| true).map_err(Failure::from))
    }
}

/// One write and as many reads as it takes: what is left of a client that does nothing.
struct Floor {
    socket: TcpStream,
    /// Requests for all keys.
    gets: Vec<u8>,
    sets: Vec<u8>,
    answers: Vec<u8>,
}

impl Floor {
    fn connect(addr: &str, keys: &[String]) -> Result<Self, Failure> {
        let socket = TcpStream::connect(addr)?;
        socket.set_nodelay(true)?;
        let (mut gets, mut sets) = (Vec::new(), Vec::new());
        for key in keys {
            let key = key.as_bytes();
            let request = |command| Request { opaque: 0, quiet: false, command };
            request(Command::Get { key, meta: false }).encode(&mut gets)?;
            request(Command::Put(Put { key, value: VALUE, ..Put::default() })).encode(&mut sets)?;
        }
        Ok(Self { socket, gets, sets, answers: vec![0; keys.len() * (REPLY_HEADER_LEN + VALUE.len())] })
    }

    /// All requests are of one length, so the first ones stand for any.
    fn exchange(
        mut socket: &TcpStream,
        requests: &[u8],
        count: usize,
        answers: &mut [u8],
    ) -> Result<(), Failure> {
        socket.write_all(&requests[..requests.len() / KEYS * count])?;
        Ok(socket.read_exact(answers)?)
    }
}

impl Client for Floor {
    fn name(&self) -> &'static str {
        FLOOR
    }

    fn get(&mut self, keys: &[String]) -> Result<bool, Failure> {
        let answers = &mut self.answers[..keys.len() * (REPLY_HEADER_LEN + VALUE.len())];
        Self::exchange(&self.socket, &self.gets, keys.len(), answers)?;
        Ok(answers.ends_with(VALUE))
    }

    fn set(&mut self, keys: &[String]) -> Option<Result<bool, Failure>> {
        let answers = &mut self.answers[..keys.len() * REPLY_HEADER_LEN];
        Some(Self::exchange(&self.socket, &self.sets, keys.len(), answers).map(|()| true))
    }
}

/// CPU-nanoseconds per request of a client, by round.
#[derive(Clone, Debug)]
pub struct Row {
    /// The client.
    pub client: &'static str,
    /// What was asked for.
    pub operation: Operation,
    /// Requests in a round trip.
    pub depth: usize,
    /// CPU-nanoseconds per request, round by round.
    pub rounds: Vec<f64>,
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Report(pub Vec<Row>);

/// Keys that are asked for.
fn keys() -> Vec<String> {
    (0..KEYS).map(|i| format!("client{i:05}")).collect()
}

/// All clients, connected.
fn connect(addr: &str, keys: &[String]) -> Result<Vec<Box<dyn Client>>, Failure> {
    let ours = crabcache_client::Client::builder().addr(addr);
    Ok(vec![
        Box::new(Ours { name: OURS, client: ours.clone().connect()? }),
        Box::new(Ours { name: NO_DEADLINE, client: ours.request_timeout(None).connect()? }),
        Box::new(redis::Client::open(format!("redis://{addr}/"))?.get_connection()?),
        Box::new(memcache::connect(format!("memcache://{addr}?protocol=ascii"))?),
        Box::new(Floor::connect(addr, keys)?),
    ])
}

/// Lets one client alone ask, and looks at no clock: valgrind, which may watch, cannot bear ours.
///
/// # Errors
/// If there is no such client, the server cannot be reached, or an answer is wrong.
pub fn play(
    addr: &str,
    name: &str,
    operation: Operation,
    depth: usize,
    requests: u32,
) -> Result<(), Failure> {
    let keys = keys();
    let mut clients = connect(addr, &keys)?;
    let client = clients.iter_mut().find(|client| client.name() == name).ok_or("there is no such client")?;
    ask(client.as_mut(), Operation::Set, &keys, 1, KEYS as u32)?;
    ask(client.as_mut(), operation, &keys, depth, requests)?;
    Ok(())
}

/// Measures all clients.
///
/// # Errors
/// If the server cannot be reached, or an answer is wrong.
pub fn measure(options: &Options) -> Result<Report, Failure> {
    let keys = keys();
    let mut clients = connect(&options.addr, &keys)?;
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..options.rounds {
        for depth in DEPTHS {
            for operation in [Operation::Set, Operation::Get] {
                for client in &mut clients {
                    let Some(ns) = cost(client.as_mut(), operation, &keys, depth, options.requests)? else {
                        continue;
                    };
                    let name = client.name();
                    let is_same =
                        |row: &&mut Row| (row.client, row.operation, row.depth) == (name, operation, depth);
                    match rows.iter_mut().find(is_same) {
                        Some(row) => row.rounds.push(ns),
                        None => rows.push(Row { client: name, operation, depth, rounds: vec![ns] }),
                    }
                }
            }
        }
        debug_assert!(rows.iter().all(|row| row.rounds.len() == round as usize + 1));
    }
    Ok(Report(rows))
}

fn cost(
    client: &mut dyn Client,
    operation: Operation,
    keys: &[String],
    depth: usize,
    requests: u32,
) -> Result<Option<f64>, Failure> {
    let begun = CpuTime::now();
    let done = ask(client, operation, keys, depth, requests)?;
    Ok(done.map(|done| begun.elapsed().as_nanos() as f64 / done as f64))
}

/// How many requests were answered; none if this client cannot.
fn ask(
    client: &mut dyn Client,
    operation: Operation,
    keys: &[String],
    depth: usize,
    requests: u32,
) -> Result<Option<usize>, Failure> {
    let mut done = 0;
    for keys in keys.chunks_exact(depth).cycle().take(requests as usize / depth) {
        let right = match operation {
            Operation::Get => client.get(keys)?,
            Operation::Set => match client.set(keys) {
                Some(right) => right?,
                None => return Ok(None),
            },
        };
        if !right {
            return Err(format!("{}: a wrong answer to {operation:?}", client.name()).into());
        }
        done += depth;
    }
    Ok(Some(done))
}

impl Report {
    /// The report as one object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let row = |row: &Row| json!({ "client": row.client, "operation": row.operation.name(), "depth": row.depth, "cpu_ns": row.rounds });
        json!({ "rows": self.0.iter().map(row).collect::<Vec<_>>() })
    }

    fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.0 {
            if !names.contains(&row.client) {
                names.push(row.client);
            }
        }
        names
    }

    fn rounds_of(&self, client: &str, operation: Operation, depth: usize) -> Option<&[f64]> {
        let is_this = |row: &&Row| (row.client, row.operation, row.depth) == (client, operation, depth);
        self.0.iter().find(is_this).map(|row| &row.rounds[..])
    }

    /// What a client costs over what the best of the other projects' clients does: the median of the rounds' ratios.
    fn ratio(&self, client: &str, operation: Operation, depth: usize) -> Option<f64> {
        let others: Vec<&[f64]> = self
            .names()
            .into_iter()
            .filter(|name| OTHERS.contains(name))
            .filter_map(|name| self.rounds_of(name, operation, depth))
            .collect();
        let ratios = self.rounds_of(client, operation, depth)?.iter().enumerate().map(|(round, ns)| {
            let best = others.iter().filter_map(|rounds| rounds.get(round)).copied().fold(f64::NAN, f64::min);
            ns / best
        });
        Some(median(ratios)).filter(|ratio| ratio.is_finite())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = || {
            let depths = |operation| DEPTHS.map(|depth| (operation, depth));
            [Operation::Get, Operation::Set].into_iter().flat_map(depths)
        };
        let cell = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        writeln!(f, "CPU-nanoseconds of the client per request (median of the rounds)")?;
        write!(f, "{:<20}", "")?;
        for (operation, depth) in cells() {
            write!(f, "{:>9}", format!("{} {depth}", operation.name().to_uppercase()))?;
        }
        for name in self.names() {
            write!(f, "\n{name:<20}")?;
            for (operation, depth) in cells() {
                let rounds = self.rounds_of(name, operation, depth);
                let ns = rounds.map(|rounds| format!("{:.0}", median(rounds.iter().copied())));
                write!(f, "{:>9}", cell(ns))?;
            }
        }
        write!(f, "\n\nOver the best of the others (median of the rounds' ratios)")?;
        for name in [OURS, NO_DEADLINE, FLOOR] {
            write!(f, "\n{name:<20}")?;
            for (operation, depth) in cells() {
                let ratio = self.ratio(name, operation, depth).map(|ratio| format!("{ratio:.2}"));
                write!(f, "{:>9}", cell(ratio))?;
            }
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_a_cell_for_what_was_measured() {
        let row = |client, operation, depth, rounds: &[f64]| Row {
            client,
            operation,
            depth,
            rounds: rounds.to_vec(),
        };
        let [a, b] = OTHERS;
        let report = Report(vec![
            row(OURS, Operation::Get, 1, &[3.0, 1.0, 2.0]),
            row(OURS, Operation::Set, 64, &[7.0]),
            row(a, Operation::Get, 1, &[6.0, 4.0, 40.0]),
            row(b, Operation::Get, 1, &[60.0, 40.0, 4.0]),
            row(b, Operation::Get, 16, &[5.0]),
            row(FLOOR, Operation::Get, 16, &[1.0]),
        ]);
        let text = report.to_string();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            rows[1],
            [
                "GET", "1", "GET", "16", "GET", "64", "GET", "1024", "SET", "1", "SET", "16", "SET", "64",
                "SET", "1024"
            ]
        );
        assert_eq!(rows[2], [OURS, "2", "-", "-", "-", "-", "-", "7", "-"]);
        assert_eq!(rows[4], [b, "40", "5", "-", "-", "-", "-", "-", "-"]);
        assert_eq!(rows[8], [OURS, "0.50", "-", "-", "-", "-", "-", "-", "-"]);
        assert!(rows[10].ends_with(&["-", "0.20", "-", "-", "-", "-", "-", "-"]));
        assert_eq!(report.to_json()["rows"][1]["operation"], "set");
    }
}

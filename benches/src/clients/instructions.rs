//! How many instructions does a request take in a client, outside the kernel? Valgrind counts them, always the same for the same
//! requests, however busy the machine is.
//!
//! ```text
//! this program under callgrind: connect all clients, a few requests of one client          -> base
//! the same, and then so many more                                                          -> total
//!                                                                (total - base) / requests
//! ```

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Failure, OTHERS, OURS, Operation};
use crate::instructions::collected;

/// Requests in a round trip.
const DEPTHS: [u32; 2] = [1, 64];
/// Requests that come first, in each run.
const BASE: u32 = 6400;

/// One client's part in a run under valgrind.
#[derive(Clone, Debug)]
struct Cell {
    client: &'static str,
    operation: Operation,
    depth: u32,
}

/// Instructions per request.
#[derive(Clone, Debug)]
pub struct Counted(Vec<(Cell, f64)>);

/// Counts them over so many requests to the server at this address; `program` is this program.
pub fn measure(program: &Path, addr: &str, requests: u32) -> Result<Counted, Failure> {
    let mut counted = Vec::new();
    for client in [OURS].into_iter().chain(OTHERS) {
        for operation in [Operation::Get, Operation::Set] {
            for depth in DEPTHS {
                let cell = Cell { client, operation, depth };
                if client == "memcache" && operation == Operation::Set && depth > 1 {
                    continue; // it cannot
                }
                let base = count(program, addr, &cell, BASE)?;
                let total = count(program, addr, &cell, BASE + requests)?;
                // Whole trips only.
                let sent = |requests: u32| requests / depth * depth;
                counted.push((cell, (total - base) / f64::from(sent(BASE + requests) - sent(BASE))));
            }
        }
    }
    Ok(Counted(counted))
}

fn count(program: &Path, addr: &str, cell: &Cell, requests: u32) -> Result<f64, Failure> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["client", "--connect", addr, "--only", cell.client, "--depth", &cell.depth.to_string()])
        .args(["--requests", &requests.to_string(), "--operation", cell.operation.name()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind did not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    collected(&said)
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("valgrind did not say how many instructions it counted: {said}").into())
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instructions of the client per request, outside the kernel")?;
        let mut last = "";
        for (Cell { client, operation, depth }, instructions) in &self.0 {
            if *client != last {
                write!(f, "\n{client:<20}")?;
                last = client;
            }
            write!(f, "  {} {depth}: {instructions:.0}", operation.name().to_uppercase())?;
        }
        writeln!(f)
    }
}

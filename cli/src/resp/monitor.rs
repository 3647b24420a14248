//! A sample of the requests of a server of RESP, taken by MONITOR.

use std::collections::HashMap;
use std::time::Instant;

use crabcache_protocol::resp::inline;
use crabcache_protocol::resp::reply::Reply;

use super::connection::Connection;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::top::{Sample, TIME_MAX};

/// Requests that are looked at.
const REQUESTS_MAX: u64 = 100_000;

/// Where in its arguments each command has its keys.
pub(super) struct Positions(HashMap<Vec<u8>, Position>);

/// First and last key, and the step between keys; the last counts from the end if it is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    first: usize,
    last: i64,
    step: usize,
}

impl Positions {
    /// Asks the server.
    pub(super) fn of(connection: &mut Connection) -> Result<Self, Failure> {
        let Reply::Array(commands) = connection.call(&["COMMAND"])? else {
            return Err(Failure::Refused("COMMAND is no list".to_owned()));
        };
        Ok(Self(commands.iter().filter_map(position).collect()))
    }

    /// Counts a request, which begins with its name.
    fn add(&self, words: &[Vec<u8>], sample: &mut Sample) {
        sample.requests += 1;
        let name = words.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        let Some(&Position { first, last, step }) = self.0.get(&name) else { return };
        let last = if last < 0 { words.len() as i64 + last } else { last };
        let Ok(last) = usize::try_from(last) else { return };
        for key in words.get(first..=last).unwrap_or_default().iter().step_by(step) {
            *sample.keys.entry(key.clone()).or_default() += 1;
        }
    }
}

/// `name, arity, flags, first, last, step, ...`; none for a command without keys.
fn position(command: Reply<'_>) -> Option<(Vec<u8>, Position)> {
    let Reply::Array(fields) = command else { return None };
    let mut fields = fields.iter();
    let (Reply::Bulk(name) | Reply::Simple(name)) = fields.next()? else { return None };
    match [fields.nth(2)?, fields.next()?, fields.next()?] {
        [Reply::Integer(first @ 1..), Reply::Integer(last), Reply::Integer(step @ 1..)] => {
            Some((name.to_ascii_lowercase(), Position { first: first as usize, last, step: step as usize }))
        }
        _ => None,
    }
}

/// Looks at requests for a moment.
pub(super) fn sample(
    mut connection: Connection,
    positions: &Positions,
    interrupt: &Interrupt,
) -> Result<Sample, Failure> {
    let mut sample = Sample::default();
    connection.call(&["MONITOR"])?;
    let begun = Instant::now();
    while sample.requests < REQUESTS_MAX && begun.elapsed() < TIME_MAX && !interrupt.is_set() {
        if !connection.has_reply(TIME_MAX.saturating_sub(begun.elapsed()))? {
            continue;
        }
        if let Reply::Simple(line) = connection.reply()?
            && let Some(words) = words(line)
        {
            positions.add(&words, &mut sample);
        }
    }
    sample.per_second = sample.requests as f64 / begun.elapsed().as_secs_f64().max(1e-6);
    Ok(sample)
}

/// `1700000000.123456 [0 127.0.0.1:50000] "get" "key"`
fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let at = line.windows(3).position(|window| window == b"] \"")?;
    inline::words(&line[at + 2..]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_shown_requests_are_counted() {
        let all = [("get", 1, 1, 1), ("mset", 1, -1, 2), ("object", 2, 2, 1)];
        let positions =
            all.map(|(name, first, last, step)| (name.as_bytes().to_vec(), Position { first, last, step }));
        let positions = Positions(HashMap::from(positions));
        let mut sample = Sample::default();
        for line in [
            &br#"1.5 [0 [::1]:9] "GET" "a \"] \" b""#[..],
            br#"1.5 [15 lua] "mset" "x" "1" "y\x00" "2""#,
            br#"1.5 [0 unix:/s] "object" "freq" "x""#,
            br#"1.5 [0 h:1] "ping" "x""#,
            br#"1.5 [0 h:1] "get""#,
        ] {
            positions.add(&words(line).unwrap(), &mut sample);
        }
        assert_eq!(sample.requests, 5);
        let expected = [(&b"a \"] \" b"[..], 1), (b"x", 2), (b"y\0", 1)];
        assert_eq!(sample.keys, expected.map(|(key, seen)| (key.to_vec(), seen)).into());
        assert_eq!(words(b"OK"), None);
    }
}

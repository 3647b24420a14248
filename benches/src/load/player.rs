//! One thread of the load generator: its connections, and the loop that plays a script on them.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::LoadError;
use super::address::Address;
use super::connection::{Connection, Expected};
use super::schedule::{Schedule, Stop, Timer};
use super::script::{Items, Script};
use super::tally::Tally;
use crate::process::CpuTime;

/// Bytes that are read at once.
const BUFFER_LEN: usize = 256 << 10;
/// For how long no answer may come while one is due.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How often to look whether one came.
const LOOK: Duration = Duration::from_secs(1);

/// What to play.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The requests; read round and round.
    pub script: &'a Script,
    /// Begin with the request behind those of the part before, which was of the same script; otherwise with the first.
    pub goes_on: bool,
    /// Most requests that are out on one connection.
    pub depth: u32,
    /// When to end.
    pub stop: Stop,
    /// Requests per second for an open loop; none for a closed one.
    pub rate: Option<f64>,
    /// Values have to be those of these items; none if nobody looks at them.
    pub verify: Option<&'a Items>,
}

/// A thread's connections.
#[derive(Debug)]
pub struct Player {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    buffer: Box<[u8]>,
    timer: Timer,
    /// Where the last part ended in its script.
    next: u32,
    /// Requests that were answered so far, for whoever watches.
    answered: Arc<AtomicU64>,
    /// Somebody wants it to end.
    ending: Arc<AtomicBool>,
}

impl Player {
    /// Connects.
    pub fn connect(address: &Address, connections: u32) -> Result<Self, LoadError> {
        let poll = Poll::new()?;
        let connect = |number: u32| {
            let mut stream =
                address.connect().map_err(|error| LoadError::Connect { address: address.clone(), error })?;
            let interests = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(number as usize), interests)?;
            Ok(Connection::new(stream))
        };
        let connections = (0..connections).map(connect).collect::<Result<Vec<_>, LoadError>>()?;
        let timer = Timer::register(poll.registry(), Token(connections.len()))?;
        let buffer = vec![0; BUFFER_LEN].into_boxed_slice();
        let events = Events::with_capacity(1024);
        Ok(Self {
            poll,
            events,
            connections,
            buffer,
            timer,
            next: 0,
            answered: Arc::default(),
            ending: Arc::default(),
        })
    }

    /// How many requests were answered since the player was made. Other threads may ask.
    #[must_use]
    pub fn answered(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.answered)
    }

    /// If it is set, no further request goes out, and the part that is played ends when all are answered.
    #[must_use]
    pub fn ending(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ending)
    }

    /// Plays a part; when it is over, nothing is out any more.
    pub fn play(&mut self, part: &Part<'_>) -> Result<Tally, LoadError> {
        let mut run = Run::new(part, if part.goes_on { self.next } else { 0 });
        let cpu = CpuTime::now();
        self.go(&mut run).map_err(|error| self.reason(error, &run))?;
        self.next = run.next;
        let end = run.now();
        for since in run.schedule.left_over() {
            // It would have taken at least until now.
            run.tally.record((end - since).max(0.0) as u64, 1);
            run.tally.unsent += 1;
        }
        run.tally.bytes_out = run.bytes_out;
        run.tally.close(run.start.elapsed(), cpu.elapsed());
        Ok(run.tally)
    }

    /// Sends and receives until the part is over.
    fn go(&mut self, run: &mut Run<'_>) -> Result<(), LoadError> {
        let mut heard = (Instant::now(), 0);
        if run.part.rate.is_none() {
            for connection in &mut self.connections {
                run.issue(connection)?;
            }
        }
        let mut free: VecDeque<usize> = (0..self.connections.len()).collect();
        loop {
            if self.ending.load(Ordering::Relaxed) {
                run.schedule.end(run.now());
            }
            run.issue_due(&mut self.connections, &mut free)?;
            let now = run.now();
            if run.schedule.is_over(now) && self.connections.iter().all(Connection::is_idle) {
                return Ok(());
            }
            self.wait(run, !free.is_empty())?;
            self.turn(run, &mut free)?;
            self.answered.fetch_add(run.tally.requests - heard.1, Ordering::Relaxed);
            if run.tally.requests > heard.1 || self.connections.iter().all(Connection::is_idle) {
                heard = (Instant::now(), run.tally.requests);
            } else if heard.0.elapsed() > SILENCE_MAX {
                return Err(LoadError::Silent { requests: heard.1 });
            }
        }
    }

    /// What an error comes from: of a server that hung up, what it had said before.
    fn reason(&mut self, error: LoadError, run: &Run<'_>) -> LoadError {
        let hung_up = match &error {
            LoadError::Closed { .. } => true,
            LoadError::Io(error) => {
                matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
            }
            _ => false,
        };
        if !hung_up {
            return error;
        }
        if let Some(text) = &run.tally.first_error {
            return LoadError::Refused(text.clone());
        }
        let script = run.part.script;
        let mut words =
            self.connections.iter_mut().filter_map(|one| one.last_words(&mut self.buffer, script));
        words.next().unwrap_or(LoadError::Closed { requests: run.tally.requests })
    }

    /// Sleeps until a socket is ready or the next request is due.
    fn wait(&mut self, run: &Run<'_>, somebody_free: bool) -> Result<(), LoadError> {
        let mut timeout = LOOK;
        if let Some(next) = run.schedule.next().filter(|_| somebody_free) {
            let left = next - run.now();
            if left > 0.0 {
                self.timer.set(left)?;
            } else {
                timeout = Duration::ZERO;
            }
        }
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Reads from all that are ready; in a closed loop each gets its next requests at once.
    fn turn(&mut self, run: &mut Run<'_>, free: &mut VecDeque<usize>) -> Result<(), LoadError> {
        for event in &self.events {
            let number = event.token().0;
            let Some(connection) = self.connections.get_mut(number) else { continue };
            let before = connection.room(run.part.depth);
            let expected = Expected { script: run.part.script, items: run.part.verify };
            let start = run.start;
            let now = || start.elapsed().as_nanos() as f64;
            // A server that has hung up is noticed behind what it has sent: no other event will tell.
            for due in [event.is_readable(), event.is_read_closed()] {
                if due {
                    connection.receive(&mut self.buffer, expected, &mut run.tally, now)?;
                }
            }
            connection.flush(run.part.script)?;
            if !run.schedule.is_open() {
                run.issue(connection)?;
            } else if before == 0 && connection.room(run.part.depth) > 0 {
                free.push_back(number);
            }
        }
        Ok(())
    }
}

/// One playing of a part.
struct Run<'a> {
    part: &'a Part<'a>,
    schedule: Schedule,
    start: Instant,
    /// Number of the script's next request.
    next: u32,
    bytes_out: u64,
    tally: Tally,
}

impl<'a> Run<'a> {
    fn new(part: &'a Part<'a>, next: u32) -> Self {
        let schedule = Schedule::new(part.stop, part.rate);
        Self { part, schedule, start: Instant::now(), next, bytes_out: 0, tally: Tally::default() }
    }

    /// Nanoseconds since the start.
    #[inline]
    fn now(&self) -> f64 {
        self.start.elapsed().as_nanos() as f64
    }

    /// Gives a connection as many requests as it may have.
    fn issue(&mut self, connection: &mut Connection) -> Result<(), LoadError> {
        loop {
            let room = connection.room(self.part.depth);
            if room == 0 {
                return Ok(());
            }
            let now = self.now();
            let count = self.schedule.due(now).min(room.into()) as u32;
            if count == 0 {
                return Ok(());
            }
            self.send(connection, count, now)?;
        }
    }

    /// Deals out what is due, in turn to those who have room: fairly, whatever is in arrears.
    fn issue_due(
        &mut self,
        connections: &mut [Connection],
        free: &mut VecDeque<usize>,
    ) -> Result<(), LoadError> {
        if !self.schedule.is_open() {
            return Ok(());
        }
        let now = self.now();
        let share = self.schedule.due(now).div_ceil(connections.len() as u64);
        while self.schedule.due(now) > 0
            && let Some(number) = free.pop_front()
        {
            let connection = &mut connections[number];
            let count = self.schedule.due(now).min(share).min(connection.room(self.part.depth).into());
            self.send(connection, count as u32, now)?;
            if connection.room(self.part.depth) > 0 {
                free.push_back(number);
            }
        }
        Ok(())
    }

    /// Sends the next requests of the script, up to its end at most.
    fn send(&mut self, connection: &mut Connection, count: u32, now: f64) -> Result<(), LoadError> {
        let requests = self.slice(count);
        self.bytes_out += self.part.script.span(requests.clone()).len() as u64;
        let (since, step) = self.schedule.issue(requests.end - requests.start, now);
        connection.issue(self.part.script, requests, since, step)?;
        Ok(())
    }

    fn slice(&mut self, count: u32) -> Range<u32> {
        let start = self.next;
        let end = self.part.script.len().min(start.saturating_add(count));
        self.next = if end == self.part.script.len() { 0 } else { end };
        start..end
    }
}

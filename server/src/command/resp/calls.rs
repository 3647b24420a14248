//! A command is carried out: counted, and timed where it takes longer than a look at the clock.

use crabcache_protocol::Usual;
use crabcache_protocol::resp::Args;

use super::attend;
use super::table::{Found, Run, number_of};
use crate::clock;
use crate::connection::Connection;
use crate::reactor::batch::{Executor, Pass};
use crate::slowlog::{self, Entry};

/// The numbers of the two commands that do not come by here.
pub(super) const GET: usize = number_of("get");
pub(super) const SET: usize = number_of("set");

/// The number of a GET or SET.
pub(super) fn number_of_usual(usual: Usual<'_>) -> usize {
    match usual {
        Usual::Get { .. } => GET,
        Usual::Set { .. } => SET,
    }
}

/// Counts the requests that went straight through in this turn.
pub(crate) fn count_usual(executor: &mut Executor<'_>) {
    let calls = &executor.counters().calls;
    calls.of(GET).calls.add(std::mem::take(&mut executor.gets));
    calls.of(SET).calls.add(std::mem::take(&mut executor.sets));
}

/// A request that goes on over several turns.
#[derive(Debug)]
pub(crate) struct Lasting {
    number: usize,
    nanos: u64,
    args: Vec<Vec<u8>>,
}

impl Lasting {
    /// Adds the duration of a slice.
    pub(crate) fn add(&mut self, nanos: u64) {
        self.nanos += nanos;
    }

    /// It is done.
    pub(crate) fn end(self, connection: &Connection, pass: &Pass<'_, '_, '_>) {
        note(self.number, self.nanos, self.args, connection, pass);
    }
}

/// Carries out a command.
pub(super) fn carry_out<'a>(
    found: Found,
    run: Run,
    args: Args<'a>,
    connection: &mut Connection,
    pass: &mut Pass<'a, '_, '_>,
) {
    connection.last = found.number as u16;
    if (connection.attended || pass.executor.attended) && !attend::command(found, args, connection, pass) {
        return;
    }
    let refused = pass.executor.refused;
    if found.command.is_timed() {
        let start = clock::monotonic();
        run(args, connection, pass);
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if connection.task.is_some() {
            let args = slowlog::shortened(args.iter());
            connection.lasting = Some(Box::new(Lasting { number: found.number, nanos, args }));
        } else {
            pass.executor.measured.nanos += nanos;
            pass.executor.measured.requests += 1;
            note(found.number, nanos, args, connection, pass);
        }
    } else {
        run(args, connection, pass);
    }
    let call = pass.counters().calls.of(found.number);
    call.calls.add(1);
    call.failed.add(u64::from(pass.executor.refused != refused));
    if connection.attended {
        attend::carried_out(found, connection);
    }
}

/// Counts a command that is refused without being looked at.
pub(super) fn reject(found: Found, pass: &Pass<'_, '_, '_>) {
    pass.counters().calls.of(found.number).rejected.add(1);
}

/// What a slow request is remembered by.
trait Shortened {
    fn shortened(self) -> Vec<Vec<u8>>;
}

impl Shortened for Args<'_> {
    fn shortened(self) -> Vec<Vec<u8>> {
        slowlog::shortened(self.iter())
    }
}

impl Shortened for Vec<Vec<u8>> {
    fn shortened(self) -> Self {
        self
    }
}

/// Notes how long a request took.
fn note(number: usize, nanos: u64, args: impl Shortened, connection: &Connection, pass: &Pass<'_, '_, '_>) {
    pass.counters().calls.of(number).time(nanos, 1);
    let shared = pass.shared();
    let micros = nanos / 1000;
    let slow = u64::try_from(shared.settings.slow_micros()).is_ok_and(|slow| micros >= slow);
    if slow && shared.settings.slow_requests_max() > 0 {
        let entry = Entry {
            id: 0,
            at: pass.now().0 / 1000,
            micros,
            args: args.shortened(),
            peer: connection.client.peer.clone(),
            name: connection.client.names().client,
        };
        shared.slowlog.add(entry, shared.settings.slow_requests_max());
    }
}

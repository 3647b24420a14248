//! Commands about databases as a whole: which one, how many keys, empty them, swap them.

use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::{is, one, two};
use crate::command::task::{Done, Task};
use crate::command::walk::{Counted, Walk};
use crate::connection::Connection;
use crate::database::{self, DATABASES};
use crate::reactor::batch::Pass;

/// Reads a C `int`; answers with `text`, or as Redis does where it has none of its own, and gives nothing if it is none.
fn int(argument: &[u8], text: Option<&str>, pass: &mut Pass<'_, '_, '_>) -> Option<i32> {
    let number = parse_i64(argument);
    let int = number.and_then(|number| i32::try_from(number).ok());
    match (int, number, text) {
        (Some(_), ..) => {}
        (None, _, Some(text)) => pass.error(text),
        (None, Some(_), None) => {
            pass.error("ERR value is out of range, value must between -2147483648 and 2147483647");
        }
        (None, None, None) => pass.not_an_integer(),
    }
    int
}

/// Whether there is a database of this number; answers if not.
fn database(number: i32, pass: &mut Pass<'_, '_, '_>) -> Option<u8> {
    let database = u8::try_from(number).ok().filter(|&number| usize::from(number) < DATABASES);
    if database.is_none() {
        pass.error("ERR DB index is out of range");
    }
    database
}

/// The database that an argument names; answers if it is none.
pub(super) fn named(argument: &[u8], pass: &mut Pass<'_, '_, '_>) -> Option<u8> {
    let number = int(argument, None, pass)?;
    database(number, pass)
}

pub(super) fn select<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if let Some(database) = named(one(&args), pass) {
        pass.direct().extend_from_slice(write::OK);
        connection.database = database;
        pass.use_database(database);
    }
}

pub(super) fn swapdb<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let (first, second) = two(&args);
    let Some(first) = int(first, Some("ERR invalid first DB index"), pass) else { return };
    let Some(second) = int(second, Some("ERR invalid second DB index"), pass) else { return };
    let Some(first) = database(first, pass) else { return };
    let Some(second) = database(second, pass) else { return };
    pass.alone(|pass| {
        let databases = &pass.shared().databases;
        if first != second {
            // Their keys will be others, if only by being absent in another place.
            let places = [databases.place(first), databases.place(second)];
            pass.executor.will_change(|stored| places.contains(&database::split(stored).0));
            databases.swap(first, second);
            pass.shared().tracking.flushed(pass.shared());
        }
    });
    pass.use_database(connection.database);
    pass.direct().extend_from_slice(write::OK);
}

/// `FLUSHALL [ASYNC | SYNC]`
pub(super) fn flushall<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if flushes(args, pass) {
        connection.task = Some(Box::new(Task::flush(Done::Resp, pass.shared())));
    }
}

/// `FLUSHDB [ASYNC | SYNC]`
pub(super) fn flushdb<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    if flushes(args, pass) {
        let place = pass.place();
        let databases = &pass.shared().databases;
        if databases.is_unused(place) {
            return pass.direct().extend_from_slice(write::OK);
        }
        let is_all = place.index() == 0 && databases.only_first();
        let shared = pass.shared();
        let task = if is_all {
            Task::flush_only(place, Done::Resp, shared)
        } else {
            Task::Walk(Walk::clear(place, shared))
        };
        connection.task = Some(Box::new(task));
    }
}

/// Both ways of flushing are the same here: in slices, and answered at the end.
fn flushes(args: Args<'_>, pass: &mut Pass<'_, '_, '_>) -> bool {
    let known = args.get(1).is_none_or(|how| args.len() == 2 && (is(how, "ASYNC") || is(how, "SYNC")));
    if known {
        pass.counters().flushes.add(1);
    } else {
        pass.syntax_error();
    }
    known
}

pub(super) fn dbsize<'a>(_: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let place = pass.place();
    if !pass.shared().databases.only_first() {
        connection.task = Some(Box::new(Task::Walk(Walk::count(Counted::Size(place)))));
        return;
    }
    pass.run();
    let items = if place.index() == 0 { pass.shared().cache.stats().items } else { 0 };
    write::integer(pass.direct(), items as i64);
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::reactor::service::Service;
    use crate::simulation::setup::{connect, moment, send, with_server};

    /// So many that FLUSHDB takes several turns.
    const KEYS: u32 = 20_000;

    #[test]
    fn what_is_stored_in_another_database_meanwhile_outlives_a_flush() {
        with_server(4 << 20, Config::default(), |shared| {
            let mut handle = shared.cache.handle().expect("the first");
            for key in 0..KEYS {
                handle.put(moment(0).wall, &key.to_le_bytes(), b"v").expect("there is room");
            }
            let mut service = Service::new(shared, 0, handle, moment(0));
            let clients = [1, 2].map(|number| connect(shared, &mut service, number, 64 << 10));
            let ask = |service: &mut Service<'_>, at: usize, request: &[u8]| {
                send(service, &clients[at], request);
                service.turn(moment(0), false);
                clients[at].1.take(usize::MAX)
            };
            assert_eq!(ask(&mut service, 0, b"FLUSHDB\r\n"), b"");
            let sets = (0..100).map(|at| format!("SET k{at} v\r\n")).collect::<Vec<_>>().concat();
            let stored = ask(&mut service, 1, format!("SELECT 1\r\n{sets}").as_bytes());
            assert_eq!(stored, b"+OK\r\n".repeat(101));
            let mut flushed = Vec::new();
            for _ in 0..1000 {
                service.turn(moment(0), false);
                flushed.extend(clients[0].1.take(usize::MAX));
            }
            assert_eq!(flushed, b"+OK\r\n");
            let gets = (0..100).map(|at| format!("GET k{at}\r\n")).collect::<Vec<_>>().concat();
            assert_eq!(ask(&mut service, 1, gets.as_bytes()), b"$1\r\nv\r\n".repeat(100));
            assert_eq!(ask(&mut service, 1, b"SELECT 0\r\nKEYS *\r\n"), b"+OK\r\n*0\r\n");
            service.leave();
        });
    }
}

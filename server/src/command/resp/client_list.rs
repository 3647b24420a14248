//! CLIENT LIST and CLIENT KILL: which clients, and what about them.
//!
//! How a client is doing only its worker knows. So a list begins with a question to all workers, and is told by a task
//! that waits until each has noted the answers, and then looks at some clients a slice; no request pays for that.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crabcache_protocol::number::parse_i64;
use crabcache_protocol::resp::{Args, write};

use super::acl::USER;
use super::connection::ECHOED_MAX;
use super::is;
use crate::clock;
use crate::command::task::Task;
use crate::connection::Connection;
use crate::connection::client::{Client, UNIX};
use crate::mail::Message;
use crate::reactor::batch::Pass;

/// What a client is to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Normal,
    PubSub,
    /// A server that copies from or to this one: there are none.
    Server,
}

impl Type {
    fn parse(name: &[u8]) -> Option<Self> {
        let known = [
            ("NORMAL", Self::Normal),
            ("PUBSUB", Self::PubSub),
            ("MASTER", Self::Server),
            ("REPLICA", Self::Server),
            ("SLAVE", Self::Server),
        ];
        known.iter().find(|(word, _)| is(name, word)).map(|(_, kind)| *kind)
    }

    fn of(client: &Client) -> Self {
        if client.is_subscriber() { Self::PubSub } else { Self::Normal }
    }
}

/// A question to all workers, and what to tell of the answers.
#[derive(Debug)]
pub(crate) struct ClientList {
    number: u64,
    kind: Option<Type>,
    /// In order.
    ids: Option<Vec<u64>>,
    /// Those with lower numbers were looked at.
    next: u64,
    /// Their lines.
    text: String,
}

/// Clients that a slice looks at.
const SLICE: usize = 256;

impl ClientList {
    /// Bytes of memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.text.capacity() + self.ids.as_ref().map_or(0, |ids| ids.capacity() * size_of::<u64>())
    }

    /// Looks at some more, if all workers have answered; true when all are told.
    pub(crate) fn step(&mut self, pass: &mut Pass<'_, '_, '_>) -> bool {
        let shared = pass.shared();
        // Acquire: what the workers noted before, in `Service::survey`.
        if !shared.seats.iter().all(|seat| seat.surveyed.load(Ordering::Acquire) >= self.number) {
            // Nothing else may be going on here, and they need a core.
            std::thread::yield_now();
            return false;
        }
        let now = clock::now().0;
        let clients = shared.clients.some(self.next, SLICE);
        for client in &clients {
            if self.kind.is_none_or(|kind| kind == Type::of(client))
                && self.ids.as_ref().is_none_or(|ids| ids.binary_search(&client.id).is_ok())
            {
                self.text += &line(client, now);
                self.text.push('\n');
            }
        }
        if let Some(last) = clients.last().filter(|_| clients.len() == SLICE) {
            self.next = last.id + 1;
            return false;
        }
        let version = pass.version;
        write::verbatim(pass.direct(), *b"txt", self.text.as_bytes(), version);
        true
    }
}

/// One line of `CLIENT LIST`, without its line end.
pub(super) fn line(client: &Client, now_ms: u64) -> String {
    let names = client.names();
    let seen = client.seen();
    let seconds = |since: u64| now_ms.saturating_sub(since) / 1000;
    let [channels, patterns, shard_channels] = client.subscriptions();
    let mut flags = seen.flags;
    if client.is_subscriber() {
        flags.insert(0, 'P');
    }
    if client.peer == UNIX {
        flags.push('U');
    }
    if flags.is_empty() {
        flags.push('N');
    }
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={channels} psub={patterns} \
         ssub={shard_channels} multi={} watch={} qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 \
         oll={} omem={} tot-mem={} events={} cmd={} user=default redir={} resp={} lib-name={} lib-ver={}",
        client.id,
        client.peer,
        client.local,
        // It may have come so lately that it has none.
        i64::try_from(client.place()).unwrap_or(-1),
        names.client,
        seconds(client.since_ms),
        seconds(seen.last.0),
        seen.database,
        seen.queued.map_or(-1, |queued| queued as i64),
        seen.watched,
        seen.input,
        u8::from(seen.output > 0),
        seen.output,
        seen.held,
        if seen.output > 0 { "rw" } else { "r" },
        seen.command,
        seen.redirect,
        client.resp.load(Ordering::Relaxed).max(2),
        names.library,
        names.library_version
    )
}

/// `CLIENT LIST [TYPE type] [ID id ...]`
pub(super) fn list<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let mut options = args.iter().skip(2);
    let (mut kind, mut ids) = (None, None);
    match (options.next(), options.next()) {
        (None, _) => {}
        (Some(option), Some(name)) if is(option, "TYPE") && args.len() == 4 => {
            kind = Type::parse(name);
            if kind.is_none() {
                return pass.error(&format!("ERR Unknown client type '{}'", String::from_utf8_lossy(name)));
            }
        }
        (Some(option), Some(_)) if is(option, "ID") && args.len() > ECHOED_MAX => {
            return pass.error("ERR too many client IDs at once");
        }
        (Some(option), Some(first)) if is(option, "ID") => {
            let numbers =
                std::iter::once(first).chain(options).map(|id| parse_i64(id).map(i64::cast_unsigned));
            let Some(mut numbers) = numbers.collect::<Option<Vec<u64>>>() else {
                return pass.error("ERR Invalid client ID");
            };
            numbers.sort_unstable();
            ids = Some(numbers);
        }
        _ => return pass.syntax_error(),
    }
    let shared = pass.shared();
    let number = shared.surveys.fetch_add(1, Ordering::Relaxed) + 1;
    for seat in &shared.seats {
        seat.send(Message::Survey(number));
    }
    connection.task =
        Some(Box::new(Task::Clients(ClientList { number, kind, ids, next: 0, text: String::new() })));
}

/// Which clients are to be closed.
#[derive(Debug, Default)]
struct Filter<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    kind: Option<Type>,
    /// Longest age in milliseconds.
    age_ms: Option<u64>,
    spares_self: bool,
}

impl<'a> Filter<'a> {
    /// Reads `option value ...`; the error is the text of the answer.
    fn parse(args: Args<'a>) -> Result<Self, String> {
        const SYNTAX: &str = "ERR syntax error";
        let mut filter = Self { spares_self: true, ..Self::default() };
        let mut options = args.iter().skip(2);
        while let Some(option) = options.next() {
            let value = options.next().ok_or(SYNTAX)?;
            if is(option, "ID") {
                let id =
                    parse_i64(value).filter(|id| *id > 0).ok_or("ERR client-id should be greater than 0")?;
                filter.id = Some(id.cast_unsigned());
            } else if is(option, "MAXAGE") {
                let age = parse_i64(value).ok_or("ERR maxage is not an integer or out of range")?;
                let age = u64::try_from(age)
                    .ok()
                    .filter(|age| *age > 0)
                    .ok_or("ERR maxage should be greater than 0")?;
                filter.age_ms = Some(age.saturating_mul(1000));
            } else if is(option, "TYPE") {
                let unknown = || format!("ERR Unknown client type '{}'", String::from_utf8_lossy(value));
                filter.kind = Some(Type::parse(value).ok_or_else(unknown)?);
            } else if is(option, "ADDR") {
                filter.address = Some(value);
            } else if is(option, "LADDR") {
                filter.local = Some(value);
            } else if is(option, "USER") {
                if value != USER.as_bytes() {
                    return Err(format!("ERR No such user '{}'", String::from_utf8_lossy(value)));
                }
            } else if is(option, "SKIPME") {
                filter.spares_self = if is(value, "YES") {
                    true
                } else if is(value, "NO") {
                    false
                } else {
                    return Err(SYNTAX.to_owned());
                };
            } else {
                return Err(SYNTAX.to_owned());
            }
        }
        Ok(filter)
    }

    fn wants(&self, client: &Client, now_ms: u64) -> bool {
        self.id.is_none_or(|id| id == client.id)
            && self.address.is_none_or(|address| address == client.peer.as_bytes())
            && self.local.is_none_or(|local| local == client.local.as_bytes())
            && self.kind.is_none_or(|kind| kind == Type::of(client))
            && self.age_ms.is_none_or(|age| now_ms.saturating_sub(client.since_ms) >= age)
    }
}

/// `CLIENT KILL address | [option value ...]`
pub(super) fn kill<'a>(args: Args<'a>, connection: &mut Connection, pass: &mut Pass<'a, '_, '_>) {
    let old = args.len() == 3;
    let filter = if old {
        Filter { address: args.get(2), ..Filter::default() }
    } else {
        match Filter::parse(args) {
            Ok(filter) => filter,
            Err(text) => return pass.error(&text),
        }
    };
    let (shared, now) = (pass.shared(), pass.now().0);
    let mut killed = 0;
    let clients = shared.clients.all();
    pass.executor.note_work(clients.len() * 50);
    for client in clients.iter().filter(|client| filter.wants(client, now)) {
        let own = Arc::ptr_eq(client, &connection.client);
        if own && filter.spares_self {
            continue;
        }
        killed += 1;
        if own {
            // It is answered first.
            connection.close();
        } else {
            shared.kill(client);
        }
    }
    match (old, killed) {
        (true, 0) => pass.error("ERR No such client"),
        (true, _) => pass.direct().extend_from_slice(write::OK),
        (false, _) => write::integer(pass.direct(), killed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::reactor::service::Service;
    use crate::simulation::setup::{connect, moment, read_mail, send, with_server};

    const CLIENTS: usize = 20 * SLICE;

    /// The answer to a request while there are many clients, and in how many turns it came.
    fn ask(request: &str) -> (String, usize) {
        let mut answered = (String::new(), 0);
        with_server(1 << 20, Config::default(), |shared| {
            let handle = shared.cache.handle().expect("the first");
            let mut service = Service::new(shared, 0, handle, moment(0));
            let client = connect(shared, &mut service, 1, 64 << 20);
            for _ in 1..CLIENTS {
                shared.clients.add("elsewhere:0".to_owned(), "here:0".to_owned(), 0, 0);
            }
            send(&mut service, &client, request.as_bytes());
            while !answered.0.ends_with("\r\n") {
                service.turn(moment(0), false);
                read_mail(shared, &mut service);
                answered.0 += &String::from_utf8(client.1.take(usize::MAX)).expect("text");
                answered.1 += 1;
                assert!(answered.1 < 1000, "no end: {}", answered.0);
            }
            service.leave();
        });
        answered
    }

    #[test]
    fn a_list_of_many_clients_is_told_in_slices() {
        let (list, turns) = ask("CLIENT LIST\r\n");
        let lines: Vec<&str> = list.lines().filter(|line| line.starts_with("id=")).collect();
        assert_eq!(lines.len(), CLIENTS);
        for (at, line) in lines.iter().enumerate() {
            assert!(line.starts_with(&format!("id={} ", at + 1)), "{line}");
            // Those that nobody has admitted yet.
            assert_eq!(line.contains(" fd=-1 "), at > 0, "{line}");
        }
        assert!(turns > CLIENTS / SLICE, "{turns}");
    }

    #[test]
    fn those_of_many_numbers_are_found_in_their_order() {
        const ASKED: usize = 1000;
        let numbers: Vec<String> = (0..=ASKED).rev().map(|number| (2 * number).to_string()).collect();
        let (list, _) = ask(&format!("CLIENT LIST ID {}\r\n", numbers.join(" ")));
        let found: Vec<&str> =
            list.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next()).collect();
        let expected: Vec<String> = (1..=ASKED).map(|at| (2 * at).to_string()).collect();
        assert_eq!(found, expected);
    }
}

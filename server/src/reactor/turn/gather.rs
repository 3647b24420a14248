//! The first walk of a turn: one `recv` from every client that has something to say.
//!
//! Whoever was answered much in its last turn comes behind the others, so that those who ask for little wait for one turn, not for
//! as many as there are clients with large answers. It is not left out, however much the others ask: some of the buffer is
//! kept for it, and the first of them is answered whatever came before ([`Turn::process`]), unless that was more than two turns may
//! answer or do.
//!
//! Whoever asked for work that shows in no answer (BITCOUNT of a large value) comes behind the others, too, and where there are
//! others, only into every other turn: nobody is answered before the turn is over, so that those who come while such a request is
//! carried out would have to wait for the next one as well.

use std::io::ErrorKind;

use crabcache_engine::Millis;

use super::{GATHER_LEN, Segment, Source, Turn};
use crate::connection::Phase;
use crate::connection::input::LARGE;
use crate::reactor::sized;
use crate::stats::Counters;

/// Bytes that a turn reads from one client.
pub(crate) const READ_MAX: usize = sized(256 << 10);
/// With less room than this in the buffer a client waits for the next turn.
pub(super) const READ_MIN: usize = sized(16 << 10);
/// So much of the buffer is kept for those who come behind: what one of them has kept of a request that is not large, and that.
pub(super) const KEPT_FOR_LAST: usize = LARGE + READ_MIN;
/// Bytes of large values and of answers that had to wait, which a turn moves: about a millisecond. Who comes behind that waits for the
/// next turn.
const MOVED_MAX: usize = sized(1 << 20);

impl Turn<'_> {
    /// Reads from every client on the list.
    pub(crate) fn gather(&mut self, now: Millis, counters: &Counters) {
        self.now = now;
        let mut received = 0;
        let mut filled = 0;
        let mut moved = 0;
        std::mem::swap(&mut self.ready, &mut self.visiting);
        let first = self.visiting.len();
        self.first_heavy = usize::MAX;
        let spares = !std::mem::take(&mut self.spared);
        // Some of those who come behind may have been left out of many turns: the next one of them is not, whatever was moved.
        let mut moves_one_behind = true;
        let mut at = 0;
        while let Some(&key) = self.visiting.get(at) {
            let behind = at >= first;
            at += 1;
            let Some(connection) = self.connections.get_mut(key) else { continue };
            if (connection.heavy || connection.toils) && !behind {
                self.visiting.push(key);
                continue;
            }
            if behind {
                self.first_heavy = self.first_heavy.min(self.segments.len());
            }
            if connection.toils && spares && !self.segments.is_empty() {
                self.spared = true;
                connection.left_out = true;
                self.ready.push(key);
                continue;
            }
            (connection.queued, connection.left_out) = (false, false);
            let spared = behind && std::mem::take(&mut moves_one_behind);
            if moved > MOVED_MAX && connection.moves_much() && !spared {
                (connection.queued, connection.left_out) = (true, true);
                self.ready.push(key);
                continue;
            }
            if !connection.output.is_empty() {
                let before = connection.output.len();
                let flushed = connection.flush();
                let taken = before - connection.output.len();
                if taken > 0 {
                    connection.moved = now;
                    self.budget.charge(connection);
                }
                moved += taken;
                counters.bytes_out.add(taken as u64);
                if flushed.is_err() {
                    self.lose(key);
                    continue;
                }
                if !connection.output.is_empty() {
                    continue;
                }
            }
            if connection.phase != Phase::Open {
                self.wind_up(key);
                continue;
            }
            if connection.waits {
                continue;
            }
            if connection.arriving.as_mut().is_some_and(|arriving| arriving.left() > 0) {
                if connection.readable {
                    let len;
                    (len, filled) = self.gather_value(key, filled);
                    received += len;
                    moved += len;
                }
                continue;
            }
            if connection.gathers() {
                if !connection.readable {
                    continue;
                }
                if connection.input.is_reserved()
                    || (!self.budget.has_waiting() && self.budget.admit(connection, now))
                {
                    let len = self.gather_large(key);
                    received += len;
                    moved += len;
                } else {
                    self.budget.wait(key, connection, now);
                }
                continue;
            }
            if connection.answer_wanted().is_some() {
                if !self.budget.has_waiting() && self.budget.admit(connection, now) {
                    self.push_own(key);
                } else {
                    self.budget.wait(key, connection, now);
                }
                continue;
            }
            if connection.heavy && !connection.has_reserved_answer() && self.budget.is_tight_for(connection) {
                self.budget.wait(key, connection, now);
                continue;
            }
            if connection.task.is_some() || connection.input.is_whole() {
                self.push_own(key);
                continue;
            }
            if !connection.readable {
                continue;
            }
            let kept = connection.input.kept().len();
            let start = filled;
            let fresh = start + kept;
            let buffer_len = if behind { GATHER_LEN } else { GATHER_LEN - KEPT_FOR_LAST };
            if fresh + READ_MIN > buffer_len {
                (connection.queued, connection.left_out) = (true, true);
                self.ready.push(key);
                continue;
            }
            let room = (buffer_len - fresh).min(if self.budget.is_tight() { READ_MIN } else { READ_MAX });
            match connection.stream.recv(&mut self.buffer[fresh..fresh + room]) {
                Ok(0) => self.gone.push(key),
                Ok(len) => {
                    received += len;
                    connection.moved = now;
                    connection.readable = len == room || connection.half_closed;
                    if kept > 0 {
                        self.buffer[start..fresh].copy_from_slice(connection.input.kept());
                        connection.input.clear();
                    }
                    let start = start + connection.input.skipped(len);
                    filled = fresh + len;
                    self.segments.push(Segment {
                        key,
                        source: Source::Buffer { start, end: filled },
                        carries: kept > 0,
                        consumed: 0,
                    });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => connection.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => self.enqueue(key),
                Err(_) => self.gone.push(key),
            }
        }
        self.visiting.clear();
        counters.bytes_in.add(received as u64);
    }

    /// Receives more of a large request; it becomes a segment when all of it that is known of is here.
    fn gather_large(&mut self, key: usize) -> usize {
        let now = self.now;
        let connection = &mut self.connections[key];
        match connection.input.fill(&mut connection.stream) {
            Ok((0, _)) => self.gone.push(key),
            Ok((len, drained)) => {
                connection.moved = now;
                connection.input.note_progress(false, now);
                connection.readable = !drained || connection.half_closed;
                if connection.input.is_enough() {
                    self.push_own(key);
                } else if connection.readable {
                    self.enqueue_last(key);
                }
                return len;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => self.enqueue(key),
            Err(_) => self.gone.push(key),
        }
        0
    }

    /// Makes a segment of what a connection has gathered.
    fn push_own(&mut self, key: usize) {
        let bytes = self.connections[key].input.take();
        let source = Source::Own(self.owned.len());
        self.segments.push(Segment { key, source, carries: !bytes.is_empty(), consumed: 0 });
        self.owned.push(bytes);
    }

    /// A client that is answered: says that nothing more comes, then drops what it still sends.
    fn wind_up(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if connection.phase == Phase::Closing {
            connection.phase = Phase::Lingering;
            connection.moved = self.now;
            connection.stream.end_sending();
            self.lingering.push(key);
        }
        match connection.stream.recv(&mut self.buffer[GATHER_LEN..]) {
            Ok(0) => self.gone.push(key),
            Ok(_) => {
                connection.moved = self.now;
                self.enqueue(key);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => connection.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => self.enqueue(key),
            Err(_) => self.gone.push(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use crabcache_protocol::native::{self, Command};

    use super::READ_MAX;
    use crate::config::Config;
    use crate::reactor::service::Service;
    use crate::shared::Shared;
    use crate::shutdown::Level;
    use crate::simulation::setup::{connect, moment, read_mail, send as ask, with_server};
    use crate::simulation::wire::Peer;

    /// A large value, and clients enough to ask for more of it than a turn answers.
    const LARGE: usize = 30_000;
    const GREEDY: usize = 20;
    /// One for which nobody comes behind the others, and more clients that ask for it than a turn answers.
    const MIDDLING: usize = 3000;
    const MODEST: usize = 60;
    /// Turns after which it is known who is answered much.
    const LEARNT: u64 = 20;

    /// Lets so many clients come to a server that has a large value, a middling and a small one.
    fn with_clients(count: usize, work: impl FnOnce(&mut Service<'_>, &[(usize, Peer)])) {
        with_shared(count, |_, service, clients| work(service, clients));
    }

    fn with_shared(count: usize, work: impl FnOnce(&Shared<'_>, &mut Service<'_>, &[(usize, Peer)])) {
        with_config(count, Config::default(), work);
    }

    /// The same where they may hold little memory.
    fn with_little_memory(count: usize, work: impl FnOnce(&mut Service<'_>, &[(usize, Peer)])) {
        let config = Config { client_memory_bytes: 0, ..Config::default() };
        with_config(count, config, |_, service, clients| work(service, clients));
    }

    fn with_config(
        count: usize,
        config: Config,
        work: impl FnOnce(&Shared<'_>, &mut Service<'_>, &[(usize, Peer)]),
    ) {
        with_server(2 << 20, config, |shared| {
            let mut service = Service::new(shared, 0, shared.cache.handle().expect("the first"), moment(0));
            let clients: Vec<(usize, Peer)> =
                (0..count as u64).map(|number| connect(shared, &mut service, number, 64 << 10)).collect();
            let set = |key, len| format!("SETRANGE {key} {} v\r\n", len - 1);
            let sets = [set("large", LARGE), set("middling", MIDDLING), set("small", 1)].concat();
            ask(&mut service, &clients[0], sets.as_bytes());
            service.turn(moment(0), false);
            clients[0].1.take(usize::MAX);
            work(shared, &mut service, &clients);
            service.leave();
        });
    }

    #[test]
    fn who_asks_for_little_is_answered_in_the_next_turn_and_the_others_in_theirs() {
        with_clients(GREEDY + 1, |service, clients| {
            let (modest, greedy) = clients.split_last().expect("some");
            let answer_len = format!("${LARGE}\r\n").len() + LARGE + 2;
            let mut taken = [0; GREEDY];
            let mut before = taken;
            for turn in 0..200 {
                if turn == LEARNT {
                    before = taken;
                }
                for (client, taken) in greedy.iter().zip(&mut taken) {
                    let more = client.1.take(usize::MAX).len();
                    *taken += more;
                    if turn == 0 || (more > 0 && *taken % answer_len == 0) {
                        ask(service, client, b"GET large\r\n");
                    }
                }
                // Behind all of them.
                ask(service, modest, b"GET small\r\n");
                service.turn(moment(turn), false);
                let answer = modest.1.take(usize::MAX);
                assert!(turn < LEARNT || answer == b"$1\r\nv\r\n", "turn {turn}: {}", answer.escape_ascii());
            }
            let each = taken.iter().zip(before).map(|(taken, before)| taken - before);
            let (least, most) = (each.clone().min().expect("some"), each.max().expect("some"));
            // Not the same for all: those who are answered in one turn ask again in the order of their numbers.
            assert!(least > 20 * answer_len && least * 3 > most * 2, "{least} to {most}");
        });
    }

    #[test]
    fn who_asks_for_much_is_answered_however_many_ask_for_little() {
        with_clients(MODEST + 1, |service, clients| {
            let (greedy, modest) = clients.split_last().expect("some");
            let mut large = 0;
            for turn in 0..100 {
                if turn == 0 || greedy.1.take(usize::MAX).ends_with(b"\r\n") {
                    large += 1;
                    ask(service, greedy, b"GET large\r\n");
                }
                for client in modest {
                    if turn == 0 || !client.1.take(usize::MAX).is_empty() {
                        ask(service, client, b"GET middling\r\n");
                    }
                }
                service.turn(moment(turn), false);
            }
            assert!(large > 90, "{large}");
        });
    }

    /// Lets clients send so much that none of them is ever drained.
    fn flood(service: &mut Service<'_>, senders: &[(usize, Peer)], request: &[u8]) {
        for sender in senders {
            sender.1.take(usize::MAX);
            let missing = (4 * READ_MAX).saturating_sub(sender.1.unread());
            if missing > 0 {
                ask(service, sender, &request.repeat(missing.div_ceil(request.len())));
            }
        }
    }

    fn set(value_len: usize) -> Vec<u8> {
        format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${value_len}\r\n{}\r\n", "v".repeat(value_len)).into_bytes()
    }

    #[test]
    fn who_comes_behind_is_read_however_much_the_others_send() {
        // Gathered, and received into their places.
        for value_len in [100, 3500] {
            with_clients(MODEST, |service, clients| {
                let (greedy, senders) = clients.split_first().expect("some");
                ask(service, greedy, b"GET large\r\n");
                service.turn(moment(0), false);
                assert!(greedy.1.take(usize::MAX).ends_with(b"\r\n"));
                for round in 0..10 {
                    // In two pieces, of which the first has to be kept.
                    for (piece, turns) in [(&b"GET la"[..], 3), (b"rge\r\n", 40)] {
                        ask(service, greedy, piece);
                        for _ in 0..turns {
                            flood(service, senders, &set(value_len));
                            service.turn(moment(0), false);
                        }
                    }
                    let answer = greedy.1.take(usize::MAX);
                    assert!(answer.ends_with(b"\r\n"), "{value_len}, round {round}: {} bytes", answer.len());
                }
            });
        }
    }

    #[test]
    fn who_comes_behind_is_sent_the_rest_however_much_the_others_send() {
        with_clients(GREEDY, |service, clients| {
            let (greedy, senders) = clients.split_first().expect("some");
            let asked = 20;
            ask(service, greedy, "GET large\r\n".repeat(asked).as_bytes());
            let (mut taken, mut turns) = (0, 0);
            while taken < asked * LARGE {
                flood(service, senders, &set(60_000));
                service.turn(moment(0), false);
                taken += greedy.1.take(usize::MAX).len();
                if let Some(readiness) = greedy.1.poll() {
                    service.note(greedy.0, readiness);
                }
                turns += 1;
                assert!(turns < 100, "{taken} bytes after {turns} turns");
            }
        });
    }

    #[test]
    fn those_who_wait_for_memory_have_it_in_turn() {
        const TURNS: u64 = 4000;
        with_little_memory(GREEDY, |service, clients| {
            let value = "v".repeat(100_000);
            let request = format!("*3\r\n$4\r\nMSET\r\n$1\r\nk\r\n$100000\r\n{value}\r\n");
            let mut answered = [0; GREEDY];
            for turn in 0..TURNS {
                for (client, answered) in clients.iter().zip(&mut answered) {
                    let ok = !client.1.take(usize::MAX).is_empty();
                    *answered += usize::from(ok);
                    if turn == 0 || ok {
                        ask(service, client, request.as_bytes());
                    }
                }
                service.turn(moment(turn), false);
            }
            let (least, most) = (answered.iter().min().expect("some"), answered.iter().max().expect("some"));
            assert!(*least > 5 && least * 2 > *most, "{answered:?}");
        });
    }

    #[test]
    fn many_who_take_nothing_do_not_hold_up_the_others_for_as_many_times_as_long() {
        const STALLED: usize = 10;
        with_little_memory(STALLED + 1, |service, clients| {
            let (other, stalled) = clients.split_last().expect("some");
            // More than all clients together may hold: one at a time is let through.
            ask(service, other, b"SETRANGE huge 349999 v\r\n");
            service.turn(moment(0), false);
            assert_eq!(other.1.take(usize::MAX), b":350000\r\n");
            for client in stalled {
                ask(service, client, "GET huge\r\n".repeat(4).as_bytes());
            }
            service.turn(moment(0), false);
            let mut ms = 0;
            ask(service, other, b"GET large\r\n");
            while other.1.take(usize::MAX).is_empty() {
                service.turn(moment(ms), false);
                ms += 100;
                assert!(ms < 20_000, "it waits");
            }
            assert!(ms > 1000, "nobody held it up");
        });
    }

    /// Requests that take long and answer little, of clients of each protocol.
    const TOIL: [&str; 16] = [
        "SETBIT large 9 1\r\n",
        "SETRANGE large 9 v\r\n",
        "APPEND large v\r\n",
        "INCRBYFLOAT number 1e4900\r\n",
        "BITFIELD large SET u8 9 1\r\n",
        "BITCOUNT large\r\n",
        "BITPOS large 1 9\r\n",
        "BITOP NOT small large\r\n",
        "COPY large copy REPLACE\r\n",
        "RENAMENX large middling\r\n",
        "MEMORY STATS\r\n",
        "INFO nothing\r\n",
        "LATENCY HISTOGRAM\r\n",
        "mg large c\r\n",
        "me large\r\n",
        "md large C1\r\n",
    ];

    #[test]
    fn who_asks_for_work_holds_up_nobody() {
        /// Of such requests a turn carries out fewer than these.
        const AT_A_TIME: u64 = 12;
        const REQUESTS: u64 = 100;
        for request in TOIL {
            // Where nothing is answered it is as much work.
            for replies in [true, false] {
                let resp = request.starts_with(|letter: char| letter.is_ascii_uppercase());
                if !resp && !replies {
                    continue;
                }
                with_clients(3, |service, clients| {
                    let [_, toiler, modest] = clients else { panic!("three") };
                    let pipeline = request.repeat(REQUESTS as usize);
                    let pipeline = match (resp, replies) {
                        (true, true) => pipeline + "PING\r\n",
                        (true, false) => format!("CLIENT REPLY OFF\r\n{pipeline}CLIENT REPLY ON\r\n"),
                        (false, _) => pipeline + "mn\r\n",
                    };
                    ask(service, toiler, pipeline.as_bytes());
                    service.turn(moment(0), false);
                    let (mut turn, mut taken) = (0, toiler.1.take(usize::MAX));
                    while !["+PONG\r\n", "+OK\r\n", "MN\r\n"]
                        .iter()
                        .any(|end| taken.ends_with(end.as_bytes()))
                    {
                        turn += 1;
                        ask(service, modest, b"PING\r\n");
                        service.turn(moment(0), false);
                        assert_eq!(modest.1.take(usize::MAX), b"+PONG\r\n", "{request:?}, turn {turn}");
                        taken.extend(toiler.1.take(usize::MAX));
                        assert!(turn < 4 * REQUESTS, "{request:?}, {replies}: no end");
                    }
                    assert!(turn > REQUESTS / AT_A_TIME, "{request:?}, {replies}: all in {turn} turns");
                });
            }
        }
    }

    #[test]
    fn who_asks_for_many_keys_holds_up_nobody_and_hears_of_nothing_else_meanwhile() {
        const KEYS: usize = 5000;
        with_shared(2, |shared, service, clients| {
            let [greedy, modest] = clients else { panic!("two") };
            ask(service, greedy, b"HELLO 3\r\nSUBSCRIBE c\r\n");
            service.turn(moment(0), false);
            greedy.1.take(usize::MAX);
            let keys = "$5\r\nsmall\r\n$4\r\nnone\r\n".repeat(KEYS / 2);
            ask(service, greedy, format!("*{}\r\n$4\r\nMGET\r\n{keys}INCR n\r\n", KEYS + 1).as_bytes());
            let answer = format!("*{KEYS}\r\n{}", "$1\r\nv\r\n_\r\n".repeat(KEYS / 2));
            let (mut turns, mut taken) = (0, Vec::new());
            while !taken.windows(4).any(|part| part == b":1\r\n") {
                ask(service, modest, b"PUBLISH c m\r\n");
                service.turn(moment(0), false);
                assert_eq!(modest.1.take(usize::MAX), b":1\r\n", "turn {turns}");
                read_mail(shared, service);
                taken.extend(greedy.1.take(usize::MAX));
                turns += 1;
                assert!(turns < 1000, "no end: {}", taken.len());
            }
            assert!(turns > 10, "all in {turns} turns");
            let text = String::from_utf8(taken).expect("text");
            assert!(text.contains(&answer), "{}", &text[..200]);
        });
    }

    /// Of memcached: a command of RESP over several keys is in one piece unless they are very many.
    #[test]
    fn several_large_values_are_answered_in_slices() {
        const VALUES: usize = 20;
        with_clients(2, |service, clients| {
            let [modest, greedy] = clients else { panic!("two") };
            ask(service, greedy, format!("get{}\r\n", " large".repeat(VALUES)).as_bytes());
            // From here on it comes behind the other.
            service.turn(moment(0), false);
            let held = service.turn.connections[greedy.0].held();
            assert!(held < VALUES * LARGE / 2, "{held} bytes at once");
            let (mut turns, mut taken) = (0, greedy.1.take(usize::MAX));
            while !taken.ends_with(b"END\r\n") {
                ask(service, modest, b"PING\r\n");
                service.turn(moment(0), false);
                assert_eq!(modest.1.take(usize::MAX), b"+PONG\r\n", "turn {turns}");
                taken.extend(greedy.1.take(usize::MAX));
                if let Some(readiness) = greedy.1.poll() {
                    service.note(greedy.0, readiness);
                }
                turns += 1;
                assert!(turns < 1000, "no end: {}", taken[..taken.len().min(200)].escape_ascii());
            }
            assert_eq!(taken.windows(5).filter(|part| part == b"VALUE").count(), VALUES);
            assert!(taken.len() > VALUES * LARGE && turns >= VALUES / 3, "{} in {turns} turns", taken.len());
        });
    }

    #[test]
    fn a_request_of_very_many_arguments_is_looked_at_in_parts() {
        const WORDS: usize = 20_000;
        with_clients(2, |service, clients| {
            let [greedy, modest] = clients else { panic!("two") };
            let request = format!("*{}\r\n$4\r\nECHO\r\n{}", WORDS + 1, "$1\r\na\r\n".repeat(WORDS));
            let before = service.turn.connections[greedy.0].input.kept().len();
            assert_eq!(before, 0);
            ask(service, greedy, request.as_bytes());
            let (mut partly, mut taken) = (0, Vec::new());
            for turn in 0.. {
                ask(service, modest, b"PING\r\n");
                service.turn(moment(0), false);
                service.turn.verify();
                assert_eq!(modest.1.take(usize::MAX), b"+PONG\r\n", "turn {turn}");
                partly += usize::from(service.turn.connections[greedy.0].input.is_partly_checked());
                taken.extend(greedy.1.take(usize::MAX));
                if taken.ends_with(b"\r\n") {
                    break;
                }
                assert!(turn < 1000, "no end");
            }
            assert!(taken.starts_with(b"-ERR wrong number of arguments"), "{}", taken.escape_ascii());
            assert!(partly >= WORDS / 2048 - 1, "in {partly} parts");
        });
    }

    #[test]
    fn keys_of_which_copies_are_kept_are_noted_in_slices() {
        const KEYS: usize = 5000;
        with_shared(2, |shared, service, clients| {
            let [keeper, other] = clients else { panic!("two") };
            ask(service, keeper, b"HELLO 3\r\nCLIENT TRACKING ON\r\n");
            service.turn(moment(0), false);
            keeper.1.take(usize::MAX);
            let keys: Vec<_> = (0..KEYS).map(|key| format!("$4\r\n{key:04}\r\n")).collect();
            let keys = keys.concat();
            ask(service, keeper, format!("*{}\r\n$4\r\nMGET\r\n{keys}", KEYS + 1).as_bytes());
            let (mut noted, mut steps) = (0, 0);
            while noted < KEYS {
                service.turn(moment(0), false);
                let now = shared.tracking.figures().keys;
                // A turn has three slices.
                assert!(now - noted <= 3 * 128, "{} at once", now - noted);
                steps += 1;
                assert!(steps < 1000, "no end");
                noted = now;
            }
            keeper.1.take(usize::MAX);
            ask(service, other, format!("SET {} v\r\n", KEYS - 1).as_bytes());
            service.turn(moment(0), false);
            read_mail(shared, service);
            service.turn(moment(0), false);
            let told = keeper.1.take(usize::MAX);
            assert!(told.ends_with(b"invalidate\r\n*1\r\n$4\r\n4999\r\n"), "{}", told.escape_ascii());
        });
    }

    #[test]
    fn who_asks_for_work_is_served_however_many_do() {
        with_clients(GREEDY, |service, clients| {
            let mut answered = [0; GREEDY];
            for turn in 0..40 * GREEDY {
                for (client, answered) in clients.iter().zip(&mut answered) {
                    let answers = client.1.take(usize::MAX);
                    *answered += usize::from(!answers.is_empty());
                    if turn == 0 || !answers.is_empty() {
                        ask(service, client, b"SETBIT large 9 1\r\n");
                    }
                }
                service.turn(moment(0), false);
            }
            let (least, most) = (answered.iter().min().expect("some"), answered.iter().max().expect("some"));
            assert!(*least > 10 && least * 3 > most * 2, "{least} to {most}");
        });
    }

    #[test]
    fn work_is_that_of_whoever_asked_for_it() {
        with_clients(3, |service, clients| {
            let [toiler, modest, other] = clients else { panic!("three") };
            // Larger values are forgotten.
            let later = moment(120_000);
            service.turn(later, false);
            // So large that it is work, and so small that a batch has more than one.
            ask(service, toiler, b"SETRANGE half 17000 v\r\n");
            service.turn(later, false);
            ask(service, toiler, b"PING\r\n");
            service.turn(later, false);
            // It could be carried out with what comes after it.
            ask(service, toiler, b"*3\r\n$6\r\nAPPEND\r\n$4\r\nhalf\r\n$1\r\nv\r\n");
            ask(service, modest, b"PING\r\n");
            service.turn(later, false);
            assert_eq!(modest.1.take(usize::MAX), b"+PONG\r\n");
            ask(service, other, b"PING\r\n");
            ask(service, modest, b"PING\r\n");
            service.turn(later, false);
            assert_eq!(modest.1.take(usize::MAX), b"+PONG\r\n", "it was left out");
        });
    }

    #[test]
    fn who_does_something_to_many_keys_holds_up_nobody() {
        const KEYS: usize = 5000;
        let command = |name: &str, count: usize, words: &str| {
            format!("*{}\r\n${}\r\n{name}\r\n{words}", count + 1, name.len())
        };
        let keys = "$5\r\nsmall\r\n$4\r\nnone\r\n".repeat(KEYS / 2);
        // One of them is too long to be stored.
        let key = "x".repeat(70_000);
        let pairs = |first: &str| {
            let pairs = (1..KEYS / 2).map(|at| format!("$4\r\n{at:04}\r\n$1\r\nv\r\n"));
            format!("${}\r\n{first}\r\n$1\r\nv\r\n{}", first.len(), pairs.collect::<String>())
        };
        let half = KEYS / 2;
        for (request, answer) in [
            (command("EXISTS", KEYS, &keys), format!(":{half}\r\n")),
            (command("TOUCH", KEYS, &keys), format!(":{half}\r\n")),
            (command("MSET", KEYS, &pairs("a")), "+OK\r\n".to_owned()),
            (
                command("MSET", KEYS, &pairs(&key)) + "EXISTS 2499\r\n",
                "-ERR key is too long: it may have 65535 bytes\r\n:1\r\n".to_owned(),
            ),
            (
                command("MSET", KEYS, &pairs("a")) + &command("DEL", KEYS, &pairs("a")),
                format!("+OK\r\n:{half}\r\n"),
            ),
            (command("UNLINK", KEYS, &keys), ":1\r\n".to_owned()),
            (
                format!("get{}\r\nmn\r\n", " small  none".repeat(half)),
                "VALUE small 0 1\r\nv\r\n".repeat(half) + "END\r\nMN\r\n",
            ),
            (
                format!("gat 0{}\r\n", " none small".repeat(half)),
                "VALUE small 0 1\r\nv\r\n".repeat(half) + "END\r\n",
            ),
        ] {
            let name = &request[..20].escape_debug().to_string();
            with_clients(3, |service, clients| {
                let [_, greedy, modest] = clients else { panic!("three") };
                ask(service, greedy, request.as_bytes());
                let (mut turns, mut taken) = (0, Vec::new());
                while taken.len() < answer.len() {
                    // It counts, too.
                    ask(service, modest, b"EXISTS middling middling\r\n");
                    service.turn(moment(0), false);
                    assert_eq!(modest.1.take(usize::MAX), b":2\r\n", "{name}, turn {turns}");
                    taken.extend(greedy.1.take(usize::MAX));
                    turns += 1;
                    assert!(turns < 1000, "{name}: no end: {}", taken.escape_ascii());
                }
                assert_eq!(taken, answer.as_bytes(), "{name}");
                assert!(turns > 30, "{name}: all in {turns} turns");
            });
        }
    }

    /// Nobody has noted that these are work.
    #[test]
    fn of_requests_that_take_little_not_all_are_carried_out_in_a_turn() {
        const REQUESTS: usize = 1200;
        let mut ping = Vec::new();
        let command = Command::Ping { payload: b"" };
        native::Request { opaque: 0, quiet: false, command }.encode(&mut ping).expect("it has no key");
        let exec = b"MULTI\r\nPING\r\nEXEC\r\n";
        let requests: [(&[u8], usize); 5] =
            [(b"PING\r\n", 1), (exec, 3), (b"mn\r\n", 1), (b"nonsense a\r\n", 1), (&ping, 1)];
        for (request, requests) in requests {
            let name = request.escape_ascii();
            with_clients(3, |service, clients| {
                let [_, busy, modest] = clients else { panic!("three") };
                ask(service, busy, request);
                service.turn(moment(0), false);
                let answer = busy.1.take(usize::MAX);
                let times = REQUESTS / requests;
                ask(service, busy, &request.repeat(times));
                service.turn(moment(0), false);
                let (mut turns, mut taken) = (1, busy.1.take(usize::MAX).len());
                while taken < times * answer.len() {
                    ask(service, modest, b"PING\r\n");
                    service.turn(moment(0), false);
                    assert_eq!(modest.1.take(usize::MAX), b"+PONG\r\n", "{name}, turn {turns}");
                    taken += busy.1.take(usize::MAX).len();
                    turns += 1;
                    assert!(turns < 100, "{name}: no end");
                }
                assert!(turns > 1, "{name}: all in one turn");
            });
        }
    }

    /// What a client has sent before the server is told to end is answered.
    #[test]
    fn who_was_left_out_is_answered_before_the_end() {
        with_shared(2, |shared, service, clients| {
            let [toiler, modest] = clients else { panic!("two") };
            let work = "SETBIT large 9 1\r\n".repeat(100);
            ask(service, toiler, work.as_bytes());
            while !toiler.1.take(usize::MAX).is_empty() || service.has_work() {
                service.turn(moment(0), false);
            }
            shared.control.raise(Level::Draining);
            assert!(!service.turn(moment(0), false), "it has just begun to end");
            ask(service, modest, b"PING\r\n");
            ask(service, toiler, b"INCR n\r\n");
            let mut answers = [Vec::new(), Vec::new()];
            for _ in 0..5 {
                service.turn(moment(0), false);
                for (answers, client) in answers.iter_mut().zip(clients) {
                    answers.extend(client.1.take(usize::MAX));
                }
            }
            assert_eq!(answers, [&b":1\r\n"[..], b"+PONG\r\n"]);
        });
    }
}

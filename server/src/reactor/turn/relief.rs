//! Clients whose memory is needed.

use crabcache_engine::Millis;

use super::Turn;
use crate::command;
use crate::connection::{Connection, Phase};
use crate::reactor::budget;
use crate::stats::Counters;

impl Turn<'_> {
    /// Looks after the clients that wait for memory.
    pub(crate) fn relieve(&mut self, counters: &Counters) {
        self.wake_waiting();
        if self.budget.looks(self.now) {
            // The largest first: its memory may be enough.
            let rest_ms = self.budget.rest_ms();
            if self.budget.is_waited_for()
                && let Some(key) = self.largest(|connection, now| {
                    budget::is_through(connection) && budget::rests(connection, now, rest_ms)
                })
            {
                self.close_for_memory(key, counters);
            }
            while self.budget.has_waiting()
                && let Some(key) = self.largest(|connection, now| budget::rests(connection, now, rest_ms))
            {
                self.close_for_memory(key, counters);
                self.budget.note_rested();
                self.wake_waiting();
            }
        }
        if self.budget.is_stuck(self.now) {
            self.close_largest(counters);
        }
    }

    fn wake_waiting(&mut self) {
        while let Some(key) = self.budget.next(&mut self.connections, self.now) {
            self.enqueue(key);
        }
    }

    /// Of the clients that are `wanted`, the one that holds most memory, if any holds some.
    fn largest(&self, wanted: impl Fn(&Connection, Millis) -> bool) -> Option<usize> {
        let wanted = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.gives_way() && wanted(connection, self.now));
        let largest = wanted.max_by_key(|(_, connection)| connection.charge.counted());
        largest.filter(|(_, connection)| connection.charge.counted() > 0).map(|(key, _)| key)
    }

    /// Closes the client that holds most memory; false if nobody holds any that can be had.
    #[cold]
    pub(super) fn close_largest(&mut self, counters: &Counters) -> bool {
        let largest = self.largest(|_, _| true);
        if let Some(key) = largest {
            self.close_for_memory(key, counters);
        }
        largest.is_some()
    }

    /// Closes a client whose memory is needed.
    #[cold]
    fn close_for_memory(&mut self, key: usize, counters: &Counters) {
        let rests = !self.connections[key].output.is_empty();
        if self.strip(key, rests) {
            counters.memory_closes.add(u64::from(rests));
            return;
        }
        counters.memory_closes.add(1);
        self.dismiss(key, command::out_of_memory(self.connections[key].dialect));
    }

    /// Takes a client's memory back, and closes it with this for an answer.
    pub(super) fn dismiss(&mut self, key: usize, answer: &[u8]) {
        let connection = &mut self.connections[key];
        if connection.output.is_empty() {
            self.budget.release(connection);
            // What it sends is dropped from here on, and it is told why.
            connection.output.keep(answer);
            self.budget.charge(connection);
            connection.moved = self.now;
            connection.waits = false;
            connection.close();
            self.enqueue(key);
        } else {
            // It does not take its answers; it would not take an error either.
            self.abandon(key);
        }
    }

    /// Takes back what a client that is in the middle of a transaction can do without; false if it is in none. Where it `goes`, it is
    /// let go behind that.
    pub(super) fn strip(&mut self, key: usize, goes: bool) -> bool {
        let connection = &mut self.connections[key];
        let Some(exec) = connection.executing() else { return false };
        exec.drop_answer();
        if goes {
            exec.lets_go();
            connection.output.take();
        }
        self.budget.charge(connection);
        self.enqueue(key);
        true
    }

    /// Lets a client go that takes nothing more, but not in the middle of a transaction.
    pub(super) fn lose(&mut self, key: usize) {
        if !self.strip(key, true) {
            // At once, lest somebody else is closed for want of its memory.
            self.budget.release(&mut self.connections[key]);
            self.gone.push(key);
        }
    }

    /// Takes a client's memory back, and lets it go at the end of this turn without another word.
    pub(super) fn abandon(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        self.budget.release(connection);
        // Nothing more is kept for it.
        connection.phase = Phase::Lingering;
        self.gone.push(key);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::connection::Connection;
    use crate::reactor::service::Service;
    use crate::shared::Shared;
    use crate::simulation::setup::{connect, moment, send, with_server};
    use crate::simulation::wire::Peer;

    type Clients<'c> = &'c [(usize, Peer)];

    /// Lets some clients come to a server where they may hold 512 KiB together, whatever they do.
    fn with_clients(work: impl FnOnce(&Shared<'_>, &mut Service<'_>, Clients<'_>)) {
        let config = Config { client_memory_bytes: 0, ..Config::default() };
        with_server(16 << 20, config, |shared| {
            let mut service = Service::new(shared, 0, shared.cache.handle().expect("the first"), moment(0));
            let clients: Vec<(usize, Peer)> =
                (0..6).map(|number| connect(shared, &mut service, number, 2 << 20)).collect();
            work(shared, &mut service, &clients);
            service.leave();
        });
    }

    fn turn(service: &mut Service<'_>) {
        service.turn(moment(0), false);
        service.turn.verify();
    }

    /// Lets a client ask for something, and gives the answer.
    fn ask(service: &mut Service<'_>, client: &(usize, Peer), request: &[u8]) -> Vec<u8> {
        send(service, client, request);
        turn(service);
        while service.has_work() {
            turn(service);
        }
        client.1.take(usize::MAX)
    }

    /// What takes more memory than there is.
    #[test]
    fn who_asks_for_more_than_there_is_waits_for_the_others() {
        with_clients(|shared, service, clients| {
            let (first, rest) = clients.split_first().expect("some");
            for set in ["SETRANGE a 1999 x\r\n", "SETRANGE b 1999 y\r\n", "SETRANGE l 699999 v\r\n"] {
                ask(service, first, set.as_bytes());
            }
            let payload = ask(service, first, b"DUMP l\r\n");
            let payload = &payload[9..payload.len() - 2];
            let restore = [
                format!("*5\r\n$7\r\nRESTORE\r\n$1\r\nr\r\n$1\r\n0\r\n${}\r\n", payload.len()).as_bytes(),
                payload,
                b"\r\n$7\r\nREPLACE\r\n",
            ]
            .concat();
            let in_transaction =
                |request: &str| format!("MULTI\r\n{request}\r\nSET n 1\r\nEXEC\r\n").into_bytes();
            for request in [
                b"LCS a b LEN\r\n".to_vec(),
                b"DUMP l\r\n".to_vec(),
                restore,
                in_transaction("LCS a b LEN"),
                in_transaction("DUMP l"),
            ] {
                let shown = request[..20.min(request.len())].escape_ascii().to_string();
                let alone = ask(service, first, &request);
                assert!(!alone.starts_with(b"-"), "{shown}: {}", alone.escape_ascii());
                for client in rest {
                    send(service, client, &request);
                }
                let mut answers = vec![Vec::new(); rest.len()];
                for _ in 0..500 {
                    turn(service);
                    for (answer, client) in answers.iter_mut().zip(rest) {
                        answer.extend(client.1.take(usize::MAX));
                    }
                }
                for answer in answers {
                    assert!(answer == alone, "{shown}: {}", answer[..100.min(answer.len())].escape_ascii());
                }
            }
            assert_eq!(shared.seats[0].counters.memory_closes.get(), 0);
        });
    }

    #[test]
    fn one_answer_at_a_time_is_larger_than_there_is_memory_for_whoever_makes_it() {
        let config = Config { client_memory_bytes: 0, workers: 2, ..Config::default() };
        for takes in [true, false] {
            with_server(16 << 20, config.clone(), |shared| {
                let mut services = [0, 1].map(|number| {
                    Service::new(shared, number, shared.cache.handle().expect("one each"), moment(0))
                });
                // Nobody else waits where the first of them is.
                let clients: [Vec<(usize, Peer)>; 2] = [1, 2].map(|count| {
                    let service = &mut services[count - 1];
                    (0..count as u64).map(|number| connect(shared, service, number, 64 << 10)).collect()
                });
                ask(&mut services[0], &clients[0][0], b"SETRANGE l 699999 v\r\n");
                for (service, clients) in services.iter_mut().zip(&clients) {
                    for client in clients {
                        send(service, client, b"MULTI\r\nGET l\r\nGET l\r\nEXEC\r\n");
                    }
                }
                let mut ended = 0;
                for tenths in 0..200 {
                    let mut full = 0;
                    for (service, clients) in services.iter_mut().zip(&clients) {
                        service.turn(moment(100 * tenths), false);
                        service.turn.verify();
                        for (key, peer) in clients {
                            let held = service.turn.connections.get(*key).map_or(0, Connection::held);
                            full += usize::from(held > 700_000);
                            if takes {
                                let taken = peer.take(usize::MAX);
                                ended += usize::from(taken.ends_with(b"v\r\n"));
                                if let Some(readiness) = peer.poll() {
                                    service.note(*key, readiness);
                                }
                            }
                        }
                    }
                    assert!(full <= 1, "{full} at {tenths}");
                }
                let closes: u64 = shared.seats.iter().map(|seat| seat.counters.memory_closes.get()).sum();
                // Whoever takes nothing is closed for the next one.
                assert_eq!((ended, closes), if takes { (3, 0) } else { (0, 2) });
                for service in &mut services {
                    service.leave();
                }
            });
        }
    }

    /// Clients that have queued much, and go on, beside two transactions that have begun; the one of little memory is let through.
    #[test]
    fn a_transaction_that_has_begun_is_carried_out_though_its_memory_is_needed() {
        with_clients(|shared, service, clients| {
            let [first, small, large, others @ ..] = clients else { panic!("some") };
            let mut handle = shared.cache.handle().expect("another");
            for key in 0..20_000_u32 {
                handle.put(moment(0).wall, &key.to_le_bytes(), b"v").expect("there is room");
                if key % 100 == 0 {
                    // What was replaced may be used again.
                    handle.quiescent(moment(0).wall);
                    turn(service);
                }
            }
            handle.offline();
            let set =
                |key, len| format!("*3\r\n$3\r\nSET\r\n$1\r\n{key}\r\n${len}\r\n{}\r\n", "v".repeat(len));
            let walks = "KEYS nothing\r\n".repeat(9);
            for other in others {
                ask(service, other, format!("MULTI\r\n{}", set("q", 40_000)).as_bytes());
            }
            ask(service, small, format!("MULTI\r\n{walks}").as_bytes());
            let sets = set("p", 40_000).repeat(3);
            ask(service, large, format!("MULTI\r\n{sets}SET n 1\r\n{walks}SET n 2\r\n").as_bytes());
            for client in [small, large] {
                send(service, client, b"EXEC\r\n");
                while service.turn.connections[client.0].executing().is_none() {
                    turn(service);
                }
            }
            for other in others {
                send(service, other, set("q", 1000).repeat(45).as_bytes());
            }
            while service.has_work() {
                turn(service);
            }
            let answer = large.1.take(usize::MAX);
            assert!(answer.ends_with(b"its answer is too long to be given\r\n"), "{}", answer.escape_ascii());
            assert_eq!(ask(service, first, b"GET n\r\n"), b"$1\r\n2\r\n");
        });
    }
}

//! What other clients cause a client to be sent, once its worker has come to it (`mail.rs`): in the words of the version of RESP
//! that it speaks by then, and if it has not unsubscribed meanwhile.

use std::io::IoSlice;
use std::sync::Arc;

use crabcache_protocol::resp::Version;

use super::Turn;
use super::scatter::{after, once};
use crate::connection::client::Client;
use crate::connection::{Connection, Phase};
use crate::mail::{self, Stale, Text, What};
use crate::reactor::sized;
use crate::stats::Counters;

/// A text that has so many bytes is sent at once, as far as the socket takes it; others go together.
const PUSHED_AT_ONCE: usize = sized(16 << 10);

/// Whether the client still wants a text that was meant for it.
fn wants(connection: &Connection, text: &Text) -> bool {
    match (text.subscription(), text.what()) {
        (Some((kind, name)), _) => {
            connection.subscriptions.as_ref().is_some_and(|subscriptions| subscriptions.has(kind, name))
        }
        (None, What::Shown) => connection.monitoring.is_some(),
        (None, _) => connection.tracked.is_some() && connection.client.version() == Version::Resp3,
    }
}

impl Turn<'_> {
    /// Adds a text to what a client is sent.
    pub(crate) fn push(&mut self, client: &Arc<Client>, text: &Text, counters: &Counters) {
        let Some(key) = self.find(client) else { return };
        if wants(&self.connections[key], text) {
            self.deliver(key, text.parts(client.version()), counters);
        }
    }

    /// Tells a client of keys that have changed.
    pub(crate) fn invalidate(&mut self, client: &Arc<Client>, mut stale: Stale, counters: &Counters) {
        let Some(key) = self.find(client) else { return };
        let (connection, version) = (&self.connections[key], client.version());
        let wants = match version {
            Version::Resp3 => connection.tracked.is_some() || stale.redirected,
            Version::Resp2 => connection.subscriptions.is_some() && stale.redirected,
        };
        if wants {
            if connection.output.len() + stale.len() > mail::WAITING_MAX {
                stale.tell_all();
            }
            let (head, keys) = stale.parts(version);
            self.deliver(key, [&head, keys], counters);
        }
    }

    /// Adds a message to what a client is sent. If too much waits for it already, it goes.
    fn deliver<const N: usize>(&mut self, key: usize, parts: [&[u8]; N], counters: &Counters) {
        let connection = &mut self.connections[key];
        if connection.phase != Phase::Open {
            return;
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let holds = connection.holds_messages();
        let mut sent = 0;
        if len >= PUSHED_AT_ONCE && !holds {
            let sending = connection.flush().and_then(|()| {
                let parts = parts.map(IoSlice::new);
                if connection.output.is_empty() {
                    once(|| connection.stream.send_parts(&parts))
                } else {
                    Ok(0)
                }
            });
            let Ok(taken) = sending else { return self.gone.push(key) };
            counters.bytes_out.add(taken as u64);
            sent = taken;
        }
        if connection.output.is_empty() || sent > 0 {
            // It takes what it is sent; from here on it may rest for a while.
            connection.moved = self.now;
        }
        // One message may be as long as it is: the client has had no time to take it.
        let waiting = connection.output.len();
        if waiting > 0 && waiting + len > mail::WAITING_MAX {
            return self.let_overrun(key, counters);
        }
        if holds {
            connection.output.put_behind(parts);
        } else if sent < len {
            after(parts.into_iter(), sent).for_each(|part| connection.output.push(part));
        }
        self.budget.charge(connection);
        self.enqueue(key);
        while self.budget.is_far_exceeded() && self.close_largest(counters) {}
    }

    /// Lets a client go for which too much waits.
    #[cold]
    pub(crate) fn overrun(&mut self, client: &Arc<Client>, counters: &Counters) {
        if let Some(key) = self.find(client) {
            self.let_overrun(key, counters);
        }
    }

    #[cold]
    fn let_overrun(&mut self, key: usize, counters: &Counters) {
        let connection = &mut self.connections[key];
        if connection.phase != Phase::Open {
            return;
        }
        let goes = if let Some(exec) = connection.executing() {
            exec.lets_go()
        } else {
            self.abandon(key);
            true
        };
        counters.memory_closes.add(u64::from(goes));
    }

    /// Lets a client go, but not in the middle of a transaction.
    pub(crate) fn kill(&mut self, client: &Arc<Client>) {
        let Some(key) = self.find(client) else { return };
        match self.connections[key].executing() {
            Some(exec) => _ = exec.lets_go(),
            None => self.drop_client(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::mail::WAITING_MAX;
    use crate::config::Config;
    use crate::pubsub::{self, Kind};
    use crate::reactor::service::Service;
    use crate::shared::Shared;
    use crate::simulation::setup::{connect, moment, read_mail, send, with_server};
    use crate::simulation::wire::Peer;

    /// A worker, a client that listens and one that causes messages.
    struct Scene<'s> {
        shared: &'s Shared<'s>,
        service: Service<'s>,
        clients: [(usize, Peer); 2],
    }

    const LISTENS: usize = 0;
    const CAUSES: usize = 1;

    /// Every key has changed.
    const ALL: &str = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

    fn with_scene(work: impl FnOnce(&mut Scene<'_>)) {
        with_server(4 << 20, Config::default(), |shared| {
            let handle = shared.cache.handle().expect("the first");
            let mut service = Service::new(shared, 0, handle, moment(0));
            let clients = [1, 2].map(|number| connect(shared, &mut service, number, 64 << 10));
            let mut scene = Scene { shared, service, clients };
            work(&mut scene);
            scene.service.leave();
        });
    }

    impl Scene<'_> {
        /// Sends requests, and gives what comes of them and of what came before, but for what the inbox holds.
        fn ask(&mut self, client: usize, requests: &str) -> String {
            send(&mut self.service, &self.clients[client], requests.as_bytes());
            self.turn(client)
        }

        fn turn(&mut self, client: usize) -> String {
            self.service.turn(moment(0), false);
            self.service.turn.verify();
            String::from_utf8(self.clients[client].1.take(usize::MAX)).expect("text")
        }

        /// What it is sent of what the inbox holds.
        fn read_mail(&mut self, client: usize) -> String {
            read_mail(self.shared, &mut self.service);
            let sent = self.turn(client);
            assert_eq!(self.shared.seats[0].mail.load(Ordering::Relaxed), 0);
            sent
        }
    }

    #[test]
    fn who_was_killed_does_not_count_among_those_who_receive() {
        with_scene(|scene| {
            scene.ask(LISTENS, "SUBSCRIBE c\r\nPSUBSCRIBE c*\r\n");
            assert_eq!(scene.ask(CAUSES, "PUBLISH c m\r\n"), ":2\r\n");
            let kill = "CLIENT KILL TYPE pubsub\r\nPUBLISH c m\r\nPUBSUB NUMSUB c\r\n";
            let answer = scene.ask(CAUSES, kill);
            assert_eq!(answer, ":1\r\n:0\r\n*2\r\n$1\r\nc\r\n:0\r\n");
        });
    }

    #[test]
    fn nothing_comes_behind_the_end_of_what_it_was_for() {
        for (begin, cause, end) in [
            ("SUBSCRIBE c", "PUBLISH c m", "UNSUBSCRIBE c"),
            ("SUBSCRIBE c d", "PUBLISH c m", "UNSUBSCRIBE c"),
            ("PSUBSCRIBE c*", "PUBLISH c m", "PUNSUBSCRIBE"),
            ("PSUBSCRIBE c", "PUBLISH c m", "PUNSUBSCRIBE c\r\nSUBSCRIBE c"),
            ("SSUBSCRIBE c", "SPUBLISH c m", "SUNSUBSCRIBE c"),
            ("SSUBSCRIBE c", "SPUBLISH c m", "SUNSUBSCRIBE c\r\nSUBSCRIBE c"),
            ("SUBSCRIBE c", "PUBLISH c m", "RESET"),
            ("MONITOR", "SET k v", "RESET"),
            ("HELLO 3\r\nCLIENT TRACKING ON BCAST", "SET k v", "CLIENT TRACKING OFF"),
            ("HELLO 3\r\nCLIENT TRACKING ON BCAST", "SET k v", "HELLO 2"),
            ("HELLO 3\r\nCLIENT TRACKING ON BCAST", "FLUSHALL", "RESET"),
        ] {
            with_scene(|scene| {
                scene.ask(LISTENS, &format!("{begin}\r\n"));
                scene.ask(CAUSES, &format!("{cause}\r\n"));
                assert_ne!(scene.ask(LISTENS, &format!("{end}\r\n")), "", "{end}");
                assert_eq!(scene.read_mail(LISTENS), "", "{cause:?} behind {end:?}");
            });
        }
    }

    #[test]
    fn what_is_still_wanted_comes_in_the_version_that_is_spoken_by_then() {
        with_scene(|scene| {
            scene.ask(LISTENS, "HELLO 3\r\nSUBSCRIBE c d\r\nPSUBSCRIBE c*\r\nSSUBSCRIBE s\r\n");
            scene.ask(CAUSES, "PUBLISH c m\r\nSPUBLISH s m\r\n");
            scene.ask(LISTENS, "UNSUBSCRIBE d\r\nHELLO 2\r\n");
            let sent = scene.read_mail(LISTENS);
            assert_eq!(
                sent,
                "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n\
                 *4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n$1\r\nm\r\n\
                 *3\r\n$8\r\nsmessage\r\n$1\r\ns\r\n$1\r\nm\r\n"
            );
        });
        // What another client has it told.
        with_scene(|scene| {
            let id = scene.ask(LISTENS, "CLIENT ID\r\nSUBSCRIBE c\r\n");
            let id = id[1..].split_once("\r\n").expect("a number").0.to_owned();
            scene.ask(CAUSES, &format!("CLIENT TRACKING ON REDIRECT {id} BCAST\r\nSET k v\r\n"));
            scene.ask(LISTENS, "UNSUBSCRIBE\r\nHELLO 3\r\n");
            assert_eq!(scene.read_mail(LISTENS), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
            scene.ask(CAUSES, "SET k v\r\n");
            scene.ask(LISTENS, "HELLO 2\r\n");
            assert_eq!(scene.read_mail(LISTENS), "");
        });
    }

    #[test]
    fn who_keeps_copies_is_told_of_a_flush_that_is_cut_off() {
        for (database, flush) in [(0, "FLUSHALL"), (0, "FLUSHDB"), (1, "FLUSHDB")] {
            with_scene(|scene| {
                scene.ask(LISTENS, "HELLO 3\r\nCLIENT TRACKING ON\r\n");
                scene.ask(CAUSES, &format!("SELECT {database}\r\n"));
                for first in (0..20_000).step_by(1000) {
                    let sets: Vec<_> = (first..first + 1000).map(|key| format!("SET {key} v\r\n")).collect();
                    scene.ask(CAUSES, &sets.concat());
                }
                let read = scene.ask(LISTENS, "GET 1\r\n") + &scene.turn(LISTENS);
                assert_eq!(read, if database == 0 { "$1\r\nv\r\n" } else { "_\r\n" });
                scene.ask(CAUSES, &format!("{flush}\r\n"));
                while scene.service.turn.connections[scene.clients[CAUSES].0].task.is_none() {
                    assert_eq!(scene.read_mail(LISTENS), "");
                }
                let kill = "CLIENT KILL TYPE normal\r\n";
                assert_eq!(scene.ask(LISTENS, kill), ":1\r\n");
                let sent = scene.read_mail(LISTENS) + &scene.read_mail(LISTENS);
                assert!(scene.clients[CAUSES].1.is_closed(), "it is gone");
                assert_eq!(sent, ALL, "{flush} of {database}");
            });
        }
    }

    #[test]
    fn what_a_client_publishes_to_itself_comes_right_behind_the_answer() {
        const MESSAGE: &str = ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n";
        const END: &str = ">3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n";
        const BEGIN: &str = ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
        for (requests, answers) in [
            ("PUBLISH c m\r\nUNSUBSCRIBE c\r\nPING\r\n", format!(":1\r\n{MESSAGE}{END}+PONG\r\n")),
            (
                "MULTI\r\nPUBLISH c m\r\nUNSUBSCRIBE c\r\nEXEC\r\nPING\r\n",
                format!("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n{END}{MESSAGE}+PONG\r\n"),
            ),
            // Messages are no answers.
            (
                "CLIENT REPLY OFF\r\nPUBLISH c m\r\nCLIENT REPLY ON\r\nUNSUBSCRIBE c\r\n",
                format!("{MESSAGE}+OK\r\n{END}"),
            ),
            (
                "CLIENT REPLY OFF\r\nMULTI\r\nPUBLISH c m\r\nEXEC\r\nUNSUBSCRIBE c\r\nCLIENT REPLY ON\r\n",
                format!("{MESSAGE}{END}+OK\r\n"),
            ),
        ] {
            with_scene(|scene| {
                assert!(scene.ask(LISTENS, "HELLO 3\r\nSUBSCRIBE c\r\n").ends_with(BEGIN));
                let mut sent = scene.ask(LISTENS, requests);
                while scene.service.has_work() {
                    sent += &scene.turn(LISTENS);
                }
                assert_eq!(sent, answers, "{requests:?}");
                assert_eq!(scene.read_mail(LISTENS), "");
            });
        }
    }

    #[test]
    fn keys_that_change_together_are_told_of_together() {
        with_scene(|scene| {
            scene.ask(LISTENS, "HELLO 3\r\nCLIENT TRACKING ON BCAST\r\n");
            scene.ask(CAUSES, "MSET a 1 bb 2\r\nDEL a\r\n");
            assert_eq!(
                scene.read_mail(LISTENS),
                ">2\r\n$10\r\ninvalidate\r\n*3\r\n$1\r\na\r\n$2\r\nbb\r\n$1\r\na\r\n"
            );
            scene.ask(CAUSES, "SET a 1\r\nFLUSHALL\r\nSET a 1\r\n");
            while scene.service.has_work() {
                scene.turn(CAUSES);
            }
            assert_eq!(scene.read_mail(LISTENS), ALL);
        });
    }

    #[test]
    fn of_more_keys_than_may_wait_all_are_told_of() {
        with_scene(|scene| {
            scene.ask(LISTENS, "HELLO 3\r\nCLIENT TRACKING ON BCAST\r\n");
            let client = scene.shared.clients.all().remove(LISTENS);
            let key = [b'k'; 1000];
            for _ in 0..2 * WAITING_MAX / key.len() {
                scene.shared.invalidate(&client, Some(&key), false);
                let waiting = client.mail.load(Ordering::Relaxed);
                assert!(waiting <= WAITING_MAX, "{waiting}");
            }
            assert_eq!(scene.read_mail(LISTENS), ALL);
            // Also where something else waits.
            scene.ask(LISTENS, "SUBSCRIBE c\r\n");
            let message = vec![b'm'; 3 << 20];
            pubsub::publish(scene.shared, Kind::Channel, b"c", &message, |_, _| false);
            for _ in 0..1500 {
                scene.shared.invalidate(&client, Some(&key), false);
            }
            let mut sent = scene.read_mail(LISTENS);
            while let Some(readiness) = scene.clients[LISTENS].1.poll() {
                scene.service.note(scene.clients[LISTENS].0, readiness);
                sent += &scene.turn(LISTENS);
            }
            assert!(sent.ends_with(ALL), "{}", &sent[sent.len() - 100..]);
            scene.ask(CAUSES, "SET a 1\r\n");
            assert_eq!(scene.read_mail(LISTENS), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n");
        });
    }

    /// Begins what takes several turns; gives what is sent meanwhile and then, while `work` is done after the first of them.
    fn ask_long(scene: &mut Scene<'_>, requests: &str, work: impl FnOnce(&mut Scene<'_>)) -> String {
        let value = "ab".repeat(700);
        scene.ask(CAUSES, &format!("SET a {value}\r\nSET b {value}\r\n"));
        let mut sent = scene.ask(LISTENS, requests);
        assert!(scene.service.has_work(), "it was to take several turns");
        work(scene);
        sent += &scene.read_mail(LISTENS);
        while scene.service.has_work() {
            sent += &scene.turn(LISTENS);
            sent += &scene.read_mail(LISTENS);
        }
        sent
    }

    const STALE: &str = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n";

    #[test]
    fn who_was_told_of_a_change_is_not_answered_what_was_before() {
        let message = ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n";
        for (requests, answer) in [
            ("LCS a b LEN\r\n", ":1400\r\n"),
            (
                "MULTI\r\nSTRLEN a\r\nLCS a b LEN\r\nEXEC\r\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1400\r\n:1400\r\n",
            ),
        ] {
            with_scene(|scene| {
                scene.ask(LISTENS, "HELLO 3\r\nCLIENT TRACKING ON\r\nSUBSCRIBE c\r\n");
                let sent = ask_long(scene, requests, |scene| {
                    scene.ask(CAUSES, "SET a v\r\nPUBLISH c m\r\n");
                });
                assert_eq!(sent, format!("{answer}{STALE}{message}"));
            });
        }
    }

    #[test]
    fn a_transaction_is_carried_out_wholly_though_its_client_is_closed() {
        let requests = "MULTI\r\nSET x 1\r\nLCS a b LEN\r\nSET y 1\r\nEXEC\r\nSET z 1\r\n";
        let closes = |scene: &Scene<'_>| scene.shared.seats[0].counters.memory_closes.get();
        let kill = |scene: &mut Scene<'_>| drop(scene.ask(CAUSES, "CLIENT KILL TYPE normal\r\n"));
        let flood = |scene: &mut Scene<'_>| {
            for _ in 0..10 {
                let message = vec![b'm'; 500 << 10];
                pubsub::publish(scene.shared, Kind::Channel, b"c", &message, |_, _| false);
                scene.read_mail(LISTENS);
            }
        };
        for (work, subscribes, of_memory) in
            [(&kill as &dyn Fn(&mut Scene<'_>), "", 0), (&flood, "SUBSCRIBE c\r\n", 1)]
        {
            with_scene(|scene| {
                scene.ask(LISTENS, &format!("HELLO 3\r\n{subscribes}"));
                ask_long(scene, requests, work);
                assert!(scene.clients[LISTENS].1.server_end().is_some(), "it is gone");
                assert_eq!(closes(scene), of_memory);
                assert_eq!(scene.ask(CAUSES, "EXISTS x y\r\nEXISTS z\r\n"), ":2\r\n:0\r\n");
            });
        }
        // One that has not begun is not.
        with_scene(|scene| {
            scene.ask(CAUSES, "CLIENT PAUSE 1000000 WRITE\r\n");
            scene.ask(LISTENS, requests);
            kill(scene);
            scene.read_mail(LISTENS);
            assert!(scene.clients[LISTENS].1.server_end().is_some(), "it is gone");
            assert_eq!(scene.ask(CAUSES, "CLIENT UNPAUSE\r\nEXISTS x\r\n"), "+OK\r\n:0\r\n");
        });
    }

    #[test]
    fn what_comes_behind_a_clients_own_end_in_a_transaction_is_carried_out() {
        for (request, len) in [("STRLEN a", 1400), ("LCS a b LEN", 1400)] {
            with_scene(|scene| {
                let id = scene.ask(LISTENS, "CLIENT ID\r\n");
                let kill = format!("CLIENT KILL ID {} SKIPME no", id[1..].trim_end());
                let value = "ab".repeat(700);
                scene.ask(CAUSES, &format!("SET a {value}\r\nSET b {value}\r\n"));
                let requests =
                    format!("MULTI\r\nSET x 1\r\n{kill}\r\n{request}\r\nSET y 1\r\nEXEC\r\nSET z 1\r\n");
                let mut sent = scene.ask(LISTENS, &requests);
                while scene.service.has_work() {
                    sent += &scene.turn(LISTENS);
                }
                assert!(sent.ends_with(&format!("*4\r\n+OK\r\n:1\r\n:{len}\r\n+OK\r\n")), "{sent}");
                assert!(scene.clients[LISTENS].1.server_end().is_some(), "it is gone");
                assert_eq!(scene.ask(CAUSES, "EXISTS x y\r\nEXISTS z\r\n"), ":2\r\n:0\r\n");
            });
        }
    }
}

//! Which worker a new client goes to: the one that has the fewest clients, unless another one has clearly less to do.
//!
//! What clients will do is not known when they come, but what those did that are there: how much of a core each worker has
//! used since the last look. Where all clients ask for about the same, their number decides; where some ask for much and
//! others are idle, those do not meet at one worker because of the order in which they came.

use std::time::{Duration, Instant};

/// A worker's clients, and the CPU time that it has used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Clients.
    pub(crate) clients: usize,
    /// CPU time.
    pub(crate) cpu: Duration,
}

/// What is known of the workers.
#[derive(Debug)]
pub(crate) struct Balance {
    at: Instant,
    workers: Vec<Worker>,
    /// What a client does, on average.
    each: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Worker {
    cpu: Duration,
    /// Thousandths of a core that it used until the last look, and that clients who have come since will use.
    busy: u64,
}

/// A look is taken no more often.
const PERIOD: Duration = Duration::from_millis(100);
/// Below this difference, in thousandths of a core, workers count as equally busy.
const UNLIKE: u64 = 5;

impl Balance {
    /// Nothing is known.
    pub(crate) fn new(now: Instant) -> Self {
        Self { at: now, workers: Vec::new(), each: 0 }
    }

    /// Chooses a worker for a client that comes now; 0 if there are none.
    pub(crate) fn choose(&mut self, now: Instant, seen: &[Seen]) -> usize {
        self.look(now, seen);
        let busy = |at: usize| self.workers[at].busy;
        let fewest = (0..seen.len()).min_by_key(|&at| seen[at].clients).unwrap_or(0);
        let idlest = (0..seen.len()).min_by_key(|&at| (busy(at), seen[at].clients)).unwrap_or(0);
        let chosen = if !seen.is_empty()
            && busy(fewest) > busy(idlest) * 5 / 4 + UNLIKE
            // They may all begin to ask for something.
            && seen[idlest].clients < 2 * seen[fewest].clients + 4
        {
            idlest
        } else {
            fewest
        };
        if let Some(worker) = self.workers.get_mut(chosen) {
            worker.busy += self.each;
        }
        chosen
    }

    fn look(&mut self, now: Instant, seen: &[Seen]) {
        let elapsed = now.saturating_duration_since(self.at);
        if elapsed < PERIOD && self.workers.len() == seen.len() {
            return;
        }
        self.at = now;
        // What they did before anybody looked says nothing about the time since.
        let known = self.workers.len() == seen.len();
        self.workers.resize(seen.len(), Worker::default());
        for (worker, seen) in self.workers.iter_mut().zip(seen) {
            let used = seen.cpu.saturating_sub(worker.cpu);
            worker.busy = if known { (used.as_nanos() * 1000 / elapsed.as_nanos().max(1)) as u64 } else { 0 };
            worker.cpu = seen.cpu;
        }
        let clients: usize = seen.iter().map(|seen| seen.clients).sum();
        self.each = self.workers.iter().map(|worker| worker.busy).sum::<u64>() / clients.max(1) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets clients come, each of which uses so many thousandths of a core from then on, so much time apart. Gives how many each worker has,
    /// and what they use.
    fn place(workers: usize, clients: &[u64], apart: Duration) -> Vec<(usize, u64)> {
        let mut now = Instant::now();
        let mut balance = Balance::new(now);
        let mut seen = vec![Seen { clients: 0, cpu: Duration::ZERO }; workers];
        let mut sums = vec![(0, 0); workers];
        for &uses in clients {
            now += apart;
            for (seen, (_, uses)) in seen.iter_mut().zip(&sums) {
                seen.cpu += apart * (*uses as u32) / 1000;
            }
            let at = balance.choose(now, &seen);
            seen[at].clients += 1;
            sums[at].0 += 1;
            sums[at].1 += uses;
        }
        sums
    }

    #[test]
    fn clients_that_do_the_same_are_divided_by_number() {
        for count in 1..=64 {
            for (uses, ms) in [(0, 0), (0, 200), (30, 0), (30, 1), (10, 200)] {
                let sums = place(2, &vec![uses; count], Duration::from_millis(ms));
                assert!(sums[0].0.abs_diff(sums[1].0) <= 1, "{count} at {uses}, {ms}: {sums:?}");
            }
        }
    }

    #[test]
    fn busy_and_idle_ones_are_both_divided() {
        // Each order has all that are busy at one worker if only their number counts.
        for (workers, pattern) in [(2, &[25, 0][..]), (2, &[0, 25]), (3, &[0, 25, 0]), (4, &[25, 0, 0, 0])] {
            let clients = pattern.repeat(16);
            let sums = place(workers, &clients, Duration::from_millis(200));
            let fair = 25 * 16 / workers as u64;
            for &(count, uses) in &sums {
                assert!(
                    uses.abs_diff(fair) <= 50 && count < 2 * clients.len() / workers,
                    "{pattern:?}: {sums:?}"
                );
            }
        }
    }

    #[test]
    fn what_was_used_before_the_first_look_says_nothing() {
        let (now, cpu) = (Instant::now(), Duration::from_secs(9));
        let mut balance = Balance::new(now);
        let mut seen = [Seen { clients: 0, cpu }, Seen { clients: 1, cpu: Duration::ZERO }];
        for _ in 0..2 {
            assert_eq!(balance.choose(now, &seen), 0);
        }
        seen[0].clients = 2;
        assert_eq!(balance.choose(now, &seen), 1);
    }

    #[test]
    fn idle_ones_do_not_all_go_to_one_worker() {
        let sums = place(2, &[&[900][..], &[0; 300]].concat(), Duration::from_millis(200));
        assert!(sums.iter().all(|sum| sum.0 >= 95), "{sums:?}");
    }
}

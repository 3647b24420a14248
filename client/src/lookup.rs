//! Names into addresses, within a deadline. The system's look-up knows none, so a thread waits for it. Whoever comes while it
//! waits, waits for the same thread: a name server that does not answer holds up one thread, however often the client tries.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::clock::Moment;
use crate::error::Error;

type Addresses = Result<Vec<SocketAddr>, String>;

/// The look-ups of one name.
pub(crate) struct Lookup {
    resolve: Box<dyn Fn(&str) -> Addresses + Send + Sync>,
    state: Mutex<State>,
    /// One has ended.
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    running: bool,
    /// How many have ended, and what came of the last one.
    count: u64,
    last: Addresses,
}

impl Lookup {
    /// Asks the system.
    pub(crate) fn by_system() -> Arc<Self> {
        Self::new(|host_port| {
            host_port.to_socket_addrs().map(Iterator::collect).map_err(|error| error.to_string())
        })
    }

    fn new(resolve: impl Fn(&str) -> Addresses + Send + Sync + 'static) -> Arc<Self> {
        let state = State { running: false, count: 0, last: Ok(Vec::new()) };
        Arc::new(Self { resolve: Box::new(resolve), state: Mutex::new(state), ended: Condvar::new() })
    }

    /// The addresses of `host:port`, which is the same each time.
    pub(crate) fn addresses(
        self: &Arc<Self>,
        host_port: &str,
        deadline: Moment,
    ) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(address) = host_port.parse() {
            return Ok(vec![address]);
        }
        let mut state = self.lock();
        if !state.running {
            let (lookup, name) = (Arc::clone(self), host_port.to_owned());
            thread::Builder::new()
                .name("crabcache-lookup".to_owned())
                .spawn(move || lookup.look(&name))
                .map_err(|error| Error::Lookup(error.to_string()))?;
            state.running = true;
        }
        let before = state.count;
        while state.count == before {
            let left = deadline.since(Moment::now());
            if left.is_zero() {
                return Err(Error::Lookup("no answer in time".to_owned()));
            }
            state = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.last.clone().map_err(Error::Lookup)
    }

    fn look(&self, host_port: &str) {
        let found = (self.resolve)(host_port);
        let mut state = self.lock();
        *state = State { running: false, count: state.count + 1, last: found };
        drop(state);
        self.ended.notify_all();
    }

    /// No code that holds the lock panics.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn within(time: Duration) -> Moment {
        Moment::now().after(time)
    }

    #[test]
    fn who_cannot_wait_goes_and_who_comes_later_waits_for_the_same_thread() {
        let (answer, answers) = channel::<Addresses>();
        let (answers, asked) = (Mutex::new(answers), Arc::new(AtomicU32::new(0)));
        let counting = Arc::clone(&asked);
        let lookup = Lookup::new(move |_| {
            counting.fetch_add(1, Ordering::Relaxed);
            answers.lock().unwrap().recv().unwrap()
        });
        for _ in 0..3 {
            let error = lookup.addresses("name:1", within(Duration::from_millis(5))).unwrap_err();
            assert_eq!(error, Error::Lookup("no answer in time".to_owned()));
        }
        let found = vec!["10.0.0.1:1".parse().unwrap()];
        thread::scope(|scope| {
            let waiting = scope.spawn(|| lookup.addresses("name:1", Moment::NEVER));
            answer.send(Ok(found.clone())).unwrap();
            // If that was sent before it began to wait, it asks anew.
            answer.send(Ok(found.clone())).unwrap();
            assert_eq!(waiting.join().unwrap(), Ok(found));
        });
        assert!((1..=2).contains(&asked.load(Ordering::Relaxed)));
        answer.send(Err("no such host".to_owned())).unwrap();
        drop(answer); // there may be one answer more than was needed
        let last = (0..2).map(|_| lookup.addresses("name:1", Moment::NEVER)).find(Result::is_err);
        assert_eq!(last, Some(Err(Error::Lookup("no such host".to_owned()))));
    }

    #[test]
    fn addresses_need_no_look_up() {
        let lookup = Lookup::new(|_| Err("asked".to_owned()));
        let address = "[::1]:7001".parse().unwrap();
        assert_eq!(lookup.addresses("[::1]:7001", within(Duration::ZERO)), Ok(vec![address]));
    }
}

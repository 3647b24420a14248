//! The table of all clients. Looked at when one comes or goes, or is asked about: never by an ordinary request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::client::Client;

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    next: AtomicU64,
    /// By their numbers, which are in the order in which they came.
    connected: Mutex<BTreeMap<u64, Arc<Client>>>,
}

impl Clients {
    /// Adds one, for the worker at `seat`.
    pub(crate) fn add(&self, peer: String, local: String, since_ms: u64, seat: usize) -> Arc<Client> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client::new(id, peer, local, since_ms, seat));
        self.table(|table| table.insert(id, Arc::clone(&client)));
        client
    }

    /// Removes one.
    pub(crate) fn remove(&self, id: u64) {
        self.table(|table| table.remove(&id));
    }

    /// The one with this number.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Client>> {
        self.table(|table| table.get(&id).cloned())
    }

    /// All of them, in the order in which they came.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        self.table(|table| table.values().map(Arc::clone).collect())
    }

    /// The first ones with this number or a higher one, at most `max`.
    #[must_use]
    pub(crate) fn some(&self, first: u64, max: usize) -> Vec<Arc<Client>> {
        self.table(|table| table.range(first..).take(max).map(|(_, client)| Arc::clone(client)).collect())
    }

    fn table<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Arc<Client>>) -> T) -> T {
        // The table is whole between any two calls, so a panic elsewhere does not make it wrong.
        work(&mut self.connected.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

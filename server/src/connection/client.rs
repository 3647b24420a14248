//! What is known about a client for people to look at, and the table of all clients. Touched when one comes or
//! goes, names itself, or is asked about: never by an ordinary request.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

/// One client, as reports show it.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its number; no two clients of one run share one.
    pub(crate) id: u64,
    /// Where it connects from.
    pub(crate) peer: String,
    /// When it connected, in milliseconds since the Unix epoch.
    pub(crate) since_ms: u64,
    /// What it calls itself.
    pub(crate) names: Mutex<Names>,
    /// The version of RESP that it speaks; 0 for other protocols.
    pub(crate) resp: AtomicU8,
}

/// What a client has told about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// `CLIENT SETNAME`.
    pub(crate) client: String,
    /// `CLIENT SETINFO LIB-NAME`.
    pub(crate) library: String,
    /// `CLIENT SETINFO LIB-VER`.
    pub(crate) library_version: String,
}

/// All clients.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    next: AtomicU64,
    connected: Mutex<HashMap<u64, Arc<Client>, ahash::RandomState>>,
}

impl Clients {
    /// Adds one.
    pub(crate) fn add(&self, peer: String, since_ms: u64) -> Arc<Client> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let client = Arc::new(Client { id, peer, since_ms, names: Mutex::default(), resp: AtomicU8::new(0) });
        self.table(|table| table.insert(id, Arc::clone(&client)));
        client
    }

    /// Removes one.
    pub(crate) fn remove(&self, id: u64) {
        self.table(|table| table.remove(&id));
    }

    /// All of them, in the order in which they came.
    #[must_use]
    pub(crate) fn all(&self) -> Vec<Arc<Client>> {
        let mut all = self.table(|table| table.values().map(Arc::clone).collect::<Vec<_>>());
        all.sort_unstable_by_key(|client| client.id);
        all
    }

    fn table<T>(&self, work: impl FnOnce(&mut HashMap<u64, Arc<Client>, ahash::RandomState>) -> T) -> T {
        // The table is whole between any two calls, so a panic elsewhere does not make it wrong.
        work(&mut self.connected.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Client {
    /// A copy of its names.
    #[must_use]
    pub(crate) fn names(&self) -> Names {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes its names.
    pub(crate) fn rename(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.names.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One line of `CLIENT LIST`, without its line end.
    #[must_use]
    pub(crate) fn line(&self, now_ms: u64) -> String {
        let names = self.names();
        let age = now_ms.saturating_sub(self.since_ms) / 1000;
        format!(
            "id={} addr={} laddr= fd=0 name={} age={age} idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 watch=0 \
             qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd=NULL \
             user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.peer,
            names.client,
            self.resp.load(Ordering::Relaxed),
            names.library,
            names.library_version
        )
    }
}

//! What takes more than one turn: a client's request that walks the whole cache or names very many keys. It goes on a slice per turn, so that
//! other clients are served in between; the client's own next requests wait for it.

use crabcache_protocol::memcache::write as memcache;
use crabcache_protocol::native::{self, reply};
use crabcache_protocol::resp::write;

use super::memcache::dump::Dumping;
use super::memcache::retrieval::Retrieval;
use super::resp::{ClientList, Ending, Exec, Lcs, Many, Summing, end_caching};
use super::walk::Walk;
use crate::connection::Connection;
use crate::database::Place;
use crate::reactor::batch::Pass;
use crate::shared::Shared;
use crate::tracking::Removal;

/// A request under way.
#[derive(Debug)]
pub(crate) enum Task {
    /// Remove everything.
    Flush {
        /// Where it has come to.
        cursor: u64,
        /// Only the keys of this place are to go: all there are, as long as nothing is stored elsewhere.
        only: Option<Place>,
        /// What to answer at the end.
        done: Done,
        /// For those who keep copies.
        removal: Removal,
    },
    /// Walk over all items.
    Walk(Walk),
    /// Find what two values have in common.
    Lcs(Lcs),
    /// Make the checksum of a payload of DUMP or RESTORE.
    Summing(Summing),
    /// Tell about the clients.
    Clients(ClientList),
    /// Tell a memcached client of all items.
    Dump(Dumping),
    /// End all subscriptions.
    End(Ending),
    /// Tell a memcached client of many items.
    Retrieval(Retrieval),
    /// Read or change many keys.
    Many(Many),
    /// Carry out the requests of a transaction.
    Exec(Exec),
}

/// The answer to a flush.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Done {
    /// `+OK`.
    Resp,
    /// `OK`, unless nothing is to be answered.
    Memcache {
        /// Nothing is to be answered.
        noreply: bool,
    },
    /// Status OK.
    Native {
        /// The request's.
        opaque: u16,
    },
}

/// Buckets of a slice of a flush.
pub(crate) const FLUSH_BUCKETS: usize = 128;

impl Task {
    /// A flush that has just begun.
    pub(crate) fn flush(done: Done, shared: &Shared<'_>) -> Self {
        Self::Flush { cursor: 0, only: None, done, removal: Removal::begin(&shared.tracking) }
    }

    /// The same of a place that has all keys.
    pub(crate) fn flush_only(place: Place, done: Done, shared: &Shared<'_>) -> Self {
        Self::Flush { cursor: 0, only: Some(place), done, removal: Removal::begin(&shared.tracking) }
    }

    /// Bytes of memory that it holds.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Flush { .. } | Self::Dump(_) | Self::End(_) => 0,
            Self::Clients(list) => list.held(),
            Self::Walk(walk) => walk.held(),
            Self::Lcs(lcs) => lcs.held(),
            Self::Summing(summing) => summing.held(),
            Self::Retrieval(retrieval) => retrieval.held(),
            Self::Many(many) => many.held(),
            Self::Exec(exec) => exec.held(),
        }
    }

    /// Whether a slice of it takes so long that there may be few of them in a turn.
    pub(crate) fn is_long(&self) -> bool {
        match self {
            Self::Exec(exec) => exec.is_long(),
            _ => true,
        }
    }

    /// Whether it has read what it will answer: messages then come behind that, since they may tell of changes to it.
    pub(crate) fn has_read(&self) -> bool {
        match self {
            Self::Exec(exec) => exec.has_begun(),
            Self::Lcs(lcs) => lcs.has_read(),
            Self::Summing(summing) => summing.has_read(),
            Self::Many(_) => true,
            _ => false,
        }
    }

    /// Whether it waits for nobody, so that it gives back by itself what it holds.
    pub(crate) fn goes_on(&self) -> bool {
        match self {
            Self::Exec(exec) => exec.goes_on(),
            Self::Lcs(_) | Self::Summing(_) => self.has_read(),
            _ => true,
        }
    }

    /// Whether it does nothing but find out what to answer.
    pub(crate) fn only_answers(&self) -> bool {
        match self {
            Self::Flush { .. } | Self::End(_) | Self::Exec(_) => false,
            Self::Many(many) => many.only_answers(),
            Self::Walk(walk) => walk.only_answers(),
            Self::Summing(summing) => summing.only_answers(),
            Self::Lcs(_) | Self::Clients(_) | Self::Dump(_) | Self::Retrieval(_) => true,
        }
    }

    /// Goes on for a slice; true when it is done and answered.
    pub(crate) fn step(&mut self, connection: &mut Connection, pass: &mut Pass<'_, '_, '_>) -> bool {
        let now = pass.now();
        match self {
            Self::Clients(list) => list.step(pass),
            Self::Dump(dumping) => dumping.step(pass),
            Self::End(ending) => ending.step(connection, pass),
            Self::Retrieval(retrieval) => retrieval.step(pass),
            Self::Many(many) => many.step(pass),
            Self::Exec(exec) => {
                let done = exec.step(connection, pass);
                if done {
                    end_caching(connection);
                }
                done
            }
            Self::Walk(walk) => walk.step(pass),
            Self::Lcs(lcs) => lcs.step(connection, pass),
            Self::Summing(summing) => summing.step(connection, pass),
            Self::Flush { only: Some(place), .. } if !pass.shared().databases.only_first() => {
                // From here on only its keys may go.
                *self = Self::Walk(Walk::clear(*place, pass.shared()));
                false
            }
            Self::Flush { cursor, done, removal, .. } => {
                pass.executor.will_remove_all();
                if let Some(next) = pass.executor.handle().flush(now, *cursor, FLUSH_BUCKETS) {
                    *cursor = next;
                    return false;
                }
                removal.end(pass.shared());
                let out = pass.direct();
                match *done {
                    Done::Resp => out.extend_from_slice(write::OK),
                    Done::Memcache { noreply: false } => out.extend_from_slice(memcache::OK),
                    Done::Native { opaque } => reply::status(out, opaque, native::Status::Ok),
                    Done::Memcache { noreply: true } => {}
                }
                true
            }
        }
    }
}

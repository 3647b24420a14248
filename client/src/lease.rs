//! Cache-aside without a crowd: of all clients that miss a key, the one that wins the server's lease computes the value;
//! the others take the stale one if there is one, else wait until it is stored. If the winner gives up, it ends its
//! lease; if it dies, the lease ends by itself: in both cases the next one wins. See LEASE in PROTOCOL.md.

use std::thread;
use std::time::Duration;

use crabcache_protocol::native::{Command, Condition, Ttl};

use crate::Result;
use crate::backoff::Backoff;
use crate::client::{Client, PutOptions, after};
use crate::clock::Moment;
use crate::error::Error;
use crate::reply::{ReplyRef, Value};

/// How long those who wait sleep before they ask again.
const POLL: Backoff = Backoff { min: Duration::from_millis(2), max: Duration::from_millis(50) };

/// What [`Client::lease`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    /// The value.
    Value(Value),
    /// The lease is ours: compute the value and store it with [`Condition::Version`] of the token. Where that does not
    /// hold any more, the lease has ended, or the key was written or removed.
    Won {
        /// The version to store under.
        token: u64,
        /// The value that is to be replaced, if there is one.
        old: Option<Value>,
    },
    /// Somebody else has the lease.
    Wait {
        /// For how long at most; none if for ever.
        left: Option<Duration>,
        /// A stale value, if there is one.
        old: Option<Value>,
    },
}

/// A lease that ends when this is dropped, also by a panic, unless the value was stored.
struct Claim<'c> {
    client: &'c Client,
    key: &'c [u8],
    token: u64,
    open: bool,
}

impl Client {
    /// Reads a value, or tries to win the lease on it, for so long.
    pub fn lease(&self, key: impl AsRef<[u8]>, time: Duration) -> Result<Leased> {
        // Rounded up: a short time is not none.
        let lease_ms = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let command = Command::Lease { key: key.as_ref(), lease_ms, early_ms: 0, meta: false };
        self.one(command, |reply| match reply {
            ReplyRef::Value(value) => Some(Leased::Value(value.to_vec())),
            ReplyRef::Won { token, old, .. } => Some(Leased::Won { token, old: old.map(<[u8]>::to_vec) }),
            ReplyRef::Wait { left, old, .. } => Some(Leased::Wait { left, old: old.map(<[u8]>::to_vec) }),
            _ => None,
        })
    }

    /// Marks a value as not right any more: of those who use [`Client::get_or_put_with`], the next one computes it anew,
    /// and the others take the old one meanwhile. It expires after `ttl`, or when it would have anyway. False if the key
    /// is absent.
    pub fn stale(&self, key: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<bool> {
        self.yes_or_no(Command::Stale { key: key.as_ref(), ttl: ttl.map_or(Ttl::Keep, after), version: None })
    }

    /// The value, or, if there is none, the one that `compute` makes, which is stored to expire after `ttl`, or never.
    /// Of all clients that miss a key at the same time, one computes.
    ///
    /// It has [`Builder::lease_time`](crate::Builder::lease_time) to do so; afterwards another one takes over. That a
    /// computed value could not be stored is no error, but is counted:
    /// [`PoolStats::unstored`](crate::PoolStats::unstored).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn render(page: u32) -> String { page.to_string() }
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = crabcache_client::Client::connect("127.0.0.1:7001")?;
    /// let page = client.get_or_put_with("page:7", Some(Duration::from_mins(5)), || render(7))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Leased`] if somebody else does not store a value within the request timeout, and those of
    /// [`Client::get`]; then `compute` was not called.
    pub fn get_or_put_with<V: Into<Value>>(
        &self,
        key: impl AsRef<[u8]>,
        ttl: Option<Duration>,
        compute: impl FnOnce() -> V,
    ) -> Result<Value> {
        self.try_get_or_put_with(key, ttl, || Ok::<_, Error>(compute()))
    }

    /// As [`Client::get_or_put_with`], where computing may fail; then nothing is stored, and the next client takes over
    /// at once. Its error is one that an [`Error`] can become, too:
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = crabcache_client::Client::connect("127.0.0.1:7001")?;
    /// let page = client.try_get_or_put_with("page:7", None, || {
    ///     Ok::<_, Box<dyn std::error::Error>>(std::fs::read("7.html")?)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_get_or_put_with<V, E>(
        &self,
        key: impl AsRef<[u8]>,
        ttl: Option<Duration>,
        compute: impl FnOnce() -> std::result::Result<V, E>,
    ) -> std::result::Result<Value, E>
    where
        V: Into<Value>,
        E: From<Error>,
    {
        let key = key.as_ref();
        let deadline = self.timeout().map(|timeout| Moment::now().after(timeout));
        let mut polls = 0;
        let token = loop {
            // Who waits has what is left of the time, and enough for an answer.
            let left = deadline.filter(|_| polls > 0).map(|deadline| deadline.since(Moment::now()));
            let asked = left.map(|left| self.with_timeout(Some(left.max(POLL.max))));
            match asked.as_ref().unwrap_or(self).lease(key, self.pool().config().lease_time)? {
                Leased::Value(value) | Leased::Wait { old: Some(value), .. } => return Ok(value),
                Leased::Won { token, .. } => break token,
                Leased::Wait { left, old: None } => {
                    polls += 1;
                    self.sleep_before_poll(polls, left, deadline)?;
                }
            }
        };
        let mut claim = Claim { client: self, key, token, open: true };
        let value = compute()?.into();
        claim.store(&value, ttl);
        Ok(value)
    }

    fn sleep_before_poll(&self, polls: u32, left: Option<Duration>, deadline: Option<Moment>) -> Result<()> {
        let mut pause = POLL.delay(polls);
        if let Some(left) = left {
            pause = pause.min(left.max(POLL.min));
        }
        if let Some(deadline) = deadline {
            let until_deadline = deadline.since(Moment::now());
            if until_deadline.is_zero() {
                return Err(Error::Leased { waited: self.timeout().unwrap_or_default() });
            }
            pause = pause.min(until_deadline);
        }
        thread::sleep(pause);
        Ok(())
    }
}

impl Claim<'_> {
    fn store(&mut self, value: &[u8], ttl: Option<Duration>) {
        let mut options = PutOptions::new().condition(Condition::Version(self.token));
        if let Some(ttl) = ttl {
            options = options.ttl(ttl);
        }
        let stored = self.client.put_with(self.key, value, options);
        // A server that did not answer would not answer to STALE either: the lease ends by itself.
        self.open = stored.as_ref().is_err_and(Error::keeps_connection);
        if !matches!(stored, Ok(true)) {
            self.client.pool().count_unstored();
        }
    }
}

impl Drop for Claim<'_> {
    /// STALE keeps an old value, and removes the lease where there is none. If it fails, the lease ends by itself.
    fn drop(&mut self) {
        if self.open {
            let version = Some(self.token);
            let _ = self.client.yes_or_no(Command::Stale { key: self.key, ttl: Ttl::Keep, version });
        }
    }
}

//! [`Client`]: what programs hold. Every call is a pipeline of one.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::Duration;
use std::{io, iter};

use crabcache_protocol::native::reply::Hello;
use crabcache_protocol::native::{Command, Condition, End, Put, TouchCondition, Ttl, VERSION};

use crate::Result;
use crate::call::Call;
use crate::config::{Addr, Builder};
use crate::error::{Broken, CommandError, Error, ProtocolError};
use crate::exchange::Exchange;
use crate::pipeline::Pipeline;
use crate::pool::{Maintenance, Pool, PoolStats};
use crate::reply::{Item, ReplyRef, Value, parse_stats};

/// A client of one server. Cheap to clone; all clones share a pool of connections.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Arc<Pool>,
    timeout: Option<Duration>,
}

/// How to store a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct PutOptions {
    ttl: Ttl,
    flags: u32,
    condition: Condition,
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HelloInfo {
    /// Protocol version.
    pub version: u8,
    /// Longest key, in bytes.
    pub key_len_max: u16,
    /// Longest value, in bytes.
    pub value_len_max: u32,
    /// Name and version of the server.
    pub server: String,
}

impl PutOptions {
    /// In any case, for ever.
    pub const fn new() -> Self {
        Self { ttl: Ttl::Never, flags: 0, condition: Condition::Always }
    }

    /// The item expires after this time, counted in milliseconds and rounded up.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = after(ttl);
        self
    }

    /// The item expires when the one that it replaces would have.
    pub const fn keep_ttl(mut self) -> Self {
        self.ttl = Ttl::Keep;
        self
    }

    /// A number to be kept with the value.
    pub const fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// When to store at all.
    pub const fn condition(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }

    pub(crate) const fn put<'a>(&self, key: &'a [u8], value: &'a [u8]) -> Put<'a> {
        Put { key, value, flags: self.flags, ttl: self.ttl, condition: self.condition }
    }
}

impl Client {
    /// Connects with the defaults of [`Builder`].
    pub fn connect(addr: &str) -> Result<Self> {
        Self::builder().addr(addr).connect()
    }

    /// Settings for a client.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(pool: Pool) -> Self {
        let timeout = pool.config().request_timeout;
        Self { pool: Arc::new(pool), timeout }
    }

    /// Where its server is: errors do not say.
    #[must_use]
    pub fn addr(&self) -> &Addr {
        &self.pool.config().addr
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// This client with another request timeout, on the same pool. See [`Builder::request_timeout`].
    #[must_use]
    pub fn with_timeout(&self, timeout: Option<Duration>) -> Self {
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        Self { pool: Arc::clone(&self.pool), timeout }
    }

    /// An empty pipeline.
    #[must_use]
    pub fn pipeline<'a>(&self) -> Pipeline<'_, 'a> {
        Pipeline::new(self)
    }

    /// The value, if the key is present.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        self.one(Command::Get { key: key.as_ref(), meta: false }, |reply| match reply {
            ReplyRef::Value(value) => Some(Some(value.to_vec())),
            ReplyRef::Miss => Some(None),
            _ => None,
        })
    }

    /// Puts the value into `out`, replacing what is there. False, and `out` empty, if the key is absent.
    pub fn get_into(&self, key: impl AsRef<[u8]>, out: &mut Vec<u8>) -> Result<bool> {
        out.clear();
        self.one(Command::Get { key: key.as_ref(), meta: false }, |reply| match reply {
            ReplyRef::Value(value) => {
                out.extend_from_slice(value);
                Some(true)
            }
            ReplyRef::Miss => Some(false),
            _ => None,
        })
    }

    /// The value with its version, flags and time to live, if the key is present.
    pub fn get_item(&self, key: impl AsRef<[u8]>) -> Result<Option<Item>> {
        self.one(Command::Get { key: key.as_ref(), meta: true }, |reply| match reply {
            ReplyRef::Item(item) => Some(Some(item.to_item())),
            ReplyRef::Miss => Some(None),
            _ => None,
        })
    }

    /// Stores a value, for ever and in any case.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.put_with(key, value, PutOptions::new()).map(|_| ())
    }

    /// Stores a value. False if the condition did not hold.
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: PutOptions,
    ) -> Result<bool> {
        self.yes_or_no(Command::Put(options.put(key.as_ref(), value.as_ref())))
    }

    /// Removes a key. False if it was absent.
    pub fn del(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.yes_or_no(Command::Delete { key: key.as_ref(), version: None })
    }

    /// Removes a key if its item still has this version. False if it has not, or is absent.
    pub fn del_version(&self, key: impl AsRef<[u8]>, version: u64) -> Result<bool> {
        self.yes_or_no(Command::Delete { key: key.as_ref(), version: Some(version) })
    }

    /// Changes when a key expires; none: never. False if it is absent.
    pub fn touch(&self, key: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<bool> {
        let ttl = ttl.map_or(Ttl::Never, after);
        self.yes_or_no(Command::Touch { key: key.as_ref(), ttl, condition: TouchCondition::Always })
    }

    /// Adds to a counter and answers the new number; an absent key counts as 0.
    pub fn incr(&self, key: impl AsRef<[u8]>, delta: i64) -> Result<i64> {
        // What an absent key is set to is stored as it is, so it is given the sum.
        self.incr_or(key, delta, delta)
    }

    /// Adds to a counter and answers the new number; an absent key is set to `initial`.
    pub fn incr_or(&self, key: impl AsRef<[u8]>, delta: i64, initial: i64) -> Result<i64> {
        let initial = Some(initial);
        self.one(
            Command::Increment { key: key.as_ref(), delta, initial, ttl: Ttl::Keep },
            |reply| match reply {
                ReplyRef::Number(number) => Some(number),
                _ => None,
            },
        )
    }

    /// Adds to a counter and answers the new number; none if the key is absent.
    pub fn incr_existing(&self, key: impl AsRef<[u8]>, delta: i64) -> Result<Option<i64>> {
        let command = Command::Increment { key: key.as_ref(), delta, initial: None, ttl: Ttl::Keep };
        self.one(command, |reply| match reply {
            ReplyRef::Number(number) => Some(Some(number)),
            ReplyRef::Miss => Some(None),
            _ => None,
        })
    }

    /// Adds bytes at the end of a value and answers the new length; an absent key counts as empty.
    pub fn append(&self, key: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Result<u64> {
        self.concat(key.as_ref(), bytes.as_ref(), End::Back)
    }

    /// Adds bytes before a value and answers the new length; an absent key counts as empty.
    pub fn prepend(&self, key: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Result<u64> {
        self.concat(key.as_ref(), bytes.as_ref(), End::Front)
    }

    /// The server's statistics, as names and values.
    pub fn stats(&self) -> Result<Vec<(String, String)>> {
        self.one(Command::Stats, |reply| match reply {
            ReplyRef::Stats(text) => Some(parse_stats(text)),
            _ => None,
        })
    }

    /// Keys that requests of all clients were about since this was last called, one for each, and tells the server to note
    /// more: it does so until it has a few thousand. So the first call gives old ones, if any.
    pub fn sample(&self) -> Result<Vec<Value>> {
        self.one(Command::Sample, |reply| match reply {
            ReplyRef::Sample(keys) => Some(keys.iter().map(<[u8]>::to_vec).collect()),
            _ => None,
        })
    }

    /// Removes everything.
    pub fn flush(&self) -> Result<()> {
        self.yes_or_no(Command::Flush).map(|_| ())
    }

    /// Asks whether the server is there.
    pub fn ping(&self) -> Result<()> {
        self.one(Command::Ping { payload: b"" }, |reply| matches!(reply, ReplyRef::Pong(b"")).then_some(()))
    }

    /// What the server says about itself.
    pub fn hello(&self) -> Result<HelloInfo> {
        let hello = Command::Hello { version_min: VERSION, version_max: VERSION, client: b"" };
        self.one(hello, |reply| match reply {
            ReplyRef::Hello(hello) => Some(HelloInfo::from(&hello)),
            _ => None,
        })
    }

    /// What the pool has counted.
    #[must_use]
    pub fn pool_stats(&self) -> PoolStats {
        self.pool.stats()
    }

    /// Closes connections that are beyond their limits or do not answer, and opens those that are missing to the idle
    /// minimum. Calls see to limits as they go; a program that is idle for long may do it from a timer.
    pub fn maintain(&self) -> Result<()> {
        self.pool.maintain()
    }

    /// Starts a thread that does [`Client::maintain`] after each `interval`, and then hands the figures to `export`.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let client = crabcache_client::Client::connect("127.0.0.1:7001")?;
    /// let _maintenance = client.maintain_every(Duration::from_secs(5), |stats| {
    ///     for (name, figure) in stats.figures() {
    ///         println!("crabcache_client_{name} {figure}"); // or wherever they are to go
    ///     }
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the system does not give a thread.
    pub fn maintain_every(
        &self,
        interval: Duration,
        export: impl FnMut(&PoolStats) + Send + 'static,
    ) -> io::Result<Maintenance> {
        Maintenance::start(&self.pool, interval, export)
    }

    /// Runs commands as they come from an iterator, and hands each answer to `answer` with its index: neither the
    /// commands nor the answers are ever all in memory. `answer` is called once for each command, in order, or not at
    /// all if this fails. The iterator is cloned, and begun again, if the connection turns out dead at the start.
    ///
    /// # Errors
    /// If there is no connection; then nothing was carried out. Whatever happens later is a [`CommandError`] of the
    /// commands that have no answer.
    pub fn run<'a, I, F>(&self, commands: I, mut answer: F) -> Result<()>
    where
        I: IntoIterator,
        I::IntoIter: Clone,
        I::Item: Borrow<Command<'a>>,
        F: FnMut(usize, std::result::Result<ReplyRef<'_>, CommandError>),
    {
        let commands = commands.into_iter();
        let mut call = Call::begin(self.timeout);
        let mut lease = self.pool.checkout(&mut call)?;
        let mut exchange = Exchange::new(commands.clone());
        let Err(broken) = exchange.drive(&mut lease, &call, &mut answer) else { return Ok(()) };
        let reused = lease.reused;
        lease.timed_out = broken == Broken::Timeout;
        drop(lease);
        let harmless = || exchange.nothing_sent() || may_be_repeated(commands.clone());
        if reused
            && broken.is_hangup()
            && exchange.nothing_emitted()
            && harmless()
            && let Ok(mut lease) = self.pool.checkout_fresh(&mut call)
        {
            let mut again = Exchange::again(commands, &exchange);
            if let Err(broken) = again.drive(&mut lease, &call, &mut answer) {
                lease.timed_out = broken == Broken::Timeout;
                again.fail_rest(broken, &mut answer);
            }
            return Ok(());
        }
        exchange.fail_rest(broken, &mut answer);
        Ok(())
    }

    /// Runs one command. `read` answers none for a reply that the command cannot have.
    pub(crate) fn one<T>(
        &self,
        command: Command<'_>,
        read: impl FnOnce(ReplyRef<'_>) -> Option<T>,
    ) -> Result<T> {
        let (mut read, mut answer) = (Some(read), None);
        self.run(iter::once(command), |_, reply| {
            answer = Some(match (reply, read.take()) {
                (Err(refused), _) => Err(refused.into()),
                (Ok(reply), read) => {
                    read.and_then(|read| read(reply)).ok_or(Error::Protocol(ProtocolError::Body))
                }
            });
        })?;
        answer.unwrap_or(Err(Error::Closed))
    }

    pub(crate) fn yes_or_no(&self, command: Command<'_>) -> Result<bool> {
        self.one(command, |reply| match reply {
            ReplyRef::Done => Some(true),
            ReplyRef::Miss | ReplyRef::NotStored => Some(false),
            _ => None,
        })
    }

    fn concat(&self, key: &[u8], bytes: &[u8], end: End) -> Result<u64> {
        self.one(Command::Concat { key, bytes, end, create: true }, |reply| match reply {
            ReplyRef::Length(len) => Some(len),
            _ => None,
        })
    }
}

impl From<&Hello<'_>> for HelloInfo {
    fn from(hello: &Hello<'_>) -> Self {
        Self {
            version: hello.version,
            key_len_max: hello.key_len_max,
            value_len_max: hello.value_len_max,
            server: String::from_utf8_lossy(hello.server).into_owned(),
        }
    }
}

/// Whether all of them may be carried out twice, one time after the other: their second answers are those of the first, and so
/// is what they leave. A read may not, where what is written behind it would change its answer.
fn may_be_repeated<'a, C: Borrow<Command<'a>>>(mut commands: impl Iterator<Item = C> + Clone) -> bool {
    let all = |kind: fn(&Command<'_>) -> bool| commands.clone().all(|command| kind(command.borrow()));
    if all(only_reads) || all(stores_in_any_case) {
        return true;
    }
    let (first, second) = (commands.next(), commands.next());
    second.is_none() && first.is_some_and(|command| is_idempotent(command.borrow()))
}

const fn only_reads(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Get { .. }
            | Command::MultiGet { .. }
            | Command::Scan { .. }
            | Command::Ping { .. }
            | Command::Stats
            | Command::Hello { .. }
    )
}

const fn stores_in_any_case(command: &Command<'_>) -> bool {
    match command {
        Command::Put(put) => matches!(put.condition, Condition::Always),
        Command::MultiPut { .. } => true,
        _ => false,
    }
}

/// Of a command by itself. A lease that was won without our knowing only has to be waited for.
const fn is_idempotent(command: &Command<'_>) -> bool {
    matches!(command, Command::Lease { .. } | Command::Touch { condition: TouchCondition::Always, .. })
}

/// Milliseconds, rounded up so that a short time does not become none.
pub(crate) fn after(ttl: Duration) -> Ttl {
    let ms = ttl.as_nanos().div_ceil(1_000_000);
    u64::try_from(ms).map_or(Ttl::Never, Ttl::After)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_repeated_only_if_its_answers_stay_the_same() {
        let get = Command::Get { key: b"k", meta: false };
        let put = |condition| Command::Put(Put { key: b"k", value: b"v", condition, ..Put::default() });
        let touch = Command::Touch { key: b"k", ttl: Ttl::Never, condition: TouchCondition::Always };
        let incr = Command::Increment { key: b"k", delta: 1, initial: None, ttl: Ttl::Keep };
        let (always, absent) = (put(Condition::Always), put(Condition::Absent));
        let lease = Command::Lease { key: b"k", lease_ms: 1, early_ms: 0, meta: false };
        for one in [get, always, touch, lease] {
            assert!(may_be_repeated([one].iter()), "{one:?}");
        }
        for series in [[get, get], [always, always]] {
            assert!(may_be_repeated(series.iter()), "{series:?}");
        }
        assert!(!may_be_repeated([absent].iter()) && !may_be_repeated([incr].iter()));
        for series in [[get, always], [touch, always], [always, get], [get, touch], [lease, get], [get, incr]]
        {
            assert!(!may_be_repeated(series.iter()), "{series:?}");
        }
    }
}

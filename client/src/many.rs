//! Several keys in a call: MGET and MPUT, cut so that each is of a size that servers take, all in one round trip.

use std::time::Duration;

use crabcache_protocol::native::{Command, Keys, Pairs, Put, Ttl};

use crate::Result;
use crate::client::{Client, after};
use crate::error::{CommandError, Error, ProtocolError};
use crate::reply::{ReplyRef, Value, Values};

/// Keys of one MGET, pairs of one MPUT.
const LIST_MAX: usize = 128;
/// Bytes of them: they are copied, and sent as a whole.
const LIST_BYTES_MAX: usize = 32 * 1024;

type Pair<'a> = (&'a [u8], &'a [u8]);
type Stored = std::result::Result<(), CommandError>;

impl Client {
    /// The values of several keys, in their order; none for those that are absent.
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Result<Vec<Option<Value>>> {
        let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        let mut values = Vec::with_capacity(keys.len());
        let (mut failure, mut left_out) = (None, Vec::new());
        let chunks = chunks(&keys, |key| key.len());
        let commands =
            chunks.iter().map(|chunk| Command::MultiGet { keys: Keys::from_slice(chunk), meta: false });
        self.run(commands, |_, reply| {
            let failed = match reply {
                Ok(ReplyRef::Values(found)) => {
                    take_values(found, &mut values, &mut left_out).err().map(Error::from)
                }
                Ok(_) => Some(Error::Protocol(ProtocolError::Body)),
                Err(refused) => Some(refused.into()),
            };
            if failure.is_none() {
                failure = failed;
            }
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        for index in left_out {
            values[index] = self.get(keys[index])?;
        }
        Ok(values)
    }

    /// Stores several values, to expire after `ttl`, or never; a result for each pair, in their order. A pair that is
    /// refused takes nothing from the others.
    ///
    /// # Errors
    /// If there is no connection.
    pub fn put_many<K, V>(&self, pairs: &[(K, V)], ttl: Option<Duration>) -> Result<Vec<Stored>>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let pairs: Vec<Pair<'_>> = pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
        let ttl = ttl.map_or(Ttl::Never, after);
        let chunks = chunks(&pairs, |(key, value)| key.len() + value.len());
        let mut results = Vec::with_capacity(pairs.len());
        let mut refused = Vec::new();
        self.run(chunks.iter().map(|chunk| store(chunk, ttl)), |index, reply| {
            let (begin, len) = (results.len(), chunks[index].len());
            match reply {
                Ok(ReplyRef::Statuses(statuses)) => results.extend(statuses),
                Ok(_) => results.push(Ok(())),
                Err(error) => {
                    results.resize(begin + len, Err(error));
                    // What a list is refused for may be the fault of one pair.
                    if len > 1 && error.keeps_connection() {
                        refused.extend(begin..begin + len);
                    }
                }
            }
        })?;
        if !refused.is_empty() {
            let singles = refused.iter().map(|&index| store(&pairs[index..=index], ttl));
            // Without a connection they stay refused; the others are stored.
            let _ = self.run(singles, |nth, reply| results[refused[nth]] = reply.map(|_| ()));
        }
        Ok(results)
    }
}

/// One pair is a PUT, which does not copy a large value.
fn store<'a>(pairs: &'a [Pair<'a>], ttl: Ttl) -> Command<'a> {
    match *pairs {
        [(key, value)] => Command::Put(Put { key, value, ttl, ..Put::default() }),
        _ => Command::MultiPut { pairs: Pairs::from_slice(pairs), ttl },
    }
}

/// Cuts the list; one that is large by itself is alone.
fn chunks<T>(list: &[T], bytes_of: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut chunks, mut rest) = (Vec::new(), list);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |one: &&T| {
            bytes += bytes_of(one);
            bytes <= LIST_BYTES_MAX
        };
        let len = rest.iter().take(LIST_MAX).take_while(fits).count().max(1);
        let (chunk, after) = rest.split_at(len);
        chunks.push(chunk);
        rest = after;
    }
    chunks
}

/// Adds the values of one MGET. Those that the server left out, because its answer would have been too large, are
/// noted: they are asked for again, alone.
fn take_values(
    found: Values<'_>,
    values: &mut Vec<Option<Value>>,
    left_out: &mut Vec<usize>,
) -> std::result::Result<(), CommandError> {
    for value in found {
        match value {
            Err(CommandError::TryAgain) => {
                left_out.push(values.len());
                values.push(None);
            }
            value => values.push(value?.map(<[u8]>::to_vec)),
        }
    }
    Ok(())
}

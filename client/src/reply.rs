//! Answers: borrowed from the connection's buffer ([`ReplyRef`]) or owned ([`Reply`]), and the way from a reply on
//! the wire to one of them, given what was asked.

use std::time::Duration;

use crabcache_protocol::native::reply::{BadBody, Entries, Entry, Hello};
use crabcache_protocol::native::{self, Command, Keys, Meta, Status, TTL_NEVER};

use crate::error::{Broken, CommandError, ProtocolError};

/// The bytes of a value.
pub type Value = Vec<u8>;

/// A value with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The bytes.
    pub value: Value,
    /// Changes with every write to the key; for [`Condition::Version`](crate::Condition::Version).
    pub version: u64,
    /// The number that was stored with the value.
    pub flags: u32,
    /// Time left to live; none if it does not expire.
    pub ttl: Option<Duration>,
}

/// A borrowed [`Item`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemRef<'a> {
    /// The bytes.
    pub value: &'a [u8],
    /// Version, flags, time to live.
    pub meta: Meta,
}

/// What a command was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Done: stored, removed, touched, flushed.
    Done,
    /// The key is absent.
    Miss,
    /// The condition did not hold.
    NotStored,
    /// The value.
    Value(Value),
    /// The value with its meta.
    Item(Item),
    /// The number after INCR.
    Number(i64),
    /// The length after APPEND and PREPEND.
    Length(u64),
    /// For each key of MGET its value, none if it is absent.
    Values(Vec<Result<Option<Value>, CommandError>>),
    /// For each pair of MPUT whether it is stored.
    Statuses(Vec<Result<(), CommandError>>),
    /// The lease is ours.
    Won {
        /// The version under which to store the value.
        token: u64,
        /// The old value, if there is one.
        old: Option<Value>,
        /// The old value's meta, if it was asked for.
        meta: Option<Meta>,
    },
    /// Somebody else has the lease.
    Wait {
        /// For how long at most; none if for ever.
        left: Option<Duration>,
        /// The stale value, if there is one.
        old: Option<Value>,
        /// The stale value's meta, if it was asked for.
        meta: Option<Meta>,
    },
    /// A part of a SCAN.
    Keys {
        /// Where to go on; 0 at the end.
        cursor: u64,
        /// The keys.
        keys: Vec<Vec<u8>>,
    },
    /// The key of each request that was noted for SAMPLE.
    Sample(Vec<Vec<u8>>),
    /// What PING was sent with.
    Pong(Vec<u8>),
    /// Names and values.
    Stats(Vec<(String, String)>),
    /// The answer to HELLO.
    Hello(crate::HelloInfo),
}

/// A [`Reply`] that borrows the connection's buffer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReplyRef<'a> {
    /// Done: stored, removed, touched, flushed.
    Done,
    /// The key is absent.
    Miss,
    /// The condition did not hold.
    NotStored,
    /// The value.
    Value(&'a [u8]),
    /// The value with its meta.
    Item(ItemRef<'a>),
    /// The number after INCR.
    Number(i64),
    /// The length after APPEND and PREPEND.
    Length(u64),
    /// For each key of MGET its value.
    Values(Values<'a>),
    /// For each pair of MPUT whether it is stored.
    Statuses(Statuses<'a>),
    /// The lease is ours.
    Won {
        /// The version under which to store the value.
        token: u64,
        /// The old value, if there is one.
        old: Option<&'a [u8]>,
        /// The old value's meta, if it was asked for.
        meta: Option<Meta>,
    },
    /// Somebody else has the lease.
    Wait {
        /// For how long at most; none if for ever.
        left: Option<Duration>,
        /// The stale value, if there is one.
        old: Option<&'a [u8]>,
        /// The stale value's meta, if it was asked for.
        meta: Option<Meta>,
    },
    /// A part of a SCAN.
    Keys {
        /// Where to go on; 0 at the end.
        cursor: u64,
        /// The keys.
        keys: Keys<'a>,
    },
    /// The key of each request that was noted for SAMPLE.
    Sample(Keys<'a>),
    /// What PING was sent with.
    Pong(&'a [u8]),
    /// Lines of `name=value`.
    Stats(&'a [u8]),
    /// The answer to HELLO.
    Hello(Hello<'a>),
}

/// The values of MGET, in the order of its keys.
#[derive(Clone, Debug)]
pub struct Values<'a>(Entries<'a>);

/// What came of the pairs of MPUT, in their order.
#[derive(Clone, Debug)]
pub struct Statuses<'a>(native::Reply<'a>, usize);

/// What a command's answer must look like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    Done,
    Value,
    Item,
    Number,
    Length,
    Values { count: u32, meta: bool },
    Statuses { count: u32 },
    Lease { meta: bool },
    Keys,
    Sample,
    Pong,
    Stats,
    Hello,
}

impl Expect {
    #[inline]
    pub(crate) const fn of(command: &Command<'_>) -> Self {
        match command {
            Command::Hello { .. } => Self::Hello,
            Command::Ping { .. } => Self::Pong,
            Command::Stats => Self::Stats,
            Command::Get { meta: false, .. } => Self::Value,
            Command::Get { meta: true, .. } => Self::Item,
            Command::Increment { .. } => Self::Number,
            Command::Concat { .. } => Self::Length,
            Command::MultiGet { keys, meta } => Self::Values { count: keys.len() as u32, meta: *meta },
            Command::MultiPut { pairs, .. } => Self::Statuses { count: pairs.len() as u32 },
            Command::Lease { meta, .. } => Self::Lease { meta: *meta },
            Command::Scan { .. } => Self::Keys,
            Command::Sample => Self::Sample,
            _ => Self::Done,
        }
    }

    /// Reads the answer. The outer error breaks the connection.
    #[inline]
    pub(crate) fn read<'a>(
        self,
        reply: &native::Reply<'a>,
    ) -> Result<Result<ReplyRef<'a>, CommandError>, Broken> {
        // What most answers are.
        match (reply.status, self) {
            (Status::Ok, Self::Value) => Ok(Ok(ReplyRef::Value(reply.body))),
            (Status::Ok, Self::Done) if reply.body.is_empty() => Ok(Ok(ReplyRef::Done)),
            _ => self.read_any(reply),
        }
    }

    fn read_any<'a>(self, reply: &native::Reply<'a>) -> Result<Result<ReplyRef<'a>, CommandError>, Broken> {
        if let Some(refused) = CommandError::from_status(reply.status) {
            return Ok(Err(refused));
        }
        let read = match (reply.status, self) {
            (Status::Ok, expect) => expect.read_ok(reply).map_err(|BadBody| ProtocolError::Body)?,
            (Status::Miss, Self::Value | Self::Item | Self::Number | Self::Length | Self::Done) => {
                ReplyRef::Miss
            }
            (Status::NotStored, Self::Done) => ReplyRef::NotStored,
            (Status::Won | Status::Wait, Self::Lease { meta }) => {
                read_lease(reply, meta).map_err(|BadBody| ProtocolError::Body)?
            }
            (status, _) => return Err(ProtocolError::Status(status).into()),
        };
        Ok(Ok(read))
    }

    fn read_ok<'a>(self, reply: &native::Reply<'a>) -> Result<ReplyRef<'a>, BadBody> {
        Ok(match self {
            Self::Done if reply.body.is_empty() => ReplyRef::Done,
            Self::Done => return Err(BadBody),
            Self::Value | Self::Lease { meta: false } => ReplyRef::Value(reply.body),
            Self::Item | Self::Lease { meta: true } => {
                let (meta, value) = Meta::split(reply.body)?;
                ReplyRef::Item(ItemRef { value, meta })
            }
            Self::Number => ReplyRef::Number(reply.number()?),
            Self::Length => ReplyRef::Length(reply.length()?),
            Self::Values { count, meta } => {
                let mut found = 0;
                for entry in reply.entries(meta) {
                    if entry?.status == Status::NotStored {
                        return Err(BadBody);
                    }
                    found += 1;
                }
                if found != count {
                    return Err(BadBody);
                }
                ReplyRef::Values(Values(reply.entries(meta)))
            }
            Self::Statuses { count } => {
                let allowed = [Status::Ok, Status::TooLarge, Status::TryAgain];
                let bad = |status| !matches!(status, Ok(status) if allowed.contains(&status));
                if reply.body.len() != count as usize || reply.statuses().any(bad) {
                    return Err(BadBody);
                }
                ReplyRef::Statuses(Statuses(*reply, 0))
            }
            Self::Keys => {
                let (cursor, keys) = reply.scan()?;
                ReplyRef::Keys { cursor, keys }
            }
            Self::Sample => ReplyRef::Sample(reply.sample()?),
            Self::Pong => ReplyRef::Pong(reply.body),
            Self::Stats => ReplyRef::Stats(reply.body),
            Self::Hello => ReplyRef::Hello(reply.hello()?),
        })
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<Option<&'a [u8]>, CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Entry { status, value, .. } = self.0.next()?.ok()?; // checked by `Expect::read`
        Some(match CommandError::from_status(status) {
            Some(refused) => Err(refused),
            None => Ok((status == Status::Ok).then_some(value)),
        })
    }
}

impl Iterator for Statuses<'_> {
    type Item = Result<(), CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        let status = self.0.statuses().nth(self.1)?.ok()?; // checked by `Expect::read`
        self.1 += 1;
        Some(CommandError::from_status(status).map_or(Ok(()), Err))
    }
}

impl ItemRef<'_> {
    /// An owned copy.
    #[must_use]
    pub fn to_item(&self) -> Item {
        let Meta { version, flags, ttl_ms } = self.meta;
        Item { value: self.value.to_vec(), version, flags, ttl: ttl_ms.map(Duration::from_millis) }
    }
}

impl ReplyRef<'_> {
    /// An owned copy.
    #[must_use]
    pub fn to_reply(&self) -> Reply {
        match self {
            Self::Done => Reply::Done,
            Self::Miss => Reply::Miss,
            Self::NotStored => Reply::NotStored,
            Self::Value(value) => Reply::Value(value.to_vec()),
            Self::Item(item) => Reply::Item(item.to_item()),
            Self::Number(number) => Reply::Number(*number),
            Self::Length(len) => Reply::Length(*len),
            Self::Values(values) => Reply::Values(
                values.clone().map(|value| value.map(|value| value.map(<[u8]>::to_vec))).collect(),
            ),
            Self::Statuses(statuses) => Reply::Statuses(statuses.clone().collect()),
            Self::Won { token, old, meta } => {
                Reply::Won { token: *token, old: old.map(<[u8]>::to_vec), meta: *meta }
            }
            Self::Wait { left, old, meta } => {
                Reply::Wait { left: *left, old: old.map(<[u8]>::to_vec), meta: *meta }
            }
            Self::Keys { cursor, keys } => {
                Reply::Keys { cursor: *cursor, keys: keys.iter().map(<[u8]>::to_vec).collect() }
            }
            Self::Sample(keys) => Reply::Sample(keys.iter().map(<[u8]>::to_vec).collect()),
            Self::Pong(payload) => Reply::Pong(payload.to_vec()),
            Self::Stats(text) => Reply::Stats(parse_stats(text)),
            Self::Hello(hello) => Reply::Hello(hello.into()),
        }
    }
}

fn read_lease<'a>(reply: &native::Reply<'a>, meta: bool) -> Result<ReplyRef<'a>, BadBody> {
    let leased = reply.lease(meta)?;
    let (number, old, meta) = (leased.number, leased.value, leased.meta);
    if reply.status == Status::Won {
        return Ok(ReplyRef::Won { token: number, old, meta });
    }
    let left = Some(number).filter(|&ms| ms != TTL_NEVER).map(Duration::from_millis);
    Ok(ReplyRef::Wait { left, old, meta })
}

/// Lines of `name=value`; others are left out.
pub(crate) fn parse_stats(text: &[u8]) -> Vec<(String, String)> {
    String::from_utf8_lossy(text)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

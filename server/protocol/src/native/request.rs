//! Requests: [`parse`] bytes into a borrowed [`Request`]; `encode.rs` does the reverse.
//!
//! A plain GET or PUT is known by its first four bytes (`usual.rs`). Everything else goes through the checks of `header.rs`.

use super::header::condition;
use super::list::ListFault;
use super::{
    Condition, End, Fault, Keys, Opcode, Pairs, ParseError, REQUEST_HEADER_LEN, REQUEST_MAGIC, RequestHeader,
    Status, TTL_NEVER, TouchCondition, Ttl, flag, usual,
};
use crate::{Limits, Parsed, Usual};

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Comes back in the reply.
    pub opaque: u16,
    /// Whether the expected outcome is not to be answered; see [`Request::is_silent`].
    pub quiet: bool,
    /// What to do.
    pub command: Command<'a>,
}

/// What a request asks for, with its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// Agree on a version. The reply's body is written by [`reply::hello`](super::reply::hello).
    Hello {
        /// Oldest version that the client speaks.
        version_min: u8,
        /// Newest version that the client speaks.
        version_max: u8,
        /// Name and version of the client, for people.
        client: &'a [u8],
    },
    /// Answer with the same bytes.
    Ping {
        /// The bytes.
        payload: &'a [u8],
    },
    /// Answer with lines of `name=value`.
    Stats,
    /// Remove everything.
    Flush,
    /// Answer with keys that requests were about, and note more; see [`Reply::sample`](super::Reply::sample).
    Sample,
    /// Read a value.
    Get {
        /// The key.
        key: &'a [u8],
        /// Whether the answer begins with the item's [`Meta`](super::Meta).
        meta: bool,
    },
    /// Store a value.
    Put(Put<'a>),
    /// Remove a key.
    Delete {
        /// The key.
        key: &'a [u8],
        /// Only if the item has this version.
        version: Option<u64>,
    },
    /// Change when a key expires. [`Ttl::Keep`] only marks it as used.
    Touch {
        /// The key.
        key: &'a [u8],
        /// When it expires from now on.
        ttl: Ttl,
        /// When to change it at all.
        condition: TouchCondition,
    },
    /// Add to a counter. Answers with the new number.
    Increment {
        /// The key.
        key: &'a [u8],
        /// What to add.
        delta: i64,
        /// What an absent key is set to, without adding; none makes it a miss.
        initial: Option<i64>,
        /// When it expires from now on.
        ttl: Ttl,
    },
    /// Add bytes to a value. Answers with the new length.
    Concat {
        /// The key.
        key: &'a [u8],
        /// What to add.
        bytes: &'a [u8],
        /// At which end.
        end: End,
        /// Whether an absent key counts as an empty value; otherwise it is a miss.
        create: bool,
    },
    /// Read several values; one reply with a status for each key.
    MultiGet {
        /// The keys.
        keys: Keys<'a>,
        /// Whether each value comes with its [`Meta`](super::Meta).
        meta: bool,
    },
    /// Store several values; one reply with a status for each key.
    MultiPut {
        /// The keys and their values.
        pairs: Pairs<'a>,
        /// When the items expire.
        ttl: Ttl,
    },
    /// Read a value, or win the lease on it; see [`Reply::lease`](super::Reply::lease).
    Lease {
        /// The key.
        key: &'a [u8],
        /// How long the lease lasts if it is won, in milliseconds; 0 counts as 1.
        lease_ms: u64,
        /// A value that expires within this time can be won, too, in milliseconds.
        early_ms: u64,
        /// Whether the value comes with its [`Meta`](super::Meta).
        meta: bool,
    },
    /// Mark a value as stale: the lease on it is for the next one to win.
    Stale {
        /// The key.
        key: &'a [u8],
        /// When it expires from now on.
        ttl: Ttl,
        /// Only if the item has this version.
        version: Option<u64>,
    },
    /// Walk over the keys that begin with these bytes; see [`Reply::scan`](super::Reply::scan).
    Scan {
        /// The first bytes of the keys; none for all.
        prefix: &'a [u8],
        /// Where to go on; 0 to begin.
        cursor: u64,
        /// About how many keys to look at.
        count: u32,
    },
    /// Not carried out, whatever it was: answer with `status`, and leave out the next `skip` bytes. The connection
    /// stays in order. Only parsing makes this; it cannot be encoded.
    Refused {
        /// [`Status::TooLarge`], [`Status::KeyTooLong`] or [`Status::UnknownOperation`].
        status: Status,
        /// Bytes that follow what was consumed and belong to this request. They may not have arrived yet.
        skip: u64,
    },
}

/// A value to store, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Put<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The bytes.
    pub value: &'a [u8],
    /// A number that is kept with the value; 0 costs no memory.
    pub flags: u32,
    /// When the item expires.
    pub ttl: Ttl,
    /// When to store at all.
    pub condition: Condition,
}

/// A PUT up to its value, for a server that reads a large value straight to where it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutHead<'a> {
    /// Comes back in the reply.
    pub opaque: u16,
    /// Whether success is not to be answered.
    pub quiet: bool,
    /// The request. Its `value` is only what has arrived so far.
    pub put: Put<'a>,
    /// Bytes that the whole value has.
    pub value_len: usize,
    /// Where in the input the value begins.
    pub value_at: usize,
}

impl Request<'_> {
    /// Whether a reply with this status is left out because the request is quiet.
    #[inline]
    #[must_use]
    pub const fn is_silent(&self, status: Status) -> bool {
        self.quiet
            && match self.command {
                Command::Get { .. } => matches!(status, Status::Miss),
                _ => matches!(status, Status::Ok),
            }
    }
}

/// Reads the request at the start of `input`.
///
/// What this server does not take ([`Command::Refused`]) is known from the header alone: `consumed` is then the
/// header, and the rest is to be skipped. Of `limits` these count: `key_len_max`, `value_len_max`, and `args_max`
/// for the keys of one MGET or MPUT.
///
/// # Errors
/// After an error nothing can be read from this connection any more: answer with [`ParseError::status`] and
/// [`ParseError::opaque`], then close.
#[inline]
pub fn parse<'a>(input: &'a [u8], limits: &Limits) -> Result<Parsed<Request<'a>>, ParseError> {
    let Some((usual, opaque, rest)) = usual(input, limits) else { return parse_other(input, limits) };
    let command = match usual {
        Usual::Get { key } => Command::Get { key, meta: false },
        Usual::Set { key, value } => Command::Put(Put { key, value, ..Put::default() }),
    };
    let value = Request { opaque, quiet: false, command };
    Ok(Parsed::Complete { value, consumed: input.len() - rest.len() })
}

/// [`parse`] without trying the [`usual`] requests first: for whoever has tried them.
///
/// # Errors
/// As those of [`parse`].
#[inline(never)]
pub fn parse_other<'a>(input: &'a [u8], limits: &Limits) -> Result<Parsed<Request<'a>>, ParseError> {
    let Some(head) = input.first_chunk::<REQUEST_HEADER_LEN>() else {
        return match input.first() {
            Some(&found) if found != REQUEST_MAGIC => Err(ParseError::Magic { found }),
            _ => Ok(Parsed::Incomplete { at_least: REQUEST_HEADER_LEN }),
        };
    };
    let header = RequestHeader::decode(head)?;
    let (opaque, quiet) = (header.opaque, header.flags & flag::QUIET != 0);
    let (opcode, consumed) = match accept(&header, limits)? {
        Ok(accepted) => accepted,
        Err(status) => {
            let command = Command::Refused { status, skip: header.rest_len() };
            let value = Request { opaque, quiet: false, command };
            return Ok(Parsed::Complete { value, consumed: REQUEST_HEADER_LEN });
        }
    };
    let Some(rest) = input.get(REQUEST_HEADER_LEN..consumed) else {
        return Ok(Parsed::Incomplete { at_least: consumed });
    };
    let command = command(&header, opcode, rest, limits)?;
    let quiet = quiet && !matches!(command, Command::Refused { .. });
    Ok(Parsed::Complete { value: Request { opaque, quiet, command }, consumed })
}

/// Reads a PUT whose value is not all here yet: what [`parse`] called incomplete. None if it is not a PUT that this
/// server takes, or if its key is not here yet either.
#[must_use]
pub fn put_head<'a>(input: &'a [u8], limits: &Limits) -> Option<PutHead<'a>> {
    let header = RequestHeader::decode(input.first_chunk()?).ok()?;
    let Ok((Opcode::Put, end)) = accept(&header, limits).ok()? else { return None };
    let value_at = end - header.value_len as usize;
    let rest = input.get(REQUEST_HEADER_LEN..end.min(input.len()).max(value_at))?;
    let Ok(Command::Put(put)) = command(&header, Opcode::Put, rest, limits) else { return None };
    let (opaque, quiet) = (header.opaque, header.flags & flag::QUIET != 0);
    Some(PutHead { opaque, quiet, put, value_len: header.value_len as usize, value_at })
}

/// The operation and the length of the request, or the status with which it is refused.
fn accept(header: &RequestHeader, limits: &Limits) -> Result<Result<(Opcode, usize), Status>, ParseError> {
    let Some(opcode) = Opcode::from_byte(header.opcode) else {
        return Ok(Err(Status::UnknownOperation));
    };
    header.check(opcode)?;
    if header.key_len as usize > limits.key_len_max {
        return Ok(Err(Status::KeyTooLong));
    }
    if header.value_len as usize > limits.value_len_max {
        return Ok(Err(Status::TooLarge));
    }
    // On 32-bit machines the sum may not fit; such a request cannot be held in memory either.
    let Ok(len) = usize::try_from(REQUEST_HEADER_LEN as u64 + header.rest_len()) else {
        return Ok(Err(Status::TooLarge));
    };
    Ok(Ok((opcode, len)))
}

/// Builds the command from the bytes after the header. `rest` holds fields and key; the value may be cut short, but
/// only for PUT.
fn command<'a>(
    header: &RequestHeader,
    opcode: Opcode,
    rest: &'a [u8],
    limits: &Limits,
) -> Result<Command<'a>, ParseError> {
    let (fields, rest) = rest.split_at(header.fields_len());
    let (key, value) = rest.split_at(header.key_len as usize);
    let malformed = |fault| ParseError::Malformed { opaque: header.opaque, fault };
    let mut fields = Fields(fields);
    let ttl = |fields: &mut Fields<'_>, default| match header.flags & (flag::TTL | flag::KEEP_TTL) {
        0 => default,
        flag::KEEP_TTL => Ttl::Keep,
        _ => match fields.u64() {
            TTL_NEVER => Ttl::Never,
            ms => Ttl::After(ms),
        },
    };
    Ok(match opcode {
        Opcode::Get => Command::Get { key, meta: header.flags & flag::WANT_META != 0 },
        Opcode::Put => {
            let ttl = ttl(&mut fields, Ttl::Never);
            let condition = match header.condition {
                condition::ALWAYS => Condition::Always,
                condition::ABSENT => Condition::Absent,
                condition::PRESENT => Condition::Present,
                _ => Condition::Version(fields.u64()),
            };
            let flags = if header.flags & flag::CLIENT_FLAGS == 0 { 0 } else { fields.u32() };
            Command::Put(Put { key, value, flags, ttl, condition })
        }
        Opcode::Delete => {
            let version = (header.flags & flag::VERSION != 0).then(|| fields.u64());
            Command::Delete { key, version }
        }
        Opcode::Touch => {
            let condition = match header.condition {
                condition::PERMANENT => TouchCondition::Permanent,
                condition::EXPIRING => TouchCondition::Expiring,
                condition::LATER => TouchCondition::Later,
                condition::EARLIER => TouchCondition::Earlier,
                _ => TouchCondition::Always,
            };
            Command::Touch { key, ttl: ttl(&mut fields, Ttl::Never), condition }
        }
        Opcode::Increment => {
            let ttl = ttl(&mut fields, Ttl::Keep);
            let mut value = Fields(value);
            let delta = value.u64() as i64;
            let initial = (header.value_len == 16).then(|| value.u64() as i64);
            Command::Increment { key, delta, initial, ttl }
        }
        Opcode::Append | Opcode::Prepend => {
            let end = if matches!(opcode, Opcode::Append) { End::Back } else { End::Front };
            Command::Concat { key, bytes: value, end, create: header.condition == condition::ALWAYS }
        }
        Opcode::MultiGet => match Keys::from_wire(value, limits.key_len_max, limits.args_max) {
            Ok(keys) => Command::MultiGet { keys, meta: header.flags & flag::WANT_META != 0 },
            Err(fault) => return refuse_list(fault).ok_or(malformed(Fault::KeyList)),
        },
        Opcode::MultiPut => match Pairs::from_wire(value, limits.key_len_max, limits.args_max) {
            Ok(pairs) => Command::MultiPut { pairs, ttl: ttl(&mut fields, Ttl::Never) },
            Err(fault) => return refuse_list(fault).ok_or(malformed(Fault::KeyList)),
        },
        Opcode::Lease => {
            let mut value = Fields(value);
            let (lease_ms, early_ms) = (value.u64(), value.u64());
            Command::Lease { key, lease_ms, early_ms, meta: header.flags & flag::WANT_META != 0 }
        }
        Opcode::Stale => {
            let ttl = ttl(&mut fields, Ttl::Keep);
            let version = (header.flags & flag::VERSION != 0).then(|| fields.u64());
            Command::Stale { key, ttl, version }
        }
        Opcode::Scan => {
            let mut value = Fields(value);
            Command::Scan { prefix: key, cursor: value.u64(), count: value.u32() }
        }
        Opcode::Hello => match value {
            [version_min, version_max, client @ ..] => {
                Command::Hello { version_min: *version_min, version_max: *version_max, client }
            }
            _ => return Err(malformed(Fault::ValueLen)),
        },
        Opcode::Ping => Command::Ping { payload: value },
        Opcode::Stats => Command::Stats,
        Opcode::Flush => Command::Flush,
        Opcode::Sample => Command::Sample,
    })
}

/// A list that this server does not take; none if nobody does.
fn refuse_list<'a>(fault: ListFault) -> Option<Command<'a>> {
    let status = match fault {
        ListFault::Ends => return None,
        ListFault::KeyTooLong => Status::KeyTooLong,
        ListFault::TooMany => Status::TooLarge,
    };
    Some(Command::Refused { status, skip: 0 })
}

/// Numbers one after the other. Its users know from the header that they are there; a missing one reads as 0.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u64(&mut self) -> u64 {
        let Some((number, rest)) = self.0.split_first_chunk() else { return 0 };
        self.0 = rest;
        u64::from_le_bytes(*number)
    }

    fn u32(&mut self) -> u32 {
        let Some((number, rest)) = self.0.split_first_chunk() else { return 0 };
        self.0 = rest;
        u32::from_le_bytes(*number)
    }
}

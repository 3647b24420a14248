//! How an operation is answered: as usual, which the sink knows by one look, or as a plan says.

use crabcache_engine::Action;
use crabcache_protocol::resp::Version;

use crate::command::{Reply, memcache, native, resp};

/// How an operation's outcome becomes an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// In which form.
    pub(crate) reply: Reply,
    /// For RESP.
    pub(crate) version: Version,
}

/// A plan, in the space of a word: those of reads answered with the value, and of writes answered with success, whole; of the
/// others where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// In RESP.
    Resp(Version),
    /// In memcached's protocol.
    Memcache {
        /// It is the last of the request.
        last: bool,
    },
    /// In the native protocol.
    Native {
        /// The request's number.
        opaque: u16,
    },
    /// As the plan of this number in the batch says.
    Planned(u8),
}

impl Form {
    /// The form of an operation that is answered like this, if it is a usual one.
    #[inline(always)]
    pub(crate) fn of(action: &Action<'_>, reply: Reply, version: Version) -> Option<Self> {
        Some(match (action, reply) {
            (Action::Get, Reply::Resp(resp::Reply::Value))
            | (Action::Put(_), Reply::Resp(resp::Reply::Ok)) => Self::Resp(version),
            (Action::Get, Reply::Memcache(memcache::Reply::Value { with_cas: false, last })) => {
                Self::Memcache { last }
            }
            (Action::Put(_), Reply::Memcache(memcache::Reply::Stored)) => Self::Memcache { last: true },
            (Action::Get, Reply::Native(reply)) if reply == native::Reply::value(reply.opaque) => {
                Self::Native { opaque: reply.opaque }
            }
            (Action::Put(_), Reply::Native(reply)) if reply == native::Reply::status(reply.opaque) => {
                Self::Native { opaque: reply.opaque }
            }
            _ => return None,
        })
    }

    /// The plan of an operation with this form; `plans` are those of its batch.
    pub(crate) fn plan(self, action: &Action<'_>, plans: &[Plan]) -> Plan {
        let reads = matches!(action, Action::Get);
        let (reply, version) = match self {
            Self::Resp(version) => {
                (Reply::Resp(if reads { resp::Reply::Value } else { resp::Reply::Ok }), version)
            }
            Self::Memcache { last } => {
                let value = memcache::Reply::Value { with_cas: false, last };
                (Reply::Memcache(if reads { value } else { memcache::Reply::Stored }), Version::Resp2)
            }
            Self::Native { opaque } => {
                let reply = if reads { native::Reply::value(opaque) } else { native::Reply::status(opaque) };
                (Reply::Native(reply), Version::Resp2)
            }
            Self::Planned(number) => return plans[usize::from(number)],
        };
        Plan { reply, version }
    }
}

#[cfg(test)]
mod tests {
    use crabcache_engine::Put;

    use super::*;

    #[test]
    fn what_a_form_says_is_what_was_planned() {
        let value = |last, with_cas| Reply::Memcache(memcache::Reply::Value { with_cas, last });
        let (get, put) = (Action::Get, Action::Put(Put::default()));
        for (action, reply, usual) in [
            (get, Reply::Resp(resp::Reply::Value), true),
            (put, Reply::Resp(resp::Reply::Ok), true),
            (get, value(true, false), true),
            (get, value(false, false), true),
            (put, Reply::Memcache(memcache::Reply::Stored), true),
            (get, Reply::Native(native::Reply::value(7)), true),
            (put, Reply::Native(native::Reply::status(7)), true),
            // A SET with GET, a `gets`, a `set` with noreply, an answer that differs.
            (put, Reply::Resp(resp::Reply::Value), false),
            (get, value(true, true), false),
            (put, Reply::Memcache(memcache::Reply::Nothing), false),
            (get, Reply::Native(native::Reply::status(7)), false),
            (Action::Peek, Reply::Resp(resp::Reply::Value), false),
        ] {
            let form = Form::of(&action, reply, Version::Resp2);
            assert_eq!(form.is_some(), usual, "{action:?} {reply:?}");
            if let Some(form) = form {
                let plan = form.plan(&action, &[]);
                assert_eq!(format!("{:?}", plan.reply), format!("{reply:?}"));
            }
        }
    }
}

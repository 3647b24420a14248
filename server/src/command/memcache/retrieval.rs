//! `get` of so many keys, or of several large values, that others would have to wait for it, and its relatives: a slice per turn.

use crabcache_engine::{Action, Op};
use crabcache_protocol::memcache::Keys;

use super::Reply;
use crate::command::Reply as AnyReply;
use crate::large_values::LargeValues;
use crate::reactor::batch::Pass;
use crate::reactor::sized;

/// Keys of a slice: about half a millisecond's work.
const SLICE: usize = sized(2048);

/// A retrieval under way.
#[derive(Debug)]
pub(crate) struct Retrieval {
    /// Each with a space behind it.
    keys: Box<[u8]>,
    /// Where those that are left begin.
    at: usize,
    action: Action<'static>,
    with_cas: bool,
}

impl Retrieval {
    /// One that has just begun, if there are many keys, or several where values are large; they came in a line of so many bytes.
    pub(super) fn of_many(
        keys: Keys<'_>,
        line_len: usize,
        with_cas: bool,
        action: Action<'static>,
        large: &LargeValues,
    ) -> Option<Self> {
        let slice = if large.are_about() { 1 } else { SLICE };
        if line_len < 2 * slice || keys.iter().nth(slice).is_none() {
            return None;
        }
        let mut text = Vec::with_capacity(line_len);
        for key in keys {
            text.extend_from_slice(key);
            text.push(b' ');
        }
        Some(Self { keys: text.into(), at: 0, action, with_cas })
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held(&self) -> usize {
        self.keys.len()
    }

    /// Goes on for a slice; true when all is answered.
    pub(crate) fn step(&mut self, pass: &mut Pass<'_, '_, '_>) -> bool {
        let Self { keys, at, action, with_cas } = self;
        let (action, with_cas, first) = (*action, *with_cas, *at);
        pass.aside(|pass| {
            for key in keys[first..].split(|&byte| byte == b' ').take(SLICE) {
                // One at least, however much the others are answered.
                if *at > first && pass.is_full() {
                    break;
                }
                *at += key.len() + 1;
                let last = *at >= keys.len();
                pass.push(Op { key, action }, AnyReply::Memcache(Reply::Value { with_cas, last }));
                if last {
                    break;
                }
            }
        });
        *at >= keys.len()
    }
}

//! The usual requests, of all protocols: from the bytes to the batch, with nothing between.

use crabcache_engine::Op;
use crabcache_protocol::Pair;

use crate::database::begins_escaped;
use crate::large_values::LargeValues;
use crate::reactor::batch::{Form, Pass};

/// Usual requests that have become operations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Served {
    /// How many bytes they had.
    pub(super) len: usize,
    /// How many of them read,
    pub(super) gets: u64,
    /// and how many wrote.
    pub(super) sets: u64,
}

/// Makes operations of the requests at the head of `bytes` as long as they are usual ones, which `get` and `set` know, with the
/// number that their answer's form is made from, and until there are enough answers. There must be nothing to be asked about
/// them ([`Pass::is_ordinary`]) but whether their keys are stored as they are.
///
/// One loop for reads and one for writes, so that neither has to keep in registers what the other needs.
#[inline(always)]
pub(super) fn serve_usual<'a>(
    bytes: &'a [u8],
    pass: &mut Pass<'a, '_, '_>,
    get: impl Fn(&'a [u8]) -> Option<(&'a [u8], u16, &'a [u8])>,
    set: impl Fn(&'a [u8]) -> Option<(Pair<'a>, u16, &'a [u8])>,
    form: impl Fn(u16) -> Form,
) -> Served {
    let mut rest = bytes;
    let (mut gets, mut sets) = (0, 0);
    let mut full = pass.is_full();
    while !full {
        let before = gets + sets;
        while !full
            && let Some((key, opaque, behind)) = get(rest)
            && !begins_escaped(key)
        {
            gets += 1;
            rest = behind;
            full = pass.push_usual(Op::get(key), form(opaque)) && pass.is_full();
        }
        while !full
            && let Some(((key, value), opaque, behind)) = set(rest)
            && !begins_escaped(key)
        {
            if value.len() > LargeValues::FROM {
                pass.note_large(value.len());
            }
            sets += 1;
            rest = behind;
            full = pass.push_usual(Op::put(key, value), form(opaque)) && pass.is_full();
        }
        if gets + sets == before {
            break;
        }
    }
    pass.executor.commands += gets + sets;
    Served { len: bytes.len() - rest.len(), gets, sets }
}

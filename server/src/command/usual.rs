//! The usual requests, of all protocols: from the bytes to the batch, with nothing between.

use crabcache_engine::Op;
use crabcache_protocol::Usual;

use crate::database::begins_escaped;
use crate::reactor::batch::{Form, Pass};
use crate::shared::LargeValues;

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

/// Makes operations of the requests at the head of `bytes` as long as they are usual ones, which `read` knows, and until
/// there are enough answers. There must be nothing to be asked about them ([`Pass::is_ordinary`]) but whether their keys are
/// stored as they are.
#[inline(always)]
pub(super) fn serve_usual<'a>(
    bytes: &'a [u8],
    pass: &mut Pass<'a, '_, '_>,
    read: impl Fn(&'a [u8]) -> Option<(Usual<'a>, Form, &'a [u8])>,
) -> Served {
    let mut rest = bytes;
    let (mut gets, mut sets) = (0, 0);
    if pass.is_full() {
        return Served { len: 0, gets, sets };
    }
    while let Some((usual, form, behind)) = read(rest) {
        // Looked at and pushed apart, so that nothing is done for a read that only a write needs.
        let ran = match usual {
            Usual::Get { key } if !begins_escaped(key) => {
                gets += 1;
                pass.push_usual(Op::get(key), form)
            }
            Usual::Set { key, value } if !begins_escaped(key) => {
                if value.len() > LargeValues::FROM {
                    pass.note_large(value.len());
                }
                sets += 1;
                pass.push_usual(Op::put(key, value), form)
            }
            _ => break,
        };
        rest = behind;
        if ran && pass.is_full() {
            break;
        }
    }
    pass.executor.commands += gets + sets;
    Served { len: bytes.len() - rest.len(), gets, sets }
}

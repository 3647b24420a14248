//! Large values that are received into the arena (`connection/arriving.rs`): how that begins, and how it ends.

use crabcache_engine::{Action, Expiry, Millis, Op};
use crabcache_protocol::Parsed;

use super::{Reply, resp};
pub(super) use crate::connection::arriving::Ends;
use crate::connection::arriving::{Arriving, Share, Store};
use crate::connection::{Connection, Dialect};
use crate::reactor::batch::Pass;
use crate::reactor::sized;

/// Values from this length on are received into the arena (benches/README.md).
const FROM: usize = sized(48 << 10);
/// A value of which less than this part is here has nothing reserved.
const PART: usize = 8;
/// All workers together may reserve this part of the memory for items.
const SHARE: usize = 16;

/// Where in the bytes of a request its value is, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) value_start: usize,
    pub(super) value_len: usize,
    pub(super) ends: Ends,
}

/// Begins to receive the value of `op`, a put whose request is the beginning of `bytes` and not all here. Gives how many
/// bytes are done with: all of them, or none until more are here; nothing if the request has to be gathered.
#[cold]
pub(super) fn begin<'s>(
    op: &Op<'_>,
    reply: Reply,
    frame: Frame,
    bytes: &[u8],
    connection: &mut Connection<'s>,
    pass: &mut Pass<'_, '_, 's>,
) -> Option<usize> {
    let Frame { value_start, value_len, ends } = frame;
    let Action::Put(put) = op.action else { return None };
    let (head, value) = bytes.split_at_checked(value_start)?;
    if value_len < FROM || value.len() >= value_len {
        return None;
    }
    let expires = match put.expiry {
        // What follows the value tells when.
        Expiry::Never if ends == Ends::Option => Some(Millis(0)),
        Expiry::Never => None,
        Expiry::At(at) if at > pass.now() => Some(at),
        _ => return None,
    };
    let place = pass.place();
    let key = place.stored(op.key);
    if !pass.executor.admits(&key, value_len) {
        return None;
    }
    if value.len() < value_len / PART {
        connection.input.expect(value_start + value_len / PART);
        return Some(0);
    }
    let shared = pass.shared();
    let max = shared.config.memory_bytes / SHARE / shared.seats.len();
    let share = Share::take(pass.executor.reserved(), value_len, max)?;
    let reservation = pass.executor.reserve(&key, value_len, put.flags, expires)?;
    let store = Store { condition: put.condition, reply, ends, place };
    let mut arriving = Arriving::new(reservation, head, store, share);
    arriving.rest()[..value.len()].copy_from_slice(value);
    arriving.advance(value.len());
    connection.arriving = Some(Box::new(arriving));
    connection.input.begin_again(connection.moved);
    Some(bytes.len())
}

/// Stores the value that has arrived, if what follows it stands at the head of `bytes`. Gives how many bytes are done with,
/// or nothing while that is not here or has to wait.
#[cold]
#[inline(never)]
pub(super) fn finish<'s>(
    connection: &mut Connection<'s>,
    bytes: &[u8],
    pass: &mut Pass<'_, '_, 's>,
) -> Option<usize> {
    let arriving = connection.arriving.as_mut()?;
    let store = arriving.store;
    let behind = match behind(arriving, bytes, pass) {
        Parsed::Complete { value: fits, consumed } => fits.then_some(consumed),
        Parsed::Incomplete { at_least } => {
            connection.input.expect(at_least);
            return None;
        }
    };
    let is_resp = matches!(connection.dialect, Dialect::Resp(_));
    if is_resp && pass.executor.paused.is_some() {
        connection.pause();
        return None;
    }
    let arriving = connection.arriving.take()?;
    let is_seen = is_resp && pass.executor.attended;
    let Some(behind) = behind.filter(|_| store.place == pass.place() && !is_seen) else {
        // It is not what it was taken for, or no longer: the usual way knows what to do.
        let mut whole = arriving.into_bytes();
        whole.extend_from_slice(bytes);
        connection.input.give_back(whole, 0);
        connection.input.postpone();
        return Some(bytes.len());
    };
    pass.store(arriving.reservation, store.condition, store.reply);
    pass.executor.commands += 1;
    if is_resp {
        pass.executor.sets += 1;
        connection.last = resp::SET;
    }
    Some(behind)
}

/// Reads what follows a value; false if it is not what it was taken for.
fn behind(arriving: &mut Arriving<'_>, bytes: &[u8], pass: &Pass<'_, '_, '_>) -> Parsed<bool> {
    match arriving.store.ends {
        Ends::Nothing => Parsed::Complete { value: true, consumed: 0 },
        _ if bytes.len() < 2 => Parsed::Incomplete { at_least: 2 },
        Ends::Crlf => Parsed::Complete { value: bytes.starts_with(b"\r\n"), consumed: 2 },
        Ends::Option => match resp::read_expiry(bytes, &pass.shared().bounds.resp, pass.now()) {
            Parsed::Complete { value, consumed } => {
                let fits = value.is_some_and(|at| arriving.reservation.set_expires(at));
                Parsed::Complete { value: fits, consumed }
            }
            Parsed::Incomplete { at_least } => Parsed::Incomplete { at_least },
        },
    }
}

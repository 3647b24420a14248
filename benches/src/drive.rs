//! All of a batch, whatever it meets on its way.

use crabcache_engine::{Handle, Millis, Op, Outcome};

/// So many times in a row an operation may meet pressure before it is given up.
const TRIES_MAX: u32 = 100;

/// Executes operations in order; is quiescent where one meets pressure, and goes on from there. Answers how many were
/// executed: not all if one finds no room however often it is tried.
#[inline]
pub fn execute<F>(handle: &mut Handle<'_>, now: Millis, ops: &[Op<'_>], mut sink: F) -> usize
where
    F: FnMut(usize, Outcome<'_>),
{
    let (mut done, mut tries) = (0, 0);
    while done < ops.len() && tries < TRIES_MAX {
        let executed = handle.execute(now, &ops[done..], |index, outcome| sink(done + index, outcome));
        done += executed;
        if done < ops.len() {
            tries = if executed == 0 { tries + 1 } else { 0 };
            handle.quiescent(now);
        }
    }
    done
}

//! One thread's way into a cache.
use core::marker::PhantomData;
use crate::{Millis, Op, Outcome, Value};
/// One thread's way into a cache. `Send`, not `Sync`. Online when made.
#[derive(Debug)]
pub struct Handle<'c>(PhantomData<&'c ()>);
impl Handle<'_> {
    /// Executes `ops` in order, as one batch per [`BATCH`](crate::BATCH) of them: hashes and prefetches all, then executes each. `sink` gets each outcome, in order.
    /// Values in an outcome are borrowed for the call of `sink` only.
    pub fn execute<F: FnMut(usize, Outcome<'_>)>(&mut self, now: Millis, ops: &[Op<'_>], sink: F) { let _ = (now, ops, sink); unimplemented!() }
    /// States that this handle holds nothing it has found, and does a bounded amount of upkeep: moves the epoch,
    /// takes back what nobody can still be reading, makes room ahead of need. Call it once per turn of an event loop.
    pub fn quiescent(&mut self, now: Millis) { let _ = now; unimplemented!() }
    /// Before sleeping: a handle that is offline holds up nobody. Every operation needs the handle to be online.
    pub fn offline(&mut self) { unimplemented!() }
    /// After sleeping.
    pub fn online(&mut self) { unimplemented!() }
    /// Idle-time upkeep: looks at up to `blocks` blocks for expired items and frees them. Returns how many were freed.
    pub fn sweep(&mut self, now: Millis, blocks: usize) -> usize { let _ = (now, blocks); unimplemented!() }
    /// Reports items from `cursor` (0 to begin) until at least `at_least` were reported or the end is reached; returns the
    /// next cursor, 0 at the end. Every item present throughout the whole walk is reported at least once, even while the index grows; an item may be reported twice.
    pub fn scan<F: FnMut(&[u8], Value<'_>)>(&mut self, now: Millis, cursor: u64, at_least: usize, report: F) -> u64 { let _ = (now, cursor, at_least, report); unimplemented!() }
    /// Removes all items, some buckets a call: pass 0 to begin, then what was returned, until it is 0 again.
    pub fn flush(&mut self, now: Millis, cursor: u64, buckets: usize) -> u64 { let _ = (now, cursor, buckets); unimplemented!() }
}

//! Short answers of a batch: composed here, one behind the other, and then copied to the others together.
//!
//! Here each piece of an answer is a store of fixed size (`crabcache_protocol::short`); in a growing buffer it is a
//! comparison, a call and a change of its length.

use crabcache_protocol::short::Room;

use super::sized;

/// Room for the answers of a whole batch, as long as their values are of some tens of bytes.
const LANE_LEN: usize = sized(4 << 10);

/// Answers that are not yet with the others.
#[derive(Debug)]
pub(crate) struct Lane {
    bytes: [u8; LANE_LEN],
    len: usize,
}

impl Lane {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; LANE_LEN], len: 0 }
    }

    /// Bytes in it.
    #[inline(always)]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Where the next answer is to be composed, if there is room for one.
    #[inline(always)]
    pub(crate) fn room(&mut self) -> Option<&mut Room> {
        self.bytes.get_mut(self.len..)?.first_chunk_mut()
    }

    /// Adds the answer of this length that was composed there.
    #[inline(always)]
    pub(crate) fn add(&mut self, len: usize) {
        self.len += len;
    }

    /// Moves what is in it to the end of the others.
    #[inline]
    pub(crate) fn move_to(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.len]);
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use crabcache_protocol::short::{self, ROOM_LEN};

    use super::*;

    #[test]
    fn answers_come_out_in_order_and_what_does_not_fit_is_refused() {
        let (mut lane, mut out, mut whole) = (Lane::new(), b"before".to_vec(), b"before".to_vec());
        for round in 0..3 {
            let mut added = 0;
            while let Some(room) = lane.room() {
                let len = short::text(room, &[b'0' + round, b'\r', b'\n']);
                lane.add(len);
                added += 1;
                whole.extend_from_slice(&[b'0' + round, b'\r', b'\n']);
            }
            assert_eq!(lane.len(), added * 3);
            assert!(lane.len() + ROOM_LEN > LANE_LEN);
            lane.move_to(&mut out);
            assert_eq!((&out, lane.len()), (&whole, 0));
        }
    }
}

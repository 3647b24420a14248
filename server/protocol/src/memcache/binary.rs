//! memcached's binary protocol, which is not spoken: who begins with it is told so in its own words.
//!
//! ```text
//! request   0 magic 80 | 1 opcode | 2 .. lengths | 12 opaque u32 | 16 cas u64       24 bytes
//! reply     0 magic 81 | 1 opcode | 2 .. 0 | 6 status u16 | 8 body len u32 | 12 opaque u32 | 16 cas u64 | text
//! ```

use alloc::vec::Vec;

use super::{ParseError, Request};
use crate::Parsed;

/// First byte of a request.
pub const REQUEST_MAGIC: u8 = 0x80;
const REPLY_MAGIC: u8 = 0x81;
const HEADER_LEN: usize = 24;
/// "Unknown command".
const STATUS: [u8; 2] = [0, 0x81];
const TEXT: &[u8] = b"the binary protocol is not spoken here; use the text or the meta protocol";

/// What becomes of an input that begins as a binary request does; none if it does not.
pub(super) fn refuse<'a>(input: &[u8]) -> Option<Result<Parsed<Request<'a>>, ParseError>> {
    if input.first() != Some(&REQUEST_MAGIC) {
        return None;
    }
    Some(match input.first_chunk::<HEADER_LEN>() {
        None => Ok(Parsed::Incomplete { at_least: HEADER_LEN }),
        Some(head) => {
            Err(ParseError::Binary { opcode: head[1], opaque: [head[12], head[13], head[14], head[15]] })
        }
    })
}

/// Appends the refusal.
pub(super) fn write_refusal(out: &mut Vec<u8>, opcode: u8, opaque: [u8; 4]) {
    let mut head = [0; HEADER_LEN];
    (head[0], head[1]) = (REPLY_MAGIC, opcode);
    head[6..8].copy_from_slice(&STATUS);
    head[8..12].copy_from_slice(&(TEXT.len() as u32).to_be_bytes());
    head[12..16].copy_from_slice(&opaque);
    out.extend_from_slice(&head);
    out.extend_from_slice(TEXT);
}

//! Base64 (RFC 4648, section 4): how the meta commands spell keys of arbitrary bytes.

use alloc::vec::Vec;

use super::KEY_LEN_MAX;

/// The bytes that `text` spells: groups of four characters, the last one padded. Nothing at all is no spelling, nor is
/// anything longer than a key.
pub fn decode<'b>(text: &[u8], into: &'b mut [u8; KEY_LEN_MAX]) -> Option<&'b [u8]> {
    let (groups, rest) = text.as_chunks::<4>();
    let (last, groups) = groups.split_last()?;
    if !rest.is_empty() || text.len() > KEY_LEN_MAX {
        return None;
    }
    for (group, place) in groups.iter().zip(into.as_chunks_mut::<3>().0) {
        *place = triple(*group)?;
    }
    let padding = last.iter().rev().take_while(|&&byte| byte == b'=').count().min(2);
    let mut group = *last;
    group[4 - padding..].fill(b'A');
    let at = 3 * groups.len();
    into[at..at + 3].copy_from_slice(&triple(group)?);
    Some(&into[..at + 3 - padding])
}

/// Appends the spelling of `bytes`.
pub fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        let digit = |at: usize| DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
        out.extend((0..4).map(|at| if at <= chunk.len() { digit(at) } else { b'=' }));
    }
}

fn triple(group: [u8; 4]) -> Option<[u8; 3]> {
    let mut bits = 0;
    for byte in group {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
    }
    let [_, a, b, c] = bits.to_be_bytes();
    Some([a, b, c])
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use alloc::vec::Vec;

    #[test]
    fn base64_table() {
        let table: [(&str, Option<&[u8]>); 12] = [
            ("Zm9vYmFy", Some(b"foobar")),
            ("Zm9vYmE=", Some(b"fooba")),
            ("Zm9vYg==", Some(b"foob")),
            ("+/+/", Some(&[0xfb, 0xff, 0xbf])),
            ("", None),
            ("Zm9", None),
            ("Zg=", None),
            ("Z===", None),
            ("====", None),
            ("Zg==Zg==", None),
            ("Zm9v!mFy", None),
            ("Zm9vYmFyZ", None),
        ];
        for (text, bytes) in table {
            assert_eq!(decode(text.as_bytes(), &mut [0; 250]), bytes, "{text}");
            if let Some(bytes) = bytes {
                let mut again = Vec::new();
                encode(&mut again, bytes);
                assert_eq!(again, text.as_bytes());
            }
        }
    }
}

//! The CRC-64 of Redis: Jones' polynomial, bits in reverse, begun with 0, nothing added at the end.
//!
//! Eight bytes at a time, each with a table of its own: `TABLES[n]` tells what a byte makes of the sum n bytes later.

const POLYNOMIAL: u64 = 0x95AC_9329_AC4B_C9B5;

static TABLES: [[u64; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut byte = 0;
        while byte < 256 {
            let crc = tables[behind - 1][byte];
            tables[behind][byte] = crc >> 8 ^ tables[0][(crc & 0xFF) as usize];
            byte += 1;
        }
        behind += 1;
    }
    tables
};

/// The sum of `bytes`.
#[must_use]
pub fn crc64(bytes: &[u8]) -> u64 {
    crc64_from(0, bytes)
}

/// The sum of what has the sum `crc`, and `bytes` behind that.
#[must_use]
pub fn crc64_from(crc: u64, bytes: &[u8]) -> u64 {
    let (eights, rest) = bytes.as_chunks::<8>();
    let crc = eights.iter().fold(crc, |crc, eight| {
        let mixed = (crc ^ u64::from_le_bytes(*eight)).to_le_bytes();
        mixed.iter().zip(TABLES.iter().rev()).fold(0, |sum, (&byte, table)| sum ^ table[usize::from(byte)])
    });
    rest.iter().fold(crc, |crc, byte| crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_redis() {
        assert_eq!(crc64(b""), 0);
        // The check value that Redis' own test has.
        assert_eq!(crc64(b"123456789"), 0xE9C6_D914_C4B8_D9CA);
        let slow = |bytes: &[u8]| {
            bytes.iter().fold(0, |crc, byte| crc >> 8 ^ TABLES[0][usize::from(crc as u8 ^ byte)])
        };
        let bytes: [u8; 67] = core::array::from_fn(|at| (at * 37 + 11) as u8);
        for len in 0..bytes.len() {
            assert_eq!(crc64(&bytes[..len]), slow(&bytes[..len]), "{len}");
            assert_eq!(crc64_from(crc64(&bytes[..len]), &bytes[len..]), slow(&bytes), "{len}");
        }
    }
}

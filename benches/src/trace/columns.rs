//! Numbers out of bytes.

use super::TraceError;

/// What is left of a trace's bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// What is left of a column.
pub(super) struct Column<'a>(pub(super) &'a [u8]);

const CUT: TraceError = TraceError::Broken("it ends too early");

impl<'a> Reader<'a> {
    pub(super) fn u32(&mut self) -> Result<u32, TraceError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*number))
    }

    pub(super) fn u64(&mut self) -> Result<u64, TraceError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    pub(super) fn column(&mut self) -> Result<Column<'a>, TraceError> {
        let len = usize::try_from(self.u64()?).map_err(|_| CUT)?;
        let (column, rest) = self.0.split_at_checked(len).ok_or(CUT)?;
        self.0 = rest;
        Ok(Column(column))
    }
}

impl Column<'_> {
    /// Seven bits a byte, low first; the high bit says that more follow.
    pub(super) fn varint(&mut self) -> Result<u32, TraceError> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(CUT)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(number)
                    .map_err(|_| TraceError::Broken("a number of more than 32 bits"));
            }
        }
        Err(TraceError::Broken("a number of more than 32 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_table() {
        for (bytes, number) in [
            (&[0][..], Some(0)),
            (&[0x7f], Some(127)),
            (&[0x80, 1], Some(128)),
            (&[0xff, 0xff, 0xff, 0xff, 0x0f], Some(u32::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0x10], None),
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0], None),
            (&[0x80], None),
            (&[], None),
        ] {
            assert_eq!(Column(bytes).varint().ok(), number, "{bytes:?}");
        }
    }
}

//! What memcached's exptime means.

/// When an item expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exptime {
    /// Never.
    Never,
    /// At once: the item must not be seen any more.
    Expired,
    /// This many seconds from now, at most 30 days.
    Relative(u32),
    /// At this Unix time, in seconds; it may have passed.
    Absolute(u64),
}

/// Up to here a number of seconds counts from now, beyond it from 1970: 30 days.
const RELATIVE_MAX: i64 = 60 * 60 * 24 * 30;

impl From<i64> for Exptime {
    fn from(exptime: i64) -> Self {
        match exptime {
            ..0 => Self::Expired,
            0 => Self::Never,
            1..=RELATIVE_MAX => Self::Relative(exptime as u32),
            _ => Self::Absolute(exptime as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exptime::{self, Absolute, Expired, Never, Relative};

    #[test]
    fn exptime_table() {
        let table = [
            (0, Never),
            (-1, Expired),
            (i64::MIN, Expired),
            (1, Relative(1)),
            (2_592_000, Relative(2_592_000)),
            (2_592_001, Absolute(2_592_001)),
            (i64::MAX, Absolute(i64::MAX as u64)),
        ];
        for (exptime, expected) in table {
            assert_eq!(Exptime::from(exptime), expected);
        }
    }
}

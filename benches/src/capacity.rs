//! How much memory a cache gets: a number of bytes, or a part of a trace's working set.

use std::str::FromStr;

/// Memory of a cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacity {
    /// So many bytes.
    Bytes(u64),
    /// So much of the working set; 1 is all of it.
    Fraction(f64),
}

/// A text that is no capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a number of bytes such as 67108864, 64k, 64m, 1g, or a part of the working set such as 10%"
)]
pub struct BadCapacity;

impl Capacity {
    /// In bytes, given the working set.
    #[must_use]
    pub fn bytes(self, working_set: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Fraction(fraction) => (working_set as f64 * fraction) as u64,
        }
    }
}

impl FromStr for Capacity {
    type Err = BadCapacity;

    fn from_str(text: &str) -> Result<Self, BadCapacity> {
        let text = text.trim().to_ascii_lowercase();
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| BadCapacity)?;
            let sensible = percent.is_finite() && percent > 0.0;
            return if sensible { Ok(Self::Fraction(percent / 100.0)) } else { Err(BadCapacity) };
        }
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let shift = match text[digits..].trim_start() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            _ => return Err(BadCapacity),
        };
        let number: u64 = text[..digits].parse().map_err(|_| BadCapacity)?;
        number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).map(Self::Bytes).ok_or(BadCapacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_as_people_write_them() {
        for (text, capacity) in [
            ("123", Capacity::Bytes(123)),
            ("64k", Capacity::Bytes(64 << 10)),
            ("64 MB", Capacity::Bytes(64 << 20)),
            ("2G", Capacity::Bytes(2 << 30)),
            ("10%", Capacity::Fraction(0.1)),
            ("0.5 %", Capacity::Fraction(0.005)),
        ] {
            assert_eq!(text.parse(), Ok(capacity), "{text}");
        }
        for bad in ["", "0", "k", "-1", "1.5m", "0%", "-1%", "nan%", "inf%", "10 apples", "99999999999999g"] {
            assert_eq!(bad.parse::<Capacity>(), Err(BadCapacity), "{bad}");
        }
        assert_eq!(Capacity::Fraction(0.1).bytes(12_345), 1234);
    }
}

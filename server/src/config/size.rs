//! Sizes as people write them: `536870912`, `512mb`, `4G`. Units are powers of 1024, as in Redis' `maxmemory`.

use std::fmt;

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SizeError {
    /// It does not begin with a number.
    NoNumber,
    /// What follows the number is no unit.
    UnknownUnit,
    /// It is more than this machine can address.
    TooLarge,
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNumber => "a size is a number with an optional unit, as in 512mb",
            Self::UnknownUnit => "unknown unit: use b, k, kb, m, mb, g, gb, t or tb",
            Self::TooLarge => "larger than this machine can address",
        })
    }
}

impl std::error::Error for SizeError {}

/// Reads a size.
pub fn parse(text: &str) -> Result<usize, SizeError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(SizeError::NoNumber);
    }
    let number: u64 = number.parse().map_err(|_| SizeError::TooLarge)?;
    let (part, unit) = rest
        .strip_prefix('.')
        .map_or(("", rest), |rest| rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()));
    let part: f64 = format!("0.{part}0").parse().map_err(|_| SizeError::NoNumber)?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(SizeError::UnknownUnit),
    };
    number
        .checked_mul(1 << shift)
        .and_then(|bytes| bytes.checked_add((part * (1_u64 << shift) as f64) as u64))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|&bytes| isize::try_from(bytes).is_ok())
        .ok_or(SizeError::TooLarge)
}

/// Bytes as people read them: `512 MiB`, or with a decimal where it is not whole.
#[derive(Clone, Copy, Debug)]
pub struct Human(pub usize);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        let (shift, unit) = match bytes {
            0..=1023 => return write!(f, "{bytes} bytes"),
            0x400..=0xF_FFFF => (10, "KiB"),
            0x10_0000..=0x3FFF_FFFF => (20, "MiB"),
            _ => (30, "GiB"),
        };
        if bytes.trailing_zeros() >= shift {
            write!(f, "{} {unit}", bytes >> shift)
        } else {
            write!(f, "{:.2} {unit}", bytes as f64 / (1_u64 << shift) as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("536870912", 512 << 20),
            ("512mb", 512 << 20),
            ("512MB", 512 << 20),
            ("1k", 1024),
            ("1Kb", 1024),
            ("4G", 4 << 30),
            ("1 gb", 1 << 30),
            ("7b", 7),
            ("1.5gb", 3 << 29),
            ("0.25k", 256),
            ("2.m", 2 << 20),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_size() {
        assert_eq!(parse(""), Err(SizeError::NoNumber));
        assert_eq!(parse("mb"), Err(SizeError::NoNumber));
        assert_eq!(parse("-1"), Err(SizeError::NoNumber));
        assert_eq!(parse(".5g"), Err(SizeError::NoNumber));
        assert_eq!(parse("1.5.5g"), Err(SizeError::UnknownUnit));
        assert_eq!(parse("10 apples"), Err(SizeError::UnknownUnit));
        assert_eq!(parse("99999999999999999999"), Err(SizeError::TooLarge));
        assert_eq!(parse("99999999t"), Err(SizeError::TooLarge));
    }

    #[test]
    fn bytes_as_people_read_them() {
        assert_eq!(Human(512 << 20).to_string(), "512 MiB");
        assert_eq!(Human(1023).to_string(), "1023 bytes");
        assert_eq!(Human((1 << 20) + (1 << 19)).to_string(), "1.50 MiB");
        assert_eq!(Human(4 << 30).to_string(), "4 GiB");
    }
}

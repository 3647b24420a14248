//! How long keys and values are: one length, a range, or a mixture of both with weights. The length belongs to the item, so
//! that whoever reads it back knows how long it has to be.

use std::fmt;
use std::str::FromStr;

use crate::draw::Random;

/// Lengths in bytes, one for each item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    parts: Vec<Part>,
    weights: u32,
}

/// Lengths from `min` up to and including `max`, all alike, with their share of the items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    min: u32,
    max: u32,
    weight: u32,
}

/// A text that tells no lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a length (32), a range (16-1024), or a mixture with weights (32:90,1000-5000:10), up to 1 GiB"
)]
pub struct BadSizes;

const LEN_MAX: u32 = 1 << 30;

impl Sizes {
    /// All of one length.
    #[must_use]
    pub fn fixed(len: u32) -> Self {
        Self { parts: vec![Part { min: len, max: len, weight: 1 }], weights: 1 }
    }

    /// The length for an item. `purpose` tells keys from values: the lengths of one say nothing about those of the other.
    ///
    /// # Panics
    /// Never: one of the parts has the item.
    #[must_use]
    pub fn of(&self, item: u32, purpose: u32) -> u32 {
        if let Some(len) = self.only() {
            return len;
        }
        let mut random = Random::new(u64::from(purpose) << 32 | u64::from(item));
        let mut at = random.below(self.weights);
        let part = self.parts.iter().find(|part| {
            let here = at < part.weight;
            at = at.wrapping_sub(part.weight);
            here
        });
        let part = part.expect("the weights add up");
        part.min + random.below(part.max - part.min + 1)
    }

    /// The length, if there is only one.
    #[must_use]
    pub fn only(&self) -> Option<u32> {
        (self.min() == self.max()).then(|| self.min())
    }

    /// The shortest.
    #[must_use]
    pub fn min(&self) -> u32 {
        self.parts.iter().map(|part| part.min).min().unwrap_or(0)
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> u32 {
        self.parts.iter().map(|part| part.max).max().unwrap_or(0)
    }
}

impl FromStr for Sizes {
    type Err = BadSizes;

    fn from_str(text: &str) -> Result<Self, BadSizes> {
        let parts = text.split(',').map(part).collect::<Option<Vec<_>>>().ok_or(BadSizes)?;
        let weights = parts.iter().try_fold(0_u32, |sum, part| sum.checked_add(part.weight));
        weights.map(|weights| Self { parts, weights }).ok_or(BadSizes)
    }
}

fn part(text: &str) -> Option<Part> {
    let (lengths, weight) = text.split_once(':').unwrap_or((text, "1"));
    let (min, max) = lengths.split_once('-').unwrap_or((lengths, lengths));
    let part = Part { min: min.parse().ok()?, max: max.parse().ok()?, weight: weight.parse().ok()? };
    (part.min <= part.max && part.max <= LEN_MAX && part.weight > 0).then_some(part)
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, part) in self.parts.iter().enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            write!(f, "{}", part.min)?;
            if part.max > part.min {
                write!(f, "-{}", part.max)?;
            }
            if self.parts.len() > 1 {
                write!(f, ":{}", part.weight)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for text in ["32", "0", "16-1024", "32:90,1000-5000:10"] {
            assert_eq!(text.parse::<Sizes>().unwrap().to_string(), text);
        }
        for bad in ["", "x", "5-4", "1:0", "1,", "-1", "1073741825", "1:4294967295,2:1"] {
            assert_eq!(bad.parse::<Sizes>(), Err(BadSizes), "{bad}");
        }
    }

    #[test]
    fn an_item_keeps_its_length_and_the_weights_hold() {
        let sizes: Sizes = "32:90,1000-5000:10".parse().unwrap();
        let lengths: Vec<_> = (0..20_000).map(|item| sizes.of(item, 1)).collect();
        assert!(lengths.iter().enumerate().all(|(item, &len)| len == sizes.of(item as u32, 1)));
        let small = lengths.iter().filter(|&&len| len == 32).count();
        assert!((17_700..18_300).contains(&small), "{small}");
        assert!(lengths.iter().all(|&len| len == 32 || (1000..=5000).contains(&len)));
        assert!(
            lengths.iter().any(|&len| len > 4900) && lengths.iter().any(|&len| (1000..1100).contains(&len))
        );
        assert_eq!((sizes.min(), sizes.max(), sizes.only()), (32, 5000, None));
        assert_eq!(Sizes::fixed(7).only(), Some(7));
    }
}

//! Which keys are asked for: numbers drawn from a distribution, written out as keys, in one buffer, before the clock runs.

use std::str::FromStr;

use crate::bytes::Keys;

/// How often each item is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// All the same.
    Uniform,
    /// The item of rank r as often as r to the power of minus this exponent.
    Zipf(f64),
}

/// A text that is no distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected uniform, or zipf: and an exponent above 0, such as zipf:0.99")]
pub struct BadDistribution;

impl FromStr for Distribution {
    type Err = BadDistribution;

    fn from_str(text: &str) -> Result<Self, BadDistribution> {
        if text == "uniform" {
            return Ok(Self::Uniform);
        }
        let exponent: f64 =
            text.strip_prefix("zipf:").and_then(|rest| rest.parse().ok()).ok_or(BadDistribution)?;
        if exponent.is_finite() && exponent > 0.0 { Ok(Self::Zipf(exponent)) } else { Err(BadDistribution) }
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf(exponent) => write!(f, "zipf:{exponent}"),
        }
    }
}

/// A source of numbers that is the same in each run: splitmix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Different seeds give unrelated numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: u32) -> u32 {
        (((self.bits() >> 32) * bound as u64) >> 32) as u32
    }

    /// A number from 0 up to, but not including, 1.
    pub const fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Draws numbers of items.
#[derive(Clone, Debug)]
pub struct Sampler {
    items: u32,
    /// For Zipf: the probability that the rank is at most this one, rank by rank.
    cumulative: Vec<f64>,
    /// For Zipf: which item has this rank. Shuffled, since items that are stored one after the other lie side by side, and
    /// those that are asked for most would share cache lines.
    ranked: Vec<u32>,
}

impl Sampler {
    /// Draws from the numbers below `items`, which is not 0.
    #[must_use]
    pub fn new(distribution: Distribution, items: u32) -> Self {
        let Distribution::Zipf(exponent) = distribution else {
            return Self { items, cumulative: Vec::new(), ranked: Vec::new() };
        };
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=items)
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        for each in &mut cumulative {
            *each /= sum;
        }
        let (mut ranked, mut random) = ((0..items).collect::<Vec<_>>(), Random::new(u64::from(items)));
        for last in (1..items).rev() {
            ranked.swap(last as usize, random.below(last + 1) as usize);
        }
        Self { items, cumulative, ranked }
    }

    /// The next number.
    pub fn draw(&self, random: &mut Random) -> u32 {
        if self.ranked.is_empty() {
            return random.below(self.items);
        }
        let unit = random.unit();
        let rank = self.cumulative.partition_point(|&probability| probability <= unit);
        self.ranked[rank.min(self.ranked.len() - 1)]
    }
}

/// The keys of these numbers, one after the other in one buffer.
#[must_use]
pub fn write_keys(keys: Keys, numbers: impl ExactSizeIterator<Item = u64>) -> Vec<u8> {
    let mut buffer = vec![0; numbers.len() * keys.len()];
    for (number, key) in numbers.zip(buffer.chunks_exact_mut(keys.len())) {
        keys.write(number, key);
    }
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_as_people_write_them() {
        for (text, distribution) in [
            ("uniform", Distribution::Uniform),
            ("zipf:0.99", Distribution::Zipf(0.99)),
            ("zipf:1.2", Distribution::Zipf(1.2)),
        ] {
            assert_eq!(text.parse(), Ok(distribution));
            assert_eq!(distribution.to_string(), text);
        }
        for bad in ["", "zipf", "zipf:", "zipf:0", "zipf:-1", "zipf:nan", "zipf:inf", "Uniform"] {
            assert_eq!(bad.parse::<Distribution>(), Err(BadDistribution), "{bad}");
        }
    }

    #[test]
    fn draws_follow_the_distribution() {
        let (items, draws) = (1000, 400_000);
        for (distribution, weight) in [
            (Distribution::Uniform, (|_| 1.0) as fn(u32) -> f64),
            (Distribution::Zipf(0.99), |rank| f64::from(rank).powf(-0.99)),
            (Distribution::Zipf(1.3), |rank| f64::from(rank).powf(-1.3)),
        ] {
            let (sampler, mut random) = (Sampler::new(distribution, items), Random::new(7));
            let mut counts = vec![0_u32; items as usize];
            (0..draws).for_each(|_| counts[sampler.draw(&mut random) as usize] += 1);
            let total: f64 = (1..=items).map(weight).sum();
            for rank in [1, 2, 3, 10, 100, 1000] {
                let item = sampler.ranked.get(rank as usize - 1).copied().unwrap_or(rank - 1);
                let expected = f64::from(draws) * weight(rank) / total;
                let off = (f64::from(counts[item as usize]) - expected).abs();
                assert!(off < 5.0 * expected.sqrt(), "{distribution}, rank {rank}: {off} off {expected}");
            }
        }
    }

    #[test]
    fn each_item_has_one_rank() {
        let mut ranked = Sampler::new(Distribution::Zipf(1.0), 5000).ranked;
        assert!(!ranked.is_sorted());
        ranked.sort_unstable();
        assert!(ranked.into_iter().eq(0..5000));
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let sampler = Sampler::new(Distribution::Zipf(0.99), 77);
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| sampler.draw(&mut random)).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn keys_are_in_one_buffer() {
        assert_eq!(write_keys(Keys::new(3, 100), [7, 42].into_iter()), b"007042");
    }
}

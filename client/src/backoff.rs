//! How long to leave a server alone that could not be reached: doubling, jittered so that many clients of one server
//! do not come back in the same moment.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// First and longest delay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
}

impl Backoff {
    /// The delay after this many failures in a row (at least one): from half of the doubled delay to all of it.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        self.delay_at(failures, random())
    }

    fn delay_at(&self, failures: u32, random: u64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let whole = self.min.saturating_mul(doubled).min(self.max);
        let half = whole / 2;
        half + half.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// A number that differs from call to call and from process to process; the standard library seeds its hashers so.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_within_bounds() {
        let backoff = Backoff { min: Duration::from_millis(40), max: Duration::from_secs(2) };
        let ms = |failures, random| backoff.delay_at(failures, random).as_millis();
        assert_eq!((ms(1, 0), ms(1, u64::MAX)), (20, 40));
        assert_eq!((ms(2, 0), ms(3, 0)), (40, 80));
        assert_eq!(ms(1000, 0), 1000);
        assert!((0..100).all(|n| backoff.delay(n) <= backoff.max));
    }

    #[test]
    fn random_differs() {
        assert_ne!(random(), random());
    }
}

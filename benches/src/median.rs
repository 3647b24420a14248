//! The median, which one bad round does not move.

/// The one in the middle, or the mean of the two that are; 0 of none.
#[must_use]
pub fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        len if len % 2 == 1 => numbers[middle],
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        let median_of = |numbers: &[f64]| format!("{}", median(numbers.iter().copied()));
        assert_eq!(median_of(&[3.0, 1.0, 2.0]), "2");
        assert_eq!(median_of(&[4.0, 1.0, 3.0, 2.0]), "2.5");
        assert_eq!(median_of(&[7.0]), "7");
        assert_eq!(median_of(&[]), "0");
    }
}

//! Numbers of things, as they are said.

use std::fmt::Display;

/// `1 round`, `7 rounds`.
#[must_use]
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(number: N, thing: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        assert_eq!([0_u32, 1, 2].map(|number| counted(number, "round")), ["0 rounds", "1 round", "2 rounds"]);
    }
}

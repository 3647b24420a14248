//! Numbers as people read them.

/// `1,234,567`, or with a digit behind the point where it is below ten and not whole.
pub(crate) fn count(number: f64) -> String {
    if number < 10.0 && number.fract() > 0.05 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1234`, `12.3k`, `4.56M`: at most five characters.
pub(crate) fn short(number: f64) -> String {
    const UNITS: [&str; 5] = ["", "k", "M", "G", "T"];
    scaled(number, 1000.0, 10_000.0, &UNITS)
}

/// `512 MiB`, `1.5 GiB`
pub(crate) fn bytes(number: f64) -> String {
    const UNITS: [&str; 5] = [" B", " KiB", " MiB", " GiB", " TiB"];
    scaled(number, 1024.0, 1024.0, &UNITS)
}

fn scaled(mut number: f64, base: f64, from: f64, units: &[&str]) -> String {
    let mut unit = 0;
    let mut limit = from;
    while number >= limit && unit + 1 < units.len() {
        number /= base;
        unit += 1;
        limit = base;
    }
    let decimals = if unit == 0 && number.fract() < 0.05 || number >= 100.0 {
        0
    } else {
        usize::from(number < 10.0) + 1
    };
    let decimals = if unit == 0 { decimals.min(1) } else { decimals };
    format!("{number:.decimals$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        for (number, text) in
            [(0.0, "0"), (0.5, "0.5"), (9.0, "9"), (999.6, "1,000"), (1_234_567.0, "1,234,567")]
        {
            assert_eq!(count(number), text);
        }
        for (number, text) in
            [(0.0, "0"), (2.5, "2.5"), (9_999.0, "9999"), (12_345.0, "12.3k"), (4_560_000.0, "4.56M")]
        {
            assert_eq!(short(number), text);
        }
        for (number, text) in
            [(0.0, "0 B"), (1023.0, "1023 B"), (1536.0, "1.50 KiB"), (536_870_912.0, "512 MiB")]
        {
            assert_eq!(bytes(number), text);
        }
    }
}

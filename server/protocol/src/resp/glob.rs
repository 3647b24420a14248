//! Redis' glob patterns: `*`, `?`, `[abc]`, `[^a-z]`, and `\` before a byte that means itself.
//!
//! They are those of its `stringmatchlen`, with what it does to patterns that are not quite right: a class that is not
//! closed ends with the pattern, `[a-]` is a range up to `]`, `]` closes a class even as its first byte, and a `*` matches
//! nothing at all only behind something that matched, so that no pattern but the empty one matches an empty text.

/// Whether `text` matches `pattern`.
///
/// Only the last `*` is ever tried again, so the time is at most the product of both lengths, whatever the pattern.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_within(pattern, text, &mut usize::MAX.clone()) == Some(true)
}

/// As [`matches()`], for at most so many `steps`: comparisons of a byte of `text` with a byte of `pattern`. Those that were
/// taken are subtracted. None: it is not known, since they were not enough.
#[must_use]
pub fn matches_within(pattern: &[u8], text: &[u8], steps: &mut usize) -> Option<bool> {
    if text.is_empty() {
        return Some(pattern.is_empty());
    }
    let (mut p, mut t) = (0, 0);
    // Behind the last star: where the pattern goes on, and where in the text it was tried.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        *steps = steps.checked_sub(1)?;
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if let Some(next) = one(pattern, p, text[t], steps) {
            p = next;
            t += 1;
        } else if let Some((after, tried)) = star {
            star = Some((after, tried + 1));
            p = after;
            t = tried + 1;
        } else {
            return Some(false);
        }
    }
    Some(pattern[p..].iter().all(|&byte| byte == b'*'))
}

/// Where the pattern goes on if what stands at `at` matches `byte`.
fn one(pattern: &[u8], at: usize, byte: u8, steps: &mut usize) -> Option<usize> {
    match *pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => class(pattern, at + 1, byte, steps),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        literal => (literal == byte).then_some(at + 1),
    }
}

/// `[...]` from behind its bracket. One that is not closed ends with the pattern.
fn class(pattern: &[u8], mut at: usize, byte: u8, steps: &mut usize) -> Option<usize> {
    let start = at;
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        match *pattern.get(at..)? {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= literal == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                // Its bytes are signed: C's `char`, on most machines.
                let (from, to) = (from as i8, to as i8);
                found |= (from.min(to)..=from.max(to)).contains(&(byte as i8));
                at += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
    // What is too much for them ends the next step.
    *steps = steps.saturating_sub(at - start);
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::{matches, matches_within};
    use alloc::string::String;

    #[test]
    fn globs_table() {
        for (pattern, text, expected) in [
            ("*", "", false),
            ("**", "", false),
            ("*", "anything", true),
            ("", "", true),
            ("", "a", false),
            ("user:*", "user:1", true),
            ("user:*", "use", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("*a*b", "xaxxb", true),
            ("*a*b", "xaxxc", false),
            ("a*", "a", true),
            ("a**", "abc", true),
            ("[ab", "a", true),
            ("[", "a", false),
            ("[^", "a", true),
            ("[a-]", "]", true),
            ("[a-]x", "a", true),
            ("[]a]", "a", false),
            ("[\\]]", "]", true),
            ("[\\", "\\", true),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn bytes_of_ranges_are_signed() {
        assert!(matches(b"[\xFF-b]", b"a") && matches(b"[b-\xFF]", b"a"));
        assert!(!matches(b"[b-\xFF]", b"\xFE") && matches(b"[\xF0-\xFF]", b"\xFE"));
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(20_000).as_bytes()));
        let (class, text) = (String::from("*[") + &"b".repeat(10_000) + "]c", "b".repeat(10_000));
        let mut steps = 1 << 20;
        assert_eq!(matches_within(class.as_bytes(), text.as_bytes(), &mut steps), None);
        assert_eq!(matches_within(b"a*c", b"abc", &mut 100), Some(true));
        assert_eq!(matches_within(b"a*c", b"abc", &mut 2), None);
    }
}

//! The search for a tag, sixteen at a time: for levels whose registers have eight of them.

use super::scalar::below;

/// Sixteen tags at once.
pub(super) trait Sixteen {
    /// A bit for each of the tags, four in each word, that is this one.
    fn matching(tags: [u64; 4], tag: u16) -> u64;
}

/// [`match_tags`](super::Kernels::match_tags) by sixteens: up to 16 entries without a branch on their number (6 on average, and no two alike in a row).
#[inline(always)]
pub(super) fn match_sixteens<S: Sixteen>(tags: &[u16], len: usize, tag: u16) -> u64 {
    debug_assert!(len <= tags.len() && tags.len() <= 64 && tags.len().is_multiple_of(4));
    let fours = tags.as_chunks::<4>().0;
    let Some(last) = fours.len().checked_sub(1) else { return 0 };
    let mut found = S::matching(sixteen_of(fours, 0, last), tag);
    let mut first = 4;
    while first * 4 < len {
        found |= S::matching(sixteen_of(fours, first, last), tag) << (4 * first);
        first += 4;
    }
    found & below(len)
}

/// The sixteen tags from `4 * first` on, four in each word. The last four stand in for all behind them; those bits lie beyond `len`.
#[inline(always)]
fn sixteen_of(fours: &[[u16; 4]], first: usize, last: usize) -> [u64; 4] {
    [
        four(fours, first, last),
        four(fours, first + 1, last),
        four(fours, first + 2, last),
        four(fours, first + 3, last),
    ]
}

#[inline(always)]
fn four(fours: &[[u16; 4]], i: usize, last: usize) -> u64 {
    debug_assert!(last < fours.len());
    // SAFETY: the caller, `match_sixteens`, took `last` from the slice's length; nothing behind it is read.
    let [a, b, c, d] = unsafe { fours.get_unchecked(i.min(last)) }.map(u64::from);
    a | b << 16 | c << 32 | d << 48
}

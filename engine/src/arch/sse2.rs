//! SSE with AES: what x86-64 server CPUs have had since 2010 or so.

use core::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_and_si128, _mm_cmpeq_epi8, _mm_cmpeq_epi16, _mm_cvtsi128_si64,
    _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set_epi64x, _mm_set1_epi16, _mm_sfence,
    _mm_shuffle_epi8, _mm_stream_si128, _mm_xor_si128,
};

use core::mem::MaybeUninit;

use super::aes_hash::{self, Block, Seed};
use super::scalar::{copy_short, equal_short};
use super::sixteens::{Sixteen, match_sixteens};
use super::{Kernels, Work};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sse2;

/// Runs `work` at this level.
///
/// # Safety
/// The CPU has AES and SSSE3.
#[target_feature(enable = "aes,ssse3")]
pub(super) unsafe fn enter<W: Work>(work: W) -> W::Output {
    work.run::<Sse2>()
}

/// The same for work that is made here.
///
/// # Safety
/// As [`enter`].
#[target_feature(enable = "aes,ssse3")]
pub(super) unsafe fn enter_with<A, B, C, W: Work + From<(A, B, C)>>(a: A, b: B, c: C) -> W::Output {
    W::from((a, b, c)).run::<Sse2>()
}

impl Kernels for Sse2 {
    #[inline(always)]
    fn hash(seed: &Seed, key: &[u8]) -> u64 {
        aes_hash::hash::<Xmm>(seed, key)
    }

    #[inline(always)]
    fn match_tags(tags: &[u16], len: usize, tag: u16) -> u64 {
        match_sixteens::<Xmm>(tags, len, tag)
    }

    #[inline(always)]
    fn equal(a: &[u8], b: &[u8]) -> bool {
        debug_assert_eq!(a.len(), b.len());
        if a.len() <= 16 { equal_short(a, b) } else { equal_long(a, b) }
    }

    /// Thousands past the caches.
    #[inline(always)]
    fn copy(to: &mut [MaybeUninit<u8>], from: &[u8]) {
        if !copy_short(to, from) {
            copy_any(to, from);
        }
    }
}

/// From this length on a copy goes past the caches, straight to memory (benches/README.md).
const PAST_CACHES: usize = 4 << 10;

/// Rare in no cache of long values, but those have time for a jump.
#[cold]
#[inline(never)]
fn copy_any(to: &mut [MaybeUninit<u8>], from: &[u8]) {
    if from.len() < PAST_CACHES {
        to.write_copy_of_slice(from);
    } else {
        copy_past_caches(to, from);
    }
}

/// Whole lines that are not read first, and push nothing out of the caches.
fn copy_past_caches(to: &mut [MaybeUninit<u8>], from: &[u8]) {
    let before = to.as_ptr().align_offset(LINE).min(to.len());
    let ((to_head, to), (from_head, from)) = (to.split_at_mut(before), from.split_at(before));
    let ((to_lines, to_tail), (lines, from_tail)) = (to.as_chunks_mut::<LINE>(), from.as_chunks::<LINE>());
    for (to, from) in to_lines.iter_mut().zip(lines) {
        for (to, from) in to.as_chunks_mut::<16>().0.iter_mut().zip(from.as_chunks().0) {
            // SAFETY: the CPU has SSE2, see `Xmm`; sixteen bytes of a line, which begins at a multiple of its length.
            unsafe { _mm_stream_si128(to.as_mut_ptr().cast(), Xmm::load(from).0) }
        }
    }
    // Such stores are not ordered with others by themselves: without this the item could be seen before its value.
    // SAFETY: the CPU has SSE, see `Xmm`.
    unsafe { _mm_sfence() }
    to_head.write_copy_of_slice(from_head);
    to_tail.write_copy_of_slice(from_tail);
}

/// Bytes of a cache line.
const LINE: usize = 64;

impl Sixteen for Xmm {
    #[inline(always)]
    fn matching([a, b, c, d]: [u64; 4], tag: u16) -> u64 {
        let (low, high) = (Self::of([a, b]), Self::of([c, d]));
        // SAFETY: the CPU has SSE2, see the type.
        unsafe {
            let tag = _mm_set1_epi16(tag as i16);
            let (low, high) = (_mm_cmpeq_epi16(low.0, tag), _mm_cmpeq_epi16(high.0, tag));
            _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32 as u64
        }
    }
}

/// More than 16 bytes: steps of 64, then steps of 16, the last of which may overlap the one before.
#[inline(always)]
fn equal_long(mut a: &[u8], mut b: &[u8]) -> bool {
    let (Some(a_last), Some(b_last)) = (a.last_chunk(), b.last_chunk()) else { return equal_short(a, b) };
    let mut same = Xmm::load(a_last).same(Xmm::load(b_last));
    while let (Some((a_step, a_rest)), Some((b_step, b_rest))) =
        (a.split_first_chunk::<64>(), b.split_first_chunk::<64>())
    {
        let mut step = same;
        for (a, b) in a_step.as_chunks::<16>().0.iter().zip(b_step.as_chunks::<16>().0) {
            step = step.and(Xmm::load(a).same(Xmm::load(b)));
        }
        if !step.all() {
            return false;
        }
        (a, b) = (a_rest, b_rest);
    }
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        same = same.and(Xmm::load(a).same(Xmm::load(b)));
    }
    same.all()
}

/// One register. Invariant: its methods run only below `enter`, this level's or a wider one's (`mod.rs`), so the
/// CPU has SSSE3 and AES; SSE2 every x86-64 CPU has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Xmm(pub(super) __m128i);

impl Xmm {
    /// All ones in the bytes that are alike.
    #[inline(always)]
    fn same(self, other: Self) -> Self {
        // SAFETY: the CPU has SSE2, see the type.
        Self(unsafe { _mm_cmpeq_epi8(self.0, other.0) })
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: the CPU has SSE2, see the type.
        Self(unsafe { _mm_and_si128(self.0, other.0) })
    }

    /// Whether `same` found all bytes alike.
    #[inline(always)]
    fn all(self) -> bool {
        // SAFETY: the CPU has SSE2, see the type.
        unsafe { _mm_movemask_epi8(self.0) == 0xffff }
    }
}

impl Block for Xmm {
    #[inline(always)]
    fn of([low, high]: [u64; 2]) -> Self {
        // SAFETY: the CPU has SSE2, see the type.
        Self(unsafe { _mm_set_epi64x(high as i64, low as i64) })
    }

    #[inline(always)]
    fn load(bytes: &[u8; 16]) -> Self {
        // SAFETY: the CPU has SSE2, see the type; sixteen bytes are readable, and any alignment will do.
        Self(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn load_last(bytes: &[u8; 16], keep: usize) -> Self {
        /// Sixteen of these from `n` on move a register down by `n` bytes; -1 makes a zero.
        static DOWN: [i8; 32] = {
            let mut down = [-1; 32];
            let mut i = 0;
            while i < 16 {
                down[i] = i as i8;
                i += 1;
            }
            down
        };
        let down = 16 - keep.min(16);
        // SAFETY: the CPU has SSSE3, see the type; `down` is at most 16, so that sixteen bytes follow it.
        Self(unsafe {
            _mm_shuffle_epi8(Self::load(bytes).0, _mm_loadu_si128(DOWN.as_ptr().add(down).cast()))
        })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: the CPU has SSE2, see the type.
        Self(unsafe { _mm_xor_si128(self.0, other.0) })
    }

    #[inline(always)]
    fn round(self, key: Self) -> Self {
        // SAFETY: the CPU has AES, see the type.
        Self(unsafe { _mm_aesenc_si128(self.0, key.0) })
    }

    #[inline(always)]
    fn low(self) -> u64 {
        // SAFETY: the CPU has SSE2, see the type.
        unsafe { _mm_cvtsi128_si64(self.0) as u64 }
    }
}

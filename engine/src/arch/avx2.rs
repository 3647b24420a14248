//! AVX2 and BMI2 (Intel since Haswell, AMD since Zen): sixteen tags by one masked load, bit fields by one instruction each,
//! and no instruction that overwrites what it reads.
//!
//! Hash, comparison and copy are those of the SSE level, compiled for wider registers.

use core::arch::x86_64::{
    _bzhi_u64, _mm_movemask_epi8, _mm_packs_epi16, _mm256_castsi256_si128, _mm256_cmpeq_epi16,
    _mm256_cmpgt_epi32, _mm256_extracti128_si256, _mm256_maskload_epi32, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setr_epi32,
};

use core::mem::MaybeUninit;

use super::aes_hash::Seed;
use super::sse2::Sse2;
use super::{Kernels, Work};

/// See the module. Invariant: its kernels run only below `enter` (`mod.rs`), so the CPU has all they use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2;

/// Runs `work` at this level.
///
/// # Safety
/// The CPU has what is listed, and the OS saves the ymm registers.
#[target_feature(enable = "aes,avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) unsafe fn enter<W: Work>(work: W) -> W::Output {
    work.run::<Avx2>()
}

/// The same for work that is made here.
///
/// # Safety
/// As [`enter`].
#[target_feature(enable = "aes,avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) unsafe fn enter_with<A, B, C, W: Work + From<(A, B, C)>>(a: A, b: B, c: C) -> W::Output {
    W::from((a, b, c)).run::<Avx2>()
}

impl Kernels for Avx2 {
    #[inline(always)]
    fn hash(seed: &Seed, key: &[u8]) -> u64 {
        Sse2::hash(seed, key)
    }

    #[inline(always)]
    fn match_tags(tags: &[u16], len: usize, tag: u16) -> u64 {
        debug_assert!(len <= tags.len() && tags.len() <= 64 && tags.len().is_multiple_of(4));
        let mut found = sixteen(tags, len, tag);
        let mut first = 16;
        while first < len {
            found |= sixteen(&tags[first..], len - first, tag) << first;
            first += 16;
        }
        // SAFETY: the CPU has BMI2, see the type.
        unsafe { _bzhi_u64(found, len as u32) }
    }

    #[inline(always)]
    fn equal(a: &[u8], b: &[u8]) -> bool {
        Sse2::equal(a, b)
    }

    #[inline(always)]
    fn copy(to: &mut [MaybeUninit<u8>], from: &[u8]) {
        Sse2::copy(to, from);
    }
}

/// The first 16 of `tags`, or `len` if that is less; bits behind those mean nothing.
#[inline(always)]
fn sixteen(tags: &[u16], len: usize, tag: u16) -> u64 {
    debug_assert!(len <= tags.len() && tags.len().is_multiple_of(2));
    // SAFETY: the CPU has AVX2, see the type; `len` is at most that of `tags`, as `Kernels` asks of callers. Pair `i` is
    // read where `2 * i < len`: there are an even number of tags, so the slice has both of it.
    unsafe {
        let there =
            _mm256_cmpgt_epi32(_mm256_set1_epi32(len as i32), _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
        let tags = _mm256_maskload_epi32(tags.as_ptr().cast(), there);
        let same = _mm256_cmpeq_epi16(tags, _mm256_set1_epi16(tag as i16));
        let bytes = _mm_packs_epi16(_mm256_castsi256_si128(same), _mm256_extracti128_si256::<1>(same));
        _mm_movemask_epi8(bytes) as u32 as u64
    }
}

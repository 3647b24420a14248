//! AVX2: two tag vectors in one, keys compared by 32 bytes.

use core::arch::x86_64::{
    __m256i, _mm_movemask_epi8, _mm_packs_epi16, _mm256_castsi256_si128, _mm256_cmpeq_epi16,
    _mm256_cmpgt_epi64, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_maskload_epi64, _mm256_or_si256,
    _mm256_set1_epi16, _mm256_set1_epi64x, _mm256_setr_epi64x, _mm256_testz_si256, _mm256_xor_si256,
};

use super::Kernels;
use super::aes_hash::{self, Seed};
use super::scalar::{below, equal_short};
use super::sse2::{Sse2, Xmm};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2;

impl Kernels for Avx2 {
    #[inline(always)]
    fn hash(seed: &Seed, key: &[u8]) -> u64 {
        aes_hash::hash::<Xmm>(seed, key)
    }

    #[inline(always)]
    fn match_tags(tags: &[u16], len: usize, tag: u16) -> u64 {
        #[inline(always)]
        fn sixteen(tags: &[u16], first: usize, tag: u16) -> u64 {
            unsafe {
                let fours = (tags.len() / 4) as i64;
                let mask = _mm256_cmpgt_epi64(
                    _mm256_set1_epi64x(fours - first as i64 / 4),
                    _mm256_setr_epi64x(0, 1, 2, 3),
                );
                let v = _mm256_maskload_epi64(tags.as_ptr().wrapping_add(first).cast(), mask);
                let eq = _mm256_cmpeq_epi16(v, _mm256_set1_epi16(tag as i16));
                let packed = _mm_packs_epi16(_mm256_castsi256_si128(eq), _mm256_extracti128_si256::<1>(eq));
                _mm_movemask_epi8(packed) as u32 as u64
            }
        }
        let mut found = sixteen(tags, 0, tag);
        let mut first = 16;
        while first < len {
            found |= sixteen(tags, first, tag) << first;
            first += 16;
        }
        found & below(len)
    }

    #[inline(always)]
    fn equal(a: &[u8], b: &[u8]) -> bool {
        if a.len() <= 16 {
            equal_short(a, b)
        } else if a.len() <= 32 {
            Sse2::equal(a, b)
        } else {
            equal_long(a, b)
        }
    }
}

#[inline(always)]
fn differ(a: &[u8; 32], b: &[u8; 32]) -> __m256i {
    unsafe { _mm256_xor_si256(_mm256_loadu_si256(a.as_ptr().cast()), _mm256_loadu_si256(b.as_ptr().cast())) }
}

/// More than 32 bytes.
#[inline(always)]
fn equal_long(a: &[u8], b: &[u8]) -> bool {
    debug_assert_eq!(a.len(), b.len());
    let (Some(a_last), Some(b_last)) = (a.last_chunk(), b.last_chunk()) else { return equal_short(a, b) };
    let mut d = differ(a_last, b_last);
    for (a, b) in a.as_chunks::<32>().0.iter().zip(b.as_chunks::<32>().0) {
        d = unsafe { _mm256_or_si256(d, differ(a, b)) };
    }
    unsafe { _mm256_testz_si256(d, d) != 0 }
}

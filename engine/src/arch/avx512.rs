//! AVX-512 and VAES.

use core::arch::x86_64::{
    __m128i, __m512i, _mm_loadu_si128, _mm_maskz_loadu_epi8, _mm_xor_si128, _mm256_mask_cmpeq_epi16_mask,
    _mm256_maskz_loadu_epi16, _mm256_set1_epi16, _mm512_aesenc_epi128, _mm512_broadcast_i32x4,
    _mm512_castsi512_si128, _mm512_cmpneq_epi8_mask, _mm512_extracti32x4_epi32, _mm512_loadu_si512,
    _mm512_mask_cmpeq_epi16_mask, _mm512_mask_mov_epi64, _mm512_maskz_loadu_epi8, _mm512_maskz_loadu_epi16,
    _mm512_set1_epi16, _mm512_xor_si512,
};

use super::Kernels;
use super::aes_hash::{self, Block, Seed};
use super::scalar::{below, equal_short};
use super::sse2::Xmm;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512;

impl Kernels for Avx512 {
    #[inline(always)]
    fn hash(seed: &Seed, key: &[u8]) -> u64 {
        if key.len() <= 64 {
            aes_hash::hash::<Xmm>(seed, key)
        } else {
            aes_hash::finish(seed, key.len(), long(seed, key))
        }
    }

    #[inline(always)]
    fn match_tags(tags: &[u16], len: usize, tag: u16) -> u64 {
        unsafe {
            let valid = below(len);
            let v = _mm256_maskz_loadu_epi16(valid as u16, tags.as_ptr().cast());
            let mut found =
                _mm256_mask_cmpeq_epi16_mask(valid as u16, v, _mm256_set1_epi16(tag as i16)) as u64;
            if len > 16 {
                macro_rules! at {
                    ($at:expr) => {{
                        let at = $at;
                        let valid = (valid >> at) as u32;
                        let v = _mm512_maskz_loadu_epi16(valid, tags.as_ptr().wrapping_add(at).cast());
                        (_mm512_mask_cmpeq_epi16_mask(valid, v, _mm512_set1_epi16(tag as i16)) as u64) << at
                    }};
                }
                found |= at!(16) | at!(48);
            }
            found
        }
    }

    #[inline(always)]
    fn equal(a: &[u8], b: &[u8]) -> bool {
        if a.len() <= 16 { equal_short(a, b) } else { equal_long(a, b) }
    }
}

#[inline(always)]
pub(super) fn equal_masked(a: &[u8], b: &[u8]) -> bool {
    unsafe {
        let m = below(a.len());
        _mm512_cmpneq_epi8_mask(
            _mm512_maskz_loadu_epi8(m, a.as_ptr().cast()),
            _mm512_maskz_loadu_epi8(m, b.as_ptr().cast()),
        ) == 0
    }
}

#[inline(always)]
fn equal_long(a: &[u8], b: &[u8]) -> bool {
    debug_assert_eq!(a.len(), b.len());
    if a.len() <= 64 {
        return equal_masked(a, b);
    }
    let (mut a, mut b) = (a, b);
    while let (Some((x, a_rest)), Some((y, b_rest))) =
        (a.split_first_chunk::<64>(), b.split_first_chunk::<64>())
    {
        if unsafe {
            _mm512_cmpneq_epi8_mask(
                _mm512_loadu_si512(x.as_ptr().cast()),
                _mm512_loadu_si512(y.as_ptr().cast()),
            ) != 0
        } {
            return false;
        }
        (a, b) = (a_rest, b_rest);
    }
    equal_masked(a, b)
}

#[inline(always)]
fn long(seed: &Seed, key: &[u8]) -> Xmm {
    unsafe {
        let (k8, k9) = (
            _mm512_broadcast_i32x4(Xmm::of(seed.keys[8]).0),
            _mm512_broadcast_i32x4(Xmm::of(seed.keys[9]).0),
        );
        macro_rules! absorb {
            ($s:expr) => {
                _mm512_aesenc_epi128(_mm512_aesenc_epi128($s, k8), k9)
            };
        }
        let mut lanes: __m512i = _mm512_loadu_si512(seed.keys.as_ptr().add(4).cast());
        let mut rest = key;
        while rest.len() > 64
            && let Some((step, after)) = rest.split_first_chunk::<64>()
        {
            lanes = absorb!(_mm512_xor_si512(lanes, _mm512_loadu_si512(step.as_ptr().cast())));
            rest = after;
        }
        let last = key.last_chunk::<64>().unwrap_unchecked();
        lanes = _mm512_xor_si512(lanes, _mm512_loadu_si512(last.as_ptr().cast()));
        let lanes = _mm512_mask_mov_epi64(absorb!(lanes), 0xc0, lanes);
        let half = core::arch::x86_64::_mm256_xor_si256(
            core::arch::x86_64::_mm512_castsi512_si256(lanes),
            core::arch::x86_64::_mm512_extracti64x4_epi64::<1>(lanes),
        );
        Xmm(_mm_xor_si128(
            core::arch::x86_64::_mm256_castsi256_si128(half),
            core::arch::x86_64::_mm256_extracti128_si256::<1>(half),
        ))
    }
}

//! AVX-512 with VAES (Intel since Ice Lake, AMD since Zen 4): a masked load reads exactly the bytes or tags that are
//! there, so most work needs no branch on a length and none of it is mispredicted.

use core::arch::x86_64::{
    __m256i, __m512i, _bzhi_u32, _bzhi_u64, _mm_xor_si128, _mm256_castsi256_si128, _mm256_cmpneq_epi8_mask,
    _mm256_extracti128_si256, _mm256_mask_cmpeq_epi16_mask, _mm256_maskz_loadu_epi8,
    _mm256_maskz_loadu_epi16, _mm256_set1_epi16, _mm256_xor_si256, _mm512_aesenc_epi128,
    _mm512_broadcast_i32x4, _mm512_castsi512_si256, _mm512_cmpneq_epi8_mask, _mm512_extracti64x4_epi64,
    _mm512_loadu_si512, _mm512_maskz_loadu_epi8, _mm512_xor_si512,
};

use core::mem::MaybeUninit;

use super::aes_hash::{self, Block, Seed};
use super::sse2::{Sse2, Xmm};
use super::{Kernels, Work};

/// See the module. Invariant: its kernels run only below `enter` (`mod.rs`), so the CPU has all they use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512;

/// Runs `work` at this level.
///
/// # Safety
/// The CPU has what is listed, and the OS saves the zmm and mask registers.
#[target_feature(enable = "aes,avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,vaes")]
pub(super) unsafe fn enter<W: Work>(work: W) -> W::Output {
    work.run::<Avx512>()
}

/// The same for work that is made here.
///
/// # Safety
/// As [`enter`].
#[target_feature(enable = "aes,avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,vaes")]
pub(super) unsafe fn enter_with<A, B, C, W: Work + From<(A, B, C)>>(a: A, b: B, c: C) -> W::Output {
    W::from((a, b, c)).run::<Avx512>()
}

impl Kernels for Avx512 {
    #[inline(always)]
    fn hash(seed: &Seed, key: &[u8]) -> u64 {
        aes_hash::finish(seed, key.len(), sum(seed, key))
    }

    #[inline(always)]
    fn match_tags(tags: &[u16], len: usize, tag: u16) -> u64 {
        debug_assert!(len <= tags.len() && tags.len() <= 64);
        let len = len.min(tags.len());
        let mut found = sixteen(tags, len, tag);
        let mut first = 16;
        while first < len {
            found |= sixteen(&tags[first..], len - first, tag) << first;
            first += 16;
        }
        found
    }

    /// Up to 32 bytes by half a register: a load touches all the lines it spans, masked or not, and 64 bytes may span
    /// one that the caller did not prefetch (measured: it is waited for).
    #[inline(always)]
    fn equal(mut a: &[u8], mut b: &[u8]) -> bool {
        debug_assert_eq!(a.len(), b.len());
        if a.len() <= 32 {
            // SAFETY: the CPU has AVX-512, see the type.
            return unsafe { _mm256_cmpneq_epi8_mask(load_32(a), load_32(b)) == 0 };
        }
        while let (Some((a_step, a_rest)), Some((b_step, b_rest))) =
            (a.split_first_chunk::<64>(), b.split_first_chunk::<64>())
        {
            // SAFETY: the CPU has AVX-512, see the type.
            if unsafe { _mm512_cmpneq_epi8_mask(load_64(a_step), load_64(b_step)) != 0 } {
                return false;
            }
            (a, b) = (a_rest, b_rest);
        }
        // SAFETY: the CPU has AVX-512, see the type.
        unsafe { _mm512_cmpneq_epi8_mask(load_up_to_64(a), load_up_to_64(b)) == 0 }
    }

    /// Not by masked stores: some CPUs (AMD's Zen 4) take a hundred nanoseconds for one.
    #[inline(always)]
    fn copy(to: &mut [MaybeUninit<u8>], from: &[u8]) {
        Sse2::copy(to, from);
    }
}

/// The first 16 of `tags`, or `len` if that is less; `len <= tags.len()`.
#[inline(always)]
fn sixteen(tags: &[u16], len: usize, tag: u16) -> u64 {
    debug_assert!(len <= tags.len());
    // SAFETY: the CPU has AVX-512 and BMI2, see the type; the mask selects what the slice has.
    unsafe {
        let there = _bzhi_u32(0xffff, len as u32) as u16;
        let tags = _mm256_maskz_loadu_epi16(there, tags.as_ptr().cast());
        _mm256_mask_cmpeq_epi16_mask(there, tags, _mm256_set1_epi16(tag as i16)) as u64
    }
}

/// Up to 32 bytes and zeros.
#[inline(always)]
fn load_32(bytes: &[u8]) -> __m256i {
    // SAFETY: the CPU has AVX-512 and BMI2, see the type; the mask selects the first bytes, as many as the slice has.
    unsafe { _mm256_maskz_loadu_epi8(_bzhi_u32(u32::MAX, bytes.len() as u32), bytes.as_ptr().cast()) }
}

/// Up to 64 bytes and zeros.
#[inline(always)]
fn load_up_to_64(bytes: &[u8]) -> __m512i {
    // SAFETY: as above.
    unsafe { _mm512_maskz_loadu_epi8(_bzhi_u64(u64::MAX, bytes.len() as u32), bytes.as_ptr().cast()) }
}

#[inline(always)]
fn load_64(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the CPU has AVX-512, see the type; 64 bytes are readable, and any alignment will do.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// All four lanes in one register. Up to 64 bytes there is no branch but the one that finds no full step.
#[inline(always)]
fn sum(seed: &Seed, mut key: &[u8]) -> Xmm {
    // SAFETY: the CPU has AVX-512 and VAES, see the type; the seed has four lanes, 64 bytes.
    unsafe {
        let mut lanes = _mm512_loadu_si512(seed.lanes.as_ptr().cast());
        let k4 = _mm512_broadcast_i32x4(Xmm::of(seed.absorb[0]).0);
        let k5 = _mm512_broadcast_i32x4(Xmm::of(seed.absorb[1]).0);
        while key.len() > 64
            && let Some((step, rest)) = key.split_first_chunk()
        {
            lanes = _mm512_xor_si512(lanes, load_64(step));
            lanes = _mm512_aesenc_epi128(_mm512_aesenc_epi128(lanes, k4), k5);
            key = rest;
        }
        lanes = _mm512_xor_si512(lanes, load_up_to_64(key));
        lanes = _mm512_aesenc_epi128(_mm512_aesenc_epi128(lanes, k4), k5);
        let halves = _mm256_xor_si256(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64::<1>(lanes));
        Xmm(_mm_xor_si128(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves)))
    }
}

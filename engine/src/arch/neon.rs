//! NEON with AES: what 64-bit Arm CPUs have but for a few small ones (the first Raspberry Pis).

use core::arch::aarch64::{
    uint8x16_t, vaddvq_u16, vaeseq_u8, vaesmcq_u8, vandq_u16, vceqq_u16, vcombine_u64, vcreate_u64,
    vdupq_n_u8, vdupq_n_u16, veorq_u8, vgetq_lane_u64, vld1q_u8, vld1q_u16, vorrq_u16, vqtbl1q_u8,
    vreinterpretq_u8_u64, vreinterpretq_u16_u8, vreinterpretq_u64_u8,
};
use core::mem::MaybeUninit;

use super::aes_hash::{self, Block, Seed};
use super::scalar::Scalar;
use super::sixteens::{Sixteen, match_sixteens};
use super::{Kernels, Work};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neon;

/// Runs `work` at this level.
///
/// # Safety
/// The CPU has NEON and AES.
#[target_feature(enable = "neon,aes")]
pub(super) unsafe fn enter<W: Work>(work: W) -> W::Output {
    work.run::<Neon>()
}

/// The same for work that is made here.
///
/// # Safety
/// As [`enter`].
#[target_feature(enable = "neon,aes")]
pub(super) unsafe fn enter_with<A, B, C, W: Work + From<(A, B, C)>>(a: A, b: B, c: C) -> W::Output {
    W::from((a, b, c)).run::<Neon>()
}

impl Kernels for Neon {
    #[inline(always)]
    fn hash(seed: &Seed, key: &[u8]) -> u64 {
        aes_hash::hash::<Vector>(seed, key)
    }

    #[inline(always)]
    fn match_tags(tags: &[u16], len: usize, tag: u16) -> u64 {
        match_sixteens::<Vector>(tags, len, tag)
    }

    /// The compiler has NEON for the scalar code, too.
    #[inline(always)]
    fn equal(a: &[u8], b: &[u8]) -> bool {
        Scalar::equal(a, b)
    }

    #[inline(always)]
    fn copy(to: &mut [MaybeUninit<u8>], from: &[u8]) {
        Scalar::copy(to, from);
    }
}

impl Sixteen for Vector {
    #[inline(always)]
    fn matching([a, b, c, d]: [u64; 4], tag: u16) -> u64 {
        static BITS: [u16; 16] = {
            let mut bits = [0; 16];
            let mut i = 0;
            while i < 16 {
                bits[i] = 1 << i;
                i += 1;
            }
            bits
        };
        let (low, high) = (Self::of([a, b]), Self::of([c, d]));
        // SAFETY: the CPU has NEON, see `Vector`; the bits are sixteen, eight for each half.
        unsafe {
            let tag = vdupq_n_u16(tag);
            let low = vandq_u16(vceqq_u16(vreinterpretq_u16_u8(low.0), tag), vld1q_u16(BITS.as_ptr()));
            let high =
                vandq_u16(vceqq_u16(vreinterpretq_u16_u8(high.0), tag), vld1q_u16(BITS.as_ptr().add(8)));
            u64::from(vaddvq_u16(vorrq_u16(low, high)))
        }
    }
}

/// Arm adds a round's key first, x86 last: that of Arm is zero here, and x86's is added behind. By itself, since Arm's intrinsics are
/// inlined nowhere but where their features are.
#[inline]
#[target_feature(enable = "neon,aes")]
fn round(block: uint8x16_t, key: uint8x16_t) -> uint8x16_t {
    veorq_u8(vaesmcq_u8(vaeseq_u8(block, vdupq_n_u8(0))), key)
}

/// One register. Invariant: its methods run only below `enter` (`mod.rs`), so the CPU has NEON and AES.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector(uint8x16_t);

impl Block for Vector {
    #[inline(always)]
    fn of([low, high]: [u64; 2]) -> Self {
        // SAFETY: the CPU has NEON, see the type.
        Self(unsafe { vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(low), vcreate_u64(high))) })
    }

    #[inline(always)]
    fn load(bytes: &[u8; 16]) -> Self {
        // SAFETY: the CPU has NEON, see the type; sixteen bytes are readable, and any alignment will do.
        Self(unsafe { vld1q_u8(bytes.as_ptr()) })
    }

    #[inline(always)]
    fn load_last(bytes: &[u8; 16], keep: usize) -> Self {
        /// Sixteen of these from `n` on move a register down by `n` bytes; what is no number of a byte makes a zero.
        static DOWN: [u8; 32] = {
            let mut down = [u8::MAX; 32];
            let mut i = 0;
            while i < 16 {
                down[i] = i as u8;
                i += 1;
            }
            down
        };
        let down = 16 - keep.min(16);
        // SAFETY: the CPU has NEON, see the type; `down` is at most 16, so that sixteen bytes follow it.
        Self(unsafe { vqtbl1q_u8(Self::load(bytes).0, vld1q_u8(DOWN.as_ptr().add(down))) })
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: the CPU has NEON, see the type.
        Self(unsafe { veorq_u8(self.0, other.0) })
    }

    #[inline(always)]
    fn round(self, key: Self) -> Self {
        // SAFETY: the CPU has AES, see the type.
        Self(unsafe { round(self.0, key.0) })
    }

    #[inline(always)]
    fn low(self) -> u64 {
        // SAFETY: the CPU has NEON, see the type.
        unsafe { vgetq_lane_u64::<0>(vreinterpretq_u64_u8(self.0)) }
    }
}

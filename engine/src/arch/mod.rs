//! What depends on the CPU: the keyed hash, the search for a tag, comparing and copying keys and values, prefetching.
//!
//! One generic body, one thin entry per level, one dispatch per batch:
//!
//! ```text
//! struct Probe<'a> { .. }                                     what a batch needs
//! impl Work for Probe<'_> {
//!     #[inline(always)]                                       or the kernels stay calls: 8 ns instead of 2 each
//!     fn run<K: Kernels>(self) { .. K::hash(seed, key) .. }   the body, written once
//! }
//! level.dispatch(Probe { .. })   ->  avx512::enter::<Probe>   #[target_feature]; the body is inlined into it
//! ```
//!
//! Kernels and bodies are `#[inline(always)]` and carry no `target_feature`; only the `enter` of each level does, and an
//! intrinsic is inlined once all between it and `enter` has been. So a body calls kernels from `for` loops and from
//! `#[inline(always)]` functions, never from a closure or through a function pointer: those are not always inlined.
//!
//! Invariants:
//! - All levels give the same answers. `scalar.rs` is the truth; `tests.rs` compares every other level with it.
//! - A `Level` names only what this CPU and its OS can run: `detect.rs` alone makes those above the scalar one. The
//!   kernel types cannot be named outside this module, so their code runs only below the `enter` of their level.
//!
//! The pattern is memchr's (`BurntSushi/memchr:src/arch`, `:src/vector.rs`).

mod aes_hash;
mod detect;
#[cfg(all(target_arch = "x86_64", not(any(miri, crabcache_tsan, all(test, loom)))))]
mod parts;
mod scalar;

// The bare-metal target is built without SSE; there the scalar level is the only one.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod avx2;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod avx512;
#[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
mod neon;
#[cfg(any(
    all(target_arch = "x86_64", target_feature = "sse2"),
    all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"),
))]
mod sixteens;
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod sse2;

#[cfg(test)]
mod tests;

pub(crate) use aes_hash::Seed;
#[cfg(all(target_arch = "x86_64", not(any(miri, crabcache_tsan, all(test, loom)))))]
pub(crate) use parts::{store_behind_first_byte, store_first_byte, store_second_byte_if};

use core::mem::MaybeUninit;

use scalar::Scalar;

/// What a batch body calls. Reached through [`Level::dispatch`] only.
pub(crate) trait Kernels: Copy {
    /// Keyed hash of any byte string: 64 bits, all of them good.
    fn hash(seed: &Seed, key: &[u8]) -> u64;

    /// Bit `i` is set where `tags[i] == tag`, for `i < len`. `tags.len()` is a multiple of 4 and at most 64, and
    /// `len <= tags.len()`; what lies beyond `len` is ignored, what lies beyond `tags` is never read.
    fn match_tags(tags: &[u16], len: usize, tag: u16) -> u64;

    /// Whether two keys of **equal length** are the same bytes.
    fn equal(a: &[u8], b: &[u8]) -> bool;

    /// Fills `to` with `from`, which is **as long**.
    fn copy(to: &mut [MaybeUninit<u8>], from: &[u8]);
}

/// The work of one batch, written once over the kernels.
pub(crate) trait Work {
    /// What the batch returns.
    type Output;

    /// The body. Implementations are `#[inline(always)]`.
    fn run<K: Kernels>(self) -> Self::Output;
}

/// The widest instructions that a cache may use. Answers are the same with all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Simd {
    /// The widest that this CPU and its system have, AVX-512 too. Not the default: on keys of tens of bytes its masked loads cost
    /// more than the branches that they save.
    Widest,
    /// At most AVX2 and BMI2 with AES.
    #[default]
    Avx2,
    /// At most SSE with AES; on Arm NEON with AES, which is the widest there.
    Sse,
    /// None: the code that every CPU runs.
    Scalar,
}

/// A set of kernels that this CPU can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level(Kind);

/// Private, so that nobody makes a level without [`detect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    #[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
    Neon,
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Sse2,
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Avx2,
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    Avx512,
}

impl Level {
    /// The best level of this CPU.
    #[cfg(test)]
    pub(crate) fn detect() -> Self {
        Self::detect_within(Simd::Widest)
    }

    /// The best level of this CPU that is not above this limit. Asks the CPU each time, which a hypervisor makes slow: ask
    /// once and keep the answer.
    pub(crate) fn detect_within(limit: Simd) -> Self {
        let within = |level: &Self| match (limit, level.0) {
            (Simd::Widest, _) | (_, Kind::Scalar) => true,
            #[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
            (limit, Kind::Neon) => limit != Simd::Scalar,
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            (Simd::Sse | Simd::Avx2, Kind::Sse2) | (Simd::Avx2, Kind::Avx2) => true,
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            _ => false,
        };
        Self::supported().filter(within).last().unwrap_or(Self(Kind::Scalar))
    }

    /// All levels of this CPU, worst first; the scalar one is always there.
    pub(crate) fn supported() -> impl Iterator<Item = Self> {
        detect::supported().into_iter().flatten().map(Self)
    }

    /// For logs and statistics.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Kind::Scalar => "scalar",
            #[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
            Kind::Neon => "neon+aes",
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Sse2 => "sse+aes",
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx2 => "avx2+aes",
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx512 => "avx512+vaes",
        }
    }

    /// Runs `work` with the kernels of this level.
    #[inline]
    pub(crate) fn dispatch<W: Work>(self, work: W) -> W::Output {
        match self.0 {
            Kind::Scalar => work.run::<Scalar>(),
            // SAFETY: `detect` is the only maker of the kind, after the CPU showed AES (NEON the target has).
            #[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
            Kind::Neon => unsafe { neon::enter(work) },
            // SAFETY: `detect` is the only maker of the kind, after cpuid showed AES and SSSE3 (SSE2 is in the
            // target's baseline).
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Sse2 => unsafe { sse2::enter(work) },
            // SAFETY: as above, and the CPU has all that `enter` lists, the OS AVX.
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx2 => unsafe { avx2::enter(work) },
            // SAFETY: as above, and both CPU and OS have AVX-512 and VAES.
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx512 => unsafe { avx512::enter(work) },
        }
    }

    /// The same for work that is made of three things which go to it in registers, where all of it would go through memory.
    #[inline]
    pub(crate) fn dispatch_in_registers<A, B, C, W: Work + From<(A, B, C)>>(
        self,
        a: A,
        b: B,
        c: C,
    ) -> W::Output {
        match self.0 {
            Kind::Scalar => W::from((a, b, c)).run::<Scalar>(),
            // SAFETY: as in `dispatch`.
            #[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
            Kind::Neon => unsafe { neon::enter_with::<A, B, C, W>(a, b, c) },
            // SAFETY: as in `dispatch`.
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Sse2 => unsafe { sse2::enter_with::<A, B, C, W>(a, b, c) },
            // SAFETY: as in `dispatch`.
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx2 => unsafe { avx2::enter_with::<A, B, C, W>(a, b, c) },
            // SAFETY: as in `dispatch`.
            #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
            Kind::Avx512 => unsafe { avx512::enter_with::<A, B, C, W>(a, b, c) },
        }
    }
}

/// Asks for the line of `p`, to be read soon. Any address will do; a bad one is ignored by the CPU.
#[inline(always)]
pub(crate) fn prefetch_read(p: *const u8) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(miri)))]
    // SAFETY: a prefetch reads nothing that the program can see, and never faults.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("prfm pldl1keep, [{}]", in(reg) p.addr(), options(nomem, nostack, preserves_flags));
    }
    let _ = p;
}

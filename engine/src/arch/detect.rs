//! Which levels this CPU and its OS can run, without std: cpuid for the instructions, xgetbv for the registers that the
//! OS saves when it switches threads. Intel SDM volume 1, sections 14.3 (AVX) and 15.2 (AVX-512). On Arm a register of the system,
//! which Linux lets programs read (Documentation/arch/arm64/cpu-feature-registers.rst).

use super::Kind;

/// The levels, worst first.
#[cfg(not(any(
    all(target_arch = "x86_64", target_feature = "sse2"),
    all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"),
)))]
pub(super) fn supported() -> [Option<Kind>; 1] {
    [Some(Kind::Scalar)]
}

/// The levels, worst first.
#[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
pub(super) fn supported() -> [Option<Kind>; 2] {
    [Some(Kind::Scalar), has_aes().then_some(Kind::Neon)]
}

/// Where nobody can be asked, the target has to be compiled for it, as Apple's are.
#[cfg(all(target_arch = "aarch64", target_feature = "neon", target_endian = "little"))]
fn has_aes() -> bool {
    #[cfg(all(not(target_feature = "aes"), any(target_os = "linux", target_os = "android"), not(miri)))]
    {
        let features: u64;
        // SAFETY: it changes nothing but the register. Programs may not read it, but Linux does it for them since 4.11, and tells
        // what all its CPUs have.
        unsafe {
            core::arch::asm!("mrs {}, id_aa64isar0_el1", out(reg) features, options(nomem, nostack, preserves_flags));
        }
        features >> 4 & 0xf != 0
    }
    #[cfg(not(all(
        not(target_feature = "aes"),
        any(target_os = "linux", target_os = "android"),
        not(miri)
    )))]
    {
        cfg!(target_feature = "aes")
    }
}

/// The levels, worst first.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(super) fn supported() -> [Option<Kind>; 4] {
    use core::arch::x86_64::{__cpuid, __cpuid_count};

    let all = |register: u32, bits: &[u32]| bits.iter().all(|bit| register >> bit & 1 == 1);

    let leaf_max = __cpuid(0).eax;
    let leaf_1 = __cpuid(1);
    let extended = if __cpuid(0x8000_0000).eax > 0x8000_0000 { __cpuid(0x8000_0001).ecx } else { 0 };
    let (mut leaf_7_ebx, mut leaf_7_ecx) = (0, 0);
    if leaf_max >= 7 {
        let leaf_7 = __cpuid_count(7, 0);
        (leaf_7_ebx, leaf_7_ecx) = (leaf_7.ebx, leaf_7.ecx);
    }
    // OSXSAVE and AVX.
    let saved = if all(leaf_1.ecx, &[27, 28]) {
        // SAFETY: OSXSAVE says that xgetbv may be run.
        unsafe { saved_by_os() }
    } else {
        0
    };

    let sse2 = all(leaf_1.ecx, &[9, 25]); // SSSE3, AES
    let avx2 = sse2
        && all(saved, &[1, 2]) // xmm, upper half of ymm
        && all(leaf_1.ecx, &[23]) // POPCNT
        && all(extended, &[5]) // LZCNT
        && all(leaf_7_ebx, &[3, 5, 8]); // BMI1, AVX2, BMI2
    let avx512 = avx2
        && all(saved, &[5, 6, 7]) // masks, upper half of zmm, zmm16 and up
        && all(leaf_1.ecx, &[12, 29]) // FMA, F16C: the compiler counts them among AVX-512 F
        && all(leaf_7_ebx, &[16, 30, 31]) // AVX-512 F, BW, VL
        && all(leaf_7_ecx, &[9]); // VAES
    let [sse2, avx2, avx512] = [(sse2, Kind::Sse2), (avx2, Kind::Avx2), (avx512, Kind::Avx512)]
        .map(|(has, kind)| has.then_some(kind));
    [Some(Kind::Scalar), sse2, avx2, avx512]
}

/// Register XCR0.
///
/// # Safety
/// The CPU reports OSXSAVE.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[target_feature(enable = "xsave")]
unsafe fn saved_by_os() -> u32 {
    // SAFETY: what the caller owes.
    unsafe { core::arch::x86_64::_xgetbv(0) as u32 }
}

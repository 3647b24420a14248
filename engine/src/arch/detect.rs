//! Which levels this CPU and its OS can run, without std: cpuid for the instructions, xgetbv for the registers that the
//! OS saves when it switches threads. Intel SDM volume 1, sections 14.3 (AVX) and 15.2 (AVX-512).

use super::Kind;

/// The levels, worst first.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
pub(super) fn supported() -> [Option<Kind>; 1] {
    [Some(Kind::Scalar)]
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

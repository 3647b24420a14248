//! Stores of a part of a word: x86 alone has them in a form that others may meet who change the rest of the word at the same moment.
//!
//! A `lock` would do as well everywhere, and the loads behind it would wait for it (benches/README.md tells what that costs). The
//! processor stores what is aligned in one step, in the order of the program, and leaves all other bytes of the line alone (Intel
//! SDM 3A, 9.1.1 and 9.2.3.2; Linux' queued spinlocks rest on it, too). So to everybody else each of these is a read-modify-write
//! of the word that orders what the program stored before it; and that is what the compiler has to take it for, since it cannot
//! look into it. The thread itself may read its bytes back before others see them: so nothing that it reads then of the bytes that
//! others change is gone by.

use core::mem::MaybeUninit;
use core::sync::atomic::AtomicU32;

/// Stores the first byte of a word.
#[inline(always)]
pub(crate) fn store_first_byte(word: &AtomicU32, byte: u8) {
    // SAFETY: the byte is part of a word that is borrowed; see above.
    unsafe {
        core::arch::asm!(
            "mov byte ptr [{}], {}",
            in(reg) word.as_ptr(),
            in(reg_byte) byte,
            options(nostack, preserves_flags)
        );
    }
}

/// Stores the second byte of a word, whatever the other three are at that moment; if not `wanted`, stores it aside.
///
/// No branch: nobody can foretell which items have been used often, and what is known of the next reads would be thrown away
/// each time. No `lock`, behind which their loads would wait (benches/README.md tells what both cost).
#[inline(always)]
pub(crate) fn store_second_byte_if(wanted: bool, word: &AtomicU32, byte: u8) {
    let mut aside = MaybeUninit::<u32>::uninit();
    let word = core::hint::select_unpredictable(wanted, word.as_ptr(), aside.as_mut_ptr());
    // SAFETY: the byte is part of a word that is borrowed, or of one of our own; see above.
    unsafe {
        core::arch::asm!(
            "mov byte ptr [{} + 1], {}",
            in(reg) word,
            in(reg_byte) byte,
            options(nostack, preserves_flags)
        );
    }
}

/// Stores all bytes of a word but the first: the second, then the third and fourth in one step.
#[inline(always)]
pub(crate) fn store_behind_first_byte(word: &AtomicU32, new: u32) {
    // SAFETY: the bytes are part of a word that is borrowed, and both stores are aligned; see above.
    unsafe {
        core::arch::asm!(
            "mov byte ptr [{word} + 1], {second}",
            "mov word ptr [{word} + 2], {rest:x}",
            word = in(reg) word.as_ptr(),
            second = in(reg_byte) (new >> 8) as u8,
            rest = in(reg) new >> 16,
            options(nostack, preserves_flags)
        );
    }
}

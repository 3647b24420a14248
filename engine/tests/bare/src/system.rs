//! What an operating system is needed for here: a first instruction, a place to write to, and an end.

use core::arch::{asm, global_asm};
use core::fmt;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("system calls are written for x86_64 Linux");

// The kernel enters with the stack aligned to 16 and nothing pushed: `call` then leaves it as the ABI wants it.
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym crate::main,
);

const SYS_WRITE: usize = 1;
const SYS_EXIT: usize = 60;
const STDOUT: usize = 1;

/// Standard output.
#[derive(Debug)]
pub struct Output;

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let written: isize;
            // SAFETY: write(2) reads `rest.len()` bytes at `rest`, which are there; the kernel changes rax, rcx and r11.
            unsafe {
                asm!(
                    "syscall",
                    inlateout("rax") SYS_WRITE => written,
                    in("rdi") STDOUT,
                    in("rsi") rest.as_ptr(),
                    in("rdx") rest.len(),
                    lateout("rcx") _,
                    lateout("r11") _,
                    options(nostack, readonly),
                );
            }
            let Ok(written @ 1..) = usize::try_from(written) else { return Err(fmt::Error) };
            rest = &rest[written..];
        }
        Ok(())
    }
}

/// Ends the process.
pub fn exit(code: i32) -> ! {
    // SAFETY: exit(2) does not return.
    unsafe { asm!("syscall", in("rax") SYS_EXIT, in("rdi") code, options(noreturn, nostack)) }
}

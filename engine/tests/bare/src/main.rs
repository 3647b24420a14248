//! The engine on bare ground: no std, no alloc, no C library. Memory is a static array, time is a number, output is a
//! system call. Prints what it did and ends with 0, or says what was wrong and ends with 1.
//!
//! ```text
//! cargo run --release --manifest-path engine/tests/bare/Cargo.toml
//! ```
#![no_std]
#![no_main]

mod memory;
mod proof;
mod system;

use core::fmt::Write;
use core::panic::PanicInfo;

use system::{Output, exit};

/// Called by `_start` once there is a stack to stand on.
extern "C" fn main() -> ! {
    proof::run();
    exit(0)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Output, "{info}");
    exit(1)
}

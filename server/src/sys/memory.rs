//! The region that the cache lives in: anonymous memory whose pages come as they are first used.
//!
//! Reserved but not committed (`MAP_NORESERVE`), so that resident memory follows what is stored; in huge pages where
//! the system has them, since random lookups in 4 KiB pages cost a TLB miss each.

use std::path::Path;
use std::ptr::NonNull;
use std::{fs, io};

use super::cgroup;
use super::usage::usage;

/// Memory mapped for this process alone, given back when dropped.
#[derive(Debug)]
pub(crate) struct Region {
    start: NonNull<u8>,
    len: usize,
}

/// Regions begin at a multiple of this, so that huge pages can back them from the first byte.
const HUGE_PAGE: usize = 2 << 20;

impl Region {
    /// Maps `len` bytes.
    pub(crate) fn map(len: usize) -> io::Result<Self> {
        let too_large = || io::Error::from(io::ErrorKind::OutOfMemory);
        let padded = len.checked_add(HUGE_PAGE).ok_or_else(too_large)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory that exists.
        let whole = unsafe {
            libc::mmap(std::ptr::null_mut(), padded, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        if whole == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let whole = whole.cast::<u8>();
        // Both ends beyond the aligned region are given back: whole pages, since mmap aligns to them.
        let head = whole.align_offset(HUGE_PAGE);
        let kept = len.next_multiple_of(page_size());
        // SAFETY: head + kept <= padded, because head < HUGE_PAGE, and kept - len < the page size; so start lies in
        // the mapping, and the two ranges unmapped are inside it, disjoint from [start, start + kept).
        let start = unsafe {
            let start = whole.add(head);
            if head > 0 {
                libc::munmap(whole.cast(), head);
            }
            let tail = padded.saturating_sub(head + kept) & !(page_size() - 1);
            if tail > 0 {
                libc::munmap(start.add(kept).cast(), tail);
            }
            start
        };
        // A refusal (no huge pages in this kernel) changes nothing but speed.
        // SAFETY: advice on pages that this mapping owns; it does not change their content.
        unsafe {
            libc::madvise(start.cast(), kept, libc::MADV_HUGEPAGE);
        }
        let start = NonNull::new(start).ok_or_else(too_large)?;
        Ok(Self { start, len })
    }

    /// The memory, as nobody has written it yet.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `map` made `len` readable and writable bytes at `start`, zeros by the kernel's promise, that belong to
        // this value alone, until it is dropped; the borrow of `self` lasts as long as the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the pages of `map`, which no borrow can outlive (see `bytes`).
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.len.next_multiple_of(page_size()));
        }
    }
}

// SAFETY: the mapping belongs to the process, not to a thread, and this value is its only owner.
unsafe impl Send for Region {}

/// Makes the allocator give each large buffer its own pages, and those back to the system when it is freed.
///
/// By itself glibc stops doing so after the first large buffer: it keeps up to 32 MiB buffers in its heaps from then on,
/// where what lies between them holds their memory, and a server's memory would grow to twice what its clients hold.
pub(crate) fn return_large_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets a number of the allocator, under its lock; the values are in their documented ranges.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BUFFER);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_AT_THE_TOP);
    }
}

/// Buffers from this length on are large: longer than what a busy client usually needs.
#[cfg(target_env = "gnu")]
const LARGE_BUFFER: libc::c_int = 256 << 10;

/// What the end of a heap may keep of freed buffers that are not large: else it goes back to the system and comes again, page
/// by page, with each request of a client that needs one.
#[cfg(target_env = "gnu")]
const KEPT_AT_THE_TOP: libc::c_int = 1 << 20;

/// Gives freed buffers back to the system, also small ones, which stay with the allocator by themselves. Takes milliseconds for
/// tens of MiB.
pub(crate) fn return_small_buffers() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim touches only what is free, under the allocator's locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Memory that this process may use: that of the machine, or what its control groups allow, whichever is less.
pub(crate) fn usable() -> Option<usize> {
    let machine = usage().system_bytes as f64;
    let allowed = cgroup::least(
        "memory",
        |group| limit(group, "memory.max"),
        |group| limit(group, "memory.limit_in_bytes"),
    );
    let usable = allowed.map_or(machine, |allowed| allowed.min(machine));
    (usable > 0.0).then_some(usable as usize)
}

/// A number of bytes; no limit is `max` in version 2 and a number beyond all memory in version 1.
fn limit(group: &Path, file: &str) -> Option<f64> {
    fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
}

fn page_size() -> usize {
    // SAFETY: sysconf only reads.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_some_memory() {
        assert!(usable().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn small_buffers_go_back_when_asked() {
        const LEN: usize = 200;
        let buffers: Vec<_> = (0..(64 << 20) / LEN).map(|_| Box::new([1_u8; LEN])).collect();
        // Those that stay hold the end of the heap, and some between.
        let kept: Vec<_> = buffers.into_iter().enumerate().filter(|(at, _)| at % 1000 == 999).collect();
        let before = usage().resident_bytes;
        return_small_buffers();
        let after = usage().resident_bytes;
        assert!(after + (32 << 20) < before, "{before} bytes before, {after} after");
        assert!(kept.iter().all(|(_, buffer)| **buffer == [1; LEN]));
    }

    #[test]
    fn a_region_is_aligned_and_writable_to_its_end() {
        for len in [1, 4096, (1 << 20) + 1, 4 << 20] {
            let mut region = Region::map(len).unwrap();
            let bytes = region.bytes();
            assert_eq!(bytes.len(), len);
            assert_eq!(bytes.as_ptr().align_offset(HUGE_PAGE), 0);
            bytes[0] = 1;
            bytes[len - 1] = 2;
        }
    }
}

//! The bytes we were handed, and the only pointer arithmetic over them.
//!
//! Three kinds of access, and no memory is used for two of them at a time:
//! - *words*, always through atomics of one width (`word32`, `word64`; a line of the ghost through both, under the lock), but for the
//!   header of a block, of which x86 stores single bytes (`arch/parts.rs`);
//! - *settled bytes* of a published block, which nobody writes until its grace period is over (`bytes`, `tags`); or of an item
//!   that the index does not have, which the hand looks at, and others give back, under the shard's lock;
//! - *private bytes* of a block that only the caller knows of (`write`, `write_tags`, `private`, `private_filled`, `zero`), or
//!   of a line of the ghost, under the shard's lock.
//!
//! An offset comes from `Geometry`; from a place or a directory word that was loaded since the handle last let go of what it
//! found (`Local::grip`); from the header and the lengths of a block that was found so, is private, or is met under the lock;
//! from a shard's own links and cursors, under the lock; or from what a handle noted of such a block (limbo, spare blocks, an
//! `ArenaRef` whose generation still holds). Each was inside the region when it was stored. Debug builds check it every time.
//! Under loom the words are arrays of loom's atomics and each granule of bytes has a witness, so that a block reused
//! under its reader shows as a race.

#[cfg(not(all(test, loom)))]
pub(crate) use real::{Part, Region};

#[cfg(all(test, loom))]
pub(crate) use model::{Part, Region};

#[cfg(not(all(test, loom)))]
#[allow(unsafe_code)] // the only module with pointers into the region; it trusts the offsets that the engine hands it
mod real {
    use crate::sync::{AtomicU32, AtomicU64};
    use core::marker::PhantomData;
    use core::mem::MaybeUninit;
    use core::ptr::NonNull;

    #[derive(Debug)]
    pub(crate) struct Region {
        base: NonNull<u8>,
        len: usize,
        filled: bool,
    }

    // SAFETY: the region is reached through the accessors of its parts alone: atomics, bytes that nobody writes, and
    // bytes that only one thread knows of. None of these depends on the thread it is used from.
    unsafe impl Send for Region {}
    // SAFETY: as above.
    unsafe impl Sync for Region {}

    impl Region {
        /// The part of `memory` that begins at a multiple of 256.
        pub(crate) fn new(memory: &mut [MaybeUninit<u8>]) -> Self {
            Self::over(memory, false)
        }

        /// The same of memory whose bytes all have a value. They always will: nothing but values is written.
        pub(crate) fn new_filled(memory: &mut [u8]) -> Self {
            Self::over(memory, true)
        }

        fn over<T>(memory: &mut [T], filled: bool) -> Self {
            const { assert!(size_of::<T>() == 1) };
            let skip = memory.as_ptr().align_offset(256).min(memory.len());
            let rest = &mut memory[skip..];
            let len = rest.len();
            let base = NonNull::from(rest).cast::<u8>();
            Self { base, len, filled }
        }

        /// Whether every byte has a value, also those that were never written.
        pub(crate) fn is_filled(&self) -> bool {
            self.filled
        }

        pub(crate) fn len(&self) -> usize {
            self.len
        }

        /// Where a part of it begins.
        #[inline(always)]
        pub(crate) fn offset_of(&self, part: Part<'_>) -> usize {
            part.base.as_ptr().addr() - self.base.as_ptr().addr()
        }

        /// What begins at `from`. Offsets in it count from there.
        #[inline(always)]
        pub(crate) fn part(&self, from: usize) -> Part<'_> {
            debug_assert!(from <= self.len, "{from} is outside the region");
            Part {
                // SAFETY: `from` is inside the region (module header).
                base: unsafe { self.base.add(from) },
                #[cfg(debug_assertions)]
                len: self.len - from,
                region: PhantomData,
            }
        }
    }

    /// The region from some offset on: a pointer that stays in its register, whatever the compiler has to load again.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Part<'a> {
        base: NonNull<u8>,
        #[cfg(debug_assertions)]
        len: usize,
        region: PhantomData<&'a Region>,
    }

    // SAFETY: as for `Region`.
    unsafe impl Send for Part<'_> {}
    // SAFETY: as for `Region`.
    unsafe impl Sync for Part<'_> {}

    impl<'a> Part<'a> {
        #[inline(always)]
        fn pointer(self, at: usize, len: usize) -> *mut u8 {
            #[cfg(debug_assertions)]
            assert!(at <= self.len && len <= self.len - at, "{at}+{len} is outside the region");
            let _ = len;
            // SAFETY: `at` is inside the region (module header), so the sum stays in the allocation.
            unsafe { self.base.as_ptr().add(at) }
        }

        /// For prefetching: any offset will do.
        #[inline(always)]
        pub(crate) fn hint(self, at: usize) -> *const u8 {
            self.base.as_ptr().wrapping_add(at)
        }

        #[inline(always)]
        pub(crate) fn word32(self, at: usize) -> &'a AtomicU32 {
            debug_assert!(at.is_multiple_of(4));
            // SAFETY: in the region and aligned; all accesses to a word are atomic (module header). The region is
            // borrowed for as long as the cache lives, and `'a` ends before.
            unsafe { AtomicU32::from_ptr(self.pointer(at, 4).cast()) }
        }

        #[inline(always)]
        pub(crate) fn word64(self, at: usize) -> &'a AtomicU64 {
            debug_assert!(at.is_multiple_of(8));
            // SAFETY: as `word32`.
            unsafe { AtomicU64::from_ptr(self.pointer(at, 8).cast()) }
        }

        /// Settled bytes.
        #[inline(always)]
        pub(crate) fn bytes(self, at: usize, len: usize) -> &'a [u8] {
            // SAFETY: in the region; settled bytes are initialised and not written while the caller may look at
            // them: `reclaim` hands a block out again only after a grace period, and one that no index had is given back
            // under the lock under which the hand looks at it.
            unsafe { core::slice::from_raw_parts(self.pointer(at, len), len) }
        }

        /// Tags of a published image.
        #[inline(always)]
        pub(crate) fn tags(self, at: usize, len: usize) -> &'a [u16] {
            debug_assert!(at.is_multiple_of(4));
            // SAFETY: as `bytes`; blocks are aligned to four bytes.
            #[allow(clippy::cast_ptr_alignment)]
            unsafe {
                core::slice::from_raw_parts(self.pointer(at, len * 2).cast::<u16>(), len)
            }
        }

        /// Fills private bytes.
        #[inline(always)]
        pub(crate) fn write(self, at: usize, bytes: &[u8]) {
            // SAFETY: in the region, and private to the caller, so that it overlaps neither `bytes` nor anything that
            // somebody else looks at.
            unsafe { self.pointer(at, bytes.len()).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
        }

        #[inline(always)]
        pub(crate) fn write_tags(self, at: usize, tags: &[u16]) {
            // SAFETY: tags are plain bytes in memory: any two of them may be looked at as bytes.
            let bytes = unsafe { core::slice::from_raw_parts(tags.as_ptr().cast::<u8>(), tags.len() * 2) };
            self.write(at, bytes);
        }

        /// Private bytes, to be filled in place.
        #[allow(clippy::mut_from_ref)] // a private block has one owner, which passes on a borrow of itself
        #[inline(always)]
        pub(crate) fn private(self, at: usize, len: usize) -> &'a mut [MaybeUninit<u8>] {
            // SAFETY: as `write`; any bytes are a `MaybeUninit`.
            unsafe { core::slice::from_raw_parts_mut(self.pointer(at, len).cast(), len) }
        }

        /// The same, once all of them have been filled, or of a filled region.
        #[allow(clippy::mut_from_ref)] // as above
        pub(crate) fn private_filled(self, at: usize, len: usize) -> &'a mut [u8] {
            // SAFETY: as `private`; the caller has filled them, or they had a value from the start (`new_filled`).
            unsafe { core::slice::from_raw_parts_mut(self.pointer(at, len), len) }
        }

        /// Zeroes private bytes.
        pub(crate) fn zero(self, at: usize, len: usize) {
            // SAFETY: as `write`.
            unsafe { self.pointer(at, len).write_bytes(0, len) }
        }
    }
}

#[cfg(all(test, loom))]
#[allow(unsafe_code)]
mod model {
    use crate::sync::{AtomicU32, AtomicU64, Witness};
    use std::boxed::Box;
    use std::cell::UnsafeCell;
    use std::vec::Vec;

    /// The same interface over loom's atomics. Only the words that a story names exist.
    #[derive(Debug)]
    pub(crate) struct Region {
        words32: Vec<Option<AtomicU32>>,
        words64: Vec<Option<AtomicU64>>,
        witnesses: Vec<Option<Witness>>,
        bytes: Box<[UnsafeCell<u64>]>,
    }

    // SAFETY: bytes are guarded by their witnesses, which loom checks.
    unsafe impl Send for Region {}
    // SAFETY: as above.
    unsafe impl Sync for Region {}

    impl Region {
        pub(crate) fn empty(len: usize) -> Self {
            let none = |count: usize| core::iter::repeat_with(|| None).take(count).collect();
            Self {
                words32: none(len / 4),
                words64: core::iter::repeat_with(|| None).take(len / 8).collect(),
                witnesses: core::iter::repeat_with(|| None).take(len / 4).collect(),
                bytes: (0..len / 8).map(|_| UnsafeCell::new(0)).collect(),
            }
        }

        /// A whole region, in place of the memory handed in: every word exists, so it is for small ones only.
        pub(crate) fn new(memory: &mut [core::mem::MaybeUninit<u8>]) -> Self {
            let mut region = Self::empty(memory.len() / 256 * 256);
            (0..region.len()).step_by(4).for_each(|at| region.add32(at, 0));
            (0..region.len()).step_by(8).for_each(|at| region.add64(at, 0));
            region
        }

        pub(crate) fn new_filled(memory: &mut [u8]) -> Self {
            Self::new(&mut std::vec![core::mem::MaybeUninit::uninit(); memory.len()])
        }

        pub(crate) fn is_filled(&self) -> bool {
            true
        }

        pub(crate) fn add32(&mut self, at: usize, value: u32) {
            self.words32[at / 4] = Some(AtomicU32::new(value));
        }

        pub(crate) fn add_settled32(&mut self, at: usize, value: u32) {
            self.words32[at / 4] = Some(AtomicU32::settled(value));
        }

        pub(crate) fn add64(&mut self, at: usize, value: u64) {
            self.words64[at / 8] = Some(AtomicU64::new(value));
        }

        pub(crate) fn add_settled64(&mut self, at: usize, value: u64) {
            self.words64[at / 8] = Some(AtomicU64::settled(value));
        }

        /// A block of bytes: one witness, at its first granule, stands for all of it.
        pub(crate) fn add_bytes(&mut self, at: usize) {
            self.witnesses[at / 4] = Some(Witness::new());
        }

        pub(crate) fn len(&self) -> usize {
            self.bytes.len() * 8
        }

        pub(crate) fn offset_of(&self, part: Part<'_>) -> usize {
            part.from
        }

        pub(crate) fn part(&self, from: usize) -> Part<'_> {
            Part { region: self, from }
        }

        fn pointer(&self, at: usize, len: usize) -> *mut u8 {
            assert!(at + len <= self.len());
            self.bytes.as_ptr().cast::<u8>().cast_mut().wrapping_add(at)
        }

        fn witness(&self, at: usize) -> Option<&Witness> {
            self.witnesses[at / 4].as_ref()
        }
    }

    /// The same interface over a part.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Part<'a> {
        region: &'a Region,
        from: usize,
    }

    impl<'a> Part<'a> {
        fn pointer(self, at: usize, len: usize) -> *mut u8 {
            self.region.pointer(self.from + at, len)
        }

        fn witness(self, at: usize) -> Option<&'a Witness> {
            self.region.witness(self.from + at)
        }

        pub(crate) fn hint(self, at: usize) -> *const u8 {
            self.region.pointer((self.from + at).min(self.region.len()), 0)
        }

        pub(crate) fn word32(self, at: usize) -> &'a AtomicU32 {
            self.region.words32[(self.from + at) / 4].as_ref().expect("the story has this word")
        }

        pub(crate) fn word64(self, at: usize) -> &'a AtomicU64 {
            self.region.words64[(self.from + at) / 8].as_ref().expect("the story has this word")
        }

        pub(crate) fn bytes(self, at: usize, len: usize) -> &'a [u8] {
            self.witness(at).into_iter().for_each(Witness::read);
            // SAFETY: loom runs one thread at a time, and the witness reports unordered access.
            unsafe { core::slice::from_raw_parts(self.pointer(at, len), len) }
        }

        pub(crate) fn tags(self, at: usize, len: usize) -> &'a [u16] {
            self.witness(at).into_iter().for_each(Witness::read);
            // SAFETY: as `bytes`.
            unsafe { core::slice::from_raw_parts(self.pointer(at, len * 2).cast(), len) }
        }

        pub(crate) fn write(self, at: usize, bytes: &[u8]) {
            self.witness(at).into_iter().for_each(Witness::write);
            // SAFETY: as `bytes`.
            unsafe { self.pointer(at, bytes.len()).copy_from(bytes.as_ptr(), bytes.len()) }
        }

        pub(crate) fn write_tags(self, at: usize, tags: &[u16]) {
            self.witness(at).into_iter().for_each(Witness::write);
            // SAFETY: as `bytes`.
            unsafe { self.pointer(at, tags.len() * 2).cast::<u16>().copy_from(tags.as_ptr(), tags.len()) }
        }

        #[allow(clippy::mut_from_ref)]
        pub(crate) fn private(self, at: usize, len: usize) -> &'a mut [core::mem::MaybeUninit<u8>] {
            self.witness(at).into_iter().for_each(Witness::write);
            // SAFETY: as `bytes`.
            unsafe { core::slice::from_raw_parts_mut(self.pointer(at, len).cast(), len) }
        }

        #[allow(clippy::mut_from_ref)]
        pub(crate) fn private_filled(self, at: usize, len: usize) -> &'a mut [u8] {
            self.witness(at).into_iter().for_each(Witness::write);
            // SAFETY: as `bytes`.
            unsafe { core::slice::from_raw_parts_mut(self.pointer(at, len), len) }
        }

        pub(crate) fn zero(self, at: usize, len: usize) {
            // SAFETY: in the region; one thread of the model runs at a time.
            unsafe { self.pointer(at, len).write_bytes(0, len) }
        }
    }
}

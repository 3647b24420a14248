//! Atomics and fences: the only file that knows loom.
//!
//! Under `cfg(all(test, loom))` the words are loom's, with a companion. loom 0.7 compares an access only with the
//! *last* one to the same atomic when it decides which orders to try, so a thread that loads a word and then writes
//! it (every compare-and-swap loop) hides the loads of other threads, and those orders go unexplored (loom issues 166
//! and 392). A relaxed read-modify-write of a companion atomic before each access makes every pair of accesses
//! dependent again. It adds no happens-before edge, so weak-memory outcomes stay possible.

pub(crate) use core::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release};

#[cfg(not(all(test, loom)))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64};

#[cfg(all(test, loom))]
pub(crate) use model::{AtomicU32, AtomicU64, Witness};

/// A sequentially consistent fence. Its order relative to other such fences is what coming online rests on.
#[derive(Debug, Default)]
pub(crate) struct FenceOrder {
    #[cfg(all(test, loom))]
    companion: model::Companion,
    #[cfg(crabcache_tsan)]
    word: AtomicU64,
}

impl FenceOrder {
    #[inline(always)]
    #[cfg_attr(not(any(crabcache_tsan, all(test, loom))), allow(clippy::unused_self))] // only those need a word
    pub(crate) fn fence(&self) {
        #[cfg(all(test, loom))]
        {
            self.companion.touch();
            loom::sync::atomic::fence(Ordering::SeqCst);
        }
        // ThreadSanitizer does not understand fences. A read-modify-write of one word by everybody orders more than the
        // fence does, so it hides no race that the fence would not prevent, except among those who pass here.
        #[cfg(crabcache_tsan)]
        self.word.compare_exchange(0, 0, Ordering::SeqCst, Ordering::SeqCst).ok();
        #[cfg(not(any(crabcache_tsan, all(test, loom))))]
        core::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// If `wanted`, replaces the second byte of a word, from which `old` was loaded, by that of `new`, which is like `old` in all
/// others. The others stay what they are at this moment, `old` or not. May do nothing if the word has changed since.
#[cfg(all(target_arch = "x86_64", not(any(miri, crabcache_tsan, all(test, loom)))))]
#[inline(always)]
pub(crate) fn replace_second_byte_if(wanted: bool, word: &AtomicU32, _old: u32, new: u32) {
    crate::arch::store_second_byte_if(wanted, word, (new >> 8) as u8);
}

#[cfg(all(test, loom))]
pub(crate) fn replace_second_byte_if(wanted: bool, word: &AtomicU32, _old: u32, new: u32) {
    if wanted {
        word.replace(0xff << 8, new);
    }
}

#[cfg(not(any(all(target_arch = "x86_64", not(any(miri, crabcache_tsan))), all(test, loom))))]
#[inline(always)]
pub(crate) fn replace_second_byte_if(wanted: bool, word: &AtomicU32, old: u32, new: u32) {
    if wanted {
        let _ = word.compare_exchange(old, new, Relaxed, Relaxed);
    }
}

/// Replaces all bytes of a word but the first: they are those of `old`, which is like `new` in its first byte, and nobody else
/// changes them now. The first stays what it is at this moment. Release.
#[inline(always)]
pub(crate) fn replace_behind_first_byte(word: &AtomicU32, old: u32, new: u32) {
    debug_assert_eq!(old as u8, new as u8);
    #[cfg(all(target_arch = "x86_64", not(any(miri, crabcache_tsan, all(test, loom)))))]
    crate::arch::store_behind_first_byte(word, new);
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, crabcache_tsan, all(test, loom))))))]
    if fault("finish_store") {
        word.store(new, Release);
    } else {
        word.fetch_xor(old ^ new, unless("finish_relaxed", Release));
    }
}

/// Clears bits of the first byte of a word, which nobody else changes now; the others stay what they are at this moment. Release.
#[inline(always)]
pub(crate) fn clear_in_first_byte(word: &AtomicU32, bits: u32) {
    debug_assert!(bits <= 0xff);
    #[cfg(all(target_arch = "x86_64", not(any(miri, crabcache_tsan, all(test, loom)))))]
    crate::arch::store_first_byte(word, (word.load(Relaxed) & !bits) as u8);
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, crabcache_tsan, all(test, loom))))))]
    word.fetch_and(!bits, unless("settle_relaxed", Release));
}

/// Tells the processor that this is a spin loop.
#[inline]
pub(crate) fn spin() {
    #[cfg(all(test, loom))]
    loom::thread::yield_now();
    #[cfg(not(all(test, loom)))]
    core::hint::spin_loop();
}

/// Deliberate faults for the models: each must make its story fail. Outside the models always false.
#[cfg(not(all(test, loom)))]
#[inline(always)]
pub(crate) const fn fault(_name: &str) -> bool {
    false
}

#[cfg(all(test, loom))]
pub(crate) use model::fault;

/// `order`, or Relaxed if the named fault is on.
#[inline(always)]
pub(crate) fn unless(name: &str, order: Ordering) -> Ordering {
    if fault(name) { Relaxed } else { order }
}

#[cfg(all(test, loom))]
mod model {
    use core::sync::atomic::Ordering;
    use std::sync::OnceLock;

    /// What makes every pair of accesses to one word dependent.
    #[derive(Debug)]
    pub(crate) struct Companion(Option<loom::sync::atomic::AtomicUsize>);

    impl Default for Companion {
        fn default() -> Self {
            Self(Some(loom::sync::atomic::AtomicUsize::new(0)))
        }
    }

    impl Companion {
        pub(crate) fn touch(&self) {
            if let Some(word) = &self.0 {
                word.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The name in the environment variable `CRABCACHE_FAULT` is on.
    pub(crate) fn fault(name: &str) -> bool {
        static FAULT: OnceLock<std::string::String> = OnceLock::new();
        FAULT.get_or_init(|| std::env::var("CRABCACHE_FAULT").unwrap_or_default()) == name
    }

    macro_rules! atomic {
        ($name:ident, $inner:ident, $int:ty $(, $modify:ident)*) => {
            #[derive(Debug)]
            pub(crate) struct $name {
                word: loom::sync::atomic::$inner,
                companion: Companion,
            }

            impl $name {
                pub(crate) fn new(value: $int) -> Self {
                    Self { word: loom::sync::atomic::$inner::new(value), companion: Companion::default() }
                }

                /// A word that nobody writes in this story: its loads depend on nothing.
                pub(crate) fn settled(value: $int) -> Self {
                    Self { word: loom::sync::atomic::$inner::new(value), companion: Companion(None) }
                }

                pub(crate) fn load(&self, order: Ordering) -> $int {
                    self.companion.touch();
                    self.word.load(order)
                }

                pub(crate) fn store(&self, value: $int, order: Ordering) {
                    self.companion.touch();
                    self.word.store(value, order);
                }

                pub(crate) fn compare_exchange(
                    &self,
                    old: $int,
                    new: $int,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$int, $int> {
                    self.companion.touch();
                    self.word.compare_exchange(old, new, success, failure)
                }

                $(pub(crate) fn $modify(&self, operand: $int, order: Ordering) -> $int {
                    self.companion.touch();
                    self.word.$modify(operand, order)
                })*
            }
        };
    }
    atomic!(AtomicU32, AtomicU32, u32, fetch_or, fetch_and, fetch_xor, fetch_max);
    atomic!(AtomicU64, AtomicU64, u64);

    impl AtomicU32 {
        /// What the store of a part of a word is to everybody else.
        pub(crate) fn replace(&self, part: u32, new: u32) {
            self.companion.touch();
            let _ = self
                .word
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| Some(word & !part | new & part));
        }
    }

    /// Stands for the bytes of one granule: loom reports a read and a write of it that nothing orders.
    #[derive(Debug)]
    pub(crate) struct Witness(loom::cell::UnsafeCell<()>);

    impl Witness {
        pub(crate) fn new() -> Self {
            Self(loom::cell::UnsafeCell::new(()))
        }

        pub(crate) fn read(&self) {
            self.0.with(|_| ());
        }

        pub(crate) fn write(&self) {
            self.0.with_mut(|_| ());
        }
    }
}

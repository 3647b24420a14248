//! The cache.
use core::{marker::PhantomData, mem::MaybeUninit};
use crate::{Config, Handle, NoHandle, OpenError, Stats};
/// A cache in a region of memory. `Sync`: threads share it, each through a [`Handle`] of its own.
#[derive(Debug)]
pub struct Cache<'r>(PhantomData<&'r mut [u8]>);
impl<'r> Cache<'r> {
    /// Makes an empty cache in `region`. Nothing is allocated afterwards.
    pub fn new(region: &'r mut [MaybeUninit<u8>], config: Config) -> Result<Self, OpenError> { let _ = (region, config); unimplemented!() }
    /// A handle, which a thread works through.
    pub fn handle(&self) -> Result<Handle<'_>, NoHandle> { unimplemented!() }
    /// The most bytes that key and value of one item may have together.
    pub fn item_len_max(&self) -> usize { unimplemented!() }
    /// Name of the SIMD level chosen at run time: `scalar`, `sse2+aes`, `avx2+vaes` ...
    pub fn simd_level(&self) -> &'static str { unimplemented!() }
    /// Figures, summed over all shards and handles. Walks no items.
    pub fn stats(&self) -> Stats { unimplemented!() }
}

//! Memory for the engine: a mapping of its own, whose pages the embedder chooses, as any embedder can.

use std::io;
use std::str::FromStr;

use memmap2::{Advice, MmapMut};

/// A huge page has so many bytes.
const HUGE: usize = 2 << 20;

/// The size of the pages that the system is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// 2 MiB, by `MADV_HUGEPAGE`: a look-up misses the TLB less often.
    Huge,
    /// 4 KiB, by `MADV_NOHUGEPAGE`.
    Small,
}

/// A text that is no size of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected huge or small")]
pub struct BadPages;

impl Pages {
    /// What they are called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Huge => "huge",
            Self::Small => "small",
        }
    }
}

impl FromStr for Pages {
    type Err = BadPages;

    fn from_str(text: &str) -> Result<Self, BadPages> {
        [Self::Huge, Self::Small].into_iter().find(|pages| pages.name() == text).ok_or(BadPages)
    }
}

/// Memory of which a part of exactly the wanted length begins with a huge page.
#[derive(Debug)]
pub struct Region {
    memory: MmapMut,
    len: usize,
}

impl Region {
    /// Fresh memory; pages are touched when they are used. Where the system knows no such pages, it is as it always is.
    pub fn new(len: usize, pages: Pages) -> io::Result<Self> {
        let memory = MmapMut::map_anon(len + HUGE)?;
        let _ = memory.advise(match pages {
            Pages::Huge => Advice::HugePage,
            Pages::Small => Advice::NoHugePage,
        });
        Ok(Self { memory, len })
    }

    /// Exactly the wanted bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        let skip = self.memory.as_ptr().align_offset(HUGE);
        &mut self.memory[skip..skip + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_have_the_wanted_length_and_begin_with_a_huge_page() {
        for pages in [Pages::Huge, Pages::Small] {
            for len in [1, HUGE, HUGE + 4097] {
                let mut region = Region::new(len, pages).expect("there is memory");
                let bytes = region.bytes();
                assert_eq!((bytes.len(), bytes.as_ptr().align_offset(HUGE)), (len, 0));
                bytes.fill(1);
            }
            assert_eq!(pages.name().parse(), Ok(pages));
        }
        assert_eq!("large".parse::<Pages>(), Err(BadPages));
    }
}

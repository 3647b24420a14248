//! Every level against the scalar one; the scalar one against published AES and against what the hash has always given;
//! the hash's quality.

extern crate std;

use core::mem::MaybeUninit;
use std::collections::HashSet;
use std::format;
use std::vec::Vec;

use super::aes_hash::Block;
use super::scalar::{Columns, Scalar};
use super::{Kernels, Level, Seed, Simd, Work};

struct Hash<'a>(&'a Seed, &'a [u8]);

impl Work for Hash<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<K: Kernels>(self) -> u64 {
        K::hash(self.0, self.1)
    }
}

struct MatchTags<'a>(&'a [u16], usize, u16);

impl Work for MatchTags<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<K: Kernels>(self) -> u64 {
        K::match_tags(self.0, self.1, self.2)
    }
}

struct Equal<'a>(&'a [u8], &'a [u8]);

impl Work for Equal<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<K: Kernels>(self) -> bool {
        K::equal(self.0, self.1)
    }
}

struct Copy<'a>(&'a mut [MaybeUninit<u8>], &'a [u8]);

impl Work for Copy<'_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Kernels>(self) {
        K::copy(self.0, self.1);
    }
}

/// All levels; those that the CPU lacks are named in the output, so that a green run says what it proved.
fn levels() -> Vec<Level> {
    let levels: Vec<_> = Level::supported().collect();
    let names: &[_] = if cfg!(target_arch = "aarch64") {
        &["scalar", "neon+aes"]
    } else {
        &["scalar", "sse+aes", "avx2+aes", "avx512+vaes"]
    };
    for name in names {
        if !levels.iter().any(|level| level.name() == *name) {
            std::eprintln!("skipped on this CPU: level {name}");
        }
    }
    levels
}

/// xorshift64*: the same inputs in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 56) as u8).collect()
    }
}

fn seed() -> Seed {
    Seed::new([0x0123_4567_89ab_cdef, 2, 3, 0xfedc_ba98_7654_3210])
}

/// Three pages of which only the middle one can be touched.
#[cfg(all(unix, not(miri)))]
mod guarded {
    use core::ptr::null_mut;

    pub(super) struct Page {
        start: *mut u8,
        size: usize,
    }

    impl Page {
        pub(super) fn new() -> Self {
            // SAFETY: a new mapping, closed but for its middle page.
            unsafe {
                let size = libc::sysconf(libc::_SC_PAGESIZE) as usize;
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
                let start = libc::mmap(null_mut(), 3 * size, libc::PROT_NONE, flags, -1, 0);
                assert_ne!(start, libc::MAP_FAILED);
                let middle = start.cast::<u8>().add(size);
                assert_eq!(libc::mprotect(middle.cast(), size, libc::PROT_READ | libc::PROT_WRITE), 0);
                Self { start: middle, size }
            }
        }

        pub(super) fn bytes(&mut self) -> &mut [u8] {
            // SAFETY: the middle page is ours, readable, writable and zeroed.
            unsafe { core::slice::from_raw_parts_mut(self.start, self.size) }
        }
    }

    impl Drop for Page {
        fn drop(&mut self) {
            // SAFETY: the mapping made by `new`, to which no borrow is left.
            unsafe { libc::munmap(self.start.sub(self.size).cast(), 3 * self.size) };
        }
    }
}

#[test]
fn detect_agrees_with_std() {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    {
        let sse = std::is_x86_feature_detected!("aes") && std::is_x86_feature_detected!("ssse3");
        let avx2 = sse
            && std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("bmi2")
            && std::is_x86_feature_detected!("lzcnt");
        let avx512 = avx2
            && std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("vaes");
        let names: Vec<_> = Level::supported().map(Level::name).collect();
        assert_eq!(names.contains(&"sse+aes"), sse);
        assert_eq!(names.contains(&"avx2+aes"), avx2);
        assert_eq!(names.contains(&"avx512+vaes"), avx512);
    }
    #[cfg(target_arch = "aarch64")]
    {
        let neon = std::arch::is_aarch64_feature_detected!("aes");
        assert_eq!(Level::supported().any(|level| level.name() == "neon+aes"), neon);
    }
    assert_eq!(Some(Level::detect()), Level::supported().last());
    assert_eq!(Level::detect_within(Simd::Scalar).name(), "scalar");
    let avx2 = Level::supported().filter(|level| level.name() != "avx512+vaes").last();
    assert_eq!(Some(Level::detect_within(Simd::Avx2)), avx2);
    let sse = Level::supported().filter(|level| !level.name().starts_with("avx")).last();
    assert_eq!(Some(Level::detect_within(Simd::Sse)), sse);
    assert_eq!(Level::supported().next().map(Level::name), Some("scalar"));
}

/// FIPS 197, appendix B, round 1.
#[test]
fn aes_round_known_answer() {
    let block = |hex: u128| Columns::load(&hex.to_be_bytes());
    let state = block(0x193d_e3be_a0f4_e22b_9ac6_8d2a_e9f8_4808);
    let key = block(0xa0fa_fe17_8854_2cb1_23a3_3939_2a6c_7605);
    let next = block(0xa49c_7ff2_689f_352b_6b5b_ea43_026a_5049);
    assert_eq!(state.round(key).words(), next.words());
}

/// A region outlives a process, and so must its hash: these may never change.
#[test]
fn hash_known_answers() {
    let seed = seed();
    let key: Vec<u8> = (0..=255).collect();
    for (len, answer) in [
        (0, 0x514c_41f4_c528_8293),
        (1, 0xa64d_b702_6eb8_12a8),
        (3, 0x5bfb_c78d_4739_ca78),
        (4, 0xac75_7713_fb99_689e),
        (8, 0xa3d9_dcfd_1bae_b775),
        (11, 0xe7eb_9a2f_a9fc_1e07),
        (16, 0x64bd_e40b_bcf8_1c56),
        (17, 0x79be_fb26_d51f_f366),
        (32, 0x7f90_cc2d_54ae_e1f8),
        (33, 0x4eb1_ceb9_e713_a7d6),
        (48, 0x38f5_fc52_c613_9f96),
        (64, 0xc3a6_c0e2_c4ce_51d1),
        (65, 0xebaa_fcff_5466_aa4e),
        (128, 0x4a76_8cd6_866c_d04a),
        (250, 0x298b_5b23_0c44_c21b),
    ] {
        assert_eq!(Scalar::hash(&seed, &key[..len]), answer, "length {len}");
    }
}

#[test]
fn hash_levels_differential() {
    let mut random = Random(1);
    let buffer = random.bytes(1024 + 64);
    let seed = seed();
    let levels = levels();
    for len in 0..=1024 {
        let alignments = if len <= 130 || len % 61 == 0 { 64 } else { 3 };
        for start in 0..alignments {
            let key = &buffer[start..start + len];
            let expected = Scalar::hash(&seed, key);
            for level in &levels {
                assert_eq!(
                    level.dispatch(Hash(&seed, key)),
                    expected,
                    "{} len {len} at {start}",
                    level.name()
                );
            }
        }
    }
}

#[test]
fn match_tags_levels_differential() {
    let mut random = Random(2);
    let levels = levels();
    for capacity in (0..=64).step_by(4) {
        for len in 0..=capacity {
            for _ in 0..8 {
                // Tags differ in one bit, in the low byte, in the high byte, or not at all.
                let wanted = random.next() as u16;
                let tags: Vec<u16> = (0..capacity)
                    .map(|_| wanted ^ [0, 1, 0x8000, 0xff, 0xff00][random.next() as usize % 5])
                    .collect();
                let expected = (0..len).filter(|i| tags[*i] == wanted).fold(0, |found, i| found | 1u64 << i);
                for level in &levels {
                    let found = level.dispatch(MatchTags(&tags, len, wanted));
                    assert_eq!(found, expected, "{} {len} of {capacity}", level.name());
                }
            }
        }
    }
}

#[test]
fn equal_finds_every_difference() {
    let mut random = Random(3);
    let bytes = random.bytes(1024 + 64);
    for level in levels() {
        for len in 0..=1024 {
            let start = len % 64;
            let a = &bytes[start..start + len];
            let mut b = a.to_vec();
            assert!(level.dispatch(Equal(a, &b)), "{} len {len}", level.name());
            let step = if len <= 300 { 1 } else { 13 };
            for at in (0..len).step_by(step).chain(len.checked_sub(1)) {
                b[at] ^= 1 << (at % 8);
                assert!(!level.dispatch(Equal(a, &b)), "{} len {len} differs at {at}", level.name());
                b[at] ^= 1 << (at % 8);
            }
        }
    }
}

#[test]
fn equal_at_all_alignments() {
    let mut random = Random(4);
    let bytes = random.bytes(400);
    for level in levels() {
        for (a, b) in (0..64).flat_map(|a| [(a, 0), (a, 63 - a), (0, a)]) {
            for len in [1, 7, 8, 16, 17, 31, 32, 33, 63, 64, 65, 200] {
                let (mut x, mut y) = (bytes.clone(), bytes.clone());
                y.copy_within(a..a + len, b);
                assert!(level.dispatch(Equal(&x[a..a + len], &y[b..b + len])));
                x[a + len / 2] ^= 0x10;
                assert!(!level.dispatch(Equal(&x[a..a + len], &y[b..b + len])));
            }
        }
    }
}

#[test]
#[cfg(all(unix, not(miri)))]
fn nothing_is_read_outside() {
    let mut random = Random(5);
    let mut page = guarded::Page::new();
    let page = page.bytes();
    page.copy_from_slice(&random.bytes(page.len()));
    let other = page.to_vec();
    let seed = seed();
    for level in levels() {
        for len in 0..=1024 {
            for range in [0..len, page.len() - len..page.len()] {
                let (inside, copy) = (&page[range.clone()], &other[range]);
                assert_eq!(level.dispatch(Hash(&seed, inside)), Scalar::hash(&seed, copy));
                assert!(level.dispatch(Equal(inside, copy)));
                assert!(level.dispatch(Equal(copy, inside)));
            }
        }
        for capacity in (0..=64).step_by(4) {
            for range in [0..2 * capacity, page.len() - 2 * capacity..page.len()] {
                // SAFETY: the page is aligned, and any bytes make a tag.
                let (before, tags, after) = unsafe { page[range].align_to::<u16>() };
                assert!(before.is_empty() && after.is_empty() && tags.len() == capacity);
                for len in 0..=capacity {
                    let wanted = tags.last().copied().unwrap_or(0);
                    let found = level.dispatch(MatchTags(tags, len, wanted));
                    assert_eq!(found, Scalar::match_tags(tags, len, wanted), "{} {len}", level.name());
                }
            }
        }
    }
}

#[test]
fn copies_are_exact_at_all_lengths_and_alignments() {
    const ROOM: usize = (4 << 10) + 256;
    let mut random = Random(7);
    let from = random.bytes(ROOM);
    let long = (4 << 10) - 70..(4 << 10) + 140;
    for level in levels() {
        for len in (0..=1024).chain(long.clone().step_by(7)) {
            for (a, b) in [(0, 0), (1, 0), (0, 4), (len % 64, 63 - len % 64)] {
                let mut to = [0x5a; ROOM];
                // SAFETY: bytes are initialised, and copying leaves them so.
                let room = unsafe { to[b..b + len].align_to_mut::<MaybeUninit<u8>>().1 };
                level.dispatch(Copy(room, &from[a..a + len]));
                assert_eq!(to[b..b + len], from[a..a + len], "{} {len}", level.name());
                let outside = [&to[..b], &to[b + len..]];
                assert!(
                    outside.iter().all(|side| side.iter().all(|&byte| byte == 0x5a)),
                    "{} {len}",
                    level.name()
                );
            }
        }
    }
}

#[test]
#[cfg(all(unix, not(miri)))]
fn copies_stay_inside() {
    let mut random = Random(8);
    let mut page = guarded::Page::new();
    let page = page.bytes();
    let from = random.bytes(page.len());
    for level in levels() {
        for len in (0..=1024).chain([page.len() - 1, page.len()]) {
            for range in [0..len, page.len() - len..page.len()] {
                // SAFETY: bytes are initialised, and copying leaves them so.
                let to = unsafe { page[range.clone()].align_to_mut::<MaybeUninit<u8>>().1 };
                level.dispatch(Copy(to, &from[range.clone()]));
                assert_eq!(page[range.clone()], from[range], "{} {len}", level.name());
            }
        }
        for len in 0..=1024 {
            for range in [0..len, page.len() - len..page.len()] {
                let mut to = [MaybeUninit::new(0); 1024];
                level.dispatch(Copy(&mut to[..len], &page[range.clone()]));
                // SAFETY: all of them are initialised, above.
                let to = to.map(|byte| unsafe { byte.assume_init() });
                assert_eq!(to[..len], page[range], "{} {len}", level.name());
            }
        }
    }
}

/// If they wrote more than their bytes, they would now and then undo what another thread does to the others.
#[test]
#[cfg(all(target_arch = "x86_64", not(any(miri, crabcache_tsan, loom))))]
fn bytes_are_stored_and_nothing_else() {
    use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

    const ROUNDS: u32 = 1_000_000;
    type Store = fn(&AtomicU32, u32);
    let stores: [(u32, Store); 3] = [
        (0xff, |word, new| super::store_first_byte(word, new as u8)),
        (0xff00, |word, new| {
            super::store_second_byte_if(true, word, (new >> 8) as u8);
            super::store_second_byte_if(false, word, !(new >> 8) as u8);
        }),
        (0xffff_ff00, super::store_behind_first_byte),
    ];
    for (part, store) in stores {
        let (word, done) = (AtomicU32::new(!0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let stored = scope.spawn(|| {
                let mut new = 0_u32;
                // At least once, also where this thread has no processor while the other one is at work.
                loop {
                    new = new.wrapping_add(0x0102_0301);
                    store(&word, new);
                    if done.load(Relaxed) {
                        return new;
                    }
                }
            });
            let mut others = !part;
            let same = (0..ROUNDS).all(|round| {
                let bits = round.wrapping_mul(0x0101_0101) & !part;
                let same = word.fetch_xor(bits, Relaxed) & !part == others;
                others ^= bits;
                same
            });
            done.store(true, Relaxed);
            let new = stored.join().unwrap();
            assert!(same, "a store into {part:x} has undone what the other thread did");
            assert_eq!(word.load(Relaxed), others | new & part);
        });
    }
}

/// Whoever sees that a copy is done sees the copy, also where it went past the caches.
#[test]
#[cfg(all(target_arch = "x86_64", not(any(miri, crabcache_tsan, loom))))]
fn a_copy_is_seen_before_what_follows_it() {
    use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

    const ROUNDS: u32 = 2_000;
    const LEN: usize = 8 << 10;

    fn wait_for(round: u32, of: &AtomicU32) {
        let mut looks = 0_u32;
        while of.load(Acquire) != round {
            looks += 1;
            // The other thread may have no processor of its own.
            if looks.is_multiple_of(1_000) { std::thread::yield_now() } else { core::hint::spin_loop() }
        }
    }

    let shared: Vec<_> = (0..LEN).map(|_| AtomicU8::new(0)).collect();
    for level in levels() {
        let (copied, looked) = (AtomicU32::new(0), AtomicU32::new(0));
        let late = std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    let from = [round as u8; LEN];
                    // SAFETY: the other thread looks at it between two rounds, when this one waits.
                    let to =
                        unsafe { core::slice::from_raw_parts_mut(shared.as_ptr().cast_mut().cast(), LEN) };
                    level.dispatch(Copy(to, &from));
                    copied.store(round, Release);
                    wait_for(round, &looked);
                }
            });
            let mut late = 0;
            for round in 1..=ROUNDS {
                wait_for(round, &copied);
                late += shared.iter().rev().filter(|byte| byte.load(Relaxed) != round as u8).count();
                looked.store(round, Release);
            }
            late
        });
        assert_eq!(late, 0, "{}: bytes came later than the word behind them", level.name());
    }
}

/// Every bit of the input flips every bit of the output half of the time.
#[test]
#[cfg_attr(miri, ignore = "statistics over many hashes")]
fn hash_avalanche() {
    const SAMPLES: usize = 500;
    let mut random = Random(6);
    let level = Level::detect();
    let seeds: Vec<_> = (0..50).map(|_| Seed::new([0; 4].map(|_| random.next()))).collect();
    for len in [1, 3, 4, 7, 8, 11, 16, 17, 31, 32, 33, 48, 64, 65, 130, 250] {
        let bits_step = if len <= 65 { 1 } else { 29 };
        for bit in (0..8 * len).step_by(bits_step) {
            let mut flips = [0; 64];
            for seed in seeds.iter().cycle().take(SAMPLES) {
                let mut key = random.bytes(len);
                let before = level.dispatch(Hash(seed, &key));
                key[bit / 8] ^= 1 << (bit % 8);
                let changed = before ^ level.dispatch(Hash(seed, &key));
                for (i, flips) in flips.iter_mut().enumerate() {
                    *flips += changed >> i & 1;
                }
            }
            for (output, flips) in flips.into_iter().enumerate() {
                // Six standard deviations: a quarter of a million cells are tried.
                let off = (flips as f64 - SAMPLES as f64 / 2.0).abs() / (SAMPLES as f64 / 4.0).sqrt();
                assert!(off < 6.0, "len {len}, bit {bit} flips output {output} {flips} times in {SAMPLES}");
            }
        }
    }
}

/// Flipping one bit of the seed changes half of the hash.
#[test]
fn hash_depends_on_every_seed_bit() {
    let mut random = Random(7);
    for bit in 0..256 {
        let mut changed = 0;
        for _ in 0..16 {
            let mut words = [random.next(), random.next(), random.next(), random.next()];
            let key = random.bytes(11);
            let before = Scalar::hash(&Seed::new(words), &key);
            words[bit / 64] ^= 1 << (bit % 64);
            changed += (before ^ Scalar::hash(&Seed::new(words), &key)).count_ones();
        }
        assert!((16 * 32u32).abs_diff(changed) < 6 * 16, "bit {bit} changes {changed} of 1024");
    }
}

/// Real and awkward sets of keys fill buckets no worse than chance, by chi-square.
#[test]
#[cfg_attr(miri, ignore = "statistics over many hashes")]
fn hash_fills_buckets_evenly() {
    const KEYS: usize = 1 << 16;
    const BUCKETS: usize = 1 << 10;
    let mut random = Random(8);
    let prefix = [b'p'; 70];
    let base = random.bytes(KEYS / 8);
    let sets: [(&str, Vec<Vec<u8>>); 6] = [
        ("sequential", (0..KEYS).map(|i| format!("key:{}", 1_000_000 + i).into_bytes()).collect()),
        ("long prefix", (0..KEYS).map(|i| [&prefix[..], format!("{i:08}").as_bytes()].concat()).collect()),
        ("long suffix", (0..KEYS).map(|i| [format!("{i:08}").as_bytes(), &prefix[..]].concat()).collect()),
        ("counters", (0..KEYS).map(|i| (i as u64).to_le_bytes().to_vec()).collect()),
        ("two bits of 64 bytes", {
            let pairs = (0..512).flat_map(|a| (0..a).map(move |b| [a, b]));
            pairs
                .take(KEYS)
                .map(|bits| bits.iter().fold(base[..64].to_vec(), |key, bit| flip(key, *bit)))
                .collect()
        }),
        ("zeros", (0..KEYS / 16).map(|len| [0; KEYS / 16][..len].to_vec()).collect()),
    ];
    for (name, keys) in sets {
        for number in 0..3 {
            let seed = Seed::new([number, 0, 0, 0]);
            let level = Level::detect();
            let hashes: Vec<_> = keys.iter().map(|key| level.dispatch(Hash(&seed, key))).collect();
            assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), keys.len(), "{name} collide");
            for shift in [0, 16, 32, 48, 54] {
                let mut counts = [0u32; BUCKETS];
                for hash in &hashes {
                    counts[(hash >> shift) as usize % BUCKETS] += 1;
                }
                let mean = keys.len() as f64 / BUCKETS as f64;
                let chi: f64 = counts.iter().map(|count| (*count as f64 - mean).powi(2) / mean).sum();
                // Mean 1023, standard deviation 45. Less is no fault: keys that differ in length only, zeros behind
                // the last difference, go through two rounds and are spread more evenly than chance would.
                assert!(chi < 1023.0 + 5.0 * 45.0, "{name}, bits {shift}..: chi-square {chi:.0}");
            }
        }
    }
}

fn flip(mut key: Vec<u8>, bit: usize) -> Vec<u8> {
    key[bit / 8] ^= 1 << (bit % 8);
    key
}

/// Keys that have the same blocks and differ in length, or the same bytes in other places.
#[test]
fn hash_tells_lengths_and_places_apart() {
    let seed = seed();
    let mut seen = HashSet::new();
    for len in 0..=300 {
        assert!(seen.insert(Scalar::hash(&seed, &[0; 300][..len])));
        // The length undone by flipping the byte that it is xored into: only a weak hash would let it be cancelled.
        if len as u8 > 0 {
            let mut key = [0; 300];
            key[0] = len as u8;
            assert!(seen.insert(Scalar::hash(&seed, &key[..len])));
        }
    }
    // Whole blocks change places between lanes and between steps.
    for at in 0..16 {
        let mut key = [0; 256];
        key[16 * at..16 * at + 16].fill(7);
        assert!(seen.insert(Scalar::hash(&seed, &key)));
    }
}

#[test]
fn prefetch_takes_any_address() {
    for address in [core::ptr::null(), core::ptr::without_provenance(usize::MAX), [0u8; 64].as_ptr()] {
        super::prefetch_read(address);
    }
}

//! Operations on a small cache beside a model that may forget but never lies.
#![no_main]

use crabcache_fuzz::{steps::Run, world};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|run: Run| world::run(&run));

//! Clients of one worker that send anything, in any pieces: it goes on, comes to rest, and keeps nothing of them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| crabcache_server::simulation::feed(input));

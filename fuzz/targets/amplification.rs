//! The engine's side of [`ringkeeper_fuzz::amplification`].
#![no_main]

use ringkeeper_fuzz::meter::Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many times slower than a release this build is, with its checks and the counters of the engine. A guess.
const SLOWNESS: u64 = 4;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::amplification::run_on(data, SLOWNESS));

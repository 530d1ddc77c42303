//! The engine's side of [`ringkeeper_fuzz::impossible`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::impossible::run(data));

//! The engine's side of [`ringkeeper_fuzz::stores`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::stores::run(data));

//! The engine's side of [`ringkeeper_fuzz::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::config::run(data));

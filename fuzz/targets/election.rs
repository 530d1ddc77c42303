//! The engine's side of [`ringkeeper_fuzz::election`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::election::run(data));

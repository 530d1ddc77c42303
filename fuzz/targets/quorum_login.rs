//! The engine's side of [`ringkeeper_fuzz::quorum_login`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::quorum_login::run(data));

//! The engine's side of [`ringkeeper_fuzz::quorum_port`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::quorum_port::run(data));

//! The engine's side of [`ringkeeper_fuzz::client`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::client::run(data));

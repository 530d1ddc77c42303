//! The engine's side of [`ringkeeper_fuzz::sasl`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::sasl::run(data));

//! The engine's side of [`ringkeeper_fuzz::snapshot_load`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::snapshot_load::run(data));

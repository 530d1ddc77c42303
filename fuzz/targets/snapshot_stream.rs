//! The engine's side of [`ringkeeper_fuzz::snapshot_stream`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::snapshot_stream::run(data));

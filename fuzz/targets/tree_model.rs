//! The engine's side of [`ringkeeper_fuzz::tree_model`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::tree_model::run(data));

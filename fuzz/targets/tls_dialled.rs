//! The engine's side of [`ringkeeper_fuzz::tls_dialled`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::tls_dialled::run(data));

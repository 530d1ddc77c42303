//! The engine's side of [`ringkeeper_fuzz::txnlog_replay`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringkeeper_fuzz::txnlog_replay::run(data));

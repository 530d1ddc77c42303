//! The bodies of the fuzz targets.
//!
//! Each body is a function of bytes that panics when something is wrong. It knows nothing of the engine, so the
//! ordinary tests run the committed corpus through it on a stable compiler (`tests/fuzz_corpus.rs`). Every finding
//! stays in the corpus, as a file whose name tells what went wrong.

/// Decodes a value from the front of `input`, encodes it and decodes that; both values must be equal. Gives `Some`
/// of the value, the bytes from which it was read, and its encoding, or `None` if the input is no such value. This
/// is a macro because the two values borrow from different places.
macro_rules! round_trip {
    ($type:ty, $input:expr) => {{
        let input: &mut ringkeeper::jute::Decoder<'_> = $input;
        let start = *input;
        match <$type as ringkeeper::jute::Jute<'_>>::decode(input) {
            Err(_) => None,
            Ok(value) => {
                let encoded = ringkeeper::jute::Jute::to_bytes(&value);
                let mut again = ringkeeper::jute::Decoder::new(&encoded);
                let decoded = <$type as ringkeeper::jute::Jute<'_>>::decode(&mut again);
                assert_eq!(decoded.as_ref(), Ok(&value), "not what was encoded");
                assert!(again.is_empty(), "bytes of the encoding are left over");
                Some((value, input.since(&start), encoded))
            }
        }
    }};
}

pub mod amplification;
pub mod client;
pub mod config;
pub mod disk;
pub mod edge;
pub mod election;
pub mod impossible;
pub mod meter;
pub mod quorum_login;
pub mod quorum_packet;
pub mod quorum_port;
pub mod requests;
pub mod sasl;
pub mod script;
pub mod seeds;
pub mod snapshot_load;
pub mod snapshot_stream;
pub mod stores;
pub mod tls_dialled;
pub mod tls_records;
pub mod tree_model;
pub mod txnlog_replay;
pub mod witness;

//! The suite, as the crate publishes it.

include!(env!("SUITE"));

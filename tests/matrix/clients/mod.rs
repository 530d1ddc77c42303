//! One file for each client, with a function that makes a node in a given way.

pub mod c;
pub mod java;
pub mod kazoo;
pub mod openssl;
pub mod rust_crate;

//! Stock clients against a running server: whatever they can do, they can do here.
//!
//! The same tests run against Apache ZooKeeper, which shows that it is the tests that are right:
//! `RINGKEEPER_CLIENT_TESTS_AGAINST=zookeeper-3.9 cargo test --test clients`. Without the variable
//! they run against ringkeeper. The clients come from `cargo xtask setup`.

mod cli_mt;
mod curator;
mod harness;
mod kazoo;
mod rust_crate;
mod zkcli;

//! The usual client libraries against a running server: all their features must work.
//!
//! The same tests run against Apache ZooKeeper, which shows that the tests are right:
//! `RINGKEEPER_CLIENT_TESTS_AGAINST=zookeeper-3.9 cargo test --test clients`. Without the variable
//! they run against Ringkeeper. The clients come from `cargo xtask setup`.

mod cli_mt;
mod curator;
mod harness;
mod kazoo;
mod rust_crate;
mod zkcli;

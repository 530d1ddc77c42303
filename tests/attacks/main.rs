//! What hostile clients and hosts do to a live server and to a live ensemble: each attack, what it is
//! answered, how long a client that does nothing wrong waits meanwhile, and how far memory grows.
//!
//! `cargo test --test attacks -- --nocapture --test-threads 1` prints the table. On a quiet machine
//! `RINGKEEPER_QUIET_MACHINE=1` demands of each row what the server promises; without it a bystander may
//! wait for as long as a busy machine makes him. `TMPDIR=/dev/shm` beside it takes the disk away, on which three servers
//! wait for each other's syncs. The fourth column is what the machine's processors add to every wait.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod counts;
mod election_port;
mod false_leader;
mod files;
mod first_frame;
mod growth;
mod harness;
mod hostile_leader;
mod memory;
mod observer_master;
mod passed_on;
mod quorum_port;
#[path = "../raw/mod.rs"]
mod raw;
mod snapshots;
mod strangers;
mod suspects;
mod talk;
mod watches;
mod work;

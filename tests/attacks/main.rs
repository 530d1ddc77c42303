//! Attacks by hostile clients and hosts on a live server and a live ensemble. Each test checks the answers to an
//! attack, how long a client that breaks no rule waits meanwhile (a bystander), and how far memory grows.
//!
//! `cargo test --test attacks -- --nocapture --test-threads 1` prints a table. With `RINGKEEPER_QUIET_MACHINE=1`, for a
//! quiet machine, each row must keep the bounds that the server promises; without it a bystander may wait longer.
//! `TMPDIR=/dev/shm` removes the influence of the disk, on which three servers would wait for each other's syncs. The
//! fourth column is the delay that the machine's processors add to every wait.

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

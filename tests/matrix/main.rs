//! Every client against every way to connect: a table, whose every cell is tried with a server or says what the client
//! lacks. Further, who must be refused on these ways, and ten thousand handshakes at once.
//!
//! In each cell the client makes a node for its own identity alone and reads it back; another client, on another member
//! where there is an ensemble, then looks whose node it has become. `RINGKEEPER_MATRIX=all` tries all cells everywhere;
//! `RINGKEEPER_CLIENT_TESTS_AGAINST=zookeeper-3.9` tries them with Apache ZooKeeper, to show that they are right.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod cells;
#[path = "../tls/certificates.rs"]
#[allow(dead_code, reason = "the tests of TLS use all of it")]
mod certificates;
mod clients;
mod ground;
#[path = "../raw/mod.rs"]
mod raw;
mod refusals;
mod storm;
mod suite;

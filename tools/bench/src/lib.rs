//! `ringkeeper-bench`: measures ZooKeeper-compatible servers and ensembles.
//!
//! A [`definition`] is a workload as data; the [`engine`] runs it against a [`engine::Target`] and returns a
//! [`result::Measured`]; a [`result::Line`] keeps the result as one JSON line. Beside them stand the limits that no
//! server can beat ([`null_server`], [`disk`]), ringkeeper's core without anything around it ([`in_process`],
//! [`pieces`]), what TLS costs ([`tls`]), the words that a person sees meanwhile ([`progress`]), and the report on the lines ([`report`]).

pub mod ab;
pub mod beside;
pub mod cli;
pub mod compare;
pub mod definition;
pub mod disk;
pub mod engine;
pub mod failures;
pub mod goals;
pub mod header;
pub mod idle;
pub mod in_process;
pub mod memory;
pub mod null_server;
pub mod output;
pub mod peers;
pub mod pieces;
pub mod progress;
pub mod report;
pub mod resources;
pub mod result;
pub mod shipped;
pub mod small_disk;
pub mod statistics;
pub mod tls;
pub mod turn;

//! Whole ensembles in one process, from one seed.
//!
//! A run puts replicas into a world of its own: disks, a network, clocks, clients, and faults, all drawn from the
//! seed. First faults happen, then all of them end and the ensemble must come together. At the end, checkers compare
//! what the clients were told with the one history that the servers have. Equal seeds give equal runs, event by
//! event ([`Outcome::hash`]).
//!
//! ```text
//! seed → Plan → World { servers: Replica on Disk and Clock, Network, clients } → History, Chain → check
//! ```
//! The simulation drives the replicas as the real edge does (`src/server/host` of the server). The easy rule to
//! break: nothing here may depend on anything but the seed, such as the order of a hash table.

#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]

mod acl;
mod asking;
mod assign;
pub mod attacker;
mod chain;
mod changes;
mod check;
mod client;
mod clock;
mod cluster;
mod config_files;
mod disk;
mod expiries;
mod faults;
mod forgetting;
mod history;
mod locked_out;
mod logins;
mod looks;
mod mistake;
mod model;
mod names;
mod network;
mod order;
mod plan;
mod purge;
mod quotas;
mod readers;
mod reads;
mod reaping;
mod refusals;
mod report;
mod rng;
mod run;
mod server;
mod sizes;
mod trace;
mod watches;
mod watching;
mod wider;
mod wild;
mod wire;
mod witness;
mod workload;
mod world;

pub use plan::Shape;
pub use report::Outcome;
pub use rng::Rng;
pub use run::{Options, run};
pub use trace::Sink;

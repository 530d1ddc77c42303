//! Conversations with a replica over a disk in memory.

mod across_servers;
mod audit;
mod back_pressure;
mod cluster;
mod coming_back;
mod disk;
pub(super) mod durability;
mod forwarding;
mod growth;
mod harness;
mod hostile_learners;
mod logins;
mod lost_leader;
mod memory;
mod moving;
mod options;
mod questions;
mod random;
mod reads;
mod reconfig;
mod sasl;
mod screen;
mod sessions;
mod standing;
mod turns;
mod watches;
mod writes;

//! Conversations with a replica over a disk in memory.

mod disk;
mod durability;
mod forwarding;
mod harness;
mod options;
mod random;
mod reads;
mod reconfig;
mod sessions;
mod standing;
mod watches;
mod writes;

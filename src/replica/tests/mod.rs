//! Conversations with a replica over a disk in memory.

mod disk;
mod harness;
mod options;
mod random;
mod reads;
mod sessions;
mod watches;
mod writes;

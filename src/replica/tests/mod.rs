//! Conversations with a replica over a disk in memory.

mod harness;
mod writes;

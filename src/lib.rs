//! x
pub mod cli;
pub mod config;

//! The server: configuration, folders, replica, connections and executors wired into one process.

mod again;
mod beginnings;
mod client_port;
mod clients;
mod crossing;
mod crowd;
pub mod environment;
mod executors;
mod host;
mod host_maker;
mod membership;
mod options;
mod oracle;
mod past;
mod phases;
pub mod purge;
mod recover;
mod session_core;
mod stalls;
mod start;
mod turns;
mod wiring;

pub use start::run;

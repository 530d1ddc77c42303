//! The server: configuration, folders, replica, connections and executors wired into one process.
//!
//! ```text
//! main thread   start ─▶ phases, wiring, client_port ─▶ executors ─▶ waits for news, ends the process
//! replica       turns ─▶ host: replica, disk, links between servers      (one thread)
//! sessions      session_core: sockets of clients, joined by crossing     (no thread, or one for each core)
//! helpers       rk-phases, rk-past, rk-purge, rk-resolve: nothing that a request waits for
//! ```
//! `main` calls [`run`] once in a process, and [`environment`] for `config check`; [`purge`] also serves the
//! simulation. This module decides no question of the protocol, of storage or of what a client may do: it makes the
//! parts with the options that the configuration gives them (`options`), moves events between them, and says to the
//! operator what happens.

mod again;
mod beginnings;
mod certificates;
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
mod secure_links;
mod secure_side;
mod session_core;
mod stalls;
mod start;
mod turns;
mod web_side;
mod wiring;

pub use start::run;

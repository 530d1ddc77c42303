//! Requests: from a write to its transaction, from a read to its answer, from an applied transaction to its reply.
//!
//! [`Prep`] turns a write into a transaction, which it checks against all transactions that are proposed and not yet
//! applied. [`read`] answers requests that change nothing. [`finish`] turns an applied transaction into a reply. None
//! of them knows a connection's buffers, its place in a queue, or a socket.

pub mod finish;
mod outstanding;
pub mod path;
mod prep;
pub mod read;

pub use prep::{Beyond, Prep, PrepOptions, ReconfigFacts, Requester};

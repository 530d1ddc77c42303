//! Requests: what a client may have, and what it is told.
//!
//! [`Prep`] turns a write into a transaction, checked against everything proposed before it.
//! [`read`] answers what changes nothing. [`finish`] turns an applied transaction into a reply.
//! None of them knows of a connection's buffers, of its place in a queue or of a socket.

pub mod finish;
mod outstanding;
pub mod path;
mod prep;
pub mod read;

pub use prep::{Beyond, Prep, PrepOptions, ReconfigFacts, Requester};

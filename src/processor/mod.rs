//! Requests: from a write to its transaction, from a read to its answer, from an applied transaction to its reply.
//!
//! [`Prep`] turns a write into a transaction, which it checks against all transactions that are proposed and not yet
//! applied. [`read`] answers requests that change nothing. [`finish`] turns an applied transaction into a reply. None
//! of them knows a connection's buffers, its place in a queue, or a socket.
//!
//! The way of a write: `replica::requests` calls [`Prep`] and proposes the transaction; the log and, in an ensemble,
//! a quorum make it durable; `replica::commit` has `Database::apply` change the tree; then `replica::replies` calls
//! [`finish`]. The way of a read: `replica::replies` calls [`read::answer`], and the answer is complete when the call
//! returns.

// The applied transaction → the body of its reply.
pub mod finish;
// What proposed transactions will have changed: the state against which the next write is checked.
mod outstanding;
// Which texts are paths.
pub mod path;
// A write → its transaction, or an error transaction.
mod prep;
// A read → its answer.
pub mod read;

pub use prep::{Beyond, Prep, PrepOptions, ReconfigFacts, Requester};

//! A small blocking client for tests, on `std::net` and `ringkeeper::proto`.
//!
//! Four levels, each usable alone:
//! * [`Connection`]: frames in and out, and what ends a connection (an end of file, silence);
//! * [`Session`]: connect, reconnect, requests and pipelines, events kept apart;
//! * [`Roaming`]: a session that follows its ensemble from server to server;
//! * [`dump()`]: a whole tree with data, Stats and ACLs, to compare two servers or two moments.
//!
//! [`Body`] builds request bodies field by field, so that a test can also build wrong ones.
//!
//! The client is for tests: it does not ping or retry by itself, and [`Session`] keeps no watches. The rule that is
//! easy to break: a session that the caller does not use for longer than its timeout expires, because nothing here
//! pings behind the caller's back.

mod body;
mod connection;
mod dump;
mod roaming;
mod session;

pub use body::{Acl, Body, OPEN_ACL};
pub use connection::{Connection, Received};
pub use dump::{DumpedNode, Tree, dump, first_difference};
pub use roaming::{Failure, Roaming, WatchKind};
pub use session::{Event, Reply, Session, SessionError};

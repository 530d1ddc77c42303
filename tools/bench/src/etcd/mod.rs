//! etcd beside the others, by its own protocol: a put is held against setData and create, a range of
//! one key against getData.
//!
//! It is not the same work: etcd keeps every version of a key and has no sessions. Reads are
//! `serializable`, that is, answered by the server asked without asking the others, because that is
//! what a ZooKeeper read promises. What it shows is what somebody pays who chooses the one or the
//! other.

mod load;
mod server;

pub use load::{run, suits};
pub use server::{Cluster, version};

//! The records of ZooKeeper's protocols, on the wire and in the log.
//!
//! This module has only their shapes, no rules about what a server does with them. Field names are
//! ZooKeeper's (`zookeeper.jute`). Nullable strings and buffers are `Option`s, because null and
//! empty differ.

pub mod connect;
pub mod data;
pub mod event;
pub mod opcode;
pub mod quorum;
pub mod request;
pub mod response;
pub mod txn;

pub use data::{AclEntry, AclVector, Id, Stat, StatPersisted};
pub use opcode::{CreateMode, OpCode};

//! Ringkeeper: a coordination server that speaks ZooKeeper's protocols and keeps ZooKeeper's files.
//!
//! The modules form layers; each imports only from its own layer or from layers above it in this
//! list. Layers 0 to 5 decide and have no effects: they name no clock, no random source, no file and
//! no socket. Two modules differ. `recovery` waits for files, but reaches them only through a trait
//! that the edge implements (`recovery::Folder`). `log` writes lines, on a thread of its own.
//! `ARCHITECTURE.md` explains the whole structure.

// Layer 0: words.
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod error;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod id;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod limits;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod planted;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod random;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod time;

// The log has effects; no decision depends on it.
pub mod log;

// Layer 1: bytes.
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod jute;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod proto;

// Layer 2: state.
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod acl;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod database;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod sasl;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod session;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod tree;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod watch;

// Layer 3: agreement.
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod election;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod link;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod peer;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod quorum;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod zab;

// Layer 4: disk.
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod io;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod recovery;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod snapshot;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod txnlog;

// Layer 5: requests.
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod processor;
#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]
pub mod replica;

// Layer 6: the edge, the only place with effects.
pub mod admin;
pub mod audit;
pub mod config;
pub mod inspect;
pub mod logins;
pub mod metrics;
pub mod net;
pub mod runtime;
pub mod tls;
pub mod web;

// Layer 7: all of it together.
pub mod cli;
pub mod server;

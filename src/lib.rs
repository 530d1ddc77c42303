//! Ringkeeper: a coordination server that speaks ZooKeeper's protocols and keeps ZooKeeper's files.
//!
//! The modules form layers; each imports only from its own layer or those above it in this list.
//! The first five layers decide and never act: they read no clock, no random source, no file and
//! no socket. `ARCHITECTURE.md` tells the whole story.

// Layer 0: words.
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod error;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod id;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod limits;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod time;

// Layer 1: bytes.
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod jute;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod proto;

// Layer 2: state.
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod acl;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod database;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod session;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod tree;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod watch;

// Layer 3: agreement.
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod peer;

// Layer 4: disk.
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod io;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod recovery;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod snapshot;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod txnlog;

// Layer 5: requests.
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod processor;
#[warn(clippy::disallowed_methods, clippy::disallowed_types)]
pub mod replica;

// Layer 6: the edge, the only place with effects.
pub mod admin;
pub mod config;
pub mod inspect;
pub mod metrics;
pub mod net;
pub mod runtime;

// Layer 7: all of it together.
pub mod cli;
pub mod server;

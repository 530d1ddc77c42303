//! Ringkeeper: a coordination server that speaks ZooKeeper's protocols and keeps ZooKeeper's files.
//!
//! The modules form layers; each imports only from its own layer or those above it in this list.
//! The first five layers decide and never act: they read no clock, no random source, no file and
//! no socket. `ARCHITECTURE.md` tells the whole story.

// Layer 0: words.
pub mod error;
pub mod id;
pub mod limits;
pub mod time;

// Layer 1: bytes.
pub mod jute;
pub mod proto;

// Layer 2: state.
pub mod acl;
pub mod database;
pub mod session;
pub mod tree;
pub mod watch;

// Layer 3: agreement.
pub mod peer;

// Layer 4: disk.
pub mod io;
pub mod recovery;
pub mod snapshot;
pub mod txnlog;

// Layer 5: requests.
pub mod processor;
pub mod replica;

// Layer 6: the edge, the only place with effects.
pub mod admin;
pub mod config;
pub mod metrics;
pub mod net;
pub mod runtime;

// Layer 7: all of it together.
pub mod cli;
pub mod server;

//! The members of the ensemble, and when enough of them have agreed (`QuorumVerifier`).
//!
//! A [`Config`] is one version of the ensemble: its members, their roles and addresses, and the rule for a quorum. It
//! is a value that never changes; a reconfiguration makes a new one. The agreement modules share configurations, ask
//! them for quorums, and exchange them as text ([`Config::parse`], [`Config::to_text`]). This module does not know
//! which servers are connected, and does not decide when a configuration becomes active.

mod config;
mod options;
mod reconfig;
mod server_line;
mod text;
mod verifier;

pub use config::{Config, Member, MemberAddress, PeerType};
pub use options::PeerOptions;
pub use reconfig::{ReconfigError, Reconfiguration};
pub use server_line::{bracketed, host_and_ports, is_wildcard, parse_group};
pub use text::ConfigError;
pub use verifier::{AckTracker, Oracle};

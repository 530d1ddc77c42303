//! The members of the ensemble, and when enough of them have agreed (`QuorumVerifier`).

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

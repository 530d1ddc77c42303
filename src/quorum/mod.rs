//! Who belongs to the ensemble, and when enough of them have agreed (`QuorumVerifier`).

mod config;

pub use config::{Config, ConfigError, Member, MemberAddress, Role};

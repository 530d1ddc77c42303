//! TLS: from settings and files to the configurations with which rustls serves clients and speaks to other servers.
//!
//! It reads stores, decides which certificates are accepted, and names their owners; it moves no byte of a connection
//! and knows no socket. The entry is [`load`]: [`TlsContext::load`] makes a `ServerConfig` and a `ClientConfig` of
//! [`crate::config::TlsSide`], and [`TlsContext::reload`] makes new ones when the files have changed.

pub mod certificate;
pub mod der;
pub mod hostname;
mod issuers;
pub mod load;
pub mod names;
pub mod revocation;
pub mod stores;
pub mod verify;
pub mod x500;

pub use load::{Reload, TlsContext, TlsError};

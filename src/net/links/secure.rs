//! TLS between servers: what links need for it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::net::Handshakes;

/// What the two ends of a new link use.
#[derive(Clone, Debug)]
pub struct LinkSides {
    /// For links that this server accepts.
    pub server: Arc<ServerConfig>,
    /// For links that it opens; none without a trust store, which opened links with TLS need.
    pub client: Option<Arc<ClientConfig>>,
}

/// TLS between servers. Names in brackets are keys.
pub struct LinkTls {
    /// Gives the certificates and the rules for a new link: they change when their files do.
    pub sides: Box<dyn Fn() -> LinkSides + Send + Sync>,
    /// Whether links that this server opens use TLS (`sslQuorum`).
    pub opens_with: bool,
    /// Whether others may open links without TLS (`portUnification`).
    pub accepts_plain: bool,
    /// Whether the certificate of the other side must name the host that this server connects to
    /// (`ssl.quorum.hostnameVerification`). The rules in `sides` check it.
    pub checks_called: bool,
    /// Whether the certificate of whoever connects must name the host of a member, or its own address
    /// (`ssl.quorum.clientHostnameVerification`).
    pub checks_callers: bool,
    /// How long whoever connects may say nothing (`ssl.quorum.handshakeDetectionTimeoutMillis`).
    pub detection: Duration,
    /// Counts the handshakes.
    pub handshakes: Handshakes,
}

impl LinkTls {
    /// The name that the certificate of this host has to have.
    ///
    /// # Errors
    /// No certificate can have the name; in words for an operator.
    pub(super) fn name_of(
        &self,
        host: &str,
        remote: SocketAddr,
    ) -> Result<ServerName<'static>, String> {
        match ServerName::try_from(host.to_owned()) {
            Ok(name) => Ok(name),
            // Nobody compares it.
            Err(_) if !self.checks_called => Ok(ServerName::from(remote.ip())),
            Err(_) => Err(format!(
                "{host} is neither a name of DNS nor an address, so no certificate can name it: change the server.N \
                 line, or set ssl.quorum.hostnameVerification=false, which accepts any name"
            )),
        }
    }
}

impl fmt::Debug for LinkTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "LinkTls(opens_with: {}, {:?})", self.opens_with, self.handshakes)
    }
}

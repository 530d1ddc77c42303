//! TLS between servers: the certificates, and which links use them.

use std::sync::Arc;
use std::time::Duration;

use super::certificates::{self, Certificates, Reloads};
use crate::config::Config;
use crate::net::Handshakes;
use crate::net::links::{LinkSides, LinkTls};

/// Reads the stores, where servers use TLS among themselves; none where they do not.
///
/// # Errors
/// A store cannot be used: a sentence for the operator.
// ZooKeeper: a server starts with a store that it cannot read, and fails each connection.
pub fn open(
    config: &Config,
    reloads: &Reloads,
) -> Result<Option<(Arc<LinkTls>, Certificates)>, String> {
    if !is_used(config) {
        return Ok(None);
    }
    let (tls, side) = (&config.tls, &config.tls.quorum);
    let certificates = Certificates::load(side, "TLS between servers")?;
    certificates.follow(side, tls.quorum_cert_reload, reloads)?;
    say(config);
    let current = certificates.clone();
    let sides = move || {
        let context = current.get();
        LinkSides { server: context.server, client: context.client }
    };
    let tls = LinkTls {
        sides: Box::new(sides),
        opens_with: tls.quorum_uses_tls,
        accepts_plain: tls.quorum_port_unification,
        checks_called: side.hostname_verification,
        checks_callers: side.client_hostname_verification,
        detection: Duration::from_millis(side.handshake_detection_timeout_ms.into()),
        handshakes: Handshakes::new(None),
    };
    Ok(Some((Arc::new(tls), certificates)))
}

/// What would keep a server from using TLS with others.
pub fn obstacle(config: &Config) -> Option<String> {
    is_used(config).then(|| certificates::obstacle(&config.tls.quorum))?
}

fn is_used(config: &Config) -> bool {
    config.quorum.is_distributed() && config.tls.serves_servers()
}

fn say(config: &Config) {
    let tls = &config.tls;
    tracing::info!(
        "TLS between servers: this server connects to others {}, and lets them connect {}",
        if tls.quorum_uses_tls { "with TLS" } else { "without TLS (sslQuorum=false)" },
        if tls.quorum_port_unification {
            "with or without TLS (portUnification=true)"
        } else {
            "with TLS alone"
        }
    );
    if !tls.quorum.hostname_verification {
        tracing::warn!(
            "TLS between servers: ssl.quorum.hostnameVerification=false, so any server with a certificate of a trusted \
             issuer passes for any other"
        );
    }
}

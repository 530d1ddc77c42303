//! TLS for clients: the second port, and what both ports speak.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use super::certificates::{self, Certificates};
use super::client_port;
use super::clients::Doors;
use crate::config::Config;
use crate::net::{Door, Handshakes, TlsPort};
use crate::tls::certificate::Certificate;
use crate::tls::x500;

/// What the start makes of the keys of TLS for clients.
pub struct SecureSide {
    /// What clients speak on each port.
    pub doors: Doors,
    /// One socket for each session core at `secureClientPort`; none without it.
    pub sockets: Vec<TcpListener>,
    /// The address of that port.
    pub address: Option<SocketAddr>,
    /// Counts the handshakes on both ports.
    pub handshakes: Handshakes,
}

impl SecureSide {
    /// Reads the stores, and binds `secureClientPort`, where these are configured.
    ///
    /// # Errors
    /// A store cannot be used, or the server cannot listen there: a sentence for the operator.
    // ZooKeeper: a server starts with a store that it cannot read, and fails each connection. Without the factory for
    // Netty, a secureClientPort ends it with exit code 1; here one kind of connection serves both.
    pub fn open(config: &Config, sockets: u32) -> Result<SecureSide, String> {
        let tls = &config.tls;
        let handshakes = Handshakes::new(config.network.handshakes_outstanding_max);
        let mut side = SecureSide {
            doors: Doors { client: Door::Plain, secure: Door::Plain },
            sockets: Vec::new(),
            address: None,
            handshakes: handshakes.clone(),
        };
        if !tls.serves_clients() {
            return Ok(side);
        }
        let certificates = Certificates::load(&tls.client, "TLS for clients")?;
        // ZooKeeper: NettyServerCnxnFactory.initSSL reads the stores for every connection, also without
        // client.certReload.
        certificates.follow(&tls.client)?;
        let port = Arc::new(port(config, certificates, handshakes));
        if tls.client_port_unification {
            side.doors.client = Door::Either(port.clone());
        }
        if let Some(listen) = &tls.secure_client {
            let (bound, address) = client_port::open_secure(listen, config, sockets)?;
            side.doors.secure = Door::Secure(port);
            (side.sockets, side.address) = (bound, Some(address));
        }
        Ok(side)
    }

    /// Where clients connect, for the log. `client`: the address of `clientPort`.
    pub fn describe(&self, client: Option<SocketAddr>) -> String {
        let both =
            if let Door::Either(_) = self.doors.client { " with or without TLS" } else { "" };
        let plain = client.map(|address| format!("{address}{both}"));
        let secure = self.address.map(|address| format!("{address} with TLS"));
        plain.into_iter().chain(secure).collect::<Vec<_>>().join(", and on ")
    }
}

/// What would keep a server from offering TLS to its clients.
pub fn obstacle(config: &Config) -> Option<String> {
    config.tls.serves_clients().then(|| certificates::obstacle(&config.tls.client))?
}

fn port(config: &Config, certificates: Certificates, handshakes: Handshakes) -> TlsPort {
    let detection = config.tls.client.handshake_detection_timeout_ms;
    let current = certificates.clone();
    TlsPort {
        check_again: Box::new(move |shown| current.get().check_client(shown)),
        settings: Box::new(move || certificates.get().server),
        subject: subject_of,
        detection: Duration::from_millis(detection.into()),
        handshakes,
    }
}

fn subject_of(certificate: &[u8]) -> Result<String, String> {
    Certificate::parse(certificate)
        .and_then(|certificate| x500::rfc2253(certificate.subject))
        .map_err(|error| error.to_string())
}

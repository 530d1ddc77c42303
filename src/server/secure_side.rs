//! TLS for clients: the second port, and what both ports speak.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use super::certificates::{self, Certificates, Reloads};
use super::client_port;
use super::clients::Doors;
use crate::config::Config;
use crate::net::{Door, Handshakes, TlsPort};
use crate::tls::certificate::Certificate;
use crate::tls::hostname::Names;
use crate::tls::x500;

/// What the start makes of the keys of TLS for clients.
pub struct SecureSide {
    /// What clients speak on each port.
    pub doors: Doors,
    /// One socket for each session core at `secureClientPort`; none without it.
    pub sockets: Vec<TcpListener>,
    /// The address of that port.
    pub address: Option<SocketAddr>,
    /// The stores; `None` where no client uses TLS.
    pub certificates: Option<Certificates>,
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
    pub fn open(config: &Config, sockets: u32, reloads: &Reloads) -> Result<SecureSide, String> {
        let tls = &config.tls;
        let handshakes = Handshakes::new(config.network.handshakes_outstanding_max);
        let mut side = SecureSide {
            doors: Doors { client: Door::Plain, secure: Door::Plain },
            sockets: Vec::new(),
            address: None,
            certificates: None,
            handshakes: handshakes.clone(),
        };
        if !tls.serves_clients() {
            return Ok(side);
        }
        let certificates = Certificates::load(&tls.client, "TLS for clients")?;
        // ZooKeeper: NettyServerCnxnFactory.initSSL reads the stores for every connection, also without
        // client.certReload.
        certificates.follow(&tls.client, true, reloads)?;
        side.certificates = Some(certificates.clone());
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
    let checks_addresses = config.tls.client.client_hostname_verification;
    TlsPort {
        check_again: Box::new(move |shown| current.get().check_client(shown)),
        settings: Box::new(move || certificates.get().server),
        owner: Box::new(move |certificate, address| {
            if checks_addresses {
                check_address(certificate, address)?;
            }
            subject_of(certificate)
        }),
        detection: Duration::from_millis(detection.into()),
        handshakes,
    }
}

fn subject_of(certificate: &[u8]) -> Result<String, String> {
    Certificate::parse(certificate)
        .and_then(|certificate| x500::rfc2253(certificate.subject))
        .map_err(|error| format!("the subject of its client's certificate cannot be read: {error}"))
}

/// Whether a certificate names the address from which its client connects.
// ZooKeeper: ZKTrustManager.performHostVerification, without the lookup of the address in the reverse zone of DNS
// (ssl.allowReverseDnsLookup).
fn check_address(certificate: &[u8], address: IpAddr) -> Result<(), String> {
    let names = Names::of(certificate)
        .map_err(|error| format!("its client's certificate cannot be read: {error}"))?;
    let address = address.to_canonical().to_string();
    if names.include(&address) {
        return Ok(());
    }
    let shown = match names.shown() {
        shown if shown.is_empty() => "nothing".to_owned(),
        shown => shown.join(", "),
    };
    Err(format!(
        "its client's certificate names {shown}, and not {address}, from where it connects: issue it anew with this \
         address as an alternative name of kind IP. ssl.clientHostnameVerification=false accepts any name"
    ))
}

//! TLS for clients: the second port, what both ports speak, and the certificate of this server.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;

use super::client_port;
use super::clients::Doors;
use crate::config::{Config, TlsSide};
use crate::net::{Door, Handshakes, TlsPort};
use crate::tls::certificate::Certificate;
use crate::tls::{Reload, TlsContext, x500};

/// How often the stores are read to see whether they have changed: some hundred kilobytes at most.
const LOOK_EVERY: Duration = Duration::from_secs(2);

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
        let context = TlsContext::load(&tls.client).map_err(|error| error.to_string())?;
        say(&context);
        let current = Current(Arc::new(Mutex::new(context.server.clone())));
        follow(context, tls.client.clone(), current.clone())
            .map_err(|error| format!("the thread that watches the certificates: {error}"))?;
        let port = Arc::new(port(config, current, handshakes));
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
    let tried = config.tls.serves_clients().then(|| TlsContext::load(&config.tls.client))?;
    tried.err().map(|error| error.to_string())
}

/// The configuration of rustls for new connections.
#[derive(Clone)]
struct Current(Arc<Mutex<Arc<ServerConfig>>>);

impl Current {
    fn get(&self) -> Arc<ServerConfig> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, config: Arc<ServerConfig>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

/// From now on reads the stores again from time to time, and lets new connections use what has changed. What cannot be
/// used changes nothing, and is said once.
// ZooKeeper: NettyServerCnxnFactory.initSSL reads the stores for every connection, also without client.certReload.
fn follow(mut context: TlsContext, side: TlsSide, current: Current) -> std::io::Result<()> {
    let watch = move || {
        let mut last_error = None;
        loop {
            std::thread::sleep(LOOK_EVERY);
            match context.reload(&side) {
                Reload::Same => last_error = None,
                Reload::Changed(new) => {
                    last_error = None;
                    context = *new;
                    current.set(context.server.clone());
                    say(&context);
                }
                Reload::Broken(error) if last_error.as_ref() == Some(&error) => {}
                Reload::Broken(error) => {
                    tracing::error!(
                        "TLS for clients: the new files cannot be used, and those before stay in force: {error}"
                    );
                    last_error = Some(error);
                }
            }
        }
    };
    std::thread::Builder::new().name("rk-certificates".into()).spawn(watch).map(drop)
}

fn port(config: &Config, current: Current, handshakes: Handshakes) -> TlsPort {
    let detection = config.tls.client.handshake_detection_timeout_ms;
    TlsPort {
        settings: Box::new(move || current.get()),
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

fn say(context: &TlsContext) {
    let own = &context.own;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let days = own.days_left(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    tracing::info!(
        "TLS for clients: the certificate of this server is {} (SHA-256 {}), valid for {days} more days",
        own.subject,
        own.fingerprint
    );
    for warning in &context.warnings {
        tracing::warn!("TLS for clients: {warning}");
    }
}

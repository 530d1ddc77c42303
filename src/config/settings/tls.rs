//! TLS for clients and between servers, as the keys `ssl.*` and `ssl.quorum.*` set it up.

use std::fmt;
use std::path::PathBuf;

use rustls::CipherSuite;
use zeroize::Zeroizing;

use super::Listen;
use crate::tls::names::Protocol;
use crate::tls::stores::StoreKind;

/// Which connections use TLS, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// For clients. Keys `ssl.*`.
    pub client: TlsSide,
    /// Between servers. Keys `ssl.quorum.*`.
    pub quorum: TlsSide,
    /// The address for clients with TLS. Default: none. Keys `secureClientPort` and `secureClientPortAddress`.
    pub secure_client: Option<Listen>,
    /// Whether the port for clients takes TLS too. Default: false. Key `client.portUnification`.
    pub client_port_unification: bool,
    /// Whether new certificates of the side for clients are taken without a restart. Default: false, as in ZooKeeper,
    /// which reads the key store for each connection anyway. Key `client.certReload`.
    pub client_cert_reload: bool,
    /// Whether this server connects to others with TLS, and lets them connect with TLS alone. Default: false. Key
    /// `sslQuorum`.
    pub quorum_uses_tls: bool,
    /// Whether others may connect with TLS and without it. Default: false. Key `portUnification`.
    pub quorum_port_unification: bool,
    /// Whether new certificates of the side between servers are taken without a restart. Default: false. Key
    /// `sslQuorumReloadCertFiles`.
    pub quorum_cert_reload: bool,
    /// The name of a certificate whose owner is the super user. Default: none. Key
    /// `X509AuthenticationProvider.superUser`.
    pub x509_super_user: Option<String>,
}

/// One side: for clients, or between servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSide {
    /// What the names of its keys begin with: `ssl.` or `ssl.quorum.`.
    pub prefix: &'static str,
    /// The private key and its certificates. Keys `keyStore.*`.
    pub key_store: Option<StoreAt>,
    /// The certificates of peers and of their issuers. Keys `trustStore.*`.
    pub trust_store: Option<StoreAt>,
    /// At least one. Default: 1.3 and 1.2. Keys `protocol` and `enabledProtocols`.
    // ZooKeeper: 3.9.4 takes 1.3 only from clients, 3.8 takes 1.2 only; with both, all of them meet.
    pub protocols: Vec<Protocol>,
    /// In the order of preference; `None`: all. Default: all. Key `ciphersuites`.
    pub cipher_suites: Option<Vec<CipherSuite>>,
    /// Whether a client must show a certificate. Default: need. Key `clientAuth`.
    pub client_auth: ClientAuth,
    /// Whether the certificate of a server must name the host of its `server.N` line. Default: true. Key
    /// `hostnameVerification`.
    pub hostname_verification: bool,
    /// Whether the certificate of a server that connects must name the host of a `server.N` line, or its own address;
    /// that of a client its own address. Default: true between servers; false for clients. Key
    /// `clientHostnameVerification`.
    pub client_hostname_verification: bool,
    /// The file of lists of revoked certificates. Default: none. Key `crl.location`, behind `ringkeeper.` and the
    /// prefix.
    pub revocation_lists: Option<PathBuf>,
    /// Whether a certificate is refused if no list tells about it. Default: false. Key `crl`.
    pub demands_revocation_list: bool,
    /// How long a connection may take to show whether it begins with TLS. Milliseconds. Default: 5000. Key
    /// `handshakeDetectionTimeoutMillis`.
    pub handshake_detection_timeout_ms: u32,
}

/// A store, and what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreAt {
    /// The file.
    pub path: PathBuf,
    /// Its form.
    pub kind: StoreKind,
    /// What opens it.
    pub password: Password,
}

/// A password, or where it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Password {
    /// None, which Java takes for an empty one.
    #[default]
    None,
    /// In the configuration.
    Given(Secret),
    /// In the first line of this file, which counts also if the configuration has a password.
    File(PathBuf),
}

/// A text that no output shows. Its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Hides a text.
    pub fn new(text: &str) -> Self {
        Secret(Zeroizing::new(text.to_owned()))
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ClientAuth {
    /// It is not asked for one.
    None,
    /// It is asked, and may have none; one that it shows must be trusted.
    Want,
    /// It must show one that is trusted.
    #[default]
    Need,
}

impl Tls {
    /// Whether a port for clients takes TLS.
    pub fn serves_clients(&self) -> bool {
        self.secure_client.is_some() || self.client_port_unification
    }

    /// Whether servers use TLS among themselves, if there are others.
    pub fn serves_servers(&self) -> bool {
        self.quorum_uses_tls || self.quorum_port_unification
    }
}

impl TlsSide {
    /// The defaults of the side for clients.
    pub fn of_clients() -> Self {
        Self::with_defaults("ssl.", false)
    }

    /// The defaults of the side between servers.
    pub fn of_servers() -> Self {
        Self::with_defaults("ssl.quorum.", true)
    }

    fn with_defaults(prefix: &'static str, client_hostname_verification: bool) -> Self {
        Self {
            prefix,
            key_store: None,
            trust_store: None,
            protocols: vec![Protocol::Tls13, Protocol::Tls12],
            cipher_suites: None,
            client_auth: ClientAuth::Need,
            hostname_verification: true,
            client_hostname_verification,
            revocation_lists: None,
            demands_revocation_list: false,
            handshake_detection_timeout_ms: 5000,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            client: TlsSide::of_clients(),
            quorum: TlsSide::of_servers(),
            secure_client: None,
            client_port_unification: false,
            client_cert_reload: false,
            quorum_uses_tls: false,
            quorum_port_unification: false,
            quorum_cert_reload: false,
            x509_super_user: None,
        }
    }
}

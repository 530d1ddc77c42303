//! Certificates that are made for one run: of an authority that both sides trust and nobody else, of the servers, and
//! of the clients.

use std::fmt::Display;
use std::fs;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

const AUTHORITY: &str = "authority.pem";
const SERVER: &str = "server.pem";
/// Tickets that clients keep. Each connection takes one and gets one or two, so a few are enough.
const TICKETS_KEPT: usize = 256;

/// The files of the servers, and the two configurations of their clients: TLS 1.3 with X25519 and AES-256-GCM alone, so
/// that all servers do the same work; keys on P-256. The folder disappears when this is dropped.
#[derive(Debug)]
pub struct Keys {
    folder: TempDir,
    /// Clients whose handshakes are whole.
    pub client: Arc<ClientConfig>,
    /// Clients that take up earlier TLS sessions where the server lets them.
    pub resuming: Arc<ClientConfig>,
}

impl Keys {
    /// Makes keys and certificates.
    ///
    /// # Errors
    /// There is no folder for temporary files, or no randomness.
    pub fn make() -> Result<Keys, String> {
        let folder = tempfile::tempdir().map_err(explain)?;
        let write =
            |name: &str, text: String| fs::write(folder.path().join(name), text).map_err(explain);
        let mut params = CertificateParams::default();
        params.distinguished_name = named("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(explain)?;
        let authority = CertifiedIssuer::self_signed(params, key).map_err(explain)?;
        write(AUTHORITY, authority.pem())?;
        let (key, certificate) = leaf("server", &authority)?;
        write(SERVER, format!("{}{}", key.serialize_pem(), certificate.pem()))?;

        let (key, certificate) = leaf("client", &authority)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).map_err(explain)?;
        let mut client = client(roots, certificate.der().clone(), &key)?;
        client.resumption = Resumption::disabled();
        let mut resuming = client.clone();
        resuming.resumption = Resumption::in_memory_sessions(TICKETS_KEPT);
        Ok(Keys { folder, client: Arc::new(client), resuming: Arc::new(resuming) })
    }

    /// The lines of a server's configuration that name the files.
    pub fn lines(&self) -> [String; 2] {
        [("keyStore", SERVER), ("trustStore", AUTHORITY)].map(|(store, file)| {
            format!("ssl.{store}.location={}", self.folder.path().join(file).display())
        })
    }
}

fn client(
    roots: RootCertStore,
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> Result<ClientConfig, String> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![cipher_suite::TLS13_AES_256_GCM_SHA384];
    provider.kx_groups = vec![kx_group::X25519];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(explain)?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(explain)
}

/// A key, and a certificate for a program on this machine.
fn leaf(
    name: &str,
    authority: &CertifiedIssuer<'static, KeyPair>,
) -> Result<(KeyPair, rcgen::Certificate), String> {
    let key = KeyPair::generate().map_err(explain)?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).map_err(explain)?;
    params.distinguished_name = named(name);
    let certificate = params.signed_by(&key, authority).map_err(explain)?;
    Ok((key, certificate))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, format!("ringkeeper-bench {name}"));
    distinguished
}

fn explain(error: impl Display) -> String {
    format!("making certificates: {error}")
}

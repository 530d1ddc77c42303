//! From settings and files to configurations of rustls, and again when the files change.
//!
//! Reading is separate from building, so that a broken file never replaces a good configuration: [`TlsContext::reload`]
//! returns a whole new context or an error. An error is a sentence that names the key, the file and the way out; none
//! holds a password.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::certificate::Certificate;
use super::names::Protocol;
use super::revocation::{ListInUse, Revocations};
use super::stores::{self, KeyEntry};
use super::verify::{OfClients, OfServers, Trust};
use super::x500;
use crate::config::{ClientAuth, Password, StoreAt, TlsSide};
use crate::limits::{PASSWORD_FILE_BYTES_MAX, REVOCATION_BYTES_MAX, STORE_BYTES_MAX};
use crate::runtime::open_regular;

/// What the two ends of TLS need: one for clients, one for servers among themselves.
#[derive(Debug, Clone)]
pub struct TlsContext {
    /// For connections that this server accepts.
    pub server: Arc<ServerConfig>,
    /// For connections that it makes; `None` without a trust store.
    pub client: Option<Arc<ClientConfig>>,
    /// This server's own certificate.
    pub own: OwnCertificate,
    /// The lists of revoked certificates that are asked.
    pub lists: Vec<ListInUse>,
    /// What deserves a warning, as sentences.
    pub warnings: Vec<String>,
    /// Whose certificates `server` accepts.
    trust: Option<Arc<Trust>>,
    /// SHA-256 of what was read.
    content: [u8; 32],
    /// The same of what was read later and could not be used.
    refused: Option<[u8; 32]>,
}

/// What a line of the log says about a certificate of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCertificate {
    /// SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` writes it.
    pub fingerprint: String,
    /// See [`x500::rfc2253`].
    pub subject: String,
    /// The last second in which it is valid, since 1970.
    pub not_after: i64,
}

impl OwnCertificate {
    fn of(bytes: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::parse(bytes).ok()?;
        let digits: Vec<String> =
            Sha256::digest(bytes).iter().map(|it| format!("{it:02X}")).collect();
        Some(Self {
            fingerprint: digits.join(":"),
            subject: x500::rfc2253(certificate.subject).ok()?,
            not_after: certificate.not_after,
        })
    }

    /// Whole days until it expires; negative once it has. `now`: seconds since 1970.
    pub fn days_left(&self, now: i64) -> i64 {
        (self.not_after - now).div_euclid(86_400)
    }
}

/// What became of files that were read again.
#[derive(Debug)]
pub enum Reload {
    /// They hold what they held when they were read the last time.
    Same,
    /// They make a new context, for new connections.
    Changed(Box<TlsContext>),
    /// They cannot be used; the old context stays.
    Broken(TlsError),
}

/// Why there is no TLS: a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsError {
    /// The key that names the file, or that has to be set.
    pub key: String,
    /// The file, if it is about one.
    pub path: Option<PathBuf>,
    /// What is wrong and what to do.
    pub problem: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: {}: {}", self.key, path.display(), self.problem),
            None => write!(f, "{}: {}", self.key, self.problem),
        }
    }
}

impl std::error::Error for TlsError {}

impl TlsContext {
    /// Reads the stores of one side and builds its context.
    pub fn load(side: &TlsSide) -> Result<TlsContext, TlsError> {
        let files = Files::read(side)?;
        TlsContext::build(side, files)
    }

    /// Reads the stores again. Deriving the key of a password takes long, so what could not be used is not tried again.
    pub fn reload(&mut self, side: &TlsSide) -> Reload {
        let files = match Files::read(side) {
            Ok(files) => files,
            Err(error) => return Reload::Broken(error),
        };
        let content = files.content();
        if content == self.content {
            // A later mistake with the same content is worth another line.
            self.refused = None;
            return Reload::Same;
        }
        if self.refused == Some(content) {
            return Reload::Same;
        }
        match TlsContext::build(side, files) {
            Ok(context) => Reload::Changed(Box::new(context)),
            Err(error) => {
                self.refused = Some(content);
                Reload::Broken(error)
            }
        }
    }

    /// Checks the certificate of a client, with those of its issuers behind it, as a handshake does that begins now.
    ///
    /// # Errors
    /// The reason, for the log.
    pub fn check_client(&self, shown: &[CertificateDer<'_>]) -> Result<(), String> {
        let (Some(trust), Some((own, issuers))) = (&self.trust, shown.split_first()) else {
            return Err("no certificate is trusted".to_owned());
        };
        trust.check_client(own, issuers, UnixTime::now()).map_err(|error| error.to_string())
    }

    fn build(side: &TlsSide, files: Files) -> Result<TlsContext, TlsError> {
        let content = files.content();
        let mut warnings = Vec::new();
        let provider = Arc::new(provider(side));
        let (key_at, key_bytes) = &files.key;
        let entry = stores::key_entry(&key_bytes.store, key_at.kind, &key_bytes.password)
            .map_err(|problem| side.about_key(&key_at.path, problem))?;
        if entry.others > 0 {
            warnings.push(format!(
                "{}: it holds {} further private keys, which are not used",
                key_at.path.display(),
                entry.others
            ));
        }
        let own = OwnCertificate::of(&entry.chain[0])
            .ok_or_else(|| side.about_key(&key_at.path, "its certificate cannot be read"))?;
        let certified = Arc::new(certified(side, key_at, entry, &provider)?);
        let trust = match &files.trust {
            Some((at, bytes)) => {
                let lists = files.lists.as_ref().map(|(path, lists)| (&**path, &lists[..]));
                Some(Arc::new(trust(side, (at, bytes), lists, &provider)?))
            }
            None => None,
        };
        warnings.extend(trust.iter().flat_map(|trust| trust.remarks()));
        let lists = trust.as_ref().map(|trust| trust.lists()).unwrap_or_default();
        let server = server(side, &provider, &certified, trust.as_ref(), &mut warnings)?;
        let of_server = trust.clone();
        let client = trust.map(|trust| client(side, &provider, certified, trust)).transpose()?;
        Ok(TlsContext {
            server: Arc::new(server),
            client: client.map(Arc::new),
            own,
            lists,
            warnings,
            trust: of_server,
            content,
            refused: None,
        })
    }
}

fn trust(
    side: &TlsSide,
    (at, bytes): (&StoreAt, &Bytes),
    lists: Option<(&Path, &[u8])>,
    provider: &CryptoProvider,
) -> Result<Trust, TlsError> {
    let certificates = stores::trusted(&bytes.store, at.kind, &bytes.password)
        .map_err(|problem| side.about_trust(&at.path, problem))?;
    let revocations = match lists {
        None => None,
        Some((path, lists)) => {
            let algorithms = &provider.signature_verification_algorithms;
            let read =
                Revocations::read(lists, &certificates, algorithms, side.demands_revocation_list);
            Some(read.map_err(|clause| side.about_lists(path, clause))?)
        }
    };
    Trust::new(certificates, provider, revocations).map_err(|index| {
        side.about_trust(&at.path, format_args!("its certificate {} cannot be read", index + 1))
    })
}

/// The key with its certificates, if they belong together.
fn certified(
    side: &TlsSide,
    at: &StoreAt,
    entry: KeyEntry,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let leaf = Certificate::parse(&entry.chain[0])
        .map_err(|_| side.about_key(&at.path, "its certificate cannot be read"))?;
    let key = provider.key_provider.load_private_key(entry.key).map_err(|_| {
        side.about_key(
            &at.path,
            "its private key is none that TLS uses here; RSA from 2048 bits, ECDSA on P-256, P-384 or P-521, and \
             Ed25519 are",
        )
    })?;
    // A key whose public half is not known is not compared.
    if key.public_key().is_some_and(|public| public.as_ref() != leaf.key) {
        return Err(side.about_key(
            &at.path,
            "its first certificate is not that of its private key; put the key's own certificate first",
        ));
    }
    Ok(CertifiedKey::new(entry.chain, key))
}

fn server(
    side: &TlsSide,
    provider: &Arc<CryptoProvider>,
    certified: &Arc<CertifiedKey>,
    trust: Option<&Arc<Trust>>,
    warnings: &mut Vec<String>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(side, provider))
        .map_err(|_| side.about_suites())?;
    let builder = match (side.client_auth, trust) {
        (ClientAuth::None, _) => builder.with_no_client_auth(),
        (ClientAuth::Need, Some(trust)) => {
            builder.with_client_cert_verifier(Arc::new(OfClients::new(trust.clone(), true)))
        }
        (ClientAuth::Want, Some(trust)) => {
            builder.with_client_cert_verifier(Arc::new(OfClients::new(trust.clone(), false)))
        }
        (ClientAuth::Want, None) => {
            warnings.push(format!(
                "{}trustStore.location is not set, so clients are not asked for certificates",
                side.prefix
            ));
            builder.with_no_client_auth()
        }
        (ClientAuth::Need, None) => {
            return Err(side.error(
                "trustStore.location",
                "it is not set, and clients must show a certificate that it trusts; set it, or \
                 set clientAuth to none",
            ));
        }
    };
    let resolver = Arc::new(SingleCertAndKey::from(certified.clone()));
    let mut config = builder.with_cert_resolver(resolver);
    // Java: useCipherSuitesOrder, which is on.
    config.ignore_client_order = side.cipher_suites.is_some();
    if side.is_between_servers() {
        // Every link shows its certificate, so that one that is not trusted any more is refused from then on.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        // The clients keep their sessions, in tickets under keys of this configuration: after a break of the network any
        // number of them comes back without whole handshakes (a cache here would hold 256 sessions), and after new
        // files none does.
        config.ticketer = Ticketer::new().map_err(|error| {
            side.error("keyStore.location", format!("no keys for TLS sessions: {error}"))
        })?;
    }
    Ok(config)
}

fn client(
    side: &TlsSide,
    provider: &Arc<CryptoProvider>,
    certified: Arc<CertifiedKey>,
    trust: Arc<Trust>,
) -> Result<ClientConfig, TlsError> {
    let verifier = OfServers::new(trust, side.hostname_verification);
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(side, provider))
        .map_err(|_| side.about_suites())?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    let mut config = builder.with_client_cert_resolver(resolver);
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// rustls' provider with the configured suites, in their order.
fn provider(side: &TlsSide) -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if let Some(chosen) = &side.cipher_suites {
        let all = std::mem::take(&mut provider.cipher_suites);
        let of = |suite| all.iter().find(|it| it.suite() == suite).copied();
        provider.cipher_suites = chosen.iter().filter_map(|suite| of(*suite)).collect();
    }
    provider
}

/// The configured versions for which a suite is left: a version without suites would be negotiated and then fail.
fn versions(side: &TlsSide, provider: &CryptoProvider) -> Vec<&'static SupportedProtocolVersion> {
    let has_suite = |version: &&'static SupportedProtocolVersion| {
        provider.cipher_suites.iter().any(|suite| suite.version() == *version)
    };
    let of = |protocol: &Protocol| match protocol {
        Protocol::Tls12 => &rustls::version::TLS12,
        Protocol::Tls13 => &rustls::version::TLS13,
    };
    side.protocols.iter().map(of).filter(has_suite).collect()
}

/// What was read for one side.
struct Files {
    key: (StoreAt, Bytes),
    trust: Option<(StoreAt, Bytes)>,
    lists: Option<(PathBuf, Zeroizing<Vec<u8>>)>,
}

struct Bytes {
    store: Zeroizing<Vec<u8>>,
    password: Zeroizing<String>,
}

impl Files {
    fn read(side: &TlsSide) -> Result<Files, TlsError> {
        let Some(at) = &side.key_store else {
            return Err(side.error(
                "keyStore.location",
                "it is not set, and a server needs a certificate for TLS; name the file with key and certificate",
            ));
        };
        let key = (at.clone(), Files::of(side, at, "keyStore")?);
        let trust = match &side.trust_store {
            Some(at) => Some((at.clone(), Files::of(side, at, "trustStore")?)),
            None => None,
        };
        let lists = match &side.revocation_lists {
            None => None,
            Some(path) => {
                let unread =
                    |error| side.about_lists(path, format_args!("it cannot be read: {error}"));
                let bytes = read(path, REVOCATION_BYTES_MAX).map_err(unread)?;
                Some((path.clone(), bytes))
            }
        };
        Ok(Files { key, trust, lists })
    }

    fn of(side: &TlsSide, at: &StoreAt, store: &str) -> Result<Bytes, TlsError> {
        let unread = |name: &str, path: &Path, error: &io::Error| TlsError {
            key: format!("{}{store}.{name}", side.prefix),
            path: Some(path.to_owned()),
            problem: format!("it cannot be read: {error}"),
        };
        let bytes =
            read(&at.path, STORE_BYTES_MAX).map_err(|e| unread("location", &at.path, &e))?;
        let password = match &at.password {
            Password::None => Zeroizing::default(),
            Password::Given(secret) => Zeroizing::new(secret.reveal().to_owned()),
            Password::File(path) => {
                let bytes = read(path, PASSWORD_FILE_BYTES_MAX)
                    .map_err(|error| unread("passwordPath", path, &error))?;
                first_line(&bytes)
            }
        };
        Ok(Bytes { store: bytes, password })
    }

    fn content(&self) -> [u8; 32] {
        let stores = std::iter::once(&self.key).chain(&self.trust);
        let parts = stores.flat_map(|(_, bytes)| [&bytes.store[..], bytes.password.as_bytes()]);
        let lists = self.lists.iter().map(|(_, bytes)| &bytes[..]);
        let mut hash = Sha256::new();
        for part in parts.chain(lists) {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// A file whose size is bounded.
fn read(path: &Path, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    open_regular(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        let text = format!("it has more than {bytes_max} bytes, so it is not what the key says");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// A password out of its file. Only the line counts, without its end.
// ZooKeeper: SecretUtils.readSecret takes the whole file, without one line separator at its end.
fn first_line(bytes: &[u8]) -> Zeroizing<String> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Zeroizing::new(String::from_utf8_lossy(line).into_owned())
}

impl TlsSide {
    fn is_between_servers(&self) -> bool {
        *self.prefix == *TlsSide::of_servers().prefix
    }

    fn error(&self, suffix: &str, problem: impl fmt::Display) -> TlsError {
        TlsError {
            key: format!("{}{suffix}", self.prefix),
            path: None,
            problem: problem.to_string(),
        }
    }

    fn about_key(&self, path: &Path, problem: impl fmt::Display) -> TlsError {
        TlsError { path: Some(path.to_owned()), ..self.error("keyStore.location", problem) }
    }

    fn about_trust(&self, path: &Path, problem: impl fmt::Display) -> TlsError {
        TlsError { path: Some(path.to_owned()), ..self.error("trustStore.location", problem) }
    }

    fn about_lists(&self, path: &Path, problem: impl fmt::Display) -> TlsError {
        let key = format!("ringkeeper.{}crl.location", self.prefix);
        TlsError { key, path: Some(path.to_owned()), problem: problem.to_string() }
    }

    fn about_suites(&self) -> TlsError {
        self.error(
            "ciphersuites",
            "none of the suites fits one of the protocols; name a suite for each protocol",
        )
    }
}

#[cfg(test)]
mod revocation_tests;
#[cfg(test)]
mod tests;

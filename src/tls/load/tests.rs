//! Whole handshakes in memory, between the configurations that stores make.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind, ServerConnection, SignatureScheme};
use tempfile::TempDir;

use super::*;
use crate::config::Secret;
use crate::tls::names::{self, Protocol};
use crate::tls::stores::StoreKind;

pub(super) const HOST: &str = "zk1.example.com";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tls").join(name)
}

fn store(path: PathBuf) -> StoreAt {
    let kind = StoreKind::of("", &path).unwrap();
    StoreAt { path, kind, password: Password::Given(Secret::new("changeit")) }
}

pub(super) fn side(key: PathBuf, trust: PathBuf) -> TlsSide {
    TlsSide {
        key_store: Some(store(key)),
        trust_store: Some(store(trust)),
        ..TlsSide::of_servers()
    }
}

/// An authority, and a folder for the files that it issues.
pub(super) struct Authority {
    pub issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    pub folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("trust.pem"), &pem).unwrap();
        Self { issuer: Issuer::new(params, key), pem, folder }
    }

    pub fn trust(&self) -> PathBuf {
        self.folder.path().join("trust.pem")
    }

    /// Issues a certificate for [`HOST`] with a change, as a PEM file of this name.
    pub fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> PathBuf {
        let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = self.folder.path().join(format!("{name}.pem"));
        fs::write(&path, certificate.pem() + &key.serialize_pem()).unwrap();
        path
    }

    pub fn side(&self, key: PathBuf) -> TlsSide {
        side(key, self.trust())
    }
}

/// A client without a certificate.
#[derive(Debug)]
struct Nothing;

impl ResolvesClientCert for Nothing {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// The chain that the server has seen, or what one of the two says.
pub(super) fn handshake(
    client: &TlsContext,
    server: &TlsContext,
    host: &str,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let (_, server) = connected(client, server, host)?;
    Ok(server.peer_certificates().unwrap_or_default().to_vec())
}

/// Both ends after a handshake, or what one of the two says.
fn connected(
    client: &TlsContext,
    server: &TlsContext,
    host: &str,
) -> Result<(ClientConnection, ServerConnection), String> {
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.client.clone().unwrap(), name).unwrap();
    let mut server = ServerConnection::new(server.server.clone()).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..10 {
        bytes.clear();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().map_err(|error| format!("client: {error}"))?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

pub(super) fn load(side: &TlsSide) -> TlsContext {
    TlsContext::load(side).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_stores_of_keytool_make_two_ends_that_trust_each_other() {
    for (key, trust) in [
        ("keytool.p12", "trust_keytool.jks"),
        ("keytool.jks", "trust_keytool.p12"),
        ("pbes2.pem", "cert_ec.pem"),
        ("openssl.p12", "trust_openssl.p12"),
    ] {
        let context = load(&side(golden(key), golden(trust)));
        let seen = handshake(&context, &context, HOST).unwrap();
        assert_eq!(seen.len(), 1, "{key}");
        let subject = Certificate::parse(&seen[0]).unwrap().subject;
        let name = "CN=zk1.example.com,OU=Ring,O=Keeper,C=DE";
        assert_eq!(x500::rfc2253(subject).unwrap(), name);
        assert_eq!(context.own.subject, name);
        assert_eq!(context.own.fingerprint.len(), 32 * 3 - 1);
        assert_eq!(context.own.days_left(context.own.not_after - 86_400), 1);
        assert_eq!(context.own.days_left(context.own.not_after + 1), -1);
    }
}

#[test]
fn a_client_shows_a_certificate_if_it_must_or_may() {
    let authority = Authority::new();
    let key = authority.issue("server", |_| {});
    let mut side = authority.side(key);
    let with = load(&side);
    let mut without = with.clone();
    let mut config = ClientConfig::clone(without.client.as_ref().unwrap());
    config.client_auth_cert_resolver = Arc::new(Nothing);
    without.client = Some(Arc::new(config));
    for (client_auth, shown, allowed) in
        [(ClientAuth::Need, 1, false), (ClientAuth::Want, 1, true), (ClientAuth::None, 0, true)]
    {
        side.client_auth = client_auth;
        let server = load(&side);
        assert_eq!(handshake(&with, &server, HOST).unwrap().len(), shown, "{client_auth:?}");
        assert_eq!(handshake(&without, &server, HOST).is_ok(), allowed, "{client_auth:?}");
    }
}

#[test]
fn a_certificate_is_refused_for_what_is_wrong_with_it() {
    let authority = Authority::new();
    let good = load(&authority.side(authority.issue("good", |_| {})));
    let refused = |path: PathBuf, word: &str| {
        let bad = load(&authority.side(path));
        let error = handshake(&bad, &good, HOST).unwrap_err();
        assert!(error.starts_with("server: ") && error.contains(word), "{word}: {error}");
    };
    refused(authority.issue("expired", |it| it.not_after = date_time_ymd(2020, 1, 1)), "expired");
    refused(
        authority.issue("early", |it| it.not_before = date_time_ymd(2200, 1, 1)),
        "not valid yet",
    );
    let purpose = |it: &mut CertificateParams| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    refused(authority.issue("purpose", purpose), "InvalidPurpose");
    let usage = |it: &mut CertificateParams| it.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    refused(authority.issue("usage", usage), "digitalSignature");
    let any = |it: &mut CertificateParams| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
        it.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    };
    let any = load(&authority.side(authority.issue("any", any)));
    handshake(&any, &good, HOST).unwrap();
    // Another authority of the same name, and of another.
    let other = Authority::new();
    let stranger = load(&side(other.issue("stranger", |_| {}), authority.trust()));
    let error = handshake(&stranger, &good, HOST).unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    let error = handshake(&good, &good, "zk9.example.com").unwrap_err();
    assert!(error.starts_with("client: ") && error.contains("not valid for"), "{error}");
    let mut nameless = authority.side(authority.issue("nameless", |_| {}));
    nameless.hostname_verification = false;
    handshake(&load(&nameless), &good, "zk9.example.com").unwrap();
}

#[test]
fn the_owner_of_a_trusted_certificate_cannot_issue_others() {
    let authority = Authority::new();
    let pinned = authority.issue("pinned", |_| {});
    let key = KeyPair::from_pem(
        fs::read_to_string(&pinned)
            .unwrap()
            .split_inclusive("-----END CERTIFICATE-----")
            .nth(1)
            .unwrap(),
    )
    .unwrap();
    let mut named = CertificateParams::new([HOST.to_owned()]).unwrap();
    named.distinguished_name.push(DnType::CommonName, "pinned");
    let forger = Issuer::new(named, key);
    let mut params = CertificateParams::new([HOST.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "forged");
    let key = KeyPair::generate().unwrap();
    let forged = params.signed_by(&key, &forger).unwrap().pem() + &key.serialize_pem();
    let path = authority.folder.path().join("forged.pem");
    fs::write(&path, forged).unwrap();
    // Only the one certificate is trusted, not its issuer.
    let server = load(&side(pinned.clone(), pinned.clone()));
    handshake(&server, &server, HOST).unwrap();
    let error = handshake(&load(&side(path, pinned)), &server, HOST).unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
}

#[test]
fn certificates_of_version_1_and_of_authorities_are_taken_as_java_takes_them() {
    // The golden key issued a certificate of version 1 for another key.
    let old = load(&TlsSide {
        hostname_verification: false,
        ..side(golden("pkcs1_version1.pem"), golden("cert_ec.pem"))
    });
    for protocol in [Protocol::Tls12, Protocol::Tls13] {
        let trust = TlsSide {
            protocols: vec![protocol],
            hostname_verification: false,
            ..side(golden("pkcs8.pem"), golden("trust_keytool.p12"))
        };
        let server = load(&trust);
        let seen = handshake(&old, &server, HOST).unwrap();
        let leaf = Certificate::parse(&seen[0]).unwrap();
        assert_eq!(leaf.version, 1);
        assert_eq!(
            x500::rfc2253(leaf.subject).unwrap(),
            "1.2.840.113549.1.9.1=#16056140622e63,CN=zk2.example.com"
        );
        // It serves with it too.
        handshake(&server, &old, HOST).unwrap();
    }
    let authority = Authority::new();
    let leaf = |it: &mut CertificateParams| it.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let good = load(&authority.side(authority.issue("good", |_| {})));
    let issued = load(&authority.side(authority.issue("issued", leaf)));
    handshake(&issued, &good, HOST).unwrap();
    let other = Authority::new();
    let strange = load(&side(other.issue("strange", leaf), authority.trust()));
    // Its issuer has the right name and another key.
    let error = handshake(&strange, &good, HOST).unwrap_err();
    assert!(error.contains("BadSignature"), "{error}");
    let golden = load(&TlsSide {
        hostname_verification: false,
        ..side(golden("keytool.p12"), authority.trust())
    });
    let error = handshake(&golden, &good, HOST).unwrap_err();
    assert!(error.contains("CA:TRUE"), "{error}");
}

#[test]
fn protocols_and_suites_are_those_of_the_settings() {
    let authority = Authority::new();
    let mut side = authority.side(authority.issue("server", |_| {}));
    let both = load(&side);
    side.protocols = vec![Protocol::Tls12];
    let old = load(&side);
    side.protocols = vec![Protocol::Tls13];
    let new = load(&side);
    handshake(&old, &both, HOST).unwrap();
    handshake(&new, &both, HOST).unwrap();
    assert!(handshake(&old, &new, HOST).is_err());
    let suites = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"];
    side.cipher_suites = Some(names::cipher_suites(suites.into_iter()).unwrap().usable);
    let error = TlsContext::load(&side).unwrap_err();
    assert_eq!(error.key, "ssl.quorum.ciphersuites");
    // A version without a suite is not offered.
    side.protocols = vec![Protocol::Tls13, Protocol::Tls12];
    let limited = load(&side);
    handshake(&both, &limited, HOST).unwrap();
    assert!(handshake(&new, &limited, HOST).is_err());
}

#[test]
fn new_files_make_a_new_context_and_broken_ones_leave_the_old() {
    let authority = Authority::new();
    let key = authority.issue("server", |_| {});
    let side = authority.side(key.clone());
    let mut first = load(&side);
    assert!(matches!(first.reload(&side), Reload::Same));
    let whole = fs::read(&key).unwrap();
    fs::write(&key, &whole[..whole.len() / 2]).unwrap();
    let Reload::Broken(error) = first.reload(&side) else { panic!("half a file was taken") };
    assert!(error.to_string().starts_with("ssl.quorum.keyStore.location: "), "{error}");
    assert!(matches!(first.reload(&side), Reload::Same), "it is built again");
    authority.issue("server", |it| it.distinguished_name.push(DnType::OrganizationName, "new"));
    let Reload::Changed(mut second) = first.reload(&side) else {
        panic!("a new file was not taken")
    };
    assert!(second.own.subject.starts_with("O=new") || second.own.subject.contains(",O=new"));
    assert_ne!(first.own.fingerprint, second.own.fingerprint);
    handshake(&first, &second, HOST).unwrap();
    // An addition to the trust store changes no certificate, and counts.
    fs::write(authority.trust(), authority.pem.clone() + &Authority::new().pem).unwrap();
    assert!(matches!(second.reload(&side), Reload::Changed(_)));
    fs::remove_file(authority.trust()).unwrap();
    let Reload::Broken(error) = second.reload(&side) else { panic!("no file is no store") };
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn any_number_of_clients_take_up_their_sessions_until_there_are_new_files() {
    let authority = Authority::new();
    let key = authority.issue("server", |_| {});
    let side = TlsSide { prefix: TlsSide::of_clients().prefix, ..authority.side(key.clone()) };
    let mut server = load(&side);
    // Each keeps its own sessions, as programs do that share nothing.
    let mut clients: Vec<TlsContext> = (0..300).map(|_| server.clone()).collect();
    for client in &mut clients {
        let mut config = ClientConfig::clone(client.client.as_ref().unwrap());
        config.resumption = Resumption::in_memory_sessions(8);
        client.client = Some(Arc::new(config));
    }
    let kinds = |server: &TlsContext| -> Vec<HandshakeKind> {
        let of = |client| connected(client, server, HOST).unwrap().1.handshake_kind().unwrap();
        clients.iter().map(of).collect()
    };
    let all = |of: Vec<HandshakeKind>, kind| of.iter().all(|it| *it == kind);
    assert!(all(kinds(&server), HandshakeKind::Full));
    assert!(all(kinds(&server), HandshakeKind::Resumed));
    // Who they are is known without a certificate on the wire.
    let (_, resumed) = connected(&clients[0], &server, HOST).unwrap();
    assert_eq!(resumed.peer_certificates().unwrap().len(), 1);
    authority.issue("server", |_| {});
    let Reload::Changed(second) = server.reload(&side) else { panic!("a new file was not taken") };
    assert!(all(kinds(&second), HandshakeKind::Full));
}

#[test]
fn a_password_is_the_first_line_of_its_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("password");
    for (text, opens) in [
        ("changeit\n", true),
        ("changeit", true),
        ("changeit\r\nnote\n", true),
        ("change\n", false),
    ] {
        fs::write(&path, text).unwrap();
        let mut side = side(golden("keytool.p12"), golden("cert_ec.pem"));
        side.key_store.as_mut().unwrap().password = Password::File(path.clone());
        assert_eq!(TlsContext::load(&side).is_ok(), opens, "{text:?}");
    }
}

#[test]
fn what_is_missing_or_does_not_fit_is_said() {
    let said = |side: &TlsSide| TlsContext::load(side).unwrap_err().to_string();
    let mut none = TlsSide::of_clients();
    assert!(said(&none).starts_with("ssl.keyStore.location: it is not set"));
    none.key_store = Some(store(golden("keytool.p12")));
    assert!(said(&none).starts_with("ssl.trustStore.location: it is not set"));
    none.client_auth = ClientAuth::Want;
    let context = load(&none);
    assert!(context.client.is_none() && context.warnings.len() == 1);
    let folder = TempDir::new().unwrap();
    let mixed = folder.path().join("mixed.pem");
    let key = fs::read_to_string(golden("pkcs1_version1.pem")).unwrap();
    let key = key.split_inclusive("-----END RSA PRIVATE KEY-----").next().unwrap().to_owned();
    fs::write(&mixed, key + "\n" + &fs::read_to_string(golden("cert_ec.pem")).unwrap()).unwrap();
    let error = said(&side(mixed, golden("cert_ec.pem")));
    assert!(error.contains("not that of its private key"), "{error}");
    let large = folder.path().join("large.pem");
    fs::write(&large, vec![b'x'; usize::try_from(STORE_BYTES_MAX).unwrap() + 1]).unwrap();
    let error = said(&side(large, golden("cert_ec.pem")));
    assert!(error.contains("more than"), "{error}");
    let error = said(&side(golden("no_such.pem"), golden("cert_ec.pem")));
    assert!(error.contains("no_such.pem: it cannot be read"), "{error}");
}

#[test]
fn a_certificate_that_was_shown_earlier_is_checked_as_if_it_were_shown_now() {
    use rustls::pki_types::pem::PemObject as _;

    let authority = Authority::new();
    let own = authority.issue("server", |_| {});
    let context = TlsContext::load(&authority.side(own)).unwrap();
    let shown = |path: PathBuf| [CertificateDer::from_pem_file(path).unwrap()];
    let good = shown(authority.issue("good", |_| {}));
    assert_eq!(context.check_client(&good), Ok(()));
    let past = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let why = context.check_client(&shown(authority.issue("old", past))).unwrap_err();
    assert!(why.contains("expired"), "{why}");
    let strangers = Authority::new();
    assert!(context.check_client(&shown(strangers.issue("a stranger", |_| {}))).is_err());
    assert!(context.check_client(&[]).is_err());
}

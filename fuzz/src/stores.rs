//! Key stores and trust stores, and the certificates in them.

use std::sync::OnceLock;

use ringkeeper::tls::certificate::Certificate;
use ringkeeper::tls::hostname::Names;
use ringkeeper::tls::revocation::Revocations;
use ringkeeper::tls::stores::{StoreKind, key_entry, trusted};
use ringkeeper::tls::verify::Trust;
use ringkeeper::tls::x500::{common_names, rfc2253};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use sha1::{Digest, Sha1};

/// The password of the stores in `tests/golden/tls`.
const PASSWORD: &str = "changeit";

/// The first byte chooses the form: PEM, PKCS#12, JKS, or a single certificate. What follows is the file; that of JKS
/// is without the hash at its end, which no fuzzer finds.
pub fn run(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    match choice % 4 {
        0 => {
            store(data, StoreKind::Pem);
            lists(data);
        }
        1 => store(data, StoreKind::Pkcs12),
        2 => store(&hashed(data), StoreKind::Jks),
        _ => {
            certificate(data);
            lists(data);
        }
    }
}

fn store(data: &[u8], kind: StoreKind) {
    match key_entry(data, kind, PASSWORD) {
        Ok(entry) => {
            assert!(!entry.chain.is_empty(), "a key without a certificate");
            assert!(!format!("{entry:?}").contains(PASSWORD), "a password is shown");
            entry.chain.iter().for_each(|it| certificate(it));
            // A key that is none must be an error of the provider.
            let _ = provider().key_provider.load_private_key(entry.key);
        }
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
    match trusted(data, kind, PASSWORD) {
        Ok(found) => {
            assert!(!found.is_empty(), "a trust store without a certificate");
            found.iter().for_each(|it| certificate(it));
            let _ = Trust::new(found, provider(), None);
        }
        Err(problem) => assert!(!problem.to_string().is_empty()),
    }
}

/// Lists of revoked certificates, of which those that are read say who has issued them.
fn lists(data: &[u8]) {
    let algorithms = &provider().signature_verification_algorithms;
    match Revocations::read(data, &[], algorithms, false) {
        Ok(lists) => assert!(!lists.in_use().is_empty(), "a file of lists without one"),
        Err(clause) => assert!(!clause.is_empty(), "there is a reason"),
    }
}

fn certificate(data: &[u8]) {
    let Ok(read) = Certificate::parse(data) else { return };
    let _ = read.key_parts();
    if let Ok(name) = rfc2253(read.subject) {
        assert!(!name.ends_with(','), "{name:?} lacks its last part");
    }
    let _ = common_names(read.subject);
    if let Ok(names) = Names::of(data) {
        assert!(!names.include("not.a host"), "{:?}", names.shown());
    }
}

/// A JKS file with the hash that its password demands.
fn hashed(body: &[u8]) -> Vec<u8> {
    let password: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let hash =
        Sha1::new().chain_update(password).chain_update(b"Mighty Aphrodite").chain_update(body);
    [body, &hash.finalize()[..]].concat()
}

fn provider() -> &'static CryptoProvider {
    static PROVIDER: OnceLock<CryptoProvider> = OnceLock::new();
    PROVIDER.get_or_init(default_provider)
}

/// Seeds: what `keytool` and OpenSSL wrote.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    macro_rules! golden {
        ($choice:literal, $name:literal) => {
            ($choice, $name, &include_bytes!(concat!("../../tests/golden/tls/", $name))[..])
        };
    }
    [
        golden!(0, "pkcs8.pem"),
        golden!(0, "sec1.pem"),
        golden!(0, "pbes2.pem"),
        golden!(0, "pbes1_3des.pem"),
        golden!(0, "pkcs1_version1.pem"),
        golden!(1, "keytool.p12"),
        golden!(1, "keytool_legacy.p12"),
        golden!(1, "openssl_open.p12"),
        golden!(1, "trust_keytool.p12"),
        golden!(2, "keytool.jks"),
        golden!(2, "trust_keytool.jks"),
        golden!(3, "ec.der"),
        golden!(3, "rsa_version1.der"),
        golden!(0, "revoked.pem"),
        golden!(0, "revoked_version1.pem"),
        golden!(3, "revoked.der"),
    ]
    .into_iter()
    .map(|(choice, name, bytes)| {
        let hash = if choice == 2 { 20 } else { 0 };
        (name.to_owned(), [&[choice], &bytes[..bytes.len() - hash]].concat())
    })
    .collect()
}

//! Stores that keytool and openssl wrote, and what becomes of damaged ones.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::tls::certificate::Certificate;

const PASSWORD: &str = "changeit";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tls")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

fn kind(name: &str) -> StoreKind {
    StoreKind::of("", Path::new(name)).unwrap()
}

fn entry(name: &str, password: &str) -> Result<KeyEntry, StoreProblem> {
    key_entry(&file(name), kind(name), password)
}

/// The public half of a key, if the provider takes it.
fn public(key: PrivateKeyDer<'static>) -> Vec<u8> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key).unwrap();
    key.public_key().unwrap().as_ref().to_vec()
}

#[test]
fn the_stores_of_keytool_and_openssl_open() {
    let leaf = file("ec.der");
    for name in [
        "keytool.p12",
        "keytool.jks",
        "keytool_legacy.p12",
        "openssl.p12",
        "openssl_legacy.p12",
        "openssl_nomac.p12",
        "openssl_plain.p12",
        "pkcs8.pem",
        "sec1.pem",
        "pbes2.pem",
        "pbes2_sha1_des3.pem",
        "pbes2_aes128_sha512.pem",
        "pbes1_3des.pem",
        "pbes1_rc2_40.pem",
        "pbes1_md5_des.pem",
        "pbes1_sha1_des.pem",
    ] {
        let entry = entry(name, PASSWORD).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert_eq!(entry.chain.len(), 1, "{name}");
        assert_eq!(entry.chain[0].as_ref(), leaf, "{name}");
        assert_eq!(entry.others, 0, "{name}");
        assert_eq!(public(entry.key), Certificate::parse(&leaf).unwrap().key, "{name}");
    }
    let empty = entry("openssl_empty.p12", "").unwrap();
    assert_eq!(public(empty.key), Certificate::parse(&leaf).unwrap().key);
    let rsa = entry("pkcs1_version1.pem", "").unwrap();
    let leaf = file("rsa_version1.der");
    assert_eq!(rsa.chain[0].as_ref(), leaf);
    assert_eq!(public(rsa.key), Certificate::parse(&leaf).unwrap().key);
}

#[test]
fn java_s_forms_stand_for_each_other() {
    let leaf = file("ec.der");
    for (name, kind) in [("keytool.p12", StoreKind::Jks), ("keytool.jks", StoreKind::Pkcs12)] {
        let entry = key_entry(&file(name), kind, PASSWORD).unwrap();
        assert_eq!(entry.chain[0].as_ref(), leaf, "{name}");
    }
}

#[test]
fn trust_stores_hold_what_stands_by_itself() {
    let leaf = file("ec.der");
    for name in ["trust_keytool.p12", "trust_keytool.jks", "trust_openssl.p12", "cert_ec.pem"] {
        let found = trusted(&file(name), kind(name), PASSWORD).unwrap();
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].as_ref(), leaf, "{name}");
    }
    // The certificate of a key is nobody's issuer.
    for name in ["keytool.p12", "keytool.jks", "openssl.p12"] {
        let found = trusted(&file(name), kind(name), PASSWORD);
        assert_eq!(found, Err(StoreProblem::NoCertificate), "{name}");
    }
}

#[test]
fn what_does_not_open_says_why() {
    for name in [
        "keytool.p12",
        "keytool.jks",
        "keytool_legacy.p12",
        "openssl.p12",
        "openssl_legacy.p12",
        "pbes2.pem",
        "pbes1_3des.pem",
    ] {
        assert_eq!(entry(name, "wrong").unwrap_err(), StoreProblem::WrongPassword, "{name}");
    }
    assert_eq!(entry("pbes2.pem", "").unwrap_err(), StoreProblem::PasswordMissing);
    assert_eq!(entry("cert_ec.pem", "").unwrap_err(), StoreProblem::NoKey);
    assert_eq!(entry("trust_keytool.p12", PASSWORD).unwrap_err(), StoreProblem::NoKey);
    assert_eq!(entry("trust_keytool.jks", PASSWORD).unwrap_err(), StoreProblem::NoKey);
    let said = |name: &str, kind| key_entry(&file(name), kind, PASSWORD).unwrap_err().to_string();
    assert!(said("keytool.jceks", StoreKind::Jks).contains("JCEKS"));
    assert!(said("traditional.pem", StoreKind::Pem).contains("openssl pkcs8"));
    assert!(said("pbes2_scrypt.pem", StoreKind::Pem).contains("scrypt"));
    assert!(said("pkcs8.pem", StoreKind::Pkcs12).contains("another type"));
    assert_eq!(key_entry(&file("ec.der"), StoreKind::Pem, "").unwrap_err(), StoreProblem::NoKey);
}

#[test]
fn an_error_holds_no_secret() {
    for name in ["keytool.p12", "keytool.jks", "pbes2.pem"] {
        let problem = entry(name, "geheim").unwrap_err();
        assert!(!format!("{problem} {problem:?}").contains("geheim"), "{name}");
        let shown = format!("{:?}", entry(name, PASSWORD).unwrap());
        assert!(!shown.contains("[48, "), "{name}: {shown}");
    }
}

#[test]
fn a_damaged_store_is_an_error_and_never_a_panic() {
    for name in ["keytool.p12", "openssl_plain.p12", "keytool.jks", "pbes2.pem", "sec1.pem"] {
        let whole = file(name);
        for cut in 0..whole.len() {
            let _ = key_entry(&whole[..cut], kind(name), PASSWORD);
        }
        // The first bytes hold the structure; to hash the password for each byte of the rest would take minutes.
        for at in 0..whole.len().min(120) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x41;
            let _ = key_entry(&bytes, kind(name), PASSWORD);
            let _ = trusted(&bytes, kind(name), PASSWORD);
        }
    }
}

#[test]
fn a_file_cannot_ask_for_more_work_than_the_limit() {
    let mut effort = pbe::Effort::of_a_file();
    assert_eq!(effort.spend(0), Err(StoreProblem::Malformed(Malformed::Shape)));
    assert_eq!(
        effort.spend(crate::limits::PBE_ITERATIONS_MAX),
        Ok(crate::limits::PBE_ITERATIONS_MAX)
    );
    assert_eq!(effort.spend(1), Err(StoreProblem::Iterations));
}

#[test]
fn a_circle_of_issuers_ends() {
    let bytes = |issuer: &str, subject: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let named = |name: &str| {
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params
        };
        let issuer = rcgen::Issuer::new(named(issuer), &key);
        named(subject).signed_by(&key, &issuer).unwrap().der().clone()
    };
    let (one, other) = (bytes("b", "a"), bytes("a", "b"));
    let chain = pkcs12::chain_of(one.clone(), &[other.clone(), one.clone()]).unwrap();
    assert_eq!(chain, [one, other]);
}

#[test]
fn the_type_is_named_or_follows_from_the_file_name() {
    let of = |named: &str, path: &str| StoreKind::of(named, Path::new(path));
    assert_eq!(of("", "/a/b.p12"), Ok(StoreKind::Pkcs12));
    assert_eq!(of("", "b.pem"), Ok(StoreKind::Pem));
    assert_eq!(of("", "b.jks"), Ok(StoreKind::Jks));
    assert_eq!(of("pem", "b.jks"), Ok(StoreKind::Pem));
    assert_eq!(of("PKCS12", "b"), Ok(StoreKind::Pkcs12));
    assert!(of("", "b.crt").unwrap_err().contains("does not end in .pem"));
    assert!(of("x", "b.pem").unwrap_err().contains("none of PEM"));
    assert!(of("", "b.bcfks").unwrap_err().contains("Bouncy Castle"));
}

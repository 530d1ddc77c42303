//! Key stores and trust stores: from the bytes of a file to certificates and a private key.
//!
//! Pure functions: the caller reads the file, and bounds its size. A store is as hostile as its author, so lengths are
//! checked before anything is copied, and [`pbe::Effort`] bounds the work that a file can ask for. No error holds a
//! password or a key.

pub mod jks;
pub mod pbe;
pub mod pem;
pub mod pkcs12;

use std::fmt;
use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::der::Malformed;

/// The form of a store.
// ZooKeeper: KeyStoreFileType.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// Java's own form, `.jks`. Since Java 9 `keytool` writes PKCS#12 into such a file, so the content decides.
    Jks,
    /// Base64 between lines that name what it is, `.pem`.
    Pem,
    /// PKCS#12, `.p12`. The content decides here too.
    Pkcs12,
}

impl StoreKind {
    /// ZooKeeper's name.
    pub fn name(self) -> &'static str {
        match self {
            StoreKind::Jks => "JKS",
            StoreKind::Pem => "PEM",
            StoreKind::Pkcs12 => "PKCS12",
        }
    }

    /// The kind that the key `*.type` names, or else the extension of the file; the error is a clause.
    // ZooKeeper: KeyStoreFileType.fromPropertyValueOrFileName, which knows no .pfx.
    pub fn of(named: &str, path: &Path) -> Result<StoreKind, String> {
        let by_name = |name: &str| match name.to_ascii_lowercase().as_str() {
            "jks" => Some(StoreKind::Jks),
            "pem" => Some(StoreKind::Pem),
            "pkcs12" | "p12" | "pfx" => Some(StoreKind::Pkcs12),
            _ => None,
        };
        let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
        let word = if named.is_empty() { extension } else { named };
        if let Some(kind) = by_name(word) {
            return Ok(kind);
        }
        if word.eq_ignore_ascii_case("bcfks") {
            return Err(
                "the form BCFKS of Bouncy Castle cannot be read here; convert it with keytool \
                        -importkeystore -deststoretype PKCS12"
                    .to_owned(),
            );
        }
        Err(if named.is_empty() {
            "the file name does not end in .pem, .p12 or .jks, and no key says its type".to_owned()
        } else {
            "the type is none of PEM, PKCS12 and JKS".to_owned()
        })
    }
}

/// A private key with its certificates: its own first, then that of its issuer, and so on.
#[derive(Debug)]
pub struct KeyEntry {
    /// At least one.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its `Debug` output shows no byte of it.
    pub key: PrivateKeyDer<'static>,
    /// How many further private keys the store has, which are not used.
    pub others: usize,
}

/// Reads the private key and its certificates out of a key store.
pub fn key_entry(bytes: &[u8], kind: StoreKind, password: &str) -> Result<KeyEntry, StoreProblem> {
    match form(bytes, kind) {
        StoreKind::Pem => pem::key_entry(bytes, password),
        StoreKind::Jks => jks::key_entry(bytes, password),
        StoreKind::Pkcs12 => pkcs12::key_entry(bytes, password),
    }
}

/// Reads the certificates of a trust store, without those that merely belong to a private key. At least one.
pub fn trusted(
    bytes: &[u8],
    kind: StoreKind,
    password: &str,
) -> Result<Vec<CertificateDer<'static>>, StoreProblem> {
    let found = match form(bytes, kind) {
        StoreKind::Pem => pem::trusted(bytes),
        StoreKind::Jks => jks::trusted(bytes, password),
        StoreKind::Pkcs12 => pkcs12::trusted(bytes, password),
    }?;
    if found.is_empty() { Err(StoreProblem::NoCertificate) } else { Ok(found) }
}

// ZooKeeper: KeyStore.getInstance("JKS") and ("PKCS12") of Java 9 and later read both forms
// (sun.security.provider.KeyStoreDelegator).
fn form(bytes: &[u8], kind: StoreKind) -> StoreKind {
    match kind {
        StoreKind::Pem => StoreKind::Pem,
        StoreKind::Jks | StoreKind::Pkcs12 if bytes.starts_with(&jks::MAGIC) => StoreKind::Jks,
        StoreKind::Jks | StoreKind::Pkcs12 if bytes.starts_with(&jks::JCEKS_MAGIC) => {
            StoreKind::Jks
        }
        StoreKind::Jks | StoreKind::Pkcs12 => StoreKind::Pkcs12,
    }
}

/// What is wrong with a store, as a clause that says the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreProblem {
    /// The structure of the file.
    Malformed(Malformed),
    /// The file, or a key in it, does not open.
    WrongPassword,
    /// A scheme that is not read here; its name.
    Unsupported(&'static str),
    /// It asks for more work than a server should do for a password.
    Iterations,
    /// No private key.
    NoKey,
    /// No certificate (of a key; in a trust store none at all).
    NoCertificate,
    /// An encrypted key and no password.
    PasswordMissing,
    /// Another sentence.
    Other(&'static str),
}

impl StoreProblem {
    fn cipher(name: &'static str) -> Self {
        StoreProblem::Unsupported(name)
    }
}

impl From<Malformed> for StoreProblem {
    fn from(malformed: Malformed) -> Self {
        StoreProblem::Malformed(malformed)
    }
}

impl fmt::Display for StoreProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ANEW: &str =
            "write the store anew, with keytool -importkeystore -deststoretype PKCS12 or openssl";
        match self {
            StoreProblem::Malformed(malformed) => {
                write!(f, "it is damaged or of another type: {malformed}; compare its type, or {ANEW}")
            }
            StoreProblem::WrongPassword => f.write_str(
                "the password does not open it; correct the password (store and key must have the same one)",
            ),
            StoreProblem::Unsupported(what) => {
                write!(f, "it uses {what}, which is not read here; {ANEW}")
            }
            StoreProblem::Iterations => write!(
                f,
                "it asks for more than {} rounds of hashing the password; {ANEW}",
                crate::limits::PBE_ITERATIONS_MAX
            ),
            StoreProblem::NoKey => f.write_str("it holds no private key; add the key to it"),
            StoreProblem::NoCertificate => f.write_str(
                "it holds no certificate that counts; a key store needs that of its key, a trust store those of the \
                 issuers to be trusted (keytool -importcert)",
            ),
            StoreProblem::PasswordMissing => {
                f.write_str("its private key is encrypted, and no password is configured; set it")
            }
            StoreProblem::Other(sentence) => f.write_str(sentence),
        }
    }
}

#[cfg(test)]
mod tests;
